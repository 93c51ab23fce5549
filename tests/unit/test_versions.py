"""Matomo's versions: the range, how they are compared, and that one file lists them."""

import re
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from packaging.version import InvalidVersion, Version

from matomo_harness.errors import WrongInputError
from matomo_harness.gate import remote
from matomo_harness.gate.mutation import generated
from matomo_harness.matomo import versions
from matomo_harness.matomo.versions import VersionDifference
from matomo_harness.runtime import images
from matomo_harness.settings import ROOT, RunSettings, every_version

DIFFERENCES = {
    name: value for name, value in vars(versions).items() if isinstance(value, VersionDifference)
}


# -- the range ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *("5.3", "5.3.0", "5.3.1", "5.3.1+dfsg-1", "5.10.0", "5.14.1"),
        *("6.0.0-b1", "6.0.0-rc2", "6.99.0"),
    ],
)
def test_a_version_within_the_range_is_supported(text: str) -> None:
    assert versions.is_supported(text)


@pytest.mark.parametrize(
    "text", ["4.16.1", "5.2.2", "5.2.99-rc1", "7.0.0", "7.0.0-b1", "7.0.0-alpha.20270101000000"]
)
def test_a_version_beyond_the_range_is_not(text: str) -> None:
    assert not versions.is_supported(text)


@pytest.mark.parametrize("text", ["", "next", "6.x-dev", "Matomo 5.8.0", "5.8.0~rc1", "v", "None"])
def test_a_text_that_is_no_version_is_refused(text: str) -> None:
    assert not versions.is_supported(text)
    with pytest.raises(InvalidVersion):
        versions.PROXY_SCHEME_HEADERS.is_in(text)


def test_the_range_is_stated_for_people_and_for_plugins() -> None:
    assert versions.RANGE == "5.3 up to, not including, 7"
    assert versions.PLUGIN_REQUIREMENT == ">=5.3.0,<7.0.0-b1"
    assert not versions.is_supported(versions.OF_LONG_AGO)


# -- a running Matomo -----------------------------------------------------------------------------


def answers(version: str) -> SimpleNamespace:
    return SimpleNamespace(call=lambda _: {"value": version})


@pytest.mark.parametrize("version", ["5.3.1", "5.10.0", "6.0.0", "6.1.0-rc1"])
def test_a_running_matomo_within_the_range_is_accepted(version: str) -> None:
    assert remote._require_version(answers(version)) == version  # type: ignore[arg-type]


@pytest.mark.parametrize("version", ["4.16.1", "5.2.2", "7.0.0-b1", "6.x-dev"])
def test_a_running_matomo_beyond_the_range_is_refused_by_name(version: str) -> None:
    with pytest.raises(WrongInputError) as error:
        remote._require_version(answers(version))  # type: ignore[arg-type]
    assert error.value.expected.startswith(f"Matomo {versions.RANGE}")
    assert error.value.seen.startswith(f"Matomo {version}, by ")


# -- what differs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_difference_begins_with_its_version_and_has_a_source(name: str) -> None:
    difference = DIFFERENCES[name]
    major, minor = difference.since.major, difference.since.minor
    before = f"{major}.{minor - 1}.99" if minor else f"{major - 1}.99.9"
    assert not difference.is_in(before)
    assert difference.is_in(f"{major}.{minor}.0")
    assert difference.is_in(f"{major}.{minor + 10}.0")
    assert difference.is_in(f"{major + 1}.0.0-b1")
    assert difference.what
    assert difference.source
    assert versions.OLDEST < difference.since < versions.BEYOND, (
        "no other difference needs to be known"
    )


@pytest.mark.parametrize(
    ("text", "is_in"),
    [
        *(("5.6.99-rc1", False), ("5.6.0", False), ("5.3.1+dfsg-1", False)),
        # A version's candidates have what it has: the list of headers came with 5.7.0-b3.
        *(("5.7.0-b3", True), ("5.7.0-rc1", True), ("5.7.0-alpha.20260101000000", True)),
        # By number, not by character.
        *(("5.10.0", True), ("5.7", True), ("6.0.0-b1", True)),
    ],
)
def test_candidates_and_two_digits_are_compared_as_versions(text: str, is_in: bool) -> None:
    assert versions.PROXY_SCHEME_HEADERS.is_in(text) is is_in


def test_a_candidate_counts_as_its_release() -> None:
    assert versions.number("5.7.0-rc1") == Version("5.7")
    assert versions.number("5.8.0-b3") < Version("5.8.1")


