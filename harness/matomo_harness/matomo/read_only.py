"""The database of a Matomo that is not ours, which is only read."""

import os
import ssl
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import pymysql
from pymysql.constants import CR, ER
from pymysql.cursors import DictCursor

from matomo_harness.errors import WrongInputError
from matomo_harness.matomo.container import OutOfReachError
from matomo_harness.matomo.database import QUERY_SECONDS, Database, privileges
from matomo_harness.matomo.found import whole
from matomo_harness.time_limit import TimeLimitError

VARIABLE: Final = "DATABASE_URL"
FILE_VARIABLE: Final = "DATABASE_URL_FILE"
FORM: Final = "mysql://user:password@host:port/schema"
PORT: Final = 3306
STATEMENT_SECONDS: Final = 20
"""The server ends a statement after so long (MariaDB's max_statement_time): the gate is a guest."""
MOST_ROWS: Final = 100_000
"""Rows of an answer. A check that would need more is skipped: half an answer proves nothing."""
OPTIONS: Final = ("prefix", "ssl", "ssl-ca")
READS: Final = frozenset(
    {
        *("USAGE", "SELECT", "SHOW VIEW", "SHOW DATABASES", "PROCESS", "REPLICATION CLIENT"),
        *("BINLOG MONITOR", "SLAVE MONITOR", "REPLICA MONITOR", "SHOW CREATE ROUTINE"),
        # Without these the server does not show triggers, events and routines.
        *("TRIGGER", "EVENT", "EXECUTE"),
    }
)
"""Privileges of MariaDB that a reader may have; whoever has another may write."""
STATEMENT_TIMEOUT: Final = 1969
"""MariaDB's ER_STATEMENT_TIMEOUT."""
NOT_GRANTED: Final = (ER.TABLEACCESS_DENIED_ERROR, ER.COLUMNACCESS_DENIED_ERROR, 1227)
"""A privilege on a table, on a column, and one of the server."""
ONLY_BY_TLS: Final = (3159, 4152)
"""What MySQL and MariaDB answer in clear text under require_secure_transport."""


# -- who may what ---------------------------------------------------------------------------------


def writing_privileges(grants: list[str]) -> list[str]:
    """Return the privileges by which a user may write, each with what it is for.

    Args:
        grants: the rows of SHOW GRANTS, MariaDB's.
    """
    found = []
    for grant in grants:
        names = sorted(privileges([grant]) - READS)
        on = grant.partition(" ON ")[2].partition(" TO ")[0]
        found += [f"{', '.join(names)} on {on}"] if names else []
    return found


# -- the database ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReadOnlyDatabase(Database):
    """Matomo's database, read in transactions that cannot write, with limits on time and rows."""

    @property
    def plain(self) -> Database:
        """The same without limits, which MySQL does not know."""
        return Database(*(self.host, self.port, self.user, self.password, self.name), tls=self.tls)

    @contextmanager
    def connection(
        self, seconds: float = QUERY_SECONDS
    ) -> Iterator["pymysql.Connection[DictCursor]"]:
        """Yield a connection in a transaction that cannot write, and close it at the end.

        Raises:
            WrongInputError: the server refuses this user, or there is no server.
        """
        with super().connection(seconds) as connection:
            with connection.cursor() as cursor:
                cursor.execute("SET SESSION TRANSACTION READ ONLY")
                cursor.execute(
                    "SET SESSION max_statement_time = %s, sql_select_limit = %s",
                    (STATEMENT_SECONDS, MOST_ROWS + 1),
                )
                cursor.execute("START TRANSACTION READ ONLY")
            yield connection

    def query(
        self, statement: str, *values: object, seconds: float = QUERY_SECONDS
    ) -> list[dict[str, Any]]:
        """Run `statement` and return its rows, as Database does.

        Raises:
            OutOfReachError: it takes too long, has too many rows, or reads what is not granted.
        """
        try:
            rows = super().query(statement, *values, seconds=seconds)
        except TimeLimitError as error:
            raise OutOfReachError(
                expected=error.expected,
                seen=error.seen,
                next_command=f"{VARIABLE} of a replica that has nothing else to do",
            ) from error
        except pymysql.MySQLError as error:
            if error.args and error.args[0] == STATEMENT_TIMEOUT:
                raise OutOfReachError(
                    expected=f"the database to answer within {STATEMENT_SECONDS} s",
                    seen=f"it did not, and ended `{statement[:80]}…`",
                    next_command=f"{VARIABLE} of a replica that has nothing else to do",
                ) from error
            if error.args and error.args[0] in NOT_GRANTED:
                raise OutOfReachError(
                    expected=f"a user of the database that may read all of {self.name}",
                    seen=str(error.args[-1]),
                    next_command=f"GRANT SELECT ON `{self.name}`.* TO that user",
                ) from error
            raise
        if len(rows) > MOST_ROWS:
            raise OutOfReachError(
                expected=f"an answer of at most {MOST_ROWS} rows",
                seen=f"more, to `{statement[:80]}…`",
                next_command="make repro, and the gate on the copy",
            )
        return rows


