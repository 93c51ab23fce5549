"""The gate looks into a container and a database that are not ours, and changes nothing there."""

import dataclasses
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import pymysql
import pytest

from matomo_harness.errors import ExitCode, WrongInputError
from matomo_harness.gate import remote
from matomo_harness.gate.catalogue import ALL, read_policy
from matomo_harness.gate.core import runner
from matomo_harness.gate.core.check import Capability, Check, Status
from matomo_harness.gate.core.runner import Result
from matomo_harness.matomo import inside, read_only, twofactor
from matomo_harness.matomo.container import OutOfReachError
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.found import OF_EVERY_MATOMO
from matomo_harness.matomo.read_only import ReadOnlyDatabase
from matomo_harness.operate import gate_container
from matomo_harness.runtime.dedicated import DedicatedMatomo
from matomo_harness.runtime.instance import Instance
from tests.checkout import Checkout
from tests.integration.test_gate_by_url import broken, credentials

PROMISED = read_policy()
# The gate asks for pages that are not there, and for what is refused.
pytestmark = pytest.mark.matomo_log(r'" 5\d\d ', reason="the gate asks for what is refused")

INSIDE = frozenset({Capability.CONTAINER, Capability.DATABASE})
READER = "a reader"
SEEN = ("SELECT", "SHOW VIEW", "TRIGGER", "EVENT", "EXECUTE")


def url_of(database: Database, schema: str = "", **more: str) -> str:
    """Return the address of `database`, as DATABASE_URL has it."""
    user, password = (
        quote(more.get(name, value), safe="")
        for name, value in (("user", database.user), ("password", database.password))
    )
    host = more.get("host", database.host)
    return f"mysql://{user}:{password}@{host}:{database.port}/{schema or database.name}"


def with_reader(matomo: DedicatedMatomo, privileges: Iterable[str] = SEEN) -> str:
    """Make a user of the database who may only read; return the address."""
    root, password = matomo.mariadb.root, "only: reads@"
    root.query(f"CREATE USER `{READER}`@`%%` IDENTIFIED BY '{password}'")
    root.query(f"GRANT {', '.join(privileges)} ON `{root.name}`.* TO `{READER}`@`%%`")
    return url_of(root, user=READER, password=password)


def by_exec(matomo: DedicatedMatomo) -> str:
    return f"docker exec -i {matomo.matomo.get_wrapped_container().name}"


def look(matomo: DedicatedMatomo, address: str, checks: Iterable[Check]) -> list[Result]:
    target = remote.target(
        *(matomo.url, PROMISED),
        environment=credentials(matomo),
        container=inside.reached_by(by_exec(matomo)),
        database=read_only.parsed(address),
    )
    assert "database user" not in target.about
    return runner.run(target, checks)


# -- nothing changes ------------------------------------------------------------------------------

CHANGING_TABLES = {"session", "brute_force_log"}
CHANGING_OPTIONS = ("twofa_codes_used_", "UsersManager.lastSeen.")
LAST_USED = {"user_token_auth": "last_used", "user": "ts_last_seen"}


