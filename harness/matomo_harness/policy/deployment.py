"""image/task.toml: what a task of the deployment gets, on Fargate and here."""

from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from matomo_harness.policy import files
from matomo_harness.settings import IMAGE_DIRECTORY

TASK_FILE: Final = IMAGE_DIRECTORY / "task.toml"
CPU: Final = 1024
"""ECS's units of one processor."""


class Task(BaseModel):
    """The limits of one task.

    Args:
        cpu_units: 1024 are one processor.
        memory_mib: beyond it the kernel kills; there is no swap on Fargate.
        stop_seconds: between the stop signal and SIGKILL; at most 120 on Fargate.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    cpu_units: int = Field(ge=1)
    memory_mib: int = Field(ge=1)
    stop_seconds: int = Field(ge=1, le=120)

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


class Tasks(BaseModel):
    """The tasks of the deployment.

    Args:
        web: serves people and the tracker.
        archiver: runs hourly and ends.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    web: Task
    archiver: Task


def read(path: Path = TASK_FILE) -> Tasks:
    """Read `path`.

    Raises:
        WrongInputError: not TOML, a key that is unknown or missing, or a number that cannot be.
    """
    document, _ = files.document(path)
    try:
        return Tasks.model_validate(document)
    except ValidationError as error:
        seen = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg'].lower()}" for one in error.errors()
        )
        raise files.mistake(path, "the limits of [web] and [archiver]", seen) from error
