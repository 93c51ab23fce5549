"""Cuts a database to a part of it in which everything fits together.

Visits are chosen; their actions, conversions and items stay with them, and so do the labels that
these refer to. Archives that describe what is gone go as well, to be archived anew from what is
left. It works on raw data, so that what is cut off need not be rewritten.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from pymysql.cursors import Cursor

from matomo_harness.errors import WrongInputError
from matomo_harness.personal_data.schema import (
    Column,
    Connection,
    Schema,
    next_number,
    quoted,
    row_count,
)

VISITS: Final = "log_visit"
ACTIONS: Final = "log_action"
ARCHIVES: Final = ("archive_numeric_", "archive_blob_")
OF_VISITORS: Final = ("log_", *ARCHIVES, "archive_invalidations", "tracking_failure")
"""How the names of tables begin that are empty where nobody has visited."""
CHOSEN_VISITS: Final = "harness_visits"
CHOSEN_ACTIONS: Final = "harness_actions"
WHOLE: Final = 1_000_000
"""A sample is so many parts of this."""
_PERCENT: Final = re.compile(r"(\d{1,3}(?:\.\d{1,4})?)\s*%")


@dataclass(frozen=True)
class Slice:
    """What stays of a database.

    Args:
        since: visits that ended on this day (UTC) or later; None for all.
        sites: numbers of the sites that stay; empty for all.
        sample: of how many of a million visitors all visits stay.
        schema_only: whether tables, people, sites and settings stay alone.
    """

    since: date | None = None
    sites: tuple[int, ...] = ()
    sample: int = WHOLE
    schema_only: bool = False

    @property
    def is_all(self) -> bool:
        """Whether nothing is cut off."""
        return self == ALL

    def __str__(self) -> str:
        if self.schema_only:
            return "no visits and no reports"
        share = Decimal(self.sample) * 100 / WHOLE
        said = [
            f"since {self.since}" if self.since else "",
            f"sites {', '.join(map(str, self.sites))}" if self.sites else "",
            f"{share.normalize():f} % of the visitors" if self.sample != WHOLE else "",
        ]
        return "; ".join(filter(None, said))


ALL: Final = Slice()
"""Everything."""


def parsed(since: str, sites: str, sample: str, *, schema_only: bool) -> Slice:
    """Return the slice that a person asks for; what is empty cuts nothing off.

    Args:
        since: a day, such as 2026-01-31.
        sites: numbers with commas between.
        sample: a share, such as 1%.
        schema_only: see Slice.

    Raises:
        WrongInputError: one of them cannot be read, or contradicts another.
    """
    if schema_only and (since or sites or sample):
        raise _wrong("--schema-only alone", "another option that cuts", "--schema-only")
    return Slice(_day(since), _numbers(sites), _share(sample), schema_only)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise _wrong("--since to be a day", text, "--since 2026-01-31") from error


def _numbers(text: str) -> tuple[int, ...]:
    names = [name.strip() for name in text.split(",")] if text else []
    if not all(name.isascii() and name.isdigit() for name in names):
        raise _wrong("--sites to be numbers of sites", text, "--sites 1,3")
    return tuple(sorted({int(name) for name in names}))


def _share(text: str) -> int:
    if not text:
        return WHOLE
    found = _PERCENT.fullmatch(text.strip())
    parts = int(Decimal(found[1]) * WHOLE / 100) if found else 0
    if not 0 < parts <= WHOLE:
        raise _wrong("--sample to be a share of the visitors, up to 100%", text, "--sample 1%")
    return parts


def _wrong(expected: str, seen: str, example: str) -> WrongInputError:
    return WrongInputError(
        expected=expected, seen=seen, next_command=f"matomo-harness repro new DUMP {example}"
    )


def cut(connection: Connection, schema: Schema, chosen: Slice) -> str:
    """Cut the tables of a connection's schema, and say what stays.

    Args:
        connection: a session that may create and drop tables.
        schema: its columns.
        chosen: what stays.

    Raises:
        WrongInputError: no such site, or no visit would be left.
    """
    # A row whose number is 0 would get another one without the mode.
    _execute(connection, "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', foreign_key_checks = 0")
    if chosen.schema_only:
        for name in schema:
            if name.startswith(OF_VISITORS):
                _execute(connection, f"TRUNCATE TABLE {_table(schema, name)}")
        return str(chosen)
    _require_sites(connection, schema, chosen)
    before = row_count(connection, schema[VISITS][0].table)
    try:
        visits = _choose_visits(connection, schema, chosen)
        if before and not visits:
            raise _wrong(f"visits in this slice ({chosen})", f"none of {before}", "--schema-only")
        for name, condition in _conditions(schema, chosen):
            _keep_rows(connection, schema[name], condition)
        _choose_actions(connection, schema)
        _keep_rows(connection, schema[ACTIONS], f"idaction IN (SELECT id FROM {CHOSEN_ACTIONS})")
    finally:
        for table in (CHOSEN_VISITS, CHOSEN_ACTIONS):
            _execute(connection, f"DROP TABLE IF EXISTS {table}")
    return f"{visits} of {before} visits: {chosen}"


def _require_sites(connection: Connection, schema: Schema, chosen: Slice) -> None:
    with connection.cursor(Cursor) as cursor:
        cursor.execute(f"SELECT idsite FROM {_table(schema, 'site')} ORDER BY idsite")
        there = [int(row[0]) for row in cursor.fetchall()]
    if missing := set(chosen.sites) - set(there):
        raise _wrong(
            f"sites {', '.join(map(str, chosen.sites))} in the dump",
            f"no {', '.join(map(str, sorted(missing)))}; there are {_some(there)}",
            f"--sites {_some(there[:2])}",
        )


def _some(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers[:20])) + (",…" if len(numbers) > 20 else "")


def _choose_visits(connection: Connection, schema: Schema, chosen: Slice) -> int:
    """Make the table of visits that stay; return how many they are."""
    conditions = ["TRUE"]
    if chosen.since:
        conditions.append(f"visit_last_action_time >= '{chosen.since}'")
    if chosen.sites:
        conditions.append(f"idsite IN {_in(chosen.sites)}")
    if chosen.sample < WHOLE:
        # By visitor: whoever comes back does so in the sample, too.
        number = "CONV(LEFT(MD5(idvisitor), 12), 16, 10)"
        conditions.append(f"{number} % {WHOLE} < {chosen.sample}")
    _execute(
        connection,
        f"CREATE TABLE {CHOSEN_VISITS} (id BIGINT UNSIGNED PRIMARY KEY) SELECT idvisit AS id"
        f" FROM {_table(schema, VISITS)} WHERE {' AND '.join(conditions)}",
    )
    return row_count(connection, CHOSEN_VISITS)


def _choose_actions(connection: Connection, schema: Schema) -> None:
    """Make the table of labels that anything which stays refers to."""
    _execute(connection, f"CREATE TABLE {CHOSEN_ACTIONS} (id BIGINT UNSIGNED PRIMARY KEY)")
    for name, columns in schema.items():
        if name == ACTIONS:
            continue
        for column in columns:
            if "idaction" in column.name and column.is_number:
                _execute(
                    connection,
                    f"INSERT IGNORE INTO {CHOSEN_ACTIONS} SELECT DISTINCT {quoted(column.name)}"
                    f" FROM {_table(schema, name)} WHERE {quoted(column.name)} IS NOT NULL",
                )


def _conditions(schema: Schema, chosen: Slice) -> Iterator[tuple[str, str]]:
    """Yield the tables that lose rows, and the condition of those that stay."""
    for name, columns in schema.items():
        there = {column.name for column in columns}
        if name == "archive_invalidations":
            yield name, "FALSE"
        elif name.startswith(ARCHIVES):
            yield name, _of_archives(chosen)
        elif "idvisit" in there:
            yield name, f"idvisit IN (SELECT id FROM {CHOSEN_VISITS})"
        elif chosen.sites:
            yield from ((name, condition) for condition in _of_sites(there, chosen.sites))


def _of_archives(chosen: Slice) -> str:
    """Return the condition of archives that describe nothing but what stays."""
    if chosen.sample < WHOLE:
        return "FALSE"
    conditions = [f"date1 >= '{chosen.since}'"] if chosen.since else []
    if chosen.sites:
        conditions.append(f"idsite IN {_in(chosen.sites)}")
    return " AND ".join(conditions) or "TRUE"


def _of_sites(columns: set[str], sites: Sequence[int]) -> Iterator[str]:
    """Yield the condition of rows of these sites, or of none: 0 and NULL mean all of them."""
    for name in ("idsite", "enable_only_idsite"):
        if name in columns:
            yield f"{name} IS NULL OR {name} IN {_in((0, *sites))}"


def _keep_rows(connection: Connection, columns: Sequence[Column], condition: str) -> None:
    """Write the rows that stay into a new table, which takes the place of the old one.

    To delete most of a large table takes longer, and leaves its file as large as it was.
    """
    if condition in ("TRUE", "FALSE"):
        if condition == "FALSE":
            _execute(connection, f"TRUNCATE TABLE {quoted(columns[0].table)}")
        return
    table, new = quoted(columns[0].table), "harness_slice"
    names = ", ".join(quoted(column.name) for column in columns if not column.is_generated)
    number = next_number(connection, columns[0].table)
    _execute(connection, f"CREATE TABLE {new} LIKE {table}")
    if number:
        _execute(connection, f"ALTER TABLE {new} AUTO_INCREMENT = {number}")
    _execute(
        connection, f"INSERT INTO {new} ({names}) SELECT {names} FROM {table} WHERE {condition}"
    )
    _execute(connection, f"DROP TABLE {table}")
    _execute(connection, f"RENAME TABLE {new} TO {table}")


def _table(schema: Mapping[str, Sequence[Column]], name: str) -> str:
    return quoted(schema[name][0].table)


def _in(numbers: Sequence[int]) -> str:
    return f"({', '.join(map(str, numbers))})"


def _execute(connection: Connection, statement: str) -> None:
    with connection.cursor(Cursor) as cursor:
        cursor.execute(statement)
