"""delivery.toml is read strictly: what it does not know, or what contradicts, is named."""

from pathlib import Path

import pytest

from matomo_harness.errors import WrongInputError
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


def test_an_authority_that_is_not_there(tmp_path: Path) -> None:
    read(tmp_path, f'[dev]\n{OTHER}authority = "registry.pem"\n')
    with pytest.raises(WrongInputError, match="no such file"):
        _ = Delivery.read(tmp_path / "delivery.toml").stage("dev").registry
