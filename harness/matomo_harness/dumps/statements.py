"""What kind of statement a dump's is, of which table, and whether it is loaded.

A statement is judged by its first words, with what is in executable comments (/*!50003 … */) read
as the server reads it. What is not known to be harmless is refused by name, so that nothing new
gets through; an error quotes no more than those words, as what follows may be person data.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from matomo_harness.dumps.scanner import Statement
from matomo_harness.errors import WrongInputError


class Kind(Enum):
    """What a statement does."""

    CREATE_TABLE = "CREATE TABLE"
    DROP_TABLE = "DROP TABLE"
    ALTER_TABLE = "ALTER TABLE"
    TRUNCATE_TABLE = "TRUNCATE TABLE"
    ROWS = "INSERT"
    """INSERT or REPLACE."""
    KEYS = "ALTER TABLE … KEYS"
    """DISABLE or ENABLE KEYS, of all but unique keys."""
    LOCK = "LOCK TABLES"
    """LOCK or UNLOCK TABLES."""
    SET = "SET"
    TRANSACTION = "COMMIT"
    """START TRANSACTION, BEGIN or COMMIT."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A statement that was judged.

    Args:
        statement: as the dump has it, or as MariaDB reads it.
        kind: what it does; None where it is dropped.
        table: the table that it is about, if it is about one.
        note: where it is dropped, why.
        schema: the schema that a USE or CREATE DATABASE names.
    """

    statement: Statement
    kind: Kind | None
    table: str | None = None
    note: str | None = None
    schema: str | None = None


WORDS_JUDGED: Final = 24
HEAD: Final = 4096
"""Bytes that the first words are looked for in."""
FIRST_IGNORED: Final = 50700
LAST_IGNORED: Final = 99999
"""/*!NNNNN … */ of these versions is MySQL's alone: MariaDB passes over it (its manual, "Comment
Syntax"); /*M! … */ it reads."""

VARIABLES: Final = frozenset(
    (
        *("autocommit", "character_set_client", "character_set_results", "collation_connection"),
        *("foreign_key_checks", "names", "note_verbosity", "sql_mode", "sql_notes", "time_zone"),
        *("unique_checks",),
    )
)
"""Variables of the session that dumps set, and that loading depends on."""
OTHER_LEXERS: Final = (
    "NO_BACKSLASH_ESCAPES",
    "ANSI",
    "DB2",
    "MAXDB",
    "MSSQL",
    "ORACLE",
    "POSTGRES",
)
"""Modes of SQL in which quotes end elsewhere than the scanner sees them end."""
ENGINES: Final = frozenset(("INNODB", "MYISAM", "ARIA", "MEMORY", "ROCKSDB", "TOKUDB", "XTRADB"))
"""Engines whose tables are in the server's own files."""

