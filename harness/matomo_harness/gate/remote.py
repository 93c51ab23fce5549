"""A running Matomo that is not ours: what is seen from outside, if it can be looked at at all."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import requests

from matomo_harness.errors import BrokenPromiseError, HarnessError, WrongInputError
from matomo_harness.gate.core.target import PATIENCE, Http, Permissions, Target
from matomo_harness.matomo import twofactor, versions
from matomo_harness.matomo.api import Api, ApiError
from matomo_harness.matomo.twofactor import Account
from matomo_harness.matomo.web import Page, Web
from matomo_harness.policy import Policy

VARIABLES: Final = ("HARNESS_LOGIN", "HARNESS_PASSWORD", "HARNESS_TOTP_SECRET")


def target(
    url: str,
    policy: Policy,
    *,
    authority: Path | None = None,
    allow_hits: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Target:
    """Return the Matomo at `url` as a target that is only looked at.

    Args:
        url: its address.
        policy: what is promised of it.
        authority: file with whoever signed its certificate; the public ones where None.
        allow_hits: hits may be stored, on one site of the name `matomo-harness gate`.
        environment: HARNESS_TOKEN; HARNESS_LOGIN, HARNESS_PASSWORD, HARNESS_TOTP_SECRET.

    Raises:
        WrongInputError: no Matomo there, or none that can be looked at; a refused token or login.
        UnsupportedEnvironmentError: no answer.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise _wrong(
            "an address that begins with http:// or https://", url, "make gate URL=https://…"
        )
    url = url.rstrip("/").removesuffix("/index.php")
    web = Web(url, authority=authority, time_limit=PATIENCE)
    _require_matomo(web)
    token = environment.get("HARNESS_TOKEN") or None
    version = _require_version(Api(web, token)) if token else "not asked (no HARNESS_TOKEN)"
    account = _account(environment)
    if account:
        _require_login(Web(url, authority=authority, time_limit=PATIENCE), account)
    return Target(
        http=Http(url, authority, _clear_text(url), PATIENCE),
        policy=policy,
        permissions=Permissions(may_hit=allow_hits),
        token=token,
        account=account,
        about={"address": url, "Matomo": version},
    )


def _clear_text(url: str) -> str | None:
    """Return the same host by http; who has a port of his own for TLS has another for that."""
    parts = urlsplit(url)
    known = parts.scheme == "https" and parts.port is None
    return parts._replace(scheme="http").geturl() if known else None


def _require_matomo(web: Web) -> None:
    answer = web.get()
    page = Page(answer)
    if 'name="form_login"' in answer.text:
        return
    seen = f"HTTP {answer.status_code}: {page.excerpt[:200]}"
    said = page.excerpt.lower()
    if "maintenance" in said:
        raise _wrong(
            "a Matomo that is open",
            f"its page of the maintenance mode ({seen})",
            f"curl {web.url}/, later",
        )
    if "database upgrade" in said or "action=runUpdaterAndExitIfNoUpdate" in answer.text:
        raise _wrong(
            "a Matomo whose database is of its own version",
            f"its page for an update of the database ({seen})",
            "php console core:update, there",
        )
    raise _wrong(f"the login form of a Matomo at {web.url}", seen, f"open {web.url}/")


def _require_version(api: Api) -> str:
    try:
        version = str(api.call("API.getMatomoVersion")["value"])
    except ApiError as error:
        raise _wrong(
            "HARNESS_TOKEN to be a superuser's token that is taken",
            error.seen[:200],
            "make one: Administration, Personal, Security, Auth tokens",
        ) from error
    if not versions.is_supported(version):
        raise _wrong(
            f"Matomo {versions.RANGE}, which these checks are made for",
            f"Matomo {version}",
            "take the harness that was made for it",
        )
    return version


def _account(environment: Mapping[str, str]) -> Account | None:
    given = [name for name in VARIABLES if environment.get(name)]
    if not given:
        return None
    if len(given) < len(VARIABLES):
        missing = next(name for name in VARIABLES if name not in given)
        raise _wrong("all of " + ", ".join(VARIABLES), f"no {missing}", f"export {missing}=…")
    return Account(*(environment[name] for name in VARIABLES))


def _require_login(web: Web, account: Account) -> None:
    try:
        # Not the code that the checks give: each is taken once.
        page = twofactor.sign_in(web, account, steps=1)
    except (BrokenPromiseError, ValueError) as error:
        seen = error.seen if isinstance(error, HarnessError) else "a secret that is no base32"
        raise _wrong(
            "login, password and code of a superuser to be taken",
            seen[:200],
            "check these three variables, and this machine's clock",
        ) from error
    if page.response.status_code != requests.codes.ok:
        raise _wrong(
            "a page behind the login", f"HTTP {page.response.status_code}", f"open {web.url}/"
        )


def _wrong(expected: str, seen: str, next_command: str) -> WrongInputError:
    return WrongInputError(expected=expected, seen=seen, next_command=next_command)
