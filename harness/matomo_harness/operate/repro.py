"""A production state on this machine, without person data: from a dump to a running Matomo.

The dump is loaded into a quarantine (runtime/quarantine.py), rewritten there by the rules of
personal-data.toml, and searched. Only then do its tables' data files go to the database of a stack
of their own, which is started like the local one.
"""

import dataclasses
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

import pymysql
from docker.errors import APIError
from docker.models.containers import Container
from filelock import Timeout
from packaging.version import InvalidVersion, Version

from matomo_harness import __version__
from matomo_harness.dumps.description import Description
from matomo_harness.errors import BrokenPromiseError, UnsupportedEnvironmentError, WrongInputError
from matomo_harness.gate.core.target import Http
from matomo_harness.gate.probes.php import Php
from matomo_harness.gate.promises.database.checks import numbers_of_archives_are_new
from matomo_harness.matomo import ini
from matomo_harness.matomo.container import plugin_folders
from matomo_harness.matomo.database import WHOLE_TABLE_SECONDS, Database
from matomo_harness.operate import (
    adoption,
    clean,
    compose,
    local,
    ports,
    production_config,
    production_files,
    schedule,
    stack_files,
)
from matomo_harness.operate.alone import alone, name_lock, removing
from matomo_harness.operate.local import StackSummary, StartedStack
from matomo_harness.operate.production_files import ProductionFiles
from matomo_harness.operate.quarantined import Certificate, SafeTables, safe_tables
from matomo_harness.operate.stack import REPRODUCTIONS, Stack, reproduction, reproductions
from matomo_harness.operate.stack_image import writable_configuration
from matomo_harness.personal_data import schema, slices
from matomo_harness.personal_data.slices import Slice
from matomo_harness.progress import console, step
from matomo_harness.runtime import images
from matomo_harness.runtime.containers import DATA_DIRECTORY, SCHEMA
from matomo_harness.runtime.installation import (
    ensure_second_factor,
    require_healthy,
    require_tracking,
)
from matomo_harness.runtime.quarantine import Quarantine
from matomo_harness.runtime.shell import WHOLE_DATA_SECONDS, MatomoShell
from matomo_harness.settings import RunSettings
from matomo_harness.time_limit import TimeLimitError

RECORD: Final = "reproduction.json"
DIFFERENCES: Final = (
    "address: 127.0.0.1, and its own certificate; production's trusted hosts are not taken over",
    "people: every login, name and address is a made-up one, no password or token opens anything;"
    " a superuser of the harness's own is beside them",
    "salt: a new one, so that sessions and tokens of production are worth nothing here",
    "mail: every mail ends at the local relay; recipients of reports are made up",
    "internet: none, its network leads nowhere (no marketplace, no update check); licence keys are"
    " out",
    "archives: what there are visits for is archived anew; of older reports the labels are made up",
    "configuration: the image's own, unless CONFIG= or FILES= gives production's; what leads to"
    " production's services and every secret are out",
    "files: the image's own, and of FILES= the pictures, scripts and databases of locations",
)
"""What differs from production, and why; `make repro` prints it."""


@dataclass(frozen=True)
class Reproduction:
    """A reproduction that was made.

    Args:
        name: its name.
        port: of its address.
        http_port: of the address that leads to that.
        image: reference of the image that it runs on.
        database_image: likewise.
        dump: names of the dump's files.
        matomo_version: of the tables as they came.
        server: that the dump is of.
        tables: how many.
        made: when, in UTC.
        certificate: what is known of person data in it.
        missing_plugins: production's that the image has no code of; their tables are there.
        harness: version of the harness.
    """

    name: str
    port: int
    http_port: int
    image: str
    database_image: str
    dump: tuple[str, ...]
    matomo_version: str
    server: str
    tables: int
    made: str
    certificate: Certificate
    missing_plugins: tuple[str, ...] = ()
    harness: str = __version__

    @property
    def stack(self) -> Stack:
        """Its stack."""
        return reproduction(self.name)


@dataclass(frozen=True)
class OpenReproduction:
    """A reproduction that runs.

    Args:
        record: what it is.
        summary: its address and login.
        waits_for_update: whether its tables are older than the image, and not updated.
        broken: what of its Matomo does not work, in words; empty where all does.
    """

    record: Reproduction
    summary: StackSummary
    waits_for_update: bool
    broken: str = ""


