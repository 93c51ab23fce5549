"""What the GUI's assertions are worth: each promise is broken by hand, and they must fail."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from playwright.sync_api import Page, expect

from matomo_harness.gate.probes.browser import AnonymizeDataPage, Menu
from matomo_harness.pytest_plugin import MatomoByTls
from tests.e2e.changes import open_general_settings, set_key, set_masking
from tests.e2e.known import plugins_page, plugins_page_log, setup_page
from tests.e2e.pages import admin
from tests.e2e.pages.enrolment import Enrolment
from tests.e2e.pages.general_settings import GeneralSettings
from tests.e2e.pages.plugins import Plugins
from tests.e2e.pages.system_check import SystemCheck
from tests.e2e.promises import (
    PATIENCE_MS,
    expect_a_clean_system_check,
    expect_a_code_is_asked_for,
    expect_archiving_is_closed,
    expect_enrolment_is_forced,
    expect_figures,
    expect_no_administration,
    expect_nothing,
    expect_the_plugins_of_the_policy,
    expect_two_bytes_masked,
)
from tests.e2e.users import enrolled_user, new_user
from tests.e2e.visits import make_library

SOON_MS: Final = 2_000


@contextmanager
def soon_red(match: str) -> Iterator[None]:
    """Expect an assertion to fail, on a page that is complete: what is not there will not come."""
    expect.set_options(timeout=SOON_MS)
    try:
        with pytest.raises(AssertionError, match=match):
            yield
    finally:
        expect.set_options(timeout=PATIENCE_MS)


@pytest.mark.parametrize(("enabled", "masked_bytes"), [(True, 1), (False, 2)])
def test_other_masking_is_seen(
    superuser: Page, matomo_by_tls: MatomoByTls, enabled: bool, masked_bytes: int
) -> None:
    set_masking(matomo_by_tls, enabled=enabled, masked_bytes=masked_bytes)
    AnonymizeDataPage(superuser).open()
    with soon_red("checked"):
        expect_two_bytes_masked(superuser)


@plugins_page
@plugins_page_log
@pytest.mark.parametrize("change", ["plugin:activate UserId", "plugin:deactivate NoUserIds"])
@pytest.mark.slow(reason="waits for what must not appear")
def test_another_plugin_is_seen(superuser: Page, matomo_by_tls: MatomoByTls, change: str) -> None:
    matomo_by_tls.instance.shell.console(*change.split())
    Plugins(superuser).open()
    with soon_red(change.split()[1]):
        expect_the_plugins_of_the_policy(superuser)


@pytest.mark.slow(reason="waits for what must not appear")
def test_a_second_factor_that_is_not_enforced_is_seen(
    page: Page, matomo_by_tls: MatomoByTls
) -> None:
    set_key(matomo_by_tls, "TwoFactorAuth", "twoFactorAuthRequired", 0)
    user = new_user(matomo_by_tls.instance)
    page.goto("")
    with soon_red("visible"):
        expect_enrolment_is_forced(page, user.login, user.password)
    expect(Menu(page).sign_out).to_be_visible()


@pytest.mark.nightly(reason="the others of this module suffice")
@setup_page
@pytest.mark.slow(reason="waits for what must not appear")
def test_a_missing_second_factor_is_seen(page: Page, matomo_by_tls: MatomoByTls) -> None:
    account = enrolled_user(matomo_by_tls.instance)
    matomo_by_tls.instance.shell.console(
        "twofactorauth:disable-2fa-for-user", f"--login={account.login}"
    )
    page.goto("")
    with soon_red("visible"):
        expect_a_code_is_asked_for(page, account)
    expect(Enrolment(page).heading).to_be_visible()


@pytest.mark.parametrize(("hours", "says"), [(30, "warning"), (50, "error")])
def test_a_stopped_archiver_is_seen(
    superuser: Page, matomo_by_tls: MatomoByTls, hours: int, says: str
) -> None:
    ended = str(int(time.time()) - hours * 3600)
    matomo_by_tls.instance.database.query(
        "REPLACE INTO {prefix}option (option_name, option_value) VALUES (%s, %s)",
        *("LastCompletedFullArchiving", ended),
    )
    SystemCheck(superuser).open()
    with soon_red(f"expected no {says}.*Last Successful Archiving"):
        expect_a_clean_system_check(superuser)


@pytest.mark.nightly(reason="the others of this module suffice")
@pytest.mark.slow(reason="waits for what must not appear")
def test_a_user_with_more_than_view_is_seen(
    matomo_by_tls: MatomoByTls, another_browser: Callable[..., Page]
) -> None:
    page = another_browser(enrolled_user(matomo_by_tls.instance, "admin"))
    admin.open_page(page, "UsersManager", "userSettings")
    with soon_red("count"):
        expect_no_administration(page)


def test_open_archiving_settings_are_seen(superuser: Page, matomo_by_tls: MatomoByTls) -> None:
    open_general_settings(matomo_by_tls)
    GeneralSettings(superuser).open()
    with soon_red("count"):
        expect_archiving_is_closed(superuser)


@pytest.mark.nightly(reason="archives twice")
@pytest.mark.slow(reason="waits for what must not appear")
def test_missing_archiving_and_browser_archiving_are_seen(
    superuser: Page, matomo_by_tls: MatomoByTls
) -> None:
    library = make_library(matomo_by_tls)
    day = library.of_first_day(superuser)
    day.open("General_Visitors", "General_Overview")
    expect(day.widget("Visits Overview")).to_be_visible()
    with soon_red("visits"):
        expect_figures(day, library.one_day)

    set_key(matomo_by_tls, "General", "enable_browser_archiving_triggering", 1)
    superuser.reload()
    expect(day.widget("Visits Overview")).to_be_visible()
    with soon_red("0 visits"):
        expect_nothing(day)
