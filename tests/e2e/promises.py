"""What the GUI must show, as assertions: test_seen_red.py breaks each and has it fail."""

from typing import Final

from playwright.sync_api import Page, expect

from matomo_harness.gate.catalogue import read_policy
from matomo_harness.gate.probes.browser import AnonymizeDataPage, CodePage, LoginPage, Menu
from matomo_harness.gate.promises.masking.checks import Masking
from matomo_harness.gate.promises.plugins import checks as plugins
from matomo_harness.matomo.traffic import Figures
from matomo_harness.matomo.twofactor import Account
from matomo_harness.policy import promised
from tests.e2e.pages.admin import AdminMenu
from tests.e2e.pages.enrolment import Enrolment
from tests.e2e.pages.general_settings import GeneralSettings
from tests.e2e.pages.plugins import Plugins
from tests.e2e.pages.report import Report
from tests.e2e.pages.system_check import SystemCheck

PATIENCE_MS: Final = 20_000
"""A page of Matomo takes a second, and several on two cores that others use as well."""
ARCHIVING: Final = "Archiving settings"
MAIL: Final = "Email server settings"
WARNINGS: Final = {
    "Required Private Directories",  # Matomo asks itself over HTTP, under a name of ours
    "Recommended Private Directories",
    "File integrity",  # Debian's package has no list of files
    "Database abilities",
    "Max Packet Size",
    "Geolocation",
}
"""Known warnings of the system check; no error is ever accepted."""


def expect_two_bytes_masked(page: Page) -> None:
    """Anonymize data, open in `page`, shows masking on and two bytes chosen, and no other."""
    privacy = AnonymizeDataPage(page)
    expect(privacy.masking).to_be_checked()
    for masked_bytes in (1, 2, 3, 4):
        choice = expect(privacy.choice(masked_bytes))
        choice.to_be_checked(checked=masked_bytes == read_policy().section(Masking).bytes)


def expect_the_plugins_of_the_policy(page: Page) -> None:
    """The plugins page, open in `page`, shows the plugins of the policy active, and no other."""
    section = read_policy().section(plugins.Plugins)
    active = promised(section.active)
    statuses = Plugins(page).statuses()
    shown = {name for name, status in statuses.items() if status.startswith("Active")}
    # Those that cannot be switched off are not on the page.
    missing = {name for name in active if name in statuses} - shown
    extra = shown - {*active, *section.where_present}
    assert not missing, f"expected them to be active: {missing}"
    assert not extra, f"expected them to be inactive: {extra}"


def expect_a_code_is_asked_for(page: Page, account: Account) -> None:
    """Name and password of `account`, given to the login in `page`, are not enough."""
    LoginPage(page).log_in(account.login, account.password)
    expect(CodePage(page).code).to_be_visible()
    expect(Menu(page).sign_out).to_have_count(0)


def expect_enrolment_is_forced(page: Page, login: str, password: str) -> None:
    """A user without a second factor gets no further than its setup, from the login in `page`."""
    LoginPage(page).log_in(login, password)
    expect(Enrolment(page).heading).to_be_visible()
    expect(Menu(page).sign_out).to_have_count(0)


def expect_archiving_is_closed(page: Page) -> None:
    """General settings, open in `page`, offer nobody to archive from the browser."""
    settings = GeneralSettings(page)
    expect(settings.section(ARCHIVING)).to_have_count(0)
    expect(settings.archiving_from_browser).to_have_count(0)
    expect(settings.section(MAIL)).to_have_count(0)


def expect_a_clean_system_check(page: Page) -> None:
    """The system check, open in `page`, shows no error, and no warning that is not known."""
    check = SystemCheck(page)
    errors, unknown = check.errors(), set(check.warnings()) - WARNINGS
    assert not errors, f"expected no error: {errors}"
    assert not unknown, f"expected no warning beyond the known ones: {unknown}"


def expect_no_administration(page: Page) -> None:
    """A user's own settings, open in `page`, lead to no page of the administration."""
    menu = AdminMenu(page)
    expect(menu.entry("Personal")).to_be_visible()
    for closed in ("System", "Privacy", "Plugins", "Diagnostic", "Websites"):
        expect(menu.entry(closed)).to_have_count(0)


def expect_figures(report: Report, figures: Figures) -> None:
    """The visitors overview shows exactly these figures."""
    overview = report.widget("Visits Overview")
    minutes, seconds = divmod(figures.average_seconds, 60)
    for text in (
        f"{figures.visits} visits",
        f"{figures.actions} pageviews",
        f"{figures.bounce_rate} visits have bounced",
        f"{minutes} min {seconds}s average visit duration",
    ):
        expect(overview).to_contain_text(text)


def expect_nothing(report: Report) -> None:
    """The visitors overview has nothing to show: nobody archived, and opening it does not."""
    expect(report.widget("Visits Overview")).to_contain_text("0 visits")
