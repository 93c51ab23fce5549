"""AWS's API by moto's server: ECR, ECS and STS. Images and tasks are those that others report."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self

import boto3
import requests
from moto.ec2.models import ec2_backends
from moto.ecr.models import ecr_backends
from moto.ecs.models import EC2ContainerServiceBackend, Task, ecs_backends
from moto.moto_api import state_manager
from moto.server import ThreadedMotoServer

from matomo_harness.operate.delivery.aws import Keeping, PushedImage

REGION: Final = "eu-central-1"
FAMILY: Final = "matomo"


class Aws:
    """AWS's API at 127.0.0.1, while the context is entered."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._clients: dict[tuple[str, str], Any] = {}

    def __enter__(self) -> Self:
        self._server.start()
        self._as_moto = EC2ContainerServiceBackend.update_service
        EC2ContainerServiceBackend.update_service = _begin_anew(self._as_moto)  # type: ignore[method-assign]
        self.reset()
        return self

    def __exit__(self, *_: object) -> None:
        EC2ContainerServiceBackend.update_service = self._as_moto  # type: ignore[method-assign]
        self._server.stop()

    @property
    def url(self) -> str:
        """The address, for AWS_ENDPOINT_URL."""
        host, port = self._server.get_host_and_port()
        return f"http://{host}:{port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead boto3 here."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIATHISISAREHEARSAL",
            "AWS_SECRET_ACCESS_KEY": "of-nobody",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nowhere",
            "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
        }

    def reset(self) -> None:
        """Forget everything."""
        self._clients.clear()
        requests.post(f"{self.url}/moto-api/reset", timeout=10).raise_for_status()
        # A task would go through another state at each look; here it runs until it is replaced.
        state_manager.set_transition("ecs::task", {"progression": "manual", "times": 10**9})

    def client(self, service: str, account: str) -> Any:
        """Return a client that acts as somebody of `account`."""
        if (service, account) in self._clients:
            return self._clients[service, account]
        keys = {"aws_access_key_id": "AKIA", "aws_secret_access_key": "of-nobody"}
        options = {"endpoint_url": self.url, "region_name": REGION}
        sts = boto3.client("sts", **keys, **options)
        role = f"arn:aws:iam::{account}:role/delivery"
        given = sts.assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
        self._clients[service, account] = boto3.client(
            service,
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
            **options,
        )
        return self._clients[service, account]

    # -- ECR --------------------------------------------------------------------------------------

    def make_repository(self, account: str, name: str, *, immutable: bool, keep: int = 0) -> None:
        """Make a repository; with `keep`, so many images stay in it."""
        client = self.client("ecr", account)
        mutability = "IMMUTABLE" if immutable else "MUTABLE"
        client.create_repository(repositoryName=name, imageTagMutability=mutability)
        if keep:
            selection = {"tagStatus": "any", "countType": "imageCountMoreThan"}
            rule = {"rulePriority": 1, "selection": {**selection, "countNumber": keep}}
            policy = json.dumps({"rules": [{**rule, "action": {"type": "expire"}}]})
            client.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=policy)

    def repository(self, account: str, name: str) -> Any:
        """Return moto's model of a repository; None where there is none."""
        return ecr_backends[account][REGION].repositories.get(name)

    def list_image(
        self, account: str, name: str, manifest: str, tag: str | None, digest: str
    ) -> None:
        """List what a registry has got."""
        images = self.repository(account, name).images
        known = next((image for image in images if image.image_digest == digest), None)
        for image in images:
            if image is not known and tag in image.image_tags:  # it moves
                image.image_tags.remove(tag)
        if known is None:
            backend = ecr_backends[account][REGION]
            known = backend.put_image(name, manifest, tag, None, digest)  # type: ignore[arg-type]
            # moto's clock has whole seconds; two images of one second would have no order.
            times = [image.image_pushed_at for image in images if image is not known]
            known.image_pushed_at = max([int(time.time()), *(moment + 1 for moment in times)])
        elif tag and tag not in known.image_tags:
            known.image_tags.append(tag)

    def expired(self, account: str, name: str) -> list[str]:
        """Return the digests that the lifecycle rules keep no more."""
        client = self.client("ecr", account)
        text = client.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"]
        (rule,) = json.loads(text)["rules"]
        keeping = Keeping(rule["selection"]["countNumber"])
        images = [
            PushedImage(image.image_digest, tuple(image.image_tags), image.image_pushed_at)
            for image in self.repository(account, name).images
        ]
        youngest = sorted(images, key=lambda image: image.pushed, reverse=True)
        return [image.digest for image in youngest[keeping.count :]]

    # -- ECS --------------------------------------------------------------------------------------

    def make_service(self, account: str, cluster: str, image: str, jobs: tuple[str, ...]) -> None:
        """Make a service that runs `image`, and the task definitions of its jobs."""
        client = self.client("ecs", account)
        client.create_cluster(clusterName=cluster)
        for family in (f"{cluster}-{FAMILY}", *jobs):
            client.register_task_definition(
                family=family,
                requiresCompatibilities=["FARGATE"],
                cpu="1024",
                memory="2048",
                containerDefinitions=[
                    {"name": "matomo", "image": image, "essential": True},
                    {"name": "metrics", "image": "metrics:1", "essential": False},
                ],
            )
        client.create_service(
            cluster=cluster,
            serviceName="matomo",
            taskDefinition=f"{cluster}-{FAMILY}",
            desiredCount=1,
        )

    def image_of(self, account: str, family: str) -> str:
        """Return the image that the newest revision of a task definition names."""
        answer = self.client("ecs", account).describe_task_definition(taskDefinition=family)
        return str(answer["taskDefinition"]["containerDefinitions"][0]["image"])

    def tasks(self, account: str, cluster: str) -> "Tasks":
        """Return the tasks of a service, for what takes ECS's place."""
        return Tasks(account, cluster)


