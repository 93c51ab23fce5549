"""From a dump to tables without person data, in a quarantine that is destroyed afterwards."""

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pymysql

from matomo_harness.dumps.description import Description, DumpReader
from matomo_harness.dumps.sources import DumpSource
from matomo_harness.errors import BrokenPromiseError
from matomo_harness.operate.loading import Keys, loader, side_by_side
from matomo_harness.operate.production_config import text_of
from matomo_harness.personal_data import archives, canaries, rewriting, schema, search, slices
from matomo_harness.personal_data.anonymity import anonymity
from matomo_harness.personal_data.rules import Rule, Rules, TablePlan, built_in, parse
from matomo_harness.personal_data.schema import Connection, Schema
from matomo_harness.personal_data.search import Canary, Finding
from matomo_harness.personal_data.slices import Slice
from matomo_harness.progress import ProgressStep, console, step
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.quarantine import Quarantine, quarantine

DISK: Final = "disk"
PLACE_VARIABLE: Final = "QUARANTINE"
SHARE_OF_MEMORY: Final = 0.5
"""Most of the machine's available memory that raw data may take."""
GROWTH: Final = {True: 12.0, False: 2.5}
"""Bytes of tables that a byte of a dump becomes at most, by whether it is compressed: an estimate
that decides between memory and disk."""
COMPRESSED: Final = (".gz", ".xz", ".zst", ".zip", ".bz2", ".7z", ".tgz")

NO_END: Final = "the tool wrote no end, so that a truncated dump would not show (--compact)"


@dataclass(frozen=True)
class Certificate:
    """What is known of what was rewritten.

    Args:
        tables: tables that were looked at.
        columns: columns with a rule: all of them.
        canaries: columns that a canary was planted into.
        forms: forms in which each of them was searched for.
        findings: what the search found, as `table.column: form (count)`; empty, or nothing is
            copied.
        keeps_person_data: whether a person has asked for the data as it is.
        anonymity: how identifying what remains is.
        left_out: what of the dump was not loaded, and why.
    """

    tables: int
    columns: int
    canaries: int
    forms: int
    findings: tuple[str, ...] = ()
    keeps_person_data: bool = False
    anonymity: str = ""
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.keeps_person_data:
            return "none: PERSON DATA IS IN IT, as was asked for"
        return (
            f"{self.canaries} canaries in {self.forms} forms, {len(self.findings)} found;"
            f" {self.columns} columns of {self.tables} tables accounted for; {self.anonymity}"
        )


@dataclass(frozen=True)
class SafeTables:
    """Tables in quarantine that may leave it.

    Args:
        held: the quarantine.
        described: the dump that they came from.
        certificate: what is known of person data in them.
        tables: their names.
    """

    held: Quarantine
    described: Description
    certificate: Certificate
    tables: tuple[str, ...]


@contextmanager
def safe_tables(
    paths: Sequence[Path],
    image: Image,
    *,
    on_described: Callable[[Description], None] = lambda _: None,
    own_rules: Path | None = None,
    keep_person_data: bool = False,
    part: Slice = slices.ALL,
) -> Iterator[SafeTables]:
    """Load a dump into a quarantine, rewrite it, search it, and yield what may leave it.

    Args:
        paths: the dump's files, in their order, or its directory.
        image: the MariaDB of the quarantine.
        on_described: called once the dump was loaded; it may refuse it.
        own_rules: a file with rules that come before the built-in ones.
        keep_person_data: whether nothing is rewritten.
        part: what of it is wanted.

    Raises:
        WrongInputError: the dump is truncated, is none of Matomo, or asks for what no dump needs; a
            column has no rule; nothing is in the part that is wanted.
        BrokenPromiseError: the search found something.
        UnsupportedEnvironmentError: there is no room.
    """
    rules = _rules(own_rules)
    source = DumpSource(paths)
    with quarantine(image, memory=_memory(paths, source.total)) as held:
        described, keys = _load(held, source)
        on_described(described)
        left_out = _left_out(described) + _cut(held, described, part)
        certificate, plans = _made_safe(
            held, described, rules, keys, left_out, keep_person_data=keep_person_data
        )
        yield SafeTables(held, described, certificate, tuple(plan.table for plan in plans))


def _rules(own: Path | None) -> Rules:
    if own is None:
        return built_in()
    return built_in().extended(parse(text_of(own, "rules"), own.name))


def _memory(paths: Sequence[Path], size: int) -> int | None:
    """Return how many bytes raw data may take in memory; None where it has to be on disk."""
    if os.environ.get(PLACE_VARIABLE) == DISK:
        return None
    available = _available_memory()
    limit = int(available * SHARE_OF_MEMORY)
    return limit if size and size * GROWTH[_is_compressed(paths)] < limit else None


def _is_compressed(paths: Sequence[Path]) -> bool:
    """Whether any file, or piece of one, or file of a directory, is packed by its name."""
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    return any(suffix in COMPRESSED for file in files for suffix in file.suffixes)


def _available_memory() -> int:
    found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    return int(found[1]) * 1024 if found else 2**31


def _load(held: Quarantine, source: DumpSource) -> tuple[Description, Keys]:
    """Load a dump; return what it is, and the keys that its tables have yet to get."""
    reader = DumpReader(source)
    with step("Loading the dump into its quarantine") as running, loader(held) as loading:
        shown = _shown(running, source)
        for judged in reader.statements():
            loading.take(judged)
            shown()
        keys = loading.finish()
    return reader.description(), keys


