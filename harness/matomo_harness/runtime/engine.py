"""Connect to the container engine, and say plainly why it cannot be reached."""

import contextlib
import functools
import os
import secrets
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import docker
import requests
from docker.errors import DockerException, NotFound, create_api_error_from_http_exception
from docker.models.containers import Container
from docker.utils import kwargs_from_env

from matomo_harness.errors import UnsupportedEnvironmentError
from matomo_harness.runtime import address as addresses
from matomo_harness.runtime.address import EngineAddress
from matomo_harness.time_limit import TimeLimitError, require_time_left, seconds_left

PING_SECONDS: Final = 10


class EngineSilentError(UnsupportedEnvironmentError):
    """No engine answers at the address: it may not be installed, or not be running."""


def connect(address: str | None = None) -> docker.DockerClient:
    """Return a client of the engine, once it has answered and is one that the harness works with.

    Args:
        address: the engine's address; by default DOCKER_HOST, else that of the Docker context, else
            the platform's.

    Raises:
        EngineSilentError: nothing answers.
        UnsupportedEnvironmentError: there is an engine, and this user may not talk to it, or it is
            elsewhere, or not one that the harness works with.
    """
    meant = EngineAddress(address) if address else addresses.chosen()
    if meant.chosen_by:
        # Compose, Testcontainers and the watcher of a run would choose by rules of their own.
        os.environ[addresses.HOST] = str(meant.host)
    tls = kwargs_from_env().get("tls", False) if (meant.host or "").startswith("tcp:") else False
    try:
        client = docker.DockerClient(base_url=meant.host, timeout=PING_SECONDS, tls=tls)
        version = client.version()
    except (DockerException, requests.RequestException, OSError) as error:
        raise _unreachable(meant, error) from error
    require_known(version, meant)
    # Builds and commits are silent for minutes; the short time limit was for the first answer only.
    client.api.timeout = 600
    return client


OLDEST_API: Final = (1, 41)
"""That of Docker 20.10, the oldest engine that the tests run on."""
DOCKER: Final = "Engine"
"""Docker calls itself so in its answer to /version, among the Components; Podman calls itself
"Podman Engine"."""
NO_CGROUPS: Final = "none"
"""CgroupDriver, in the answer to /info, of a rootless Docker that cannot limit a container: on a
machine without cgroup v2, or without a systemd that hands it on."""


def require_known(version: Mapping[str, Any], address: EngineAddress) -> None:
    """Refuse an engine that the harness is known not to work with, by its answer to /version.

    Args:
        version: the answer.
        address: where it came from.

    Raises:
        UnsupportedEnvironmentError: it is not Docker, or too old, or it runs Windows' containers.
    """
    components = {
        str(part.get("Name")): str(part.get("Version", ""))
        for part in version.get("Components") or []
    }
    others = [f"{name} {components[name]}" for name in components if "Podman" in name]
    if components and DOCKER not in components:
        others = others or [f"{name} {number}".strip() for name, number in components.items()][:1]
    api = str(version.get("ApiVersion", "0"))
    if others:
        seen = others[0]
    elif tuple(map(int, api.split("."))) < OLDEST_API:
        seen = f"Docker {version.get('Version', 'of unknown version')}, API {api}"
    elif version.get("Os") not in (None, "", "linux"):
        seen = f"Docker {version.get('Version')} for {version['Os']} containers"
    else:
        return
    install = "install Docker, on Debian by: apt-get install docker.io"
    raise UnsupportedEnvironmentError(
        expected="Docker 20.10 or newer, with Linux containers, as container engine",
        seen=f"{seen} at {address}",
        next_command=f"{address.undo}   (or {install})" if address.undo else install,
    )


@functools.cache
def engine() -> docker.DockerClient:
    """Return the one client of this process (see `connect`)."""
    return connect()


@dataclass(frozen=True)
class CommandResult:
    """The output of a command in a container, and how it ended.

    Args:
        code: its exit code.
        out: its standard output.
        err: its standard error.
    """

    code: int
    out: str
    err: str


EXECUTE_SECONDS: Final = 600.0
"""Time limit of a command, unless the caller gives another."""
MARK: Final = "HARNESS_COMMAND"
"""Variable in the environment of each command and its children, to find and kill them by."""


