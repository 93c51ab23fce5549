"""What runs a stage: a service of ECS, or a command of the institution's own."""

import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from matomo_harness import process
from matomo_harness.errors import BrokenPromiseError, UnsupportedEnvironmentError, WrongInputError
from matomo_harness.operate.delivery.aws import Account, asking
from matomo_harness.operate.delivery.registry import DIGEST, short
from matomo_harness.operate.delivery.stages import OpenStage
from matomo_harness.policy.delivery import Stage
from matomo_harness.progress import ProgressStep, step

MINUTES: Final = 20
"""How long a deployment may take: ECS itself waits for the load balancer's health checks."""
POLL_SECONDS: Final = 2.0
REGISTERED: Final = (
    *("family", "taskRoleArn", "executionRoleArn", "networkMode", "containerDefinitions"),
    *("volumes", "placementConstraints", "requiresCompatibilities", "cpu", "memory", "pidMode"),
    *("ipcMode", "proxyConfiguration", "inferenceAccelerators", "ephemeralStorage"),
    *("runtimePlatform", "enableFaultInjection"),
)
"""What a task definition is registered with; describing it says more."""


class Service(Protocol):
    """What runs the image of a stage."""

    @property
    def name(self) -> str:
        """How people call it."""
        ...

    def running(self) -> list[str]:
        """Return the digests of all that run."""
        ...

    def wanted(self) -> str:
        """Return the digest that it was last asked to run; empty where that is not known."""
        ...

    def jobs(self) -> dict[str, str]:
        """Return the digest that each job runs next, by its name; empty where it names a tag."""
        ...

    def deploy(self, image: str) -> None:
        """Have it run `image`, a reference by digest, anew; return when it does."""
        ...


def service_of(stage: OpenStage) -> Service:
    """Return what runs a stage.

    Raises:
        WrongInputError: delivery.toml does not say.
    """
    if stage.stage.cluster and stage.account:
        return EcsService(stage.account, stage.stage)
    if stage.stage.redeploy:
        return CommandService(stage.stage)
    raise WrongInputError(
        expected=f"[{stage.name}] to say what runs it: cluster and service, or two commands",
        seen="neither",
        next_command=f"edit {stage.delivery.path}",
    )