_TOKEN: Final = re.compile(
    r"/\*(?P<of>M?)!(?P<version>\d{5,6})?|\*/|/\*.*?(?:\*/|\Z)|(?:--\s|\#)[^\n]*"
    r"|`(?P<name>(?:[^`]|``)*)`|'(?:[^'\\]|\\.|'')*'?|\"(?:[^\"\\]|\\.|\"\")*\"?"
    r"|(?P<word>[\w$@]+)|(?P<sign>[^\s\w])",
    re.S,
)
_ROWS: Final = re.compile(
    rb"(?:INSERT|REPLACE) INTO `([^`]+)` (?:\((?:`[^`]*`|[, ])*\) )?VALUES\s*\("
)
"""As the tools write it: one row each in --skip-extended-insert, so that a look has to be short."""
_NO_BEGINNING: Final = frozenset(("IF", "NOT", "EXISTS", "INTO", "IGNORE", "LOW_PRIORITY"))
_DELAYS: Final = frozenset(("DELAYED", "HIGH_PRIORITY"))
_ONE_TABLE: Final = {
    "INSERT": Kind.ROWS,
    "REPLACE": Kind.ROWS,
    "CREATE TABLE": Kind.CREATE_TABLE,
    "DROP TABLE": Kind.DROP_TABLE,
    "ALTER TABLE": Kind.ALTER_TABLE,
    "TRUNCATE": Kind.TRUNCATE_TABLE,
    "TRUNCATE TABLE": Kind.TRUNCATE_TABLE,
}
_WITHOUT_A_TABLE: Final = {
    "LOCK TABLES": Kind.LOCK,
    "LOCK TABLE": Kind.LOCK,
    "UNLOCK TABLES": Kind.LOCK,
    "START TRANSACTION": Kind.TRANSACTION,
    "BEGIN": Kind.TRANSACTION,
    "COMMIT": Kind.TRANSACTION,
}
DROPPED: Final = {
    "CREATE DATABASE": "a schema is chosen here, not by the dump",
    "CREATE SCHEMA": "a schema is chosen here, not by the dump",
    "ALTER DATABASE": "a schema is chosen here, not by the dump",
    "USE": "a schema is chosen here, not by the dump",
    "CREATE VIEW": "Matomo has no views, and one reads as somebody else",
    "DROP VIEW": "Matomo has no views",
    "PREPARE": "what Percona asks of its own engine is not asked here",
    "EXECUTE": "what Percona asks of its own engine is not asked here",
    "DEALLOCATE": "what Percona asks of its own engine is not asked here",
    "CHANGE MASTER": "nothing is replicated here",
    "CHANGE REPLICATION": "nothing is replicated here",
    "STOP ALL": "nothing is replicated here",
    "START ALL": "nothing is replicated here",
    "STOP SLAVE": "nothing is replicated here",
    "START SLAVE": "nothing is replicated here",
    "STOP REPLICA": "nothing is replicated here",
    "START REPLICA": "nothing is replicated here",
}
"""Statements that backups carry and that nothing is missing without, and why each is dropped."""
_INTO_VARIABLE: Final = re.compile(rb"\bCOUNT\(\*\) INTO @\w+ FROM INFORMATION_SCHEMA\.", re.I)
_NO_VARIABLES: Final = [["STATEMENT"], ["PASSWORD"], ["ROLE"], ["DEFAULT"], ["TRANSACTION"]]
"""Words after SET that no variable comes after, in pieces of a list of words."""
_SAID_BY_A_TOOL: Final = re.compile(rb"\s*(mysqldump|mariadb-dump|mysqlpump): ")
_OBJECTS_WITH_CODE: Final = frozenset(("TRIGGER", "EVENT", "PROCEDURE", "FUNCTION"))
_HOW_TO_DO_WITHOUT: Final = {
    "TRIGGER": "dump again with --skip-triggers",
    "EVENT": "dump again with --skip-events",
    "PROCEDURE": "dump again with --skip-routines",
    "FUNCTION": "dump again with --skip-routines",
}
_DROP_SCHEMA: Final = re.compile(
    rb"(?:/\*!40000 )?DROP DATABASE IF EXISTS (`(?:[^`]|``)+`|[\w$]+)\s*(?:\*/)?"
)
"""As mysqldump and mariadb-dump --add-drop-database write it, phpMyAdmin and HeidiSQL."""
DUMP_ONE_SCHEMA: Final = "dump Matomo's schema alone, without accounts: mariadb-dump SCHEMA"


@dataclass(frozen=True, slots=True)
class _Token:
    text: str  # a word, a sign, or a name without its quotes
    is_name: bool  # quoted
    is_ignored: bool  # in an executable comment that MariaDB passes over


_VERBS: Final = frozenset(
    (
        *("ALTER", "ANALYZE", "BEGIN", "CALL", "CHANGE", "CHECK", "COMMIT", "CREATE", "DEALLOCATE"),
        *("DELETE", "DO", "DROP", "EXECUTE", "FLUSH", "GRANT", "HANDLER", "INSERT", "INSTALL"),
        *("KILL", "LOAD", "LOCK", "OPTIMIZE", "PREPARE", "PURGE", "RENAME", "REPLACE", "RESET"),
        *("REVOKE", "ROLLBACK", "SELECT", "SET", "SHOW", "SHUTDOWN", "START", "STOP", "TRUNCATE"),
        *("UNINSTALL", "UNLOCK", "UPDATE", "USE", "WITH", "XA"),
    )
)


