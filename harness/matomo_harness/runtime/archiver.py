"""The scheduled task: a second, short-lived container that archives and ends.

It starts as EventBridge starts it: with the image, environment and mounts of the web container, and
nothing else in common.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from docker.models.containers import Container
from requests.exceptions import ConnectionError as NoAnswerError
from requests.exceptions import ReadTimeout

from matomo_harness.errors import BrokenPromiseError, UnsupportedEnvironmentError
from matomo_harness.matomo.image import ImageProfile
from matomo_harness.policy import deployment
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.inspection import inspected, networks
from matomo_harness.time_limit import require_time_left, seconds_left

START_MATOMO: Final = "/golden/start-matomo"
"""The program of a golden image that unpacks the installed state (golden_image/)."""

AS_USER: Final = """exec su -s /bin/sh -c 'exec "$@"' -- "$0" sh "$@\""""
"""Runs a command as another user, in Debian and in Busybox."""


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


@dataclass(frozen=True)
class Job:
    """A task that runs beside the web container and ends.

    Args:
        command: program and arguments.
        limits: options of the engine's create call.
        entrypoint: what starts it, in the place of the image's entrypoint; None to keep that.
    """

    command: tuple[str, ...]
    limits: Mapping[str, Any] = field(default_factory=dict)
    entrypoint: tuple[str, ...] | None = None


def jobs(profile: ImageProfile, limits: Mapping[str, Any]) -> list[Job]:
    """Return what the schedule starts for an image: the archiver, and the tasks where apart.

    Args:
        profile: what the image is.
        limits: of each, as options of the engine's create call.
    """
    # Where the entrypoint alone starts the web server, it would start one here as well.
    entrypoint = (START_MATOMO,) if profile.starts_by_entrypoint else None
    command = profile.archiver
    if not profile.has_archiver and not profile.user:
        # Matomo's console does not change its user: what root writes, the web server could not
        # change. The image's start before it may need root.
        command = ("sh", "-c", AS_USER, profile.web_user, *command)
    found = [Job(command, limits, entrypoint)]
    if profile.tasks:
        found.append(Job(profile.tasks, limits, entrypoint))
    return found


def reference_job() -> Job:
    """Return the job that archives for the reference image."""
    archiver = deployment.read().archiver
    return Job(archiver.command, archiver.limits)


@contextmanager
def started(
    web: Container,
    labels: Mapping[str, str],
    *options: str,
    name: str | None = None,
    job: Job | None = None,
) -> Iterator[Container]:
    """Start an archiver beside `web`, and remove it at the end.

    Args:
        web: the running web container, whose image, environment and mounts the archiver gets.
        labels: labels of the new container.
        options: options of core:archive.
        name: name of the new container; where None, the engine makes one up.
        job: what it runs; the reference image's archiver where None.
    """
    container = start(web, labels, *options, name=name, job=job)
    try:
        yield container
    finally:
        container.remove(force=True, v=True)


def start(
    web: Container,
    labels: Mapping[str, str],
    *options: str,
    name: str | None = None,
    job: Job | None = None,
) -> Container:
    """Start an archiver as `started` does, and leave it to the caller.

    Raises:
        UnsupportedEnvironmentError: `web` is in no network.
    """
    job = job or reference_job()
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
        [*job.command, *options],
        name=name,
        entrypoint=list(job.entrypoint) if job.entrypoint else None,
        environment=inspected(web, "Config", "Env") or [],
        volumes=host.get("Binds") or [],
        mounts=host.get("Mounts") or [],
        tmpfs=host.get("Tmpfs") or {},
        network=joined[0],
        # By what a network that leads nowhere is closed for names as well (restored.yml).
        dns=host.get("Dns") or None,
        dns_opt=host.get("DnsOptions") or None,
        dns_search=host.get("DnsSearch") or None,
        extra_hosts=host.get("ExtraHosts") or None,
        labels=dict(labels),
        # Nothing checks the health of a task that is not behind the load balancer.
        healthcheck={"test": ["NONE"]},
        **job.limits,
    )
    container.start()
    return container


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


def archive(
    web: Container, labels: Mapping[str, str], *options: str, job: Job | None = None
) -> ArchiverResult:
    """Run an archiver beside `web` to its end, with the arguments of `started`."""
    with started(web, labels, *options, job=job) as container:
        return ended(container, task_seconds())


def task_seconds() -> float:
    """Return how long an archiver may take: until the schedule starts the next one."""
    return 3600.0
