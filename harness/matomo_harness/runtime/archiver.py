"""The scheduled task: a second, short-lived container that archives and ends.

It starts as EventBridge starts it: with the image, environment and mounts of the web container, and
nothing else in common.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from docker.models.containers import Container
from requests.exceptions import ConnectionError as NoAnswerError
from requests.exceptions import ReadTimeout

from matomo_harness.errors import BrokenPromiseError, UnsupportedEnvironmentError
from matomo_harness.policy import deployment
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.inspection import inspected, networks
from matomo_harness.time_limit import require_time_left, seconds_left


@dataclass(frozen=True)
class ArchiverResult:
    """How a run of the archiver ended.

    Args:
        exit_code: 0 if everything is archived.
        log: output on both streams.
        seconds: from its start to its end.
    """

    exit_code: int
    log: str
    seconds: float


@contextmanager
def started(
    web: Container, labels: Mapping[str, str], *options: str, name: str | None = None
) -> Iterator[Container]:
    """Start an archiver beside `web`, and remove it at the end.

    Args:
        web: the running web container, whose image, environment and mounts the archiver gets.
        labels: labels of the new container.
        options: options of core:archive.
        name: name of the new container; where None, the engine makes one up.
    """
    container = start(web, labels, *options, name=name)
    try:
        yield container
    finally:
        container.remove(force=True, v=True)


def start(
    web: Container, labels: Mapping[str, str], *options: str, name: str | None = None
) -> Container:
    """Start an archiver as `started` does, and leave it to the caller.

    Raises:
        UnsupportedEnvironmentError: `web` is in no network.
    """
    web.reload()
    host = inspected(web, "HostConfig") or {}
    joined = list(networks(web))
    if not joined:
        raise UnsupportedEnvironmentError(
            expected=f"{web.name} to be in a network, for the archiver to join",
            seen="none",
            next_command="make down, then make up",
        )
    container = engine().containers.create(
        inspected(web, "Image"),
        [*command(), *options],
        name=name,
        environment=inspected(web, "Config", "Env") or [],
        volumes=host.get("Binds") or [],
        mounts=host.get("Mounts") or [],
        tmpfs=host.get("Tmpfs") or {},
        network=joined[0],
        labels=dict(labels),
        # Nothing checks the health of a task that is not behind the load balancer.
        healthcheck={"test": ["NONE"]},
        **deployment.read().archiver.limits,
    )
    container.start()
    return container


def command() -> tuple[str, ...]:
    """Return the image's archive command: core:archive as the web server's user."""
    return deployment.read().archiver.command


def ended(container: Container, seconds: float) -> ArchiverResult:
    """Wait for the end of an archiver.

    Args:
        container: a started archiver.
        seconds: how long to wait at most.

    Raises:
        BrokenPromiseError: it is still running.
    """
    start_time = time.monotonic()
    seconds = seconds_left(seconds)
    try:
        code = int(container.wait(timeout=seconds)["StatusCode"])
    except (NoAnswerError, ReadTimeout) as error:
        require_time_left()
        raise BrokenPromiseError(
            expected=f"the archiver {container.name} to end within {seconds:.0f} s",
            seen="it is still running",
            next_command=f"docker logs {container.name}",
        ) from error
    log = container.logs().decode(errors="replace")
    return ArchiverResult(code, log, time.monotonic() - start_time)


def archive(web: Container, labels: Mapping[str, str], *options: str) -> ArchiverResult:
    """Run an archiver beside `web` to its end, with the arguments of `started`."""
    with started(web, labels, *options) as container:
        return ended(container, task_seconds())


def task_seconds() -> float:
    """Return how long an archiver may take: until the schedule starts the next one."""
    return 3600.0
