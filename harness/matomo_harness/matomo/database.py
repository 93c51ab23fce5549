"""Matomo's database, read as it is stored."""

import contextlib
import dataclasses
import math
import re
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pymysql
from pymysql.constants import CR
from pymysql.cursors import DictCursor
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from matomo_harness.errors import HarnessError, UnsupportedEnvironmentError, WrongInputError
from matomo_harness.matomo import found
from matomo_harness.matomo.found import FoundInstallation
from matomo_harness.time_limit import require_time_left, seconds_left

CONNECT_SECONDS: Final = 10.0
QUERY_SECONDS: Final = 120.0
"""The longest wait for the next part of an answer."""
WHOLE_TABLE_SECONDS: Final = 7200.0
"""The same where the server reads or writes all of a table first: 100 GB at 14 MB/s."""
LAST_REQUEST_SECONDS: Final = 60
"""A step of Matomo's installer takes a few seconds, on a busy machine about ten."""
DEFAULT_PREFIX: Final = "matomo_"
"""The wizard's own (Installation/FormDatabaseSetup.php), for a schema that holds no Matomo yet."""
_TABLE: Final = re.compile(r"\{prefix\}(\w+)")

SHOWN_WITH: Final[Mapping[str, tuple[str, ...]]] = {
    "triggers": ("TRIGGER",),
    "events": ("EVENT",),
    "routines": ("EXECUTE", "CREATE ROUTINE", "ALTER ROUTINE", "SHOW CREATE ROUTINE"),
}
"""Kinds of objects, and the privileges of which MariaDB wants one to show them (its manual on the
tables TRIGGERS, EVENTS and ROUTINES of information_schema)."""
_GRANT: Final = re.compile(r"GRANT (?P<privileges>.+?) ON (?P<on>\S+) TO ")
_COLUMNS: Final = re.compile(r"\([^)]*\)")


def privileges(grants: Iterable[str], schema: str | None = None) -> set[str]:
    """Return the privileges on a whole schema, or on anything where `schema` is None.

    Args:
        grants: rows of SHOW GRANTS; an active role's are among them.
        schema: its name; a grant may name a pattern of LIKE.
    """
    found: set[str] = set()
    for grant in grants:
        match = _GRANT.match(grant)
        if match and (schema is None or _covers(match["on"], schema)):
            names = _COLUMNS.sub("", match["privileges"]).split(",")
            found |= {name.strip().upper() for name in names}
    return found


def _covers(granted_on: str, schema: str) -> bool:
    """Whether a grant on `granted_on` is one on all of `schema`."""
    pattern, is_whole, _ = granted_on.rpartition(".*")
    if not is_whole:
        return False
    if pattern == "*":
        return True
    signs = re.findall(r"\\.|.", pattern.strip("`"))
    wild = {"%": ".*", "_": "."}
    return bool(re.fullmatch("".join(wild.get(s) or re.escape(s[-1]) for s in signs), schema))


