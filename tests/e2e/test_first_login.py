"""A person's first look: the login page, the second factor, the dashboard."""

import re
from datetime import date

from playwright.sync_api import Page, expect

from harness.matomo import tracker, traffic, twofactor
from harness.matomo.traffic import Site
from harness.stack.instance import Instance


def test_a_person_logs_in_with_a_second_factor(page: Page, fresh_matomo: Instance) -> None:
    account = fresh_matomo.account
    # Without a single visit Matomo shows how to install the tracking code instead.
    visit = traffic.visits([Site(1, "https://discovery.example", "UTC")], date(2026, 1, 5), 1)[0]
    tracker.send(fresh_matomo.api, visit.hits)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    page.goto(fresh_matomo.url)
    expect(page).to_have_title(re.compile("Sign in"))
    page.locator("#login_form_login").fill(account.login)
    page.locator("#login_form_password").fill(account.password)
    page.locator("#login_form_submit").click()

    # Enrolment took its moment's code, the API's token the one after its own: the second after
    # this moment is later than both, however long all that took.
    page.locator("input[name=form_authcode]").fill(twofactor.code(account.secret, steps=2))
    page.locator("#login_form_submit").click()

    expect(page.locator("#dashboardWidgetsArea .widget").first).to_be_visible(timeout=30_000)
    assert not errors
