"""States of a stack by name: saved, listed, restored, deleted.

A snapshot is a copy of the stack's volumes in volumes of its own, beside which a directory holds a
record and the secrets that its data depends on: the database's accounts have the password of that
time, its tokens the salt, its superuser a password. The record is written last: without one there
is no snapshot, and what is there of it is removed by the next command.

To restore is to begin a new generation of the stack's volumes, of which the secrets file names the
one in use (GENERATION), beside the secrets that open it:

1. The secrets of the snapshot, with a new generation, are written to another file, the candidate's.
2. The snapshot is copied into volumes of that generation. The stack runs on meanwhile.
3. The stack's containers are removed and start on the new volumes, by the candidate's file.
4. Matomo answers. The candidate's file is renamed to the stack's own: from this moment on, and not
   before, every command means the new state. One rename changes data and secrets together.
5. The volumes of the generation before are removed.

Killed before 4, `make up` starts the old state, whose volumes nobody has written to; killed after
it, the new one. What the kill has left is named by the candidate's file or by the stack's own
(PREVIOUS_GENERATION), and the next save or restore removes it. Whatever else ends it before 4 (an
error, Ctrl-C) starts the old state again, with the images that it had.
"""

import contextlib
import dataclasses
import json
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import requests
from docker.errors import NotFound
from docker.models.containers import Container
from packaging.version import Version

from matomo_harness import __version__
from matomo_harness.errors import BrokenPromiseError, UnsupportedEnvironmentError, WrongInputError
from matomo_harness.gate.core.target import Http
from matomo_harness.gate.probes.php import Php
from matomo_harness.operate import compose, local, recipes, repro, schedule, stack_files
from matomo_harness.operate.alone import alone
from matomo_harness.operate.compose import GENERATION_LABEL
from matomo_harness.operate.local import StartedStack
from matomo_harness.operate.stack import LOCAL, NAME, Stack
from matomo_harness.progress import console, step
from matomo_harness.runtime import images, volumes
from matomo_harness.runtime.containers import wait_for_database
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.inspection import inspected
from matomo_harness.runtime.installation import require_healthy
from matomo_harness.settings import OWNER_LABEL, RunSettings

SNAPSHOT_LABEL: Final = "org.matomo-harness.snapshot"
"""Has the name of the snapshot that a volume is of."""
RECORD: Final = "snapshot.json"
SECRETS: Final = "stack.env"
PREVIOUS: Final = "PREVIOUS_GENERATION"
"""Name in the stack's secrets file of the generation that is to be removed."""
STOP_SECONDS: Final = 120
"""A server with a large buffer pool writes it to disk when it stops."""
ARCHIVER_SECONDS: Final = 600
_SERVER: Final = re.compile(r"\b(\d+\.\d+)\.\d+\S*?-MariaDB")
"""A MariaDB's version, with its release series: data files are those of one series."""


@dataclass(frozen=True)
class Snapshot:
    """What is known of a snapshot; no secret is in it.

    Args:
        name: its name.
        made: when, in UTC.
        matomo_version: of the tables.
        image: reference of the Matomo image that ran.
        image_id: the engine's digest of it.
        server_version: of the database server that wrote the data files, as it says it.
        database_image: reference of its image.
        database_image_id: the engine's digest of it.
        tables_prefix: how the names of the tables begin.
        sizes: bytes on disk, by the key of each volume in compose.yml.
        harness: version of the harness.
    """

    name: str
    made: str
    matomo_version: str
    image: str
    image_id: str
    server_version: str
    database_image: str
    database_image_id: str
    tables_prefix: str
    sizes: Mapping[str, int]
    harness: str = __version__

    @property
    def bytes(self) -> int:
        """Bytes on disk of all volumes."""
        return sum(self.sizes.values())


