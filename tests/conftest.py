"""What all tests share: the images under test, and one installed pair for each of them."""

import dataclasses
import os
from collections.abc import Iterator

import pytest

from harness.settings import MATOMO_VERSIONS, Settings
from harness.stack import images
from harness.stack.images import BaseUnavailableError, Image
from harness.stack.pair import Pair, pair

MAIL_PASSWORD = 'ca$nary;"quoted"\\ü'
ENVIRONMENT = {
    # A list, and a key that neither global.ini.php nor the image's config.ini.php sets.
    "MATOMO_GENERAL_CORS_DOMAINS": '["https://one.example", "https://two.example"]',
    "MATOMO_MAIL_TRANSPORT": "smtp",
    "MATOMO_MAIL_PASSWORD": MAIL_PASSWORD,
    # One misspelt, one of a section that does not exist.
    "MATOMO_GENERAL_FORSE_SSL": "0",
    "MATOMO_NOSUCHSECTION_KEY": "1",
}


def _versions() -> list[Settings]:
    """Both versions where we choose the base; one where the person chose an image or a version."""
    settings = Settings.from_environment()
    chosen = settings.image or settings.matomo_base not in ("auto", "stand-in")
    if chosen or os.environ.get("MATOMO_VERSION"):
        return [settings]
    return [dataclasses.replace(settings, matomo_version=version) for version in MATOMO_VERSIONS]


def _name(settings: Settings) -> str:
    if settings.image or settings.matomo_base not in ("auto", "stand-in"):
        return "given"
    return settings.matomo_version


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each Matomo version to one worker: what a session shares is then started once."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        version = callspec.params.get("settings") if callspec else None
        item.add_marker(pytest.mark.xdist_group(_name(version) if version else "no version"))


@pytest.fixture(scope="session", params=_versions(), ids=_name)
def settings(request: pytest.FixtureRequest) -> Settings:
    """The choices of this run, once for each Matomo version."""
    chosen: Settings = request.param
    return chosen


@pytest.fixture(scope="session")
def base(settings: Settings) -> Image:
    """The Matomo base image of `settings`."""
    if settings.image:
        pytest.skip(f"{settings.image} was built elsewhere: base and build are not under test")
    try:
        return images.matomo_base(settings)
    except BaseUnavailableError as error:
        # Debian's unstable moves: that is no fault of the change under test.
        if settings.matomo_version == "next":
            pytest.skip(f"no base for Matomo `next` today: {error.seen}")
        raise


@pytest.fixture(scope="session")
def image(settings: Settings, request: pytest.FixtureRequest) -> Image:
    """The deployed image under test."""
    if not settings.image:
        request.getfixturevalue("base")  # skips where there is none
    return images.deployed_image(settings)


@pytest.fixture(scope="session")
def any_base() -> Image:
    """One Matomo base image, for tests that no version makes a difference to."""
    settings = Settings.from_environment()
    if settings.image:
        pytest.skip(f"{settings.image} was built elsewhere: base and build are not under test")
    return images.matomo_base(settings)


@pytest.fixture(scope="session")
def any_image() -> Image:
    """One deployed image, for tests that no version makes a difference to."""
    return images.deployed_image(Settings.from_environment())


@pytest.fixture(scope="session")
def mariadb_image(settings: Settings) -> Image:
    """The database's image."""
    return images.mariadb_base(settings)


@pytest.fixture(scope="session")
def matomo_pair(image: Image, mariadb_image: Image) -> Iterator[Pair]:
    """An installed Matomo with every door open, shared by the tests of one version."""
    with pair(image, mariadb_image, ENVIRONMENT) as started:
        yield started
