"""Mail from Matomo, by MATOMO_MAIL_* alone: it comes, in TLS, or an error says why not."""

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.matomo.mail import Mail
from matomo_harness.matomo.versions import RESET_WAS_ASKED_FOR
from matomo_harness.matomo.web import Page, Web
from matomo_harness.runtime.containers import MatomoContainer
from matomo_harness.runtime.production import Production

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
    matomo_production: Production,
) -> None:
    login = matomo_production.instance.account.login
    web = matomo_production.instance.web
    # As in production, where the address has no port; with one, Matomo's own sender is no address.
    web.session.headers["Host"] = PUBLIC_HOST
    ask_for_reset(web, login)
    address = email_of(matomo_production, login)
    mail = matomo_production.mail.mailbox.wait_for(address, "password")
    assert mail.sender == f"noreply@{PUBLIC_HOST}"
    (link,) = [it for it in mail.links if "confirmResetPassword" in it]
    path = link.removeprefix(f"https://{PUBLIC_HOST}/")
    assert path != link
    assert "mtmpasswordconfirm" in web.ask(path).text


def email_of(production: Production, login: str) -> str:
    (row,) = production.instance.database.query(
        "SELECT email FROM {prefix}user WHERE login = %s", login
    )
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
def test_a_test_mail_of_the_console_comes(production: Production) -> None:
    assert send(production.matomo, production).subject


def send(matomo: MatomoContainer, production: Production) -> Mail:
    """Send a mail by Matomo's console and return what came."""
    address = f"{secrets.token_hex(4)}@discovery.example"
    matomo.shell.console("core:test-email", address)
    return production.mail.mailbox.wait_for(address, "", seconds=5)


@contextmanager
def task(production: Production, environment: dict[str, str]) -> Iterator[MatomoContainer]:
    with production.task(environment) as started:
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
def test_what_is_wrong_is_said_and_nothing_is_sent(
    production: Production, environment: dict[str, str], complaint: str
) -> None:
    before = len(production.mail.mailbox.mails())
    refusal = pytest.raises(BrokenPromiseError, match=f"(?i){complaint}")
    with task(production, environment) as matomo, refusal:
        send(matomo, production)
    assert len(production.mail.mailbox.mails()) == before


def test_the_relay_s_password_is_in_no_log(
    production: Production, figure: Callable[[str], None]
) -> None:
    mail = send(production.matomo, production)
    figure(f"from {mail.sender}")
    for container in (production.mail, production.matomo):
        assert production.mail.password not in container.log
