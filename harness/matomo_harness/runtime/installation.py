"""Install Matomo in a started pair of containers, wherever the last attempt was interrupted.

Nothing is ever installed beside a Matomo that is there: the schema is looked at before anything is
written.
"""

import contextlib
import dataclasses
import json
import secrets
from typing import Final

from matomo_harness.errors import BrokenPromiseError, HarnessError, UnsupportedEnvironmentError
from matomo_harness.gate.core.target import Http
from matomo_harness.gate.probes.php import Php
from matomo_harness.matomo import found
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.install import (
    Superuser,
    install,
    is_in_progress,
    with_installation_in_progress,
    with_installer_closed,
)
from matomo_harness.matomo.traffic import USER_AGENTS
from matomo_harness.matomo.twofactor import Account, first_login
from matomo_harness.matomo.web import Page, Web
from matomo_harness.runtime.shell import MatomoShell

BOOT: Final = """
ini_set("zend.exception_ignore_args", "1");
define("PIWIK_ENABLE_DISPATCH", false);
require "index.php";
(new \\Piwik\\Application\\Environment("cli"))->init();
"""
"""Starts Matomo's code in its own directory, as its console does; no database is asked. Its traces
show no argument, which may be a password."""
PREFIX: Final = f"""{BOOT}
echo "PREFIX", json_encode(\\Piwik\\Config::getInstance()->database["tables_prefix"] ?? "");
"""
NAMED: Final = 5
"""So many missing columns are named."""


SETTLES_SECONDS: Final = 1.0
"""How long no page may be at work before the installer begins: one has to read the configuration
before it comes to the database."""


def ensure_installed(
    shell: MatomoShell, web: Web, database: Database, superuser: Superuser
) -> bool:
    """Install Matomo unless it is installed; return whether anything was done.

    An interrupted installation starts again: a mark stays in config.ini.php until the end. The web
    server finishes a step even when its client has gone, so we wait for that. Where the schema has
    more than such an installation leaves, as restored tables have, that mark is taken out.

    Raises:
        WrongInputError: the schema holds another Matomo than is configured, or more than one; the
            wizard refused a step, or the database refused this user.
        BrokenPromiseError: Matomo is installed and not healthy.
        UnsupportedEnvironmentError: the step that was interrupted does not end.
    """
    config = shell.read(shell.config)
    in_progress = is_in_progress(config)
    if in_progress:
        database.wait_until_alone()
    prefix = configured_prefix(shell)
    database = dataclasses.replace(database, prefix=prefix)
    installation = found.only_one(database.installations(), prefix, database.name)
    if installation and installation.prefix != prefix:
        raise found.wrong_prefix(installation, prefix, database.name)
    left = installation and installation.is_left_by_an_installer(superuser.login)
    if installation and not (in_progress and left):
        found.require_complete(installation, database.name)
        _close_installer(shell)  # the last attempt may have stopped just before this
        require_healthy(shell, web, "the login page: the database has tables")
        return False
    shell.write(shell.config, with_installation_in_progress(config))
    # A page that was asked for before the mark, as by a health check on a slow machine, would make
    # the plugins' tables beside the wizard: "Duplicate column name", or an update that never ends.
    # Where somebody's own check or worker comes again and again, there is no such second.
    with contextlib.suppress(UnsupportedEnvironmentError):
        database.wait_until_alone(SETTLES_SECONDS)
    # Tables that exist now are those of an interrupted installation.
    install(web, superuser, restart=database.tables() & {*found.OF_EVERY_MATOMO} != set())
    _close_installer(shell)
    require_healthy(shell, web, "the login page once Matomo is installed")
    return True


def configured_prefix(shell: MatomoShell) -> str:
    """Return how the names of Matomo's tables begin, as Matomo itself reads its configuration.

    Raises:
        BrokenPromiseError: Matomo's code cannot be started.
    """
    said = shell.run("php", "-r", PREFIX)
    _, mark, prefix = said.partition("PREFIX")
    if not mark:
        raise BrokenPromiseError(
            expected=f"Matomo to start on the command line of {shell.name}",
            seen=said[:300],
            next_command=f"docker logs {shell.name}",
        )
    return str(json.loads(prefix))