def stored(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Return all rows, but for sessions, failed logins, used codes and times of last use."""
    found = {}
    for table in sorted(database.tables() - CHANGING_TABLES):
        rows = database.query(f"SELECT * FROM {{prefix}}{table}")  # noqa: S608
        for row in rows:
            row.pop(LAST_USED.get(table, ""), None)
        found[table] = sorted(
            (row for row in rows if not str(row.get("option_name")).startswith(CHANGING_OPTIONS)),
            key=str,
        )
    return found


def files(matomo: DedicatedMatomo) -> str:
    script = "find config misc js | sort; find config misc js -type f -exec sha256sum {} + | sort"
    return matomo.shell.run("sh", "-c", script, user="root")


def require_only_read(matomo: DedicatedMatomo, checks: list[Check]) -> list[Result]:
    address = with_reader(matomo)
    # An instance that is in use: the first superuser's request has Matomo save its host name, the
    # first look at a month makes that month's empty tables of archives, and the first system check
    # saves an option to try how the database isolates (core/Db/TransactionLevel.php).
    matomo.api.call("VisitsSummary.get", idSite=1, period="month", date="last24")
    web = matomo.web
    # The installation of a moment ago may have used the code of now; the gate uses the next two.
    matomo.database.query("DELETE FROM {prefix}option WHERE option_name LIKE 'twofa_codes_used_%%'")
    twofactor.sign_in(web, matomo.account, steps=0)
    web.get({"module": "Installation", "action": "systemCheckPage"})
    rows_before, files_before = stored(matomo.database), files(matomo)
    results = look(matomo, address, checks)
    assert not broken(results)
    rows_after = stored(matomo.database)
    assert {*rows_after} ^ {*rows_before} == set()
    changed = {
        f"{table}: {row}"
        for table, rows in rows_after.items()
        for row in (*rows, *rows_before[table])
        if row not in rows or row not in rows_before[table]
    }
    assert changed == set()
    assert files(matomo) == files_before
    return results


@pytest.mark.all_versions(reason="what the checks read is Matomo's")
@pytest.mark.slow(reason="fifty checks")
def test_what_is_inside_is_read_and_stays_as_it_was(dedicated_matomo: DedicatedMatomo) -> None:
    able = {Capability.API, Capability.LOGIN, Capability.WEB_ROOT, *INSIDE}
    checks = [check for check in ALL if check.capabilities & INSIDE and check.capabilities <= able]
    assert len(checks) >= 50
    results = require_only_read(dedicated_matomo, checks)
    ran = [result.check.id for result in results if result.status is Status.PASSED]
    assert {
        *("secrets.no_token_in_a_file", "code.web_root_is_of_the_image"),
        *("database.does_nothing_of_its_own", "masking.no_visit_keeps_more"),
        *("second_factors.wrong_codes_are_counted", "environment.no_useless_variable"),
    } <= {*ran}


@pytest.mark.nightly(reason="all checks that only read")
@pytest.mark.slow(reason="all checks that only read")
def test_every_check_that_only_reads_runs(dedicated_matomo: DedicatedMatomo) -> None:
    results = require_only_read(dedicated_matomo, list(ALL))
    lacking = {Capability.HITS, Capability.CHANGE, Capability.SERVICES}
    able = [result for result in results if not result.check.capabilities & lacking]
    assert len(able) >= 103
    assert not [
        result.check.id
        for result in able
        if result.status is Status.SKIPPED and result.seen.startswith("needs ")
    ]


@pytest.mark.nightly(reason="a second gate by what is inside")
@pytest.mark.slow(reason="a container, and the command")
def test_a_container_is_found_by_its_name(
    dedicated_matomo: DedicatedMatomo, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its address and its database are found; Matomo's own user may write, which is said."""
    monkeypatch.setenv("HARNESS_TOKEN", dedicated_matomo.token)
    name = str(dedicated_matomo.matomo.get_wrapped_container().name)
    new = checkout.harness("gate", "--container", name, "--only", "database.*")
    new.refuses(ExitCode.WRONG_INPUT, "knows its host names", f"CONTAINER={name} URL=")
    dedicated_matomo.api.call("API.getMatomoVersion")  # which has Matomo save its host name
    answer = checkout.harness("gate", "--container", name, "--only", "database.* code.version_*")
    assert answer.code == 0, answer.text
    assert "may write: ALL PRIVILEGES" in answer.text.replace("\n", " ")
    assert re.search(r"\b(\d+) checks: \1 passed", answer.text.replace("\n", " ")), answer.text
    assert dedicated_matomo.token not in answer.text


# -- the database ---------------------------------------------------------------------------------


def opened(database: Database) -> ReadOnlyDatabase:
    return read_only.opened(read_only.parsed(url_of(database))).database


def test_the_database_is_only_read(fresh_matomo: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where its user may write; and neither its time nor its rows are without a limit."""
    database = opened(fresh_matomo.database)
    assert database.prefix == fresh_matomo.database.tables_prefix
    assert database.tables() == fresh_matomo.database.tables()
    for statement in ("DELETE FROM {prefix}site", "CREATE TABLE {prefix}x (x INT)"):
        with pytest.raises(pymysql.MySQLError, match="READ ONLY"):
            database.query(statement)
    monkeypatch.setattr(read_only, "STATEMENT_SECONDS", 0.5)
    with pytest.raises(OutOfReachError, match=r"within 0\.5 s"):
        database.query("SELECT SLEEP(20) FROM {prefix}site")
    monkeypatch.setattr(read_only, "MOST_ROWS", 3)
    with pytest.raises(OutOfReachError, match="at most 3 rows"):
        database.query("SELECT * FROM {prefix}option")


@pytest.mark.slow(reason="two containers, and a login")
def test_a_reader_who_is_not_shown_triggers_proves_nothing_of_them(
    dedicated_matomo: DedicatedMatomo,
) -> None:
    address = with_reader(dedicated_matomo, ["SELECT"])
    own = [check for check in ALL if check.id == "database.does_nothing_of_its_own"]
    (result,) = look(dedicated_matomo, address, own)
    assert result.status is Status.SKIPPED
    assert "not shown triggers, events, routines" in result.seen


def test_the_prefix_is_found_and_two_of_them_are_refused(fresh_matomo: Instance) -> None:
    database = fresh_matomo.database
    for table in OF_EVERY_MATOMO:
        database.query(f"CREATE TABLE other_{table} LIKE {{prefix}}{table}")
    with pytest.raises(WrongInputError, match="tables of 'matomo_', 'other_'") as two:
        opened(database)
    assert "?prefix=" in two.value.next_command
    address = read_only.parsed(f"{url_of(database)}?prefix={database.tables_prefix}")
    assert read_only.opened(address).database.prefix == database.tables_prefix
    with pytest.raises(WrongInputError, match="version of Matomo"):
        read_only.opened(read_only.parsed(f"{url_of(database)}?prefix=other_"))


def refused(address: str, *words: str) -> None:
    with pytest.raises(WrongInputError) as error:
        read_only.opened(read_only.parsed(address))
    for word in words:
        assert word in str(error.value)


def test_a_wrong_address_of_the_database_is_refused(fresh_matomo: Instance) -> None:
    database = fresh_matomo.database
    refused(url_of(database, password="wrong"), "Access denied", "check user and password")
    refused(url_of(database, "no_such_schema"), "no_such_schema", "check the schema")
    refused(url_of(database, "information_schema"), "tables of a Matomo", "dbname")
    nowhere = dataclasses.replace(database, port=1)
    refused(url_of(nowhere), "refused", "check host and port")


@pytest.mark.slow(reason="two containers")
def test_the_database_of_another_matomo_is_refused(
    fresh_matomo: Instance, dedicated_matomo: DedicatedMatomo
) -> None:
    dedicated_matomo.database.query("UPDATE {prefix}site SET ts_created = '2001-01-01'")
    with pytest.raises(WrongInputError, match="with other sites: 1 of 20"):
        remote.target(
            *(fresh_matomo.url, PROMISED),
            environment={"HARNESS_TOKEN": fresh_matomo.token},
            database=read_only.parsed(url_of(dedicated_matomo.database)),
        )


# -- wrong input ----------------------------------------------------------------------------------


def test_a_container_that_is_none_is_refused(dedicated_matomo: DedicatedMatomo) -> None:
    with pytest.raises(WrongInputError, match="none of that name"):
        gate_container.entered("no-such-container")
    with pytest.raises(WrongInputError, match=r"no core/Version\.php"):
        gate_container.entered(str(dedicated_matomo.mariadb.get_wrapped_container().name))
    with pytest.raises(WrongInputError, match="No such container"):
        inside.reached_by("docker exec -i no-such-container")


def test_another_major_version_is_refused_by_every_way_in(
    dedicated_matomo: DedicatedMatomo,
) -> None:
    matomo, path = dedicated_matomo, "core/Version.php"
    version = re.sub(r"VERSION = '\d+", "VERSION = '4", matomo.shell.read(path))
    matomo.shell.write(path, version)
    with pytest.raises(WrongInputError, match=r"Matomo 4.*by `docker exec"):
        remote.target(matomo.url, PROMISED, container=inside.reached_by(by_exec(matomo)))
    matomo.database.query(
        "UPDATE {prefix}option SET option_value = CONCAT('4', SUBSTR(option_value, 2))"
        " WHERE option_name = 'version_core'"
    )
    address = read_only.parsed(url_of(matomo.database))
    with pytest.raises(WrongInputError, match=r"Matomo 4.*by the database"):
        remote.target(matomo.url, PROMISED, database=address)


@pytest.mark.slow(reason="three commands")
def test_the_command_refuses_what_contradicts_itself(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = ExitCode.WRONG_INPUT
    checkout.harness("gate", "--exec", "docker exec -i x").refuses(wrong, "--url with --exec")
    nowhere = "http://127.0.0.1:1"
    checkout.harness("gate", "--url", nowhere, "--container", "x", "--exec", "y").refuses(wrong)
    monkeypatch.setenv("DATABASE_URL", "mysql://u:hidden@h")
    answer = checkout.harness("gate", "--url", nowhere)
    answer.refuses(wrong, "no schema")
    assert "hidden" not in answer.text
