"""A throw-away MariaDB without a network, in which a dump of production lies until it is rewritten.

Raw data is in memory, or on a volume that is removed with the container. The root file system is
read-only, so that no sort and no temporary table can be written anywhere else; there is no log of
statements. The only way in is a socket in a directory of this user's. What leaves it leaves as data
files of tables that were written anew, without what pages, undo and redo logs still hold.
"""

import contextlib
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pymysql
from docker.errors import APIError, NotFound
from docker.types import LogConfig
from pymysql.constants import ER
from testcontainers.core.container import DockerContainer

from matomo_harness.errors import UnsupportedEnvironmentError, WrongInputError
from matomo_harness.runtime.containers import DATA_DIRECTORY, FAST_DATABASE, SCHEMA
from matomo_harness.runtime.engine import execute, execute_stream
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.reaper import Run, this_process
from matomo_harness.runtime.shell import AnswerWaitStrategy, is_alive

LOADER: Final = "quarantine"
SOCKETS: Final = "/quarantine"
SOCKET: Final = "server.sock"
RIGHTS: Final = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, INDEX, ALTER,"
    " CREATE TEMPORARY TABLES, LOCK TABLES"
)
"""Of the account that loads and rewrites, on this schema alone."""
ASKS_FOR_MORE: Final = frozenset(
    {
        ER.DBACCESS_DENIED_ERROR,
        ER.TABLEACCESS_DENIED_ERROR,
        ER.COLUMNACCESS_DENIED_ERROR,
        ER.SPECIFIC_ACCESS_DENIED_ERROR,
        ER.ACCESS_DENIED_ERROR,
    }
)
"""What MariaDB answers where a statement asks for more than those rights."""
IS_FULL: Final = frozenset(
    {ER.RECORD_FILE_FULL, ER.DISK_FULL, 1026, ER.OUT_OF_RESOURCES, 5, 3, 1878}
)
"""The last two: a file that a sort goes through cannot be written."""
OPTIONS: Final = (
    *FAST_DATABASE,
    "--skip-networking",
    f"--socket={SOCKETS}/{SOCKET}",
    "--skip-log-bin",
    "--local-infile=0",
    "--max-allowed-packet=1G",
    "--innodb-log-file-size=96M",
    "--innodb-undo-tablespaces=0",
    "--innodb-stats-persistent=0",
    "--innodb-autoinc-lock-mode=2",
    "--skip-ssl",
    # A table without a collation gets the one that older servers gave it, and not that of 11.5.
    "--loose-character-set-collations=",
)


