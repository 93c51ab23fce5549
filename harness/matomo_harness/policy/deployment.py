"""image/task.toml: what a task of the deployment gets, on Fargate and here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from matomo_harness.policy import tables
from matomo_harness.settings import IMAGE_DIRECTORY

TASK_FILE: Final = IMAGE_DIRECTORY / "task.toml"
CPU: Final = 1024
"""ECS's units of one processor."""


@dataclass(frozen=True)
class Task:
    """The limits of one task.

    Args:
        cpu_units: 1024 are one processor.
        memory_mib: beyond it the kernel kills; there is no swap on Fargate.
        stop_seconds: between the stop signal and SIGKILL; at most 120 on Fargate.
    """

    cpu_units: int
    memory_mib: int
    stop_seconds: int

    @property
    def cpus(self) -> float:
        """Processors, as the engine counts them."""
        return self.cpu_units / CPU

    @property
    def limits(self) -> dict[str, Any]:
        """The limits as options of the engine's create call (docker-py)."""
        memory = self.memory_mib * 2**20
        nano_cpus = int(self.cpu_units / CPU * 1e9)
        return {"nano_cpus": nano_cpus, "mem_limit": memory, "memswap_limit": memory}


@dataclass(frozen=True)
class Tasks:
    """The tasks of the deployment.

    Args:
        web: serves people and the tracker.
        archiver: runs hourly and ends.
    """

    web: Task
    archiver: Task


def read(path: Path = TASK_FILE) -> Tasks:
    """Read `path`.

    Raises:
        WrongInputError: not TOML, a key that is unknown or missing, or a number that cannot be.
    """
    tasks = tables.read(path, Tasks)
    for task in (tasks.web, tasks.archiver):
        if min(task.cpu_units, task.memory_mib) < 1 or not 1 <= task.stop_seconds <= 120:
            raise tables.mistake(path, "limits above 0, and stop_seconds up to 120", str(task))
    return tasks
