"""Mail from Matomo, set up by MATOMO_MAIL_* alone: it arrives by TLS, or an error says why not."""

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.matomo.mail import MailMessage
from matomo_harness.matomo.versions import RESET_WAS_ASKED_FOR
from matomo_harness.matomo.web import Page, Web
from matomo_harness.runtime.containers import WebContainer
from matomo_harness.runtime.full_stack import FullStack

SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
PUBLIC_HOST = "analytics.discovery.example"
NEW_PASSWORD = "another-password-1"


@pytest.mark.matomo_environment(
    MATOMO_GENERAL_TRUSTED_HOSTS=f'["{PUBLIC_HOST}"]',
    MATOMO_GENERAL_NOREPLY_EMAIL_ADDRESS="noreply@{DOMAIN}",  # Matomo's own
)
@pytest.mark.all_versions(reason="the mail is Matomo's")
@pytest.mark.slow(reason="a deployment of its own")
def test_a_password_reset_mail_links_to_the_public_https_address(
    matomo_production: FullStack,
) -> None:
    login = matomo_production.instance.account.login
    web = matomo_production.instance.web
    # In production the address has no port; with a port, Matomo's own sender is no valid address.
    web.session.headers["Host"] = PUBLIC_HOST
    ask_for_reset(web, login)
    address = email_of(matomo_production, login)
    mail = matomo_production.mail.mailbox.wait_for(address, "password")
    assert mail.sender == f"noreply@{PUBLIC_HOST}"
    (link,) = [url for url in mail.links if "confirmResetPassword" in url]
    path = link.removeprefix(f"https://{PUBLIC_HOST}/")
    assert path != link
    assert "mtmpasswordconfirm" in web.ask(path).text


def email_of(stack: FullStack, login: str) -> str:
    (row,) = stack.instance.database.query("SELECT email FROM {prefix}user WHERE login = %s", login)
    return str(row["email"])


def ask_for_reset(web: Web, login: str) -> None:
    page = Page(web.get({"module": "Login"}))
    form = {
        "form_login": login,
        "form_password": NEW_PASSWORD,
        "form_password_bis": NEW_PASSWORD,
        "form_nonce": page.form_value("form_nonce"),
        "module": "Login",
        "action": "resetPassword",
    }
    answer = web.post({"module": "Login", "action": "resetPassword"}, form)
    assert re.search(RESET_WAS_ASKED_FOR, answer.text), answer.text


@pytest.mark.all_versions(reason="Matomo sends")
def test_a_test_mail_of_the_console_arrives(stack: FullStack) -> None:
    assert send(stack.matomo, stack).subject


def send(matomo: WebContainer, stack: FullStack) -> MailMessage:
    """Send a mail by Matomo's console and return what arrived."""
    address = f"{secrets.token_hex(4)}@discovery.example"
    matomo.shell.console("core:test-email", address)
    return stack.mail.mailbox.wait_for(address, "", seconds=5)


@contextmanager
def task(stack: FullStack, environment: dict[str, str]) -> Iterator[WebContainer]:
    with stack.task(environment) as started:
        yield started


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"MATOMO_MAIL_PASSWORD": "wrong"}, "authenticat"),
        ({"MATOMO_MAIL_TYPE": ""}, "530"),
        ({"MATOMO_MAIL_ENCRYPTION": "none"}, "authenticate"),
        ({"MATOMO_MAIL_PORT": "25"}, "connect"),
        ({"SSL_CERT_FILE": SYSTEM_AUTHORITIES}, "certificate verify failed"),
    ],
    ids=["wrong password", "no login", "clear text", "wrong port", "an unknown authority"],
)
def test_a_wrong_mail_setting_is_named_and_sends_nothing(
    stack: FullStack, environment: dict[str, str], complaint: str
) -> None:
    before = len(stack.mail.mailbox.mails())
    refusal = pytest.raises(BrokenPromiseError, match=f"(?i){complaint}")
    with task(stack, environment) as matomo, refusal:
        send(matomo, stack)
    assert len(stack.mail.mailbox.mails()) == before


def test_the_password_of_the_relay_is_in_no_log(
    stack: FullStack, figure: Callable[[str], None]
) -> None:
    mail = send(stack.matomo, stack)
    figure(f"from {mail.sender}")
    for container in (stack.mail, stack.matomo):
        assert stack.mail.password not in container.log