@dataclass(frozen=True)
class Address:
    """Where a database is, as somebody has written it.

    Args:
        database: with no prefix yet.
        prefix: of Matomo's tables, where it is written, too.
    """

    database: ReadOnlyDatabase
    prefix: str | None


@dataclass(frozen=True)
class OpenDatabase:
    """A database that answers and holds a Matomo.

    Args:
        database: the same, read only.
        server: its version, as the report names it.
        version: Matomo's, by the table option.
        may_write: the user's privileges that a reader does not need.
    """

    database: ReadOnlyDatabase
    server: str
    version: str
    may_write: tuple[str, ...]


def opened(address: Address) -> OpenDatabase:
    """Return the database once it is known to be MariaDB and to hold a Matomo.

    Args:
        address: where it is; a prefix that it does not say is found by the tables.

    Raises:
        WrongInputError: nothing answers, the user is refused, the server is not MariaDB, or the
            schema holds no Matomo, or several.
    """
    database = address.database
    # A connection without limits first: MySQL does not know them, and is to be told by its name.
    try:
        (row,) = database.plain.query("SELECT VERSION() AS version, @@version_comment AS comment")
    except WrongInputError as error:
        raise _refused(error) from error
    server = require_mariadb(str(row["version"]), str(row["comment"]))
    found = _with_prefix(database, address.prefix)
    rows = found.query(
        "SELECT option_value AS version FROM {prefix}option WHERE option_name = 'version_core'"
    )
    if not rows:
        raise WrongInputError(
            f"the version of Matomo in {found.tables_prefix}option",
            "no row version_core",
            "make up",
        )
    return OpenDatabase(
        found, server, str(rows[0]["version"]), tuple(writing_privileges(found.grants()))
    )


def require_mariadb(version: str, comment: str) -> str:
    """Return the server's name and version.

    Args:
        version: what `SELECT VERSION()` says.
        comment: the variable version_comment.

    Raises:
        WrongInputError: it is MySQL, or a server that is made of it.
    """
    # MariaDB says its name in its version, unless whoever runs it has set another.
    if "mariadb" in f"{version} {comment}".lower():
        return f"MariaDB {version.lower().partition('-mariadb')[0]}"
    raise WrongInputError(
        "a MariaDB server, for which these checks are made",
        f"MySQL {version} ({comment})",
        "make gate URL=… without DATABASE_URL; what needs the database is skipped",
    )


def _with_prefix(database: ReadOnlyDatabase, prefix: str | None) -> ReadOnlyDatabase:
    names = database.all_tables()
    found = whole(names)
    if prefix is None and len(found) > 1:
        raise WrongInputError(
            f"one Matomo in the schema {database.name}",
            f"tables of {', '.join(repr(name) for name in found)}",
            f"say which at the end of {VARIABLE}: ?prefix={found[0]}",
        )
    chosen = prefix if prefix is not None else "".join(found)
    if chosen not in found:
        seen = f"{len(names)} tables that this user may see, and none named {chosen}log_visit"
        raise WrongInputError(
            f"the tables of a Matomo in the schema {database.name} at {database.host}",
            seen,
            f"name Matomo's schema ([database] dbname of config.ini.php) in {VARIABLE}",
        )
    return ReadOnlyDatabase(
        *(database.host, database.port, database.user, database.password, database.name),
        prefix=chosen,
        tls=database.tls,
    )