def judge(statement: Statement) -> Judgement:
    """Say what a statement does, and whether it is loaded.

    Args:
        statement: as the scanner found it.

    Raises:
        WrongInputError: it is one that no dump of tables has, or one of another schema.
    """
    if rows := _ROWS.match(statement.text):
        return Judgement(statement, Kind.ROWS, rows[1].decode(errors="replace"))
    tokens = _first_tokens(statement)
    words = _words(tokens)
    if not tokens:
        return Judgement(statement, None, note="nothing but comments")
    if not words or _runs_another(statement, words, tokens):
        raise refused(statement, words)
    first, two = words[0], " ".join(words[:2])
    if first == "SET":
        return _set(statement, tokens)
    if note := DROPPED.get(first) or DROPPED.get(two):
        name = two if two in DROPPED else first
        return Judgement(statement, None, note=f"{name}: {note}", schema=_schema(tokens, two))
    if first == "SELECT" and _INTO_VARIABLE.search(statement.text):
        return Judgement(statement, None, note=f"SELECT … INTO @…: {DROPPED['PREPARE']}")
    if two in ("CREATE TABLE", "DROP TABLE") and statement.text.startswith(b"/*!50001 "):
        # So old a mysqldump has tables stand for views until they are made.
        return Judgement(statement, None, note=f"VIEW: {DROPPED['CREATE VIEW']}")
    if kind := _WITHOUT_A_TABLE.get(first) or _WITHOUT_A_TABLE.get(two):
        return Judgement(statement, kind)
    if (kind := _ONE_TABLE.get(two) or _ONE_TABLE.get(first)) and not _is_all_ignored(tokens):
        return _of_one_table(statement, kind, tokens)
    if _is_all_ignored(tokens) and first not in ("CREATE", "DROP", "GRANT", "ALTER", "LOAD"):
        return Judgement(statement, None, note=f"{_named(two)}: MariaDB passes over it")
    raise refused(statement, words)


def schema_dropped(statement: Statement) -> str | None:
    """Return the schema that a dump drops in order to make it anew; None for any other statement.

    Such a statement is harmless where the next one makes that schema: neither is obeyed. `judge`,
    which sees one statement alone, refuses it.

    Args:
        statement: as the scanner found it.
    """
    found = _DROP_SCHEMA.fullmatch(statement.text)
    if not found:
        return None
    name = found[1].decode(errors="replace")
    return name[1:-1].replace("``", "`") if name.startswith("`") else name


def _runs_another(statement: Statement, words: Sequence[str], tokens: Sequence[_Token]) -> bool:
    """Whether a statement that is harmless by its first word has another one in it, or may have.

    BEGIN NOT ATOMIC … END, SET STATEMENT … FOR …, and USE without a delimiter before the next; a
    long comment or much space may hide what comes after it.
    """
    count = len(tokens)
    if words[0] in ("BEGIN", "COMMIT"):
        return len(statement.text) > HEAD or (count > 1 and words[1:] != ["WORK"])
    if words[0] == "USE":
        return len(statement.text) > HEAD or count != len(("USE", "name"))
    if words[0] == "SET" and count == 1:
        return True
    return words[0] == "SET" and words[1:2] in _NO_VARIABLES


def refused(
    statement: Statement, words: Sequence[str], table: str | None = None
) -> WrongInputError:
    """Return the error for a statement that is not loaded, and that is not dropped either.

    Args:
        statement: what is refused.
        words: its first words; no more of it is quoted.
        table: the table that it is about.
    """
    name = next((word for word in words if word in _OBJECTS_WITH_CODE), "")
    what = _named(f"{words[0]} {name}" if name else " ".join(words[: 3 if table else 2]))
    if words[:1] == ["SELECT"] and re.search(rb"INTO\s+(OUT|DUMP)FILE", statement.text, re.I):
        what = "SELECT … INTO OUTFILE"
    of = f" of the table {table}" if table else ""
    if tool := _SAID_BY_A_TOOL.match(statement.text):
        return WrongInputError(
            expected=f"in {statement.file} what {tool[1].decode()} writes to its standard output",
            seen=f"in line {statement.line} what it says to a person, a warning or an error",
            next_command=f"sed -n {statement.line}p of it; where that is a warning, take the line"
            " out, else dump again, without 2>&1 and without docker exec -t",
        )
    return WrongInputError(
        expected=f"in {statement.file} the statements of a dump of tables and rows alone",
        seen=f"{what}{of} in line {statement.line}",
        next_command=_HOW_TO_DO_WITHOUT.get(name, DUMP_ONE_SCHEMA),
    )