@dataclass(frozen=True)
class Database:
    """Where Matomo's tables are, and as whom to read them.

    Args:
        host: as seen from here.
        port: as seen from here.
        user: a user of the server.
        password: that user's.
        name: the schema.
        prefix: how every table's name begins; where None, it is found in the schema.
        tls: how to speak TLS with the server; None means clear text.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    name: str
    prefix: str | None = None
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    _found: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def tables_prefix(self) -> str:
        """How every table's name begins; the wizard's own before Matomo is installed.

        Raises:
            WrongInputError: several Matomos are in the schema, and no prefix was given.
        """
        if self.prefix is not None:
            return self.prefix
        if not self._found:
            seen = found.whole(self.all_tables())
            if len(seen) > 1:
                raise WrongInputError(
                    expected=f"one Matomo in the schema {self.name}",
                    seen=f"tables with the prefixes {', '.join(f'`{prefix}`' for prefix in seen)}",
                    next_command="drop the tables of the one that is not wanted",
                )
            if not seen:
                return DEFAULT_PREFIX
            self._found.extend(seen)
        return self._found[0]

    @contextmanager
    def connection(
        self, seconds: float = QUERY_SECONDS
    ) -> Iterator["pymysql.Connection[DictCursor]"]:
        """Yield a connection that commits every statement, and close it at the end.

        Args:
            seconds: the longest wait for the next part of an answer.

        Raises:
            WrongInputError: the server refuses this user, or there is no server.
        """
        try:
            connection = pymysql.connect(
                host=self.host,
                port=self.port,
                user=self.user,
                password=self.password,
                database=self.name,
                charset="utf8mb4",
                connect_timeout=math.ceil(seconds_left(CONNECT_SECONDS)),
                read_timeout=seconds_left(seconds),
                autocommit=True,
                # Only on demand: preparing for TLS reads all of the system's certificates, 25 ms.
                ssl_disabled=self.tls is None,
                ssl=self.tls,
                cursorclass=DictCursor,
            )
        except pymysql.OperationalError as error:
            raise WrongInputError(
                expected=f"the database at {self.host}:{self.port} to let {self.user} in",
                seen=str(error.args[-1]),
                next_command="check the database's password, and that it runs: docker ps",
            ) from error
        try:
            yield connection
        finally:
            connection.close()

    def query(
        self, statement: str, *values: object, seconds: float = QUERY_SECONDS
    ) -> list[dict[str, Any]]:
        """Run `statement` and return its rows.

        Args:
            statement: SQL with %s for each of `values`; `{prefix}` before a table's name becomes
                the tables' prefix, and the name is quoted: without a prefix, `option` is a word of
                SQL.
            values: quoted by the driver.
            seconds: the longest wait for the next part of the answer.

        Raises:
            TimeLimitError: the time for the work that it is part of is over; the server was asked
                to end it.
        """
        if "{prefix}" in statement:
            statement = _TABLE.sub(rf"`{self.tables_prefix}\1`", statement)
        with self.connection(seconds) as connection, connection.cursor() as cursor:
            number: int = connection.thread_id()  # type: ignore[no-untyped-call]
            try:
                cursor.execute(statement, values or None)
                return list(cursor.fetchall())
            except pymysql.OperationalError as error:
                if error.args[0] == CR.CR_SERVER_LOST:
                    self._end(number)
                raise

    def _end(self, session: int) -> None:
        """End a session of this user whose answer takes too long; it may be over already."""
        try:
            require_time_left()
        finally:  # the clean-up, which has a time of its own
            with contextlib.suppress(pymysql.Error, HarnessError), self.connection() as connection:
                connection.kill(session)  # type: ignore[no-untyped-call]

    def all_tables(self) -> set[str]:
        """Return the names of all tables in the schema."""
        rows = self.query(
            "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = %s",
            self.name,
        )
        return {str(row["name"]) for row in rows}

    def tables(self) -> set[str]:
        """Return the names of Matomo's tables, without the prefix."""
        prefix = self.tables_prefix
        return {name.removeprefix(prefix) for name in self.all_tables() if name.startswith(prefix)}

    def installations(self) -> list[FoundInstallation]:
        """Return every Matomo in the schema, whatever its prefix; this only reads."""
        tables = self.all_tables()
        complete = found.whole(tables)
        return [
            dataclasses.replace(self, prefix=prefix)._as_installation()
            if prefix in complete
            else FoundInstallation(prefix, version=None)
            for prefix in found.in_part(tables)
        ]

    def _as_installation(self) -> FoundInstallation:
        versions = self.query(
            "SELECT option_value AS version FROM {prefix}option WHERE option_name = 'version_core'"
        )
        users = self.query(
            "SELECT login, superuser_access FROM {prefix}user WHERE login <> 'anonymous'"
            " ORDER BY login"
        )
        (sites,) = self.query("SELECT COUNT(*) AS many FROM {prefix}site")
        return FoundInstallation(
            prefix=self.tables_prefix,
            version=str(versions[0]["version"]) if versions else None,
            superusers=tuple(row["login"] for row in users if int(row["superuser_access"])),
            people=len(users),
            sites=int(sites["many"]),
            has_visits=bool(self.query("SELECT 1 FROM {prefix}log_visit LIMIT 1")),
        )

    def grants(self) -> list[str]:
        """Return what the user is granted, as SHOW GRANTS says it."""
        return [str(value) for row in self.query("SHOW GRANTS") for value in row.values()]

    def unseen_kinds(self) -> list[str]:
        """Return the kinds of objects in the schema that the server hides from this user.

        Without a privilege on them information_schema has no such rows, and nobody is told.
        """
        granted = privileges(self.grants(), self.name)
        return [
            kind
            for kind, suffices in SHOWN_WITH.items()
            if not granted & {*suffices, "ALL PRIVILEGES"}
        ]

    def other_sessions(self) -> int:
        """Return how many sessions this user has besides the one that asks."""
        (row,) = self.query(
            "SELECT COUNT(*) AS others FROM information_schema.processlist"
            " WHERE user = %s AND id <> CONNECTION_ID()",
            self.user,
        )
        return int(row["others"])

    def wait_until_alone(self, seconds: float = 0.0) -> None:
        """Wait until no request and no console command of Matomo is at work in the database.

        Args:
            seconds: how long none has to be there, where one may just be on its way.

        Raises:
            UnsupportedEnvironmentError: one still is at work after `LAST_REQUEST_SECONDS`.
        """
        attempts = Retrying(
            retry=retry_if_result(bool),
            wait=wait_fixed(0.1),
            stop=stop_after_delay(LAST_REQUEST_SECONDS),
        )
        alone_since = math.inf

        def is_busy() -> int:
            nonlocal alone_since
            others = self.other_sessions()
            alone_since = math.inf if others else min(alone_since, time.monotonic())
            return others or int(time.monotonic() < alone_since + seconds)

        try:
            attempts(is_busy)
        except RetryError as error:
            raise UnsupportedEnvironmentError(
                expected=f"Matomo to be done in the database within {LAST_REQUEST_SECONDS} s",
                seen=f"{error.last_attempt.result()} sessions of {self.user}",
                next_command="docker logs of the web container, to see what takes so long",
            ) from error

    def second_factor_secret(self, login: str) -> str | None:
        """Return the user's enrolled secret; None for an unknown user, or one without it."""
        rows = self.query("SELECT twofactor_secret FROM {prefix}user WHERE login = %s", login)
        return (rows[0]["twofactor_secret"] or None) if rows else None
