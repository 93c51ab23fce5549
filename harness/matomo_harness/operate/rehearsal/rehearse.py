"""The steps of a rehearsal, in their order, and what each of them found."""

import dataclasses
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pymysql
from docker.errors import APIError
from packaging.version import Version

from matomo_harness.errors import BrokenPromiseError, HarnessError, WrongInputError
from matomo_harness.gate.core.target import Http, Permissions
from matomo_harness.gate.probes.drift import differences
from matomo_harness.gate.probes.php import Php
from matomo_harness.gate.probes.queue import Queue
from matomo_harness.matomo import ini
from matomo_harness.matomo.api import Api
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.web import Page, Web
from matomo_harness.operate import capture_file, local, snapshot, stack_files, stack_image
from matomo_harness.operate.capture_file import Known
from matomo_harness.operate.rehearsal import hits, judge, report, stages, state, updater
from matomo_harness.operate.rehearsal.copies import (
    RunningCopy,
    Source,
    Way,
    copy_of,
    settings_of,
)
from matomo_harness.operate.rehearsal.findings import Findings, SeenPage, ServerChange, Stage
from matomo_harness.operate.rehearsal.hits import LiveHits
from matomo_harness.operate.rehearsal.plugin import Kind, PluginChange, Route
from matomo_harness.operate.rehearsal.state import ArchivedPeriod
from matomo_harness.operate.table_collation import speak_as_tables
from matomo_harness.progress import step
from matomo_harness.runtime import images, reaper
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.installation import require_healthy
from matomo_harness.runtime.shell import WHOLE_DATA_SECONDS, MatomoShell
from matomo_harness.settings import RunSettings

BEFORE: Final = "before"
"""Name of the snapshot that the way back restores."""
BASELINE_SECONDS: Final = 3.0
"""Of hits on the old code, and again after each way back."""
PAGES: Final = (
    ("the login form", "index.php?module=Login"),
    (
        "a dashboard's address",
        "index.php?module=CoreHome&action=index&idSite=1&period=day&date=today",
    ),
    ("the API without a token", "index.php?module=API&method=API.getMatomoVersion&format=json"),
    ("the tracker's script", "matomo.js"),
)
"""What people, programs and visitors' browsers ask for."""

NEVER: Final = 10**9
"""Seconds between two runs of the archiver, which must not change what is compared."""


@dataclass(frozen=True)
class Choices:
    """What a person may choose.

    Args:
        policy: the policy's file.
        directory: of the reports.
        visits: made-up ones, where the rehearsal begins with an image.
        promises: that the gates judge; all where there are none.
        server: image of the database server to upgrade to; None where it stays.
        way: how the data gets there.
        plugin: that the new image has, has in another version, or has no more.
    """

    policy: Path
    directory: Path
    visits: int = 1000
    promises: tuple[str, ...] = ()
    server: Image | None = None
    way: Way = Way.PLACE
    plugin: PluginChange | None = None


def rehearse(source: Source, new_image: str, settings: RunSettings, choices: Choices) -> Findings:
    """Rehearse the upgrade of `source` to `new_image`; nothing but a copy of it is touched.

    Args:
        source: what is upgraded.
        new_image: reference of the image to upgrade to; empty where that stays.
        settings: of this process.
        choices: what a person may choose.

    Raises:
        WrongInputError: there is no such source or image, it is the same image, or an older one.
        UnsupportedEnvironmentError: there is no room, or a container does not start.
    """
    # What was named by hand comes first, in an error as well.
    new = images.given(new_image, "TO") if new_image else None
    of_source = settings_of(source, settings)
    old = images.deployed_image(of_source)
    new_version = _require_newer(old, new) if new else images.code_version(old.reference)
    if choices.server:
        _require_newer_server(images.mariadb_base(of_source), choices.server, choices.way)
    report.remove(choices.directory)  # whatever ends this one, the last one's verdict is not its
    with copy_of(source, settings, reaper.this_process(), visits=choices.visits) as copy:
        findings = Findings(
            *(str(source), str(old), str(new or old), new_version),
            changes_code=bool(new_image),
            plugin=choices.plugin,
            archiver=stack_image.of(old).archiver_command,
        )
        _Rehearsal(copy, (new or old).reference, choices, findings).run()
    return findings


