"""A dump without person data, of one with it or of a database that runs.

The rewriting is that of a reproduction.
"""

import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from matomo_harness.dumps.sources import require_zstd
from matomo_harness.errors import WrongInputError
from matomo_harness.matomo import read_only
from matomo_harness.operate.new_file import new_file, require_new
from matomo_harness.operate.quarantined import Certificate, safe_tables
from matomo_harness.personal_data import slices
from matomo_harness.personal_data.slices import Slice
from matomo_harness.progress import step
from matomo_harness.runtime import images
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.live_dump import live_dump
from matomo_harness.runtime.quarantine import dumped
from matomo_harness.settings import RunSettings

ZSTD = ".zst"
KINDS = (".sql", ".sql.gz", f".sql{ZSTD}")


@contextmanager
def source(dump: Sequence[Path], image: Image) -> Iterator[Sequence[Path]]:
    """Yield the files of a dump, or a pipe with one of the database that DATABASE_URL names.

    Args:
        dump: files in their order, or a directory; empty where a database is meant.
        image: a MariaDB, for its mariadb-dump.

    Raises:
        WrongInputError: there is neither, or both; or the database does not answer.
        UnsupportedEnvironmentError: mariadb-dump has failed.
    """
    address = read_only.given()
    if dump and not address:
        yield dump
        return
    if dump or not address:
        raise WrongInputError(
            expected=f"a dump, or the address of a database in {read_only.VARIABLE}",
            seen="both" if dump else "neither",
            next_command=f"matomo-harness pseudonymise prod.sql.gz --to safe.sql.zst   (or"
            f" {read_only.FILE_VARIABLE}=url.txt matomo-harness pseudonymise --to safe.sql.zst)",
        )
    database = address.database.plain
    tables = database.all_tables()
    chosen = [name for name in tables if name.startswith(address.prefix or "")]
    with live_dump(image, database, chosen) as pipe:
        yield [pipe]


def pseudonymise(
    paths: Sequence[Path],
    to: Path,
    settings: RunSettings,
    *,
    own_rules: Path | None = None,
    part: Slice = slices.ALL,
) -> Certificate:
    """Write `to`, which appears whole or not at all; return what is known of person data in it.

    Args:
        paths: the dump's files, in their order, or its directory; empty for the database that
            DATABASE_URL names.
        to: a file that is not there yet; its name says how it is compressed.
        settings: base of the database.
        own_rules: a file with rules that come before the built-in ones.
        part: what of it is wanted.

    Raises:
        WrongInputError: `to` is there, or has another ending; or see `safe_tables`.
        BrokenPromiseError: the leak search found something.
        UnsupportedEnvironmentError: there is no room, or no library for `to`'s compression.
    """
    require_new(to, KINDS, "matomo-harness pseudonymise … --to safe.sql.zst")
    if to.name.endswith(ZSTD):
        require_zstd()
    database = images.mariadb_base(settings)
    with (
        source(paths, database) as dump,
        safe_tables(dump, database, own_rules=own_rules, part=part) as safe,
    ):
        with (
            step(f"Writing {to.name}") as running,
            new_file(to) as raw,
            _compressed(raw, to.name) as file,
        ):
            written = 0
            for chunk in dumped(safe.held, safe.tables):
                file.write(chunk)
                written += len(chunk)
                running.say(f"{written / 1e6:.0f} MB of SQL")
        return safe.certificate


@contextmanager
def _compressed(raw: IO[bytes], name: str) -> Iterator[Any]:
    if name.endswith(ZSTD):
        import zstandard

        with zstandard.ZstdCompressor(level=3, threads=-1).stream_writer(
            raw, closefd=False
        ) as file:
            yield file
    elif name.endswith(".gz"):
        with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=3) as file:
            yield file
    else:
        yield raw
