"""SQL that is made from the rules, and run on a schema of raw data: sets, one pass for a table.

The key is made by the server, in a table in its memory, and read into a session variable: it is in
no statement, and gone when `key_of_run` ends. Nothing raw is in a statement either: what Python
rewrites, JSON and serialised PHP, comes as an answer, and goes back rewritten.
"""

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final

import pymysql
from pymysql.cursors import Cursor

from matomo_harness.errors import BrokenPromiseError, WrongInputError
from matomo_harness.personal_data import archives, documents, pseudonyms
from matomo_harness.personal_data.pseudonyms import KEY_VARIABLE, Pseudonyms
from matomo_harness.personal_data.rules import (
    UNCHANGED,
    Cases,
    DocumentRules,
    Rule,
    TablePlan,
)
from matomo_harness.personal_data.schema import (
    KEY_TABLE,
    Column,
    Connection,
    in_utf8,
    next_number,
    one_value,
    quoted,
    row_count,
)

MASKED_BYTES: Final = 2
"""Bytes of an address to mask, where a policy says nothing else: Matomo's own default."""
CHUNK: Final = 200
"""Documents that are read at once; a dashboard has a few KiB, a tag rarely more than 100."""
REPORTS: Final = 50
"""Records of archives that are read at once: one has up to some hundred KiB, packed."""

# A row whose number is 0 would get another one without the mode.
_SESSION: Final = (
    "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', group_concat_max_len = 1048576,"
    " foreign_key_checks = 0",
    "SET NAMES utf8mb4",
)


# -- the key --------------------------------------------------------------------------------------


