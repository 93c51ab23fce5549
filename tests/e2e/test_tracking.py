"""A real browser runs Matomo's own tracking code on a real page: what arrives, and how."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from matomo_harness.matomo import traffic
from matomo_harness.pytest_plugin import MatomoByTls
from matomo_harness.runtime.instance import Instance
from tests.e2e.evidence import Evidence
from tests.e2e.pages.report import Report
from tests.e2e.website import Website, website

# Matomo takes a browser that calls itself headless for a robot.
VISITOR: Final = {"user_agent": traffic.USER_AGENTS[0]}
USER: Final = "alice@people.example"
TRACKER: Final = re.compile(r"/matomo\.php")


@pytest.fixture
def visitor(new_context: Callable[..., BrowserContext]) -> Page:
    """A page of a visitor of the website."""
    return new_context(**VISITOR).new_page()


@pytest.mark.all_versions(reason="matomo.js is the version's")
@pytest.mark.slow(reason="many pages, one after the other")
def test_a_visit_is_in_the_log_with_masked_address_and_without_user_id(
    visitor: Page, superuser: Page, matomo_by_tls: MatomoByTls, evidence: Evidence
) -> None:
    instance = matomo_by_tls.instance
    identified = f"var _paq = window._paq = [['setUserId', '{USER}']];"
    with website(instance, before=identified) as library:
        _view(visitor, library.url)
        # Two hits at once by a new visitor are two visits to Matomo.
        _ = _visits(instance, library, actions=1)
        _view_by(visitor, lambda: visitor.get_by_role("link", name="A record").click())
        _view_by(visitor, lambda: visitor.get_by_role("link", name="Search").click())
        _view_by(visitor, lambda: visitor.get_by_role("button", name="Renew").click())
        _view_by(visitor, lambda: visitor.get_by_role("button", name="Shelf").click())
        with visitor.expect_download():
            _view_by(visitor, lambda: visitor.get_by_role("link", name="The paper").click())
        # In another tab: matomo.js delays what it is given in the first 0.8 s of a page, and what
        # is delayed is lost where the page is left.
        _view_by(visitor, lambda: visitor.get_by_role("link", name="Elsewhere").click())
        (visit,) = _visits(instance, library, actions=7)
        # They are in the order of their seconds, which several of them share.
        kinds = Counter(action["type"] for action in visit["actionDetails"])
        assert kinds == {"action": 3, "search": 1, "event": 1, "download": 1, "outlink": 1}
        assert not visit["userId"]

        report = Report(superuser, library.site, "day", "today")
        report.open("General_Visitors", "Live_VisitorLog")
        log = report.widget("Visits Log")
        expect(log).to_contain_text(re.compile(r"IP: \d+\.\d+\.0\.0\b"))
        expect(log).not_to_contain_text(USER)
        expect(log.get_by_text("Renew")).to_be_visible()
        evidence.keep(superuser, "The visits log shows masked addresses and no user id")


@pytest.mark.all_versions(reason="the opt-out is the version's")
def test_a_visitor_who_opts_out_is_not_tracked(visitor: Page, matomo_by_tls: MatomoByTls) -> None:
    instance = matomo_by_tls.instance
    opt_out = (
        f'<script src="{instance.url}/index.php?module=CoreAdminHome&action=optOutJS'
        '&divId=matomo-opt-out&language=en&showIntro=1"></script>'
    )
    with website(instance, end=opt_out) as library:
        _view(visitor, library.url)
        choice = visitor.get_by_role("checkbox")
        expect(choice).to_be_checked()
        choice.click()
        expect(visitor.get_by_text("Opt-out complete")).to_be_visible()

        asked: list[str] = []
        visitor.on(
            "request",
            lambda request: asked.append(request.url) if TRACKER.search(request.url) else None,
        )
        visitor.get_by_role("link", name="A record").click()
        expect(visitor.get_by_role("checkbox")).not_to_be_checked()
        visitor.get_by_role("button", name="Renew").click()
        assert not asked
        (visit,) = _visits(instance, library, actions=1)
        assert visit["actions"] == 1


@pytest.mark.parametrize("asks", [True, False], ids=["asked for", "not asked for"])
def test_do_not_track_is_respected_where_the_code_says_so(
    new_context: Callable[..., BrowserContext], matomo_by_tls: MatomoByTls, asks: bool
) -> None:
    """matomo.js reads a property of the browser, which Chromium has no switch for."""
    context = new_context(**VISITOR)
    if asks:
        context.add_init_script("Object.defineProperty(navigator, 'doNotTrack', {value: '1'})")
    page = context.new_page()
    with website(matomo_by_tls.instance, doNotTrack=1) as library:
        with page.expect_response(re.compile(r"matomo\.js")):
            page.goto(library.url)
        page.wait_for_function("window.Matomo && Matomo.initialized")
        _ = _visits(matomo_by_tls.instance, library, actions=0 if asks else 1)


@pytest.mark.parametrize("named", [True, False], ids=["Matomo named", "Matomo not named"])
@pytest.mark.browser_error("csp", reason="a policy that does not name Matomo refuses matomo.js")
def test_a_strict_content_security_policy_must_name_matomo(
    visitor: Page, matomo_by_tls: MatomoByTls, named: bool
) -> None:
    """As Matomo's guide says: the code in a file of its own, three directives name its host."""
    host = matomo_by_tls.instance.url if named else ""
    sources = f"script-src 'self' {host}; connect-src 'self' {host}; img-src 'self' {host}"
    policy = f"default-src 'none'; {sources}"
    complaints: list[str] = []
    visitor.on("console", lambda message: complaints.append(message.text))
    headers = {"Content-Security-Policy": policy}
    with website(matomo_by_tls.instance, headers=headers) as library:
        if named:
            _view(visitor, library.url)
        else:
            visitor.goto(library.url, wait_until="load")
        _ = _visits(matomo_by_tls.instance, library, actions=1 if named else 0)
    assert any("Content Security Policy" in complaint for complaint in complaints) is not named


def _view(page: Page, url: str) -> None:
    _view_by(page, lambda: page.goto(url))


def _view_by(page: Page, act: Callable[[], object]) -> None:
    """Do something that the tracker reports to Matomo, and wait until it does."""
    with page.context.expect_event("request", lambda request: bool(TRACKER.search(request.url))):
        act()


def _visits(instance: Instance, library: Website, *, actions: int) -> list[dict[str, Any]]:
    """Return the visits, once they have so many actions; the tracker does not wait for answers.

    With 0 they are read a moment after another hit of ours arrived.
    """
    if not actions:
        instance.web.ask(f"matomo.php?idsite={library.site}&rec=1&action_name=after")
        (after,) = _visits_with(instance, library, 1)
        assert [action["pageTitle"] for action in after["actionDetails"]] == ["after"]
        return []
    return _visits_with(instance, library, actions)


def _visits_with(instance: Instance, library: Website, actions: int) -> list[dict[str, Any]]:
    attempts = Retrying(
        retry=retry_if_result(lambda visits: _actions_of(visits) < actions),
        wait=wait_fixed(0.1),
        stop=stop_after_delay(20),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else [],
    )
    found: list[dict[str, Any]] = attempts(
        instance.api.call,
        "Live.getLastVisitsDetails",
        idSite=library.site,
        period="day",
        date="today",
    )
    assert _actions_of(found) == actions, found
    return found


def _actions_of(visits: list[dict[str, Any]]) -> int:
    return sum(len(visit["actionDetails"]) for visit in visits)