def _require_newer(old: images.Image, new: images.Image) -> str:
    """Return the version of the new image's code.

    Raises:
        WrongInputError: it is the same image, or an older code.
    """
    if old.id == new.id:
        raise WrongInputError(
            expected="TO to be another image than the one that runs",
            seen=f"{new} twice",
            next_command="make rehearse-upgrade TO=the image with the new version",
        )
    codes = [images.code_version(image.reference) for image in (old, new)]
    if Version(codes[0]) > Version(codes[1]):
        raise WrongInputError(
            expected=f"TO to have Matomo {codes[0]} or newer: Matomo has no way down",
            seen=f"Matomo {codes[1]} in {new}",
            next_command="to go back, restore: matomo-harness snapshot restore NAME",
        )
    return codes[1]


def _require_newer_server(old: Image, new: Image, way: Way) -> None:
    """Require a server that can have the data of the old one.

    Raises:
        WrongInputError: it is the same image, or an older one that would open a newer one's files.
    """
    again = "make rehearse-upgrade DATABASE_TO=the newer one"
    if old.id == new.id:
        raise WrongInputError(
            expected="DATABASE_TO to be another image than the one that runs",
            seen=f"{new} twice",
            next_command=again,
        )
    servers = [snapshot.server_of(image) for image in (old, new)]
    ages = [Version(snapshot.series(server)) for server in servers]
    if way is Way.PLACE and ages[0] > ages[1]:
        raise WrongInputError(
            expected=f"DATABASE_TO to be {servers[0]} or newer: no MariaDB opens the data directory"
            " of a newer one",
            seen=f"{servers[1]} in {new}",
            next_command=f"{again}   (or DATABASE_WAY=dump)",
        )