@dataclass(frozen=True)
class Restoration:
    """A stack that runs on the data of a snapshot.

    Args:
        snapshot: which one.
        url: the address of Matomo.
        login: the user to log in as.
        waits_for_update: whether its tables are older than the image, so that Matomo shows its own
            updater to everybody.
    """

    snapshot: Snapshot
    url: str
    login: str
    waits_for_update: bool


def stack_of(reproduction: str) -> Stack:
    """Return the stack of a reproduction, or the local one where no name is given.

    Raises:
        WrongInputError: there is no such reproduction.
    """
    return repro.find(reproduction).stack if reproduction else LOCAL


def save(name: str, stack: Stack = LOCAL) -> Snapshot:
    """Save the state of a stack that is up; its database is stopped for the copy.

    Whatever ends this early leaves the stack with its database running and no snapshot; after a
    SIGKILL the database may be stopped, which `make up` heals.

    Raises:
        WrongInputError: the name is taken or none, the stack is not up, or a recipe is under way.
        UnsupportedEnvironmentError: there is no room, or the database does not stop cleanly.
    """
    directory = _directory(name, stack)
    with alone(stack):
        recipes.require_none(stack)
        if (directory / RECORD).exists():
            raise WrongInputError(
                expected=f"{name} to be a new name",
                seen=f"a snapshot of that name: {directory}",
                next_command=_command("delete", name, stack) + "   (or save another name)",
            )
        database, web = compose.running("db", stack), compose.running("matomo", stack)
        if _generation(database) != stack_files.read(stack).generation:
            raise WrongInputError(
                expected=f"{stack.title} to run on its own data",
                seen="the data of a snapshot whose restoring was interrupted",
                next_command=stack.begin,
            )
        _remove_leftovers(stack)
        described = _described(name, stack, database, web)
        owner = {OWNER_LABEL: stack.project, SNAPSHOT_LABEL: name}
        targets = {part: f"{stack.project}_snapshot_{name}_{part}" for part in compose.parts()}
        sources = {
            part: compose.volume(part, stack, stack_files.read(stack).generation)
            for part in targets
        }
        _wait_for_archiver(stack)
        try:
            for target in targets.values():
                volumes.create(target, owner)
            with _stopped(database, stack), step("Copying the volumes"):
                sizes = volumes.copy(described.database_image_id, sources, targets)
            made = dataclasses.replace(described, sizes=sizes)
            _write(made, stack)
        except BaseException:
            _remove_unrecorded(stack)
            raise
        return made


def every(stack: Stack = LOCAL) -> list[Snapshot]:
    """Return all snapshots of a stack, by name.

    Raises:
        WrongInputError: a record cannot be read.
    """
    return [_read(path.parent, stack) for path in sorted(stack.snapshots.glob(f"*/{RECORD}"))]


def find(name: str, stack: Stack = LOCAL) -> Snapshot:
    """Return the snapshot of that name.

    Raises:
        WrongInputError: there is none.
    """
    return _read(_existing(name, stack), stack)


def delete(name: str, stack: Stack = LOCAL) -> None:
    """Delete a snapshot.

    Raises:
        WrongInputError: there is none of that name.
    """
    with alone(stack):
        directory = _existing(name, stack)
        (directory / RECORD).unlink()
        shutil.rmtree(directory)
        _remove_unrecorded(stack)


