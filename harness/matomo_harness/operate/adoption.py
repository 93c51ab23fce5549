"""What a stack takes over from a database that it finds: prefix, collation and people.

A restored production is somebody else's: its tables keep their names, and its people their
passwords. Where the harness is none of its superusers it makes an account of its own beside them.
"""

import dataclasses
import json
import os
import secrets
from typing import Final

from matomo_harness.errors import BrokenPromiseError, WrongInputError
from matomo_harness.matomo import found
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.install import Superuser
from matomo_harness.operate import stack_files
from matomo_harness.operate.stack import LOCAL, Stack
from matomo_harness.operate.table_collation import speak_as_tables
from matomo_harness.progress import console
from matomo_harness.runtime.installation import BOOT
from matomo_harness.runtime.shell import MatomoShell
from matomo_harness.settings import ROOT

MAKE: Final = f"""{BOOT}
$hash = (new \\Piwik\\Auth\\Password())->hash(
    \\Piwik\\Plugins\\UsersManager\\UsersManager::getPasswordHash(getenv("HARNESS_PASSWORD")));
$people = new \\Piwik\\Plugins\\UsersManager\\Model();
$people->addUser(getenv("HARNESS_LOGIN"), $hash, getenv("HARNESS_EMAIL"),
    \\Piwik\\Date::now()->getDatetime());
$people->setSuperUserAccess(getenv("HARNESS_LOGIN"), true);
echo "MADE";
"""
"""Makes a superuser by the model below Matomo's API, which would write to all other superusers."""
AUTHENTICATE: Final = f"""{BOOT}
\\Piwik\\Plugin\\Manager::getInstance()->loadActivatedPlugins();
$auth = new \\Piwik\\Plugins\\Login\\Auth();
$auth->setLogin(getenv("HARNESS_LOGIN"));
$auth->setPassword(getenv("HARNESS_PASSWORD"));
echo "OPENS", json_encode($auth->authenticate()->wasAuthenticationSuccessful());
"""
"""Asks Matomo whether a password opens an account, without the count of failed logins."""


def adopt_prefix(database: Database, prefix: str, stack: Stack = LOCAL) -> bool:
    """Remember the prefix of the Matomo in the schema; return whether that is news.

    Raises:
        WrongInputError: there are several, an old one, or a part of one.
    """
    installation = found.only_one(database.installations(), prefix, database.name)
    if installation is None or installation.prefix == prefix:
        return False
    console.print(f"The tables that are there are taken as they are: {installation}", markup=False)
    stack_files.remember_prefix(installation.prefix, stack)
    return True


def adopt_collation(database: Database, shell: MatomoShell) -> None:
    """Have Matomo speak to the tables as they are, and say what was written for it."""
    if spoken := speak_as_tables(database, shell):
        named = ", ".join(f"{key} = {value}" for key, value in spoken.items())
        console.print(f"As the tables are: [database] {named}", markup=False)


def ensure_superuser(shell: MatomoShell, database: Database, superuser: Superuser) -> None:
    """Make the harness's own superuser where the database has none of that name.

    Raises:
        WrongInputError: there is such a user, who is no superuser or has another password.
        BrokenPromiseError: Matomo's code refuses to make one.
    """
    (installation,) = (each for each in database.installations() if each.is_complete)
    superusers = ", ".join(installation.superusers) or "none"
    name = superuser.login
    if name in installation.superusers:
        if not json.loads(_said(shell, AUTHENTICATE, superuser, "OPENS")):
            raise WrongInputError(
                expected=f"the superuser {name} to have the password of {SECRETS}",
                seen=f"another password; the database has the superusers {superusers}",
                next_command=f"write that person's password to SUPERUSER_PASSWORD in {SECRETS}; or"
                " have an account made: SUPERUSER_LOGIN, a name that the database does not have;"
                " then make up",
            )
        return
    if database.query("SELECT 1 FROM {prefix}user WHERE login = %s", name):
        raise WrongInputError(
            expected=f"the user {name} to be a superuser",
            seen=f"the database has the superusers {superusers}, and {name} is none of them",
            next_command="write to SUPERUSER_LOGIN and SUPERUSER_PASSWORD in"
            f" {SECRETS} what one of them has, or a name that the database does not have;"
            " then make up",
        )
    make_superuser(shell, superuser)
    console.print(
        f"The database has the superusers {superusers}. The harness has made {name} beside them,"
        " and changed none.",
        markup=False,
    )


def make_superuser(shell: MatomoShell, superuser: Superuser) -> None:
    """Make a superuser of a name that the database does not have, and say nothing of the others.

    Raises:
        BrokenPromiseError: Matomo's code refuses to make one.
    """
    # No two users have one address, and the harness may have made the other one, too.
    email = f"{secrets.token_hex(4)}.{superuser.email}"
    _said(shell, MAKE, dataclasses.replace(superuser, email=email), "MADE")


SECRETS: Final = os.path.relpath(LOCAL.secrets_file, ROOT)


def _said(shell: MatomoShell, code: str, superuser: Superuser, mark: str) -> str:
    """Run PHP that prints `mark`, and return what it prints behind it."""
    environment = {
        "HARNESS_LOGIN": superuser.login,
        "HARNESS_PASSWORD": superuser.password,
        "HARNESS_EMAIL": superuser.email,
    }
    said = shell.run("php", "-r", code, environment=environment)
    _, found_mark, answer = said.partition(mark)
    if not found_mark:
        raise BrokenPromiseError(
            expected=f"Matomo's own code to look after the account {superuser.login}",
            seen=said[:300],
            next_command="make console CMD='core:update --yes'; then make up",
        )
    return answer
