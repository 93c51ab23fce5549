"""What a dump is: its tool, its server, whether it is whole, and which Matomo is in it.

`DumpReader` reads a dump once, and yields what is to be loaded; at the end it describes it.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from matomo_harness.dumps import tab_files
from matomo_harness.dumps.scanner import Comment, Scanner, Statement
from matomo_harness.dumps.sources import DumpSource, Part
from matomo_harness.dumps.statements import (
    DROPPED,
    DUMP_ONE_SCHEMA,
    Judgement,
    Kind,
    judge,
    schema_dropped,
)
from matomo_harness.dumps.translation import translated
from matomo_harness.errors import WrongInputError
from matomo_harness.matomo import found

_TOOL: Final = re.compile(
    r"-- (?P<name>MySQL|MariaDB) dump (?P<own>[\d.]+?)(?:-|\s+Distrib )(?P<distribution>[\d.]+)"
)
_PHPMYADMIN: Final = "-- phpMyAdmin SQL Dump"
_SERVER: Final = re.compile(r"-- Server version\s+(?P<version>\S+)")
_COMPLETED: Final = "-- Dump completed"
_COMPLETED_AT: Final = re.compile(r"-- Dump completed on (\d{4}-\d\d-\d\d) +(\d{1,2}:\d\d:\d\d)")
_NOT_READ: Final = re.compile(r"-- .*\s#\d{4} - ")
"""A server's error, which phpMyAdmin writes in the place of a table or its rows, and goes on; what
is before it is in the user's language (Error reading data for table …)."""
_OF_ITS_OWN: Final = ".pma__"
"""In the names of phpMyAdmin's own tables, which nothing is missing without."""
_VERSION_IN_A_LINE: Final = re.compile(r":\s*(\d+\.\d+\.\d+\S*)")
_FAKED: Final = "5.5.5-"
"""What MariaDB puts before its version for old clients."""
_CHARACTERS: Final = r"(@OLD_(?:CHARACTER_SET_CLIENT|CHARACTER_SET_RESULTS|COLLATION_CONNECTION))"
"""What all three tools save at the beginning of a dump and set back in its last lines. Others they
save as well: not all of them are set back with --no-create-info."""
_SAVED: Final = re.compile(_CHARACTERS + r"\s*=\s*@@")
_RESTORED: Final = re.compile(r"=\s*" + _CHARACTERS)
_OPTION: Final = re.compile(rb"\(\s*(['\"])version_(\w+)\1\s*,\s*\1([^'\"\\]*)\1")
OPTION_TABLE: Final = "option"
SESSION: Final = (
    b"SET NAMES utf8mb4",
    b"SET SQL_MODE='NO_AUTO_VALUE_ON_ZERO', TIME_ZONE='+00:00',"
    b" UNIQUE_CHECKS=0, FOREIGN_KEY_CHECKS=0",
)
"""What mysqldump writes before all tables. phpMyAdmin and --compact leave some of it out, and a
strict mode refuses the values of generated columns that mariadb-dump writes."""


@dataclass(frozen=True)
class Description:
    """What a dump says of itself.

    Args:
        tool: `mysqldump`, `mariadb-dump`, `mydumper` or `phpMyAdmin`; None where it left that out.
        tool_version: the tool's version, which is its server's for the first two.
        server: `MySQL` or `MariaDB`; None where the tool does not say.
        server_version: that server's.
        is_known_whole: whether the tool wrote something at the end by which a truncated dump shows;
            --compact leaves that out.
        prefix: how the names of Matomo's tables begin; may be empty.
        tables: all of Matomo's, without the prefix.
        other_tables: tables without that prefix.
        matomo_version: the version of the code that the tables are of (option version_core).
        plugins: versions of all plugins that were ever installed (options version_*).
        dropped: what was not loaded, with the reason, and how often.
        completed: when the tool came to its end, by the clock of its machine; None where it did not
            write that.
    """

    tool: str | None
    tool_version: str | None
    server: str | None
    server_version: str | None
    is_known_whole: bool
    prefix: str
    tables: tuple[str, ...]
    other_tables: tuple[str, ...]
    matomo_version: str | None
    plugins: dict[str, str]
    dropped: dict[str, int]
    completed: datetime | None = None