def execute(
    container: Container,
    command: list[str],
    user: str = "",
    *,
    directory: str | None = None,
    seconds: float = EXECUTE_SECONDS,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> CommandResult:
    """Run `command` in `container` to its end, or kill it when its time is over.

    We do not use docker-py's `exec_run`: it asks for the bare socket and loses what the engine has
    sent together with the head of its answer, so that output is missing or "10 is not a valid
    stream" (docker-py issues 2255 and 3160). Without the request for an upgrade, the same bytes
    are the body of a plain answer.

    Args:
        container: a running container.
        command: program and arguments.
        user: the user that it runs as; the image's user by default.
        directory: where it runs; the image's working directory by default.
        seconds: how long it may take; less where the time limit of the whole work ends earlier.
        environment: variables for this command alone: the way for a secret, which an argument
            would show to everybody.

    Raises:
        APIError: the container is not running.
        UnsupportedEnvironmentError: the container ended meanwhile.
        TimeLimitError: the command was killed.
    """
    left = seconds_left(seconds)
    mark = secrets.token_hex(8)
    made = _api(container).exec_create(
        container.id,
        command,
        user=user,
        workdir=directory,
        environment={**environment, MARK: mark},
    )["Id"]
    killed = threading.Event()

    def kill() -> None:
        killed.set()
        _kill(container, mark, user)

    timer = threading.Timer(left, kill)
    timer.daemon = True
    timer.start()
    streams: dict[int, list[bytes]] = {_OUT: [], _ERR: []}
    try:
        # This time limit is for an engine that has gone silent: the kill ends the answer.
        for stream, part in _output(container, made, left + ENGINE_SECONDS):
            streams[stream].append(part)
    finally:
        timer.cancel()
    if killed.is_set():
        require_time_left()
        raise TimeLimitError(
            expected=f"`{' '.join(command)[:100]}` to end within {left:.0f} s in {container.name}",
            seen="it was still running, and was killed",
            next_command=f"docker logs {container.name}",
        )
    out, err = (b"".join(parts).decode(errors="replace") for parts in streams.values())
    return CommandResult(_exit_code(container, made, command), out, err)


def execute_stream(
    container: Container,
    command: Sequence[str],
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[bytes]:
    """Yield what `command` prints in `container` to its standard output, as root, while it runs.

    For output that is too long to be held: as with `execute`, none of it is lost.

    Args:
        container: a running container.
        command: program and arguments.
        environment: variables for this command alone.

    Raises:
        APIError: the container is not running.
        UnsupportedEnvironmentError: the command exits non-zero, or the container ended meanwhile.
    """
    made = _api(container).exec_create(
        container.id, list(command), user="root", stderr=False, environment=dict(environment)
    )["Id"]
    for _, part in _output(container, made, EXECUTE_SECONDS):
        yield part
    if (code := _exit_code(container, made, command)) != 0:
        raise UnsupportedEnvironmentError(
            expected=f"`{command[0]}` to succeed in {container.name}",
            seen=f"exit {code}",
            next_command=f"docker logs {container.name}",
        )


def _api(container: Container) -> Any:
    client: Any = container.client
    return client.api


def _output(container: Container, made: str, silent: float) -> Iterator[tuple[int, bytes]]:
    """Start a command, and yield what it prints, each part with the number of its stream.

    Args:
        container: where it was made.
        made: the engine's name for it.
        silent: seconds after which an engine that says nothing is given up.
    """
    api = _api(container)
    start = f"{api.base_url}/v{api.api_version}/exec/{made}/start"
    with api.post(
        start, json={"Detach": False, "Tty": False}, timeout=silent, stream=True
    ) as answer:
        try:
            answer.raise_for_status()
        except requests.HTTPError as error:
            create_api_error_from_http_exception(error)
        yield from _parts(answer.iter_content(_CHUNK))


def _parts(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the parts of an output as the engine frames them, each with its stream's number."""
    held = b""
    for chunk in chunks:
        held += chunk
        at = 0
        while len(held) - at >= _FRAME.size:
            stream, length = _FRAME.unpack_from(held, at)
            end = at + _FRAME.size + length
            if end > len(held):
                break
            yield stream, held[at + _FRAME.size : end]
            at = end
        held = held[at:]
    if len(held) > _FRAME.size:  # a container that dies may leave part of one
        yield _FRAME.unpack_from(held)[0], held[_FRAME.size :]


def _exit_code(container: Container, made: str, command: Sequence[str]) -> int:
    """Return how a command ended whose output has ended.

    Raises:
        UnsupportedEnvironmentError: its container ended first.
    """
    code = None
    with contextlib.suppress(NotFound):  # the engine forgets the commands of an ended container
        code = _api(container).exec_inspect(made)["ExitCode"]
    if code is None:
        raise UnsupportedEnvironmentError(
            expected=f"{container.name} to run until `{' '.join(command)[:100]}` ends",
            seen="the container ended first",
            next_command=f"docker logs {container.name}",
        )
    return int(code)


KILL: Final = """
of() { sed 's/.*) //' "/proc/$1/stat" | cut -d ' ' -f 4; }
for found in $(grep -lsa "$1" /proc/[0-9]*/environ); do
    session=$(of "$(echo "$found" | cut -d / -f 3)")
    for process in /proc/[0-9]*; do
        process=${process#/proc/}
        [ "$(of "$process")" != "$session" ] || kill -KILL "$process"
    done
done 2>/dev/null
"""
"""Kills the session of each process whose environment has a mark: the engine starts a session for
each command. It runs as the command's own user, because not even root may read the environment of
another user's process without a capability that containers do not have (ptrace). It may kill such
processes though, and so kills all of a session."""


def _kill(container: Container, mark: str, user: str) -> None:
    """Kill the command with this mark, and all that it has started."""
    with contextlib.suppress(DockerException):  # the container is gone, with its processes
        container.exec_run(["sh", "-c", KILL, "sh", f"{MARK}={mark}"], user=user)


ENGINE_SECONDS: Final = 30.0
"""How long the engine itself may take to answer once the command has ended."""
_FRAME: Final = struct.Struct(">BxxxL")
"""Stream and length, ahead of each part of an output (Engine API, "Stream format")."""
_CHUNK: Final = 65_536
"""Bytes of an output that are asked for at a time."""
_OUT: Final = 1
_ERR: Final = 2


def _unreachable(address: EngineAddress, error: Exception) -> UnsupportedEnvironmentError:
    if "Permission denied" in str(error) or "PermissionError" in str(error):
        return UnsupportedEnvironmentError(
            expected=f"to be allowed to talk to the container engine at {address}",
            seen="permission denied on its socket",
            next_command='sudo usermod -aG docker "$USER" && newgrp docker',
        )
    start = "start Docker (Docker Desktop, or: sudo systemctl start docker)"
    return EngineSilentError(
        expected=f"a container engine to answer at {address}",
        seen="no answer",
        next_command=f"{address.undo}, or {start}" if address.undo else start,
    )