def _refused(error: WrongInputError) -> WrongInputError:
    """Return the error of a connection, with what to do about it."""
    cause = error.__cause__
    code = cause.args[0] if cause and cause.args else None
    if code == ER.ACCESS_DENIED_ERROR:
        next_command = f"check user and password in {VARIABLE}; special signs are written as %40"
    elif code in (ER.BAD_DB_ERROR, ER.DBACCESS_DENIED_ERROR):
        next_command = f"check the schema in {VARIABLE}, and what the user is granted: SHOW GRANTS"
    elif code in ONLY_BY_TLS:
        next_command = f"name the server's authority at the end of {VARIABLE}: ?ssl-ca=FILE"
    elif code in (CR.CR_CONN_HOST_ERROR, CR.CR_CONNECTION_ERROR, CR.CR_SERVER_LOST):
        next_command = f"check host and port in {VARIABLE}, and whether a firewall is between"
    else:
        next_command = f"check {VARIABLE}"
    return WrongInputError(error.expected, error.seen, next_command)


# -- the address ----------------------------------------------------------------------------------


def given(environment: Mapping[str, str] = os.environ) -> Address | None:
    """Return the database that the environment names; None where it names none.

    Raises:
        WrongInputError: the address is none, or the file that holds it is open to others.
    """
    text, path = environment.get(VARIABLE, ""), environment.get(FILE_VARIABLE, "")
    if text and path:
        raise WrongInputError(f"{VARIABLE} or {FILE_VARIABLE}", "both", f"unset {FILE_VARIABLE}")
    if path:
        text = _of_file(Path(path))
    return parsed(text) if text else None


def _of_file(path: Path) -> str:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & ~(stat.S_IRUSR | stat.S_IWUSR):
            raise WrongInputError(
                f"{FILE_VARIABLE} to name a file that only its owner may read, of mode 0600",
                f"{path} of mode {mode:04o}",
                f"chmod 600 {path}",
            )
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongInputError(
            f"{FILE_VARIABLE} to name a file with the address", f"{path}: {error}", f"ls -l {path}"
        ) from error


def parsed(text: str) -> Address:
    """Return the database at the address `text`.

    Args:
        text: mysql://user:password@host:port/schema, with the signs @ : / ? # % of a password
            written as %40 and so on. At its end may stand `?prefix=…`, `ssl-ca=FILE` (the
            authority that signed the server's certificate) and `ssl=true` (one of the public ones).

    Raises:
        WrongInputError: it is no such address; nothing of it is shown that may be the password.
    """
    try:
        parts = urlsplit(text)
        port = parts.port or PORT
    except ValueError as error:
        raise _no_address("its host or port is none") from error
    if parts.scheme not in ("mysql", "mariadb"):
        raise _no_address("no mysql:// at its beginning")
    missing = [
        what
        for what, value in (
            ("user", parts.username),
            ("password", parts.password),
            ("host", parts.hostname),
            ("schema", parts.path.strip("/")),
        )
        if not value
    ]
    if missing:
        raise _no_address(f"no {', no '.join(missing)}")
    if parts.fragment or "/" in parts.path.strip("/"):
        raise _no_address("a # or / that is not written as %23 or %2F")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(options.keys() - set(OPTIONS)):
        raise _no_address(f"{', '.join(unknown)[:60]} behind its ?; known: {', '.join(OPTIONS)}")
    database = ReadOnlyDatabase(
        host=parts.hostname or "",
        port=port,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        name=unquote(parts.path.strip("/")),
        tls=_tls(options),
    )
    return Address(database, options.get("prefix"))


def _tls(options: Mapping[str, str]) -> ssl.SSLContext | None:
    path = options.get("ssl-ca")
    if path:
        try:
            return ssl.create_default_context(cafile=path)
        except (OSError, ssl.SSLError) as error:
            raise WrongInputError(
                f"ssl-ca of {VARIABLE} to name a file with an authority's certificate",
                f"{path}: {error}",
                f"ls -l {path}",
            ) from error
    return ssl.create_default_context() if options.get("ssl", "") in ("true", "1") else None


def _no_address(seen: str) -> WrongInputError:
    return WrongInputError(f"{VARIABLE} to be {FORM}", seen, f"export {VARIABLE}='{FORM}'")
