"""Person data is rewritten in real schemas, and whichever rule is switched off, it is found."""

import dataclasses
import io
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql
import pytest

from matomo_harness.errors import BrokenPromiseError, WrongInputError
from matomo_harness.matomo.database import Database
from matomo_harness.operate.quarantined import safe_tables
from matomo_harness.personal_data import anonymity, canaries, pseudonyms, rewriting, schema, search
from matomo_harness.personal_data.canaries import PlantedCanaries
from matomo_harness.personal_data.pseudonyms import Pseudonyms
from matomo_harness.personal_data.rules import UNCHANGED, Rules, TablePlan, built_in, parse
from matomo_harness.personal_data.schema import Column, Connection
from matomo_harness.runtime import images
from matomo_harness.runtime.containers import DATA_DIRECTORY, MariaDBContainer, network
from matomo_harness.runtime.engine import execute
from matomo_harness.runtime.instance import Instance
from matomo_harness.settings import RunSettings
from tests import wheel

DUMPS = Path(__file__).parents[1] / "dumps"
OLD = {
    "matomo-4.2-mysql-5.7.sql": "matomo_",
    "matomo-4.x-mysql-8.0.sql": "matomo_",
    "matomo-4.14-mariadb-10.5-no-prefix.sql": "",
}
TABLES_OF_PLUGINS = (
    "queuedtracking_queue (queue_key VARCHAR(70) PRIMARY KEY, queue_value VARCHAR(255))",
    "queuedtracking_list_q0 (idqueuelist BIGINT AUTO_INCREMENT PRIMARY KEY, list_value LONGBLOB)",
    "tagmanager_tag (idtag BIGINT AUTO_INCREMENT PRIMARY KEY, idcontainerversion BIGINT,"
    " idsite INT, type VARCHAR(50), name VARCHAR(50), description VARCHAR(1000),"
    " status VARCHAR(10), parameters MEDIUMTEXT, fire_trigger_ids TEXT, block_trigger_ids TEXT)",
    "tagmanager_trigger (idtrigger BIGINT PRIMARY KEY, idsite INT, name VARCHAR(50),"
    " parameters MEDIUMTEXT, conditions MEDIUMTEXT)",
    "tagmanager_variable (idvariable BIGINT PRIMARY KEY, idsite INT, name VARCHAR(50),"
    " parameters MEDIUMTEXT, lookup_table MEDIUMTEXT, default_value TEXT)",
    "tagmanager_container_release (idcontainerrelease BIGINT PRIMARY KEY, idsite INT,"
    " release_login VARCHAR(100))",
    "alert (idalert INT PRIMARY KEY, name VARCHAR(100), login VARCHAR(100),"
    " report_matched VARCHAR(255), additional_emails TEXT, phone_numbers TEXT)",
    "log_hsr_blob (idhsrblob INT PRIMARY KEY, hash INT, compressed TINYINT, value MEDIUMBLOB)",
    "site_hsr (idsitehsr INT PRIMARY KEY, idsite INT, name VARCHAR(50), match_page_rules TEXT,"
    " excluded_elements TEXT, page_treemirror MEDIUMBLOB, screenshot_url VARCHAR(300))",
    "annotations (id BIGINT PRIMARY KEY, idsite INT, date DATETIME, note TEXT, starred TINYINT,"
    " user VARCHAR(100))",
    "archive_blob_2026_10 (idarchive INT, idsite INT, date1 DATE, name VARCHAR(190),"
    " value MEDIUMBLOB, PRIMARY KEY (idarchive, name))",
)
"""Columns that matter of plugins, of a later Matomo, and of what the archiver makes."""


# -- schemas --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDBContainer]:
    """An empty MariaDB."""
    image = images.mariadb_base(RunSettings.from_environment())
    with network() as own_network, MariaDBContainer(image.reference, own_network) as started:
        yield started


@pytest.fixture(scope="module")
def server(mariadb: MariaDBContainer) -> Database:
    """The same, as its superuser sees it."""
    return mariadb.root


