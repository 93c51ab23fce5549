"""deployment.toml says what an image needs from whoever runs it, on Fargate and here."""

import hashlib
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

    cpu_units: int = Field(default=1024, ge=1)
    memory_mib: int = Field(default=2048, ge=1)
    stop_seconds: int = Field(default=30, ge=1, le=120)

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


Command = Annotated[tuple[str, ...], Field(strict=False)]
"""A program and its arguments."""


class WebTask(TaskLimits):
    """The task that serves people and the tracker.

    Args:
        port: where its web server listens; found by looking where None.
        variables: what it needs in its environment, besides what the harness finds in its
            config.ini.php. `${NAME}` in a value stands for a variable of the reference image, such
            as MATOMO_DATABASE_HOST.
    """

    port: int | None = Field(default=None, ge=1, le=65535)
    variables: dict[str, str] = Field(default_factory=dict)


class ArchiverTask(TaskLimits):
    """The scheduled task, which runs and ends.

    Args:
        command: the command of the image that archives; empty where it is to be found by looking.
    """

    command: Command = ()


class TasksTask(BaseModel):
    """The job that runs Matomo's scheduled tasks, where the archiver leaves them out.

    Args:
        command: the command of the image that runs them; empty where the archiver does.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    command: Command = ()


class QueueTask(BaseModel):
    """The job that stores the hits that a plugin has put into a queue.

    Args:
        command: the command of the image that runs the queue once, until it is empty; empty where
            hits are stored as they come, or the queue is QueuedTracking's, whose command is known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    command: Command = ()


class DeploymentFile(BaseModel):
    """The tasks of a deployment.

    Args:
        web: serves people and the tracker.
        archiver: runs hourly and ends.
        tasks: runs after the archiver.
        queue: runs after hits have come, where they wait in a queue.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    web: WebTask = WebTask()
    archiver: ArchiverTask = ArchiverTask()
    tasks: TasksTask = TasksTask()
    queue: QueueTask = QueueTask()

    @property
    def digest(self) -> str:
        """A short hash of what it says of the image; the limits of its tasks are left out."""
        limits = set(TaskLimits.model_fields)
        said = self.model_dump_json(exclude={"web": limits, "archiver": limits})
        return hashlib.sha256(said.encode()).hexdigest()[:12]

    @property
    def variables_of_the_image(self) -> dict[str, str]:
        """The variables that the image needs besides."""
        return self.web.variables

    @property
    def variables(self) -> dict[str, str]:
        """The variables that compose.yml takes from it."""
        return {
            "WEB_PORT": str(self.web.port or 80),
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


def beside(policy: Path) -> Path | None:
    """Return the deployment.toml beside a policy file; None where there is none."""
    path = policy.with_name(DEPLOYMENT_FILE.name)
    return path if path.exists() else None


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
