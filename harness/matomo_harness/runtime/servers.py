"""One web container and one MariaDB for many instances: a fresh Matomo in a tenth of a second.

Matomo chooses its configuration by the request's host (Config::getByDomainConfigPath): an
instance is a file config/<host>.config.ini.php with its own instance_id, which separates its caches
and uploads, and with its own schema, a copy of the installed one. An instance cannot have its own
environment or code here: tests that need these take a pair.
"""

import contextlib
import secrets
import threading
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pymysql
from docker.errors import DockerException
from docker.models.containers import Container
from pymysql.constants import CLIENT, ER
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from matomo_harness.errors import (
    BrokenPromiseError,
    HarnessError,
    UnsupportedEnvironmentError,
    WrongInputError,
)
from matomo_harness.matomo import ini
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.image import OFFICIAL, ImageProfile
from matomo_harness.matomo.mail import Mailbox
from matomo_harness.matomo.twofactor import Account
from matomo_harness.runtime.containers import DATABASE_USER, LOOPBACK, SCHEMA, Passwords
from matomo_harness.runtime.instance import Instance
from matomo_harness.runtime.shell import LastingShell, MatomoShell, host_of, is_alive

WARM_FILES: Final = "/golden/tmp"
"""The content of tmp/ after the first pages; no Matomo can reach and change it here."""

HTTPS_ONLY: Final = ("force_ssl", "assume_secure_protocol")
"""Settings of [General] that lead a browser to https, where no load balancer is."""

READING_WRITES: Final[Mapping[str, str]] = {
    "session": "",
    "user_token_auth": "idusertokenauth, login, description, password, date_created",
    "brute_force_log": "",
    "changes": "",
}
"""Tables that mere reading of Matomo writes to, and the columns that only other changes affect."""

READING_WRITES_ROWS: Final[Mapping[str, str]] = {"option": "option_name <> 'piwikUrl'"}
"""Of tables that reading writes rows to, the rows that only other changes affect: a condition.

Matomo notes its own address at the first page that it is asked for (SettingsPiwik::getPiwikUrl).
"""


LOCK_SECONDS: Final = 120
"""How long a transaction that a test left open may hold up DROP; MariaDB's own limit is a day."""


@dataclass(frozen=True)
class Installation:
    """The state that all instances start with.

    Args:
        account: the superuser's account.
        token: the superuser's token_auth.
        settings: text of config.ini.php; of the database connection, only what is not in the
            environment.
        passwords: the database's passwords.
        profile: what the image is.
        https_elsewhere: those of HTTPS_ONLY that another file than config.ini.php switches on.
    """

    account: Account
    token: str = field(repr=False)
    settings: str = field(repr=False)
    passwords: Passwords
    profile: ImageProfile = OFFICIAL
    https_elsewhere: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Schema:
    """The installed schema, which is never changed.

    Args:
        definitions: columns, their types and keys, by table.
        rows: number of rows, by table.
    """

    definitions: Mapping[str, str]
    rows: Mapping[str, int]


