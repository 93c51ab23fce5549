"""A browser in front of a Matomo behind TLS; whatever it complains of fails the test."""

import contextlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import BrowserContext, BrowserType, Error, Page, expect

from matomo_harness.gate.probes.chromium import launch_options, playwrights_ffmpeg
from matomo_harness.matomo.twofactor import Account
from matomo_harness.pytest_plugin import MatomoByTls
from matomo_harness.runtime.images import Image
from tests.e2e.evidence import Evidence
from tests.e2e.promises import PATIENCE_MS
from tests.e2e.sessions import take_session
from tests.e2e.watch import Watch

REPORTS: Final = Path("reports/e2e")
ERROR_MARKER: Final = "browser_error"
SCREENSHOT_MS: Final = 5000
_WATCH: Final = pytest.StashKey[Watch]()
_CONTEXTS: Final = pytest.StashKey[list[BrowserContext]]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep what explains a failure, whoever starts pytest; options that are given win."""
    expect.set_options(timeout=PATIENCE_MS)
    evidence_options = {
        "video": ("off", "retain-on-failure" if playwrights_ffmpeg() else "off"),
        "output": ("test-results", str(config.rootpath / REPORTS / "failures")),
    }
    for option, (default, ours) in evidence_options.items():
        if getattr(config.option, option) == default:
            setattr(config.option, option, ours)


# -- the browser ----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def browser_type_launch_args(
    browser_type_launch_args: dict[str, Any], browser_type: BrowserType
) -> dict[str, Any]:
    return {**browser_type_launch_args, **launch_options(Path(browser_type.executable_path))}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    """Trust every certificate; tests with requests prove that the load balancer's is good."""
    return {**browser_context_args, "ignore_https_errors": True, "locale": "en-US"}


@pytest.fixture
def new_context(
    new_context: Callable[..., BrowserContext], request: pytest.FixtureRequest
) -> Callable[..., BrowserContext]:
    """Makes contexts that are watched, and whose addresses begin at the test's Matomo."""
    by_tls = "matomo_by_tls" in request.fixturenames
    url = request.getfixturevalue("matomo_by_tls").instance.url if by_tls else None
    watch = request.node.stash.setdefault(_WATCH, Watch())
    contexts = request.node.stash.setdefault(_CONTEXTS, [])

    def make(**options: Any) -> BrowserContext:
        context = new_context(**{"base_url": url, **options})
        watch.attach(context)
        if request.config.option.tracing == "off":
            # Actions and console only. Pages, requests and a film, which passed tests would record
            # too, take as much of the processor again as the page (measured).
            context.tracing.start()
        contexts.append(context)
        return context

    return make


# -- users ----------------------------------------------------------------------------------------


@pytest.fixture
def superuser(page: Page, matomo_by_tls: MatomoByTls) -> Page:
    """A page of the superuser, who has logged in."""
    take_session(page.context, matomo_by_tls.instance)
    return page


@pytest.fixture
def another_browser(
    new_context: Callable[..., BrowserContext], matomo_by_tls: MatomoByTls
) -> Callable[[Account | None], Page]:
    """Opens a page of a browser of its own, where `account` has logged in, or nobody has."""

    def make(account: Account | None = None) -> Page:
        context = new_context()
        if account:
            take_session(context, matomo_by_tls.instance, account)
        return context.new_page()

    return make


# -- what a run leaves ----------------------------------------------------------------------------


@pytest.fixture
def evidence(
    matomo_by_tls: MatomoByTls,
    matomo_image: Image,
    testrun_uid: str,
    pytestconfig: pytest.Config,
) -> Evidence:
    """Keeps pictures for whoever signs a promotion: reports/e2e/evidence/index.html."""
    version = str(matomo_by_tls.instance.api.call("API.getMatomoVersion")["value"])
    directory = pytestconfig.rootpath / REPORTS / "evidence"
    return Evidence(directory, testrun_uid, version, matomo_image)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test whose browser complained of what it does not expect."""
    yield
    if watch := item.stash.get(_WATCH, None):
        expected = [marker.args[0] for marker in item.iter_markers(ERROR_MARKER)]
        if errors := watch.unexpected(expected):
            pytest.fail(
                "expected no page error, no failed request and no answer of 400 and above\n  seen: "
                + "\n        ".join(errors[:10])
                + f"\n  next: mend it, or mark the test: @pytest.mark.{ERROR_MARKER}"
                '("pattern", reason="…")',
                pytrace=False,
            )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep a failed test's complaints by the browser, its pages and their traces."""
    report = yield
    watch = item.stash.get(_WATCH, None)
    if report.when != "teardown" and report.failed and watch:
        directory = Path(item.funcargs["output_path"])  # type: ignore[attr-defined]
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "browser.txt").write_text(watch.text)
        _keep_pages(item.stash[_CONTEXTS], directory, traces=item.config.option.tracing == "off")
        report.sections.append(("browser", f"{watch.text}\nstored in {directory}"))
    return report


def _keep_pages(contexts: list[BrowserContext], directory: Path, *, traces: bool) -> None:
    pages = [page for context in contexts for page in context.pages]
    for number, page in enumerate(pages, 1):
        with contextlib.suppress(Error):  # a page that hangs must not hide why the test failed
            page.screenshot(path=directory / f"page-{number}.png", timeout=SCREENSHOT_MS)
    for number, context in enumerate(contexts if traces else [], 1):
        with contextlib.suppress(Error):
            context.tracing.stop(path=directory / f"trace-{number}.zip")