@contextmanager
def filled(server: Database, name: str, dump: str, *more: str) -> Iterator[Connection]:
    """Make a schema with the tables of a dump and more of them; yield a connection to it."""
    server.query(f"CREATE DATABASE `{name}`")
    try:
        with dataclasses.replace(server, name=name).connection() as connection:
            with connection.cursor() as cursor:
                # The server of the oldest substitute has no collation of MySQL 8's name.
                text = (DUMPS / dump).read_text().replace("utf8mb4_0900_ai_ci", "utf8mb4_bin")
                for statement in text.split(";\n"):
                    if lines := [ln for ln in statement.splitlines() if ln[:2] not in ("", "--")]:
                        cursor.execute("\n".join(lines))
                for table in more:
                    cursor.execute(f"CREATE TABLE {OLD[dump]}{table}")
            yield connection
    finally:
        server.query(f"DROP DATABASE `{name}`")


def plans(connection: Connection, prefix: str, rules: Rules | None = None) -> list[TablePlan]:
    return (rules or built_in()).plan(schema.read(connection, prefix))


def rows(connection: Connection, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with connection.cursor(pymysql.cursors.Cursor) as cursor:
        cursor.execute(statement, values or None)
        return list(cursor.fetchall())


def counts(connection: Connection, tables: list[TablePlan]) -> dict[str, int]:
    return {
        plan.name: rows(connection, f"SELECT COUNT(*) FROM `{plan.table}`")[0][0]  # noqa: S608
        for plan in tables
        if plan.rows == "keep" and plan.name != "option"
    }


def next_numbers(connection: Connection, tables: list[TablePlan]) -> dict[str, int]:
    names = {plan.table for plan in tables if plan.rows == "keep"}
    numbers = "SELECT table_name, auto_increment FROM information_schema.tables"
    return {
        name: number
        for name, number in rows(connection, f"{numbers} WHERE table_schema = DATABASE()")
        if name in names
    }


def found(findings: list[search.Finding]) -> set[str]:
    return {f"{finding.table}.{finding.column}" for finding in findings}


def of_canaries(findings: list[search.Finding]) -> set[str]:
    return found([finding for finding in findings if finding.form.startswith("canary")])


def require_safe(connection: Connection, prefix: str) -> PlantedCanaries:
    """Plant, rewrite, search and remove; the canaries are found before, and not afterwards."""
    tables = plans(connection, prefix)
    before = counts(connection, tables), next_numbers(connection, tables)
    planted = canaries.plant(connection, tables)
    raw = search.search(connection, tables, planted.canaries)
    assert of_canaries(raw) == set(planted.columns)
    with rewriting.key_of_run(connection):
        rewriting.rewrite(connection, tables)
        assert search.search(connection, tables, planted.canaries) == []
        canaries.remove(connection, planted)
    assert (counts(connection, tables), next_numbers(connection, tables)) == before
    assert schema.KEY_TABLE not in {table for (table,) in rows(connection, "SHOW TABLES")}
    return planted


# -- what is left ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dump", OLD)
def test_nothing_is_left_of_an_old_matomo(server: Database, dump: str) -> None:
    with filled(server, "old", dump, *TABLES_OF_PLUGINS) as connection:
        planted = require_safe(connection, OLD[dump])
        assert len(planted.columns) > 90


CARD = """
[[tables]]
name = "card"
keep = ["id"]
login = ["owner"]
mail = ["email"]
person = ["name"]
address = ["ip"]
url = ["picture"]
pseudonym = ["code"]
plain = ["number"]
empty = ["phone"]
text = ["note"]
"""


@pytest.mark.parametrize("characters", ["latin1", "utf16", "ascii", "utf8mb3", "utf8mb4"])
def test_nothing_is_left_in_a_table_of_older_characters(server: Database, characters: str) -> None:
    server.query("CREATE DATABASE old_plugin")
    try:
        with dataclasses.replace(server, name="old_plugin").connection() as connection:
            rows(
                connection,
                "CREATE TABLE card (id INT PRIMARY KEY, owner VARCHAR(100), email VARCHAR(100)"
                " UNIQUE, name VARCHAR(90), ip VARCHAR(45), picture VARCHAR(200), code VARCHAR(90),"
                " number VARCHAR(90), phone VARCHAR(90), note TEXT) DEFAULT CHARSET=" + characters,
            )
            rows(
                connection,
                "INSERT INTO card VALUES (1, 'ada', 'ada@library.edu', 'Ada', '198.51.100.77',"
                " 'https://library.edu/ada.png', 'A-1', '17', '555-0199', 'Ask ada@library.edu')",
            )
            tables = parse(CARD).plan(schema.read(connection))
            planted = canaries.plant(connection, tables)
            raw = search.search(connection, tables, planted.canaries)
            assert of_canaries(raw) == set(planted.columns)
            assert {"card.email", "card.note"} <= found(raw)
            with rewriting.key_of_run(connection):
                rewriting.rewrite(connection, tables)
                assert search.search(connection, tables, planted.canaries) == []
                canaries.remove(connection, planted)
            ((owner, number, collation),) = rows(
                connection, "SELECT owner, number, COLLATION(note) FROM card"
            )
            assert (owner[:5], number) == ("user-", "17")
            assert collation.startswith(characters)
    finally:
        server.query("DROP DATABASE old_plugin")


@pytest.mark.all_versions(reason="each version has tables and columns of its own")
def test_nothing_is_left_of_this_matomo(fresh_matomo: Instance) -> None:
    with fresh_matomo.database.connection() as connection:
        planted = require_safe(connection, fresh_matomo.database.tables_prefix)
    assert {"user.email", "log_visit.idvisitor", "option.option_value"} <= set(planted.columns)


@pytest.fixture(scope="module")
def planted(server: Database) -> Iterator[tuple[Connection, PlantedCanaries]]:
    """A schema with canaries, which tests copy tables from."""
    dump = "matomo-4.14-mariadb-10.5-no-prefix.sql"
    with filled(server, "planted", dump, *TABLES_OF_PLUGINS) as connection:
        yield connection, canaries.plant(connection, plans(connection, ""))


KINDS = (
    *(
        "pseudonym",
        "second_factor",
        "login",
        "mail",
        "address",
        "url",
        "referrer",
        "text",
        "empty",
        "plain",
    ),
    *("document", "segment", "cases", "dropped", "report"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_with_any_rule_switched_off_its_canary_is_found(
    server: Database, planted: tuple[Connection, PlantedCanaries], kind: str
) -> None:
    connection, known = planted
    off = [
        (plan, column)
        for plan in plans(connection, "")
        for column, rule in plan.columns
        if rule.kind == kind and f"{plan.name}.{column.name}" in known.columns
    ]
    assert off
    server.query("CREATE DATABASE one_off")
    try:
        with dataclasses.replace(server, name="one_off").connection() as copy:
            not_found = [
                f"{plan.name}.{column.name}"
                for plan, column in off
                if not is_found_without(copy, plan, column, known)
            ]
    finally:
        server.query("DROP DATABASE one_off")
    assert not_found == []


def is_found_without(
    connection: Connection, plan: TablePlan, off: Column, known: PlantedCanaries
) -> bool:
    """Whether, with one rule off, a canary is found in its column and nowhere else."""
    table = plan.table
    rows(connection, f"CREATE TABLE `{table}` LIKE planted.`{table}`")
    rows(connection, f"INSERT INTO `{table}` SELECT * FROM planted.`{table}`")  # noqa: S608
    tables = plans(connection, "", built_in().without(plan.name, off.name))
    with rewriting.key_of_run(connection):
        rewriting.rewrite(connection, tables)
    left = of_canaries(search.search(connection, tables, known.canaries))
    if any(column.name == off.name for column in plan.of_kind("address")):
        left |= found(search.search(connection, plans(connection, "")))
    rows(connection, f"DROP TABLE `{table}`")
    others = {
        f"{plan.name}.{column.name}"
        for column, rule in plan.columns
        if rule.kind == "dropped" and column.in_unique_key  # rows that are kept need their keys
    }
    name = f"{plan.name}.{off.name}"
    return name in left and left <= {name} | others


def test_no_data_file_of_a_table_holds_an_old_value(
    mariadb: MariaDBContainer, server: Database
) -> None:
    dump = "matomo-4.14-mariadb-10.5-no-prefix.sql"
    with filled(server, "on_disk", dump, *TABLES_OF_PLUGINS) as connection:
        tables = plans(connection, "")
        planted = canaries.plant(connection, tables)
        word = planted.canaries[0].value
        assert len(files_with(mariadb, connection, tables, word)) > 25
        with rewriting.key_of_run(connection):
            rewriting.rewrite(connection, tables)
        assert files_with(mariadb, connection, tables, word) == []


def files_with(
    mariadb: MariaDBContainer, connection: Connection, tables: list[TablePlan], word: str
) -> list[str]:
    """Return the data files that hold a word, all pages having been written."""
    names = ", ".join(f"`{plan.table}`" for plan in tables)
    rows(connection, f"FLUSH TABLES {names} FOR EXPORT")
    search = ["grep", "-rlai", word, f"{DATA_DIRECTORY}/on_disk"]
    found = execute(mariadb.get_wrapped_container(), search, user="root")
    rows(connection, "UNLOCK TABLES")
    assert found.code in (0, 1), found.err  # 1 where no file has it
    return found.out.split()


# -- what stays -----------------------------------------------------------------------------------


@pytest.fixture
def visits(server: Database) -> Iterator[Connection]:
    """Visits with actions and orders, users with what is theirs; two sites."""
    with filled(server, "visits", "matomo-4.14-mariadb-10.5-no-prefix.sql") as connection:
        statements = (
            "SET SESSION sql_mode = ''",
            "INSERT INTO log_action (idaction, name, hash, type, url_prefix)"
            " SELECT seq, IF(seq % 2, CONCAT('shop.test/c', seq % 5, '/p', seq, '?id=', seq),"
            " CONCAT('Title ', seq)), 0, IF(seq % 2, 1, 4), IF(seq % 2, 2, NULL)"
            " FROM seq_1_to_200",
            "UPDATE log_action SET hash = CRC32(name)",
            "INSERT INTO log_visit (idvisit, idsite, idvisitor, config_id, location_ip, user_id,"
            " referer_type, referer_name, referer_url, referer_keyword, location_city)"
            " SELECT seq, 1 + seq % 2, UNHEX(LEFT(MD5(seq % 90), 16)), UNHEX(LEFT(MD5(-seq), 16)),"
            " INET6_ATON(IF(seq % 3, CONCAT('93.184.', seq % 250, '.34'), '2a02:168:4a10:1::17')),"
            " IF(seq % 2, CONCAT('Jo', seq % 30, '@shop.test'), NULL),"
            " ELT(1 + seq % 4, 1, 2, 3, 6),"
            " ELT(1 + seq % 4, '', 'Google', CONCAT('blog', seq % 7, '.test'), 'Spring sale'),"
            " ELT(1 + seq % 4, NULL, 'https://www.google.com/search?q=jo',"
            " CONCAT('https://blog', seq % 7, '.test/jo?a=jo'), NULL),"
            " IF(seq % 4 = 1, CONCAT('jo ', seq % 11), NULL), CONCAT('Town ', seq % 5)"
            " FROM seq_1_to_300",
            "INSERT INTO log_link_visit_action (idsite, idvisitor, idvisit, idaction_url)"
            " SELECT idsite, idvisitor, idvisit, 1 + 2 * (idvisit % 100) FROM log_visit",
            "INSERT INTO log_conversion (idvisit, idsite, idvisitor, idgoal, idorder, buster, url)"
            " SELECT idvisit, idsite, idvisitor, 0, CONCAT('Order-', idvisit),"
            " CONV(LEFT(MD5(CONCAT('Order-', idvisit)), 8), 16, 10), 'https://shop.test/thanks'"
            " FROM log_visit WHERE idvisit % 10 = 0",
            "INSERT INTO log_conversion_item (idsite, idvisitor, idvisit, idorder, idaction_sku)"
            " SELECT idsite, idvisitor, idvisit, idorder, 2 FROM log_conversion"
            " UNION SELECT 1, 'abcdefgh', 1, '0', 2",
            "INSERT INTO user (login, email, password) VALUES ('Jo', 'jo@shop.test', 'x')",
            "INSERT INTO access (login, idsite, access) VALUES ('jo', 1, 'admin')",
            "INSERT INTO segment (name, definition, login, hash) VALUES"
            " ('Jo', 'userId==Jo1%40shop.test', 'Jo', MD5('userId==Jo1@shop.test'))",
            "INSERT INTO user_token_auth (login, description, password, hash_algo) VALUES"
            " ('Jo', 'for Jo', REPEAT('a', 128), 'sha512')",
            "INSERT INTO option (option_name, option_value) VALUES ('1_annotations',"
            ' \'a:1:{i:0;a:2:{s:4:"note";s:2:"Jo";s:4:"user";s:2:"Jo";}}\'),'
            " ('Jo_reset_password_info', 'x'), ('marketplace_license_key', 'x'),"
            " ('UsersManager.lastSeen.Jo', '1')",
            "ALTER TABLE log_visit AUTO_INCREMENT = 100000",
        )
        for statement in statements:
            rows(connection, statement)
        yield connection


NUMBERS = (
    "SELECT idsite, COUNT(*), COUNT(DISTINCT idvisitor), COUNT(DISTINCT user_id),"
    " COUNT(DISTINCT config_id), COUNT(DISTINCT referer_name), COUNT(DISTINCT referer_url),"
    " COUNT(DISTINCT referer_keyword), COUNT(DISTINCT location_city) FROM log_visit GROUP BY 1",
    "SELECT referer_type, COUNT(*), COUNT(DISTINCT referer_name) FROM log_visit GROUP BY 1",
    "SELECT type, url_prefix, COUNT(DISTINCT name) FROM log_action GROUP BY 1, 2",
    "SELECT COUNT(DISTINCT SUBSTRING_INDEX(name, '/', 2)) FROM log_action WHERE type = 1",
    "SELECT COUNT(*) FROM log_visit JOIN log_link_visit_action USING (idvisit, idvisitor)",
    "SELECT COUNT(*) FROM log_visit JOIN log_conversion USING (idvisit, idvisitor)",
    "SELECT COUNT(*) FROM log_conversion JOIN log_conversion_item USING (idvisit, idorder)",
    "SELECT COUNT(*) FROM log_conversion_item WHERE idorder = '0'",
    "SELECT COUNT(*) FROM log_conversion WHERE buster <> CONV(LEFT(MD5(idorder), 8), 16, 10)",
    "SELECT COUNT(*) FROM log_action WHERE hash <> CRC32(name)",
    "SELECT COUNT(*) FROM user JOIN access USING (login) JOIN segment USING (login)"
    " JOIN user_token_auth USING (login)",
    "SELECT AUTO_INCREMENT FROM information_schema.tables"
    " WHERE table_schema = DATABASE() AND table_name = 'log_visit'",
)
"""What reports count, what joins find, and what Matomo computes: equal before and after."""


def test_numbers_joins_and_hashes_stay(visits: Connection) -> None:
    before = [rows(visits, statement) for statement in NUMBERS]
    names = rows(visits, "SELECT name FROM log_action")
    with rewriting.key_of_run(visits):
        rewriting.rewrite(visits, plans(visits, ""))
    assert [rows(visits, statement) for statement in NUMBERS] == before
    assert not set(names) & set(rows(visits, "SELECT name FROM log_action"))
    assert rows(visits, "SELECT DISTINCT referer_name FROM log_visit WHERE referer_type = 2") == [
        ("Google",)
    ]


def test_addresses_are_masked_as_matomo_masks_them(visits: Connection) -> None:
    with rewriting.key_of_run(visits):
        rewriting.rewrite(visits, plans(visits, ""), masked_bytes=2)
    addresses = "SELECT DISTINCT INET6_NTOA(location_ip) FROM log_visit ORDER BY 1"
    assert rows(visits, addresses) == [("2a02:168:4a10::",), ("93.184.0.0",)]
    assert search.search(visits, plans(visits, ""), masked_bytes=2) == []
    assert found(search.search(visits, plans(visits, ""), masked_bytes=3)) == {
        "log_visit.location_ip"
    }


def test_a_person_has_one_pseudonym_in_columns_documents_and_segments(visits: Connection) -> None:
    with rewriting.key_of_run(visits):
        rewriting.rewrite(visits, plans(visits, ""))
    ((owner, definition, hashed),) = rows(visits, "SELECT login, definition, hash FROM segment")
    ((annotations,),) = rows(
        visits, "SELECT option_value FROM option WHERE option_name = '1_annotations'"
    )
    assert (owner,) in rows(visits, "SELECT login FROM user")
    assert f'"{owner}"' in annotations
    assert "Jo" not in annotations
    visitors = rows(visits, "SELECT DISTINCT user_id FROM log_visit WHERE idvisit % 30 = 1")
    assert definition == f"userId=={visitors[0][0]}"
    assert rows(visits, "SELECT MD5(%s)", definition) == [(hashed,)]


def test_options_of_people_and_secrets_are_gone(visits: Connection) -> None:
    ((before,),) = rows(visits, "SELECT COUNT(*) FROM `option`")
    with rewriting.key_of_run(visits):
        rewriting.rewrite(visits, plans(visits, ""))
    names = {name for (name,) in rows(visits, "SELECT option_name FROM option")}
    assert before - len(names) > 3
    assert {"version_core", "1_annotations"} <= names
    assert not {name for name in names if "Jo" in name or "licen" in name or "salt" in name}


def test_runs_differ_and_sessions_of_a_run_agree(server: Database, visits: Connection) -> None:
    made: list[str] = []
    column = Column("t", "c", "varchar", 100)
    for _ in range(2):
        with (
            rewriting.key_of_run(visits),
            dataclasses.replace(server, name="visits").connection() as second,
        ):
            rewriting.join(second)
            expression = pseudonyms.pseudonym("'Jo'", column)
            answers = {rows(each, f"SELECT {expression}")[0][0] for each in (visits, second)}
            assert len(answers) == 1
            made += answers
    assert len(set(made)) == 2


def test_what_differs_in_a_unique_key_still_does(visits: Connection) -> None:
    for statement in (
        "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'",
        "INSERT INTO log_action (idaction, name, hash, type) VALUES (0, 'Jo', CRC32('Jo'), 4)",
        "SET SESSION sql_mode = ''",
        "ALTER TABLE user MODIFY login VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        "INSERT INTO user (login, email, password) VALUES ('JO', 'jo2@shop.test', ''),"
        " ('jo', 'jo3@shop.test', '')",
        "INSERT INTO site_url VALUES (1, 'https://a.test/b'), (1, 'https://a.test/c'),"
        " (1, 'https://b.test/b'), (1, 'http://a.test/b')",
        "INSERT INTO report_subscriptions (idreport, email) VALUES (1, 'a@b.test'),"
        " (1, 'c@b.test')",
    ):
        rows(visits, statement)
    before = counts(visits, plans(visits, ""))
    with rewriting.key_of_run(visits):
        rewriting.rewrite(visits, plans(visits, ""))
    assert counts(visits, plans(visits, "")) == before
    assert len(rows(visits, "SELECT DISTINCT login FROM user WHERE login LIKE 'user-%'")) == 4
    assert rows(visits, "SELECT COUNT(*) FROM log_action WHERE idaction = 0") == [(1,)]


def test_rows_whose_unique_key_becomes_the_same_are_not_lost(
    visits: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewriting, "expression", lambda *_, **__: "'same'")
    users = [plan for plan in plans(visits, "") if plan.name == "user"]
    before = rows(visits, "SELECT login FROM user ORDER BY 1")
    with rewriting.key_of_run(visits), pytest.raises(BrokenPromiseError, match="the same"):
        rewriting.rewrite(visits, users)
    assert rows(visits, "SELECT login FROM user ORDER BY 1") == before


def test_rows_that_the_server_loses_are_missed(
    visits: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewriting, "UNCHANGED", UNCHANGED | {"login", "mail"})
    monkeypatch.setattr(rewriting, "expression", lambda *_, **__: "'same'")
    users = [plan for plan in plans(visits, "") if plan.name == "user"]
    with rewriting.key_of_run(visits), pytest.raises(BrokenPromiseError, match="unique key"):
        rewriting.rewrite(visits, users)
    assert len(rows(visits, "SELECT login FROM user")) == 3


def test_nobody_can_try_whether_an_archive_is_of_a_guessed_segment(visits: Connection) -> None:
    guess = "userId==jo@shop.test"
    rows(
        visits,
        "CREATE TABLE archive_numeric_2026_01 (idarchive INT, name VARCHAR(190), value DOUBLE,"
        " PRIMARY KEY (idarchive, name))",
    )
    rows(
        visits,
        "INSERT INTO archive_numeric_2026_01 VALUES (1, CONCAT('done', MD5(%s), '.Goals'), 1),"
        " (2, CONCAT('done', MD5(%s)), 1), (2, 'done', 1), (2, 'nb_visits', 7)",
        *(guess, guess),
    )
    with rewriting.key_of_run(visits):
        rewriting.rewrite(visits, plans(visits, ""))
    names = [
        name for (name,) in rows(visits, "SELECT name FROM archive_numeric_2026_01 ORDER BY 1")
    ]
    ((hashed,),) = rows(visits, "SELECT MD5(%s)", guess)
    assert names[0] == "done"
    assert names[3] == "nb_visits"
    assert names[2] == f"{names[1]}.Goals"
    assert len(names[1]) == len(f"done{hashed}")
    assert hashed not in "".join(names)


def test_a_canary_takes_no_row_of_a_table_without_a_key_along(visits: Connection) -> None:
    rows(visits, "CREATE TABLE of_a_plugin (login VARCHAR(100), visits INT)")
    rows(visits, "CREATE TABLE of_nobody (visits INT)")
    rows(visits, "INSERT INTO of_a_plugin VALUES ('Jo', 0), ('Ada', 0), ('Ada', 3)")
    rows(visits, "INSERT INTO of_nobody VALUES (0), (0)")
    own = parse(
        '[[tables]]\nname = "of_a_plugin"\nkeep = ["visits"]\nlogin = ["login"]\n'
        '[[tables]]\nname = "of_nobody"\nkeep = ["visits"]\n'
    )
    tables = plans(visits, "", built_in().extended(own))
    with rewriting.key_of_run(visits):
        planted = canaries.plant(visits, tables)
        rewriting.rewrite(visits, tables)
        canaries.remove(visits, planted)
    assert "of_a_plugin.login" in planted.columns
    left = rows(visits, "SELECT visits FROM of_a_plugin ORDER BY 1")
    assert [number for (number,) in left] == [0, 0, 3]
    assert len(rows(visits, "SELECT * FROM of_nobody")) == 2


def test_a_table_of_another_program_is_not_taken_for_matomos(server: Database) -> None:
    of_another = "CREATE TABLE user (login VARCHAR(100), shoe_size INT)"
    with filled(server, "two_programs", "matomo-4.2-mysql-5.7.sql") as connection:
        rows(connection, of_another)
        with pytest.raises(WrongInputError, match=r"table user \(without matomo_\)"):
            plans(connection, "matomo_")


def test_a_version_of_four_numbers_is_no_address(visits: Connection) -> None:
    rows(visits, "INSERT INTO option (option_name, option_value) VALUES ('version_Odd', '4.0.0.1')")
    with rewriting.key_of_run(visits):
        rewriting.rewrite(visits, plans(visits, ""))
    assert ("4.0.0.1",) in rows(visits, "SELECT option_value FROM option")
    assert search.search(visits, plans(visits, "")) == []
    rows(visits, "UPDATE option SET option_value = '84.1.2.3' WHERE option_name = '1_annotations'")
    assert found(search.search(visits, plans(visits, ""))) == {"option.option_value"}


def test_a_login_in_an_address_does_not_stay_with_a_known_host(visits: Connection) -> None:
    rows(
        visits,
        "UPDATE log_visit SET referer_type = 7, referer_url = 'https://Jo:Jo@www.facebook.com/Jo'",
    )
    with rewriting.key_of_run(visits):
        rewriting.rewrite(visits, plans(visits, ""))
    ((address,),) = rows(visits, "SELECT DISTINCT referer_url FROM log_visit")
    assert address.startswith("https://www.facebook.com/")
    assert "Jo" not in address


def test_visitors_who_look_like_nobody_else_are_counted(visits: Connection) -> None:
    for statement in (
        "DELETE FROM log_visit WHERE idvisit > 5",
        "UPDATE log_visit SET config_browser_name = 'FF', config_resolution = '1x1',"
        " visit_first_action_time = '2026-01-01 00:00:00'",
        "UPDATE log_visit SET visit_first_action_time = '2026-01-01 00:00:59' WHERE idvisit = 2",
        "UPDATE log_visit SET config_browser_name = 'CH' WHERE idvisit = 3",
        "UPDATE log_visit SET visit_first_action_time = '2026-01-01 00:01:00' WHERE idvisit = 4",
    ):
        rows(visits, statement)
    found = anonymity.anonymity(visits, plans(visits, ""))
    assert found == anonymity.Anonymity(visitors=5, smallest=1, alone=2)
    rows(visits, "DELETE FROM log_visit WHERE idvisit IN (3, 4)")
    assert anonymity.anonymity(visits, plans(visits, "")).smallest == 3
    rows(visits, "DELETE FROM log_visit")
    assert str(anonymity.anonymity(visits, plans(visits, ""))) == "no visits"


@pytest.mark.parametrize(
    "value",
    [
        *("Jo.Doe@Shop.test", "https://www.Shop.test:8080/a/b/Ü 😀.html?q=a&u=http://x/y;z#f=1"),
        *("shop.test/", "/a?jo", "https://u:p@h/", "a//b??=&", "É ", "it's 100%", '"\\'),
        "http://a/b\x01c\x02d",
        *("https://x/a?q=\\u0001b", "https://x/a\\\\u007f?q=\x7fb"),
    ],
)
def test_sql_and_python_make_the_same_of_a_value(visits: Connection, value: str) -> None:
    column = Column("t", "c", "varchar", 255)
    with rewriting.key_of_run(visits):
        made = Pseudonyms(rows(visits, f"SELECT {pseudonyms.KEY_VARIABLE}")[0][0])
        rows(visits, "SET @value = %s", value)
        for kind in ("pseudonym", "login", "text", "mail", "url"):
            expression = rewriting.expression(kind, column, value="@value")
            ((answer,),) = rows(visits, f"SELECT CONVERT({expression} USING utf8mb4)")
            assert answer == getattr(made, kind)(value), kind


def test_the_key_is_in_no_statement(visits: Connection) -> None:
    rows(visits, "SET GLOBAL general_log = 1, GLOBAL log_output = 'TABLE'")
    try:
        with rewriting.key_of_run(visits):
            ((key,),) = rows(visits, f"SELECT {pseudonyms.KEY_VARIABLE}")
            rewriting.rewrite(visits, plans(visits, ""))
        logged = b"\n".join(
            text
            for (text,) in rows(visits, "SELECT CAST(argument AS BINARY) FROM mysql.general_log")
        )
    finally:
        rows(visits, "SET GLOBAL general_log = 0, GLOBAL log_output = 'FILE'")
        rows(visits, "TRUNCATE mysql.general_log")
    assert b"INSERT INTO" in logged
    assert key not in logged
    assert key.hex().encode() not in logged.lower()
    assert b"shop.test" not in logged


def test_the_wheel_holds_the_rules(tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel.built(tmp_path)) as archive:
        assert "matomo_harness/personal_data/personal-data.toml" in archive.namelist()


# -- without rewriting ----------------------------------------------------------------------------

UNKNOWN = """CREATE TABLE `funnel` (`id` int NOT NULL, `login` varchar(50), PRIMARY KEY (`id`))
/*!50100 PARTITION BY RANGE (`id`)
(PARTITION p0 VALUES LESS THAN (10) ENGINE = InnoDB,
 PARTITION p1 VALUES LESS THAN MAXVALUE ENGINE = InnoDB) */;
INSERT INTO `funnel` VALUES (1,'ada'),(20,'jo');
"""


@pytest.mark.slow(reason="a dump is loaded into a quarantine")
def test_a_table_that_no_rule_knows_is_loaded_where_nothing_is_rewritten(tmp_path: Path) -> None:
    text = (DUMPS / "matomo-4.14-mariadb-10.5-no-prefix.sql").read_text()
    before, end, after = text.rpartition("-- Dump completed")
    path = tmp_path / "dump.sql"
    path.write_text(f"{before}{UNKNOWN}{end}{after}")
    image = images.mariadb_base(RunSettings.from_environment())
    with safe_tables([path], image, keep_person_data=True) as safe:
        assert "funnel" in safe.tables
        # One data file, as a stack's database takes it: the partitions are gone.
        with safe.held.exported(["funnel"]) as files:
            exported = io.BytesIO(b"".join(files))
        with tarfile.open(fileobj=exported) as archive:
            assert archive.getnames() == ["funnel.ibd", "funnel.cfg"]
