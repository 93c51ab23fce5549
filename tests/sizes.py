"""Which tests a run takes, on which of Matomo's versions, and how long each of them worked.

A test runs on one version, unless its marker `all_versions` says why Matomo's version can make a
difference to what the test proves. A test over LIMIT worker-seconds carries `slow`: it runs on the
other versions in the nightly run only.
"""

import time
import zlib
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.settings import WORKER_SECONDS, RunSettings, every_version
from matomo_harness.shard import Shard

ALL_VERSIONS: Final = "all_versions"
SLOW: Final = "slow"
NIGHTLY: Final = "nightly"
GROUP: Final = "xdist_group"
LIMIT: Final = 5.0
"""Worker-seconds that a test may take without the marker `slow`."""
UNMARKED: Final = "over_the_limit_and_not_marked"
VERSIONED: Final = "matomo_settings"
"""The fixture that there is one of for each version."""
STARTED_ONCE: Final = ("stack",)
"""Session fixtures with containers of their own: their tests share a worker, as a module's do."""


class Size(StrEnum):
    """How many of the tests a run takes."""

    LOCAL = "local"
    ALL = "all"
    NIGHTLY = "nightly"


def is_in_shard(scope: str, shard: Shard) -> bool:
    """Whether `shard` takes the tests of `scope`; all runs with the same count agree."""
    return zlib.crc32(scope.encode()) % shard.count == shard.number - 1


def _shard(text: str) -> Shard:
    try:
        return Shard.parse(text)
    except WrongInputError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose tests."""
    group = parser.getgroup("sizes", "which tests to take (matomo-harness)")
    group.addoption(
        "--size",
        choices=list(Size),
        default=Size.ALL,
        help="local: what is quick, on one version. all: everything on one version, and what is "
        "quick on each where it can make a difference. nightly: everything on every version.",
    )
    group.addoption(
        "--shard", metavar="K/N", type=_shard, help="Only the k-th of n parts of the tests."
    )


# -- choosing -------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None]:
    """Leave out what this run does not take, and let shared fixtures be started only once.

    This hook comes first: after it, xdist reads the groups and pytest sorts by parameters.
    """
    size, shard = Size(config.getoption("--size")), config.getoption("--shard")
    taken = [item for item in items if is_taken(item, size)]
    shared = shared_fixtures(taken)
    for item in taken:
        if group := _group(item, shared):
            item.add_marker(getattr(pytest.mark, GROUP)(group))
    if shard:
        taken = [item for item in taken if is_in_shard(_scope(item), shard)]
    chosen = set(taken)
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = taken
    yield
    if hasattr(config, "workerinput"):
        # The long tests come first, so that at the end no worker waits for another.
        items.sort(key=lambda item: item.get_closest_marker(SLOW) is None)


def is_taken(item: pytest.Item, size: Size) -> bool:
    """Whether a run of `size` takes `item`."""
    if size is Size.NIGHTLY:
        return True
    is_slow = item.get_closest_marker(SLOW) is not None
    if item.get_closest_marker(NIGHTLY) or (size is Size.LOCAL and is_slow):
        return False
    if _version(item) in (None, every_version()[0]):
        return True
    # The whole gate runs on each version; other slow tests wait for the nightly run.
    return size is Size.ALL and not is_slow and item.get_closest_marker(ALL_VERSIONS) is not None


def _version(item: pytest.Item) -> RunSettings | None:
    chosen = getattr(item, "callspec", None)
    return chosen.params.get("matomo_settings") if chosen else None


@dataclass(frozen=True)
class SharedFixtures:
    """Fixtures that one worker starts for all tests of them.

    Args:
        path: of the module whose they are; None for those of the whole run.
        names: theirs.
        has_versions: whether there is one of each for each of Matomo's versions.
    """

    path: Path | None
    names: frozenset[str]
    has_versions: bool

    @property
    def title(self) -> str:
        """Name the group of the tests."""
        name = min(self.names)
        return f"{self.path.stem}-{name}" if self.path else name


def shared_fixtures(items: Iterable[pytest.Item]) -> list[SharedFixtures]:
    """Return the fixtures of `items` that only one worker should start.

    Fixtures of a module are together where a test asks for both, or one of them for the other: by
    two workers, what both of them ask for would be started twice.
    """
    found: list[SharedFixtures] = []
    for item in items:
        if mine := _shared_by(item):
            met = [each for each in found if each.path == mine.path and each.names & mine.names]
            names = mine.names.union(*(each.names for each in met))
            has_versions = all(each.has_versions for each in (mine, *met))
            found = [each for each in found if each not in met]
            found.append(SharedFixtures(mine.path, names, has_versions))
    return found


def _shared_by(item: pytest.Item) -> SharedFixtures | None:
    if not isinstance(item, pytest.Function):
        return None
    fixtures = item._fixtureinfo.name2fixturedefs
    scopes = {name: fixtures[name][-1].scope for name in item.fixturenames if name in fixtures}
    of_run = frozenset(name for name in STARTED_ONCE if scopes.get(name) == "session")
    names = of_run or frozenset(name for name, scope in scopes.items() if scope == "module")
    if not names:
        return None
    has_versions = all(_has_versions(item, name) for name in names)
    return SharedFixtures(None if of_run else item.path, names, has_versions)


def _group(item: pytest.Item, shared: Iterable[SharedFixtures]) -> str:
    """Name the one-worker group of `item`; xdist appends it to a group that the test names."""
    version = _version(item)
    suffix = version.matomo_version if version else ""
    if item.get_closest_marker(GROUP):
        return suffix
    mine = _shared_by(item)
    if mine is None:
        return ""
    (group,) = (each for each in shared if each.path == mine.path and mine.names <= each.names)
    return f"{group.title}-{suffix}" if group.has_versions else group.title


def _has_versions(item: pytest.Item, fixture: str) -> bool:
    """Whether there is one `fixture` for each of Matomo's versions, and not one for all of them."""
    assert isinstance(item, pytest.Function)
    definitions = item._fixtureinfo.name2fixturedefs.get(fixture, ())
    arguments = {name for definition in definitions for name in definition.argnames}
    others = arguments - {fixture}  # A fixture that overrides another asks for it by its own name.
    return VERSIONED in arguments or any(_has_versions(item, name) for name in others)


