"""Install Matomo in a started pair of containers, wherever the last attempt was interrupted."""

import contextlib

from matomo_harness.errors import BrokenPromiseError, HarnessError
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.install import (
    FirstSite,
    Superuser,
    install,
    is_in_progress,
    with_installation_in_progress,
    with_installer_closed,
)
from matomo_harness.matomo.twofactor import Account, enrol
from matomo_harness.matomo.web import Page, Web
from matomo_harness.runtime.shell import MatomoShell


def ensure_installed(
    shell: MatomoShell, web: Web, database: Database, superuser: Superuser, site: FirstSite
) -> bool:
    """Install Matomo unless it is installed; return whether anything was done.

    An interrupted installation starts again: a mark stays in config.ini.php until the end. The web
    server finishes a step even when its client has gone, so we wait for that.

    Raises:
        WrongInputError: the wizard refused a step, or the database refused this user.
        BrokenPromiseError: Matomo is installed and not healthy.
        UnsupportedEnvironmentError: the step that was interrupted does not end.
    """
    config = shell.read(shell.config)
    in_progress = is_in_progress(config)
    if in_progress:
        database.wait_until_alone()
    tables = database.tables()
    if tables and not in_progress:
        _close_installer(shell)  # the last attempt may have stopped just before this
        _require_healthy(shell, web, "the login page: the database has tables")
        return False
    shell.write(shell.config, with_installation_in_progress(config))
    # Tables that exist now are those of an interrupted installation.
    install(web, superuser, site, restart=bool(tables))
    _close_installer(shell)
    _require_healthy(shell, web, "the login page once Matomo is installed")
    return True


def ensure_second_factor(web: Web, database: Database, superuser: Superuser) -> Account:
    """Return the superuser's account, and enrol it first if it is not enrolled.

    Raises:
        BrokenPromiseError: the login or the enrolment was refused.
    """
    secret = database.second_factor_secret(superuser.login)
    if secret:
        return Account(superuser.login, superuser.password, secret)
    return enrol(web, superuser.login, superuser.password)


def _close_installer(shell: MatomoShell) -> None:
    opened = shell.read(shell.config)
    closed = with_installer_closed(opened)
    if closed != opened:
        shell.write(shell.config, closed)


def _require_healthy(shell: MatomoShell, web: Web, expected: str) -> None:
    # The first page of a new container takes longer than a health check waits.
    with contextlib.suppress(HarnessError):
        web.get({"module": "Login"})
    # The public image has no health check of ours.
    has_own = shell.run("sh", "-c", "command -v matomo-health || true")
    if reason := shell.health() if has_own else _no_login(web):
        raise BrokenPromiseError(
            expected=expected, seen=reason, next_command=f"docker logs {shell.container.name}"
        )


def _no_login(web: Web) -> str | None:
    page = Page(web.get({"module": "Login"}))
    return None if page.document.select_one('input[name="form_login"]') else page.excerpt
