"""What AWS says by its API: who one is, the login to ECR, the images that are there."""

import base64
import contextlib
import fnmatch
import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from matomo_harness.errors import UnsupportedEnvironmentError, WrongInputError
from matomo_harness.extra import DELIVERY, install_command
from matomo_harness.operate.delivery.login import Login
from matomo_harness.operate.delivery.registry import login_refused, no_repository
from matomo_harness.policy.delivery import Stage

SESSION: Final = "matomo-harness"
"""The name under which a role is taken; CloudTrail shows it."""
NO_REPOSITORY: Final = "RepositoryNotFoundException"
WHO: Final = "aws sts get-caller-identity   (then AWS_PROFILE=…, or aws sso login)"


@dataclass(frozen=True)
class PushedImage:
    """An image as ECR lists it.

    Args:
        digest: of its manifest.
        tags: all its tags.
        pushed: when it came.
    """

    digest: str
    tags: tuple[str, ...]
    pushed: datetime


@dataclass(frozen=True)
class Keeping:
    """A lifecycle rule by which ECR keeps a number of images, or each for some days.

    Args:
        count: how many stay, the youngest first.
        tags: patterns, for each of which an image it is about has a tag; empty for all images.
        days: how long an image stays after it was pushed; 0 where the rule counts images.
    """

    count: int
    tags: tuple[str, ...] = ()
    days: int = 0

    def concerns(self, image: PushedImage) -> bool:
        """Whether the rule is about this image."""
        return all(fnmatch.filter(image.tags, pattern) for pattern in self.tags)


class Account:
    """The account of a stage, as one may use it.

    Args:
        stage: with account, region and role.

    Raises:
        HarnessError: boto3 or credentials are missing, or they are another account's.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._session, self._clients = _session(stage.account, stage.region, stage.role)

    def client(self, service: str) -> Any:
        """Return a client of one of AWS's services; to make one takes longer than most answers."""
        if service not in self._clients:
            self._clients[service] = self._session.client(service)
        return self._clients[service]

    def login(self) -> Login:
        """Return the login to ECR, which holds for twelve hours.

        Raises:
            WrongInputError: it is refused.
        """
        with asking("ecr:GetAuthorizationToken", self.stage.name):
            answer = self.client("ecr").get_authorization_token()
        token = answer["authorizationData"][0]["authorizationToken"]
        user, _, password = base64.b64decode(token).decode().partition(":")
        return Login(user, password)

    def require_repository(self) -> None:
        """Require the stage's repository.

        Raises:
            WrongInputError: there is none.
        """
        with asking("ecr:DescribeRepositories", self.stage.name):
            self.client("ecr").describe_repositories(repositoryNames=[self.stage.repository])

    def images(self) -> list[PushedImage]:
        """Return what is in the repository, the youngest first."""
        with asking("ecr:DescribeImages", self.stage.name):
            pages = self.client("ecr").get_paginator("describe_images")
            found = [
                PushedImage(
                    image["imageDigest"], tuple(image.get("imageTags", ())), image["imagePushedAt"]
                )
                for page in pages.paginate(repositoryName=self.stage.repository)
                for image in page["imageDetails"]
            ]
        return sorted(found, key=lambda image: image.pushed, reverse=True)

    def rules(self) -> list[Keeping]:
        """Return the lifecycle rules about images with a tag, the first to decide first."""
        client = self.client("ecr")
        with asking("ecr:GetLifecyclePolicy", self.stage.name):
            try:
                answer = client.get_lifecycle_policy(repositoryName=self.stage.repository)
            except client.exceptions.LifecyclePolicyNotFoundException:
                return []
        return list(_rules(json.loads(answer["lifecyclePolicyText"])["rules"]))


def _rules(rules: Sequence[dict[str, Any]]) -> Iterator[Keeping]:
    for rule in sorted(rules, key=lambda rule: int(rule["rulePriority"])):
        selection = rule["selection"]
        prefixes = [f"{prefix}*" for prefix in selection.get("tagPrefixList", ())]
        patterns = (*prefixes, *selection.get("tagPatternList", ()))
        number = int(selection["countNumber"])
        if selection["tagStatus"] == "untagged":
            continue
        if selection["countType"] == "imageCountMoreThan":
            yield Keeping(number, patterns)
        elif selection["countType"] == "sinceImagePushed":
            yield Keeping(0, patterns, days=number)


@functools.cache
def _session(account: str, region: str, role: str) -> tuple[Any, dict[str, Any]]:
    """Return a session that may act in an account, and room for its clients."""
    try:
        import boto3
    except ModuleNotFoundError as error:
        raise UnsupportedEnvironmentError(
            expected="the library boto3, which the extra `delivery` brings",
            seen="it is not installed",
            next_command=install_command(DELIVERY),
        ) from error

    with asking("sts:GetCallerIdentity", account):
        session = boto3.Session(region_name=region)  # reads AWS_PROFILE
        identity = session.client("sts").get_caller_identity()
    if role and not _is_role(identity["Arn"], role):
        with asking("sts:AssumeRole", role):
            given = session.client("sts").assume_role(RoleArn=role, RoleSessionName=SESSION)
        session = boto3.Session(
            aws_access_key_id=given["Credentials"]["AccessKeyId"],
            aws_secret_access_key=given["Credentials"]["SecretAccessKey"],
            aws_session_token=given["Credentials"]["SessionToken"],
            region_name=region,
        )
        with asking("sts:GetCallerIdentity", account):
            identity = session.client("sts").get_caller_identity()
    if identity["Account"] != account:
        raise WrongInputError(
            expected=f"credentials of the account {account}, as delivery.toml says",
            seen=f"those of {identity['Account']} ({identity['Arn']})",
            next_command=WHO,
        )
    return session, {}


def _is_role(identity: str, role: str) -> bool:
    """Whether one has the role already, as a workflow that logged in by OIDC does."""
    _, _, name = role.partition(":role/")
    account = role.split(":")[4] if role.count(":") >= 5 else ""
    return f"::{account}:assumed-role/{name.rpartition('/')[2]}/" in identity


@contextlib.contextmanager
def asking(action: str, of: str) -> Iterator[None]:
    """Turn what AWS or its library says into our errors.

    Args:
        action: as a policy of IAM names it.
        of: what it is asked of.

    Raises:
        WrongInputError: there are no credentials, or they do not suffice; or nothing has the name.
        UnsupportedEnvironmentError: AWS does not answer.
    """
    from botocore import exceptions

    try:
        yield
    except (
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.ProfileNotFound,
        exceptions.TokenRetrievalError,
        exceptions.SSOError,
    ) as error:
        raise WrongInputError(
            expected=f"credentials of AWS, for {action}",
            seen=str(error),
            next_command=WHO,
        ) from error
    except exceptions.ClientError as error:
        code, text = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        if code == NO_REPOSITORY:
            raise no_repository(of) from error
        if action == "ecr:GetAuthorizationToken":
            raise login_refused(of, f"{code}: {text}") from error
        raise WrongInputError(
            expected=f"AWS to allow {action} for {of}", seen=f"{code}: {text}", next_command=WHO
        ) from error
    except exceptions.BotoCoreError as error:
        raise UnsupportedEnvironmentError(
            expected=f"AWS to answer {action}",
            seen=str(error),
            next_command="the same command again, once it does",
        ) from error