# -- ECS ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EcsService:
    """A service of ECS, whose tasks are replaced one after the other.

    Args:
        account: that it is in.
        stage: with cluster, service, container and jobs.
    """

    account: Account
    stage: Stage

    @property
    def name(self) -> str:
        """Cluster and service."""
        return f"{self.stage.cluster}/{self.stage.service}"

    def running(self) -> list[str]:
        """Return the digests of the tasks that run."""
        tasks = [task for task in self._tasks() if task["lastStatus"] == "RUNNING"]
        return sorted(
            {
                str(container["imageDigest"])
                for task in tasks
                for container in task["containers"]
                if container["name"] == self.stage.container and container.get("imageDigest")
            }
        )

    def wanted(self) -> str:
        """Return the digest in the newest of its task definitions: its tasks may fail to run it.

        Where they did, ECS's circuit breaker went back: the service names the one before again.
        """
        family = _family(str(self._own_service()["taskDefinition"]))
        images = [image for one, image in self._images(family) if one == self.stage.container]
        return "".join(DIGEST.findall(images[0])) if images else ""

    def jobs(self) -> dict[str, str]:
        """Return the digest in the newest task definition of each job, which a schedule takes."""
        found = {}
        for job in self.stage.jobs:
            images = [
                image
                for name, image in self._images(job)
                if name == self.stage.container or _repository(image) == self.stage.name
            ]
            found[job] = "".join(DIGEST.findall(images[0])) if images else ""
        return found

    def _images(self, definition: str) -> list[tuple[str, str]]:
        """Return name and image of each container of a task definition."""
        with asking("ecs:DescribeTaskDefinition", definition):
            answer = self._client.describe_task_definition(taskDefinition=definition)
        containers = answer["taskDefinition"]["containerDefinitions"]
        return [(str(one["name"]), str(one["image"])) for one in containers]

    def deploy(self, image: str) -> None:
        """Have the service, and its jobs, run `image`; wait until no other task runs.

        Raises:
            WrongInputError: there is no such service, container or job, or something else than ECS
                deploys it.
            BrokenPromiseError: the new tasks do not stay, and ECS went back.
            UnsupportedEnvironmentError: it takes too long.
        """
        name = str(self._own_service()["taskDefinition"])
        # The newest one always says what was asked for last (see `wanted`).
        is_newest = self._name_of(name) == self._name_of(_family(name))
        revision = self._revision(name, image, anew=not is_newest)
        for known in self.stage.jobs:
            self._revision(known, image)  # what is missing is said before anything is changed
        definition = self._registered(revision)
        # Anew: a job may be of the family that has just got a revision.
        jobs = [self._revision(job, image) for job in self.stage.jobs]
        with asking("ecs:UpdateService", self.name):
            answer = self._client.update_service(
                cluster=self.stage.cluster,
                service=self.stage.service,
                taskDefinition=definition,
                forceNewDeployment=True,
            )
        deployment = _primary(answer["service"])
        digest = image.rpartition("@")[2]
        with step(f"Deploying {short(digest)} to {self.name}") as running:
            self._wait(str(deployment["id"]), digest, running)
        # Not before: the schedule takes a job's newest, and the image may not stay.
        for job in jobs:
            self._registered(job)

    @property
    def _client(self) -> Any:
        return self.account.client("ecs")

    def _service(self) -> dict[str, Any]:
        with asking("ecs:DescribeServices", self.name):
            answer = self._client.describe_services(
                cluster=self.stage.cluster, services=[self.stage.service]
            )
        found = [service for service in answer["services"] if service["status"] == "ACTIVE"]
        if not found:
            raise WrongInputError(
                expected=f"the service {self.name} in {self.stage.account}, {self.stage.region}",
                seen="no active service of this name",
                next_command=f"aws ecs list-services --cluster {self.stage.cluster}",
            )
        return dict(found[0])

    def _own_service(self) -> dict[str, Any]:
        """Return the service, which ECS itself deploys: it takes no task definition otherwise."""
        service = self._service()
        controller = (service.get("deploymentController") or {}).get("type", "ECS")
        if controller != "ECS":
            raise WrongInputError(
                expected=f"the service {self.name} to be deployed by ECS",
                seen=f"its deployment controller is {controller}",
                next_command="say in delivery.toml, by `redeploy` and `running` in place of cluster"
                " and service, what deploys it",
            )
        return service

    def _tasks(self) -> list[dict[str, Any]]:
        self._service()  # says by name what is missing
        with asking("ecs:ListTasks", self.name):
            pages = self._client.get_paginator("list_tasks").paginate(
                cluster=self.stage.cluster, serviceName=self.stage.service
            )
            names = [name for page in pages for name in page["taskArns"]]
        tasks: list[dict[str, Any]] = []
        for start in range(0, len(names), 100):  # as many as one call may name
            with asking("ecs:DescribeTasks", self.name):
                answer = self._client.describe_tasks(
                    cluster=self.stage.cluster, tasks=names[start : start + 100]
                )
            tasks += answer["tasks"]
        return tasks

    def _name_of(self, definition: str) -> str:
        """Return the whole name of a task definition, of the newest one of a family."""
        with asking("ecs:DescribeTaskDefinition", definition):
            answer = self._client.describe_task_definition(taskDefinition=definition)
        return str(answer["taskDefinition"]["taskDefinitionArn"])

    def _revision(self, name: str, image: str, *, anew: bool = False) -> dict[str, Any]:
        """Return the task definition `name` as it is where it runs `image`, or what would.

        Args:
            name: of the task definition, or of its family.
            image: by digest.
            anew: whether it is to be registered even where it runs the image already.
        """
        with asking("ecs:DescribeTaskDefinition", name):
            answer = self._client.describe_task_definition(taskDefinition=name, include=["TAGS"])
        before = answer["taskDefinition"]
        repository = image.partition("@")[0]
        definitions = [
            {**container, "image": image}
            if container["name"] == self.stage.container
            or _repository(container["image"]) == repository
            else container
            for container in before["containerDefinitions"]
        ]
        if not any(container["image"] == image for container in definitions):
            raise WrongInputError(
                expected=f"the task definition {name} to have a container {self.stage.container}",
                seen=", ".join(container["name"] for container in definitions),
                next_command="name it as `container` of the stage in delivery.toml",
            )
        if definitions == before["containerDefinitions"] and not anew:
            return dict(before)
        known = {key: before[key] for key in REGISTERED if before.get(key) is not None}
        known["containerDefinitions"] = definitions
        if tags := answer.get("tags"):
            known["tags"] = tags
        return known

    def _registered(self, revision: dict[str, Any]) -> str:
        """Return the name of a task definition, which is registered unless it is already."""
        if name := revision.get("taskDefinitionArn"):
            return str(name)
        with asking("ecs:RegisterTaskDefinition", revision["family"]):
            made = self._client.register_task_definition(**revision)
        return str(made["taskDefinition"]["taskDefinitionArn"])

    def _wait(self, deployment: str, digest: str, running: ProgressStep) -> None:
        """Wait until the deployment is complete, and nothing else runs."""
        end = time.monotonic() + MINUTES * 60
        while True:
            service = self._service()
            state = next((one for one in service["deployments"] if one["id"] == deployment), None)
            if state is None or state.get("rolloutState") == "FAILED":
                reason = state.get("rolloutStateReason", "") if state else "another took its place"
                if state:
                    self._wait_for_the_way_back(deployment, end)
                raise BrokenPromiseError(
                    expected=f"the new tasks of {self.name} to stay",
                    seen=f"the deployment failed: {reason}; {self._what_runs()} runs",
                    next_command=f"aws ecs describe-services --cluster {self.stage.cluster}"
                    f" --services {self.stage.service}",
                )
            running.say(
                f"{state.get('runningCount', 0)} of {state.get('desiredCount', 0)} new tasks run"
            )
            # One that is scaled to nothing runs nothing, and its jobs get the image all the same.
            expected = [digest] if service["desiredCount"] else []
            if state.get("rolloutState") == "COMPLETED" and self.running() == expected:
                return
            if time.monotonic() > end:
                raise UnsupportedEnvironmentError(
                    expected=f"{self.name} to run {short(digest)} within {MINUTES} minutes",
                    seen=f"{_said_last(service, state)}; {self._what_runs()} runs",
                    next_command=f"aws ecs wait services-stable --cluster {self.stage.cluster}"
                    f" --services {self.stage.service}; then the same command again, which gives"
                    " its jobs the image",
                )
            time.sleep(POLL_SECONDS)

    def _wait_for_the_way_back(self, deployment: str, end: float) -> None:
        """Wait for what ECS's circuit breaker deploys in place of a deployment that failed."""
        while time.monotonic() < end:
            now = _primary(self._service())
            if now["id"] == deployment or now.get("rolloutState") != "IN_PROGRESS":
                return
            time.sleep(POLL_SECONDS)

    def _what_runs(self) -> str:
        return ", ".join(map(short, self.running())) or "nothing"


