"""Temporary faults as production has them: each is a context manager that heals at its end.

They use the engine (network, cgroups, signals) and libfaketime. A container that was cut off,
killed or skewed comes back with other published ports if the engine chose them.
"""

import io
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from docker.models.containers import Container

from matomo_harness import process
from matomo_harness.errors import UnsupportedEnvironmentError, WrongInputError
from matomo_harness.runtime import images
from matomo_harness.runtime.engine import NO_CGROUPS, engine, execute
from matomo_harness.runtime.inspection import inspected, networks

BALLAST: Final = ".matomo-harness-full-disk"
LARGEST_DISK: Final = 2**30
CLOCK_LIBRARY: Final = "/clock/libfaketime.so.1"
PRELOAD: Final = "/etc/ld.so.preload"
SKEW: Final = "/etc/faketimerc"
"""libfaketime reads it where no environment variable overrides it (its README, "Advanced time")."""


@contextmanager
def cut(container: Container) -> Iterator[None]:
    """Take `container` off its networks: its name is not found and open connections are dead."""
    container.reload()
    joined = networks(container)
    client = engine()
    for name in joined:
        client.networks.get(name).disconnect(container, force=True)
    try:
        yield
    finally:
        for name, endpoint in joined.items():
            names = endpoint.get("Aliases") or []
            aliases = [alias for alias in names if alias != container.short_id]
            client.networks.get(name).connect(container, aliases=aliases)


@contextmanager
def slow(container: Container, cpus: float = 0.05) -> Iterator[None]:
    """Leave `container` a fraction of a processor, like a burst instance without credits.

    Args:
        container: a running container.
        cpus: number of processors that it may use, 0.01 at least.
    """
    before = cpus_of(container)
    limit(container, cpus)
    try:
        yield
    finally:
        limit(container, before)


def cpus_of(container: Container) -> float:
    """Return the number of processors that `container` may use."""
    container.reload()
    cpus_in_billionths = inspected(container, "HostConfig", "NanoCpus") or 0
    return cpus_in_billionths / 1e9 or float(engine().info()["NCPU"])


def limit(container: Container, cpus: float) -> None:
    """Let `container` use that many processors, 0.01 at least.

    Raises:
        UnsupportedEnvironmentError: the engine cannot limit a container.
    """
    if engine().info().get("CgroupDriver") == NO_CGROUPS:
        raise UnsupportedEnvironmentError(
            expected="an engine that can limit a container's processors",
            seen="a Docker without cgroups: rootless, and on no cgroup v2",
            next_command="boot with systemd.unified_cgroup_hierarchy=1   (or use root's Docker)",
        )
    # docker-py's update has no NanoCpus, and the engine accepts nothing else once they are set.
    process.run(["docker", "update", "--cpus", f"{cpus:.2f}", str(container.id)])


@contextmanager
def kill(container: Container) -> Iterator[None]:
    """Kill all that runs in `container`, as a failing host does; start it again at the end."""
    container.kill()
    container.wait()
    try:
        yield
    finally:
        container.start()


@contextmanager
def full_disk(container: Container, path: str) -> Iterator[None]:
    """Fill the file system at `path` to its last byte; see `fill`."""
    fill(container, path)
    try:
        yield
    finally:
        empty(container, path)


def fill(container: Container, path: str) -> None:
    """Fill the file system at `path` to its last byte.

    Args:
        container: a running container.
        path: a directory in it that is in memory: any other would fill this machine's disk.

    Raises:
        WrongInputError: `path` is not a tmpfs, or is one that could fill this machine's memory.
    """
    kind, _, size = _run(container, ["stat", "-f", "-c", "%T %S*%b", path]).partition(" ")
    block, _, blocks = size.partition("*")
    if kind != "tmpfs" or int(block) * int(blocks) > LARGEST_DISK:
        raise WrongInputError(
            expected=f"{path} in {container.name} to be in memory, of 1 GiB at most",
            seen=f"{path} is not: filling it could fill this machine",
            next_command="name a small tmpfs: docker exec CONTAINER df -t tmpfs",
        )
    file = f"{path}/{BALLAST}"
    _run(container, ["dd", "if=/dev/zero", f"of={file}", "bs=1M"])
    # This takes what is left of the last megabyte.
    _run(container, ["dd", "if=/dev/zero", f"of={file}.rest", "bs=1k"])


def empty(container: Container, path: str) -> None:
    """Take away what `fill` has left at `path`."""
    file = f"{path}/{BALLAST}"
    _run(container, ["rm", "-f", file, f"{file}.rest"])


RESTART_SECONDS: Final = 1
"""How long a container may take to stop by itself: the fault is its clock, not how it ends."""


@contextmanager
def clock_skew(container: Container, seconds: int) -> Iterator[None]:
    """Make the clock of `container` wrong; the container restarts for that, and at the end.

    What it has in memory (a tmpfs) is lost both times.

    Args:
        container: a running container whose C library is like Debian's.
        seconds: how far its clock is ahead; a negative value means behind.
    """
    files = {
        CLOCK_LIBRARY: images.file_in(images.service_image("clock").reference, CLOCK_LIBRARY),
        SKEW: f"{seconds:+d}\n".encode(),
        # This must be last: from here on every program that starts loads the library.
        PRELOAD: f"{CLOCK_LIBRARY}\n".encode(),
    }
    container.put_archive("/", _tar(files))
    container.restart(timeout=RESTART_SECONDS)
    try:
        yield
    finally:
        _run(container, ["rm", "-f", PRELOAD, SKEW])
        container.restart(timeout=RESTART_SECONDS)


def _run(container: Container, command: Sequence[str]) -> str:
    done = execute(container, list(command), user="root")
    return (done.out + done.err).strip()


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