class _Container(DockerContainer):
    """The container.

    Args:
        image: a MariaDB.
        directory: of this machine, for its socket.
        run: the run that owns it.
        memory: size limit of the data in memory, in bytes; None keeps it on a volume.
        root_password: that of root.
    """

    def __init__(
        self, image: Image, directory: Path, run: Run, memory: int | None, root_password: str
    ) -> None:
        super().__init__(
            image.reference,
            labels=run.labels,
            network_mode="none",
            read_only=True,
            # A server that crashes prints the statement that it was at, with the rows in it. Not by
            # with_kwargs, which takes the place of all of these.
            log_config=LogConfig(type="none"),
        )
        # Where this process runs in a container itself, Testcontainers adds that one's network
        # unless there is one, and docker-py puts it in the place of network_mode.
        self._kwargs["network"] = "none"
        self.image = image.reference  # without the mirror of TESTCONTAINERS_HUB_IMAGE_NAME_PREFIX
        self.with_tmpfs_mount("/tmp")  # noqa: S108  in the container
        self.with_tmpfs_mount("/run/mysqld", "mode=1777")
        self.with_volume_mapping(str(directory), SOCKETS, "rw")
        self.with_envs(MARIADB_ROOT_PASSWORD=root_password, MARIADB_DATABASE=SCHEMA)
        buffers = max(128, min(1024, (memory or 2**31) // 2**22))
        # A sort has as many bytes as a table: it goes where that is, in memory or on the disk.
        sorts = [] if memory else [f"--tmpdir={DATA_DIRECTORY}"]
        self.with_command([*OPTIONS, *sorts, f"--innodb-buffer-pool-size={buffers}M"])
        if memory:
            self.with_tmpfs_mount(DATA_DIRECTORY, f"size={memory}")


@dataclass(frozen=True)
class Quarantine:
    """A quarantine that runs.

    Args:
        container: its container.
        socket: its socket on this machine.
        root_password: of root, who only prepares and copies.
        password: of the account that loads and rewrites.
    """

    container: Any
    socket: Path
    root_password: str = field(repr=False)
    password: str = field(repr=False)

    def connect(self) -> "pymysql.Connection[Any]":
        """Return a session of the account that may do nothing outside of the schema."""
        connection: pymysql.Connection[Any] = self._connect(LOADER, self.password)
        return connection

    @contextmanager
    def refusals(self, what: str) -> Iterator[None]:
        """Turn what the server refuses into the error that a person reads.

        Args:
            what: what was being done, without a word of the data.

        Raises:
            WrongInputError: a statement asks for more than the schema, or is none.
            UnsupportedEnvironmentError: memory or disk is full, or the server is gone.
        """
        try:
            yield
        except pymysql.err.MySQLError as error:
            code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
            if code in ASKS_FOR_MORE:
                raise WrongInputError(
                    expected=f"{what} to ask for nothing outside of the dump's own tables",
                    seen=f"MariaDB refused it (error {code})",
                    next_command="mariadb-dump --single-transaction DATABASE > dump.sql,"
                    " and try again with that",
                ) from None
            if code in IS_FULL or self._is_gone():
                raise UnsupportedEnvironmentError(
                    expected=f"room for the dump's data while it is rewritten ({what})",
                    seen=self._why_it_ended(code),
                    next_command="QUARANTINE=disk make repro …   (or free some space)",
                ) from None
            raise WrongInputError(
                expected=f"MariaDB to take {what}",
                # The server's message quotes values, which may be person data.
                seen=f"error {code}: {_without_values(error)}",
                next_command="dump again, with the default options of mariadb-dump or mysqldump",
            ) from None

    def _is_gone(self) -> bool:
        try:
            return not is_alive(self.container)
        except NotFound:
            return True

    def _why_it_ended(self, code: int) -> str:
        try:
            self.container.reload()
        except NotFound:
            return "the quarantine is gone"
        state = self.container.attrs.get("State", {})
        if state.get("OOMKilled"):
            return "the kernel ended the database for lack of memory"
        free = execute(self.container, ["df", "-h", DATA_DIRECTORY], "root").out.splitlines()
        return f"MariaDB's error {code}; {free[-1] if free else 'no answer'}"

    def _connect(self, user: str, password: str) -> Any:
        return pymysql.connect(
            unix_socket=str(self.socket),
            user=user,
            password=password,
            database=SCHEMA,
            charset="utf8mb4",
            autocommit=True,
            local_infile=False,
            max_allowed_packet=2**30,
            connect_timeout=10,
        )

    # -- out of it --------------------------------------------------------------------------------

    @contextmanager
    def exported(self, tables: Sequence[str]) -> Iterator[Iterator[bytes]]:
        """Lock `tables` with their data files complete, and yield a tar of these files.

        Raises:
            UnsupportedEnvironmentError: the server does not write them.
        """
        with self._connect("root", self.root_password) as connection, connection.cursor() as cursor:
            names = ", ".join(f"`{table}`" for table in tables)
            cursor.execute(f"FLUSH TABLES {names} FOR EXPORT")
            files = [f"{_file(table)}.{kind}" for table in tables for kind in ("ibd", "cfg")]
            command = ["tar", "-C", f"{DATA_DIRECTORY}/{SCHEMA}", "-cf", "-", *files]
            yield execute_stream(self.container, command)
            cursor.execute("UNLOCK TABLES")

    def definition(self, table: str) -> str:
        """Return the CREATE TABLE of `table`."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"SHOW CREATE TABLE `{table}`")
            row: Any = cursor.fetchone()
            return str(row[1])


def dumped(held: Quarantine, tables: Sequence[str]) -> Iterator[bytes]:
    """Yield a dump of `tables` as mariadb-dump writes it.

    Raises:
        UnsupportedEnvironmentError: the program fails.
    """
    options = [
        "--skip-ssl",
        "--single-transaction",
        "--skip-lock-tables",
        "--hex-blob",
        "--no-tablespaces",
    ]
    command = ["mariadb-dump", f"--socket={SOCKETS}/{SOCKET}", f"--user={LOADER}", *options]
    yield from execute_stream(
        held.container, [*command, SCHEMA, *tables], {"MYSQL_PWD": held.password}
    )


def _file(table: str) -> str:
    """Return the name of a table's files; MariaDB writes other signs than these in codes."""
    return "".join(
        sign if sign.isascii() and (sign.isalnum() or sign == "_") else f"@{ord(sign):04x}"
        for sign in table
    )


def _without_values(error: pymysql.err.MySQLError) -> str:
    """Return a message of the server without what stands in quotes."""
    text = str(error.args[-1]) if error.args else ""
    words, *rest = text.split("'")
    return f"{words}…" if rest else words[:120]


@contextmanager
def quarantine(image: Image, *, memory: int | None) -> Iterator[Quarantine]:
    """Start a quarantine, and destroy it at the end, whatever ends it.

    Args:
        image: the MariaDB that the data files are for.
        memory: most bytes of data in memory; None keeps them on a volume, which is destroyed too.

    Raises:
        UnsupportedEnvironmentError: it does not start.
    """
    owner = this_process()
    # A socket's path has at most 107 bytes, so not below the checkout. Only this user gets into the
    # directory above, and the server's user may write into this one.
    inside = owner.file(f"quarantine-{secrets.token_hex(3)}")
    inside.mkdir()
    inside.chmod(0o777)
    root_password, password = secrets.token_urlsafe(18), secrets.token_urlsafe(18)
    container = _Container(image, inside, owner, memory, root_password)
    container.waiting_for(
        AnswerWaitStrategy("the quarantine's database", lambda: _ready(inside, root_password))
    )
    try:
        with _started(container):
            made = Quarantine(
                container.get_wrapped_container(), inside / SOCKET, root_password, password
            )
            with made._connect("root", root_password) as connection:
                _make_account(connection, password)
            yield made
    finally:
        shutil.rmtree(inside, ignore_errors=True)


def _make_account(connection: "pymysql.Connection[Any]", password: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE USER '{LOADER}'@'localhost' IDENTIFIED BY %s", (password,))
        cursor.execute(f"GRANT {RIGHTS} ON `{SCHEMA}`.* TO '{LOADER}'@'localhost'")


def _ready(directory: Path, root_password: str) -> None:
    # The image's own first start listens on the same socket, and knows the password at its end;
    # what follows it is the server that stays.
    try:
        pymysql.connect(
            unix_socket=str(directory / SOCKET),
            user="root",
            password=root_password,
            database=SCHEMA,
        ).close()
    except pymysql.Error as error:
        raise UnsupportedEnvironmentError(
            expected="the quarantine's database to answer",
            seen=str(error.args[0]),
            next_command="docker run --rm of the same image",
        ) from error


@contextmanager
def _started(container: _Container) -> Iterator[_Container]:
    try:
        container.start()
        yield container
    finally:
        with contextlib.suppress(NotFound, APIError):
            container.stop(force=True, delete_volume=True)