@contextmanager
def key_of_run(connection: Connection) -> Iterator[None]:
    """Have the server make a key; whoever joins meanwhile gets the same, and it ends with this."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {KEY_TABLE}")
        cursor.execute(f"CREATE TABLE {KEY_TABLE} (value BINARY(32)) ENGINE=MEMORY")
        cursor.execute(f"INSERT INTO {KEY_TABLE} VALUES (RANDOM_BYTES(32))")
    join(connection)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {KEY_TABLE}")
            cursor.execute(f"SET {KEY_VARIABLE} = NULL")


def join(connection: Connection) -> None:
    """Prepare a session to rewrite with the key of this run."""
    with connection.cursor() as cursor:
        for statement in _SESSION:
            cursor.execute(statement)
        cursor.execute(f"SET {KEY_VARIABLE} = (SELECT value FROM {KEY_TABLE})")


def _pseudonyms(cursor: Cursor) -> Pseudonyms:
    cursor.execute(f"SELECT {KEY_VARIABLE}")
    return Pseudonyms(one_value(cursor.fetchone()))


# -- expressions ----------------------------------------------------------------------------------


def expression(
    kind: str, column: Column, *, value: str = "", masked_bytes: int = MASKED_BYTES
) -> str:
    """Return the SQL of what a rule makes of a column's value.

    Args:
        kind: the rule's, one that needs no other column of the row but referer_type.
        column: the column.
        value: the SQL of the value; the column's own by default.
        masked_bytes: bytes of an address to mask.

    Raises:
        WrongInputError: the column's type does not hold what the rule makes.
    """
    if kind in UNCHANGED:
        return value or quoted(column.name)
    value, length = value or in_utf8(column), column.length
    match kind:
        case "empty":
            return _empty(column, value)
        case "plain":
            harmless = '^(-?[0-9]{1,6}([.][0-9]{1,6})?|true|false|null|""|[[][]]|[{][}])?$'
            return f"IF({value} REGEXP '{harmless}', {value}, '')"
        case "degrees":
            return f"ROUND({value})"
        case _ if column.is_number or column.is_time:
            raise WrongInputError(
                expected=f"characters or bytes in {column.table}.{column.name}",
                seen=f"{column.type}, which the rule `{kind}` cannot fill",
                next_command="give it the rule `keep` or `empty`",
            )
        case "pseudonym":
            return pseudonyms.pseudonym(value, column)
        case "second_factor":
            return pseudonyms.second_factor(value)
        case "login":
            return pseudonyms.login(value, column)
        case "mail":
            return pseudonyms.mail(value, column)
        case "person":
            return pseudonyms.person(value, column)
        case "address":
            return pseudonyms.masked(value, column, masked_bytes)
        case "url":
            return pseudonyms.url(value, length)
        case "referrer":
            return pseudonyms.referrer(value, column)
        case "text":
            return pseudonyms.text(value, length)
    raise AssertionError(kind)


_EMPTY_TIME: Final = {"time": "'00:00:00'", "year": "1970", "date": "'1970-01-01'"}


def _empty(column: Column, value: str) -> str:
    if column.is_nullable:
        return "NULL"
    if column.in_unique_key and (column.is_number or column.is_time):
        raise WrongInputError(
            expected=f"values of {column.table}.{column.name} to differ, as its key is unique",
            seen="the rule `empty`, by which they are all the same",
            next_command='give the table the rule rows = "drop", or the column `keep`',
        )
    if column.in_unique_key:
        return pseudonyms.pseudonym(value, column)  # or its rows would be the same
    if column.is_time:
        return _EMPTY_TIME.get(column.type, "'1970-01-02 00:00:00'")
    return "0" if column.is_number else "''"


def is_one_of(by: str, patterns: Iterable[str]) -> str:
    """Return the condition that a column matches one of these patterns of fnmatch."""
    text = f"CONVERT({quoted(by)} USING utf8mb4) COLLATE utf8mb4_bin"
    likes = []
    for pattern in patterns:
        like = pattern.replace("|", "||").replace("%", "|%").replace("_", "|_").replace("*", "%")
        literal = like.replace("\\", "\\\\").replace("'", "''")
        likes.append(f"{text} LIKE '{literal}' ESCAPE '|'")
    return f"({' OR '.join(likes)})" if likes else "FALSE"


_KINDS_OF_CASES: Final = ("keep", "version", "plain", "empty", "url", "text")


def _by_case(cases: Cases, column: Column) -> str:
    whens = [f"WHEN {is_one_of(cases.by, cases.documents)} THEN {in_utf8(column)}"]
    whens += [
        f"WHEN {is_one_of(cases.by, patterns)} THEN {expression(kind, column)}"
        for kind in _KINDS_OF_CASES
        if (patterns := getattr(cases, kind))
    ]
    otherwise = "empty" if cases.otherwise == "drop" else cases.otherwise
    return f"CASE {' '.join(whens)} ELSE {expression(otherwise, column)} END"


def _dropped(cases: Cases) -> str:
    """Return the condition of the rows that a case removes; empty where there is none."""
    if cases.otherwise == "drop":
        left = [*cases.documents]
        for kind in _KINDS_OF_CASES:
            left += getattr(cases, kind)
        return f"NOT {is_one_of(cases.by, left)}"
    return is_one_of(cases.by, cases.drop) if cases.drop else ""


# -- statements -----------------------------------------------------------------------------------


def statements(
    plan: TablePlan, masked_bytes: int = MASKED_BYTES, keys: Sequence[str] = ()
) -> list[str]:
    """Return what rewrites a table, except its documents.

    The rewritten rows go into a new table, which takes the old one's place. An UPDATE would leave
    the old values in the table's file, where pages have room, and in the undo log; and it takes
    longer, because a row that grows has to move, and each index with it.

    Args:
        plan: the table's rules.
        masked_bytes: bytes of an address to mask.
        keys: secondary keys that the table has yet to get, as ALTER TABLE … ADD takes them.
    """
    table = quoted(plan.table)
    if plan.rows != "keep":
        return [f"TRUNCATE TABLE {table}", *with_keys(table, keys)]
    made = _rewritten_columns(plan, masked_bytes)
    if all(quoted(name) == value for name, value in made.items()) and not _drops_rows(plan):
        return with_keys(table, keys)
    new = f"`harness_{zlib.crc32(plan.table.encode()):08x}`"  # a name that cannot be too long
    names = ", ".join(map(quoted, made))
    source = f"SELECT {', '.join(made.values())} FROM {table}{_rows_left(plan)}"
    derived = [column.name for column in plan.of_kind("crc32")]
    if derived:
        # With a limit the server computes the inner rows once, and not again for each use.
        inner = ", ".join(f"{value} AS {quoted(name)}" for name, value in made.items())
        outer = ", ".join("CRC32(`name`)" if n in derived else quoted(n) for n in made)
        source = f"SELECT {outer} FROM (SELECT {inner} FROM {table} LIMIT {2**63 - 1}) AS made"
    # Without checks the server sorts the rows of a new table and then builds its keys, in half of
    # the time. But MariaDB 11.8 then loses all rows without an error where two have the same key.
    checks = int(any(c.in_unique_key and r.kind not in UNCHANGED for c, r in plan.columns))
    return [
        f"SET SESSION unique_checks = {checks}",
        f"CREATE TABLE {new} LIKE {table}",
        *with_keys(new, keys),
        f"INSERT INTO {new} ({names}) {source}",
        f"DROP TABLE {table}",
        f"RENAME TABLE {new} TO {table}",
    ]


def add_keys(connection: Connection, keys: Mapping[str, Sequence[str]]) -> None:
    """Give tables that are not rewritten their secondary keys."""
    with connection.cursor(Cursor) as cursor:
        for table, added in keys.items():
            for statement in with_keys(quoted(table), added):
                cursor.execute(statement)


def with_keys(table: str, keys: Sequence[str]) -> list[str]:
    """Return what gives `table`, a quoted name, its secondary keys."""
    added = ", ".join(f"ADD {key}" for key in keys)
    return [f"ALTER TABLE {table} {added}"] if keys else []


def _rewritten_columns(plan: TablePlan, masked_bytes: int) -> dict[str, str]:
    """Return the expression of each column that can be written, by the column's name."""
    made = {}
    for column, rule in plan.columns:
        if column.is_generated:
            continue
        if rule.kind == "buster":
            made[column.name] = _buster(plan, column)
        elif rule.cases:
            made[column.name] = _by_case(rule.cases, column)
        elif rule.kind in ("document", "segment", "md5", "crc32", "report", "done_flag"):
            made[column.name] = quoted(column.name)
        else:
            made[column.name] = expression(rule.kind, column, masked_bytes=masked_bytes)
    return made


