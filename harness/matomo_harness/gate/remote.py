"""A running Matomo that is not ours, as a target: what can be seen of it with what was given."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import requests

from matomo_harness.errors import BrokenPromiseError, HarnessError, WrongInputError
from matomo_harness.gate.core.check import Capability
from matomo_harness.gate.core.target import PATIENCE, Http, Permissions, Target
from matomo_harness.matomo import read_only, twofactor, versions
from matomo_harness.matomo.api import Api, ApiError, all_rows
from matomo_harness.matomo.inside import ReadOnlyContainer
from matomo_harness.matomo.read_only import Address, OpenDatabase, ReadOnlyDatabase
from matomo_harness.matomo.twofactor import Account
from matomo_harness.matomo.web import Page, Web
from matomo_harness.policy import Policy

VARIABLES: Final = ("HARNESS_LOGIN", "HARNESS_PASSWORD", "HARNESS_TOTP_SECRET")

ANGULAR: Final = re.compile(r"<html[^>]* ng-app=")
"""Matomo 4 and older make their pages with AngularJS (plugins/Morpheus/templates/layout.twig)."""


def target(
    url: str,
    policy: Policy,
    *,
    authority: Path | None = None,
    allow_hits: bool = False,
    environment: Mapping[str, str] = os.environ,
    container: ReadOnlyContainer | None = None,
    database: Address | None = None,
) -> Target:
    """Return the Matomo at `url` as a target that is only read.

    Args:
        url: its address.
        policy: what is promised of it.
        authority: file with the authority that signed its certificate; the public ones where None.
        allow_hits: whether hits may be stored, on one site named `matomo-harness gate`.
        environment: may hold HARNESS_TOKEN; HARNESS_LOGIN, HARNESS_PASSWORD and
            HARNESS_TOTP_SECRET.
        container: its container, if that is reached.
        database: its database, if that is reached.

    Raises:
        WrongInputError: no Matomo is there, or none that can be inspected; or it refuses the token
            or the login.
        UnsupportedEnvironmentError: nothing answers.
    """
    url = _address(url, "make gate URL=https://…")
    if container:
        _require_supported(container.version, container.name)
    opened = read_only.opened(database) if database else None
    if opened:
        _require_supported(opened.version, f"the database {opened.database.name}")
    web = Web(url, authority=authority, time_limit=PATIENCE)
    _require_matomo(web)
    token = environment.get("HARNESS_TOKEN") or None
    version = "not asked (no HARNESS_TOKEN)"
    if token:
        api = Api(web, token)
        version = _require_version(api)
        _require_superuser(api)
        if opened:
            _require_same_sites(api, opened.database)
    account = _account(environment)
    if account:
        _require_login(Web(url, authority=authority, time_limit=PATIENCE), account)
    return Target(
        http=Http(url, authority, _clear_text(url), PATIENCE),
        policy=policy,
        permissions=Permissions(may_hit=allow_hits),
        token=token,
        account=account,
        container=container,
        database=opened.database if opened else None,
        about={
            "address": url,
            "Matomo": version,
            **({"container": container.name} if container else {}),
            **(_about_database(opened) if opened else {}),
        },
    )


def signed_in(url: str, *, authority: Path | None) -> Web:
    """Return the conversation with the Matomo at `url` of the superuser whom VARIABLES name.

    Args:
        url: its address.
        authority: as in `target`.

    Raises:
        WrongInputError: no supported Matomo is there, or it refuses the login.
        UnsupportedEnvironmentError: nothing answers.
    """
    account = _account(os.environ)
    if account is None:
        raise WrongInputError(
            Capability.LOGIN.value, f"no {VARIABLES[0]}", f"export {VARIABLES[0]}=…"
        )
    url = _address(url, "matomo-harness capture --url https://…")
    _require_matomo(Web(url, authority=authority, time_limit=PATIENCE))
    web = Web(url, authority=authority, time_limit=PATIENCE)
    _require_login(web, account)
    return web


def _address(url: str, next_command: str) -> str:
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise WrongInputError(
            "an address without a user and a password in it: every report names it",
            f"one with a user before @{parts.netloc.rpartition('@')[2]}",
            next_command,
        )
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise WrongInputError("an address that begins with http:// or https://", url, next_command)
    # As people copy it from the browser; behind its query every path would be a part of that.
    own = parts._replace(query="", fragment="").geturl().rstrip("/")
    return own.removesuffix("/index.php").removesuffix("/matomo.php").rstrip("/")


def _about_database(opened: OpenDatabase) -> dict[str, str]:
    database = opened.database
    where = f"{database.name} at {database.host}:{database.port}, tables {database.tables_prefix}*"
    about = {"database": f"{opened.server}, {where}, read only"}
    if opened.may_write:
        about["database user"] = f"may write: {'; '.join(opened.may_write)}"
    return about


def _clear_text(url: str) -> str | None:
    """Return the address by http; None with a port of its own for TLS, as http then has another."""
    parts = urlsplit(url)
    known = parts.scheme == "https" and parts.port is None
    return parts._replace(scheme="http").geturl() if known else None


def _require_matomo(web: Web) -> None:
    answer = web.get()
    page = Page(answer)
    if ANGULAR.search(answer.text):
        raise WrongInputError(
            f"Matomo {versions.RANGE}, for which these checks are made",
            "Matomo 4 or older, by its login page",
            "use the release of the harness that was made for it",
        )
    if 'name="form_login"' in answer.text:
        return
    seen = f"HTTP {answer.status_code}: {page.excerpt[:200]}"
    text = page.excerpt.lower()
    if "maintenance" in text:
        raise WrongInputError(
            "a Matomo that is not in maintenance mode",
            f"the page of its maintenance mode ({seen})",
            f"curl {web.url}/, later",
        )
    if "database upgrade" in text or "action=runUpdaterAndExitIfNoUpdate" in answer.text:
        raise WrongInputError(
            "a Matomo whose database is of its own version",
            f"the page that asks for an update of its database ({seen})",
            "php console core:update, there",
        )
    raise WrongInputError(f"the login form of a Matomo at {web.url}", seen, f"open {web.url}/")


def _require_version(api: Api) -> str:
    try:
        version = str(api.call("API.getMatomoVersion")["value"])
    except ApiError as error:
        raise WrongInputError(
            "HARNESS_TOKEN to be a superuser's valid token",
            error.seen[:200],
            "make one: Administration, Personal, Security, Auth tokens",
        ) from error
    _require_supported(version, "HARNESS_TOKEN")
    return version


def _require_superuser(api: Api) -> None:
    """Require a superuser's token: to others Matomo shows some accounts, and these in part."""
    if api.call("UsersManager.hasSuperUserAccess")["value"] not in (True, 1, "1"):
        raise WrongInputError(
            "HARNESS_TOKEN to be a superuser's valid token",
            "the token of a user who is none",
            "make one as a superuser: Administration, Personal, Security, Auth tokens",
        )


