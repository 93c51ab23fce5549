"""delivery.toml says where images go, stage by stage, and who may vouch for them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from matomo_harness.errors import WrongInputError
from matomo_harness.policy import files
from matomo_harness.settings import IMAGE_DIRECTORY

DELIVERY_FILE: Final = IMAGE_DIRECTORY / "delivery.toml"
STAGES: Final = ("dev", "stage", "production")
"""In the order in which an image goes through them."""
PLACEHOLDER: Final = re.compile(r"(\d)\1{11}")
"""An account that nobody has: twelve times the same digit."""

Command = Annotated[tuple[str, ...], Field(strict=False)]
"""A program and its arguments; `{image}` in one stands for the image, by digest."""


class Stage(BaseModel):
    """Where the image of one stage lies, and what runs it.

    Args:
        account: of AWS, where the registry is ECR; empty for another registry.
        region: of AWS.
        role: that is taken for everything at AWS; empty where the credentials have it already.
        registry: host and port; by default ECR's own address in account and region.
        authority: file of the authority that signed the registry's certificate, beside
            delivery.toml; empty where the machine trusts it.
        repository: the image's name in the registry.
        cluster: of ECS; empty where the stage runs on something else.
        service: of ECS.
        container: the task definition's container that runs Matomo.
        jobs: families of further task definitions that run the same image, as the archiver's.
        redeploy: a command that has the stage run `{image}`, and returns when it does.
        running: a command that prints the digest that the stage runs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    account: str = Field(default="", pattern=r"^(\d{12})?$")
    region: str = ""
    role: str = ""
    registry: str = ""
    authority: str = ""
    repository: str = Field(pattern=r"^[a-z0-9]+([._/-]+[a-z0-9]+)*$")
    cluster: str = ""
    service: str = ""
    container: str = "matomo"
    jobs: Command = ()
    redeploy: Command = ()
    running: Command = ()

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if bool(self.account) != bool(self.region):
            raise ValueError("account and region go together")
        if not self.account and not self.registry:
            raise ValueError("either account and region (ECR), or registry")
        if bool(self.cluster) != bool(self.service):
            raise ValueError("cluster and service go together")
        if self.cluster and not self.account:
            raise ValueError("a service of ECS needs account and region")
        if self.cluster and (self.redeploy or self.running):
            raise ValueError("either cluster and service (ECS), or redeploy and running")
        if bool(self.redeploy) != bool(self.running):
            raise ValueError("redeploy and running go together")
        return self

    @property
    def host(self) -> str:
        """The registry's address, as references begin with it."""
        return self.registry or f"{self.account}.dkr.ecr.{self.region}.amazonaws.com"

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.host}/{self.repository}"


class PassportRules(BaseModel):
    """What a passport must be for an image to be promoted.

    Args:
        trusted: file of those who may sign, as `ssh-keygen` reads it (ALLOWED SIGNERS in its
            manual), beside delivery.toml.
        policy: the policy that the gate must have judged by, beside delivery.toml.
        max_age_days: how old the gate's verdict may be.
        sbom: whether a list of what is in the image goes with it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    trusted: str = "allowed_signers"
    policy: str = "policy.toml"
    max_age_days: int = Field(default=14, ge=1)
    sbom: bool = True


class DeliveryFile(BaseModel):
    """The stages, and what is asked of an image between them.

    Args:
        dev: gets the image of each pull request.
        stage: gets the image of each merge, with its passport.
        production: gets what is on `stage`, by its digest.
        passport: what a passport must be.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    dev: Stage | None = None
    stage: Stage | None = None
    production: Stage | None = None
    passport: PassportRules = PassportRules()

    @property
    def stages(self) -> Iterator[tuple[str, Stage]]:
        """Name and stage, of those that there are."""
        for name in STAGES:
            if found := getattr(self, name):
                yield name, found


def read(path: Path) -> DeliveryFile:
    """Read `path`.

    Raises:
        WrongInputError: the file is not TOML, a key is unknown or missing, or a value impossible.
    """
    document, _ = files.document(path)
    try:
        return DeliveryFile.model_validate(document)
    except ValidationError as error:
        expected = "[dev], [stage], [production] and [passport] with keys that the harness knows"
        raise files.mistake(path, expected, files.mistakes_in(error)) from error


def of_name(delivery: DeliveryFile, name: str, path: Path) -> Stage:
    """Return the stage `name`.

    Args:
        delivery: the content of the file.
        name: one of STAGES, or `prod`.
        path: the file, for the errors.

    Raises:
        WrongInputError: there is no such stage, or it has a placeholder instead of an account.
    """
    there = dict(delivery.stages)
    full = full_name(name)
    if full not in there:
        raise files.mistake(path, f"a stage [{full}]", ", ".join(there) or "no stage")
    stage = there[full]
    if PLACEHOLDER.fullmatch(stage.account):
        raise files.mistake(path, f"your account in [{full}]", f"the placeholder {stage.account}")
    return stage


def full_name(name: str) -> str:
    """Return the name of a stage as delivery.toml has it.

    Raises:
        WrongInputError: there is no such stage.
    """
    full = {"prod": "production"}.get(name, name)
    if full not in STAGES:
        raise WrongInputError(
            expected=f"one of {', '.join(STAGES)}",
            seen=name,
            next_command="matomo-harness publish --help",
        )
    return full
