"""deployment.toml says what an image needs from whoever runs it, on Fargate and here."""

import shlex
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from matomo_harness.policy import files
from matomo_harness.settings import IMAGE_DIRECTORY

DEPLOYMENT_FILE: Final = IMAGE_DIRECTORY / "deployment.toml"
CPU: Final = 1024
"""ECS's units of one processor."""


class TaskLimits(BaseModel):
    """The limits of one task.

    Args:
        cpu_units: 1024 are one processor.
        memory_mib: beyond it the kernel kills the task; there is no swap on Fargate.
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


class WebTask(TaskLimits):
    """The task that serves people and the tracker.

    Args:
        port: where its web server listens.
    """

    port: int = Field(ge=1, le=65535)


class ArchiverTask(TaskLimits):
    """The scheduled task, which runs and ends.

    Args:
        command: the command of the image that archives.
    """

    command: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]


class DeploymentFile(BaseModel):
    """The tasks of a deployment.

    Args:
        web: serves people and the tracker.
        archiver: runs hourly and ends.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    web: WebTask
    archiver: ArchiverTask

    @property
    def variables(self) -> dict[str, str]:
        """The variables that compose.yml takes from it."""
        return {
            "WEB_PORT": str(self.web.port),
            **_limits("WEB", self.web),
            "ARCHIVER_COMMAND": shlex.join(self.archiver.command),
            **_limits("ARCHIVER", self.archiver),
        }


def _limits(prefix: str, task: TaskLimits) -> dict[str, str]:
    return {
        f"{prefix}_MEMORY": f"{task.memory_mib}m",
        f"{prefix}_CPUS": str(task.cpus),
        f"{prefix}_STOP": f"{task.stop_seconds}s",
    }


def read(path: Path = DEPLOYMENT_FILE) -> DeploymentFile:
    """Read `path`.

    Raises:
        WrongInputError: the file is not TOML, a key is unknown or missing, or a number is invalid.
    """
    if (former := path.with_name("task.toml")).exists():
        raise files.mistake(former, "no file any more: deployment.toml has its keys", str(former))
    document, _ = files.document(path)
    try:
        return DeploymentFile.model_validate(document)
    except ValidationError as error:
        raise files.mistake(
            path, "port, command and limits of [web] and [archiver]", files.mistakes_in(error)
        ) from error