def _require_supported(version: str, source: str) -> None:
    if not versions.is_supported(version):
        raise WrongInputError(
            f"Matomo {versions.RANGE}, for which these checks are made",
            f"Matomo {version}, by {source}",
            "use the release of the harness that was made for it",
        )


def _require_same_sites(api: Api, database: ReadOnlyDatabase) -> None:
    """Require that `database` is of the Matomo that answers, by its sites: no other has them."""
    shown = {
        f"{site['idsite']} of {site['ts_created']}"
        for site in all_rows(api, "SitesManager.getAllSites")
    }
    rows = database.query("SELECT idsite, ts_created FROM {prefix}site")
    stored = {f"{row['idsite']} of {row['ts_created']}" for row in rows}
    if different := sorted(shown ^ stored):
        raise WrongInputError(
            f"the database of the Matomo at {api.web.url}",
            f"the schema {database.name} with other sites: {', '.join(different[:3])}",
            "name that Matomo's own schema in DATABASE_URL (a replica may lag behind)",
        )


def _account(environment: Mapping[str, str]) -> Account | None:
    login, password, secret = (environment.get(name, "") for name in VARIABLES)
    if not (login or password or secret):
        return None
    if not (login and password):  # whoever has no second factor has no secret
        missing = VARIABLES[bool(login)]
        raise WrongInputError(" and ".join(VARIABLES[:2]), f"no {missing}", f"export {missing}=…")
    return Account(login, password, secret)


def _require_login(web: Web, account: Account) -> None:
    try:
        # Not the code that the checks will use: Matomo accepts each once.
        page = twofactor.sign_in(web, account, steps=1)
    except (BrokenPromiseError, ValueError) as error:
        seen = error.seen if isinstance(error, HarnessError) else "a secret that is not base32"
        raise WrongInputError(
            "login, password and code of a superuser to be accepted",
            seen[:200],
            "check these three variables, and this machine's clock",
        ) from error
    if page.component == twofactor.SETUP:
        raise WrongInputError(
            f"{account.login} to come to Matomo's pages by that login",
            "the page on which a second factor is enrolled: this Matomo demands one of everybody",
            f"log in once and enrol one, then: export {VARIABLES[2]}=…",
        )
    if page.response.status_code != requests.codes.ok:
        raise WrongInputError(
            "a page behind the login", f"HTTP {page.response.status_code}", f"open {web.url}/"
        )