@dataclass(frozen=True)
class Choices:
    """What a person may choose for a reproduction.

    Args:
        name: its name.
        update: whether Matomo's own update runs at once, where the tables are older than the image.
        archive: whether reports are archived anew from the logs.
        keep_person_data: whether nothing is rewritten.
        rules: a file with rules of one's own.
        config: production's config.ini.php.
        part: what of the dump is wanted.
        files: a tar of production's directories config, misc and js.
    """

    name: str = "prod"
    update: bool = False
    archive: bool = True
    keep_person_data: bool = False
    rules: Path | None = None
    config: Path | None = None
    part: Slice = slices.ALL
    files: Path | None = None


def make(paths: Sequence[Path], settings: RunSettings, choices: Choices) -> OpenReproduction:
    """Make a reproduction of a dump, and open it.

    Whatever ends this early destroys the quarantine and what was made so far; other reproductions
    and the local stack are not touched.

    Args:
        paths: the dump's files, in their order, or its directory.
        settings: image and base of the database.
        choices: what a person may choose.

    Raises:
        WrongInputError: the name is taken; the dump is truncated, is none of Matomo, is newer than
            the image or asks for what no dump needs; a column has no rule.
        BrokenPromiseError: the leak search found something.
        UnsupportedEnvironmentError: there is no room, or a container does not start.
    """
    stack = reproduction(choices.name)
    with _claimed(stack), _of_production(choices) as production:
        return _make(paths, settings, choices, stack, production)


@dataclass(frozen=True)
class _Production:
    """What there is of production besides its dump.

    Args:
        config: the text of its config.ini.php.
        files: of its file system.
    """

    config: str | None
    files: ProductionFiles | None = None


@contextmanager
def _of_production(choices: Choices) -> Iterator[_Production]:
    config = production_config.read(choices.config) if choices.config else None
    if choices.files is None:
        yield _Production(config)
        return
    with production_files.read(choices.files) as files:
        if config is None and files.config is not None:
            ini.read(files.config)  # a mistake in it would show when all is loaded
        yield _Production(files.config if config is None else config, files)


def _make(
    paths: Sequence[Path],
    settings: RunSettings,
    choices: Choices,
    stack: Stack,
    production: _Production,
) -> OpenReproduction:
    image, database_image = images.deployed_image(settings), images.mariadb_base(settings)
    code = images.code_version(image.reference)
    with safe_tables(
        paths,
        database_image,
        on_described=lambda described: _require_known_version(described, code),
        own_rules=choices.rules,
        keep_person_data=choices.keep_person_data,
        part=choices.part,
    ) as safe:
        described = safe.described
        record = Reproduction(
            name=choices.name,
            port=0,
            http_port=0,
            image=image.reference,
            database_image=database_image.reference,
            dump=tuple(path.name for path in paths),
            matomo_version=described.matomo_version or "unknown",
            server=f"{described.server or 'unknown'} {described.server_version or ''}".strip(),
            tables=len(safe.tables),
            made=time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
            certificate=safe.certificate,
        )
        with _removed_unless_whole(stack):
            if choices.keep_person_data:
                stack_files.write({"SUPERUSER_LOGIN": stack_files.login_of_nobody()}, record.stack)
            with step("Copying the tables into the reproduction's database"):
                fill(safe, record.stack, settings_of(record, settings))
            port, http_port = ports_for(stack)
            record = dataclasses.replace(record, port=port, http_port=http_port)
            started = _start(record, settings)
            missing = missing_plugins(started.shell, described.plugins)
            record = dataclasses.replace(record, missing_plugins=missing)
            if production.files:
                _take_over(started, production.files, stack)
            if production.config is not None:
                _configure(started, production.config)
            return _opened(started, record, settings, choices)


@contextmanager
def _claimed(stack: Stack) -> Iterator[None]:
    """Have the name to oneself; what a killed run left of it is removed.

    Raises:
        WrongInputError: there is a reproduction of that name, or another command is making one.
    """
    # A directory that mkdir makes on the way would be open to all.
    for directory in (REPRODUCTIONS.parent, REPRODUCTIONS):
        directory.mkdir(mode=0o700, exist_ok=True)
    try:
        with name_lock(stack):
            if (stack.directory / RECORD).exists():
                raise _taken(stack, f"a reproduction of that name: {stack.root}")
            if stack.root.exists():
                clean.remove_stack(stack)
            yield
    except Timeout as error:
        raise _taken(stack, "another command is making one of that name") from error


