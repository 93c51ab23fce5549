"""A browser opens the dashboard by TLS, and nothing on it comes in clear text."""

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from matomo_harness.pytest_plugin import MatomoByTls
from tests.e2e.pages.dashboard import Dashboard


@pytest.mark.all_versions(reason="the page is the version's")
def test_the_dashboard_holds_nothing_in_clear_text(
    superuser: Page, matomo_by_tls: MatomoByTls
) -> None:
    # Without a single visit Matomo shows how to install the tracking code instead.
    assert matomo_by_tls.instance.web.ask("matomo.php?idsite=1&rec=1").ok
    asked: set[str] = set()
    superuser.on("request", lambda request: asked.add(urlsplit(request.url).scheme))
    complaints: list[str] = []
    superuser.on("console", lambda message: complaints.append(message.text))

    superuser.goto("")
    expect(Dashboard(superuser).widgets.first).to_be_visible()

    assert asked
    assert asked <= {"https", "data", "blob"}
    assert not [complaint for complaint in complaints if "Mixed Content" in complaint]
    cookies = {cookie["name"]: cookie["secure"] for cookie in superuser.context.cookies()}
    assert cookies["MATOMO_SESSID"]
    assert all(cookies.values()), cookies
