r"""Makes INSERTs of the rows that `mariadb-dump --tab` and `--dir` write into a file of their own.

The server writes such a file by SELECT … INTO OUTFILE with its default signs: a tab between values,
a newline after each row, and a backslash before either of them in a value, before a backslash, as
\0 for a zero byte and as \N for NULL (MariaDB's manual, "SELECT INTO OUTFILE"). The bytes are the
columns' own (CHARACTER SET binary).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from matomo_harness.errors import WrongInputError

BEFORE: Final = (
    b"SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT,"
    b" @OLD_CHARACTER_SET_RESULTS=@@CHARACTER_SET_RESULTS,"
    b" @OLD_COLLATION_CONNECTION=@@COLLATION_CONNECTION",
    b"SET NAMES binary",
)
AFTER: Final = (
    b"SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT,"
    b" CHARACTER_SET_RESULTS=@OLD_CHARACTER_SET_RESULTS,"
    b" COLLATION_CONNECTION=@OLD_COLLATION_CONNECTION",
)

_COLUMN: Final = re.compile(rb"^  (`(?:[^`]|``)+`) ", re.M)


def columns_of(create_table: bytes) -> list[bytes]:
    """Return the columns of a table, quoted, as SHOW CREATE TABLE lists them: one in each line."""
    return _COLUMN.findall(create_table)


def inserts(
    name: str, table: str, columns: Sequence[bytes], chunks: Iterable[bytes]
) -> Iterator[tuple[bytes, int]]:
    """Yield INSERTs of a file's rows, each with the line in which its first row begins.

    Args:
        name: how errors name the file.
        table: whose rows they are.
        columns: all of its columns, in their order, quoted: hidden ones have values, too.
        chunks: the bytes of the file; an INSERT has about one chunk's rows.

    Raises:
        WrongInputError: the file ends in the middle of a row.
    """
    quoted = table.replace("`", "``").encode()
    head = b"INSERT INTO `" + quoted + b"` (" + b",".join(columns) + b") VALUES\n"
    rest, line = b"", 1
    for chunk in chunks:
        data = rest + chunk
        end = _end_of_rows(data)
        rows, rest = data[:end], data[end:]
        if rows:
            yield head + _values(rows), line
            line += rows.count(b"\n")
    if rest:
        raise WrongInputError(
            expected=f"{name} to end with a row of {table}",
            seen=f"its end in the middle of a row, which begins in line {line}: it is truncated",
            next_command="copy it anew; compare its size with the original's",
        )


def _end_of_rows(data: bytes) -> int:
    """Return where the last whole row ends: after a newline without a backslash before it."""
    end = data.rfind(b"\n")
    while end >= 0:
        before = end
        while before > 0 and data[before - 1] == ord("\\"):
            before -= 1
        if (end - before) % 2 == 0:
            return end + 1
        end = data.rfind(b"\n", 0, end)
    return 0


def _values(rows: bytes) -> bytes:
    """Return rows as SQL: all values as strings, which MariaDB makes numbers and dates of."""
    text = rows[:-1].replace(b"\\\\", b"\\B")  # no sign of the file's, so that each \ begins one
    text = text.replace(b"\\\t", b"\\t").replace(b"\\\n", b"\\n")
    text = text.replace(b"'", b"''").replace(b"\t", b"','").replace(b"\n", b"'),\n('")
    text = b"('" + text + b"')"
    # NULL is the whole of a value; two in a row share a quote of neither.
    return text.replace(b"\\B", b"\\\\").replace(b"'\\N'", b"NULL")
