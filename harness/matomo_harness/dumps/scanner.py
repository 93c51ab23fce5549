"""Splits a dump into statements: finds their ends, quotes, comments and client commands, no more.

What a statement means is left to `statements.py` and to the server. Memory is bounded: an INSERT
that grows over `PIECE` is handed on in several, each of whole rows; any other statement, and a
single row, may have `LARGEST` bytes.

Whoever loads the statements sends them to the server one by one, never through a client that reads
commands: a backslash outside of quotes is looked for only where a statement begins. Elsewhere the
server takes it for a syntax error.
"""

import functools
import re
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from matomo_harness.errors import WrongInputError

PIECE: Final = 16 * 2**20
"""Bytes: the largest net_buffer_length, so that of mysqldump's INSERTs only huge rows are split."""
LARGEST: Final = 2**30
"""Bytes: the most that max_allowed_packet can be set to."""
BLOCK: Final = 16 * 1024
"""Bytes that are looked at together; small, so that few of them hold anything but rows."""
SHORT: Final = 256
"""Bytes at the beginning of a statement that are looked at closely: most of them end there."""
LOOK_AHEAD: Final = 8 * 1024
"""Bytes that are there before the beginning of a statement is judged: a command's whole line."""
LONGEST_COMMENT: Final = 1000
"""Bytes of a comment between statements that are handed on; what tools say there is shorter."""

COMMANDS: Final = frozenset(
    (
        *("charset", "clear", "connect", "edit", "ego", "exit", "go", "help", "nopager", "notee"),
        *("nowarning", "pager", "print", "prompt", "query_attributes", "quit", "rehash"),
        *("resetconnection", "sandbox", "source", "ssl_session_data_print", "status", "system"),
        *("tee", "warnings"),
    )
)
"""What the clients of MySQL and MariaDB obey themselves at the beginning of a line (their `help`).
DELIMITER is followed here, and USE is a statement as well."""

_QUOTES: Final = b"'\"`"
_AMBIGUOUS: Final = frozenset(b"\\-/*")
"""Bytes that mean something together with the next: no block ends in one."""
_SPACE: Final = re.compile(rb"\s*")
_WORD: Final = re.compile(rb"[A-Za-z_]+(?=[\s;]|\Z)")
_SANDBOX: Final = re.compile(rb"/\*M?!999999\\- enable the sandbox mode \*/")
"""What mariadb-dump writes first since 2024: the client then obeys no commands (MDEV-33727)."""
_DELIMITER: Final = re.compile(rb"delimiter[ \t]+(\S+)[^\n]*", re.I)
_EXECUTABLE: Final = re.compile(rb"/\*M?!")
_INSIDE: Final = {
    ord("'"): re.compile(rb"(?:[^'\\]++|\\.)*+", re.S),
    ord('"'): re.compile(rb'(?:[^"\\]++|\\.)*+', re.S),
    ord("`"): re.compile(rb"[^`]*+"),
}

