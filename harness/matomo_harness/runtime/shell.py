"""Console, files and health of a Matomo in a container, and the wait for its web server."""

import base64
import posixpath
import re
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import requests
from docker.errors import APIError
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
from matomo_harness.matomo.image import ASK_HEALTH, OFFICIAL, ImageProfile
from matomo_harness.matomo.web import Web
from matomo_harness.runtime.engine import EXECUTE_SECONDS, engine, execute

ANSWER_SECONDS: Final = 60
LONGEST_START: Final = 180.0
"""In seconds: for a start that waits for its database, and may make something of it."""
WHOLE_DATA_SECONDS: Final = 4 * 3600.0
"""For a command that works on all of the data: with large tables it takes hours."""
POLL_SECONDS: Final = 0.02
LAST_LINES: Final = 4
NOT_BEGUN: Final = re.compile(r"Error unserializing the following response from \S+ ''")
"""What the archiver prints of a process of its own that had not begun within 8 s
(CliMulti::hasFinishedProcess); beside it Matomo advises to raise memory_limit, which is no help."""
STARVED: Final = (
    "a process of the archiver's did not begin within 8 s, as the processor has too much else to do"
    " (docs/failure-modes.md, R14; the next run takes it up again)"
)
LONGEST_WORD: Final = 60
"""Letters of an argument of a command that a message quotes."""
TEXT: Final = "HARNESS_TEXT"
"""Variable with what is written: everybody on the machine can read an argument."""
ARGUMENT_BYTES: Final = 96 * 1024
"""Size limit of one variable of a command; Linux's is 128 KiB (MAX_ARG_STRLEN). It is a multiple of
four, so that each part is valid base64."""


@dataclass(frozen=True)
class MatomoShell:
    """A running Matomo as seen from inside its container.

    Args:
        container: the started container.
        instance: instance_id of one of several instances that share the container; None where
            Matomo has the container to itself.
        profile: what its image is.
    """

    container: Container
    instance: str | None = None
    profile: ImageProfile = OFFICIAL

    @property
    def name(self) -> str:
        """The engine's name for the container."""
        return str(self.container.name)

    @property
    def config(self) -> str:
        """Its config.ini.php: Matomo reads the one that has the request's host in its name."""
        return f"config/{host_of(self.instance)}.config.ini.php" if self.instance else OWN_CONFIG

    @property
    def tmp(self) -> str:
        """Folder of its caches, assets and templates (`path.tmp` in Matomo's config/global.php)."""
        return f"tmp/{self.instance}" if self.instance else "tmp"

    @property
    def uploads(self) -> str:
        """The folder of users' uploads (SettingsPiwik::rewriteMiscUserPathWithInstanceId)."""
        return f"misc/user/{self.instance}" if self.instance else "misc/user"

    def run(
        self,
        *command: str,
        user: str = "",
        environment: Mapping[str, str] = MappingProxyType({}),
        seconds: float = EXECUTE_SECONDS,
    ) -> str:
        """Run `command` in the web root and return its standard output.

        Args:
            command: program and arguments.
            user: the user that it runs as; the web server's by default.
            environment: variables for this command alone.
            seconds: how long it may take.

        Raises:
            TimeLimitError: it takes longer, and was killed.
            BrokenPromiseError: it exits non-zero; `seen` has the last lines of both streams, and
                the lines that mention an error.
        """
        done = execute(
            self.container,
            list(command),
            user or self.profile.web_user,
            directory=self.profile.web_root,
            seconds=seconds,
            environment=environment,
        )
        if done.code != 0:
            lines = (done.out + done.err).strip().splitlines()
            raise BrokenPromiseError(
                expected=f"`{_in_short(command)}` to succeed in {self.container.name}",
                seen=f"exit {done.code}: {why_it_failed(lines)}",
                next_command=f"docker logs {self.container.name}",
            )
        return done.out

    def console(self, *arguments: str, seconds: float = EXECUTE_SECONDS) -> str:
        """Run Matomo's console as the web server's user.

        Everybody must use this user: with a cache directory that root made, every page is a 500.

        Args:
            arguments: the command and its options.
            seconds: how long it may take; WHOLE_DATA_SECONDS where it works on all that there is.

        Raises:
            TimeLimitError: it takes longer, and was killed.
            BrokenPromiseError: it exits non-zero.
        """
        domain = [f"--matomo-domain={host_of(self.instance)}"] if self.instance else []
        return self.run("php", "console", *domain, *arguments, seconds=seconds)

    @property
    def started_at(self) -> int:
        """When the container was started, in seconds since 1970, by the engine's clock."""
        self.container.reload()
        # The engine writes UTC, with nine more digits.
        moment = self.container.attrs["State"]["StartedAt"][:19]
        return int(datetime.fromisoformat(f"{moment}+00:00").timestamp())

    def health(self) -> str | None:
        """Return None when the image's own health check passes, else its reason.

        Raises:
            WrongInputError: the container is shared, so its health check belongs to no instance.
        """
        self._refuse_where_shared("the container's health check")
        done = execute(self.container, list(ASK_HEALTH))
        return None if done.code == 0 else done.out.strip()

    def read(self, path: str) -> str:
        """Return the text of a file below the web root.

        Raises:
            BrokenPromiseError: there is no such file, or the web server's user may not read it.
        """
        return self.run("cat", path)

    def write(self, path: str, text: str, user: str = "") -> None:
        """Write a file below the web root, as `user`, by default the web server's.

        A command writes it, because the engine's archive calls do not see a tmpfs. It has the whole
        text, or its first `ARGUMENT_BYTES`, before it opens the file: a page that reads
        config.ini.php meanwhile and finds it empty takes Matomo for new.

        Raises:
            BrokenPromiseError: the web server's user may not write there.
            WrongInputError: the file does not belong to this instance alone.
        """
        own = (self.config, f"{self.tmp}/", f"{self.uploads}/")
        web_root = self.profile.web_root
        if not posixpath.normpath(posixpath.join(web_root, path)).startswith(
            tuple(posixpath.join(web_root, own_path) for own_path in own)
        ):
            self._refuse_where_shared(f"{path}, which every instance in it runs on")
        encoded = base64.b64encode(text.encode()).decode()
        for start in range(0, max(len(encoded), 1), ARGUMENT_BYTES):
            part, redirect = encoded[start : start + ARGUMENT_BYTES], ">>" if start else ">"
            # The dot keeps the trailing newlines that $( ) would strip.
            script = f'text=$(printf %s "${TEXT}" | base64 -d; echo .); '
            script += f'printf %s "${{text%.}}" {redirect} "$1"'
            self.run("sh", "-c", script, "sh", path, user=user, environment={TEXT: part})

    def _refuse_where_shared(self, what: str) -> None:
        if self.instance:
            raise WrongInputError(
                expected="something that an instance in the shared container has to itself",
                seen=what,
                next_command="take the fixture dedicated_matomo, which has containers of its own",
            )