def restore(name: str, settings: RunSettings, stack: Stack = LOCAL) -> Restoration:
    """Start a stack on the state of a snapshot, which stays; the state before it is given up.

    Args:
        name: the snapshot's name.
        settings: images and ports of the local stack; a reproduction has its own.
        stack: which one.

    Raises:
        WrongInputError: there is no such snapshot, or the images do not fit its data.
        UnsupportedEnvironmentError: there is no room, or a container does not start.
        BrokenPromiseError: Matomo does not answer on it; the state before runs again.
    """
    with alone(stack):
        snapshot = _read(_existing(name, stack), stack)
        if stack.name:
            settings = repro.settings_of(repro.find(stack.name), settings)
        database_image = _fitting(snapshot, settings, stack)
        running = settings_of_running(settings, stack)
        candidate = stack.candidate
        if _runs_candidate(stack):
            local.down(stack)
            running = None
        _remove_leftovers(stack)
        _begin_generation(stack_files.parsed(stack.snapshots / name / SECRETS), stack)
        try:
            with step("Copying the snapshot"):
                sources = {part: _of(snapshot, part, stack) for part in snapshot.sizes}
                _fill(candidate, sources, database_image)
            local.down(stack)
            with step(f"Starting {stack.title} on it"):
                started = local.start(settings, candidate, adopts=False)
                waits = _waits(started, f"the login page on the state {name}", stack)
            candidate.secrets_file.rename(stack.secrets_file)
        except BaseException:
            _give_up(stack, running)
            raise
        _remove_leftovers(stack)
        schedule.begin(settings.archive_seconds, stack)
        return Restoration(snapshot, f"{started.web.url}/", started.superuser.login, waits)


def fill(name: str, settings: RunSettings, copy: Stack, stack: Stack = LOCAL) -> None:
    """Make the volumes and the secrets of another stack, which has nothing yet, of a snapshot.

    Raises:
        WrongInputError: there is no such snapshot, or the images do not fit its data.
        UnsupportedEnvironmentError: there is no room.
    """
    with alone(stack):
        snapshot = _read(_existing(name, stack), stack)
        image = _fitting(snapshot, settings, stack)
        values = stack_files.parsed(stack.snapshots / name / SECRETS)
        stack_files.write({**values, "GENERATION": ""}, copy)
        _fill(copy, {part: _of(snapshot, part, stack) for part in snapshot.sizes}, image)


def fill_from_stack(settings: RunSettings, copy: Stack, stack: Stack) -> None:
    """Make the volumes and the secrets of another stack, which has nothing yet, of a stack's own.

    Its database is stopped for the copy, if it runs, and started again.

    Raises:
        WrongInputError: another command is at work on it.
        UnsupportedEnvironmentError: there is no room, or the database does not stop cleanly.
    """
    with alone(stack), contextlib.ExitStack() as stopped:
        _wait_for_archiver(stack)
        for container in compose.containers(stack):
            is_database = container.labels.get(compose.SERVICE_LABEL) == "db"
            if is_database and container.status == "running":
                stopped.enter_context(_stopped(container, stack))
        own = stack_files.read(stack).generation
        values = {**stack_files.known(stack), "GENERATION": ""}
        values.pop(PREVIOUS, None)
        stack_files.write(values, copy)
        sources = {part: compose.volume(part, stack, own) for part in compose.parts()}
        _fill(copy, sources, images.mariadb_base(settings))


@contextmanager
def on_a_copy(settings: RunSettings, stack: Stack) -> Iterator[None]:
    """Run a reproduction on a copy of its data for the block; its own data is as it was.

    Whatever ends the block removes the copy and starts what ran before. After a SIGKILL it runs on
    the copy, until `repro open` starts it on its own data again; the next command on its snapshots
    removes the copy.

    Args:
        settings: of this process; the reproduction has its own images and ports.
        stack: the reproduction's, which need not run.

    Raises:
        WrongInputError: another command is at work on it.
        UnsupportedEnvironmentError: there is no room, or a container does not start.
    """
    with alone(stack):
        settings = repro.settings_of(repro.find(stack.name), settings)
        running = None if _runs_candidate(stack) else settings_of_running(settings, stack)
        _wait_for_archiver(stack)
        try:
            stop_database(stack)
            local.down(stack)
            _remove_leftovers(stack)
            _begin_generation(stack_files.parsed(stack.secrets_file), stack)
            with step(f"Copying {stack.title}"):
                own = stack_files.read(stack).generation
                sources = {part: compose.volume(part, stack, own) for part in compose.parts()}
                _fill(stack.candidate, sources, images.mariadb_base(settings))
            with step(f"Starting {stack.title} on the copy"):
                local.start(settings, stack.candidate, adopts=False)
            yield
        finally:
            _give_up(stack, running)


