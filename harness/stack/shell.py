"""The doors that need the container itself: console, files, health; and the wait for its web."""

import base64
from dataclasses import dataclass
from typing import Final

from docker.models.containers import Container
from tenacity import RetryError, Retrying, stop_after_delay, wait_fixed

from harness.errors import BrokenPromiseError, MachineCannotError
from harness.matomo.web import Web

CONFIG: Final = "config/config.ini.php"
WEB_SECONDS: Final = 60


@dataclass(frozen=True)
class MatomoShell:
    """A running Matomo container from the inside.

    Args:
        container: started, with /var/www/html as its working directory.
    """

    container: Container

    def run(self, *command: str, user: str = "www-data") -> str:
        """Run `command` in the container and return its standard output.

        Raises:
            BrokenPromiseError: it exits non-zero; `seen` has both streams' last lines.
        """
        code, (out, err) = self.container.exec_run(list(command), user=user, demux=True)
        output = bytes(out or b"").decode(errors="replace")
        if code != 0:
            said = (output + bytes(err or b"").decode(errors="replace")).strip().splitlines()
            raise BrokenPromiseError(
                expected=f"`{' '.join(command)}` to succeed in {self.container.name}",
                seen=f"exit {code}: " + " | ".join(said[-4:]),
                next_command=f"docker logs {self.container.name}",
            )
        return output

    def console(self, *arguments: str) -> str:
        """Run Matomo's console as the web server's user.

        Anybody must: a cache directory that root makes answers every page with 500.

        Raises:
            BrokenPromiseError: it exits non-zero.
        """
        return self.run("php", "console", *arguments)

    def health(self) -> str | None:
        """Return None when the image's own health check is content, else its reason."""
        code, (out, _) = self.container.exec_run(["matomo-health"], demux=True)
        return None if code == 0 else bytes(out or b"").decode(errors="replace").strip()

    def read(self, path: str) -> str:
        """Return the text of a file below the web root.

        Raises:
            BrokenPromiseError: there is none, or the web server's user may not read it.
        """
        return self.run("cat", path)

    def write(self, path: str, text: str) -> None:
        """Write a file below the web root, as the web server's user.

        By way of a command and not of the engine's archive calls, which do not see a tmpfs.

        Raises:
            BrokenPromiseError: the web server's user may not write there.
        """
        encoded = base64.b64encode(text.encode()).decode()
        self.run("sh", "-c", 'printf %s "$1" | base64 -d > "$2"', "sh", encoded, path)


def wait_for_web(web: Web, container: Container) -> None:
    """Wait until the web server of `container` answers, whatever it answers.

    Raises:
        MachineCannotError: it stopped, or said nothing for WEB_SECONDS; `seen` has its log's end.
    """
    attempts = Retrying(
        stop=stop_after_delay(WEB_SECONDS),
        wait=wait_fixed(0.05),
        retry=lambda state: (
            state.outcome is not None and state.outcome.failed and _alive(container)
        ),
    )
    try:
        # A static file: the first page of Matomo takes long, and its database may not be there.
        attempts(web.get, path="matomo.js")
    except (RetryError, MachineCannotError) as error:
        lines = container.logs(tail=4).decode(errors="replace").strip().splitlines()
        raise MachineCannotError(
            expected=f"the web server of {container.name} to answer within {WEB_SECONDS} s",
            seen=" | ".join(lines) or "it stopped without a word",
            next_command=f"docker logs {container.name}",
        ) from error


def _alive(container: Container) -> bool:
    container.reload()
    return bool(container.status == "running")
