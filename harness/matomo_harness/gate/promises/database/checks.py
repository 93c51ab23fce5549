"""Database: it is whole, fits this code, and does nothing of its own."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from matomo_harness.gate.core.check import CannotTellError, Finding, Severity, holds, nothing
from matomo_harness.gate.core.promise import ALWAYS, Promise
from matomo_harness.gate.probes.php import Php
from matomo_harness.matomo.database import Database

PROMISE: Final = Promise(
    "database", "The database is whole, fits this code, and does nothing of its own."
)

ARCHIVE: Final = re.compile(r"archive_(numeric|blob)_\d{4}_\d{2}")
"""A table of archives; what follows the month is a copy's, which Matomo never reads."""
VIEW: Final = "VIEW"
OBJECTS: Final = (
    ("TRIGGER", "EVENT_OBJECT_TABLE", "ACTION_STATEMENT"),
    ("EVENT", "NULL", "EVENT_DEFINITION"),
    ("ROUTINE", "NULL", "ROUTINE_DEFINITION"),
    ("VIEW", "NULL", "VIEW_DEFINITION"),
)
"""What may act in a schema, and where information_schema has its name, its table and its text. Of a
schema that other applications use as well, only what has to do with Matomo's tables is judged."""


@PROMISE.check(
    "core_has_its_tables",
    formerly="plugins.core_has_its_tables",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Restore the table from a dump that has it, or make it empty as core/Db/Schema/Mysql.php"
    " declares it.",
    failure_mode="U3",
)
def core_has_its_tables(php: Php) -> Finding:
    """Every table of Matomo's own schema exists."""
    # Each archived month has its own archive tables, which Matomo makes when it needs them.
    needed = set(php.facts["core_tables"]) - {"archive_blob", "archive_numeric"}
    return nothing("missing table", sorted(needed - set(php.facts["tables"])))


@PROMISE.check(
    "tables_have_their_keys",
    formerly="plugins.tables_have_their_keys",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Restore with mysqldump's own CREATE TABLE, or give the table its primary key back with"
    " ALTER TABLE.",
    failure_mode="G1",
)
def tables_have_their_keys(database: Database) -> Finding:
    """Every table has a primary key: a restore can lose it, and rows are then no longer unique."""
    rows = database.query(
        "SELECT TABLE_NAME AS name FROM information_schema.TABLES"
        " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' AND TABLE_NAME NOT IN"
        " (SELECT TABLE_NAME FROM information_schema.STATISTICS"
        " WHERE TABLE_SCHEMA = DATABASE() AND INDEX_NAME = 'PRIMARY')"
    )
    # The schema may have tables of other applications, whose names begin otherwise.
    names = (str(row["name"]) for row in rows)
    of_matomo = [name for name in names if name.startswith(database.tables_prefix)]
    return nothing("table without a key", of_matomo)


@PROMISE.check(
    "one_character_set",
    formerly="configuration.tables_are_of_one_charset",
    proves=ALWAYS,
    severity=Severity.MEDIUM,
    remedy="Convert the tables that differ to the charset of [database] with ALTER TABLE … CONVERT"
    " TO CHARACTER SET.",
    failure_mode="U7",
)
def one_character_set(database: Database) -> Finding:
    """All tables use one character set: otherwise one table refuses text that another stores."""
    rows = database.query(
        "SELECT TABLE_NAME AS name, SUBSTRING_INDEX(TABLE_COLLATION, '_', 1) AS charset"
        " FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
        " AND TABLE_TYPE = 'BASE TABLE'"
    )
    prefix = database.tables_prefix
    tables = Counter(row["charset"] for row in rows if str(row["name"]).startswith(prefix))
    seen = ", ".join(f"{charset}: {count}" for charset, count in sorted(tables.items()))
    return holds(len(tables) == 1, "one character set", seen)


@PROMISE.check(
    "no_update_waits",
    formerly="configuration.no_update_waits",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Run console core:update in the web container.",
    failure_mode="U2",
)
def no_update_waits(php: Php) -> Finding:
    """The database fits this code: no database update is waiting."""
    return nothing("waiting update", php.facts["updates"])