class _Rehearsal:
    """One rehearsal on a copy that runs."""

    def __init__(
        self, copy: RunningCopy, new_image: str, choices: Choices, findings: Findings
    ) -> None:
        self._copy = copy
        self._old_image = str(copy.settings.image)
        self._old_server = copy.settings.mariadb_base
        self._new_image = new_image
        self._choices = choices
        self._found = findings
        self._api = Api(copy.started.web, local.token(copy.settings, copy.stack))
        self._site = hits.site_of_its_own(self._api)
        self._ours = hits.sites_of_ours(self._api)
        self._filled: frozenset[str] = frozenset()

    def run(self) -> None:
        things, rows, numbers = self._look_before()
        with step("Saving the state before, which the way back restores"):
            snapshot.save(BEFORE, self._copy.stack)
        sums = state.checksums(self._database)
        with LiveHits(self._web.url, self._copy.stack.authority_file, self._site) as live:
            with self._noted():
                with live.stage(stages.TODAY):
                    time.sleep(BASELINE_SECONDS)
                if self._choices.server:
                    self._change_server(live, self._choices.server, sums)
                if self._found.changes_code:
                    self._upgrade(live, sums, things, rows, numbers)
                else:
                    with self._stage(stages.LOOKED, live):
                        self._look_after(things, rows, numbers)
                    self._gate(stages.LOOKED, self._choices.promises, logs_in=True)
            with self._noted():
                self._go_back(live, sums)
        self._remember(live)
        self._found.hits = tuple(hits.account(live.looked_for, frozenset(live.stored)))
        self._found.unknown_hits = len(live.hits) - len(live.looked_for)

    def _remember(self, live: LiveHits) -> None:
        """Remember which hits are stored, once what a plugin's queue holds is stored as well."""
        # Where the container does not run, or its command fails, they are lost, which is said then.
        with suppress(HarnessError, APIError):
            Queue(Permissions(may_change=True), self._copy.started.shell).run()
        with self._noted():  # a dead database is no reason not to restore it
            live.remember(self._database)
        live.begin_anew()

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Note what breaks in the block: the way back is tried, and the report written, then."""
        try:
            yield
        except HarnessError as error:
            seen = f"expected {error.expected}; seen: {error.seen}"
        except (pymysql.Error, APIError) as error:
            seen = f"expected database and engine to answer; seen: {error}"
        else:
            return
        self._found.failed = "; then: ".join(filter(None, (self._found.failed, seen)))

    # -- what there is now --------------------------------------------------------------------

    @property
    def _web(self) -> Web:
        return self._copy.started.web

    @property
    def _database(self) -> Database:
        # Its port is another one each time that it starts.
        prefix = stack_files.read(self._copy.stack).tables_prefix
        return dataclasses.replace(local.database_of(self._copy.stack), prefix=prefix)

    @contextmanager
    def _stage(self, name: str, live: LiveHits | None = None) -> Iterator[None]:
        begun = time.monotonic()
        with step(f"Stage: {name}"):
            if live:
                with live.stage(name):
                    yield
                    seen = self._pages()
            else:
                yield
                seen = self._pages()
        self._found.stages.append(Stage(name, round(time.monotonic() - begun, 1), seen))

    def _pages(self) -> tuple[SeenPage, ...]:
        return tuple(seen_page(self._web, name, path) for name, path in PAGES)

    def _gate(self, name: str, promises: Collection[str], *, logs_in: bool) -> None:
        folder = name.replace(" ", "-").replace("'", "").replace(",", "")
        # The console prints warnings beside a version, or fails by them.
        facts = Php(self._copy.started.shell, Http(self._web.url, self._web.authority)).facts
        with step(f"Gate: {name}"):
            self._found.gates[name] = judge.judged(
                self._copy,
                self._api.token,
                self._choices.policy,
                judge.checks_of(promises),
                self._choices.directory / folder,
                code=str(facts["version"]),
                logs_in=logs_in,
            )

    # -- the way ------------------------------------------------------------------------------

    def _look_before(self) -> tuple[list[ArchivedPeriod], dict[str, str], dict[str, Any]]:
        require_list(self._choices.plugin, self._copy.started.shell)
        with self._stage(stages.TODAY):
            self._found.before = state.state_of(self._copy.started.shell, self._web, self._database)
            # Else visits that wait for the archiver would be a difference of the new code's.
            with step("Archiving, and the last day of each site anew"), self._noted():
                self._archive_anew(stages.TODAY, state.archived(self._database, without=self._ours))
            with step("Reading every archive, and the reports of each site and period"):
                things = state.archived(self._database, without=self._ours)
                rows = state.archive_rows(self._database, without=self._ours)
                numbers = state.numbers(self._api, things)
            # The archiver has deleted by now what is too old to be kept.
            self._filled = state.filled(self._database)
        chosen = self._choices.promises
        # What later gates judge is compared with it.
        self._gate(stages.TODAY, chosen and {*chosen, *judge.AFFECTED}, logs_in=True)
        return things, rows, numbers

    def _upgrade(
        self,
        live: LiveHits,
        sums: dict[str, int | None],
        things: list[ArchivedPeriod],
        rows: dict[str, str],
        numbers: dict[str, Any],
    ) -> None:
        if (plugin := self._choices.plugin) and plugin.kind is Kind.REMOVE:
            with self._stage(stages.SWITCHED_OFF, live):
                shell = self._copy.started.shell
                # config.ini.php is written.
                with live.paused(), stack_image.writable_configuration(shell):
                    shell.console("plugin:deactivate", plugin.name)
        with self._stage(stages.CLOSED, live):
            self._start(self._new_image)
        with self._stage(stages.BACK_AT_ONCE, live):
            self._start(self._old_image)
            time.sleep(BASELINE_SECONDS)
        with live.paused():
            self._found.back_at_once = state.changed(
                sums, state.checksums(self._database), with_logs=False
            )
        self._gate(stages.BACK_AT_ONCE, judge.AFFECTED, logs_in=False)
        with self._stage(stages.AGAIN, live):
            self._start(self._new_image)
        with self._stage(stages.UPDATE, live):
            self._update()
            if (plugin := self._choices.plugin) and plugin.kind is Kind.ADD:
                with live.paused():  # config.ini.php is written
                    self._switch_on(plugin)
                # Its columns of visits and actions are made by an update, and not by installing it.
                self._update()
        with self._stage(stages.AFTER, live):
            require_healthy(self._copy.started.shell, self._web, "the login page after the update")
            self._look_after(things, rows, numbers)
        with self._stage(stages.NEXT, live):
            self._copy = self._copy.anew()
            self._note_configuration()
        self._gate(stages.AFTER, self._choices.promises, logs_in=True)

    def _change_server(self, live: LiveHits, image: Image, sums: dict[str, int | None]) -> None:
        """Have another database server under the copy's data, with today's code."""
        before = self._server_version()
        way = self._choices.way
        with self._stage(stages.SERVER, live):
            try:
                self._copy = self._copy.with_server(image, way)
            except HarnessError as error:
                raise BrokenPromiseError(
                    expected=f"{image} to have this data ({way})",
                    seen=error.seen,
                    next_command="mend what it names, on a copy",
                ) from error
            # A hit that finds config.ini.php half written is answered well, and not stored.
            with live.paused():
                speech = speak_as_tables(self._database, self._copy.started.shell)
            time.sleep(BASELINE_SECONDS)
        with live.paused():
            changed = state.changed(sums, state.checksums(self._database), with_logs=False)
        self._found.server = ServerChange(
            before, self._server_version(), way, str(image), changed, speech
        )
        self._gate(stages.SERVER, judge.AFFECTED, logs_in=False)

    def _server_version(self) -> str:
        (row,) = self._database.query("SELECT VERSION() AS version")
        return str(row["version"])

    def _start(self, image: str) -> None:
        """Start the copy from an image; one that does not start is what a rehearsal is for.

        Raises:
            BrokenPromiseError: it does not start, or does not answer.
        """
        try:
            self._copy = self._copy.with_image(image)
        except HarnessError as error:
            raise BrokenPromiseError(
                expected=f"{image} to start on this database and these volumes, and to answer",
                seen=error.seen,
                next_command="read the container's last lines, and mend the image",
            ) from error

    def _update(self) -> None:
        """Run Matomo's own update, once more where it fails: that is what people do then.

        Raises:
            BrokenPromiseError: the second run fails, too.
        """
        first = updater.update(self._copy.started.shell)
        self._found.update = first.after(self._found.update) if self._found.update else first
        if first.is_done:
            return
        second = self._found.second_update = updater.update(self._copy.started.shell)
        if not second.is_done:
            raise BrokenPromiseError(
                expected="core:update to end with exit code 0",
                seen=f"{first.said}; its second run: {second.said}",
                next_command="mend what it names, on a copy",
            )

    def _switch_on(self, plugin: PluginChange) -> None:
        """Switch a plugin on, of which the files are there.

        Raises:
            BrokenPromiseError: Matomo refuses it.
        """
        shell = self._copy.started.shell
        with stack_image.writable_configuration(shell):
            if plugin.route is Route.CONSOLE:
                shell.console("plugin:activate", plugin.name)
                return
            text = ini.with_key(shell.read(shell.config), "Plugins", "Plugins[]", plugin.name)
            shell.write(shell.config, text)
            # The next request installs it; a console command does not.
            require_healthy(shell, self._web, f"the login page with {plugin.name} in [Plugins]")

    def _look_after(
        self, things: list[ArchivedPeriod], rows: dict[str, str], numbers: dict[str, Any]
    ) -> None:
        found, shell = self._found, self._copy.started.shell
        found.after = state.state_of(shell, self._web, self._database)
        assert found.before is not None  # noqa: S101  _look_before comes first
        found.emptied = tuple(sorted(self._filled - state.filled(self._database)))
        now = state.archive_rows(self._database, without=self._ours)
        found.compared_archives, found.compared_numbers = len(rows), len(numbers)
        found.changed_archives = tuple(state.different(rows, now))
        after = state.numbers(self._api, things)
        found.changed_numbers = tuple(state.different(numbers, after))
        found.unreadable = tuple(state.unreadable(numbers, after))
        with step("Archiving, and the last day of each site anew"):
            self._archive_anew(stages.AFTER, things)
        again = state.numbers(self._api, things)
        found.changed_again = tuple(
            name for name in state.different(after, again) if name not in found.changed_numbers
        )

    def _archive_anew(self, stage: str, things: list[ArchivedPeriod]) -> None:
        """Archive what waits and the last days; an archiver that fails is in the report."""
        for thing in things:
            if thing.period == "day" and not thing.segment:
                self._api.call(
                    "CoreAdminHome.invalidateArchivedReports",
                    idSites=thing.site,
                    dates=thing.date,
                )
        try:
            self._copy.started.shell.console("core:archive", seconds=WHOLE_DATA_SECONDS)
        except BrokenPromiseError as error:
            self._found.archiver_failed[stage] = error.seen

    def _note_configuration(self) -> None:
        """Note what the update wrote into config.ini.php, and what a new container has of it."""
        found, shell = self._found, self._copy.started.shell
        assert found.before is not None and found.after is not None  # noqa: S101, PT018
        before, after = found.before.config, found.after.config
        secrets = capture_file.secrets_of(ini.read(before), ini.read(after), variables={})
        written = capture_file.captured(before, before, after, {}, Known((), secrets))
        found.config_patch = capture_file.patch("config.ini.php", before, written.text)
        found.config_left_out = tuple(str(each) for each in written.left_out)
        wrote = differences(ini.read(before).settings, ini.read(after).settings, {})
        again = Php(shell, Http(self._web.url, self._web.authority)).facts["tracker_is_whole"]
        found.deployment_loses_tracker = bool(found.after.tracker_is_whole) and again is False
        keys = {(each.section, each.name) for each in wrote}
        now = ini.read(shell.read(shell.config)).settings
        found.restart_takes_back = tuple(
            f"[{each.section}] {each.name}"
            for each in differences(ini.read(after).settings, now, {})
            if (each.section, each.name) in keys
        )

    # -- the way back -------------------------------------------------------------------------

    def _go_back(self, live: LiveHits, sums: dict[str, int | None]) -> None:
        with self._stage(stages.BACK):
            with live.paused():
                self._remember(live)  # before the restore takes them away
                self._found.lost_by_return = len(live.stored)
                settings = dataclasses.replace(
                    self._copy.settings,
                    image=self._old_image,
                    mariadb_base=self._old_server,
                    archive_seconds=NEVER,
                )
                snapshot.restore(BEFORE, settings, self._copy.stack)
                self._copy = dataclasses.replace(self._copy, settings=settings)
                self._copy = self._copy.with_image(self._old_image)
                self._found.back_restored = state.changed(
                    sums, state.checksums(self._database), with_logs=True
                )
            with live.stage(stages.BACK):
                time.sleep(BASELINE_SECONDS)
        self._gate(stages.BACK, judge.AFFECTED, logs_in=False)


def require_list(plugin: PluginChange | None, shell: MatomoShell) -> None:
    """Require a list of plugins in config.ini.php where one is switched on by a line in it.

    A list there replaces Matomo's own (Config/IniFileChain.php): one line would be all of it.

    Raises:
        WrongInputError: there is none.
    """
    if not plugin or plugin.kind is not Kind.ADD or plugin.route is not Route.LIST:
        return
    if not ini.read(shell.read(shell.config)).texts("Plugins", "Plugins"):
        raise WrongInputError(
            expected="a list in [Plugins] of config.ini.php, to which a line is added",
            seen="none: Matomo's own list is in force, and a line here would switch off all of it",
            next_command="the same command without --route list (of make: without ROUTE=list)",
        )


def seen_page(web: Web, name: str, path: str) -> SeenPage:
    """Return what somebody without a session sees of a page."""
    visitor = Web(web.url, authority=web.authority, time_limit=hits.PATIENCE)
    try:
        answer = visitor.get(path=path)
    except HarnessError as error:
        return SeenPage(name, None, error.seen[:200])
    kind = answer.headers.get("Content-Type", "")
    text = Page(answer).excerpt if "html" in kind else answer.text
    return SeenPage(name, answer.status_code, " ".join(text.split())[:200])
