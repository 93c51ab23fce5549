"""What Administration shows of the deployment: plugins, system check, general settings."""

import pytest
from playwright.sync_api import Page, expect

from matomo_harness.pytest_plugin import MatomoByTls
from tests.e2e.changes import open_general_settings
from tests.e2e.evidence import Evidence
from tests.e2e.known import plugins_page, plugins_page_log
from tests.e2e.pages.general_settings import GeneralSettings
from tests.e2e.pages.plugins import Plugins
from tests.e2e.pages.system_check import SystemCheck
from tests.e2e.promises import (
    ARCHIVING,
    MAIL,
    expect_a_clean_system_check,
    expect_archiving_is_closed,
    expect_the_plugins_of_the_policy,
)

pytestmark = pytest.mark.all_versions(reason="the pages are the version's")


@plugins_page
@plugins_page_log
def test_the_plugins_page_shows_the_plugins_of_the_policy(
    superuser: Page, evidence: Evidence
) -> None:
    Plugins(superuser).open()
    expect_the_plugins_of_the_policy(superuser)
    evidence.keep(superuser, "UserId is inactive and the policy's plugins are active")


def test_the_system_check_shows_no_error_and_no_unknown_warning(
    superuser: Page, matomo_by_tls: MatomoByTls, evidence: Evidence
) -> None:
    matomo_by_tls.archive()  # where nothing ever archived, the system check warns
    SystemCheck(superuser).open()
    expect_a_clean_system_check(superuser)
    evidence.keep(superuser, "The system check shows no error")


def test_general_settings_offer_no_archiving_from_the_browser(
    superuser: Page, evidence: Evidence
) -> None:
    GeneralSettings(superuser).open()
    expect_archiving_is_closed(superuser)
    evidence.keep(superuser, "General settings have no archiving and no mail to change")


def test_opened_general_settings_show_archiving_off_and_the_mail_server(
    superuser: Page, matomo_by_tls: MatomoByTls
) -> None:
    open_general_settings(matomo_by_tls)
    settings = GeneralSettings(superuser)
    settings.open()
    expect(settings.section(ARCHIVING)).to_be_visible()
    expect(settings.archiving_from_browser).to_have_value("0")
    expect(settings.section(MAIL)).to_be_visible()
    expect(settings.field("SMTP server address")).to_have_value("mail")
    expect(settings.field("SMTP Port")).to_have_value("587")
