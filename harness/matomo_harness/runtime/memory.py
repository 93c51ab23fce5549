"""A container's memory as the kernel counts it: its peak, and the processes killed at its limit."""

from docker.errors import APIError
from docker.models.containers import Container

from matomo_harness.errors import UnsupportedEnvironmentError
from matomo_harness.runtime.engine import execute
from matomo_harness.runtime.inspection import inspected

_PEAK = ("/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes")
_KILLS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
"""Files of cgroup v2 (kernel 5.19 and later) and of v1, as the container itself sees them."""


def peak_mib(container: Container) -> int:
    """Return the most that `container` has used, in MiB; page cache and tmpfs count as well."""
    return int(_first(container, _PEAK)) // 2**20


def out_of_memory_kills(container: Container) -> int:
    """Return how many of its processes the kernel killed at its limit; 1 if that ended it."""
    container.reload()
    if container.status == "running":
        try:
            lines = dict(line.split() for line in _first(container, _KILLS).splitlines())
            return int(lines["oom_kill"])
        except APIError:  # 409 or 500, by when it ended
            container.reload()
            if container.status == "running":
                raise
    return int(inspected(container, "State", "OOMKilled") or 0)


def _first(container: Container, paths: tuple[str, ...]) -> str:
    script = " || ".join(f"cat {path} 2>/dev/null" for path in paths)
    done = execute(container, ["sh", "-c", script])
    if done.code != 0:
        raise UnsupportedEnvironmentError(
            expected=f"the kernel to report the memory of {container.name}",
            seen=f"none of {', '.join(paths)}",
            next_command="docker stats",
        )
    return done.out
