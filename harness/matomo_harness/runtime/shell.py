"""The doors that need the container itself: console, files, health; and the wait for its web."""

import base64
import posixpath
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from docker.models.containers import Container
from docker.utils.socket import frames_iter
from tenacity import RetryCallState, RetryError, Retrying, stop_after_delay, wait_fixed
from testcontainers.core.waiting_utils import WaitStrategy, WaitStrategyTarget

from matomo_harness.errors import (
    BrokenPromiseError,
    HarnessError,
    UnsupportedEnvironmentError,
    WrongInputError,
)
from matomo_harness.matomo.container import WEB_ROOT
from matomo_harness.matomo.web import Web
from matomo_harness.runtime.engine import engine, execute

ANSWER_SECONDS: Final = 60
POLL_SECONDS: Final = 0.02
LAST_LINES: Final = 4
ARGUMENT_BYTES: Final = 96 * 1024
"""Of one argument of a command; Linux takes 128 KiB (MAX_ARG_STRLEN). A multiple of four, so that
each part is base64 by itself."""


@dataclass(frozen=True)
class MatomoShell:
    """A running Matomo from the inside of its container.

    Args:
        container: started, with /var/www/html as its working directory.
        instance: instance_id of one of several that share the container; None where Matomo has
            the container to itself.
    """

    container: Container
    instance: str | None = None

    @property
    def name(self) -> str:
        """Of the container, as the engine calls it."""
        return str(self.container.name)

    @property
    def config(self) -> str:
        """Its config.ini.php: Matomo takes the one that has the request's host in its name."""
        return f"config/{host_of(self.instance)}.config.ini.php" if self.instance else OWN_CONFIG

    @property
    def tmp(self) -> str:
        """Where its caches, assets and templates are (`path.tmp` in Matomo's config/global.php)."""
        return f"tmp/{self.instance}" if self.instance else "tmp"

    @property
    def uploads(self) -> str:
        """Where what a person uploads is (SettingsPiwik::rewriteMiscUserPathWithInstanceId)."""
        return f"misc/user/{self.instance}" if self.instance else "misc/user"

    def run(self, *command: str, user: str = "www-data") -> str:
        """Run `command` in the container and return its standard output.

        Raises:
            BrokenPromiseError: it exits non-zero; `seen` has both streams' last lines, and those
                that speak of an error.
        """
        done = execute(self.container, list(command), user)
        if done.code != 0:
            said = (done.out + done.err).strip().splitlines()
            # The archiver's last lines count the errors and do not say them.
            telling = [it for it in said[:-LAST_LINES] if "error" in it.lower()][-LAST_LINES:]
            raise BrokenPromiseError(
                expected=f"`{' '.join(command)}` to succeed in {self.container.name}",
                seen=f"exit {done.code}: " + " | ".join((*telling, *said[-LAST_LINES:])),
                next_command=f"docker logs {self.container.name}",
            )
        return done.out

    def console(self, *arguments: str) -> str:
        """Run Matomo's console as the web server's user.

        Anybody must: a cache directory that root makes answers every page with 500.

        Raises:
            BrokenPromiseError: it exits non-zero.
        """
        domain = [f"--matomo-domain={host_of(self.instance)}"] if self.instance else []
        return self.run("php", "console", *domain, *arguments)

    @property
    def started_at(self) -> int:
        """When the container was started, in seconds since 1970, by the engine's clock."""
        self.container.reload()
        said = self.container.attrs["State"]["StartedAt"][:19]  # in UTC, with nine digits more
        return int(datetime.fromisoformat(f"{said}+00:00").timestamp())

    def health(self) -> str | None:
        """Return None when the image's own health check is content, else its reason.

        Raises:
            WrongInputError: the container is shared, and its health check is nobody's.
        """
        self._refuse_where_shared("the container's health check")
        done = execute(self.container, ["matomo-health"])
        return None if done.code == 0 else done.out.strip()

    def read(self, path: str) -> str:
        """Return the text of a file below the web root.

        Raises:
            BrokenPromiseError: there is none, or the web server's user may not read it.
        """
        return self.run("cat", path)

    def write(self, path: str, text: str, user: str = "www-data") -> None:
        """Write a file below the web root, as `user`, by default the web server's.

        By way of a command and not of the engine's archive calls, which do not see a tmpfs.

        Raises:
            BrokenPromiseError: the web server's user may not write there.
            WrongInputError: the file is not this instance's alone.
        """
        own = (self.config, f"{self.tmp}/", f"{self.uploads}/")
        if not posixpath.normpath(posixpath.join(WEB_ROOT, path)).startswith(
            tuple(posixpath.join(WEB_ROOT, it) for it in own)
        ):
            self._refuse_where_shared(f"{path}, which every instance in it runs on")
        encoded = base64.b64encode(text.encode()).decode()
        self.run("sh", "-c", ': > "$1"', "sh", path, user=user)
        for start in range(0, len(encoded), ARGUMENT_BYTES):
            part = encoded[start : start + ARGUMENT_BYTES]
            self.run("sh", "-c", 'printf %s "$1" | base64 -d >> "$2"', "sh", part, path, user=user)

    def _refuse_where_shared(self, what: str) -> None:
        if self.instance:
            raise WrongInputError(
                expected="something that an instance in the shared container has to itself",
                seen=what,
                next_command="take the fixture dedicated_matomo, which has containers of its own",
            )