class Servers:
    """A running web container and a MariaDB that make instances.

    Args:
        web: the web container, with the installed state in its web root.
        port: port on 127.0.0.1 of the web container, or of the load balancer in front of it.
        database: the container of the database.
        template: the installed schema, as root sees it.
        installed: the state that all instances start with.
        authority: file of the authority that signed the load balancer's certificate; None without
            a load balancer.
        mailbox: the mails that the relay received; None without a relay.
    """

    def __init__(
        self,
        web: Container,
        port: int,
        database: Container,
        template: Database,
        installed: Installation,
        *,
        authority: Path | None = None,
        mailbox: Mailbox | None = None,
    ) -> None:
        self.web = web
        self.port = port
        self.database = database
        self.mailbox = mailbox
        self._authority = authority
        self._template = template
        self._installed = installed
        self._one_at_a_time = threading.Lock()
        self._background = ThreadPoolExecutor(1)
        # The counts by userstat at the time when each schema was in its original state.
        self._untouched: dict[str, Mapping[str, int]] = {}

    # -- making and removing -----------------------------------------------------------------------

    def fresh(self) -> Instance:
        """Make an instance that is installed, has warm caches and belongs to the caller alone.

        Raises:
            UnsupportedEnvironmentError: the database's memory is full, or a server is gone; nothing
                of the instance is left.
        """
        instance = self._named(f"m{secrets.token_hex(5)}")
        cloning = self._background.submit(self._clone, _schema(instance))
        try:
            try:
                self._shell.run(self._make_files(instance))
            finally:
                cloning.result()
        except (pymysql.Error, BrokenPromiseError) as error:
            with contextlib.suppress(pymysql.Error, HarnessError):
                self.drop(instance)
            raise UnsupportedEnvironmentError(
                expected=f"room for another instance in {self.database.name} and {self.web.name}",
                seen=error.seen if isinstance(error, HarnessError) else str(error.args[-1]),
                next_command="use fewer instances at a time, or more memory: docker stats",
            ) from error
        return instance

    def drop(self, instance: Instance) -> None:
        """Remove all that is left of `instance`."""
        self._remove_files(instance)
        self._sql(f"DROP DATABASE IF EXISTS `{_schema(instance)}`")
        self._untouched.pop(_schema(instance), None)

    def reset(self, instance: Instance) -> None:
        """Restore `instance` to its original state; this is quick where little has changed."""
        schema = _schema(instance)
        cleaning = self._background.submit(self._renew_files, instance)
        if not self._exists(schema):
            self._clone(schema)
        else:
            dirty = self._dirty(instance)
            restored = self._copies(schema, dirty & self._original.rows.keys())
            drops = "".join(f"DROP TABLE IF EXISTS `{schema}`.`{table}`;" for table in dirty)
            self._sql(f"{drops}{restored}")
        self._untouched[schema] = self._rows_changed(schema)
        cleaning.result()

    def changes(self, instance: Instance) -> list[str]:
        """Return what has changed in `instance` since it was made, except what reading changes."""
        schema = _schema(instance)
        if not self._exists(schema):
            return ["its schema is gone"]
        prefix = self._template.tables_prefix
        found = []
        for table in sorted(self._dirty(instance)):
            name = table.removeprefix(prefix)
            columns = READING_WRITES.get(name, "*")
            rows = READING_WRITES_ROWS.get(name, "TRUE")
            if columns and self._differs(schema, table, columns, rows):
                found.append(f"table {table}")
        if self._shell.run(f"cat {instance.shell.config}") != self._settings_of(instance):
            found.append(instance.shell.config)
        if self._shell.run(f"ls -A {instance.shell.uploads} 2>/dev/null || true"):
            found.append(f"files in {instance.shell.uploads}")
        return found

    def alive(self) -> bool:
        """Whether both containers run; a restart of the engine stops them."""
        try:
            return is_alive(self.web) and is_alive(self.database)
        except DockerException:
            return False

    # -- files -------------------------------------------------------------------------------------

    def _named(self, name: str) -> Instance:
        is_tls = self._authority or self._installed.profile.speaks_tls
        scheme = "https" if is_tls else "http"
        return Instance(
            url=f"{scheme}://{host_of(name)}:{self.port}",
            shell=MatomoShell(self.web, name, self._installed.profile),
            database=Database(
                LOOPBACK,
                self._template.port,
                DATABASE_USER,
                self._installed.passwords.matomo,
                f"{SCHEMA}_{name}",
            ),
            account=self._installed.account,
            token=self._installed.token,
            authority=self._authority,
        )

    def _settings_of(self, instance: Instance) -> str:
        name = str(instance.shell.instance)
        text = ini.with_key(self._installed.settings, "General", "instance_id", name)
        if not self._authority:
            text = without_https(text, self._installed.https_elsewhere)
        address = urlsplit(instance.url)
        # nginx may pass the host on without its port; links are made of the first one.
        for host in filter(None, (address.hostname, address.netloc)):
            text = ini.with_key(text, "General", "trusted_hosts[]", host)
        return ini.with_key(text, "database", "dbname", _schema(instance))

    def _make_files(self, instance: Instance) -> str:
        """Return a script that makes the files; caches of code are links, which Matomo replaces.

        Matomo never writes through a link: PhpFileCache, Twig and UIAsset all write another file
        and rename it, or delete first, and root owns the files themselves. As these are the same
        files for all instances, they are already in the web server's opcache. No cache of a state
        is among them (golden.CACHES_OF_CODE).
        """
        files = instance.shell
        settings = self._settings_of(instance)
        return f"cp -rs {WARM_FILES} {files.tmp} && cat > {files.config} <<'END'\n{settings}END"

    # A browser that is still open may send requests meanwhile, so that Matomo writes files.
    @retry(
        retry=retry_if_exception_type(BrokenPromiseError),
        wait=wait_fixed(0.05),
        stop=stop_after_delay(10),
        reraise=True,
    )
    def _remove_files(self, instance: Instance) -> None:
        files = instance.shell
        self._shell.run(f"rm -rf {files.config} {files.tmp} {files.uploads}")

    def _renew_files(self, instance: Instance) -> None:
        self._remove_files(instance)
        self._shell.run(self._make_files(instance))

    # -- schema ------------------------------------------------------------------------------------

    def _clone(self, schema: str) -> None:
        copies = self._copies(schema, self._original.rows)
        self._sql(f"CREATE DATABASE `{schema}` {self._charset};{copies}")
        # The schema's name is new: userstat has counted nothing but the rows of this copy.
        self._untouched[schema] = self._original.rows

    def _copies(self, schema: str, tables: Iterable[str]) -> str:
        return "".join(
            f"CREATE TABLE `{schema}`.`{table}` LIKE `{SCHEMA}`.`{table}`;"
            + (
                f"INSERT INTO `{schema}`.`{table}` SELECT * FROM `{SCHEMA}`.`{table}`;"
                if self._original.rows[table]
                else ""
            )
            for table in tables
        )

    def _dirty(self, instance: Instance) -> set[str]:
        """Return the tables that differ from their original state.

        Userstat shows changed rows, a comparison shows changed definitions, and the number of rows
        shows what neither of the two does: TRUNCATE.
        """
        schema, original = _schema(instance), self._original
        before, now = self._untouched[schema], self._rows_changed(schema)
        definitions = self._definitions(schema)
        rows = self._count(schema, definitions)
        return {
            table
            for table in original.definitions.keys() | definitions
            if before.get(table, 0) != now.get(table, 0)
            or original.definitions.get(table) != definitions.get(table)
            or original.rows.get(table) != rows.get(table)
        }

    def _rows_changed(self, schema: str) -> dict[str, int]:
        rows = self._sql(
            "SELECT TABLE_NAME, ROWS_CHANGED FROM information_schema.TABLE_STATISTICS"
            f" WHERE TABLE_SCHEMA = '{schema}' AND ROWS_CHANGED > 0"
        )
        return {str(name): int(changed) for name, changed in rows}

    def _differs(self, schema: str, table: str, columns: str, rows: str) -> bool:
        """Whether these columns of these rows of the table differ from those of the template."""
        if table not in self._original.rows:
            return True
        ours, original = (
            f"SELECT {columns} FROM `{name}`.`{table}` WHERE {rows}" for name in (schema, SCHEMA)
        )
        difference = f"({ours} EXCEPT {original}) UNION ALL ({original} EXCEPT {ours})"
        try:
            return bool(self._sql(difference))
        except pymysql.Error:  # the tables have different columns
            return True

    def _definitions(self, schema: str) -> dict[str, str]:
        """Return columns and indexes of each table, without what changes with the rows."""
        columns = self._sql(
            "SELECT TABLE_NAME, GROUP_CONCAT(COLUMN_NAME, ' ', COLUMN_TYPE, ' ', IS_NULLABLE,"
            " COALESCE(COLUMN_DEFAULT, ''), COLUMN_KEY ORDER BY ORDINAL_POSITION)"
            f" FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = '{schema}' GROUP BY TABLE_NAME"
        )
        return {str(name): str(definition) for name, definition in columns}

    def _count(self, schema: str, tables: Iterable[str]) -> dict[str, int]:
        """Return the number of rows of each table."""
        counts = (f"SELECT '{table}', COUNT(*) FROM `{schema}`.`{table}`" for table in tables)
        return {str(name): int(count) for name, count in self._sql(" UNION ALL ".join(counts))}

    @cached_property
    def _original(self) -> _Schema:
        definitions = self._definitions(SCHEMA)
        return _Schema(definitions, self._count(SCHEMA, definitions))

    @cached_property
    def _charset(self) -> str:
        ((charset, collation),) = self._sql(
            "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME"
            f" FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{SCHEMA}'"
        )
        return f"CHARACTER SET {charset} COLLATE {collation}"

    def _exists(self, schema: str) -> bool:
        names = f"SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{schema}'"
        return bool(self._sql(names))

    # -- the two connections to the servers --------------------------------------------------------

    @cached_property
    def _shell(self) -> LastingShell:
        return LastingShell(self.web, self._installed.profile)

    @cached_property
    def _connection(self) -> "pymysql.Connection[Any]":
        return pymysql.connect(
            host=self._template.host,
            port=self._template.port,
            user=self._template.user,
            password=self._template.password,
            autocommit=True,
            ssl_disabled=True,
            charset="utf8mb4",
            init_command="SET SESSION group_concat_max_len = 1000000,"
            f" SESSION lock_wait_timeout = {LOCK_SECONDS}",
            client_flag=CLIENT.MULTI_STATEMENTS,
        )

    def _sql(self, script: str) -> list[tuple[Any, ...]]:
        """Run statements as root; return the rows of the first one.

        Raises:
            WrongInputError: a test has left a transaction open.
        """
        if not script:
            return []
        try:
            with self._one_at_a_time, self._connection.cursor() as cursor:
                cursor.execute(script)
                rows = list(cursor.fetchall())
                while cursor.nextset():
                    pass
        except pymysql.OperationalError as error:
            if error.args[0] != ER.LOCK_WAIT_TIMEOUT:
                raise
            raise WrongInputError(
                expected=f"no open transaction in {self.database.name} at the end of a test",
                seen=f"one that held a table for {LOCK_SECONDS} s",
                next_command="close the test's own connections to the database, or commit",
            ) from error
        return rows


def without_https(text: str, elsewhere: Collection[str] = ()) -> str:
    """Return the text of a config.ini.php whose Matomo answers by clear text, without redirects.

    Args:
        text: of the file.
        elsewhere: keys that another file switches on, as common.config.ini.php, over which this
            one has the last word.
    """
    settings = ini.read(text)
    for key in HTTPS_ONLY:
        if key in elsewhere or settings.text("General", key):
            text = ini.with_key(text, "General", key, 0)
    return text


def _schema(instance: Instance) -> str:
    return instance.database.name
