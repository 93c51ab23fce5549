"""The data of a MariaDB under another one: its files in place, or by a dump into empty ones.

RDS does the first where one changes the engine's version, and people do the second by hand.
"""

import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from docker.models.containers import Container

from matomo_harness.errors import UnsupportedEnvironmentError
from matomo_harness.matomo.database import Database
from matomo_harness.runtime.containers import DATA_DIRECTORY
from matomo_harness.runtime.engine import engine, execute
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.inspection import inspected
from matomo_harness.runtime.live_dump import live_dump
from matomo_harness.runtime.reaper import this_process
from matomo_harness.runtime.shell import WHOLE_DATA_SECONDS, wait_for_answer

STOP_SECONDS: Final = 120
IS_UP: Final = ["healthcheck.sh", "--connect", "--innodb_initialized"]
"""The image's own check, which does not take the entrypoint's first server for the real one."""


def upgrade_in_place(image: Image, volume: str) -> None:
    """Have a newer server open data files, and upgrade what of them is the server's own.

    Args:
        image: the newer MariaDB's.
        volume: with the data of an older one that was stopped cleanly.

    Raises:
        UnsupportedEnvironmentError: it does not open them, or mariadb-upgrade fails.
    """
    # As the official entrypoint does with MARIADB_AUTO_UPGRADE: nobody else can come in meanwhile.
    with _server(image, volume, ["--skip-grant-tables", "--skip-networking"], {}) as server:
        _wait(server, ["mariadb", "--execute=SELECT 1"])
        _run(server, ["mariadb-upgrade", "--silent"])


def copy_by_dump(
    old_image: Image, database: Database, new_image: Image, volume: str, *, schema: str
) -> None:
    """Load a dump of a database that runs into a newer server with a data directory of its own.

    Args:
        old_image: the one that runs, whose mariadb-dump is taken.
        database: its schema, as Matomo's user sees it.
        new_image: the newer MariaDB's.
        volume: an empty one; at the end it has schema and user of the old one.
        schema: its name.

    Raises:
        UnsupportedEnvironmentError: the dump fails, or the newer server does not take it.
    """
    root = secrets.token_urlsafe(18)
    variables = {
        "MARIADB_ROOT_PASSWORD": root,
        "MARIADB_DATABASE": schema,
        "MARIADB_USER": database.user,
        "MARIADB_PASSWORD": database.password,
    }
    with _server(new_image, volume, [], variables) as server:
        _wait(server, IS_UP)
        with live_dump(old_image, database) as pipe:
            load = ["docker", "exec", "--interactive", "--env", "MYSQL_PWD", str(server.name)]
            with pipe.open("rb") as rows:
                loaded = subprocess.run(
                    [*load, "mariadb", "--user=root", schema],
                    stdin=rows,
                    capture_output=True,
                    env={**os.environ, "MYSQL_PWD": root},
                    timeout=WHOLE_DATA_SECONDS,
                    check=False,
                )
            if loaded.returncode:
                raise UnsupportedEnvironmentError(
                    expected=f"{new_image} to take a dump of {old_image}",
                    seen=loaded.stderr.decode(errors="replace").strip()[-300:],
                    next_command=f"docker logs {server.name}",
                )
        require_tls = f"ALTER USER '{database.user}'@'%' REQUIRE SSL"
        _run(server, ["mariadb", "--user=root", f"--execute={require_tls}"], {"MYSQL_PWD": root})


@contextmanager
def _server(
    image: Image, volume: str, arguments: list[str], environment: Mapping[str, str]
) -> Iterator[Container]:
    """Run a server on a volume for the block, without a network, and stop it cleanly.

    Raises:
        UnsupportedEnvironmentError: it had to be killed.
    """
    container = engine().containers.create(
        image.reference,
        ["mariadbd", *arguments],
        environment=dict(environment),
        network_mode="none",
        volumes={volume: {"bind": DATA_DIRECTORY, "mode": "rw"}},
        labels=dict(this_process().labels),
    )
    try:
        container.start()
        yield container
        container.stop(timeout=STOP_SECONDS)
        container.reload()
        if code := inspected(container, "State", "ExitCode"):
            raise UnsupportedEnvironmentError(
                expected=f"{image} to stop by itself within {STOP_SECONDS} s",
                seen=f"exit code {code}",
                next_command=f"docker run --rm {image.reference} mariadbd --version",
            )
    finally:
        container.remove(force=True, v=True)


def _wait(server: Container, command: list[str]) -> None:
    wait_for_answer(server, "the database server", lambda: _run(server, command))


def _run(server: Container, command: list[str], environment: Mapping[str, str] = {}) -> None:
    done = execute(server, command, seconds=WHOLE_DATA_SECONDS, environment=environment)
    if done.code:
        raise UnsupportedEnvironmentError(
            expected=f"{command[0]} to succeed in {server.name}",
            seen=f"exit {done.code}: {(done.out + done.err).strip()[-300:]}",
            next_command=f"docker logs {server.name}",
        )
