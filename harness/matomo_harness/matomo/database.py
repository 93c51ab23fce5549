"""Matomo's database, read as it is stored."""

import contextlib
import math
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pymysql
from pymysql.constants import CR
from pymysql.cursors import DictCursor
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from matomo_harness.errors import HarnessError, UnsupportedEnvironmentError, WrongInputError
from matomo_harness.time_limit import require_time_left, seconds_left

CONNECT_SECONDS: Final = 10.0
QUERY_SECONDS: Final = 120.0
"""The longest wait for the next part of an answer."""
LAST_REQUEST_SECONDS: Final = 60
"""A step of Matomo's installer takes a few seconds, on a busy machine about ten."""


@dataclass(frozen=True)
class Database:
    """Where Matomo's tables are, and as whom to read them.

    Args:
        host: as seen from here.
        port: as seen from here.
        user: a user of the server.
        password: that user's.
        name: the schema.
        prefix: how every table's name begins.
        tls: how to speak TLS with the server; None means clear text.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    name: str
    prefix: str = "matomo_"
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    @contextmanager
    def connection(self) -> Iterator["pymysql.Connection[DictCursor]"]:
        """Yield a connection that commits every statement, and close it at the end.

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
                read_timeout=seconds_left(QUERY_SECONDS),
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

    def query(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Run `statement` and return its rows; `{prefix}` in it becomes the tables' prefix.

        Args:
            statement: SQL with %s for each of `values`.
            values: quoted by the driver.

        Raises:
            TimeLimitError: the time for the work that it is part of is over; the server was asked
                to end it.
        """
        with self.connection() as connection, connection.cursor() as cursor:
            number: int = connection.thread_id()  # type: ignore[no-untyped-call]
            try:
                cursor.execute(statement.replace("{prefix}", self.prefix), values or None)
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

    def tables(self) -> set[str]:
        """Return the names of Matomo's tables, without the prefix."""
        rows = self.query(
            "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = %s",
            self.name,
        )
        return {
            row["name"].removeprefix(self.prefix)
            for row in rows
            if row["name"].startswith(self.prefix)
        }

    def other_sessions(self) -> int:
        """Return how many sessions this user has besides the one that asks."""
        (row,) = self.query(
            "SELECT COUNT(*) AS others FROM information_schema.processlist"
            " WHERE user = %s AND id <> CONNECTION_ID()",
            self.user,
        )
        return int(row["others"])

    def wait_until_alone(self) -> None:
        """Wait until no request and no console command of Matomo is at work in the database.

        Raises:
            UnsupportedEnvironmentError: one still is at work after `LAST_REQUEST_SECONDS`.
        """
        attempts = Retrying(
            retry=retry_if_result(bool),
            wait=wait_fixed(0.1),
            stop=stop_after_delay(LAST_REQUEST_SECONDS),
        )
        try:
            attempts(self.other_sessions)
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
