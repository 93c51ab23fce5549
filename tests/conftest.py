"""What all tests share: the images under test. Instances come from the harness's own plugin."""

import signal
from collections.abc import Callable, Iterator

import pytest

from matomo_harness.matomo import versions
from matomo_harness.pytest_plugin import SharedServers
from matomo_harness.runtime import images
from matomo_harness.runtime.full_stack import FullStack
from matomo_harness.runtime.golden import Golden, golden
from matomo_harness.runtime.images import BaseUnavailableError, Image
from matomo_harness.settings import RunSettings, every_version

pytest_plugins = ["pytester", "tests.red", "tests.sizes"]


def _name(settings: RunSettings) -> str:
    return settings.matomo_version if settings.chooses_base else "given"


@pytest.fixture(scope="session", params=every_version(), ids=_name)
def matomo_settings(request: pytest.FixtureRequest) -> RunSettings:
    """The settings of this run, once for each Matomo version."""
    chosen: RunSettings = request.param
    return chosen


@pytest.fixture(scope="session")
def base(matomo_settings: RunSettings) -> Image:
    """The Matomo base image of `matomo_settings`."""
    if matomo_settings.image:
        pytest.skip(
            f"{matomo_settings.image} was built elsewhere: base and build are not under test"
        )
    try:
        return images.matomo_base(matomo_settings)
    except BaseUnavailableError as error:
        version = matomo_settings.matomo_version
        if versions.TESTED[version].is_optional:
            pytest.skip(f"no base for Matomo `{version}` today: {error.seen}")
        raise


@pytest.fixture(scope="session")
def matomo_image(matomo_settings: RunSettings, request: pytest.FixtureRequest) -> Image:
    """The deployed image under test."""
    if not matomo_settings.image:
        request.getfixturevalue("base")  # skips where there is none
    return images.deployed_image(matomo_settings)


@pytest.fixture(scope="session")
def any_base() -> Image:
    """One Matomo base image, for tests that no version makes a difference to."""
    settings = RunSettings.from_environment()
    if settings.image:
        pytest.skip(f"{settings.image} was built elsewhere: base and build are not under test")
    return images.matomo_base(settings)


@pytest.fixture(scope="session")
def any_image() -> Image:
    """One deployed image, for tests that no version makes a difference to."""
    return images.deployed_image(RunSettings.from_environment())


@pytest.fixture(scope="session")
def any_golden(any_image: Image) -> Golden:
    """One installed state, for tests that no version makes a difference to."""
    return golden(any_image, images.mariadb_base(RunSettings.from_environment()))


@pytest.fixture(scope="session")
def matomo_servers(matomo_servers: SharedServers) -> SharedServers:
    """The servers of the plugin, started here so that no test is charged with the wait."""
    matomo_servers.servers()
    return matomo_servers


@pytest.fixture(scope="session")
def matomo_servers_by_tls(matomo_servers_by_tls: SharedServers) -> SharedServers:
    """The servers of the plugin, started here so that no test is charged with the wait."""
    matomo_servers_by_tls.servers()
    return matomo_servers_by_tls


@pytest.fixture(scope="session")
def stack(matomo_golden: Golden) -> Iterator[FullStack]:
    """The full stack, for tests that leave it as it is."""
    with FullStack(matomo_golden) as started:
        yield started


FIGURE = "figure"


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Print a measured figure at the end of the run, and record it in junit.xml."""
    return lambda text: record_property(FIGURE, text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures of all tests."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    figures = [
        f"{report.nodeid.rpartition('::')[2]}: {value}"
        for report in reports
        for name, value in report.user_properties
        if name == FIGURE and report.when == "call"
    ]
    if figures:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(figures))


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Have the programs of this test hear SIGINT, whoever started the tests.

    A shell without job control has what it starts in the background ignore SIGINT, and so do all
    programs below: no Python among them would ever see a KeyboardInterrupt.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