def _said_last(service: dict[str, Any], deployment: dict[str, Any]) -> str:
    """Return what ECS said last while it deployed: why it places no task, say."""
    begun = deployment.get("createdAt")
    # The newest comes first.
    for event in service.get("events") or ():
        if begun is None or event["createdAt"] >= begun:
            return str(event["message"])
    return str(deployment.get("rolloutStateReason", "")) or "its deployment goes on"


def _family(definition: str) -> str:
    """Return the family of a task definition: without revision, and without what is before it."""
    return definition.rpartition("/")[2].partition(":")[0]


def _primary(service: dict[str, Any]) -> dict[str, Any]:
    found = [one for one in service["deployments"] if one["status"] == "PRIMARY"]
    return dict(found[0])


def _repository(image: str) -> str:
    """Return an image's reference without tag and digest."""
    return re.sub(r":[\w.-]+$", "", image.partition("@")[0])


# -- another target -------------------------------------------------------------------------------


@dataclass(frozen=True)
class CommandService:
    """What runs a stage, by the institution's own commands.

    Args:
        stage: with `redeploy` and `running`.
    """

    stage: Stage

    @property
    def name(self) -> str:
        """The program that it is deployed by."""
        return self.stage.redeploy[0]

    def running(self) -> list[str]:
        """Return the digests that the command prints."""
        try:
            said = subprocess.run(
                self.stage.running, stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
        except OSError as error:
            raise _cannot(self.stage.running, str(error)) from error
        text = said.stdout.decode(errors="replace")
        if said.returncode != 0:
            lines = (text + said.stderr.decode(errors="replace")).strip().splitlines()
            raise _cannot(self.stage.running, f"exit {said.returncode}: {' | '.join(lines[-3:])}")
        return sorted(set(DIGEST.findall(text)))

    def wanted(self) -> str:
        """Return nothing: only the command knows."""
        return ""

    def jobs(self) -> dict[str, str]:
        """Return none: the command's digests are those of all that runs."""
        return {}

    def deploy(self, image: str) -> None:
        """Run the command with `image`, and see that it runs."""
        command = [word.replace("{image}", image) for word in self.stage.redeploy]
        with step(f"Deploying {image} by {self.name}") as running:
            process.run(command, running)
        digest = image.rpartition("@")[2]
        if (seen := self.running()) != [digest]:
            raise BrokenPromiseError(
                expected=f"{short(digest)} to run, as `{' '.join(command)}` ended well",
                seen=", ".join(map(short, seen)) or "nothing",
                next_command=" ".join(self.stage.running),
            )


def _cannot(command: Sequence[str], seen: str) -> UnsupportedEnvironmentError:
    return UnsupportedEnvironmentError(
        expected=f"`{' '.join(command)}` to print the digest that runs",
        seen=seen,
        next_command=" ".join(command),
    )
