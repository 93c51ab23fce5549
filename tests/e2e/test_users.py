"""Users as a superuser makes them and as they help themselves, with the mails in between."""

import re
import secrets
from collections.abc import Callable

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Page, expect

from matomo_harness.gate.probes.browser import CodePage, LoginPage, Menu
from matomo_harness.matomo import twofactor
from matomo_harness.pytest_plugin import MatomoByTls
from tests.e2e.known import setup_page
from tests.e2e.pages import admin
from tests.e2e.pages.enrolment import Enrolment
from tests.e2e.pages.invitation import Invitation
from tests.e2e.pages.lost_password import LostPassword
from tests.e2e.pages.users import Users
from tests.e2e.promises import expect_no_administration
from tests.e2e.users import enrolled_user

pytestmark = pytest.mark.all_versions(reason="the pages and the mails are the version's")


def test_the_superuser_is_on_the_page_of_users(superuser: Page, matomo_by_tls: MatomoByTls) -> None:
    users = Users(superuser)
    users.open()
    expect(users.row(matomo_by_tls.instance.account.login)).to_be_visible()


@setup_page
@pytest.mark.slow(reason="many pages, one after the other")
def test_an_invited_user_chooses_a_password_and_may_view(
    superuser: Page, matomo_by_tls: MatomoByTls, another_browser: Callable[[], Page]
) -> None:
    instance = matomo_by_tls.instance
    login, email, password = _new_login()
    users = Users(superuser)
    users.open()
    users.invite(login, email, confirmed_by=instance.account.password)
    mail = matomo_by_tls.mailbox.wait_for(email, "invite")
    links = [
        str(anchor["href"]) for anchor in BeautifulSoup(mail.html, "html.parser").select("a[href]")
    ]
    (link,) = [url for url in links if "acceptInvitation" in url]
    assert link.startswith(f"{instance.url}/")

    page = another_browser()
    page.goto(link)
    Invitation(page).accept(password)
    expect(Enrolment(page).heading.or_(LoginPage(page).name).first).to_be_visible()

    users.open()
    expect(users.row(login)).to_contain_text("Active")
    expect(users.role_of(login)).to_have_value("View")


@pytest.mark.browser_error("^403 POST ", reason="a wrong password is refused this way")
@pytest.mark.slow(reason="many pages, one after the other")
def test_a_lost_password_is_renewed_by_mail_and_the_old_one_refused(
    page: Page, matomo_by_tls: MatomoByTls
) -> None:
    instance = matomo_by_tls.instance
    account = enrolled_user(instance)
    email = instance.api.call("UsersManager.getUser", userLogin=account.login)["email"]
    new_password = secrets.token_urlsafe(12)
    page.goto("")
    lost = LostPassword(page)
    lost.ask(account.login, new_password)
    expect(lost.sent).to_be_visible()
    mail = matomo_by_tls.mailbox.wait_for(email, "Reset your")
    (link,) = {url for url in mail.links if "action=confirmResetPassword" in url}
    assert link.startswith(f"{instance.url}/")
    page.goto(link)
    lost.confirm(new_password)
    expect(page.get_by_text("You can now use your new password")).to_be_visible()

    login = LoginPage(page)
    login.log_in(account.login, account.password)
    expect(page.get_by_text("Wrong username and/or password")).to_be_visible()
    login.log_in(account.login, new_password)
    CodePage(page).give(twofactor.code(account.secret, steps=1))
    expect(Menu(page).sign_out).to_be_visible()


@pytest.mark.browser_error(
    "^(401|403|500) GET .*action=generalSettings",
    reason="a user without access is refused this way",
)
@pytest.mark.matomo_log(
    "action=generalSettings", reason="Matomo answers 500 to a user without access"
)
@pytest.mark.slow(reason="many pages, one after the other")
def test_a_view_user_finds_no_administration(
    matomo_by_tls: MatomoByTls, another_browser: Callable[..., Page]
) -> None:
    page = another_browser(enrolled_user(matomo_by_tls.instance))
    admin.open_page(page, "UsersManager", "userSettings")
    expect_no_administration(page)

    admin.open_page(page, "CoreAdminHome", "generalSettings")
    expect(page.get_by_text(re.compile("You can't access this resource"))).to_be_visible()


def _new_login() -> tuple[str, str, str]:
    """Return a login, an address and a password."""
    login = f"invited-{secrets.token_hex(4)}"
    return login, f"{login}@people.example", secrets.token_urlsafe(12)
