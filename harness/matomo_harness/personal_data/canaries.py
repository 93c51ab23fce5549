"""Canaries: made-up person data in every column that has a rule, as rows of a site of their own.

They are planted into raw data before the rewriting. Whatever the search then finds of them is what
a rule has not rewritten. The site's rows are removed before anything is copied.
"""

import base64
import ipaddress
import json
import secrets
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from pymysql.cursors import Cursor

from matomo_harness.personal_data.documents import serialised
from matomo_harness.personal_data.rewriting import expression
from matomo_harness.personal_data.rules import (
    DERIVED,
    UNCHANGED,
    Cases,
    DocumentRules,
    Rule,
    TablePlan,
)
from matomo_harness.personal_data.schema import Column, Connection, quoted
from matomo_harness.personal_data.search import Canary

SITE: Final = 1_900_000_000
"""The canaries' site: below the end of an INT, above any real one."""

ADDRESSES: Final = ("198.51.100.213", "2001:db8:5ca1:ab1e:dead:beef:cafe:f00d")
"""Of RFC 5737 and RFC 3849: nobody's."""

_LARGEST: Final[Mapping[str, int]] = {
    "tinyint": 100,
    "smallint": 30_000,
    "mediumint": 8_000_000,
    "int": 2_100_000_000,
    "bigint": 9_000_000_000_000_000_000,
}
"""Near the end of what each type holds with a sign: where no real row has come to."""


SHORTEST: Final = 8
"""Characters or bytes of the shorter canary; fewer would be found by chance."""


@dataclass(frozen=True)
class Words:
    """What the canaries are made of.

    Args:
        long: for most columns.
        short: for those that hold no more, as of a visitor's id.
    """

    long: str
    short: str

    def fitting(self, column: Column) -> str:
        """Return the word that a column has room for."""
        return self.long if (column.length or 0) > len(self.long) + 2 else self.short


@dataclass(frozen=True)
class PlantedRow:
    """A row with canaries.

    Args:
        plan: its table.
        values: what was written, by column.
    """

    plan: TablePlan
    values: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class PlantedCanaries:
    """All that was planted.

    Args:
        canaries: what the search must not find.
        rows: the rows that hold them.
        columns: each column that holds one, as `table.column`.
        next_numbers: what AUTO_INCREMENT of each table would have given next before.
    """

    canaries: tuple[Canary, ...]
    rows: tuple[PlantedRow, ...]
    columns: tuple[str, ...]
    next_numbers: Mapping[str, int] = field(default_factory=dict)


def plant(connection: Connection, plans: Iterable[TablePlan]) -> PlantedCanaries:
    """Plant a canary into every column that is not left as it is.

    Args:
        connection: to a schema of raw data, with the settings of `rewriting.join` or without.
        plans: the rules of its tables.
    """
    words = Words(f"Kanarie{secrets.token_hex(6)}", f"Ka{secrets.token_hex(3)}")
    rows, columns = [], []
    with connection.cursor(Cursor) as cursor:
        cursor.execute("SET SESSION sql_mode = '', foreign_key_checks = 0")
        cursor.execute(
            "SELECT table_name, auto_increment FROM information_schema.tables"
            " WHERE table_schema = DATABASE() AND auto_increment IS NOT NULL"
        )
        numbers = {table: int(number) for table, number in cursor.fetchall()}
        for plan in plans:
            if not _can_be_found(plan):
                continue
            for number, by in enumerate(_each_case(plan)):
                values = {
                    column.name: _value(column, rule, words, number, by)
                    for column, rule in plan.columns
                    if not column.is_generated
                }
                names = ", ".join(map(quoted, values))
                marks = ", ".join(["%s"] * len(values))
                planted = cursor.execute(
                    f"INSERT IGNORE INTO {quoted(plan.table)} ({names}) VALUES ({marks})",
                    tuple(values.values()),
                )
                if not planted:
                    continue  # a real row has this key, as an option with its name: it stays
                rows.append(PlantedRow(plan, values))
                columns += [
                    f"{plan.name}.{column.name}"
                    for column, rule in plan.columns
                    if _holds_canary(column, rule)
                ]
    connection.commit()
    canaries = tuple(map(Canary, (words.long, words.short, *ADDRESSES)))
    return PlantedCanaries(canaries, tuple(rows), tuple(dict.fromkeys(columns)), numbers)


def remove(connection: Connection, planted: PlantedCanaries) -> int:
    """Remove the rows again, before or after the rewriting with this session's key.

    Args:
        connection: a session that has joined the run's key, where tables were rewritten.
        planted: what `plant` returned.

    Returns:
        How many rows were removed; those of tables that lose all rows may be gone already.
    """
    removed = 0
    with connection.cursor() as cursor:
        for row in planted.rows:
            conditions, values = [], []
            for column, rule in _identifying(row.plan):
                name, value = quoted(column.name), row.values[column.name]
                ways, kinds = [f"{name} = %s"], {rule.kind} - UNCHANGED
                values.append(value)
                for kind in kinds & _COMPUTED:
                    typed = "CAST(%s AS BINARY)" if column.is_bytes else "CONVERT(%s USING utf8mb4)"
                    cursor.execute(f"SET @harness_value = {typed}", (value,))
                    made = expression(kind, column, value="@harness_value")
                    cursor.execute(f"SELECT {made}")
                    answer: Any = cursor.fetchone()
                    ways.append(f"{name} = %s")
                    values.append(
                        next(iter(answer.values())) if isinstance(answer, dict) else answer[0]
                    )
                conditions.append(f"({' OR '.join(ways)})")
            removed += cursor.execute(
                f"DELETE FROM {quoted(row.plan.table)} WHERE {' AND '.join(conditions)} LIMIT 1",
                tuple(values),
            )
        # Or the next visit of the copy would have the number after a canary's.
        for table in {row.plan.table for row in planted.rows} & planted.next_numbers.keys():
            number = planted.next_numbers[table]
            cursor.execute(f"ALTER TABLE {quoted(table)} AUTO_INCREMENT = {number}")
    connection.commit()
    return removed