def _drops_rows(plan: TablePlan) -> list[str]:
    dropped = [_dropped(rule.cases) for _, rule in plan.columns if rule.cases]
    return [*filter(None, dropped), *([f"NOT ({plan.staying})"] if plan.staying else [])]


def _rows_left(plan: TablePlan) -> str:
    conditions = " AND ".join(f"({condition}) IS NOT TRUE" for condition in _drops_rows(plan))
    return f" WHERE {conditions}" if conditions else ""


def _buster(plan: TablePlan, column: Column) -> str:
    orders = [other for other in plan.of_kind("pseudonym") if other.name == "idorder"]
    if not orders:
        return quoted(column.name)
    order = quoted(orders[0].name)
    made = f"CONV(LEFT(MD5({pseudonyms.pseudonym(order, orders[0])}), 8), 16, 10)"
    return f"IF({order} IS NULL OR {order} = '', {quoted(column.name)}, {made})"


def rewrite(
    connection: Connection,
    plans: Iterable[TablePlan],
    masked_bytes: int = MASKED_BYTES,
    keys: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Counter[str]:
    """Rewrite tables by their plans, within `key_of_run`.

    Tables do not depend on each other: several sessions that joined may each take some, in any
    order, while others are still being loaded.

    Args:
        connection: a session that has joined.
        plans: of the tables.
        masked_bytes: bytes of an address to mask.
        keys: secondary keys that tables have yet to get, by their whole names.

    Returns:
        How many records of archives could not be read, and were removed, by table.

    Raises:
        BrokenPromiseError: rows were lost, or two would have the same unique key.
    """
    unread = Counter[str]()
    for plan in plans:
        with connection.cursor(Cursor) as cursor:
            number = next_number(connection, plan.table)
            for statement in statements(plan, masked_bytes, keys.get(plan.table, ())):
                try:
                    changed = cursor.execute(statement)
                except pymysql.IntegrityError as error:
                    raise _same_twice(plan) from error
                if statement.startswith("CREATE") and number:
                    new = statement.split()[2]
                    cursor.execute(f"ALTER TABLE {new} AUTO_INCREMENT = {number}")
                if statement.startswith("INSERT"):
                    _require_rows(connection, statement.split()[2], plan, changed)
            if plan.rows == "keep" and _rewrite_documents(
                cursor, plan, _pseudonyms(cursor), unread
            ):
                # Into a new file again, without the old values.
                cursor.execute(f"ALTER TABLE {quoted(plan.table)} FORCE")
        connection.commit()
    return unread


def _same_twice(plan: TablePlan) -> BrokenPromiseError:
    columns = [c.name for c, rule in plan.columns if c.in_unique_key and rule.kind not in UNCHANGED]
    return BrokenPromiseError(
        expected=f"rows of {plan.table} that differ in {', '.join(columns)} to differ, rewritten",
        seen="two of them have become the same",
        next_command="do it again: another run has another key; if they do once more, give the"
        ' table the rule rows = "drop" in a file of your own: RULES=own.toml, or --rules',
    )


def _require_rows(connection: Connection, new: str, plan: TablePlan, inserted: int) -> None:
    count = row_count(connection, new.strip("`"))
    if count != inserted:
        raise BrokenPromiseError(
            expected=f"{inserted} rows in {plan.table}, rewritten",
            seen=f"{count}: two values of a unique key have become the same",
            next_command="do it again: another run has another key",
        )


# -- documents ------------------------------------------------------------------------------------


def _rewrite_documents(
    cursor: Cursor, plan: TablePlan, made: Pseudonyms, unread: Counter[str]
) -> int:
    """Rewrite JSON, serialised PHP and segments of a table, after its keys have been.

    Returns:
        How many values there were.
    """
    seen = 0
    for column, rule in plan.columns:
        for condition, rules in _documents(rule):
            seen += _rewrite_each(cursor, plan, column, condition, rules, made)
    for column in plan.of_kind("report"):
        seen += _rewrite_reports(cursor, plan, column, made, unread)
    for column in plan.of_kind("md5"):
        _hash_definitions(cursor, plan, column)
    for column in plan.of_kind("done_flag"):
        # Few rows have one, of tables that are large and otherwise stay as they are.
        name, table = quoted(column.name), quoted(plan.table)
        hashed = pseudonyms.digest(f"SUBSTRING({name}, 5, 32)", 32)
        seen += cursor.execute(
            f"UPDATE {table} SET {name} = CONCAT('done', {hashed}, SUBSTRING({name}, 37))"
            f"{_itself(plan)}"
            f" WHERE {name} REGEXP '^done[0-9a-f]{{32}}'"
        )
    return seen


def _hash_definitions(cursor: Cursor, plan: TablePlan, column: Column) -> None:
    """Give each segment the hash of its rewritten definition."""
    name, table = quoted(column.name), quoted(plan.table)
    keys = [quoted(other.name) for other, _ in plan.columns if other.in_primary_key]
    if not keys:
        cursor.execute(f"UPDATE {table} SET {name} = ''")
        return
    where = " AND ".join(f"{key} = %s" for key in keys)
    cursor.execute(f"SELECT {', '.join(keys)}, `definition` FROM {table} WHERE {name} IS NOT NULL")
    for *key, definition in list(cursor.fetchall()):
        cursor.execute(
            f"UPDATE {table} SET {name} = %s{_itself(plan)} WHERE {where}",
            (documents.segment_hash(definition), *key),
        )


def _documents(rule: Rule) -> Iterator[tuple[str, DocumentRules | None]]:
    """Yield the condition of rows with documents, and their rules; None for a segment."""
    if rule.kind == "segment":
        yield "TRUE", None
    elif rule.kind == "document":
        yield "TRUE", rule.document
    elif rule.cases:
        for pattern, name in rule.cases.documents.items():
            yield is_one_of(rule.cases.by, [pattern]), (rule.documents or {})[name]


def _rewrite_each(
    cursor: Cursor,
    plan: TablePlan,
    column: Column,
    condition: str,
    rules: DocumentRules | None,
    made: Pseudonyms,
) -> int:
    table, name = quoted(plan.table), quoted(column.name)
    keys = [quoted(other.name) for other, _ in plan.columns if other.in_primary_key]
    if not keys:
        return cursor.execute(f"UPDATE {table} SET {name} = '' WHERE {condition}")
    where, itself = " AND ".join(f"{key} = %s" for key in keys), _itself(plan)
    chosen, offset, seen = f"FROM {table} WHERE ({condition}) AND {name} <> ''", 0, 0
    while True:
        cursor.execute(
            f"SELECT {', '.join(keys)}, {name} {chosen}"
            f" ORDER BY {', '.join(keys)} LIMIT {CHUNK} OFFSET {offset}"
        )
        rows: list[tuple[Any, ...]] = list(cursor.fetchall())
        emptied = 0
        for *key, value in rows:
            text = value.decode(errors="replace") if isinstance(value, bytes) else value
            new = documents.rewritten(text, rules, made) if rules else documents.segment(text, made)
            emptied += not new
            cursor.execute(
                f"UPDATE {table} SET {name} = %s{itself} WHERE {where}",
                (new, *key),
            )
        seen += len(rows)
        if len(rows) < CHUNK:
            return seen
        offset += CHUNK - emptied


def _rewrite_reports(
    cursor: Cursor, plan: TablePlan, column: Column, made: Pseudonyms, unread: Counter[str]
) -> int:
    """Rewrite the records of archives; what cannot be read is removed, and counted."""
    table, value = quoted(plan.table), quoted(column.name)
    last: tuple[Any, ...] = (0, "")
    seen = 0
    while True:
        # By the pair alone the server would read the table from its beginning each time.
        cursor.execute(
            f"SELECT idarchive, name, {value} FROM {table}"
            " WHERE idarchive >= %s AND (idarchive, name) > (%s, %s)"
            f" ORDER BY idarchive, name LIMIT {REPORTS}",
            (last[0], *last),
        )
        rows: list[tuple[Any, ...]] = list(cursor.fetchall())
        for *key, old in rows:
            if new := archives.rewritten(old or b"", key[1], made):
                set_value = f"UPDATE {table} SET {value} = %s WHERE idarchive = %s AND name = %s"
                cursor.execute(set_value, (new, *key))
            else:
                cursor.execute(f"DELETE FROM {table} WHERE idarchive = %s AND name = %s", key)
                unread[plan.name] += 1
        seen += len(rows)
        if len(rows) < REPORTS:
            return seen
        last = tuple(rows[-1][:2])


def _itself(plan: TablePlan) -> str:
    names = [quoted(column.name) for column, _ in plan.columns if column.sets_itself]
    return "".join(f", {name} = {name}" for name in names)