def _first_tokens(statement: Statement) -> list[_Token]:
    tokens: list[_Token] = []
    is_ignored = False
    for match in _TOKEN.finditer(statement.text[:HEAD].decode(errors="replace")):
        if (whole := match[0]).startswith(("/*!", "/*M!")):
            version = int(match["version"] or 0)
            is_ignored = not match["of"] and FIRST_IGNORED <= version <= LAST_IGNORED
        elif whole == "*/":
            is_ignored = False
        elif match["name"] is not None:
            tokens.append(_Token(match["name"].replace("``", "`"), True, is_ignored))
        elif match["word"]:
            tokens.append(_Token(match["word"], False, is_ignored))
        elif match["sign"] or whole[0] in "'\"":
            tokens.append(_Token(whole if match["sign"] else "'", False, is_ignored))
        if len(tokens) == WORDS_JUDGED:
            break
    return tokens


def _is_all_ignored(tokens: Sequence[_Token]) -> bool:
    return all(token.is_ignored for token in tokens)


def _words(tokens: Sequence[_Token]) -> list[str]:
    """Return the statement's first words, without what stands between CREATE and its object."""
    words: list[str] = []
    left = list(tokens)
    while left:
        token = left.pop(0)
        word = token.text.upper()
        if token.is_name or not re.fullmatch(r"\w+", word):
            break
        if word == "OR" and left:
            left.pop(0)  # REPLACE
        elif word in ("DEFINER", "ALGORITHM") and left and left[0].text == "=":
            value = left[1:2]
            left = left[2:]
            if left and left[0].text in ("@", "("):  # `a`@`b`, CURRENT_USER()
                left = left[2:]
            elif left and (left[0].text.startswith("@") or value[0].text.endswith("@")):
                left = left[1:]
        elif word == "SQL" and left and left[0].text.upper() == "SECURITY":
            left = left[2:]
        elif word == "AGGREGATE":
            continue
        elif word in _NO_BEGINNING | _DELAYS:
            break
        else:
            words.append(word)
    return words


def _named(words: str) -> str:
    """Return two first words as an error names them; where they are none of SQL's, no word.

    What is no statement at all, as the second half of a row, may begin with person data.
    """
    first = words.partition(" ")[0]
    return words if first in _VERBS else "what is no statement of a dump"


def _name_after(tokens: Sequence[_Token], count: int) -> tuple[str | None, bool, int]:
    """Return the name after `count` words and what may stand before it.

    Returns:
        The name, whether it is one of a schema and a table, and how many tokens it ends after.
    """
    position = count
    skipped = _NO_BEGINNING | _DELAYS
    while position < len(tokens) and not tokens[position].is_name:
        if tokens[position].text.upper() not in skipped:
            break
        position += 1
    if position >= len(tokens):
        return None, False, position
    token = tokens[position]
    if not token.is_name and not re.fullmatch(r"[\w$]+", token.text):
        return None, False, position
    is_qualified = position + 1 < len(tokens) and tokens[position + 1].text == "."
    return token.text, is_qualified, position + 1


def _schema(tokens: Sequence[_Token], words: str) -> str | None:
    if words.startswith("USE"):
        return _name_after(tokens, 1)[0]
    return _name_after(tokens, 2)[0] if words.startswith("CREATE DATABASE") else None


def _of_one_table(statement: Statement, kind: Kind, tokens: Sequence[_Token]) -> Judgement:
    words = _words(tokens)
    verbs = 1 if kind is Kind.ROWS or (words[0] == "TRUNCATE" and words[1:2] != ["TABLE"]) else 2
    table, is_qualified, end = _name_after(tokens, verbs)
    after = [token.text.upper() for token in tokens[end : end + 2]]
    if table is None:
        raise refused(statement, words)
    if is_qualified:
        raise WrongInputError(
            expected=f"in {statement.file} tables without the name of a schema",
            seen=f"{kind.value} of {table}.… in line {statement.line}",
            next_command=DUMP_ONE_SCHEMA,
        )
    if kind is Kind.DROP_TABLE and after[:1] == [","]:
        raise refused(statement, words, table)
    if kind is Kind.ALTER_TABLE and after in (["DISABLE", "KEYS"], ["ENABLE", "KEYS"]):
        kind = Kind.KEYS
    if kind is Kind.ROWS and not re.match(
        rb"(?:[^'\"`();]|`[^`]*`)*(?:\((?:[^'\"`()]|`[^`]*`)*\)\s*)?VALUES?\s*\(",
        statement.text,
        re.I,
    ):
        raise refused(statement, [words[0], "without", "VALUES"], table)
    if kind in (Kind.CREATE_TABLE, Kind.ALTER_TABLE):
        _require_own_files(statement, table)
    return Judgement(statement, kind, table)


