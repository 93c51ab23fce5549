"""A database that holds a Matomo is taken as it is or refused by name; nothing is put beside it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from matomo_harness.errors import BrokenPromiseError, WrongInputError
from matomo_harness.matomo import ini
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.install import Superuser, with_installation_in_progress
from matomo_harness.matomo.traffic import USER_AGENTS
from matomo_harness.matomo.web import Parameters
from matomo_harness.runtime.dedicated import DedicatedMatomo, pair
from matomo_harness.runtime.golden import Golden
from matomo_harness.runtime.installation import ensure_installed, require_tracking


@pytest.fixture(scope="module")
def matomo(any_golden: Golden) -> Iterator[DedicatedMatomo]:
    """An installed Matomo, as each test leaves it; after one of them without a second factor."""
    with pair(any_golden) as started:
        yield started


def install(matomo: DedicatedMatomo) -> bool:
    superuser = Superuser("admin", matomo.account.password)
    return ensure_installed(matomo.shell, matomo.web, matomo.database, superuser)


def refused(matomo: DedicatedMatomo) -> WrongInputError:
    """Have the database refused, with nothing written into it or into config.ini.php."""
    before = state(matomo)
    with pytest.raises(WrongInputError) as error:
        install(matomo)
    assert state(matomo) == before
    return error.value


def state(matomo: DedicatedMatomo) -> tuple[set[str], str]:
    return matomo.database.all_tables(), matomo.shell.read(matomo.shell.config)


@contextmanager
def renamed(database: Database, prefix: str) -> Iterator[None]:
    """Have all tables begin with `prefix`, as those of another installation's dump do."""
    names = sorted(name.removeprefix("matomo_") for name in database.all_tables())
    rename(database, names, "matomo_", prefix)
    try:
        yield
    finally:
        rename(database, names, prefix, "matomo_")


def rename(database: Database, names: list[str], old: str, new: str) -> None:
    database.query("RENAME TABLE " + ", ".join(f"`{old}{name}` TO `{new}{name}`" for name in names))


@contextmanager
def copied(database: Database, prefix: str, *names: str) -> Iterator[None]:
    """Have copies of the tables `names` with another prefix in the same schema."""
    for name in names:
        database.query(f"CREATE TABLE `{prefix}{name}` SELECT * FROM `matomo_{name}`")  # noqa: S608
    try:
        yield
    finally:
        database.query("DROP TABLE " + ", ".join(f"`{prefix}{name}`" for name in names))


@contextmanager
def settings(matomo: DedicatedMatomo, text: str) -> Iterator[None]:
    """Have another config.ini.php."""
    before = matomo.shell.read(matomo.shell.config)
    matomo.shell.write(matomo.shell.config, text)
    try:
        yield
    finally:
        matomo.shell.write(matomo.shell.config, before)


def hit(matomo: DedicatedMatomo) -> requests.Response:
    web = matomo.web
    web.session.headers["User-Agent"] = USER_AGENTS[0]
    page: Parameters = {"idsite": 1, "rec": 1, "new_visit": 1, "url": "https://a.example/"}
    return web.get(page, path="matomo.php")


def visits(matomo: DedicatedMatomo) -> int:
    (row,) = matomo.database.query("SELECT COUNT(*) AS many FROM {prefix}log_visit")
    return int(row["many"])


@pytest.mark.parametrize("prefix", ["piwik_", ""])
def test_tables_of_another_prefix_are_refused_by_name(matomo: DedicatedMatomo, prefix: str) -> None:
    with renamed(matomo.database, prefix):
        error = refused(matomo)
    assert "`matomo_`" in error.expected
    assert (f"`{prefix}`" if prefix else "no prefix") in error.seen
    assert "superusers: admin" in error.seen


@pytest.mark.parametrize("prefix", ["piwik_", ""])
def test_the_harness_reads_tables_of_any_prefix(matomo: DedicatedMatomo, prefix: str) -> None:
    with renamed(matomo.database, prefix):
        database = matomo.mariadb.database
        assert database.tables_prefix == prefix
        assert database.query("SELECT 1 FROM {prefix}user WHERE login = %s", "admin")
        assert "log_visit" in database.tables()


def test_two_installations_in_one_schema_are_refused_by_name(matomo: DedicatedMatomo) -> None:
    with copied(matomo.database, "piwik_", "log_visit", "option", "site", "user"):
        assert "`piwik_`" in (seen := refused(matomo).seen)
        assert "`matomo_`" in seen
        with pytest.raises(WrongInputError, match="`matomo_`, `piwik_`"):
            _ = matomo.mariadb.database.tables_prefix


