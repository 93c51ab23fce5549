"""Installed Matomos as pytest fixtures, which pytest finds by entry point, without an import.

docs/fixtures.md says which to take: `matomo` to read only, `fresh_matomo` to change,
`dedicated_matomo` for environment, volumes and restarts. Without the extra `docker` each of them
says that it needs it.
"""

import os
import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest

from matomo_harness import extra
from matomo_harness.errors import HarnessError, UnsupportedEnvironmentError

if TYPE_CHECKING:
    # Whoever has this plugin installed and does not use it shall not wait for these.
    from matomo_harness.matomo.mail import Mailbox
    from matomo_harness.runtime.dedicated import DedicatedMatomo
    from matomo_harness.runtime.evidence import WatchedInstance
    from matomo_harness.runtime.full_stack import FullStack
    from matomo_harness.runtime.golden import Golden
    from matomo_harness.runtime.images import Image
    from matomo_harness.runtime.instance import Instance
    from matomo_harness.runtime.reaper import Run
    from matomo_harness.runtime.servers import Servers
    from matomo_harness.settings import RunSettings

ENVIRONMENT_MARKER: Final = "matomo_environment"
LOG_MARKER: Final = "matomo_log"
SNAPSHOT_MARKER: Final = "matomo_snapshot"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, named like pytest's own; without them the environment decides."""
    group = parser.getgroup("matomo", "Matomo instances (matomo-harness)")
    group.addoption(
        "--matomo-image", metavar="REF", help="Matomo image under test (default: IMAGE)."
    )
    group.addoption(
        "--matomo-base",
        metavar="REF",
        help="base to build image/ on: auto, substitute, or a reference (default: MATOMO_BASE).",
    )
    group.addoption(
        "--matomo-mariadb",
        metavar="REF",
        help="database image: auto, substitute, or a reference (default: MARIADB_BASE).",
    )
    group.addoption(
        "--matomo-reports",
        metavar="DIR",
        help="where failures/<test>/ is written (default: reports/ in the root directory).",
    )
    group.addoption(
        "--matomo-keep",
        action="store_true",
        help="leave the instance of a failed test running, and say how to reach and remove it.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known.

    Raises:
        UsageError: an option names nothing, as with a variable that is not set: the reference image
            would be tested in the place of the one that is meant.
    """
    if config.getoption("--matomo-image") == "":
        raise pytest.UsageError(
            "expected --matomo-image to name an image\n  seen: nothing\n"
            "  next: pytest --matomo-image=my-matomo:latest …"
        )
    config.addinivalue_line(
        "markers",
        f"{ENVIRONMENT_MARKER}(**variables): MATOMO_* variables of this test's dedicated_matomo.",
    )
    config.addinivalue_line(
        "markers",
        f"{SNAPSHOT_MARKER}(name, repro=''): the snapshot that snapshot_matomo is a copy of.",
    )
    config.addinivalue_line(
        "markers",
        f"{LOG_MARKER}(pattern, reason): an error in the web server's or the database's log that "
        "this test expects.",
    )


def pytest_report_header(config: pytest.Config) -> str:
    """Say which image the fixtures test: without a word of anybody's, it is the harness's own."""
    chosen = config.getoption("--matomo-image") or os.environ.get("IMAGE")
    return f"matomo image: {chosen or 'our reference image (no --matomo-image, no IMAGE)'}"


# -- one run, of one process or of several workers ------------------------------------------------

_RUN: Final = pytest.StashKey["Run"]()
_USED: Final = pytest.StashKey[list["_InstanceUse"]]()
_GUARD: Final = pytest.StashKey[Callable[[], list[str]]]()
_FAILED: Final = pytest.StashKey[bool]()


@dataclass(frozen=True)
class _InstanceUse:
    """An instance that a test uses.

    Args:
        watched: the instance and its servers.
        run: the run that owns the containers.
    """

    watched: "WatchedInstance"
    run: "Run"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist which run it is part of; the run ends with this process."""
    if not extra.is_installed():
        return  # tests without Matomo need no run, and the fixtures say what is missing

    from matomo_harness.runtime import reaper

    if _RUN not in node.config.stash:
        node.config.stash[_RUN] = reaper.begin()
    node.workerinput["matomo_run"] = node.config.stash[_RUN].id


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what the workers shared."""
    if _RUN in config.stash:
        from matomo_harness.runtime import reaper

        reaper.end(config.stash[_RUN])


def run_of(config: pytest.Config) -> "Run":
    """Return the run that this process is part of, with the other workers of xdist."""
    from matomo_harness.runtime import reaper

    worker: dict[str, str] | None = getattr(config, "workerinput", None)
    return reaper.Run(worker["matomo_run"]) if worker else reaper.this_process()


# -- images ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def matomo_settings(pytestconfig: pytest.Config) -> "RunSettings":
    """Which images to test: from the options, else from the environment."""
    return settings_of(pytestconfig)


def settings_of(config: pytest.Config) -> "RunSettings":
    """Return which images to test: from the options, else from the environment."""
    import dataclasses

    from matomo_harness.settings import RunSettings, base_choice

    chosen = {
        "image": config.getoption("--matomo-image"),
        "matomo_base": base_choice(config.getoption("--matomo-base") or ""),
        "mariadb_base": base_choice(config.getoption("--matomo-mariadb") or ""),
    }
    given = {name: value for name, value in chosen.items() if value}
    return dataclasses.replace(RunSettings.from_environment(), **given)


@pytest.fixture(scope="session")
def matomo_image(matomo_settings: "RunSettings") -> "Image":
    """The Matomo image under test."""
    from matomo_harness.runtime import images

    return images.deployed_image(matomo_settings)


@pytest.fixture(scope="session")
def matomo_mariadb_image(matomo_settings: "RunSettings") -> "Image":
    """The database's image."""
    from matomo_harness.runtime import images

    return images.mariadb_base(matomo_settings)


@pytest.fixture(scope="session")
def matomo_golden(
    matomo_image: "Image", matomo_mariadb_image: "Image", pytestconfig: pytest.Config
) -> "Golden":
    """The installed state of both, as a pair of images; built at first use, for about 20 s."""
    from matomo_harness.runtime.golden import golden

    return golden(matomo_image, matomo_mariadb_image, declared_by(pytestconfig))


def declared_by(config: pytest.Config) -> Path | None:
    """Return the deployment.toml beside the tests that are named, or above them up to the root."""
    from matomo_harness.policy import POLICY_FILE, deployment

    root = config.rootpath.resolve()
    for argument in config.args:
        named = (config.invocation_params.dir / argument.partition("::")[0]).resolve()
        for place in (named, *named.parents):
            if not place.is_relative_to(root):
                break
            if place.is_dir() and (found := deployment.beside(place / POLICY_FILE.name)):
                return found
    return deployment.beside(root / POLICY_FILE.name)


# -- instances ------------------------------------------------------------------------------------


class SharedServers:
    """The shared servers of a run, which are started again after they have gone.

    Args:
        golden: what their instances begin with.
        run: the run that owns them.
        by_tls: whether they are behind a load balancer that ends TLS, with a mail relay.
    """

    def __init__(self, golden: "Golden", run: "Run", *, by_tls: bool = False) -> None:
        self.run = run
        self._golden = golden
        self._by_tls = by_tls
        self._servers: Servers | None = None
        self._lasting: dict[str, Instance] = {}

    def fresh(self) -> "tuple[Servers, Instance]":
        """Make an instance; where the servers have gone, as after an engine's restart, on new ones.

        Raises:
            UnsupportedEnvironmentError: the servers are there and have no room, or none can start.
        """
        servers = self.servers()
        try:
            return servers, servers.fresh()
        except UnsupportedEnvironmentError:
            if servers.alive():
                raise
            self.forget()
            servers = self.servers()
            return servers, servers.fresh()

    def lasting(self, purpose: str) -> "tuple[Servers, Instance]":
        """Return the instance that this process has for `purpose`; it is made at first use."""
        if self._lasting and not self.servers().alive():
            self.forget()
        if purpose not in self._lasting:
            _, self._lasting[purpose] = self.fresh()
        return self.servers(), self._lasting[purpose]

    def forget(self) -> None:
        """Have new servers and new lasting instances started at the next use."""
        self._servers = None
        self._lasting.clear()

    def servers(self) -> "Servers":
        """Return the servers, which are started at first use."""
        from matomo_harness.runtime.shared import shared_servers, shared_servers_by_tls

        if self._servers is None:
            start = shared_servers_by_tls if self._by_tls else shared_servers
            self._servers = start(self._golden, self.run)
        return self._servers


@pytest.fixture(scope="session")
def matomo_servers(matomo_golden: "Golden", pytestconfig: pytest.Config) -> SharedServers:
    """The web server and the database that `matomo` and `fresh_matomo` share, once for a run."""
    return SharedServers(matomo_golden, run_of(pytestconfig))


@pytest.fixture
def fresh_matomo(
    matomo_servers: SharedServers, request: pytest.FixtureRequest
) -> Iterator["Instance"]:
    """An installed Matomo of this test's own, in a tenth of a second.

    Its own: schema, config.ini.php, instance_id, caches, uploads. Shared: environment and code.

    Raises:
        WrongInputError: the test asks for an environment, which only dedicated_matomo has.
    """
    _refuse_environment(request.node)
    servers, instance = matomo_servers.fresh()
    _watch(request.node, instance, servers.web, servers.database, matomo_servers.run)
    yield instance
    if not _is_left_running(request) and servers.alive():
        servers.drop(instance)


@pytest.fixture(scope="session")
def matomo_servers_by_tls(matomo_golden: "Golden", pytestconfig: pytest.Config) -> SharedServers:
    """The servers that instances of `matomo_by_tls` share, once for a run."""
    return SharedServers(matomo_golden, run_of(pytestconfig), by_tls=True)


@dataclass(frozen=True)
class MatomoByTls:
    """An installed Matomo behind a load balancer, and what its mail relay received.

    Args:
        instance: its url is the load balancer's.
        mailbox: shared with the other tests of a run: ask for addresses of your own test.
    """

    instance: "Instance"
    mailbox: "Mailbox"

    def archive(self, *options: str) -> str:
        """Archive everything, as the schedule does; `options` are core:archive's.

        Raises:
            BrokenPromiseError: the archiver failed.
        """
        return self.instance.shell.console("core:archive", *options)


@pytest.fixture
def matomo_by_tls(
    matomo_servers_by_tls: SharedServers, request: pytest.FixtureRequest
) -> Iterator[MatomoByTls]:
    """An installed Matomo of this test's own, by TLS, in a tenth of a second.

    Like `fresh_matomo`, with a load balancer that ends TLS in front of it, and with a mail relay.

    Raises:
        WrongInputError: the test asks for an environment, which only dedicated_matomo has.
    """
    _refuse_environment(request.node)
    servers, instance = matomo_servers_by_tls.fresh()
    assert servers.mailbox  # noqa: S101  by_tls
    _watch(request.node, instance, servers.web, servers.database, matomo_servers_by_tls.run)
    yield MatomoByTls(instance, servers.mailbox)
    if not _is_left_running(request) and servers.alive():
        servers.drop(instance)


@pytest.fixture
def matomo(matomo_servers: SharedServers, request: pytest.FixtureRequest) -> Iterator["Instance"]:
    """An installed Matomo that the tests of a process share, to read and not to change.

    A test that changes it fails, and the next test gets it as it was.

    Raises:
        WrongInputError: the test asks for an environment, which only dedicated_matomo has.
    """
    _refuse_environment(request.node)
    servers, instance = matomo_servers.lasting("to be read")
    _watch(request.node, instance, servers.web, servers.database, matomo_servers.run)
    request.node.stash[_GUARD] = lambda: servers.changes(instance)
    yield instance
    if _is_left_running(request):
        matomo_servers.forget()
    elif servers.alive() and servers.changes(instance):
        servers.reset(instance)


@pytest.fixture
def reset_matomo(
    matomo_servers: SharedServers, request: pytest.FixtureRequest
) -> Iterator["Instance"]:
    """An installed Matomo that tests change in turn, reset after each in a few milliseconds.

    Raises:
        WrongInputError: the test asks for an environment, which only dedicated_matomo has.
    """
    _refuse_environment(request.node)
    servers, instance = matomo_servers.lasting("to be changed")
    _watch(request.node, instance, servers.web, servers.database, matomo_servers.run)
    yield instance
    if _is_left_running(request):
        matomo_servers.forget()
    elif servers.alive():
        servers.reset(instance)


@pytest.fixture
def matomo_pair(dedicated_matomo: "DedicatedMatomo") -> "DedicatedMatomo":
    """The former name of `dedicated_matomo`, for one release."""
    return dedicated_matomo


@pytest.fixture
def dedicated_matomo(
    matomo_golden: "Golden", request: pytest.FixtureRequest
) -> Iterator["DedicatedMatomo"]:
    """An installed Matomo in containers of its own, in about a second.

    The marker matomo_environment sets variables of its web container.
    """
    from matomo_harness.runtime.dedicated import start_pair
    from matomo_harness.runtime.reaper import this_process

    started = start_pair(matomo_golden, _environment(request.node))
    try:
        web = started.matomo.get_wrapped_container()
        database = started.mariadb.get_wrapped_container()
        _watch(request.node, started, web, database, this_process())
        yield started
    finally:
        if not _is_left_running(request):
            started.stop()


@pytest.fixture
def matomo_production(
    matomo_golden: "Golden", request: pytest.FixtureRequest
) -> Iterator["FullStack"]:
    """An installed Matomo as a full stack, in about four seconds.

    Behind a load balancer that ends TLS, with TLS to its database and to a mail relay. The marker
    matomo_environment sets variables of its web container.
    """
    from matomo_harness.runtime.full_stack import FullStack
    from matomo_harness.runtime.reaper import this_process

    stack = FullStack(matomo_golden, environment=_environment(request.node))
    with stack:
        web = stack.matomo.get_wrapped_container()
        database = stack.mariadb.get_wrapped_container()
        _watch(request.node, stack.instance, web, database, this_process())
        yield stack
        if _is_left_running(request):
            stack.keep()


@pytest.fixture
def snapshot_matomo(
    matomo_settings: "RunSettings", request: pytest.FixtureRequest
) -> Iterator["Instance"]:
    """A copy of a snapshot of the local stack, or of a reproduction, in about ten seconds.

    The marker matomo_snapshot names it.

    Raises:
        WrongInputError: no marker names one, there is none of that name, or it does not fit.
    """
    from matomo_harness.errors import WrongInputError
    from matomo_harness.operate import compose, snapshot
    from matomo_harness.operate.snapshot_copy import running_copy
    from matomo_harness.runtime.reaper import this_process

    marker = request.node.get_closest_marker(SNAPSHOT_MARKER)
    if marker is None or not marker.args:
        raise WrongInputError(
            expected="a marker that names a snapshot",
            seen="none",
            next_command=f'@pytest.mark.{SNAPSHOT_MARKER}("NAME", repro="")',
        )
    _refuse_environment(request.node)
    name, *more = marker.args
    stack = snapshot.stack_of(marker.kwargs.get("repro", more[0] if more else ""))
    run = this_process()
    with running_copy(
        name, matomo_settings, run, stack, stays=lambda: _is_left_running(request)
    ) as (instance, copy):
        web, database = compose.running("matomo", copy), compose.running("db", copy)
        _watch(request.node, instance, web, database, run)
        yield instance


def _environment(item: pytest.Item) -> dict[str, str]:
    variables: dict[str, str] = {}
    for marker in item.iter_markers(ENVIRONMENT_MARKER):
        variables = {**marker.kwargs, **variables}
    return variables


def _refuse_environment(item: pytest.Item) -> None:
    from matomo_harness.errors import WrongInputError

    if marker := item.get_closest_marker(ENVIRONMENT_MARKER):
        raise WrongInputError(
            expected="an instance whose environment is its own, for the marker matomo_environment",
            seen=f"{', '.join(marker.kwargs)} for an instance in a web server that others share",
            next_command="take the fixture dedicated_matomo, which has containers of its own",
        )


def _watch(item: pytest.Item, instance: "Instance", web: Any, database: Any, run: "Run") -> None:
    from matomo_harness.runtime import evidence

    _used(item).append(_InstanceUse(evidence.watch(instance, web, database), run))


def _used(item: pytest.Item) -> list[_InstanceUse]:
    return item.stash.setdefault(_USED, [])


# -- what a test left behind ----------------------------------------------------------------------

_OF_AN_ATTEMPT: Final[tuple[pytest.StashKey[Any], ...]] = (_USED, _GUARD, _FAILED)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Forget an earlier attempt at the same test: pytest-rerunfailures keeps the item."""
    for key in _OF_AN_ATTEMPT:
        if key in item.stash:
            del item.stash[key]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test that changed the shared instance, or left errors in the servers' logs."""
    yield
    guard = item.stash.get(_GUARD, None)
    if guard and (changed := guard()):
        pytest.fail(
            "expected the shared instance `matomo` to be as it was\n"
            f"  seen: this test changed {', '.join(changed)}\n"
            "  next: take the fixture fresh_matomo, which is the test's own",
            pytrace=False,
        )
    expected = [_pattern_of(marker) for marker in item.iter_markers(LOG_MARKER)]
    for used in _used(item):
        if errors := used.watched.unexpected(expected):
            pytest.fail(
                "expected no error in the servers' logs\n  seen: "
                + "\n        ".join(errors[:10])
                + f"\n  next: mend it, or mark the test: @pytest.mark.{LOG_MARKER}"
                '("pattern", reason="…")',
                pytrace=False,
            )


def _pattern_of(marker: pytest.Mark) -> re.Pattern[str]:
    """Return the pattern of errors that a test expects; one without any expects none."""
    return re.compile((*marker.args, marker.kwargs.get("pattern", "(?!)"))[0])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write what explains a failure, while the instance is still there."""
    if call.excinfo and item.config.pluginmanager.hasplugin("timeout"):
        # pytest-timeout stops its clock behind this hook; ringing in here it ends the whole run.
        item.ihook.pytest_timeout_cancel_timer(item=item)
    report = yield
    if not report.failed or report.when == "teardown":
        return report
    if report.when == "setup" and call.excinfo and call.excinfo.errisinstance(HarnessError):
        report.longrepr = str(call.excinfo.value)  # says it all; a traceback would hide it
    item.stash[_FAILED] = True
    for number, used in enumerate(_used(item)):
        from matomo_harness.runtime import evidence

        directory = _directory(item, number)
        try:
            evidence.write(used.watched, directory)
            said = f"logs, settings, options: {directory}"
        except OSError as error:  # one raised here would end the whole run
            said = f"no logs, settings and options: {error}"
        report.sections.append(("matomo", said))
        if item.config.getoption("--matomo-keep"):
            report.sections.append(("matomo, left running", _keep(used)))
    return report


def _directory(item: pytest.Item, number: int) -> Path:
    chosen = item.config.getoption("--matomo-reports")
    # A test may have changed the directory.
    here = item.config.invocation_params.dir
    root = here / chosen if chosen else item.config.rootpath / "reports"
    name = re.sub(r"[^\w.-]+", "-", item.nodeid).strip("-")[:150]
    return root / "failures" / (f"{name}-{number + 1}" if number else name)


# -- instances that stay after a failure ----------------------------------------------------------


def _is_left_running(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--matomo-keep")) and request.node.stash.get(
        _FAILED, False
    )


def _keep(used: _InstanceUse) -> str:
    instance, run = used.watched.instance, used.run
    facts = {
        "URL": f"{instance.url}/",
        "LOGIN": instance.account.login,
        "PASSWORD": instance.account.password,
        "TOTP_SECRET": instance.account.secret,
        "TOKEN": instance.token,
        "DATABASE": f"{instance.database.user}@127.0.0.1:{instance.database.port}",
        "DATABASE_PASSWORD": instance.database.password,
    }
    profile = instance.shell.profile
    name = instance.shell.instance or str(used.watched.web.name)
    path = run.keep(name, facts)
    domain = (
        f" --matomo-domain={urlsplit(instance.url).hostname}" if instance.shell.instance else ""
    )
    return (
        f"open     {instance.url}/\n"
        f"login    the first lines of {path}\n"
        f"console  docker exec -u {profile.web_user} -w {profile.web_root}"
        f" {used.watched.web.name} php console{domain}\n"
        f"remove   matomo-harness clean --run {run.id}"
    )
