"""What a rehearsal begins with: a copy, in the whole topology, of a state that stays as it is."""

import dataclasses
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from matomo_harness.errors import WrongInputError
from matomo_harness.operate import (
    clean,
    compose,
    local,
    repro,
    snapshot,
    snapshot_copy,
    stack_files,
    stack_image,
    traffic,
)
from matomo_harness.operate.local import StartedStack
from matomo_harness.operate.stack import LOCAL, NAME, Stack, reproductions
from matomo_harness.progress import step
from matomo_harness.runtime import volumes
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.installation import (
    ensure_installed,
    ensure_second_factor,
    require_tracking,
)
from matomo_harness.runtime.newer_server import copy_by_dump, upgrade_in_place
from matomo_harness.runtime.reaper import Run
from matomo_harness.settings import OWNER_LABEL, RunSettings

SITES: Final = 2
DAYS: Final = 40
"""Of made-up visits: more than a month, so that archives of every period are there."""


class Kind(StrEnum):
    """What a rehearsal begins with."""

    STACK = "stack"
    SNAPSHOT = "snapshot"
    REPRODUCTION = "repro"
    IMAGE = "image"


class Way(StrEnum):
    """How data gets under another database server."""

    PLACE = "place"
    DUMP = "dump"


@dataclass(frozen=True)
class Source:
    """What a rehearsal begins with.

    Args:
        kind: what it is.
        name: of the snapshot or the reproduction, or the image's reference; empty for the stack.
    """

    kind: Kind
    name: str = ""

    def __str__(self) -> str:
        """Return it as a report names it."""
        return {
            Kind.STACK: "the local stack",
            Kind.SNAPSHOT: f"the snapshot {self.name}",
            Kind.REPRODUCTION: f"the reproduction {self.name}",
            Kind.IMAGE: f"the image {self.name}, with made-up visits",
        }[self.kind]


def source_of(text: str) -> Source:
    """Return what `text` names: a snapshot, a reproduction, else an image; the stack where empty.

    Args:
        text: a name or a reference, or either behind `snapshot:`, `repro:` or `image:`.

    Raises:
        WrongInputError: it names two things.
    """
    if not text:
        return Source(Kind.STACK)
    word, colon, name = text.partition(":")
    if colon and name and word in (Kind.SNAPSHOT, Kind.REPRODUCTION, Kind.IMAGE):
        return Source(Kind(word), name)
    is_name = NAME.fullmatch(text) is not None
    found = [
        kind
        for kind, names in (
            (Kind.SNAPSHOT, [each.name for each in snapshot.every()] if is_name else []),
            (Kind.REPRODUCTION, [stack.name for stack in reproductions()] if is_name else []),
        )
        if text in names
    ]
    if len(found) > 1:
        raise WrongInputError(
            expected="FROM to name one thing",
            seen=f"a snapshot and a reproduction {text}",
            next_command=f"FROM=snapshot:{text}, or FROM=repro:{text}",
        )
    return Source(found[0] if found else Kind.IMAGE, text)


