"""The columns of a schema, as information_schema tells them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import pymysql
from pymysql.cursors import Cursor, DictCursor

Connection: TypeAlias = "pymysql.Connection[Any]"

KEY_TABLE: Final = "harness_key_of_this_run"
"""The key of a rewriting, in the server's memory as long as it takes; no table of the schema."""

_NUMBERS: Final = frozenset(
    ("tinyint", "smallint", "mediumint", "int", "bigint", "float", "double", "decimal", "bit")
)
_TIMES: Final = frozenset(("date", "time", "datetime", "timestamp", "year"))
_UTF8: Final = ("utf8mb4", "utf8mb3")
_BYTES: Final = frozenset(
    ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "inet6", "uuid")
)


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        table: the table's whole name.
        name: the column's.
        type: the type's name, without length.
        length: the most characters or bytes that it holds; None for a number or a time.
        is_nullable: whether it may be NULL.
        in_primary_key: whether it is part of the primary key.
        in_unique_key: whether it is part of that, or of another unique key.
        sets_itself: whether an UPDATE of other columns changes it to the time of now.
        is_generated: whether the server computes it, so that nothing can be written into it.
        is_case_sensitive: whether values that differ in case only are different ones there.
        tells_spaces: whether values that differ in spaces at their end only are different ones
            there (NO PAD, as all collations that MySQL 8 takes by itself).
        character_set: of its characters; empty where it holds none, or where that is not known.
    """

    table: str
    name: str
    type: str
    length: int | None = None
    is_nullable: bool = False
    in_primary_key: bool = False
    in_unique_key: bool = False
    sets_itself: bool = False
    is_generated: bool = False
    is_case_sensitive: bool = False
    tells_spaces: bool = False
    character_set: str = ""

    @property
    def is_number(self) -> bool:
        """Whether it holds numbers."""
        return self.type in _NUMBERS

    @property
    def is_time(self) -> bool:
        """Whether it holds dates or times."""
        return self.type in _TIMES

    @property
    def is_bytes(self) -> bool:
        """Whether it holds bytes, and no characters."""
        return self.type in _BYTES

    @property
    def is_text(self) -> bool:
        """Whether it holds characters."""
        return not (self.is_number or self.is_time or self.is_bytes)


Schema = Mapping[str, Sequence[Column]]
"""The columns of each table, in their order, by the table's name without its prefix."""


def read(connection: Connection, prefix: str = "") -> dict[str, list[Column]]:
    """Return the columns of all tables and views of the connection's schema.

    Args:
        connection: to the schema.
        prefix: how the names of the tables begin; it may be empty. A table that begins otherwise
            is in the result under its whole name, so that it has no rule and is refused; where
            that is the name of one of Matomo's too, with what says so behind it.
    """
    with connection.cursor(DictCursor) as cursor:
        cursor.execute(
            "SELECT table_name AS `table`, column_name AS name, data_type AS type,"
            " character_maximum_length AS length, is_nullable AS nullable, extra AS extra,"
            " generation_expression AS generated, collation_name AS collation,"
            " character_set_name AS characters"
            " FROM information_schema.columns WHERE table_schema = DATABASE()"
            " AND table_name <> %s ORDER BY table_name, ordinal_position",
            (KEY_TABLE,),
        )
        rows = cursor.fetchall()
        cursor.execute(
            "SELECT table_name AS `table`, column_name AS name, index_name AS `key`"
            " FROM information_schema.statistics"
            " WHERE table_schema = DATABASE() AND non_unique = 0"
        )
        keys = {(key["table"], key["name"], key["key"]) for key in cursor.fetchall()}
    primary = {(table, name) for table, name, key in keys if key == "PRIMARY"}
    unique = {(table, name) for table, name, _ in keys}
    of_matomo = {
        without_prefix(row["table"], prefix) for row in rows if row["table"].startswith(prefix)
    }
    found: dict[str, list[Column]] = {}
    for row in rows:
        where = (row["table"], row["name"])
        column = Column(
            table=row["table"],
            name=row["name"],
            type=row["type"],
            length=row["length"],
            is_nullable=row["nullable"] == "YES",
            in_primary_key=where in primary,
            in_unique_key=where in unique,
            sets_itself="on update" in row["extra"].lower(),
            is_generated=bool(row["generated"]),
            is_case_sensitive=str(row["collation"]).endswith(("_bin", "_cs")),
            tells_spaces="_nopad_" in str(row["collation"]),
            character_set=row["characters"] or "",
        )
        is_another = not column.table.startswith(prefix) and column.table in of_matomo
        name = f"{column.table} (without {prefix})" if is_another else column.table
        found.setdefault(without_prefix(name, prefix), []).append(column)
    return found


def without_prefix(table: str, prefix: str) -> str:
    """Return the name of `table` as rules know it; of another prefix, the whole name."""
    return table.removeprefix(prefix) if table.startswith(prefix) else table


def quoted(name: str) -> str:
    """Return `name` as an identifier of SQL."""
    return "`" + name.replace("`", "``") + "`"


def in_utf8(column: Column) -> str:
    """Return the SQL of a column's value, with its characters in utf8mb4.

    What is made of it can then be compared and put together with values of other columns, and a
    search for bytes sees the same ones, whether an old table is in latin1 or in utf16.
    """
    name = quoted(column.name)
    if not column.is_text or column.character_set in ("", *_UTF8):
        return name
    return f"CONVERT({name} USING utf8mb4)"


def sizes(connection: Connection) -> dict[str, int]:
    """Return about how many bytes of rows each table has, by its whole name."""
    with connection.cursor(DictCursor) as cursor:
        cursor.execute(
            "SELECT table_name AS name, data_length AS size FROM information_schema.tables"
            " WHERE table_schema = DATABASE()"
        )
        return {row["name"]: int(row["size"] or 0) for row in cursor.fetchall()}


def row_count(connection: Connection, table: str) -> int:
    """Return how many rows `table`, by its whole name, has."""
    with connection.cursor(Cursor) as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {quoted(table)}")
        return int(one_value(cursor.fetchone()))


def next_number(connection: Connection, table: str) -> int | None:
    """Return what AUTO_INCREMENT of a table gives next: a sequence that is wrong stays wrong."""
    with connection.cursor(Cursor) as cursor:
        cursor.execute(
            "SELECT auto_increment FROM information_schema.tables"
            " WHERE table_schema = DATABASE() AND table_name = %s",
            (table,),
        )
        number: int | None = one_value(cursor.fetchone())
    return number


def one_value(row: Any) -> Any:
    """Return the first value of a row, of whatever kind of cursor; None where there is no row."""
    if not row:
        return None
    return next(iter(row.values())) if isinstance(row, dict) else row[0]
