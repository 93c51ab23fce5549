"""Second factors: enrolled at the first login, asked for ever after, lost and renewed."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from matomo_harness.gate.probes.browser import CodePage, LoginPage, Menu
from matomo_harness.matomo import twofactor
from matomo_harness.matomo.twofactor import Account
from matomo_harness.pytest_plugin import MatomoByTls
from tests.e2e.evidence import Evidence
from tests.e2e.known import setup_page
from tests.e2e.pages.dashboard import Dashboard
from tests.e2e.pages.enrolment import Enrolment
from tests.e2e.promises import expect_a_code_is_asked_for, expect_enrolment_is_forced
from tests.e2e.users import enrolled_user, new_user

pytestmark = pytest.mark.all_versions(reason="login and enrolment are the version's")


@pytest.fixture
def with_a_visit(matomo_by_tls: MatomoByTls) -> MatomoByTls:
    """An instance with a visit; without one Matomo shows how to track, and no dashboard."""
    assert matomo_by_tls.instance.web.ask("matomo.php?idsite=1&rec=1").ok
    return matomo_by_tls


def test_a_login_asks_for_a_code(page: Page, matomo_by_tls: MatomoByTls) -> None:
    page.goto("")
    expect_a_code_is_asked_for(page, matomo_by_tls.instance.account)


@setup_page
@pytest.mark.slow(reason="many pages, one after the other")
def test_a_first_login_enrols_the_secret_of_the_qr_code(
    page: Page, with_a_visit: MatomoByTls, evidence: Evidence
) -> None:
    user = new_user(with_a_visit.instance)
    page.goto("")
    expect_enrolment_is_forced(page, user.login, user.password)

    enrolment = Enrolment(page)
    codes = enrolment.recovery_codes
    assert len(set(codes)) == 10
    saved = Path(enrolment.download_recovery_codes().path()).read_text()
    assert saved.split() == [code.replace("-", "") for code in codes]
    enrolment.go_on()
    enrolment.show_secret()
    secret = enrolment.secret
    assert enrolment.secret_of_picture() == secret
    enrolment.close_secret()
    enrolment.confirm(twofactor.code(secret))

    expect(Dashboard(page).widgets.first).to_be_visible()
    evidence.keep(page, "A first login ends on the dashboard with a second factor")


@pytest.mark.slow(reason="two logins")
def test_a_login_takes_no_wrong_and_no_used_code(
    page: Page, matomo_by_tls: MatomoByTls, evidence: Evidence
) -> None:
    account = enrolled_user(matomo_by_tls.instance)
    page.goto("")
    expect_a_code_is_asked_for(page, account)
    evidence.keep(page, "A login asks for a second factor")
    form = CodePage(page)
    code = twofactor.code(account.secret, steps=1)

    form.give(_wrong(account))
    expect(form.refused).to_be_visible()
    form.give(code)
    expect(Menu(page).sign_out).to_be_visible()

    _forget_the_session(page)
    expect_a_code_is_asked_for(page, account)
    form.give(code)
    expect(form.refused).to_be_visible()


@pytest.mark.slow(reason="two logins")
def test_a_recovery_code_works_once(page: Page, matomo_by_tls: MatomoByTls) -> None:
    account = enrolled_user(matomo_by_tls.instance)
    code = matomo_by_tls.instance.database.query(
        "SELECT recovery_code FROM {prefix}twofactor_recovery_code WHERE login = %s", account.login
    )[0]["recovery_code"]
    page.goto("")
    LoginPage(page).log_in(account.login, account.password)
    CodePage(page).give(code)
    expect(Menu(page).sign_out).to_be_visible()

    _forget_the_session(page)
    LoginPage(page).log_in(account.login, account.password)
    CodePage(page).give(code)
    expect(CodePage(page).refused).to_be_visible()


@setup_page
@pytest.mark.slow(reason="many pages, one after the other")
def test_a_lost_device_is_reset_on_the_console_and_another_is_enrolled(
    page: Page, matomo_by_tls: MatomoByTls
) -> None:
    lost = enrolled_user(matomo_by_tls.instance)
    matomo_by_tls.instance.shell.console(
        "twofactorauth:disable-2fa-for-user", f"--login={lost.login}"
    )
    page.goto("")
    expect_enrolment_is_forced(page, lost.login, lost.password)
    enrolment = Enrolment(page)
    enrolment.download_recovery_codes()
    enrolment.go_on()
    enrolment.show_secret()
    secret = enrolment.secret
    assert secret != lost.secret
    enrolment.close_secret()
    enrolment.confirm(twofactor.code(secret))
    expect(Menu(page).sign_out).to_be_visible()


def _forget_the_session(page: Page) -> None:
    """Open the login without a session, once no page requests anything in the old one."""
    page.goto("about:blank")
    page.context.clear_cookies()
    page.goto("")


def _wrong(account: Account) -> str:
    taken = {twofactor.code(account.secret, steps=steps) for steps in range(-4, 5)}
    return next(code for code in ("000000", "111111") if code not in taken)
