"""Dumps of real servers are loaded into MariaDB as they were: every table, every row."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from matomo_harness.dumps.description import Description, DumpReader
from matomo_harness.dumps.sources import DumpSource
from matomo_harness.matomo.database import Database
from matomo_harness.runtime import images
from matomo_harness.runtime.containers import MariaDBContainer, network
from matomo_harness.settings import RunSettings

LOGINS = ["anonymous", "root"]
DUMPS = Path(__file__).parents[1] / "dumps"
MADE_HERE = (
    "mariadb-dump.sql",
    "mariadb-dump-one-row-per-insert.sql",
    "mariadb-dump-hex-blob.sql",
    "mariadb-dump-compact.sql",
    "mariadb-dump-databases.sql",
    "mariadb-dump-dir",
    "with-view.sql",
)
"""All of one database, by mariadb-dump 11.8 with different options."""


@pytest.fixture(scope="module")
def server() -> Iterator[Database]:
    """An empty MariaDB, as its superuser sees it."""
    image = images.mariadb_base(RunSettings.from_environment())
    with network() as own_network, MariaDBContainer(image.reference, own_network) as mariadb:
        yield mariadb.root


@pytest.fixture
def database(server: Database) -> Iterator[Database]:
    """The server with an empty schema."""
    yield server
    for table in server.all_tables():
        server.query(f"DROP TABLE `{table}`")


def loaded(database: Database, *paths: Path) -> Description:
    """Send the statements of a dump to the server one by one."""
    reader = DumpReader(DumpSource(paths))
    with database.connection() as connection, connection.cursor() as cursor:
        for judgement in reader.statements():
            cursor.execute(judgement.statement.text)  # type: ignore[call-overload]
    return reader.description()


def rows(database: Database, table: str, order: str) -> list[dict[str, Any]]:
    return database.query(f"SELECT * FROM `{table}` ORDER BY `{order}`")  # noqa: S608


@pytest.mark.parametrize(
    ("file", "prefix", "version", "count", "options", "login"),
    [
        ("matomo-4.2-mysql-5.7.sql", "matomo_", "4.2.0", 31, 171, "matomo"),
        ("matomo-4.x-mysql-8.0.sql", "matomo_", "4.14.1", 31, 158, "root"),
        ("matomo-4.14-mariadb-10.5-no-prefix.sql", "", "4.14.2", 33, 164, "matomo"),
    ],
)
def test_a_real_dump_is_loaded_whole(
    database: Database,
    file: str,
    prefix: str,
    version: str,
    count: int,
    options: int,
    login: str,
) -> None:
    described = loaded(database, DUMPS / file)

    assert described.prefix == prefix
    assert described.matomo_version == version
    assert database.all_tables() == {f"{prefix}{table}" for table in described.tables}
    assert len(described.tables) == count
    stored = {
        row["option_name"]: row["option_value"]
        for row in rows(database, f"{prefix}option", "option_name")
    }
    assert len(stored) == options
    assert stored["version_core"] == version
    assert {name for name in stored if name.removeprefix("version_") in described.plugins} == {
        f"version_{plugin}" for plugin in described.plugins
    }
    assert [row["login"] for row in rows(database, f"{prefix}user", "login")] == [
        "anonymous",
        login,
    ]
    assert "0900" not in str(database.query("SHOW TABLE STATUS"))


ODD = [
    ('quote \' and "double" and `back`', b"\0\1\2\3\4\x1a\\'\"`\n\r", '{"a":"b; c"}'),
    ("ends in a backslash \\", None, None),
    ("; DROP DATABASE x;\n\\! touch /tmp/x\nsource /etc/passwd\nDELIMITER ;;\n", b"x", None),
    ("/*! 1 */ /* open", b"-- Dump completed", None),
    ("日本語 😀 é", b"\xff" * 40, None),
]
"""Values that read like SQL, and every sign that some tool escapes."""


@pytest.mark.parametrize("file", MADE_HERE)
def test_whatever_the_options_of_the_dump_were_the_rows_are_the_same(
    database: Database, file: str
) -> None:
    described = loaded(database, DUMPS / file)

    assert described.tables == ("log_action", "log_visit", "odd", "option", "site", "user")
    assert described.other_tables == ()
    odd = database.query("SELECT *, hidden FROM matomo_odd ORDER BY id")
    assert [(row["a`b;'x"], row["raw"], row["j"]) for row in odd] == ODD
    assert {(row["hidden"], row["doubled"]) for row in odd} == {(7, 14)}
    (visit,) = rows(database, "matomo_log_visit", "idvisit")
    assert (visit["config_id"], visit["user_id"]) == (b"'\\\0\n\r\x1a\"`", "o'neill")
    assert len(rows(database, "matomo_option", "option_name")) == 15
    assert [row["login"] for row in rows(database, "matomo_user", "login")] == LOGINS


def test_a_directory_of_mydumper_is_loaded_whole(database: Database) -> None:
    described = loaded(database, DUMPS / "mydumper")

    assert (described.tool, described.is_known_whole) == ("mydumper", True)
    assert described.tables == ("log_action", "log_visit", "odd", "option", "site", "user")
    assert described.matomo_version == "4.14.1"
    odd = database.query("SELECT *, hidden FROM matomo_odd ORDER BY id")
    assert [(row["a b;x"], row["raw"], row["j"]) for row in odd] == ODD
    assert {(row["hidden"], row["doubled"]) for row in odd} == {(7, 14)}
    (visit,) = rows(database, "matomo_log_visit", "idvisit")
    assert (visit["config_id"], visit["user_id"]) == (b"'\\\0\n\r\x1a\"`", "o'neill")
    assert [row["login"] for row in rows(database, "matomo_user", "login")] == LOGINS


def test_a_dump_of_phpmyadmin_is_loaded_with_its_keys(database: Database) -> None:
    described = loaded(database, DUMPS / "phpmyadmin.sql")

    assert (described.tool, described.prefix, described.matomo_version) == (
        "phpMyAdmin",
        "piwik_",
        "5.1.2",
    )
    first, second = rows(database, "piwik_log_visit", "idvisit")
    assert (first["idvisitor"], first["user_id"]) == (b"'\\\0\n\r\x1a\"`", "o'neill; -- # /*")
    assert second["user_id"] is None
    (site,) = rows(database, "piwik_site", "idsite")
    assert site["name"] == 'It\'s "an" example'
    keys = database.query("SHOW KEYS FROM piwik_option")
    assert {key["Key_name"] for key in keys} == {"PRIMARY", "autoload"}


def test_what_mysql_8_alone_knows_is_made_known_to_mariadb(
    database: Database, tmp_path: Path
) -> None:
    text = (DUMPS / "phpmyadmin.sql").read_text()
    columns = (
        "`idsite` int UNSIGNED NOT NULL /*!50606 STORAGE DISK */ /*!50606 COLUMN_FORMAT FIXED */,\n"
        "  `my_row_id` bigint unsigned NOT NULL AUTO_INCREMENT /*!80023 INVISIBLE */ PRIMARY KEY,\n"
    )
    text = text.replace("`idsite` int(10) UNSIGNED NOT NULL,\n  `name`", f"{columns}  `name`")
    text = text.replace(
        "`main_url` varchar(255) NOT NULL",
        "`main_url` varchar(255) COLLATE utf8mb4_de_pb_0900_as_cs NOT NULL DEFAULT"
        " 'utf8mb4_0900_bin',\n  `language` varchar(5) COLLATE utf8mb4_ja_0900_as_cs_ks",
    )
    dump = tmp_path / "dump.sql"
    dump.write_text(text)
    loaded(database, dump)

    created = database.query("SHOW CREATE TABLE piwik_site")[0]["Create Table"]
    assert "`my_row_id` bigint(20) unsigned NOT NULL AUTO_INCREMENT INVISIBLE" in created
    assert "COLLATE utf8mb4_uca1400_german2_nopad_as_cs NOT NULL DEFAULT 'utf8mb4_0900_bin'" in (
        created
    )
    assert "COLLATE utf8mb4_uca1400_nopad_as_cs" in created