def _scope(item: pytest.Item) -> str:
    """Name what stays in one shard: a group, or a test alone."""
    groups = {str([*mark.args, *mark.kwargs.values()][0]) for mark in item.iter_markers(GROUP)}
    return "_".join(sorted(groups)) or item.nodeid


# -- worker-seconds -------------------------------------------------------------------------------


@dataclass
class _SharedTime:
    """The seconds that one test spent on fixtures which other tests share.

    Args:
        seconds: spent so far.
        depth: the number of such fixtures that are being set up, one inside another.
    """

    seconds: float = field(default=0.0)
    depth: int = field(default=0)


_SHARED: Final = pytest.StashKey[_SharedTime]()
_WORKED: Final = pytest.StashKey[float]()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Count the time that a test waits for a fixture which is not its own."""
    if fixturedef.scope == "function":
        return (yield)
    shared = request._pyfuncitem.stash.setdefault(_SHARED, _SharedTime())
    begun = time.perf_counter()
    shared.depth += 1
    try:
        return (yield)
    finally:
        shared.depth -= 1
        if not shared.depth:
            shared.seconds += time.perf_counter() - begun


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write into the report how long the test worked."""
    report = yield
    if report.when == "setup":
        item.stash[_WORKED] = report.duration
    if report.when == "call":
        shared = item.stash.setdefault(_SHARED, _SharedTime()).seconds
        worked = item.stash[_WORKED] + report.duration - shared
        found = [(WORKER_SECONDS, f"{worked:.2f}")]
        if worked > LIMIT and not item.get_closest_marker(SLOW):
            found.append((UNMARKED, "yes"))
        item.user_properties += found  # for junit.xml
        report.user_properties += found  # for the lines at the end
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that are slow without the marker; a busy machine may be the reason."""
    reports = [
        report
        for found in terminalreporter.stats.values()
        for report in found
        if isinstance(report, pytest.TestReport)
    ]
    worked = {
        report.nodeid: dict(report.user_properties) for report in reports if report.when == "call"
    }
    if not worked:
        return
    seconds = {name: float(str(found[WORKER_SECONDS])) for name, found in worked.items()}
    unmarked = [name for name, found in worked.items() if UNMARKED in found]
    total = sum(report.duration for report in reports)
    terminalreporter.section("worker-seconds")
    terminalreporter.write_line("\n".join(summary_lines(seconds, unmarked, total)))


def summary_lines(seconds: Mapping[str, float], unmarked: Iterable[str], total: float) -> list[str]:
    """Return the lines that end a run.

    Args:
        seconds: those of each test by its name, without the fixtures that others share.
        unmarked: names of the tests over the limit that are not marked as slow.
        total: seconds of everything that the workers did.
    """
    lines = [f"{total:.0f} for {len(seconds)} tests, {total - sum(seconds.values()):.0f} of them"]
    lines[0] += " for shared fixtures and tidying up"
    named = sorted(unmarked, key=lambda name: -seconds[name])
    if named:
        lines.append(f"over {LIMIT:g}, and not marked {SLOW}:")
        lines += [f"{seconds[name]:7.1f} {name}" for name in named]
    return lines
