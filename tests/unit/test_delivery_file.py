"""delivery.toml is read strictly: what it does not know, or what contradicts, is named."""

import os
from pathlib import Path

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.operate.delivery import login
from matomo_harness.operate.delivery.stages import Delivery
from matomo_harness.policy import delivery
from matomo_harness.policy.delivery import DELIVERY_FILE, full_name

ECR = 'account = "123456789012"\nregion = "eu-central-1"\nrepository = "matomo"\n'
OTHER = 'registry = "registry.example:5000"\nrepository = "matomo"\n'


def read(directory: Path, text: str) -> delivery.DeliveryFile:
    path = directory / "delivery.toml"
    path.write_text(text)
    return delivery.read(path)


def test_the_reference_has_every_stage() -> None:
    assert [name for name, _ in delivery.read(DELIVERY_FILE).stages] == list(delivery.STAGES)


def test_ecr_has_an_address_of_its_own(tmp_path: Path) -> None:
    stage = read(tmp_path, f"[production]\n{ECR}").production
    assert stage
    assert stage.name == "123456789012.dkr.ecr.eu-central-1.amazonaws.com/matomo"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"[production]\n{ECR}clusters = 'a'\n", "production.clusters"),
        (f"[prod]\n{ECR}", "prod: extra inputs"),
        ('[stage]\naccount = "123"\nregion = "r"\nrepository = "m"\n', "stage.account"),
        ('[stage]\naccount = "123456789012"\nrepository = "m"\n', "account and region go together"),
        ('[stage]\nrepository = "m"\n', "either account and region (ecr), or registry"),
        (f'[stage]\n{ECR}cluster = "c"\n', "cluster and service go together"),
        (f'[stage]\n{OTHER}cluster = "c"\nservice = "s"\n', "needs account and region"),
        (f'[stage]\n{OTHER}redeploy = ["a"]\n', "redeploy and running go together"),
        (
            f'[stage]\n{ECR}cluster = "c"\nservice = "s"\nredeploy = ["a"]\nrunning = ["b"]\n',
            "either cluster and service (ecs), or redeploy and running",
        ),
        ('[stage]\nregistry = "r"\nrepository = "Matomo"\n', "stage.repository"),
        ("[passport]\nmax_age_days = 0\n", "passport.max_age_days"),
        ("[stage", "TOML"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(WrongInputError) as error:
        read(tmp_path, text)
    assert named in f"{error.value.expected} {error.value.seen}"


def test_a_stage_that_there_is_not(tmp_path: Path) -> None:
    read(tmp_path, f"[dev]\n{OTHER}")
    with pytest.raises(WrongInputError, match=r"a stage \[production\]"):
        Delivery.read(tmp_path / "delivery.toml").stage("prod")
    with pytest.raises(WrongInputError, match="one of dev, stage, production"):
        full_name("test")


def test_a_helper_of_docker_that_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that has the configuration of Docker Desktop, which does not run there."""
    helper = tmp_path / "docker-credential-failing"
    helper.write_text("#!/bin/sh\necho 'the desktop does not run'; exit 1\n")
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text('{"credsStore": "failing"}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(WrongInputError, match="the desktop does not run"):
        login.of_this_machine("registry.example", {})


def test_an_authority_that_is_not_there(tmp_path: Path) -> None:
    read(tmp_path, f'[dev]\n{OTHER}authority = "registry.pem"\n')
    with pytest.raises(WrongInputError, match="no such file"):
        _ = Delivery.read(tmp_path / "delivery.toml").stage("dev").registry


def test_docker_hub_is_asked_where_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(tmp_path, '[dev]\nregistry = "docker.io"\nrepository = "example/matomo"\n')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    registry = Delivery.read(tmp_path / "delivery.toml").stage("dev").registry

    def asked(_method: str, url: str, **_more: object) -> None:
        raise WrongInputError(expected="", seen=url, next_command="")

    monkeypatch.setattr(registry._session, "request", asked)
    with pytest.raises(WrongInputError, match=r"//registry-1\.docker\.io/v2/example/matomo/"):
        registry.manifest("one")
    assert registry.name == "docker.io/example/matomo"
