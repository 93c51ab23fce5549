"""Dumps a database that runs, as a stream: nothing of it is written to a disk or a log.

mariadb-dump runs in a container on the engine's own network, beside production; what it prints goes
through a named pipe to whoever reads the dump.
"""

import contextlib
import os
import secrets
import shutil
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from docker.errors import APIError, NotFound
from docker.types import LogConfig

from matomo_harness.errors import HarnessError, UnsupportedEnvironmentError
from matomo_harness.matomo.database import Database
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.reaper import Run, this_process

OPTIONS: Final = (
    "--no-defaults",  # has to be the first one
    "--single-transaction",
    "--quick",
    "--skip-lock-tables",
    "--skip-triggers",
    "--no-tablespaces",
)
"""They lock nothing: production goes on."""
AUTHORITY: Final = "/authority.pem"


@contextmanager
def live_dump(image: Image, database: Database, tables: Sequence[str] = ()) -> Iterator[Path]:
    """Yield a named pipe out of which a dump of `database` can be read once.

    Args:
        image: a MariaDB, for its mariadb-dump.
        database: the schema, and a user who may read it.
        tables: those that are dumped; all of them where none is named.

    Raises:
        UnsupportedEnvironmentError: mariadb-dump has failed.
    """
    owner = this_process()
    inside = owner.file(f"live-dump-{secrets.token_hex(3)}")
    inside.mkdir(mode=0o700)
    pipe = inside / f"{database.name}.sql"
    os.mkfifo(pipe, 0o600)
    container = _created(image, database, tables, inside, owner)
    said: list[bytes] = []
    thread = threading.Thread(target=_pass_on, args=(container, pipe, said), daemon=True)
    try:
        thread.start()
        try:
            yield pipe
        except HarnessError as error:
            # Whoever read it sees an end that came too soon, and not why.
            thread.join(1)
            if reason := _failure(container, said):
                raise _failed(database, reason) from error
            raise
    finally:
        with contextlib.suppress(OSError):  # a writer that nobody has read from waits
            os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))
        with contextlib.suppress(NotFound, APIError):
            container.remove(force=True, v=True)
        shutil.rmtree(inside, ignore_errors=True)


def _created(
    image: Image, database: Database, tables: Sequence[str], inside: Path, owner: Run
) -> Any:
    options, mounts = list(OPTIONS), {}
    if database.tls is None:
        options.append("--skip-ssl")
    elif database.tls.verify_mode is ssl.CERT_NONE:
        options += ["--ssl", "--skip-ssl-verify-server-cert"]
    else:
        authority = inside / "authority.pem"
        found = database.tls.get_ca_certs(binary_form=True)
        authority.write_text("".join(map(ssl.DER_cert_to_PEM_cert, found)))
        mounts[str(authority)] = {"bind": AUTHORITY, "mode": "ro"}
        options += [f"--ssl-ca={AUTHORITY}", "--ssl-verify-server-cert"]
    where = [f"--host={database.host}", f"--port={database.port}", f"--user={database.user}"]
    return engine().containers.create(
        image.reference,
        [*options, *where, database.name, *tables],
        entrypoint=["mariadb-dump"],
        environment={"MYSQL_PWD": database.password},
        network_mode="host",
        read_only=True,
        volumes=mounts,
        labels=dict(owner.labels),
        # Else the engine would write every row into a file.
        log_config=LogConfig(type="none"),
    )


def _pass_on(container: Any, pipe: Path, said: list[bytes]) -> None:
    """Start the dump, and write what it prints into the pipe."""
    is_over = contextlib.suppress(BrokenPipeError, APIError, NotFound)  # nobody reads, or removed
    with is_over, pipe.open("wb", buffering=0) as file:
        printed = container.attach(stream=True, demux=True, stdout=True, stderr=True)
        container.start()
        for rows, complaint in printed:
            if complaint:
                said.append(complaint)
            if rows:
                file.write(rows)


def _failure(container: Any, said: Sequence[bytes]) -> str:
    """Return why mariadb-dump has failed; empty where it has not."""
    try:
        container.reload()
    except (NotFound, APIError):
        return ""
    state = container.attrs["State"]
    if state["Status"] == "running" or not state["ExitCode"]:
        return ""
    text = b"".join(said).decode(errors="replace").strip()
    return text.splitlines()[-1] if text else f"exit {state['ExitCode']}"


def _failed(database: Database, reason: str) -> UnsupportedEnvironmentError:
    return UnsupportedEnvironmentError(
        expected=f"mariadb-dump to read all of {database.name} at {database.host}:{database.port}",
        seen=reason,
        next_command="check DATABASE_URL, and what its user is granted: SELECT, SHOW VIEW",
    )
