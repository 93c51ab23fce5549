"""A browser's way through TLS: the dashboard, with nothing on it in clear text."""

from urllib.parse import urlsplit

from playwright.sync_api import Page, expect

from harness.matomo import twofactor
from harness.stack.production import Production


def test_a_dashboard_by_https_holds_nothing_in_clear_text(
    page: Page, matomo_production: Production
) -> None:
    account = matomo_production.instance.account
    assert matomo_production.web.ask("matomo.php?idsite=1&rec=1").ok
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(urlsplit(request.url).scheme))
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))

    page.goto(matomo_production.load_balancer.url)
    page.locator("#login_form_login").fill(account.login)
    page.locator("#login_form_password").fill(account.password)
    page.locator("#login_form_submit").click()
    page.locator("input[name=form_authcode]").fill(twofactor.code(account.secret, steps=2))
    page.locator("#login_form_submit").click()
    expect(page.locator("#dashboardWidgetsArea .widget").first).to_be_visible(timeout=30_000)

    assert asked <= {"https", "data", "blob"}
    assert not [it for it in complaints if "Mixed Content" in it]
    cookies = {cookie["name"]: cookie["secure"] for cookie in page.context.cookies()}
    assert cookies["MATOMO_SESSID"]
    assert all(cookies.values()), cookies