OWN_CONFIG: Final = "config/config.ini.php"


def _in_short(command: Sequence[str]) -> str:
    """Return `command` for a message: a script in it says nothing to whoever reads that."""
    words = (word if len(word) <= LONGEST_WORD and "\n" not in word else "…" for word in command)
    return " ".join(words)


def host_of(instance: str) -> str:
    """Return the host name by which requests reach one of the instances in a container."""
    return f"{instance}.localhost"


class LastingShell:
    """One shell in a container for many short commands: 2 ms each, where an exec takes 60 ms.

    It ends with this process, because a shell ends with its input.

    Args:
        container: a running container.
        profile: what its image is; the commands run in its web root, as its web server's user.
    """

    def __init__(self, container: Container, profile: ImageProfile = OFFICIAL) -> None:
        self._container = container
        self._one_at_a_time = threading.Lock()
        api = engine().api
        made = api.exec_create(
            container.id, ["sh"], stdin=True, user=profile.web_user, workdir=profile.web_root
        )
        self._socket: Any = api.exec_start(made["Id"], socket=True)
        self._frames = frames_iter(self._socket, tty=False)  # type: ignore[no-untyped-call]

    def run(self, script: str) -> str:
        """Run `script` and return its output on both streams.

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
        # The subshell has its own input, or a command in it could read the next script.
        line = f"( {script}\n) </dev/null 2>&1; echo {mark} $?\n"
        try:
            getattr(self._socket, "_sock", self._socket).sendall(line.encode())
            output = b""
            for _, frame in self._frames:
                output += frame
                answer, found, code = output.partition(mark.encode())
                if found and code.endswith(b"\n"):
                    return answer.decode(errors="replace"), int(code)
        except OSError as error:
            raise self._gone() from error
        raise self._gone()

    def _gone(self) -> UnsupportedEnvironmentError:
        return UnsupportedEnvironmentError(
            expected=f"the container {self._container.name} to run",
            seen="it is gone, or the engine was restarted",
            next_command="docker ps -a; then the same command again",
        )


def start_seconds(profile: ImageProfile) -> float:
    """Return how long a start may take until its web server answers.

    Args:
        profile: what the image is. One that waits for its database may ask it again and again what
            is in it, and give up only then: thirty times with two seconds between is usual.
    """
    return ANSWER_SECONDS if profile.starts_alone else LONGEST_START


def wait_for_answer(
    container: Container,
    what: str,
    ask: Callable[[], object],
    explain: Callable[[], HarnessError | None] = lambda: None,
    seconds: float = ANSWER_SECONDS,
) -> None:
    """Call `ask` until it raises nothing.

    Args:
        container: the container to wait for; the wait ends when it stops.
        what: what runs in it, for the error.
        ask: a function that raises as long as there is no answer.
        explain: called when the wait has failed; returns the error that says more of it.
        seconds: how long it may take.

    Raises:
        HarnessError: what `explain` returned.
        UnsupportedEnvironmentError: it stopped, was silent for `seconds`, or answered with an
            error for as long; `seen` is that error and the end of its log.
    """
    attempts = Retrying(
        stop=stop_after_delay(seconds),
        wait=wait_fixed(POLL_SECONDS),
        retry=while_alive(container),
    )
    try:
        attempts(ask)
    except (
        RetryError,
        HarnessError,
        OSError,
    ) as error:  # OSError: from requests and Testcontainers
        if better := explain():
            raise better from error
        last = error.last_attempt.exception() if isinstance(error, RetryError) else error
        answer = f"{last}; " if isinstance(last, requests.HTTPError) else ""
        if isinstance(last, WrongInputError):  # it answers, and refuses: its log need not say so
            answer = f"{last.seen}; "
        raise UnsupportedEnvironmentError(
            expected=f"{what} in {container.name} to answer within {seconds:.0f} s",
            seen=f"{answer}{log_end(container)}",
            next_command=f"docker logs {container.name}",
        ) from error


class AnswerWaitStrategy(WaitStrategy):
    """Testcontainers' wait at a start: until it answers, or until the container stops.

    Args:
        what: what runs in the container, for the error.
        ask: a function that raises as long as there is no answer.
        explain: returns the error that says more, once the wait has failed.
        seconds: how long it may take.
    """

    def __init__(
        self,
        what: str,
        ask: Callable[[], object],
        explain: Callable[[], HarnessError | None] = lambda: None,
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        super().__init__()
        self._what = what
        self._ask = ask
        self._explain = explain
        self._seconds = seconds

    def wait_until_ready(self, container: WaitStrategyTarget) -> None:
        """Wait for the answer.

        Raises:
            UnsupportedEnvironmentError: the container stopped, or was silent for that long.
        """
        inside = container.get_wrapped_container()
        wait_for_answer(inside, self._what, self._ask, self._explain, self._seconds)


def wait_for_web(web: Web, container: Container, seconds: float = ANSWER_SECONDS) -> None:
    """Wait until the web server of `container` answers, and not a load balancer in its place.

    Raises:
        UnsupportedEnvironmentError: it stopped, or was silent for `seconds`.
    """
    wait_for_answer(container, "the web server", lambda: ask_web(web), seconds=seconds)


def ask_web(web: Web) -> None:
    """Ask the web server for a static file.

    We ask for no page of Matomo: the first one takes long, and the database may not run yet.

    Raises:
        UnsupportedEnvironmentError: there is no answer.
        HTTPError: the answer's status is an error.
    """
    web.ask("matomo.js").raise_for_status()


def while_alive(container: Container) -> Callable[[RetryCallState], bool]:
    """Return a condition to try again: the attempt failed, and the container has not stopped.

    It asks the engine at every tenth attempt only: more would slow the start that it waits for.
    """

    def again(state: RetryCallState) -> bool:
        failed = state.outcome is not None and state.outcome.failed
        return failed and (state.attempt_number % 10 != 0 or is_alive(container))

    return again


def is_alive(container: Container) -> bool:
    """Whether the container runs now, according to the engine."""
    container.reload()
    return bool(container.status == "running")


def why_it_failed(lines: Sequence[str]) -> str:
    """Return the first errors that a command printed, and its last lines, for an error.

    The archiver's last lines count the errors without quoting them.
    """
    last = lines[-LAST_LINES:]
    errors = [line for line in lines[:-LAST_LINES] if "error" in line.lower()]
    said = " | ".join(line.strip() for line in (*errors[:LAST_LINES], *last))
    if NOT_BEGUN.search("\n".join(lines)):
        return f"{STARVED}: {said}"
    return said or "it printed nothing"


def log_end(container: Container) -> str:
    """Return the end of the container's log, for an error."""
    try:
        lines = container.logs(tail=4).decode(errors="replace").strip().splitlines()
    except APIError:  # one that holds raw data has no log
        return "it keeps no log"
    return " | ".join(lines) or "its log is empty"