@dataclass(frozen=True)
class RunningCopy:
    """A copy that runs.

    Args:
        started: its stack.
        settings: images and ports.
    """

    started: StartedStack
    settings: RunSettings

    @property
    def stack(self) -> Stack:
        """Which stack it is."""
        return self.started.stack

    def with_image(self, image: str) -> "RunningCopy":
        """Start the copy's Matomo from another image, on the same volumes and database.

        Raises:
            UnsupportedEnvironmentError: it does not start.
            WrongInputError: there is no such image.
        """
        settings = dataclasses.replace(self.settings, image=image)
        return RunningCopy(local.start(settings, self.stack, adopts=False), settings)

    def with_server(self, image: Image, way: Way) -> "RunningCopy":
        """Start the copy's database from another image, on the same data.

        Raises:
            UnsupportedEnvironmentError: the new server does not open or take the data, or does not
                start.
        """
        generation = stack_files.read(self.stack).generation
        volume = compose.volume("database", self.stack, generation)
        if way is Way.DUMP:
            # What is stored while the dump is read would be lost without a word.
            compose.container("matomo", self.stack).stop(timeout=snapshot.STOP_SECONDS)
            filled = f"{volume}-dump"
            volumes.create(filled, {OWNER_LABEL: self.stack.project})
            database = local.database_of(self.stack)
            copy_by_dump(self.started.database_image, database, image, filled, schema=database.name)
        snapshot.stop_database(self.stack)
        if way is Way.DUMP:
            compose.container("db", self.stack).remove(v=True)
            volumes.remove(volume)
            compose.make_volume("database", self.stack, generation)
            volumes.copy(image.id, {"database": filled}, {"database": volume})
            volumes.remove(filled)
        else:
            upgrade_in_place(image, volume)
        settings = dataclasses.replace(self.settings, mariadb_base=image.reference)
        return RunningCopy(local.start(settings, self.stack, adopts=False), settings)

    def anew(self) -> "RunningCopy":
        """Start the copy's Matomo in a new container, as a deployment does.

        Raises:
            UnsupportedEnvironmentError: it does not start.
        """
        compose.container("matomo", self.stack).remove(force=True, v=True)
        return self.with_image(str(self.settings.image))


@contextmanager
def copy_of(
    source: Source, settings: RunSettings, run: Run, *, visits: int
) -> Iterator[RunningCopy]:
    """Start a copy of `source` beside everything else, and remove it at the end of the block.

    Args:
        source: what is copied; it need not run, and stays as it is.
        settings: of this process.
        run: the run that the copy goes with, whatever ends it.
        visits: made-up ones for an image.

    Raises:
        WrongInputError: there is no such source, or its images are not here.
        UnsupportedEnvironmentError: there is no room, or a container does not start.
    """
    settings = settings_of(source, settings)
    # Without a name, which would make it a reproduction, with ports and an image of its own.
    copy = Stack(run.file(f"rehearsal-{secrets.token_hex(3)}"), purpose="rehearsal")
    copy.directory.mkdir(mode=0o700, parents=True)
    with snapshot_copy.goes_with(run):
        try:
            port, http_port = repro.ports_for(copy)
            settings = dataclasses.replace(settings, port=port, http_port=http_port)
            started = _started(source, settings, copy)
            if source.kind is Kind.IMAGE:
                _install(started, visits)
            yield RunningCopy(started, settings)
        finally:
            with step("Removing the copy"):
                clean.remove_stack(copy)


def settings_of(source: Source, settings: RunSettings) -> RunSettings:
    """Return the settings with the images of `source`.

    Raises:
        WrongInputError: there is no such source.
    """
    if source.kind is Kind.IMAGE:
        return dataclasses.replace(settings, image=source.name)
    if source.kind is Kind.REPRODUCTION:
        return repro.settings_of(repro.find(source.name), settings)
    if source.kind is Kind.SNAPSHOT:
        found = snapshot.find(source.name)
        return dataclasses.replace(settings, image=found.image, mariadb_base=found.database_image)
    for service in ("matomo", "db"):
        compose.running(service)
    return snapshot.settings_of_running(settings, LOCAL) or settings


def _started(source: Source, settings: RunSettings, copy: Stack) -> StartedStack:
    with step(f"Copying {source}"):
        if source.kind is Kind.SNAPSHOT:
            snapshot.fill(source.name, settings, copy)
        elif source.kind is not Kind.IMAGE:
            of = repro.find(source.name).stack if source.name else LOCAL
            snapshot.fill_from_stack(settings, copy, of)
    started = local.start(settings, copy, adopts=False)
    snapshot_copy.take_own_address(started)
    return started


def _install(started: StartedStack, visits: int) -> None:
    shell, web, database = started.shell, started.web, started.database
    with step("Installing Matomo"), stack_image.writable_configuration(shell):
        ensure_installed(shell, web, database, started.superuser)
        require_tracking(shell, web, database)
        ensure_second_factor(web, database, started.superuser)
    traffic.make(SITES, DAYS, visits, started.stack)
