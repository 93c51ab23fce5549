"""Settings from the environment, valid and invalid."""

from pathlib import Path

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.settings import RunSettings, project_name


def test_an_empty_environment_gives_the_defaults() -> None:
    assert RunSettings.from_environment({}) == RunSettings()


def test_an_empty_variable_counts_as_unset() -> None:
    # make exports the variables that nobody set.
    assert (
        RunSettings.from_environment({"MATOMO_BASE": "", "MATOMO_PORT": "", "IMAGE": ""})
        == RunSettings()
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MATOMO_PORT", "http"),
        ("MATOMO_PORT", "0"),
        ("MATOMO_PORT", "65536"),
        ("MATOMO_VERSION", "4"),
        ("MARIADB_VERSION", "10.5"),
    ],
)
def test_an_invalid_value_is_named(variable: str, value: str) -> None:
    with pytest.raises(WrongInputError, match=f"{variable}={value}"):
        RunSettings.from_environment({variable: value})


def test_two_checkouts_have_two_projects() -> None:
    assert project_name(Path("/one")) != project_name(Path("/two"))


def test_a_version_of_mariadb_is_chosen_beside_its_base() -> None:
    chosen = RunSettings.from_environment(
        {"MARIADB_BASE": "substitute", "MARIADB_VERSION": "10.11"}
    )
    assert (chosen.mariadb_base, chosen.mariadb_version) == ("substitute", "10.11")
    assert RunSettings.from_environment({}).mariadb_version == "11.8"