def _taken(stack: Stack, seen: str) -> WrongInputError:
    return WrongInputError(
        expected=f"{stack.name} to be a new name",
        seen=seen,
        next_command=f"matomo-harness repro open {stack.name}; or repro remove {stack.name}; or"
        " NAME=another",
    )


def open_again(name: str, settings: RunSettings, *, update: bool = False) -> OpenReproduction:
    """Start a reproduction that was made before, with the images that it was made with.

    Raises:
        WrongInputError: there is none of that name, or another command is at work on it.
    """
    record, choices = find(name), Choices(name, update=update)
    with alone(record.stack):
        return _opened(_start(record, settings), record, settings, choices)


def remove(name: str) -> list[str]:
    """Remove a reproduction with all of its data; return what was removed.

    Raises:
        WrongInputError: there is none of that name, or another command is at work on it.
    """
    stack = reproduction(name)
    if not stack.root.exists():
        raise _unknown(name)
    with removing(stack):
        return clean.remove_stack(stack)


def every() -> list[Reproduction]:
    """Return all reproductions that are whole, by name.

    Raises:
        WrongInputError: the record of one cannot be read.
    """
    return [_read(stack) for stack in reproductions() if (stack.directory / RECORD).exists()]


def find(name: str) -> Reproduction:
    """Return the reproduction of that name.

    Raises:
        WrongInputError: there is none, or its record cannot be read.
    """
    stack = reproduction(name)
    if not (stack.directory / RECORD).exists():
        raise _unknown(name)
    return _read(stack)


@dataclass(frozen=True)
class Access:
    """What the gate looks at a reproduction by.

    Args:
        container: name of its web container.
        url: its address.
        authority: who signed its certificate.
        variables: those by which the gate is given access, with their values.
    """

    container: str
    url: str
    authority: Path
    variables: Mapping[str, str] = field(repr=False)


def access(name: str, settings: RunSettings) -> Access:
    """Return what opens a reproduction that runs to the gate.

    Raises:
        WrongInputError: there is none of that name, it does not run, or has no account yet.
    """
    record = find(name)
    stack = record.stack
    container = compose.running("matomo", stack)
    _require_account(stack)
    token = local.token(settings_of(record, settings), stack)
    return Access(
        container=str(container.name),
        url=f"https://localhost:{record.port}",
        authority=stack.authority_file,
        variables={"HARNESS_TOKEN": token, **local.login_variables(stack)},
    )


def _require_account(stack: Stack) -> None:
    login = stack_files.read(stack).superuser_login
    known = "SELECT 1 FROM {prefix}user WHERE login = %s"
    if not local.installed_database(stack).query(known, login):
        raise WrongInputError(
            expected=f"the harness's own account {login} in {stack.title}",
            seen="none: its Matomo waits for an update of its tables, or shows no login page",
            next_command=f"matomo-harness repro open {stack.name}   (says which; --update updates)",
        )


def is_open(record: Reproduction) -> bool:
    """Whether its containers run."""
    return any(found.status == "running" for found in compose.containers(record.stack))


def _unknown(name: str) -> WrongInputError:
    names = ", ".join(stack.name for stack in reproductions()) or "none"
    return WrongInputError(
        expected="the name of a reproduction",
        seen=f"{name}; there are: {names}",
        next_command="matomo-harness repro list; or make repro DUMP=…",
    )


