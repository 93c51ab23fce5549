"""The image's health check reads the page: Matomo's errors come with status 200."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from time import sleep

import pytest

from matomo_harness.errors import HarnessError
from matomo_harness.matomo.ini import with_key
from matomo_harness.matomo.install import Superuser, with_installation_in_progress
from matomo_harness.runtime.dedicated import ContainerPair, DedicatedMatomo, started
from matomo_harness.runtime.engine import execute
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.installation import ensure_installed
from matomo_harness.runtime.shell import OWN_CONFIG as CONFIG

SLEEPING = "SELECT id FROM information_schema.processlist WHERE info = 'SELECT SLEEP(60)'"

pytestmark = pytest.mark.all_versions(reason="the pages and the installer are Matomo's")


def test_an_installed_matomo_is_healthy(dedicated_matomo: DedicatedMatomo) -> None:
    assert dedicated_matomo.shell.health() is None


def test_what_is_no_time_is_refused(dedicated_matomo: DedicatedMatomo) -> None:
    for words in (["soon"], ["0"], ["4.5"], ["4", "5"]):
        done = execute(dedicated_matomo.shell.container, ["matomo-health", *words])
        assert (done.code, done.out) == (2, ""), words
        assert "expected a whole number of seconds" in done.err
        assert "next: matomo-health 30" in done.err


@pytest.mark.slow(reason="installs from scratch")
def test_an_empty_matomo_is_unhealthy_until_it_is_installed(
    matomo_image: Image, matomo_mariadb_image: Image
) -> None:
    with started(matomo_image, matomo_mariadb_image) as both:
        shell, web = both.matomo.shell, both.matomo.web
        assert web.get().status_code == 200, "a check of the status alone would pass"
        assert "already installed" in str(shell.health())

        # A password that was changed on one side only.
        database = both.mariadb.database
        database.query("SET PASSWORD = PASSWORD('another')")
        assert "access denied" in str(shell.health())
        with pytest.raises(HarnessError, match="Access denied"):
            both.install()
        changed = dataclasses.replace(database, password="another")
        changed.query("SET PASSWORD = PASSWORD(%s)", database.password)

        # The installer is left alone: a page in the middle of it can cost it its configuration.
        shell.write(CONFIG, with_installation_in_progress(shell.read(CONFIG)))
        pages = _pages(both)
        assert "being installed" in str(shell.health())
        assert _pages(both) == pages

        # The wizard's complaint comes with status 200 and is read from the page.
        short = dataclasses.replace(both.superuser, password="12345")
        with pytest.raises(HarnessError, match="setupSuperUser") as error:
            ensure_installed(shell, web, both.mariadb.database, short)
        assert "password" in error.value.seen.lower()

        # An installation that broke off begins again.
        both.install()
        assert shell.health() is None

        both.mariadb.get_wrapped_container().stop(timeout=5)
        assert "database" in str(shell.health())


def test_an_installation_begins_again_once_the_last_one_has_left_the_database(
    dedicated_matomo: DedicatedMatomo,
) -> None:
    database = dedicated_matomo.database
    with ThreadPoolExecutor(2) as executor:
        last_step = executor.submit(database.query, "SELECT SLEEP(60)")
        while not (sessions := database.query(SLEEPING)):
            assert not last_step.done()
        waiting = executor.submit(database.wait_until_alone)
        sleep(0.5)
        assert not waiting.done()
        database.query("KILL QUERY %s", sessions[0]["id"])
        waiting.result()
        assert last_step.done()


def test_an_open_installer_is_closed(dedicated_matomo: DedicatedMatomo) -> None:
    shell, web, database = dedicated_matomo.shell, dedicated_matomo.web, dedicated_matomo.database
    closed = shell.read(shell.config)
    shell.write(shell.config, with_key(closed, "General", "enable_installer", 1))
    superuser = Superuser("admin", dedicated_matomo.account.password)
    assert not ensure_installed(shell, web, database, superuser)
    assert shell.read(shell.config) == closed


def _pages(both: ContainerPair) -> int:
    """Return how many login pages the web server was asked for."""
    return both.matomo.get_wrapped_container().logs().count(b"module=Login")