def test_copies_of_a_few_tables_are_no_second_installation(matomo: DedicatedMatomo) -> None:
    with copied(matomo.database, "before_", "log_visit", "log_action", "user"):
        assert not install(matomo)
        assert matomo.mariadb.database.tables_prefix == "matomo_"


def test_a_part_of_another_installation_is_refused(matomo: DedicatedMatomo) -> None:
    with renamed(matomo.database, "piwik_"), _without(matomo.database, "piwik_user"):
        assert "a part of one: `piwik_`" in refused(matomo).seen


def test_a_part_of_its_own_that_no_installer_left_is_refused(matomo: DedicatedMatomo) -> None:
    with _without(matomo.database, "matomo_user"):
        assert "a part of one: `matomo_`" in refused(matomo).seen


@contextmanager
def _without(database: Database, table: str) -> Iterator[None]:
    database.query(f"RENAME TABLE `{table}` TO `elsewhere`")
    try:
        yield
    finally:
        database.query(f"RENAME TABLE `elsewhere` TO `{table}`")


def test_tables_of_matomo_4_are_refused_by_name(matomo: DedicatedMatomo) -> None:
    version = "UPDATE {prefix}option SET option_value = %s WHERE option_name = 'version_core'"
    (before,) = (found.version for found in matomo.database.installations())
    matomo.database.query(version, "4.14.2")
    try:
        error = refused(matomo)
    finally:
        matomo.database.query(version, before)
    assert "Matomo 4.14.2" in error.seen


@pytest.mark.slow(reason="the pages of a new Matomo")
def test_restored_tables_outlive_the_mark_of_a_broken_off_installer(
    matomo: DedicatedMatomo,
) -> None:
    assert hit(matomo).ok
    tables, stored = matomo.database.all_tables(), visits(matomo)
    assert stored
    text = matomo.shell.read(matomo.shell.config)
    with settings(matomo, with_installation_in_progress(text)):
        assert not install(matomo)
        assert visits(matomo) == stored
    assert matomo.database.all_tables() == tables


def test_missing_columns_are_named_and_nothing_is_stored_to_see_them(
    matomo: DedicatedMatomo,
) -> None:
    matomo_is = (matomo.shell, matomo.web, matomo.database)
    stored = visits(matomo)
    require_tracking(*matomo_is)
    matomo.database.query("ALTER TABLE {prefix}log_visit RENAME COLUMN config_os TO gone")
    try:
        assert hit(matomo).status_code == requests.codes.bad_request
        with pytest.raises(BrokenPromiseError, match=r"without log_visit\.config_os"):
            require_tracking(*matomo_is)
    finally:
        matomo.database.query("ALTER TABLE {prefix}log_visit RENAME COLUMN gone TO config_os")
    assert visits(matomo) == stored


def test_a_tracker_that_refuses_hits_is_named(matomo: DedicatedMatomo) -> None:
    stored = visits(matomo)
    # No plugin declares this one: it is of the core tables.
    matomo.database.query("ALTER TABLE {prefix}log_visit RENAME COLUMN config_id TO gone")
    try:
        with pytest.raises(BrokenPromiseError, match="HTTP 400"):
            require_tracking(matomo.shell, matomo.web, matomo.database)
    finally:
        matomo.database.query("ALTER TABLE {prefix}log_visit RENAME COLUMN gone TO config_id")
    assert visits(matomo) == stored


@pytest.mark.slow(reason="installs from scratch")
def test_an_empty_database_under_an_old_configuration_gets_all_tables(
    matomo: DedicatedMatomo,
) -> None:
    tables, columns = matomo.database.all_tables(), _columns(matomo.database)
    text = matomo.shell.read(matomo.shell.config)
    assert ini.read(text).texts("PluginsInstalled", "PluginsInstalled")
    old = ini.with_key(text, "General", "installation_first_accessed", 1)
    matomo.shell.write(matomo.shell.config, old)
    matomo.database.query("DROP TABLE " + ", ".join(f"`{name}`" for name in sorted(tables)))
    assert install(matomo)
    # Archives and what the archiver's plugins note down come with the first use.
    lost = {name for name in tables - matomo.database.all_tables() if "archive" not in name}
    assert not lost
    assert _columns(matomo.database) == columns
    require_tracking(matomo.shell, matomo.web, matomo.database)
    assert hit(matomo).ok
    assert visits(matomo) == 1


def _columns(database: Database) -> set[str]:
    return {row["Field"] for row in database.query("SHOW COLUMNS FROM {prefix}log_visit")}
