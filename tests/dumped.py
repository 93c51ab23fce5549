"""A production as its administrator hands it over: a dump, and a tar of files."""

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from docker.models.containers import Container

from matomo_harness.runtime.engine import engine, execute_stream
from matomo_harness.runtime.instance import Instance


def dump_of(instance: Instance, to: Path) -> None:
    """Write a dump of an instance's schema, by the default options of mariadb-dump."""
    database = instance.database
    (container,) = [
        found
        for found in engine().containers.list(ignore_removed=True)
        if str(database.port)
        in {binding["HostPort"] for bound in found.ports.values() if bound for binding in bound}
    ]
    account = (database.user, database.password)
    write_dump(container, account, database.name, to, "--host=127.0.0.1", "--skip-ssl")


def write_dump(
    container: Container, account: tuple[str, str], schema: str, to: Path, *options: str
) -> None:
    """Write a dump of a schema by the mariadb-dump of its server's own container."""
    user, password = account
    command = ["mariadb-dump", f"--user={user}", *options, schema]
    made = b"".join(execute_stream(container, command, {"MYSQL_PWD": password}))
    to.write_bytes(gzip.compress(made))


def tar_of(path: Path, files: Mapping[str, str]) -> None:
    """Write a tar with files of these texts."""
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