def _require_own_files(statement: Statement, table: str) -> None:
    """Require that a table is in the server's own files: no other server's, none that is named."""
    outside = _without_quoted(statement.text).decode(errors="replace")
    engines = re.findall(r"\bENGINE\s*=\s*(\w+)", outside, re.I)
    engines += re.findall(r"\bENGINE\s+(\w+)", outside.rpartition(")")[2], re.I)
    others = [engine for engine in engines if engine.upper() not in ENGINES]
    if others:
        seen = f"the engine {others[0]} of the table {table}"
    elif found := re.search(r"\b(DATA|INDEX)\s+DIRECTORY\b|\bCONNECTION\s*=", outside, re.I):
        seen = f"{found[0].rstrip(' =').upper()} of the table {table}"
    else:
        return
    raise WrongInputError(
        expected=f"in {statement.file} tables that are in the server's own files",
        seen=f"{seen} in line {statement.line}",
        next_command="drop or convert that table in production, or dump without it:"
        " mariadb-dump --ignore-table",
    )


_QUOTED: Final = re.compile(
    rb"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`|/\*(?!!|M!).*?\*/|(?:--\s|#)[^\n]*", re.S
)


def _without_quoted(text: bytes) -> bytes:
    return _QUOTED.sub(b" '' ", text)


_ASSIGNED: Final = re.compile(
    r"(?:\b(?P<scope>GLOBAL|SESSION|LOCAL|PERSIST|PERSIST_ONLY)\s+|@@(?P<at>\w+)\.)?"
    r"(?P<name>@{0,2}[\w$.]+)\s*:?=",
    re.I,
)


_OTHER_MODE: Final = re.compile(rb"SQL_MODE\s*:?=\s*(\d+|@(?!@|\w*SQL_MODE)[\w.$]+)")
"""A mode by its number, or out of a variable that no dump's head fills: it may change quotes."""


def _set(statement: Statement, tokens: Sequence[_Token]) -> Judgement:
    """Judge a SET: of the session's variables those that dumps need, and the dump's own."""
    text = _without_quoted(statement.text).decode(errors="replace")
    sets_characters = re.search(r"[\s,](?:NAMES|CHARACTER\s+SET|CHARSET)\s+['\w]", text, re.I)
    modes = statement.text.upper()
    names = [
        (match["scope"] or match["at"] or "", match["name"]) for match in _ASSIGNED.finditer(text)
    ]
    if any("SQL_MODE" in name.upper() for _, name in names):
        for mode in OTHER_LEXERS:
            if re.search(rb"[=,'\"\s]" + mode.encode() + rb"[\w]*", modes):
                raise refused(statement, ["SET", f"SQL_MODE={mode}"])
        if found := _OTHER_MODE.search(modes):
            raise refused(statement, ["SET", f"SQL_MODE={found[1].decode(errors='replace')}"])
    for scope, name in names:
        plain = name.lstrip("@").upper()
        if plain in ("GTID_PURGED", "GTID_SLAVE_POS", "SQL_LOG_BIN"):
            return Judgement(statement, None, note=f"SET {plain}: nothing is replicated here")
        if scope.upper() not in ("", "SESSION", "LOCAL"):
            raise refused(statement, ["SET", scope.upper()])
        is_own = name.startswith("@") and not name.startswith("@@")
        if not is_own and plain.lower() not in VARIABLES:
            return Judgement(statement, None, note=f"SET {plain}: not needed to load tables")
    if not names and not sets_characters:
        raise refused(statement, _words(tokens))
    return Judgement(statement, Kind.SET)
