"""Second factors: compute codes, and enrol a user over HTTP as a person would."""

import base64
import time
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.matomo.web import Page, Web

SETUP: Final = "TwoFactorAuth.SetupTwoFactorAuth"
ASK: Final = "TwoFactorAuth.LoginTwoFactorAuth"
STEP_SECONDS: Final = 30
"""How long a code is valid by RFC 6238; Matomo takes two more on either side, each code once."""


@dataclass(frozen=True)
class Account:
    """What a person with an enrolled second factor knows.

    Args:
        login: the user's name.
        password: the user's password.
        secret: base32, 16 characters (80 bits, Matomo's own length); empty where there is no
            second factor.
    """

    login: str
    password: str = field(repr=False)
    secret: str = field(repr=False)


def code(secret: str, *, steps: int = 0) -> str:
    """Return the six digits for now, or for `steps` half minutes from now.

    Matomo takes each code once in ten minutes and accepts -2 to +2 steps: logins that follow each
    other closely use different steps.
    """
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    # Matomo's secrets have 80 bits, fewer than the library's lower bound for new ones.
    totp = TOTP(key, 6, SHA1(), STEP_SECONDS, enforce_key_length=False)  # noqa: S303  RFC 6238
    return totp.generate(int(time.time()) + steps * STEP_SECONDS).decode()


def seconds_left() -> int:
    """Return the seconds until the next code."""
    return STEP_SECONDS - int(time.time()) % STEP_SECONDS


def log_in(web: Web, login: str, password: str, *, remember: bool = False) -> Page:
    """Log in with a password; return what follows: dashboard, enrolment or the code's form.

    Args:
        web: the conversation.
        login: the name.
        password: the password.
        remember: whether the session's cookie is to outlive the browser ("Remember Me").

    Raises:
        BrokenPromiseError: the login was refused.
    """
    page = Page(web.get({"module": "Login"}))
    form = {
        "form_login": login,
        "form_password": password,
        "form_nonce": page.form_value("form_nonce"),
        **({"form_rememberme": "1"} if remember else {}),
    }
    answer = web.post({"module": "Login"}, form)
    if answer.status_code != 302:
        raise BrokenPromiseError(
            expected=f"the login of {login} to be accepted",
            seen=f"HTTP {answer.status_code}: {Page(answer).excerpt}",
            next_command="check the password",
        )
    return Page(web.get())


def sign_in(web: Web, account: Account, *, steps: int = 2) -> Page:
    """Log in with password and code; return the page that follows.

    Args:
        web: the conversation that is logged in afterwards.
        account: a user with or without an enrolled second factor.
        steps: how many half minutes from now the code is of; Matomo takes each code once.

    Raises:
        BrokenPromiseError: the password or the code is refused.
    """
    page = log_in(web, account.login, account.password)
    if page.component != ASK:
        return page
    if not account.secret:
        raise BrokenPromiseError(
            expected=f"{account.login} to be asked for no code, as there is no secret",
            seen="the form for a code: HARNESS_TOTP_SECRET is missing",
            next_command="export HARNESS_TOTP_SECRET=…",
        )
    form = {
        "form_authcode": code(account.secret, steps=steps),
        "form_nonce": page.attribute(ASK, "form-nonce").strip('"'),
    }
    answer = web.post({"module": "TwoFactorAuth", "action": "loginTwoFactorAuth"}, form)
    if answer.status_code != 302:
        raise BrokenPromiseError(
            expected=f"the code of {account.login} to be accepted",
            seen=f"HTTP {answer.status_code}: {Page(answer).excerpt}",
            next_command="each code is accepted once: wait for the next",
        )
    return Page(web.get())


def first_login(web: Web, login: str, password: str) -> Account:
    """Log in for the first time and enrol a second factor where that is enforced.

    Raises:
        BrokenPromiseError: the password or the code is refused.
    """
    page = log_in(web, login, password)
    return (
        _enrol(web, page, login, password)
        if page.component == SETUP
        else Account(login, password, "")
    )


def enrol(web: Web, login: str, password: str) -> Account:
    """Log in as a user without a second factor and go through the enforced enrolment.

    Raises:
        BrokenPromiseError: no enrolment is asked for, or the code is refused.
    """
    return _enrol(web, log_in(web, login, password), login, password)


def _enrol(web: Web, page: Page, login: str, password: str) -> Account:
    secret = page.attribute(SETUP, "new-secret").strip('"')
    form = {
        "authCode": code(secret),
        "authCodeNonce": page.attribute(SETUP, "auth-code-nonce").strip('"'),
    }
    answer = web.post({"module": "TwoFactorAuth", "action": "onLoginSetupTwoFactorAuth"}, form)
    if answer.status_code != 302:
        raise BrokenPromiseError(
            expected=f"the second factor of {login} to be enrolled",
            seen=f"HTTP {answer.status_code}: {Page(answer).excerpt}",
            next_command="compare this machine's clock with the container's",
        )
    return Account(login, password, secret)