@dataclass
class _Ends:
    """Which ends the beginnings of a dump's parts promise, and which have come."""

    begun: list[str] = field(default_factory=list)
    """Parts with the head of mysqldump or mariadb-dump that has no end yet."""
    saved: dict[str, str] = field(default_factory=dict)
    """Variables that were saved and not set back, and where."""
    transaction: str | None = None
    """The part with a START TRANSACTION that has no COMMIT yet."""

    def require_all(self) -> None:
        """Require all ends.

        Raises:
            WrongInputError: one is not there.
        """
        if self.begun:
            missing, name = f"`{_COMPLETED}`", self.begun[-1]
        elif self.saved:
            variable, name = min(self.saved.items())
            missing = f"the SET that brings {variable} back"
        elif self.transaction:
            missing, name = "COMMIT", self.transaction
        else:
            return
        raise WrongInputError(
            expected=f"{missing} at the end of {name}",
            seen="its end without that: it is truncated, or the tool broke off",
            next_command="copy it anew, or dump again and look at the tool's exit code",
        )


class DumpReader:
    """Reads a dump once: yields what is to be loaded, and knows what it is when all was read.

    Args:
        source: its files.
    """

    def __init__(self, source: DumpSource) -> None:
        self.source = source
        self._tool: str | None = None
        self._tool_version: str | None = None
        self._server: str | None = None
        self._server_version: str | None = None
        self._ends = _Ends()
        self._is_known_whole = False
        self._versions: list[str] = []
        self._tables: dict[str, str] = {}
        self._columns: dict[str, list[bytes]] = {}
        self._plugins: dict[str, dict[str, str]] = {}
        self._schemas: dict[str, str] = {}
        self._dropped = Counter[str]()
        self._completed: datetime | None = None
        self._is_read = False

    def statements(self) -> Iterator[Judgement]:
        """Yield the statements to send to the server one by one, translated for MariaDB.

        Raises:
            WrongInputError: the dump is not whole, holds what is refused, or is not one of Matomo.
        """
        for text in SESSION:
            yield Judgement(Statement(text, "", 1), Kind.SET)
        for part in self.source.parts():
            if part.table is None:
                yield from self._of_part(part)
            else:
                yield from self._of_rows(part, part.table)
        self._ends.require_all()
        if self.source.is_finished_by_mydumper:
            self._tool, self._is_known_whole = "mydumper", True
        self._is_read = True
        self.description()

    def _of_part(self, part: Part) -> Iterator[Judgement]:
        drop: Statement | None = None
        for piece in Scanner(part.name).scan(part.chunks):
            if isinstance(piece, Comment):
                self._take_comment(piece, part.name)
                continue
            if drop is None and schema_dropped(piece):
                drop = piece
                continue
            judged = self._judge(piece)
            if drop is not None:
                self._pass_over(drop, judged)
                drop = None
            if judged.kind is None:
                self._dropped[judged.note or ""] += 1
            else:
                yield judged
        if drop is not None:
            judge(drop)  # which refuses it

    def _pass_over(self, drop: Statement, following: Judgement) -> None:
        """Pass over a DROP DATABASE before the CREATE DATABASE of the same schema.

        Raises:
            WrongInputError: something else follows it.
        """
        made = following.schema if (following.note or "").startswith("CREATE DATABASE") else None
        if made != schema_dropped(drop):
            judge(drop)  # which refuses it
        self._dropped[f"DROP DATABASE: {DROPPED['CREATE DATABASE']}"] += 1

    def _of_rows(self, part: Part, table: str) -> Iterator[Judgement]:
        def settings(texts: tuple[bytes, ...]) -> Iterator[Judgement]:
            for text in texts:
                yield Judgement(Statement(text, part.name, 1), Kind.SET)

        yield from settings(tab_files.BEFORE)
        columns = self._columns.get(table)
        if not columns:
            raise WrongInputError(
                expected=f"the CREATE TABLE of {table} before its rows in {part.name}",
                seen="none",
                next_command="give the directory that mariadb-dump wrote without --no-create-info",
            )
        for text, line in tab_files.inserts(part.name, table, columns, part.chunks):
            statement = Statement(text, part.name, line)
            self._note_options(table, text)
            yield Judgement(statement, Kind.ROWS, table)
        yield from settings(tab_files.AFTER)

    def _judge(self, statement: Statement) -> Judgement:
        judged = judge(statement)
        kind, table = judged.kind, judged.table
        if judged.schema is not None:
            self._note_schema(judged.schema, statement)
        if kind is Kind.ROWS and table is not None:
            self._require_table(table, statement)
            self._note_options(table, statement.text)
        elif kind is Kind.TRANSACTION:
            is_end = statement.text.upper().startswith(b"COMMIT")
            self._ends.transaction = None if is_end else statement.file
        elif kind in (Kind.CREATE_TABLE, Kind.ALTER_TABLE, Kind.SET):
            if kind is Kind.CREATE_TABLE and table is not None:
                self._tables[table] = statement.file
                self._columns[table] = tab_files.columns_of(statement.text)
            elif kind is Kind.SET:
                self._take_set(statement)
            text = translated(statement.text)
            if text != statement.text:
                statement = Statement(text, statement.file, statement.line)
                judged = Judgement(statement, kind, table)
        return judged

    def _require_table(self, table: str, statement: Statement) -> None:
        if table not in self._tables:
            raise WrongInputError(
                expected=f"the CREATE TABLE of {table} before its rows in {statement.file}",
                seen=f"rows of {table} in line {statement.line}, and no such table before them",
                next_command="give the files with the tables first; where an archive has them"
                " in another order, unpack it, and give the directory",
            )

    def _take_set(self, statement: Statement) -> None:
        text = statement.text.decode(errors="replace").upper()
        for name in _SAVED.findall(text):
            self._ends.saved[name] = statement.file
            self._is_known_whole = True
        for name in _RESTORED.findall(text):
            self._ends.saved.pop(name, None)

    def _take_comment(self, comment: Comment, file: str) -> None:
        line = comment.text.decode(errors="replace").strip()
        if tool := _TOOL.match(line):
            self._ends.begun.append(file)
            self._is_known_whole = True
            self._tool = "mysqldump" if tool["name"] == "MySQL" else "mariadb-dump"
            self._tool_version = tool["distribution"]
            if self._tool == "mysqldump" and "MariaDB" in line:
                self._tool = "mariadb-dump"  # as it was called before 10.5
        elif line.startswith(_COMPLETED):
            self._ends.begun = self._ends.begun[:-1]
            if at := _COMPLETED_AT.match(line):
                # Of several parts the last one's.
                self._completed = datetime.strptime(f"{at[1]} {at[2]}", "%Y-%m-%d %H:%M:%S")
        elif line.startswith(_PHPMYADMIN):
            self._tool = "phpMyAdmin"
        elif server := _SERVER.match(line):
            self._note_server(server["version"])
        elif self._tool == "phpMyAdmin" and _NOT_READ.match(line) and _OF_ITS_OWN not in line:
            raise _not_read(line, file)
        elif self._tool == "phpMyAdmin" and not self._server:
            self._take_line_of_phpmyadmin(line)

    def _take_line_of_phpmyadmin(self, line: str) -> None:
        """Take versions from the head, whose words are in the user's language: server, then PHP."""
        if line.startswith("-- version "):
            self._tool_version = line.split()[2]
        elif version := _VERSION_IN_A_LINE.search(line):
            if "PHP" in line and self._versions:
                self._note_server(self._versions[-1])
            self._versions.append(version[1])

    def _note_server(self, version: str) -> None:
        self._server = "MariaDB" if "MariaDB" in version else "MySQL"
        number = re.match(
            r"[\d.]+", version.removeprefix(_FAKED) if "MariaDB" in version else version
        )
        self._server_version = number[0] if number else None

    def _note_schema(self, schema: str, statement: Statement) -> None:
        self._schemas.setdefault(schema.lower(), schema)
        if len(self._schemas) > 1:
            raise WrongInputError(
                expected=f"one schema in {statement.file}",
                seen=f"{' and '.join(self._schemas.values())} (line {statement.line})",
                next_command=DUMP_ONE_SCHEMA,
            )

    def _note_options(self, table: str, text: bytes) -> None:
        if table.endswith(OPTION_TABLE):
            versions = self._plugins.setdefault(table, {})
            for _, name, version in _OPTION.findall(text):
                versions[name.decode()] = version.decode(errors="replace")

    def description(self) -> Description:
        """Return what the dump is, when all of it was read.

        Raises:
            WrongInputError: it is not a dump of one whole Matomo.
        """
        if not self._is_read:
            raise RuntimeError("a dump is described when it was read to its end")
        prefix = self._prefix()
        versions = dict(self._plugins.get(f"{prefix}{OPTION_TABLE}", {}))
        matomo_version = versions.pop("core", None)
        ours = sorted(table for table in self._tables if table.startswith(prefix))
        return Description(
            tool=self._tool,
            tool_version=self._tool_version,
            server=self._server,
            server_version=self._server_version,
            is_known_whole=self._is_known_whole,
            prefix=prefix,
            tables=tuple(table.removeprefix(prefix) for table in ours),
            other_tables=tuple(sorted(self._tables.keys() - {*ours})),
            matomo_version=matomo_version,
            plugins=versions,
            dropped=dict(self._dropped),
            completed=self._completed,
        )

    def _prefix(self) -> str:
        whole = found.whole(self._tables)
        parts = found.in_part(self._tables)
        if len(parts) > 1:
            raise WrongInputError(
                expected="the tables of one Matomo in the dump",
                seen=f"tables with the prefixes {' and '.join(f'`{name}`' for name in parts)}",
                next_command="dump the tables of one prefix alone: mariadb-dump SCHEMA"
                " $(mariadb -N -e \"SHOW TABLES LIKE 'matomo\\_%'\" SCHEMA)",
            )
        if not whole:
            missing = [
                f"{parts[0]}{name}"
                for name in found.OF_EVERY_MATOMO
                if parts and f"{parts[0]}{name}" not in self._tables
            ]
            some = ", ".join(sorted(self._tables)[:5]) or "no CREATE TABLE"
            raise WrongInputError(
                expected="a dump of Matomo, with its tables"
                f" {', '.join(found.OF_EVERY_MATOMO)} behind one prefix",
                seen=f"none called {', '.join(missing)}" if missing else f"others: {some}",
                next_command="give the dump of Matomo's schema, with its CREATE TABLEs",
            )
        return whole[0]


def _not_read(line: str, file: str) -> WrongInputError:
    words, number = line[:200].rsplit(" #", 1)
    return WrongInputError(
        expected=f"all tables, with their rows, in {file}",
        seen=f"what phpMyAdmin could not read: {words.removeprefix('-- ')} error {number[:4]}",
        next_command="mend that table (CHECK TABLE), or what its user is granted (SELECT), and"
        " export again",
    )


def describe(source: DumpSource) -> Description:
    """Read a dump to its end, load nothing, and return what it is.

    Args:
        source: its files.

    Raises:
        WrongInputError: it is not whole, holds what is refused, or is not one of Matomo.
    """
    reader = DumpReader(source)
    for _ in reader.statements():
        pass
    return reader.description()