@PROMISE.check(
    "does_nothing_of_its_own",
    formerly="drift.database_does_nothing_of_its_own",
    proves=ALWAYS,
    severity=Severity.CRITICAL,
    remedy="Find out who made the trigger, event, routine, view or SYSTEM VERSIONING that is named,"
    " and drop it.",
    failure_mode="P9",
)
def does_nothing_of_its_own(database: Database) -> Finding:
    """The schema has no trigger, event, routine, view or table with a history: Matomo makes none."""
    tables = {
        str(row["name"]): str(row["kind"])
        for row in database.query(
            "SELECT TABLE_NAME AS name, TABLE_TYPE AS kind FROM information_schema.TABLES"
            " WHERE TABLE_SCHEMA = DATABASE()"
        )
    }
    prefix = database.tables_prefix
    own = {name for name, kind in tables.items() if name.startswith(prefix) and kind != VIEW}
    # A copy of a table of Matomo's is no other application's.
    of_others = {
        name
        for name, kind in tables.items()
        if kind != VIEW and not any(table in name for table in own)
    }
    found, unread = [], []
    for kind, on, text in OBJECTS:
        column = "TABLE" if kind == VIEW else kind
        for row in database.query(
            f"SELECT {column}_NAME AS name, {on} AS `on`, {text} AS text"  # noqa: S608
            f" FROM information_schema.{kind}S WHERE {column}_SCHEMA = DATABASE()"
        ):
            said, name = str(row["text"] or ""), f"{kind.lower()} {row['name']}"
            is_of_matomo = str(row["on"] or row["name"]).startswith(prefix)
            if not of_others or is_of_matomo or _names_one_of(own, said):
                found.append(name)
            elif not said:
                unread.append(name)
    found += [
        f"history of {name}"
        for name, kind in tables.items()
        if kind == "SYSTEM VERSIONED" and name not in of_others
    ]
    if not found and (unseen := [*database.unseen_kinds(), *unread]):
        raise CannotTellError(f"the user of the database is not shown {', '.join(unseen)}")
    return nothing("trigger, event, routine, view or history", found)


def _names_one_of(tables: Iterable[str], text: str) -> bool:
    """Return whether the text of an object in the schema names one of `tables`."""
    return any(re.search(rf"(?<!\w){re.escape(table)}(?!\w)", text) for table in tables)


@PROMISE.check(
    "numbers_of_archives_are_new",
    proves=ALWAYS,
    severity=Severity.CRITICAL,
    remedy="Set value in the table sequence to the highest idarchive of the tables that are named,"
    " before the archiver runs; then restore whole dumps, not single tables.",
    failure_mode="D10",
)
def numbers_of_archives_are_new(database: Database) -> Finding:
    """No number that Matomo gives to its next archive is taken: that would overwrite another's reports."""
    prefix = database.tables_prefix
    last = {}
    for table in sorted(database.tables()):
        if ARCHIVE.fullmatch(table):
            (row,) = database.query(f"SELECT MAX(idarchive) AS last FROM {{prefix}}{table}")  # noqa: S608
            last[table] = int(row["last"] or 0)
    # Read after the tables: an archiver that runs meanwhile takes its number before it writes.
    rows = database.query("SELECT name, value FROM {prefix}sequence")
    given = {str(row["name"]).removeprefix(prefix): int(row["value"]) for row in rows}
    # Reports (blob) have the number of their figures (numeric); without a row Matomo begins at 1.
    values = {
        table: given.get(f"archive_numeric_20{table.partition('_20')[2]}", 0) for table in last
    }
    behind = [
        f"{table} has archive {number}, the sequence is at {values[table]}"
        for table, number in last.items()
        if number > values[table]
    ]
    return nothing("number that is taken", behind)


@PROMISE.check(
    "user_may_make_tables",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Grant Matomo's user the right that is named on the whole schema: Matomo makes tables on"
    " the first of a month, and for segments, updates and the deletion of what is old.",
    failure_mode="D11",
)
def user_may_make_tables(php: Php) -> Finding:
    """Matomo's database user may make, change and drop tables, also temporary ones."""
    return nothing("right that is denied", php.denied)