# -- what is asked first --------------------------------------------------------------------------


def _command(verb: str, name: str, stack: Stack) -> str:
    """Return the command line of a verb on a snapshot."""
    return f"matomo-harness snapshot {verb} {name}".rstrip() + (
        f" --repro {stack.name}" if stack.name else ""
    )


def _directory(name: str, stack: Stack) -> Path:
    if not NAME.fullmatch(name):
        raise WrongInputError(
            expected="NAME to be at most 40 lower-case letters, digits, - and _",
            seen=name,
            next_command=_command("save", "before-the-update", stack),
        )
    return stack.snapshots / name


def _existing(name: str, stack: Stack) -> Path:
    directory = stack.snapshots / name
    if not NAME.fullmatch(name) or not (directory / RECORD).exists():
        names = sorted(path.parent.name for path in stack.snapshots.glob(f"*/{RECORD}"))
        raise WrongInputError(
            expected=f"the name of a snapshot of {stack.title}",
            seen=f"{name}; there are: {', '.join(names) or 'none'}",
            next_command=_command("list", "", stack),
        )
    return directory


def _fitting(snapshot: Snapshot, settings: RunSettings, stack: Stack) -> Image:
    """Return the database's image; refuse images that would not understand the data.

    Raises:
        WrongInputError: the code is older than the tables, or the database server is of another
            release series than the data files.
    """
    again = _command("restore", snapshot.name, stack)
    image, database_image = images.deployed_image(settings), images.mariadb_base(settings)
    # To ask an image takes a second, and the one that ran has answered already.
    code = None if image.id == snapshot.image_id else images.code_version(image.reference)
    if code and Version(snapshot.matomo_version) > Version(code):
        raise WrongInputError(
            expected=f"an image with Matomo {snapshot.matomo_version} or newer, as the tables of"
            f" {snapshot.name} are: Matomo has no way down",
            seen=f"Matomo {code} in {image}",
            next_command=f"IMAGE={snapshot.image} {again}",
        )
    is_same = database_image.id == snapshot.database_image_id
    server = snapshot.server_version if is_same else server_of(database_image)
    if series(server) != series(snapshot.server_version):
        raise WrongInputError(
            expected=f"MariaDB {series(snapshot.server_version)}, which wrote the data files of"
            f" {snapshot.name}",
            seen=f"{server} in {database_image}",
            next_command=f"MARIADB_BASE={snapshot.database_image} {again}",
        )
    if lost := [part for part in snapshot.sizes if not volumes.exists(_of(snapshot, part, stack))]:
        raise WrongInputError(
            expected=f"the volumes of {snapshot.name}",
            seen=f"without {', '.join(_of(snapshot, part, stack) for part in lost)}",
            next_command=_command("delete", snapshot.name, stack),
        )
    return database_image


def server_of(image: Image) -> str:
    """Return the version of an image's database server, as the server says it."""
    return _server(images.run_once(image.reference, ["mariadbd", "--version"]))


def _server(said: str) -> str:
    """Return a server's version as it is in what the server says, without the packager's."""
    found = _SERVER.search(said)
    return found[0] if found else said.strip()


def series(version: str) -> str:
    """Return the release series of a server's version, such as 11.8."""
    found = _SERVER.search(version)
    return found[1] if found else version


# -- a record and its volumes ---------------------------------------------------------------------


def _of(snapshot: Snapshot, part: str, stack: Stack) -> str:
    return f"{stack.project}_snapshot_{snapshot.name}_{part}"


