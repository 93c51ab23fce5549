"""Pages that are closed to everybody, and sessions: expired, in two tabs, and back in history."""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from matomo_harness.gate.probes.browser import AnonymizeDataPage, CodePage, LoginPage, Menu
from matomo_harness.matomo import twofactor
from matomo_harness.pytest_plugin import MatomoByTls
from tests.e2e.changes import set_key
from tests.e2e.known import left_behind, login_asked_for
from tests.e2e.pages import admin
from tests.e2e.pages.admin import AdminMenu
from tests.e2e.pages.general_settings import GeneralSettings
from tests.e2e.sessions import NEXT_STEPS
from tests.e2e.users import enrolled_user


@login_asked_for
@pytest.mark.all_versions(reason="the pages are the version's")
@pytest.mark.slow(reason="many pages, one after the other")
def test_installer_and_updater_are_closed(page: Page, matomo_by_tls: MatomoByTls) -> None:
    assert matomo_by_tls.instance.url
    for step in ("welcome", "databaseSetup", "setupSuperUser"):
        admin.open_page(page, "Installation", step)
        expect(page.get_by_text("Matomo is already installed")).to_be_visible()
    for step in ("newVersionAvailable", "oneClickUpdate"):
        admin.open_page(page, "CoreUpdater", step)
        expect(LoginPage(page).name).to_be_visible()


@login_asked_for
@pytest.mark.all_versions(reason="sessions are Matomo's")
@pytest.mark.slow(reason="many pages, one after the other")
def test_an_expired_session_leads_to_the_login_and_back(
    matomo_by_tls: MatomoByTls, another_browser: Callable[..., Page]
) -> None:
    instance = matomo_by_tls.instance
    # Matomo leads back to trusted hosts, which it compares without a port; production has none.
    set_key(matomo_by_tls, "General", "trusted_hosts[]", urlsplit(instance.url).hostname or "")
    account = enrolled_user(instance, "superuser")
    page = another_browser(account)
    AnonymizeDataPage(page).open()
    page.wait_for_load_state("networkidle")  # what it requests later would have no session
    instance.database.query("DELETE FROM {prefix}session")

    page.reload()
    LoginPage(page).log_in(account.login, account.password)
    CodePage(page).give(twofactor.code(account.secret, steps=NEXT_STEPS))
    expect(AnonymizeDataPage(page).masking).to_be_checked()
    expect(page).to_have_url(re.compile("module=PrivacyManager&action=privacySettings"))


@login_asked_for
@left_behind
@pytest.mark.slow(reason="many pages, one after the other")
def test_a_login_and_a_sign_out_hold_in_every_tab(page: Page, matomo_by_tls: MatomoByTls) -> None:
    account = enrolled_user(matomo_by_tls.instance, "superuser")
    other = page.context.new_page()
    page.goto("")
    other.goto("")
    # The form of the first tab is older than that of the second, and is accepted all the same.
    LoginPage(page).log_in(account.login, account.password)
    CodePage(page).give(twofactor.code(account.secret, steps=1))
    expect(Menu(page).sign_out).to_be_visible()
    AnonymizeDataPage(other).open()
    for tab in (page, other):
        tab.wait_for_load_state("networkidle")  # what it requests later would have no session

    Menu(page).sign_out.click()
    expect(LoginPage(page).name).to_be_visible()
    other.reload()
    expect(LoginPage(other).name).to_be_visible()


def test_the_back_button_leads_to_the_page_before(superuser: Page) -> None:
    AnonymizeDataPage(superuser).open()
    GeneralSettings(superuser).open()
    expect(AdminMenu(superuser).entry("System")).to_be_visible()  # what a View user lacks
    superuser.go_back()
    expect(AnonymizeDataPage(superuser).masking).to_be_checked()
    superuser.go_forward()
    expect(GeneralSettings(superuser).section("TwoFactorAuth")).to_be_visible()