def _begin_anew(update: Callable[..., Any]) -> Callable[..., Any]:
    """Return ECS's update of a service: moto leaves the state of the deployment before."""

    def updated(backend: Any, properties: dict[str, Any]) -> Any:
        service = update(backend, properties)
        service.deployments[0].update(rolloutState="IN_PROGRESS", runningCount=0)
        return service

    return updated


@dataclass
class Tasks:
    """The tasks of a service in moto, which starts none by itself.

    Args:
        account: of the service.
        cluster: of the service.
    """

    account: str
    cluster: str
    deployed: str = ""
    stays: str = ""

    def reconcile(self, run: Callable[[str], str]) -> None:
        """Do what ECS does once a service was updated: start the new task, then stop the old one.

        Args:
            run: has an image run, and returns its digest; raises where that does not stay.
        """
        backend = ecs_backends[self.account][REGION]
        service = backend.services[f"{self.cluster}:matomo"]
        deployment: dict[str, Any] = service.deployments[0]
        if deployment["id"] == self.deployed:
            return
        self.deployed = deployment["id"]
        deployment.update(rolloutState="IN_PROGRESS", runningCount=0, desiredCount=1)
        definition = backend.describe_task_definition(str(service.task_definition))
        image = str(definition.container_definitions[0]["image"])
        try:
            digest = run(image)
        except Exception as error:  # noqa: BLE001  whatever it is, ECS's circuit breaker goes back
            reason = f"tasks failed to start: {error}"
            deployment.update(rolloutState="FAILED", rolloutStateReason=reason)
            service.task_definition = self.stays
            return
        self.stays = str(service.task_definition)
        self._replace(definition, digest)
        deployment.update(rolloutState="COMPLETED", runningCount=1)
        service.running_count = 1

    def _replace(self, definition: Any, digest: str) -> None:
        backend = ecs_backends[self.account][REGION]
        subnets = ec2_backends[self.account][REGION].describe_subnets()
        network = {"subnets": [subnets[0].id], "securityGroups": []}
        task = Task(
            backend.clusters[self.cluster],
            definition,
            None,
            {},
            backend,
            group="service:matomo",
            started_by=self.deployed,
            networking_configuration={"awsvpcConfiguration": network},
        )
        task.containers[0].image_digest = digest  # type: ignore[attr-defined]
        backend.tasks[self.cluster] = {task.task_arn: task}