def _described(name: str, stack: Stack, database: Container, web: Container) -> Snapshot:
    """Return what is known before the copy.

    Raises:
        WrongInputError: no Matomo is installed.
    """
    prefix = stack_files.read(stack).tables_prefix
    schema = dataclasses.replace(local.database_of(stack), prefix=prefix)
    found = [each for each in schema.installations() if each.prefix == prefix and each.version]
    if not found:
        raise WrongInputError(
            expected=f"a Matomo in the database of {stack.title}",
            seen=f"none whose tables begin with `{prefix}`",
            next_command=stack.begin,
        )
    (row,) = schema.query("SELECT VERSION() AS version")
    return Snapshot(
        name=name,
        made=time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
        matomo_version=str(found[0].version),
        image=str(inspected(web, "Config", "Image")),
        image_id=str(inspected(web, "Image")),
        server_version=_server(str(row["version"])),
        database_image=str(inspected(database, "Config", "Image")),
        database_image_id=str(inspected(database, "Image")),
        tables_prefix=prefix,
        sizes={},
    )


def _write(snapshot: Snapshot, stack: Stack) -> None:
    """Write the secrets that the data depends on, and then the record, which makes it one."""
    directory = stack.snapshots / snapshot.name
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    stack_files.write_closed(directory / SECRETS, stack.secrets_file.read_text())
    text = json.dumps(dataclasses.asdict(snapshot), indent=2) + "\n"
    stack_files.write_closed(directory / RECORD, text)


def _read(directory: Path, stack: Stack) -> Snapshot:
    try:
        return Snapshot(**json.loads((directory / RECORD).read_text()))
    except (OSError, TypeError, ValueError) as error:
        raise WrongInputError(
            expected=f"{directory / RECORD} to be the record of a snapshot",
            seen=f"{type(error).__name__}: {error}",
            next_command=_command("delete", directory.name, stack),
        ) from error


def _remove_unrecorded(stack: Stack) -> None:
    """Remove volumes and secrets of snapshots that have no record."""
    for volume in engine().volumes.list(filters=compose.of_project(stack)):
        name = (inspected(volume, "Labels") or {}).get(SNAPSHOT_LABEL)
        if name and not (stack.snapshots / name / RECORD).exists():
            volumes.remove(str(volume.name))
            shutil.rmtree(stack.snapshots / name, ignore_errors=True)


# -- saving ---------------------------------------------------------------------------------------


def _wait_for_archiver(stack: Stack) -> None:
    """Wait until no scheduled archiver is at work: it would fail without its database."""
    for run in schedule.runs(stack):
        if run.exit_code is None:
            with contextlib.suppress(NotFound), step(f"Waiting for {run.container}"):
                _wait_for_end(engine().containers.get(run.container))


def _wait_for_end(container: Container) -> None:
    try:
        container.wait(timeout=ARCHIVER_SECONDS)
    except requests.RequestException as error:
        raise UnsupportedEnvironmentError(
            expected=f"the archiver {container.name} to end within {ARCHIVER_SECONDS} s: it would"
            " fail without its database",
            seen="it is at work",
            next_command=f"docker logs {container.name}",
        ) from error


@contextmanager
def _stopped(database: Container, stack: Stack) -> Iterator[None]:
    """Stop the database for the block, so that its files are complete, and start it again.

    Raises:
        UnsupportedEnvironmentError: it had to be killed, or does not start again.
    """
    try:
        _stop(database)
        yield
    finally:
        with step("Starting the database again"):
            database.start()
            wait_for_database(local.database_of(stack), database)


def _stop(database: Container) -> None:
    with step("Stopping the database"):
        try:
            database.stop(timeout=STOP_SECONDS)
        except BaseException:
            # The engine goes on with it: started before that has ended, it would be stopped again.
            database.stop(timeout=STOP_SECONDS)
            raise
        database.reload()
    if code := inspected(database, "State", "ExitCode"):
        raise UnsupportedEnvironmentError(
            expected=f"the database to stop by itself within {STOP_SECONDS} s",
            seen=f"exit code {code}",
            next_command=f"docker logs {database.name}",
        )


def stop_database(stack: Stack) -> None:
    """Stop the stack's database, if it runs, so that its files are complete.

    Raises:
        UnsupportedEnvironmentError: it had to be killed.
    """
    for container in compose.containers(stack):
        if container.labels.get(compose.SERVICE_LABEL) == "db" and container.status == "running":
            _stop(container)