def require_tracking(shell: MatomoShell, web: Web, database: Database) -> None:
    """Require that a hit would be stored; none is.

    A page of Matomo looks well while every hit is lost: where an earlier database left a list of
    installed plugins in config.ini.php, their columns are never made. What active plugins declare
    is compared with the tables. A ping, which Matomo stores for a visitor whom it knows and for
    nobody else (plugins/Heartbeat), goes the whole way of a hit up to that.

    Raises:
        BrokenPromiseError: columns are missing, or the tracker refuses the ping.
    """
    facts = Php(shell, Http(web.url, web.authority)).facts
    # Tables that wait for an update have the columns of their own version.
    lacks = [] if facts["updates"] else [str(lack).split(" ")[0] for lack in facts["no_columns"]]
    if lacks:
        more = f" and {len(lacks) - NAMED} more" if len(lacks) > NAMED else ""
        raise BrokenPromiseError(
            expected="the database to have the columns that Matomo's plugins store hits in",
            seen=f"without {', '.join(lacks[:NAMED])}{more}: every hit is refused",
            next_command="restore the whole database; or give it up: make clean, then make up",
        )
    sites = database.query("SELECT idsite FROM {prefix}site ORDER BY idsite LIMIT 1")
    if not sites or "Heartbeat" not in facts["activated"]:
        return
    visitor = Http(web.url, web.authority).web
    # Matomo passes over hits of what it takes for a program, and answers them well.
    visitor.session.headers["User-Agent"] = USER_AGENTS[0]
    ping = {"idsite": sites[0]["idsite"], "rec": 1, "ping": 1, "_id": secrets.token_hex(8)}
    ping |= {"send_image": 0}
    answer = visitor.get(ping, path="matomo.php")
    if not answer.ok:
        update = "make console CMD='core:update --yes'"
        raise BrokenPromiseError(
            expected="the tracker to answer a ping with 200 or 204",
            seen=f"HTTP {answer.status_code}: every hit would be lost",
            next_command=update if facts["updates"] else f"docker logs {shell.name}",
        )


def ensure_second_factor(web: Web, database: Database, superuser: Superuser) -> Account:
    """Return the superuser's account, and enrol it first if it is not enrolled and must be.

    Raises:
        BrokenPromiseError: the login or the enrolment was refused.
    """
    secret = database.second_factor_secret(superuser.login)
    if secret:
        return Account(superuser.login, superuser.password, secret)
    return first_login(web, superuser.login, superuser.password)


def _close_installer(shell: MatomoShell) -> None:
    opened = shell.read(shell.config)
    closed = with_installer_closed(opened)
    if closed != opened:
        shell.write(shell.config, closed)


def require_healthy(shell: MatomoShell, web: Web, expected: str) -> None:
    """Require the login page, which also has Matomo note its plugins as installed where none is.

    Until a page was asked for, a tracker with an empty list of installed plugins stores hits
    without any of them: with whole addresses (seen with 5.3.1 on tables of 4.2, after core:update).

    Args:
        shell: the web container's.
        web: its pages.
        expected: of which the login page is the sign.

    Raises:
        BrokenPromiseError: it is not shown.
    """
    # The first page of a new container takes longer than a health check waits.
    with contextlib.suppress(HarnessError):
        web.get({"module": "Login"})
    # The page and not the image's own health check, which is the gate's to judge.
    if reason := _no_login(web):
        raise BrokenPromiseError(
            expected=expected, seen=reason, next_command=f"docker logs {shell.container.name}"
        )


def _no_login(web: Web) -> str | None:
    page = Page(web.get({"module": "Login"}))
    return None if page.document.select_one('input[name="form_login"]') else page.excerpt