_COMPUTED: Final = frozenset(("pseudonym", "login", "mail", "text", "url", "person"))
"""The kinds of which `remove` knows what they have made of a value."""


def _identifying(plan: TablePlan) -> list[tuple[Column, Rule]]:
    """Return the columns by which a planted row is found again: its key, or what there is."""
    keys = [(c, r) for c, r in plan.columns if c.in_primary_key and r.kind not in DERIVED]
    return keys or [
        (column, rule)
        for column, rule in plan.columns
        if not (column.is_time or column.is_generated) and rule.kind in UNCHANGED | _COMPUTED
    ]


def _can_be_found(plan: TablePlan) -> bool:
    """Whether a planted row can be told from real ones, which may have the same numbers."""
    return any(
        column.in_primary_key or (rule.kind in _COMPUTED and _holds_canary(column, rule))
        for column, rule in _identifying(plan)
    )


# -- values ---------------------------------------------------------------------------------------


def _holds_canary(column: Column, rule: Rule) -> bool:
    return (
        rule.kind not in UNCHANGED | DERIVED | {"degrees", "done_flag"}
        and not column.is_number
        and not column.is_time
        and not column.is_generated
        and (column.length or 0) >= SHORTEST
    )


def _each_case(plan: TablePlan) -> list[Mapping[str, str]]:
    """Return one value of the deciding column for each way that it decides; one row at least."""
    for _, rule in plan.columns:
        if rule.cases:
            return [{rule.cases.by: value} for value in _deciding(rule.cases)]
    if any(rule.kind == "referrer" for _, rule in plan.columns):
        return [{"referer_type": "3"}, {"referer_type": "6"}]
    return [{}]


def _deciding(cases: Cases) -> list[str]:
    patterns = [
        pattern
        for kind in ("plain", "empty", "url", "text", "drop")
        for pattern in getattr(cases, kind)
    ]
    patterns += cases.documents
    return [*(pattern.replace("*", str(SITE)) for pattern in patterns), "4"]


def _value(column: Column, rule: Rule, words: Words, number: int, by: Mapping[str, str]) -> Any:
    if column.name in by:
        return by[column.name]
    if column.is_number:
        if column.name == "idsite":
            return SITE
        return _LARGEST.get(column.type, SITE) - number if column.in_unique_key else 0
    if column.is_time:
        return "2020-01-01 00:00:00"
    if not _holds_canary(column, rule):
        return f"k{number}"[: column.length] if column.in_unique_key else ""
    return _canary(column, rule, words, number, by)


def _canary(column: Column, rule: Rule, words: Words, number: int, by: Mapping[str, str]) -> Any:
    word = words.fitting(column)
    if rule.kind == "address":
        address = ipaddress.ip_address(ADDRESSES[number % len(ADDRESSES)])
        return address.packed if column.is_bytes else str(address)
    if column.type.endswith("blob"):
        # As archives and a queue's hits are kept.
        return zlib.compress(serialised([{"label": _mixed(word)}]).encode())
    if column.is_bytes:
        return word.encode()
    unique = f"{word}{number}" if column.in_unique_key else word
    match _kind_of_case(rule.cases, by) if rule.cases else rule.kind:
        case "mail":
            value = f"{unique}@canary.test"
        case "url":
            value = _page(word, unique)
        case "referrer" if column.name.endswith("url"):
            value = _page(word, unique)
        case "segment":
            value = f"userId=={quote(_mixed(word))};pageUrl=@{word}"
        case "php":
            value = serialised([{"note": _mixed(word), "user": word, f"+4179{word}": 1}])
        case "document" if rule.document:
            value = _document(rule.document, word)
        case "login" | "referrer" | "pseudonym":
            value = unique
        case _:
            value = unique if column.in_unique_key else _mixed(word)
    if column.length and len(value) > column.length:
        return unique[: column.length]
    return value


def _kind_of_case(cases: Cases, by: Mapping[str, str]) -> str:
    value = by.get(cases.by, "")
    if any(value == pattern.replace("*", str(SITE)) for pattern in cases.documents):
        return "php"
    if value in [pattern.replace("*", str(SITE)) for pattern in cases.url]:
        return "url"
    return "text"


def _mixed(word: str) -> str:
    """Return the word in several forms, as a person's data may be encoded in text."""
    encoded = "".join(f"%{ord(letter):02X}" for letter in word)
    packed = base64.b64encode(f"x{word}".encode()).decode()
    return f"{word} {word.upper()} {encoded} {packed}"


def _page(word: str, unique: str) -> str:
    return f"https://{word}:{word}@{word}.test/{unique}/a?{word}&mail={word}@canary.test#{word}"


def _document(rules: DocumentRules, word: str) -> str:
    keys = {path.rpartition(".")[2] for path in (*rules.login, *rules.mail, *rules.url)} - {"*"}
    lists = {path.partition(".")[0]: [f"{word}@canary.test"] for path in rules.mail}
    inner = {**dict.fromkeys(keys, word), "note": _mixed(word), f"+4179{word}": word}
    return json.dumps({**lists, "items": [inner]})