# -- restoring ------------------------------------------------------------------------------------


def _begin_generation(opening: Mapping[str, str], stack: Stack) -> None:
    """Write the candidate's file: the secrets that open the data, and where that will be."""
    values = {**opening, "GENERATION": f"-{secrets.token_hex(4)}"}
    values.pop(PREVIOUS, None)
    if stack.secrets_file.exists():  # else nobody knows which one is in use
        values[PREVIOUS] = stack_files.known(stack).get("GENERATION", "")
    stack_files.write(values, stack.candidate)


def _fill(candidate: Stack, sources: Mapping[str, str], image: Image) -> None:
    """Make the candidate's volumes and copy `sources`, volumes by part, into them."""
    generation = stack_files.known(candidate)["GENERATION"]
    targets = {part: compose.make_volume(part, candidate, generation) for part in sources}
    volumes.copy(image.id, sources, targets)


def _waits(started: StartedStack, expected: str, stack: Stack) -> bool:
    """Return the same as `waits_for_update`; what a reproduction is made of need not answer."""
    try:
        return waits_for_update(started, expected)
    except (BrokenPromiseError, UnsupportedEnvironmentError) as error:
        if not stack.name:
            raise
        # This may be the bug that it shows, and was so when it was saved.
        said = f"What does not work: expected {error.expected}; seen: {error.seen}"
        console.print(said, style="yellow", markup=False)
        return False


def waits_for_update(started: StartedStack, expected: str) -> bool:
    """Require an answer of Matomo; return whether it is its updater, and not the login page.

    Raises:
        BrokenPromiseError: it is neither.
    """
    try:
        require_healthy(started.shell, started.web, expected)
    except BrokenPromiseError:
        if not Php(started.shell, Http(started.web.url, started.web.authority)).facts["updates"]:
            raise
        return True
    return False


def settings_of_running(settings: RunSettings, stack: Stack) -> RunSettings | None:
    """Return the settings with the images that the stack runs on; None where it is not up."""
    found = {
        container.labels.get(compose.SERVICE_LABEL): container
        for container in compose.containers(stack)
    }
    if any(
        service not in found or found[service].status != "running" for service in ("db", "matomo")
    ):
        return None
    return dataclasses.replace(
        settings,
        image=str(inspected(found["matomo"], "Config", "Image")),
        mariadb_base=str(inspected(found["db"], "Config", "Image")),
    )


def _generation(container: Container) -> str:
    return str(container.labels.get(GENERATION_LABEL, ""))


def _runs_candidate(stack: Stack) -> bool:
    """Whether an interrupted restoring has left its containers."""
    tried = stack_files.known(stack.candidate).get("GENERATION")
    return bool(tried) and any(_generation(each) == tried for each in compose.containers(stack))


def _give_up(stack: Stack, running: RunSettings | None) -> None:
    """Remove what was tried, and start the state before again if it ran and does not any more."""
    is_untouched = running and not _runs_candidate(stack) and settings_of_running(running, stack)
    if not is_untouched:
        local.down(stack)
    _remove_leftovers(stack)
    if running and not is_untouched:
        with step(f"Starting {stack.title} as it was"):
            local.start(running, stack, adopts=False)
        schedule.begin(running.archive_seconds, stack)


def _remove_leftovers(stack: Stack) -> None:
    """Remove what an interrupted command has left, and the generation before this one."""
    _remove_unrecorded(stack)
    candidate = stack.candidate
    known = stack_files.known(stack)
    tried = stack_files.known(candidate).get("GENERATION")
    for generation in (tried, known.get(PREVIOUS)):
        if generation is not None and generation != known.get("GENERATION"):
            for part in compose.parts():
                volumes.remove(compose.volume(part, stack, generation))
    candidate.secrets_file.unlink(missing_ok=True)
    if PREVIOUS in known:
        del known[PREVIOUS]
        stack_files.write(known, stack)
