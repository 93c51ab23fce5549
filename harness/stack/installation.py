"""From a started pair of containers to an installed Matomo, wherever the last attempt broke off."""

from harness.errors import BrokenPromiseError
from harness.matomo.database import Database
from harness.matomo.install import (
    FirstSite,
    Superuser,
    install,
    is_in_progress,
    with_installation_in_progress,
)
from harness.matomo.twofactor import Account, enrol
from harness.matomo.web import Web
from harness.stack.shell import CONFIG, MatomoShell


def ensure_installed(
    shell: MatomoShell, web: Web, database: Database, superuser: Superuser, site: FirstSite
) -> bool:
    """Install Matomo unless it is; return whether something was done.

    An installation that broke off is begun again: its mark is in config.ini.php until the end.

    Raises:
        WrongInputError: the wizard refused a step.
        MachineCannotError: the database cannot be reached.
        BrokenPromiseError: Matomo is there and not healthy, for another reason than being empty.
    """
    health = shell.health()
    if health is None:
        return False
    config = shell.read(CONFIG)
    if not is_in_progress(config):
        _require_empty(database, health)
        shell.write(CONFIG, with_installation_in_progress(config))
    # By now the tables, if there are any, are those of an installation that broke off.
    install(web, superuser, site, restart=bool(database.tables()))
    if reason := shell.health():
        raise BrokenPromiseError(
            expected="the login page once Matomo is installed",
            seen=reason,
            next_command=f"docker logs {shell.container.name}",
        )
    return True


def ensure_second_factor(web: Web, database: Database, superuser: Superuser) -> Account:
    """Return the superuser's account, enrolled now if it was not.

    Raises:
        BrokenPromiseError: the login or the enrolment was refused.
    """
    secret = database.second_factor_secret(superuser.login)
    if secret:
        return Account(superuser.login, superuser.password, secret)
    return enrol(web, superuser.login, superuser.password)


def _require_empty(database: Database, health: str) -> None:
    """Refuse to install over anything: tables that are there belong to somebody."""
    if tables := database.tables():
        raise BrokenPromiseError(
            expected="a healthy Matomo, or an empty database to install one in",
            seen=f"{len(tables)} tables, and {health}",
            next_command="make logs",
        )