def test_an_equivalent_mutant_counts_from_its_version_on() -> None:
    for name, (difference, _) in generated.EQUIVALENT_BEFORE.items():
        assert name in generated.equivalent("5.3.1")
        assert name not in generated.equivalent(str(difference.since))


def test_the_attribute_that_exists_is_read() -> None:
    before = {"anonymize-ip-enabled": "true", "mask-length": "2"}
    since = {"ip-anonymizer-enabled": "false", "ip-address-mask-length": "3"}
    for shown, enabled, length in ((before, "true", "2"), (since, "false", "3"), ({}, None, None)):
        assert versions.by_any_name(shown, versions.MASK_ENABLED_ATTRIBUTES) == enabled
        assert versions.by_any_name(shown, versions.MASK_LENGTH_ATTRIBUTES) == length
    assert versions.mask_length(2) == {"maskLength": 2, "ipAddressMaskLength": 2}


@pytest.mark.parametrize(
    ("text", "was_asked_for"),
    [
        ("Open the confirmation link sent to your e-mail inbox", True),
        ("If there is such an account you will receive an email to confirm", True),
        ("Your username and email do not match", False),
    ],
)
def test_the_message_about_a_reset_mail_is_recognised_in_either_form(
    text: str, was_asked_for: bool
) -> None:
    assert bool(re.search(versions.RESET_WAS_ASKED_FOR, text)) is was_asked_for


# -- one file -------------------------------------------------------------------------------------


def test_every_tested_version_is_supported_or_a_moving_one() -> None:
    assert tuple(versions.TESTED) == versions.NAMES
    for name, tested in versions.TESTED.items():
        assert tested.name == name
        assert versions.is_supported(name) or (tested.debian_suite and tested.is_optional)
    assert not versions.TESTED[versions.NAMES[0]].is_optional, (
        "the first is for everything that names no version"
    )


def test_the_settings_offer_the_tested_versions() -> None:
    assert RunSettings().matomo_version == versions.NAMES[0]
    chosen = [settings.matomo_version for settings in every_version({"MATOMO_BASE": "auto"})]
    assert chosen == [*versions.NAMES]
    with pytest.raises(WrongInputError, match=f"one of {', '.join(versions.NAMES)}"):
        RunSettings.from_environment({"MATOMO_VERSION": "6"})


@pytest.mark.parametrize("name", versions.NAMES)
def test_a_base_is_the_official_image_or_built_with_arguments_of_the_version(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(images, "_base", lambda *arguments: asked.append(arguments))
    images.matomo_base(RunSettings(matomo_version=name))
    ((_, variable, official, substitute),) = asked
    tested = versions.TESTED[name]
    assert (variable, official) == ("MATOMO_BASE", tested.official_image)
    assert substitute.version == name
    assert substitute.arguments == {
        "MATOMO_VERSION": name,
        "MATOMO_SUITE": tested.debian_suite,
    }


def test_the_substitute_base_takes_the_arguments_of_a_version() -> None:
    dockerfile = (ROOT / "image/bases/matomo/Dockerfile").read_text()
    arguments = versions.TESTED[versions.NAMES[0]].build_arguments
    assert set(re.findall(r"(?m)^ARG (MATOMO_\w+)", dockerfile)) == set(arguments)


@pytest.mark.parametrize(
    "path",
    [
        *("Makefile", ".ci/run", ".github/workflows/ci.yml", ".github/workflows/nightly.yml"),
        *("image/bases/matomo/Dockerfile", "image/bases/matomo/install", "tests/conftest.py"),
        *(f"harness/matomo_harness/{name}.py" for name in ("settings", "runtime/images")),
    ],
)
def test_no_other_file_lists_the_versions(path: str) -> None:
    """One more version is one more entry of versions.TESTED, and nothing else."""
    text = (ROOT / path).read_text()
    assert [name for name in versions.NAMES if re.search(rf"[\"'\s,]{name}[\"'),\]\s]", text)] == []


@pytest.mark.parametrize("by_id", [False, True])
def test_a_database_is_known_by_its_sites_however_matomo_lists_them(by_id: bool) -> None:
    sites = [{"idsite": number, "ts_created": f"2026-01-0{number}"} for number in (1, 4)]
    api, database = MagicMock(), MagicMock()
    api.call.return_value = {f"{site['idsite']}": site for site in sites} if by_id else sites
    database.query.return_value = sites
    remote._require_same_sites(api, database)
    database.query.return_value = sites[:1]
    with pytest.raises(WrongInputError):
        remote._require_same_sites(api, database)