_STRING: Final = rb"""'[^'\\]*+(?:\\.[^'\\]*+)*+'|"[^"\\]*+(?:\\.[^"\\]*+)*+"|`[^`]*+`"""
_INSERT: Final = re.compile(
    rb"(?:INSERT|REPLACE)\b(?:[^'\"`()]|`[^`]*+`)*?"
    rb"(?:\((?:[^'\"`()]++|`[^`]*+`)*+\)\s*)?\bVALUES?\s*(?=\()",
    re.I,
)
_ROW: Final = re.compile(
    rb"\s*+\((?:[^'\"`()]++|" + _STRING + rb"|\((?:[^'\"`()]++|" + _STRING + rb")*+\))*+\)\s*+,",
    re.S,
)
"""A row and the comma after it; functions in it, as in _binary('…'), may be one level deep."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement, without its delimiter.

    Args:
        text: as the dump has it; an INSERT that was split is several whole statements.
        file: the part of the dump that it is in.
        line: where it begins, from 1.
    """

    text: bytes
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment of one line between statements: tools write there what they are.

    Args:
        text: the first `LONGEST_COMMENT` bytes of it, from `--` or `#` on.
    """

    text: bytes


class Scanner:
    """Splits one part of a dump.

    Args:
        file: how errors name the part.
        piece: bytes over which an INSERT is handed on in pieces.
        largest: bytes that a statement may have.
    """

    def __init__(self, file: str, *, piece: int = PIECE, largest: int = LARGEST) -> None:
        self.file = file
        self._piece = piece
        self._largest = largest
        self._delimiter = b";"
        self._run = _run_until(self._delimiter[0])
        self._safe = _safe_beside(self._delimiter[0])
        self._line = 1
        self._counted = 0  # so far of the chunk, its lines are in `_line`
        self._begun = False  # within a statement
        self._begun_at = 1
        self._head = bytearray()  # of a statement that began in an earlier chunk
        self._split_from = piece
        # Where in a statement: outside of all (0), in a quote, a comment of a line ("-") or of a
        # block ("*").
        self._within = 0
        self._executable = False
        self._has_signs = False  # values of the statement have quotes, semicolons or the like
        self._skipped_to = b""  # the end of a long comment between statements

    def scan(self, chunks: Iterable[bytes]) -> Iterator[Statement | Comment]:
        """Yield the statements, and the comments between them.

        Args:
            chunks: the bytes of the part, in pieces of any size.

        Raises:
            WrongInputError: a client command, a statement that is too large, or the end of the
                bytes in the middle of a statement.
        """
        rest = b""
        for chunk in chunks:
            rest = yield from self._scan(rest + chunk if rest else chunk, is_last=False)
        yield from self._scan(rest, is_last=True)
        if self._begun or self._skipped_to == b"*/":
            raise self._truncated()

    def _scan(self, data: bytes, *, is_last: bool) -> Generator[Statement | Comment, None, bytes]:
        """Yield what ends in `data`; return what is to be seen again with the next chunk."""
        position = self._counted = 0
        while True:
            if not self._begun:
                position, found = self._between(data, position, is_last=is_last)
                self._count(data, position)
                if isinstance(found, Comment):
                    yield found
                elif not found:
                    return data[position:]
                continue
            start = position
            position, is_end = self._to_the_end(data, position, is_last=is_last)
            self._count(data, position)
            if not is_end:
                self._head += data[start:position]
                if len(self._head) > self._split_from:
                    yield from self._pieces()
                return data[position:]
            text = data[start:position]
            if self._head:
                text = bytes(self._head) + text
                self._head = bytearray()
            self._begun = False
            self._split_from = self._piece
            position += len(self._delimiter)
            yield Statement(text.rstrip(), self.file, self._begun_at)

    def _count(self, data: bytes, position: int) -> None:
        self._line += data.count(b"\n", self._counted, position)
        self._counted = position

    # -- between statements ------------------------------------------------------------------------

    def _between(self, data: bytes, position: int, *, is_last: bool) -> tuple[int, Comment | bool]:
        """Go to the next statement or comment.

        Returns:
            How far `data` was read, and a comment; or whether a statement begins there. If not, the
            rest is to be seen again.
        """
        while True:
            if self._skipped_to:
                end = data.find(self._skipped_to, position)
                if end < 0:
                    return (len(data) if is_last else max(position, len(data) - 1)), False
                position, self._skipped_to = end + len(self._skipped_to), b""
            position = _SPACE.match(data, position).end()  # type: ignore[union-attr]
            if position == len(data) or (len(data) - position < LOOK_AHEAD and not is_last):
                return position, False
            if data.startswith((b"--", b"#"), position) and _is_line_comment(data, position):
                comment = Comment(data[position : position + LONGEST_COMMENT].split(b"\n", 1)[0])
                self._skipped_to = b"\n"
                return position, comment
            word = _WORD.match(data, position)
            if sandbox := _SANDBOX.match(data, position):
                position = sandbox.end()
            elif data.startswith(b"/*", position) and not _EXECUTABLE.match(data, position):
                self._skipped_to = b"*/"
                position += 2
            elif data.startswith(self._delimiter, position):
                position += len(self._delimiter)
            elif data.startswith(b"\\", position):
                raise self._command(data[position : position + 2], data, position)
            elif word and word[0].lower() in _COMMAND_WORDS:
                delimiter = _DELIMITER.match(data, position)
                if not delimiter:
                    raise self._command(word[0], data, position)
                self._delimit_by(delimiter[1])
                position = delimiter.end()
            else:
                self._begun, self._within = True, 0
                self._executable = self._has_signs = False
                self._count(data, position)
                self._begun_at = self._line
                return position, True

    def _delimit_by(self, delimiter: bytes) -> None:
        self._delimiter = delimiter
        self._run = _run_until(delimiter[0])
        self._safe = _safe_beside(delimiter[0])

    # -- within one --------------------------------------------------------------------------------

    def _to_the_end(self, data: bytes, position: int, *, is_last: bool) -> tuple[int, bool]:
        """Go to the delimiter; return how far that was, and whether it is there."""
        size = len(data)
        block = BLOCK if self._head else SHORT
        while position < size:
            stop = limit = min(position + block, size)
            while block == BLOCK and stop > position and data[stop - 1] in _AMBIGUOUS:
                stop -= 1
            if block == BLOCK and stop > position and self._skips(data[position:stop]):
                position = stop
                continue
            before, block = position, BLOCK
            position, is_end = self._closely(data, position, limit, is_last=is_last)
            if is_end:
                if self._executable:
                    raise self._unbalanced()
                return position, True
            if position == before:
                return position, False
        return position, False

    def _skips(self, block: bytes) -> bool:
        """Step over a block in which only quotes ' matter, if it is one."""
        if self._executable or self._within not in (0, _QUOTES[0]):
            return False
        quotes = self._quotes_alone(block)
        if quotes is None:
            return False
        if quotes % 2:
            self._within = 0 if self._within else _QUOTES[0]
        return True

    def _quotes_alone(self, block: bytes) -> int | None:
        """Return how many quotes ' are in a block, where none of it needs a closer look.

        Rows of a mysqldump are so for the most part, and this takes a third of the time.
        """
        if b"\\" in block:
            block = block.replace(b"\\\\", b"__").replace(b"\\'", b"__")
        if not self._has_signs:
            left = block.translate(None, self._safe)
            count = len(left)
            if left.count(b"'") == count and b"--" not in block:
                return count
            self._has_signs = True
        parts = block.split(b"'")
        outside = b"".join(parts[1 if self._within else 0 :: 2])
        if outside.translate(None, self._safe) or (b"-" in outside and b"--" in outside):
            return None
        return len(parts) - 1

    def _closely(
        self, data: bytes, position: int, limit: int, *, is_last: bool
    ) -> tuple[int, bool]:
        """Go on to `limit` or a delimiter, by each quote and comment.

        Returns:
            How far that was, a little less or more than `limit` where something lies across it, and
            whether the delimiter is there.
        """
        size = len(data)
        while position < limit:
            if self._within:
                position = self._leave(data, position, limit)
                if self._within:
                    if position >= limit:
                        break
                    if position + 1 == size:  # what is escaped comes with the next chunk
                        return (size if is_last else position), False
                    position += 2
                continue
            match = self._run.match(data, position, limit)
            position = match.end() if match else position
            if position >= limit:
                break
            if data.startswith(self._delimiter, position):
                return position, True
            if size - position < max(4, len(self._delimiter)) and not is_last:
                return position, False
            position = self._enter(data, position)
        return position, False

    def _enter(self, data: bytes, position: int) -> int:
        """Step over what `_run` stopped at: a quote, a comment, or a sign that is neither."""
        sign = data[position]
        if sign in _QUOTES:
            self._within = sign
        elif data.startswith(b"/*", position):
            if executable := _EXECUTABLE.match(data, position):
                self._executable = True
                return executable.end()
            self._within = ord("*")
            return position + 2
        elif data.startswith(b"*/", position):
            self._executable = False
            return position + 2
        elif sign in b"-#" and _is_line_comment(data, position):
            self._within = ord("-")
        elif sign == ord("\\"):
            return position + 2
        return position + 1

    def _leave(self, data: bytes, position: int, limit: int) -> int:
        """Go to the end of a quote or comment, or to `limit`."""
        if self._within in _INSIDE:
            match = _INSIDE[self._within].match(data, position, limit)
            position = match.end() if match else position
            if position < limit and data[position] == self._within:
                self._within = 0
                return position + 1
            return position
        end_sign = b"\n" if self._within == ord("-") else b"*/"
        end = data.find(end_sign, position)
        if end < 0:
            # An asterisk may be the half of an end.
            return max(position, len(data) - (len(end_sign) - 1))
        self._within = 0
        return end + len(end_sign)

    def _pieces(self) -> Iterator[Statement]:
        """Yield the whole rows that are there of a large INSERT, as a statement."""
        if len(self._head) > self._largest:
            raise WrongInputError(
                expected=f"statements of at most {self._largest:,} bytes in {self.file}",
                seen=f"a longer one, which begins in line {self._begun_at}",
                next_command="dump again with the tool's default options",
            )
        insert = _INSERT.match(self._head)
        rows = end = insert.end() if insert else 0
        while insert and (row := _ROW.match(self._head, end)):
            end = row.end()
        if insert and end > rows:
            head = bytes(self._head[:rows])
            yield Statement(bytes(self._head[: end - 1]), self.file, self._begun_at)
            self._head = bytearray(head) + self._head[end:]
            self._split_from = self._piece
        else:
            self._split_from = 2 * len(self._head)

    # -- errors ------------------------------------------------------------------------------------

    def _command(self, name: bytes, data: bytes, position: int) -> WrongInputError:
        self._count(data, position)
        return WrongInputError(
            expected=f"statements alone in {self.file}, as mysqldump and mariadb-dump write them",
            seen=f"the client command `{name.decode(errors='replace')}` in line {self._line}",
            next_command="find out who wrote it there; dump again with the tool's default options",
        )

    def _unbalanced(self) -> WrongInputError:
        return WrongInputError(
            expected=f"executable comments that end before their statement in {self.file}",
            seen=f"a statement that ends within one; it begins in line {self._begun_at}",
            next_command="dump again with the tool's default options",
        )

    def _truncated(self) -> WrongInputError:
        where = f"statement that begins in line {self._begun_at}" if self._begun else "comment"
        return WrongInputError(
            expected=f"{self.file} to end after a statement",
            seen=f"its end in the middle of the {where}: it is truncated",
            next_command="copy it anew, or dump again; compare its size with the original's",
        )


_COMMAND_WORDS: Final = frozenset(name.encode() for name in (*COMMANDS, "delimiter"))


def _is_line_comment(data: bytes, position: int) -> bool:
    """Whether `--` is a comment there: only before a space or a control character; # always is."""
    if data[position] == ord("#"):
        return True
    after = data[position + 2 : position + 3]
    return data.startswith(b"--", position) and (not after or after[0] <= ord(" "))


@functools.lru_cache
def _run_until(delimiter: int) -> re.Pattern[bytes]:
    """Return a pattern for all up to a delimiter, a comment, or a quote that does not end."""
    stops = rb"[^'\"`#\\*/\-" + re.escape(bytes([delimiter])) + rb"]++"
    signs = rb"-(?=[^-])|/(?=[^*])|\*(?=[^/])"
    if delimiter in b"-/*":
        signs = rb"(?!)"
    return re.compile(rb"(?:" + stops + rb"|" + _STRING + rb"|" + signs + rb")*+", re.S)


@functools.lru_cache
def _safe_beside(delimiter: int) -> bytes:
    """Return the bytes that need no closer look where an asterisk, a quote and # do."""
    seen = {*b"'\"`#*", delimiter}
    return bytes(sign for sign in range(256) if sign not in seen)