def _shown(running: ProgressStep, source: DumpSource) -> Callable[[], None]:
    """Return what shows how far the dump was read, at most twice a second."""
    began = last = time.monotonic()

    def show() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < 0.5:
            return
        last = now
        rate = source.read / (now - began)
        left = ""
        if source.total and rate:
            left = f", {(source.total - source.read) / rate:.0f} s left"
        running.say(f"{source.read / 1e6:.0f} MB, {rate / 1e6:.1f} MB/s{left}")

    return show


def _made_safe(
    held: Quarantine,
    described: Description,
    rules: Rules,
    keys: Keys,
    left_out: tuple[str, ...],
    *,
    keep_person_data: bool,
) -> tuple[Certificate, list[TablePlan]]:
    """Rewrite what is in quarantine, and prove it; return the proof and the tables to copy."""
    with held.connect() as connection:
        columns = schema.read(connection, described.prefix)
        plans = _as_they_are(columns) if keep_person_data else rules.plan(columns)
        for plan in plans:
            rewriting.statements(plan)  # what a rule cannot do is named before hours of work
        count = sum(len(found) for found in columns.values())
        if keep_person_data:
            certificate = Certificate(
                len(plans), count, 0, 0, keeps_person_data=True, left_out=left_out
            )
            with held.refusals("tables as InnoDB's"):
                rewriting.add_keys(connection, keys)
                return certificate, _in_files(connection, plans)
        with step("Rewriting person data"), held.refusals("the rewriting of person data"):
            plans = archives.bounded(connection, plans)
            planted = canaries.plant(connection, plans)
            done: list[Counter[str]] = []
            with rewriting.key_of_run(connection):
                side_by_side(
                    held,
                    connection,
                    plans,
                    rewriting.join,
                    lambda session, plan: done.append(
                        rewriting.rewrite(session, [plan], keys=keys)
                    ),
                )
                findings = _findings(held, connection, plans, planted.canaries)
                if not findings:
                    canaries.remove(connection, planted)
            remains = anonymity(connection, plans)
        certificate = Certificate(
            tables=len(plans),
            columns=count,
            canaries=len(planted.columns),
            forms=len({form for canary in planted.canaries for form in canary.forms()}),
            findings=tuple(
                f"{found.table}.{found.column}: {found.form} ({found.count})" for found in findings
            ),
            anonymity=str(remains),
            left_out=(*left_out, *_unread(done)),
        )
        if findings:
            raise BrokenPromiseError(
                expected="nothing that names a person in what is copied",
                seen="; ".join(certificate.findings[:5])
                + (f"; and {len(findings) - 5} more" if len(findings) > 5 else ""),
                next_command="add a rule for the column to a file of yours:"
                " matomo-harness repro new … --rules FILE; nothing was copied",
            )
        with held.refusals("tables as InnoDB's"):
            return certificate, _in_files(connection, plans)


def _unread(done: Sequence[Counter[str]]) -> Iterator[str]:
    """Say how many reports were removed: of days before the first visit nothing makes them anew."""
    if count := sum(each.total() for each in done):
        yield f"reports that could not be read, as of another version of Matomo ({count} records)"


def _as_they_are(columns: Schema) -> list[TablePlan]:
    """Return the plan by which every row stays, also of a table that no rule knows."""
    return [
        TablePlan(found[0].table, name, "keep", tuple((column, Rule("keep")) for column in found))
        for name, found in columns.items()
    ]


def _findings(
    held: Quarantine, connection: Connection, plans: list[TablePlan], planted: Sequence[Canary]
) -> list[Finding]:
    """Return what is left of person data, in the order of the tables."""
    found: dict[str, list[Finding]] = {}

    def look(session: Connection, plan: TablePlan) -> None:
        found[plan.table] = search.search(session, [plan], planted)

    with step("Searching for what is left of it"):
        side_by_side(held, connection, plans, lambda _: None, look)
    return [finding for plan in plans for finding in found[plan.table]]


def _cut(held: Quarantine, described: Description, part: Slice) -> tuple[str, ...]:
    """Cut what is in quarantine to the part that is wanted, and say what that is."""
    if part.is_all:
        return ()
    with (
        step("Cutting off what is not wanted"),
        held.connect() as connection,
        held.refusals("the cutting"),
    ):
        return (
            f"all but {slices.cut(connection, schema.read(connection, described.prefix), part)}",
        )


def _left_out(described: Description) -> tuple[str, ...]:
    """Say what was not loaded, and what cannot be known of the dump."""
    said = [f"{note} ({count})" for note, count in described.dropped.items()]
    if not described.is_known_whole:
        said.append(NO_END)
    if described.tool == "mydumper":
        said.append("mydumper ends a dump even where it could not read a table: its exit code says")
    return tuple(said)


def _in_files(connection: "pymysql.Connection[Any]", plans: list[TablePlan]) -> list[TablePlan]:
    """Have every table in one data file: InnoDB's, and without partitions."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, create_options LIKE '%partitioned%' FROM information_schema.tables"
            " WHERE table_schema = DATABASE()"
            " AND (engine <> 'InnoDB' OR create_options LIKE '%partitioned%')"
        )
        for table, is_partitioned in cursor.fetchall():
            if is_partitioned:
                console.print(f"{table} is without its partitions", markup=False)
            whole = " REMOVE PARTITIONING" if is_partitioned else ""
            cursor.execute(f"ALTER TABLE {schema.quoted(table)} ENGINE=InnoDB{whole}")
    return plans
