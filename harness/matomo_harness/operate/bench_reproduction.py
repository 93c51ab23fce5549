"""Measure a reproduction: from a dump to a Matomo that runs, beside the plain client's loading."""

import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Final

from docker.models.containers import Container

from matomo_harness.errors import UnsupportedEnvironmentError
from matomo_harness.matomo import tracker, traffic
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.traffic import Site
from matomo_harness.operate import repro
from matomo_harness.operate.repro import Choices
from matomo_harness.personal_data.schema import quoted
from matomo_harness.runtime.dedicated import pair
from matomo_harness.runtime.engine import engine, execute
from matomo_harness.runtime.golden import Golden
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.live_dump import live_dump
from matomo_harness.runtime.reaper import directory, this_process
from matomo_harness.settings import RunSettings

DAYS: Final = 60
VISITS: Final = 500_000
"""About 400 MB of SQL: to start a stack takes as long for any size."""
NAME: Final = "bench"
START_SECONDS: Final = 60


def times(settings: RunSettings, state: Golden, database_image: Image) -> tuple[float, float, int]:
    """Return the seconds of a reproduction, and of the plain client, and the dump's bytes.

    The reproduction is pseudonymised and runs at the end; its reports are not archived anew, which
    the plain client does not do either. The client loads into a server with its default settings.

    Raises:
        HarnessError: one of them failed.
    """
    with directory("bench") as made:
        dump = made / "dump.sql"
        _write(dump, state, database_image)
        begun = time.monotonic()
        repro.make([dump], settings, Choices(NAME, archive=False))
        ours = time.monotonic() - begun
        repro.remove(NAME)
        return ours, _plain(dump, database_image), dump.stat().st_size


def _write(dump: Path, state: Golden, database_image: Image) -> None:
    """Write the dump of an instance with many visits: some by its tracker, the others copies."""
    with pair(state) as instance:
        site = Site(1, "https://one.example", "UTC")
        hits = list(traffic.hits(traffic.visits([site], date(2025, 1, 1), DAYS)))
        tracker.send(instance.api, hits)
        _multiply(instance.database)
        with (
            live_dump(database_image, instance.database) as pipe,
            pipe.open("rb") as read,
            dump.open("wb") as written,
        ):
            shutil.copyfileobj(read, written)


def _multiply(database: Database) -> None:
    """Copy all visits and their actions until there are enough."""
    (known,) = database.query(
        "SELECT COUNT(*) AS visits, MAX(idvisit) AS visit,"
        " (SELECT MAX(idlink_va) FROM {prefix}log_link_visit_action) AS action"
        " FROM {prefix}log_visit"
    )
    for number in range(1, VISITS // int(known["visits"])):
        added = {"idvisit": number * known["visit"], "idlink_va": number * known["action"]}
        for table in ("log_visit", "log_link_visit_action"):
            names = [
                str(row["name"])
                for row in database.query(
                    "SELECT column_name AS name FROM information_schema.columns"
                    " WHERE table_schema = DATABASE() AND table_name = %s",
                    f"{database.tables_prefix}{table}",
                )
            ]
            columns = ", ".join(map(quoted, names))
            values = ", ".join(
                f"{quoted(name)} + {added[name]}" if name in added else quoted(name)
                for name in names
            )
            database.query(
                f"INSERT INTO {{prefix}}{table} ({columns}) SELECT {values}"  # noqa: S608
                f" FROM {{prefix}}{table} WHERE idvisit <= %s",
                known["visit"],
            )


def _plain(dump: Path, image: Image) -> float:
    """Return the seconds that MariaDB's own client takes, into a server as its image starts it."""
    with _server(image, dump.parent) as container:
        begun = time.monotonic()
        done = execute(
            container,
            ["sh", "-c", f"mariadb --user=root --skip-ssl matomo < /dump/{dump.name}"],
            "root",
            seconds=3600,
        )
        if done.code:
            raise UnsupportedEnvironmentError(
                expected="the plain client to load the dump",
                seen=done.err[-200:],
                next_command="df -h   (is the disk full?)",
            )
        return time.monotonic() - begun


@contextmanager
def _server(image: Image, dumps: Path) -> Iterator[Container]:
    password = secrets.token_urlsafe(18)
    container = engine().containers.run(
        image.reference,
        detach=True,
        environment={
            "MARIADB_ROOT_PASSWORD": password,
            "MARIADB_DATABASE": "matomo",
            "MYSQL_PWD": password,
        },
        volumes={str(dumps): {"bind": "/dump", "mode": "ro"}},
        labels=dict(this_process().labels),
    )
    try:
        limit = time.monotonic() + START_SECONDS
        # The image's first start listens on its socket alone.
        ask = ["mariadb", "--user=root", "--host=127.0.0.1", "--skip-ssl", "-e", "SELECT 1"]
        while execute(container, ask, "root").code and time.monotonic() < limit:
            time.sleep(0.2)
        yield container
    finally:
        container.remove(force=True, v=True)