def _read(stack: Stack) -> Reproduction:
    file = stack.directory / RECORD
    try:
        known = json.loads(file.read_text())
        certificate = known.pop("certificate")
        certificate |= {name: tuple(certificate[name]) for name in ("findings", "left_out")}
        for name in ("dump", "missing_plugins"):
            known[name] = tuple(known.get(name, ()))
        return Reproduction(certificate=Certificate(**certificate), **known)
    except (OSError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise WrongInputError(
            expected=f"{file} to be the record of a reproduction",
            seen=f"{type(error).__name__}: {error}",
            next_command=f"matomo-harness repro remove {stack.name}",
        ) from error


def _require_known_version(described: Description, code: str) -> None:
    theirs = described.matomo_version
    try:
        is_newer = theirs is not None and Version(theirs) > Version(code)
    except InvalidVersion as error:
        raise WrongInputError(
            expected="Matomo's version in the dump's option version_core",
            seen=f"{len(theirs or '')} characters that are no version",
            next_command="look at that row: was it changed by hand?",
        ) from error
    if is_newer:
        raise WrongInputError(
            expected=f"tables of Matomo {code} or older, as the image's code is",
            seen=f"tables of Matomo {theirs}: Matomo has no way down",
            next_command=f"make repro … IMAGE=an image with Matomo {theirs} or newer",
        )


# -- out of it ------------------------------------------------------------------------------------


@contextmanager
def _removed_unless_whole(stack: Stack) -> Iterator[None]:
    """Remove the stack again if anything goes wrong, so that no half-made one is left."""
    try:
        yield
    except BaseException:
        clean.remove_stack(stack)
        raise


def fill(safe: SafeTables, stack: Stack, settings: RunSettings) -> Database:
    """Start a stack's empty database, copy the tables into it by their data files; return it.

    Args:
        safe: the tables.
        stack: which has no data yet.
        settings: images of the stack.

    Raises:
        UnsupportedEnvironmentError: it does not start, or there is no room.
    """
    stack_files.read(stack)  # makes its secrets
    stack_files.remember_prefix(safe.described.prefix, stack)
    database, container = local.start_database(settings, stack)
    try:
        _transfer(safe.held, safe.tables, database, container)
    except (pymysql.Error, APIError) as error:
        raise UnsupportedEnvironmentError(
            expected=f"the database of {stack.title} to take the tables' data files",
            seen=str(error.args[-1])[:200] if error.args else "no answer",
            next_command="docker system df   (is the disk full?)",
        ) from error
    return dataclasses.replace(database, prefix=safe.described.prefix)


def _transfer(
    held: Quarantine, tables: Sequence[str], database: Database, container: Container
) -> None:
    opened = database.connection(WHOLE_TABLE_SECONDS)
    with opened as connection, connection.cursor() as cursor:
        cursor.execute("SET foreign_key_checks = 0, sql_mode = 'NO_AUTO_VALUE_ON_ZERO'")
        for table in tables:
            cursor.execute(held.definition(table))
            cursor.execute(f"ALTER TABLE {schema.quoted(table)} DISCARD TABLESPACE")
        with held.exported(tables) as files:
            container.put_archive(f"{DATA_DIRECTORY}/{SCHEMA}", files)
        for table in tables:
            cursor.execute(f"ALTER TABLE {schema.quoted(table)} IMPORT TABLESPACE")


def settings_of(record: Reproduction, settings: RunSettings) -> RunSettings:
    """Return the settings that a reproduction was made with."""
    return dataclasses.replace(
        settings,
        image=record.image,
        mariadb_base=record.database_image,
        port=record.port,
        http_port=record.http_port,
    )


def _start(record: Reproduction, settings: RunSettings) -> StartedStack:
    with step(f"Starting {record.stack.title}"):
        return local.start(settings_of(record, settings), record.stack, adopts=False)


def missing_plugins(shell: MatomoShell, plugins: Iterable[str]) -> tuple[str, ...]:
    """Return those of production's plugins that the image has no code of, by name."""
    return tuple(sorted({*plugins} - plugin_folders(shell)))


def _take_over(started: StartedStack, files: ProductionFiles, stack: Stack) -> None:
    profile = started.shell.profile
    owner = int(started.shell.run("id", "-u", profile.web_user))
    with step("Taking over production's files"):
        files.put_into(compose.running("matomo", stack), profile.web_root, owner)
    console.print(f"{files}.", markup=False)


def _configure(started: StartedStack, production: str) -> None:
    """Give the reproduction production's configuration, without its secrets and addresses."""
    shell = started.shell
    own = shell.read(shell.config)
    text, left_out = production_config.for_reproduction(production, own, started.web.url)
    with writable_configuration(shell):
        shell.write(shell.config, text)
    named = ", ".join(left_out) or "nothing"
    console.print(f"Of production's configuration left out: {named}", markup=False)


def _opened(
    started: StartedStack, record: Reproduction, settings: RunSettings, choices: Choices
) -> OpenReproduction:
    """Let the reproduction's Matomo update itself if asked, enrol, and write the record."""
    stack, shell, database = record.stack, started.shell, started.database
    adoption.adopt_collation(database, shell)
    waits = waited = bool(Php(shell, Http(started.web.url, started.web.authority)).facts["updates"])
    is_new, broken = not (stack.directory / RECORD).exists(), ""
    if waits and choices.update:
        with step("Updating the tables by Matomo's own updater"), writable_configuration(shell):
            shell.console("core:update", "--yes", seconds=WHOLE_DATA_SECONDS)
        waits = False
    if not waits:
        with (
            step("Making an account of the harness's own"),
            writable_configuration(shell),
        ):
            broken = _with_account(started)
        if choices.archive and (is_new or waited):
            _archive(database, shell, choices.part)
        schedule.begin(settings.archive_seconds, stack)
    text = json.dumps(dataclasses.asdict(record), indent=2) + "\n"
    stack_files.write_closed(stack.directory / RECORD, text)
    return OpenReproduction(record, started.summary(installed_now=False), waits, broken)


def _with_account(started: StartedStack) -> str:
    """Make the harness's own account; return what of Matomo does not work, in words.

    That may be the bug itself: without a login page, or where every hit is refused, it is a
    reproduction all the same. One that leads from page to page for ever, as force_ssl does behind
    a proxy that it does not believe, or that does not end, has no answer at all.
    """
    shell, web, database = started.shell, started.web, started.database
    without = "; so the harness has no account in it yet"
    try:
        require_healthy(shell, web, "the login page of the reproduction")
        adoption.ensure_superuser(shell, database, started.superuser)
        ensure_second_factor(web, database, started.superuser)
        without = ""
        require_tracking(shell, web, database)
    except (BrokenPromiseError, UnsupportedEnvironmentError) as error:
        return f"expected {error.expected}; seen: {error.seen}{without}"
    return ""


def _archive(database: Database, shell: MatomoShell, part: Slice) -> None:
    """Archive anew what there are visits for: the reports that describe them were not copied.

    Those of a site's first day were, and of all before it (archives.bounded), unless something was
    cut.
    """
    if not (firsts := _first_days(database, part)):
        return
    if not (numbers := numbers_of_archives_are_new(database)).passed:
        console.print(
            f"Nothing is archived anew, which would overwrite other archives: {numbers.seen}",
            markup=False,
        )
        return
    with step(f"Archiving anew what there are visits for (since {min(firsts)})"):
        try:
            for first, (last, sites) in firsts.items():
                asked = f"--dates={first},{last}", f"--sites={sites}", "--no-interaction"
                shell.console("core:invalidate-report-data", *asked, seconds=WHOLE_DATA_SECONDS)
            shell.console("core:archive", seconds=WHOLE_DATA_SECONDS)
        except (BrokenPromiseError, TimeLimitError) as error:
            # This may be the bug itself; without these reports it is a reproduction all the same.
            console.print(f"Not all of it is archived: {error.seen}", markup=False)


def _first_days(database: Database, part: Slice) -> dict[date, tuple[date, str]]:
    """Return the last day with visits, and the sites, by the first day to be archived anew.

    A site has days of its own: what is before its first may be imported.
    """
    rows = database.query(
        "SELECT first, MAX(last) AS last, GROUP_CONCAT(idsite) AS sites FROM"
        " (SELECT idsite, DATE(MIN(visit_last_action_time)) + INTERVAL %s DAY AS first,"
        " LEAST(DATE(MAX(visit_last_action_time)) + INTERVAL 1 DAY, UTC_DATE()) AS last"
        # Visits of a site that was deleted stay for a while, and Matomo refuses its number.
        " FROM {prefix}log_visit WHERE idsite IN (SELECT idsite FROM {prefix}site)"
        " GROUP BY idsite) of_site WHERE first <= last GROUP BY first ORDER BY first",
        int(part.is_all),
    )
    return {row["first"]: (row["last"], str(row["sites"])) for row in rows}


def ports_for(stack: Stack) -> tuple[int, int]:
    """Return two ports for a stack beside the local one, which are its own until it is removed.

    Raises:
        UnsupportedEnvironmentError: none is free.
    """
    # Those of a release before are in their records alone.
    recorded = {port for record in every() for port in (record.port, record.http_port)}
    return ports.keep(stack, recorded)