OWN_CONFIG: Final = "config/config.ini.php"


def host_of(instance: str) -> str:
    """Name by which a request says which of the instances in a container it is for."""
    return f"{instance}.localhost"


class LastingShell:
    """One shell in a container for many short commands: 2 ms each, where an exec takes 60 ms.

    It ends with this process, as the end of its input is the end of a shell.

    Args:
        container: a running one.
        user: whom the commands run as.
    """

    def __init__(self, container: Container, user: str = "www-data") -> None:
        self._container = container
        self._one_at_a_time = threading.Lock()
        api = engine().api
        made = api.exec_create(container.id, ["sh"], stdin=True, user=user, workdir=WEB_ROOT)
        self._socket: Any = api.exec_start(made["Id"], socket=True)
        self._frames = frames_iter(self._socket, tty=False)  # type: ignore[no-untyped-call]

    def run(self, script: str) -> str:
        """Run `script` and return what it says, on both streams.

        Raises:
            BrokenPromiseError: its last command exits non-zero.
            UnsupportedEnvironmentError: the container is gone.
        """
        with self._one_at_a_time:
            output, code = self._exchange(script)
        if code != 0:
            raise BrokenPromiseError(
                expected=f"`{script.splitlines()[0]}` to succeed in {self._container.name}",
                seen=f"exit {code}: {' | '.join(output.strip().splitlines()[-4:])}",
                next_command=f"docker logs {self._container.name}",
            )
        return output

    def _exchange(self, script: str) -> tuple[str, int]:
        mark = secrets.token_hex(8)
        # The subshell's input is not ours, or a command in it could eat the next script.
        line = f"( {script}\n) </dev/null 2>&1; echo {mark} $?\n"
        try:
            getattr(self._socket, "_sock", self._socket).sendall(line.encode())
            output = b""
            for _, frame in self._frames:
                output += frame
                said, found, code = output.partition(mark.encode())
                if found and code.endswith(b"\n"):
                    return said.decode(errors="replace"), int(code)
        except OSError as error:
            raise self._gone() from error
        raise self._gone()

    def _gone(self) -> UnsupportedEnvironmentError:
        return UnsupportedEnvironmentError(
            expected=f"the container {self._container.name} to be there",
            seen="it is gone, or the engine was restarted",
            next_command="docker ps -a; then the same command again",
        )


def wait_for_answer(container: Container, what: str, ask: Callable[[], object]) -> None:
    """Call `ask` until it raises nothing.

    Args:
        container: where it runs; no more is waited for when it stops.
        what: runs there, for the error.
        ask: fails where there is no answer yet.

    Raises:
        UnsupportedEnvironmentError: it stopped, or was silent for ANSWER_SECONDS; `seen` is its log's end.
    """
    attempts = Retrying(
        stop=stop_after_delay(ANSWER_SECONDS),
        wait=wait_fixed(POLL_SECONDS),
        retry=while_alive(container),
    )
    try:
        attempts(ask)
    except (RetryError, HarnessError, OSError) as error:  # OSError: of requests, of Testcontainers
        raise UnsupportedEnvironmentError(
            expected=f"{what} in {container.name} to answer within {ANSWER_SECONDS} s",
            seen=log_end(container),
            next_command=f"docker logs {container.name}",
        ) from error


class AnswerWaitStrategy(WaitStrategy):
    """Testcontainers' wait at a start: until something answers, and no longer than it runs.

    Args:
        what: runs there, for the error.
        ask: fails where there is no answer yet.
    """

    def __init__(self, what: str, ask: Callable[[], object]) -> None:
        super().__init__()
        self._what = what
        self._ask = ask

    def wait_until_ready(self, container: WaitStrategyTarget) -> None:
        """Wait for the answer.

        Raises:
            UnsupportedEnvironmentError: the container stopped, or was silent for ANSWER_SECONDS.
        """
        wait_for_answer(container.get_wrapped_container(), self._what, self._ask)


def wait_for_web(web: Web, container: Container) -> None:
    """Wait until the web server of `container` answers, and not a load balancer in its place.

    Raises:
        UnsupportedEnvironmentError: it stopped, or said nothing for ANSWER_SECONDS.
    """
    wait_for_answer(container, "the web server", lambda: ask_web(web))


def ask_web(web: Web) -> None:
    """Ask the web server for something that it has.

    A static file: the first page of Matomo takes long, and its database may not be there.

    Raises:
        UnsupportedEnvironmentError: no answer.
        HTTPError: it is no good one.
    """
    web.ask("matomo.js").raise_for_status()


def while_alive(container: Container) -> Callable[[RetryCallState], bool]:
    """Return a condition to try again: it failed, and the container has not stopped.

    The engine is asked at every tenth attempt: more would take from the start what it waits for.
    """

    def again(state: RetryCallState) -> bool:
        failed = state.outcome is not None and state.outcome.failed
        return failed and (state.attempt_number % 10 != 0 or is_alive(container))

    return again


def is_alive(container: Container) -> bool:
    """Whether it runs, as the engine says now."""
    container.reload()
    return bool(container.status == "running")


def log_end(container: Container) -> str:
    """Return the last words of its log, for an error."""
    lines = container.logs(tail=4).decode(errors="replace").strip().splitlines()
    return " | ".join(lines) or "not a word in its log"
