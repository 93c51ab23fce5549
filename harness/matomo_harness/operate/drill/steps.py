"""The steps of a restore drill, in their order."""

import hashlib
import math
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pymysql
from pymysql.constants import CR

from matomo_harness.dumps.description import Description
from matomo_harness.dumps.sources import DumpSource, UnreadableDumpError
from matomo_harness.errors import (
    BrokenPromiseError,
    HarnessError,
    UnsupportedEnvironmentError,
    WrongInputError,
)
from matomo_harness.gate.catalogue import ALL
from matomo_harness.gate.core.target import Http
from matomo_harness.gate.probes.php import Php, in_force
from matomo_harness.matomo import twofactor
from matomo_harness.matomo.api import Api, ApiError
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.twofactor import Account
from matomo_harness.matomo.web import Page
from matomo_harness.operate import adoption, local, production_files, repro
from matomo_harness.operate.drill import against, archived, backup_files, deployment, report
from matomo_harness.operate.drill.against import Production
from matomo_harness.operate.drill.archived import Archive
from matomo_harness.operate.drill.backup_files import BackupFiles, DamagedFilesError, readable
from matomo_harness.operate.drill.findings import (
    Ages,
    Comparison,
    Counts,
    Findings,
    Gate,
    Login,
    Salt,
    Stage,
)
from matomo_harness.operate.local import StartedStack
from matomo_harness.operate.production_config import READS_ENVIRONMENT, text_of
from matomo_harness.operate.quarantined import NO_END, SafeTables, safe_tables
from matomo_harness.operate.rehearsal import judge, state
from matomo_harness.operate.rehearsal.copies import RunningCopy
from matomo_harness.operate.stack import Stack
from matomo_harness.operate.table_collation import speak_as_tables
from matomo_harness.personal_data import texts
from matomo_harness.progress import step
from matomo_harness.runtime import images, reaper
from matomo_harness.runtime.installation import ensure_second_factor, require_healthy
from matomo_harness.runtime.quarantine import IS_FULL
from matomo_harness.runtime.shell import WHOLE_DATA_SECONDS
from matomo_harness.settings import RunSettings

SALT_VARIABLE: Final = "MATOMO_GENERAL_SALT"
LOGIN, PASSWORD = "HARNESS_LOGIN", "HARNESS_PASSWORD"
LAST_RUN: Final = "LastCompletedFullArchiving"
"""The option with the end of the archiver's last run, in seconds since 1970."""
BY_PAGES: Final = "enableBrowserTriggerArchiving"
"""The option by which a page that finds no archive makes one."""
EAST_MINUTES: Final = 14 * 60
"""By so much the easternmost clocks are ahead of UTC."""
WEST_HOURS: Final = -11
SAMPLED_DAYS: Final = 3
FULL_OR_GONE: Final = IS_FULL | {CR.CR_CONN_HOST_ERROR, CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST}
"""Errors of a database that has no room, or that is gone: no backup brings them about."""
HASHED: Final = 'echo password_hash(md5(getenv("HARNESS_PASSWORD")), PASSWORD_DEFAULT);'
"""A password as Matomo stores it (Piwik\\Auth\\Password)."""


@dataclass(frozen=True)
class Choices:
    """What a person may choose.

    Args:
        policy: the policy's file.
        directory: of the reports.
        promises: that the gate judges; all where there are none.
        production: where production's numbers come from; None where none are given.
    """

    policy: Path
    directory: Path
    promises: tuple[str, ...] = ()
    production: Production | None = None


class _EndedError(Exception):
    """What follows would prove nothing: the reason is in the findings."""


def drill(
    paths: Sequence[Path], archive: Path, settings: RunSettings, choices: Choices
) -> Findings:
    """Restore a backup into an empty deployment, prove it, and destroy the deployment.

    Args:
        paths: the dump's files, in their order, or its directory.
        archive: a tar of the file system.
        settings: image and base of the database.
        choices: what a person may choose.

    Raises:
        WrongInputError: a file is not there, or the image is not of the version of the tables.
        UnsupportedEnvironmentError: there is no room, or a container does not start.
    """
    # A file that is not there is no broken backup.
    DumpSource(paths)
    if not archive.is_file():
        raise production_files.wrong(archive, "no such file")
    if choices.production:
        choices.production.require_answer()
    for name in (SALT_VARIABLE, LOGIN, PASSWORD):
        _given(name)  # a file that is not there is named before anything is loaded
    found = Findings(
        dump=tuple(path.name for path in paths),
        files=archive.name,
        image=str(images.deployed_image(settings)),
        began=datetime.now(UTC).replace(tzinfo=None),
    )
    report.remove(choices.directory)
    with ExitStack() as running:
        try:
            _Drill(paths, archive, settings, choices, found, running).run()
        except _EndedError:
            pass
        except UnsupportedEnvironmentError as error:
            # It may quote the log of a container that has persons in it.
            seen = texts.without_queries(texts.without_addresses(error.seen))
            raise UnsupportedEnvironmentError(
                expected=error.expected, seen=seen, next_command=error.next_command
            ) from None
    return found


class _Drill:
    """One drill.

    Args:
        paths: the dump's files.
        archive: the tar of the file system.
        settings: images.
        choices: what a person may choose.
        found: what is found, as it comes.
        running: ends what is started.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        archive: Path,
        settings: RunSettings,
        choices: Choices,
        found: Findings,
        running: ExitStack,
    ) -> None:
        self._paths = paths
        self._archive = archive
        self._settings = settings
        self._choices = choices
        self._found = found
        self._running = running

    def run(self) -> None:
        files = self._files()
        stack, self._settings = self._running.enter_context(
            deployment.place_of(self._settings, reaper.this_process())
        )
        with ExitStack() as loading:
            safe = self._dump(loading)
            salt = self._salt(files)
            deployment.prepare_secrets(stack, salt)
            with self._stage(Stage.DUMP):
                database = repro.fill(safe, stack, self._settings)
            described = safe.described
        archives, sums = self._tables(database, described, files, salt)
        started = self._start(stack, database, described)
        if files:
            self._restore(started, files)
        self._answers(started, database, files, sums)
        self._prove(started, deployment.second_database(database, stack), archives, salt)

    # -- how a stage is run --------------------------------------------------------------------

    @contextmanager
    def _stage(self, stage: Stage, *, may_fail: bool = False) -> Iterator[None]:
        """Time a stage; what breaks in it is noted without what was seen, which may name persons.

        Args:
            stage: which one.
            may_fail: whether the drill goes on after it all the same.
        """
        begun = time.monotonic()
        try:
            with step(f"Drill: {stage}"):
                yield
        except (HarnessError, pymysql.MySQLError) as error:
            # Until it has started, what this machine lacks says nothing of the backup.
            is_early = stage in (Stage.FILES, Stage.DUMP, Stage.START)
            if is_early and isinstance(error, (UnsupportedEnvironmentError, WrongInputError)):
                raise
            if (number := _number(error)) in FULL_OR_GONE:
                raise UnsupportedEnvironmentError(
                    expected=f"the drill's database to go on, with room, while {stage}",
                    seen=f"error {number}",
                    next_command="df -h; free -m; then the same command, with room",
                ) from None
            # What was restored may be why Matomo never answers; once it has, silence is this
            # machine's.
            if stage is not Stage.ANSWERS and isinstance(error, UnsupportedEnvironmentError):
                raise
            self._found.unusable[stage] = _expected(error)
            if not may_fail:
                raise _EndedError from None
        finally:
            taken = round(time.monotonic() - begun, 1)
            self._found.seconds[stage] = self._found.seconds.get(stage, 0.0) + taken

    # -- what there is -------------------------------------------------------------------------

    def _files(self) -> BackupFiles | None:
        found = self._found
        with self._stage(Stage.FILES):
            try:
                files = self._running.enter_context(backup_files.read(self._archive))
            except DamagedFilesError as error:
                found.unusable[Stage.FILES] = error.seen
                return None
        found.parts, found.damaged = files.counts, tuple(files.damaged)
        found.is_listed = files.manifest is not None
        found.lacks = files.manifest.lacks if files.manifest else ()
        found.has_config = files.has_config
        found.allow_lists = deployment.allow_lists(files)
        return files

    def _dump(self, loading: ExitStack) -> SafeTables:
        database_image = images.mariadb_base(self._settings)
        with self._stage(Stage.DUMP):
            try:
                safe = loading.enter_context(
                    safe_tables(self._paths, database_image, keep_person_data=True)
                )
            except UnreadableDumpError:
                raise
            except WrongInputError as error:
                # Its words are about files, tables and lines: none is of the data.
                self._found.unusable[Stage.DUMP] = f"expected {error.expected}; seen: {error.seen}"
                raise _EndedError from None
        left_out = safe.certificate.left_out
        self._found.has_known_end = NO_END not in left_out
        self._found.left_out = tuple(said for said in left_out if said != NO_END)
        self._found.matomo = safe.described.matomo_version or ""
        self._found.code = images.code_version(images.deployed_image(self._settings).reference)
        if self._found.matomo and self._found.matomo != self._found.code:
            raise WrongInputError(
                expected=f"an image with Matomo {self._found.matomo}, as the tables are: a backup"
                " is restored with the code of its time",
                seen=f"Matomo {self._found.code} in {self._found.image}",
                next_command="make drill … IMAGE=the image that ran when the backup was taken",
            )
        return safe

    def _salt(self, files: BackupFiles | None) -> str | None:
        config = readable(files.config) if files else None
        in_file = config.text("General", "salt") if config else None
        given = _given(SALT_VARIABLE)
        # As in production, where that plugin reads it: the environment wins.
        wins = config is not None and READS_ENVIRONMENT in config.texts("Plugins", "Plugins")
        if given and (wins or not in_file) and given != in_file:
            self._found.salt = Salt.GIVEN
            return given
        if in_file:
            self._found.salt = Salt.FILES
        return in_file or None

    def _tables(
        self,
        database: Database,
        described: Description,
        files: BackupFiles | None,
        salt: str | None,
    ) -> tuple[list[Archive], dict[str, int | None]]:
        found = self._found
        with self._stage(Stage.TABLES):
            archives = archived.archives(database)
            found.counts = _counts(database, archives)
            found.lost_reports = archived.lost_reports(database)
            found.missing_months = archived.missing_months(database, archives)
            options = _options(database)
            found.ages = replace(
                _ages(database, described, self._paths, found.began, files),
                last_run=_moment(float(options.get(LAST_RUN) or 0)),
            )
            found.salt_fits = _fits(database, salt) if salt else None
            if options.get("branding_use_custom_logo") == "1":
                found.has_logo = bool(files and files.has(backup_files.LOGO))
            found.lost_containers = _lost_containers(database, files)
            _note_plugins(found, described, files, options)
            if not found.matomo or not found.counts.sites or not found.counts.users:
                raise _EndedError
            sums = state.checksums(database)
        return archives, sums

    # -- the restore ---------------------------------------------------------------------------

    def _start(self, stack: Stack, before: Database, described: Description) -> StartedStack:
        with self._stage(Stage.START):
            started = local.start(self._settings, stack, adopts=False)
            needed = deployment.needed_tables(started.shell, described.plugins)
            there = deployment.second_database(before, stack).tables()
            self._found.missing_tables = tuple(sorted(needed - there))
            self._found.without_image = repro.missing_plugins(started.shell, described.plugins)
        return started

    def _restore(self, started: StartedStack, files: BackupFiles) -> None:
        with self._stage(Stage.RESTORE, may_fail=True):
            self._found.restored_by = deployment.restore(started, files)
            speak_as_tables(started.database, started.shell)

    def _answers(
        self,
        started: StartedStack,
        before: Database,
        files: BackupFiles | None,
        sums: dict[str, int | None],
    ) -> None:
        found = self._found
        database = deployment.second_database(before, started.stack)
        with self._stage(Stage.ANSWERS):
            with suppress(BrokenPromiseError):  # the page says more where it does not start
                facts = Php(started.shell, Http(started.web.url, started.web.authority)).facts
                _note_code(found, facts, files)
            require_healthy(started.shell, started.web, "the login page of the restored Matomo")
        with self._stage(Stage.UNTOUCHED):
            found.moved = state.changed(sums, state.checksums(database), with_logs=True)

    # -- the proofs ----------------------------------------------------------------------------

    def _prove(
        self,
        started: StartedStack,
        database: Database,
        archives: list[Archive],
        salt: str | None,
    ) -> None:
        with self._stage(Stage.LOGIN, may_fail=True):
            fitting = salt if self._found.salt_fits else None
            self._found.login = _log_in(started, database, self._choices.production, fitting)
        api: Api | None = None
        with self._stage(Stage.NUMBERS, may_fail=True):
            adoption.make_superuser(started.shell, started.superuser)
            ensure_second_factor(started.web, database, started.superuser)
            api = Api(started.web, local.token(self._settings, started.stack))
            with _no_archiving_by_pages(database):
                different = archived.differing(api, archives)
                self._found.numbers = Comparison(len(archives), tuple(different))
                if self._choices.production:
                    self._found.production = against.compared(
                        self._choices.production, api, archived.newest_closed(archives)
                    )
        if api is None:
            raise _EndedError
        with self._stage(Stage.SAMPLE, may_fail=True):
            assert self._found.ages is not None  # noqa: S101  the tables were looked at
            dumped, days_stored = self._found.ages.dump.date(), _days_stored(started, database)
            days = _sampled(database, archives, dumped, days_stored)
            self._found.sample = _archived_anew(started, api, database, days)
        with self._stage(Stage.GATE, may_fail=True):
            self._found.gate = self._judged(started, api.token)

    def _judged(self, started: StartedStack, token: str) -> Gate:
        checks = judge.checks_of(self._choices.promises)
        # The report of the gate quotes what its checks have seen, so it ends with the deployment.
        directory = started.stack.directory / "gate"
        copy = RunningCopy(started, self._settings)
        code = self._found.code
        said = judge.judged(
            copy, token, self._choices.policy, checks, directory, code=code, logs_in=True
        )
        proves = {check.id: check.sentence for check in ALL}
        return Gate(said.counts, {name: proves[name] for name in said.red}, said.not_possible)


# -- what is read from the tables -----------------------------------------------------------------


def _given(name: str) -> str:
    """Return a variable of this process, or what is in the file that NAME_FILE names.

    Raises:
        WrongInputError: there is no such file.
    """
    path = os.environ.get(f"{name}_FILE")
    return text_of(Path(path), name).strip() if path else os.environ.get(name, "")


def _number(error: HarnessError | pymysql.MySQLError) -> int | None:
    """Return what the database's client says in a number; None where it says nothing."""
    said = error if isinstance(error, pymysql.MySQLError) else error.__cause__
    if not isinstance(said, pymysql.MySQLError) or not said.args:
        return None
    return said.args[0] if isinstance(said.args[0], int) else None


def _expected(error: HarnessError | pymysql.MySQLError) -> str:
    """Return what an error says that should have been: what was seen may quote persons."""
    if isinstance(error, HarnessError):
        return texts.without_addresses(error.expected)
    return f"the database to answer (error {error.args[0] if error.args else 'unknown'})"


def _options(database: Database) -> dict[str, str]:
    names = ("branding_use_custom_logo", "marketplace_license_key", LAST_RUN)
    rows = database.query(
        "SELECT option_name AS name, option_value AS value FROM {prefix}option"
        " WHERE option_name IN %s",
        names,
    )
    return {str(row["name"]): str(row["value"]) for row in rows}


def _counts(database: Database, archives: Sequence[Archive]) -> Counts:
    def rows(of: str) -> int:
        (row,) = database.query(f"SELECT COUNT(*) AS many FROM {of}")  # noqa: S608
        return int(row["many"])

    return Counts(
        tables=len(database.tables()),
        sites=rows("{prefix}site"),
        users=rows("{prefix}user WHERE login <> 'anonymous'"),
        visits=rows("{prefix}log_visit") if "log_visit" in database.tables() else 0,
        archives=len(archives),
    )


def _ages(
    database: Database,
    described: Description,
    paths: Sequence[Path],
    began: datetime,
    files: BackupFiles | None,
) -> Ages:
    newest = [
        row["newest"]
        for table in database.tables()
        if table.startswith("archive_numeric_")
        for row in database.query(
            f"SELECT MAX(ts_archived) AS newest FROM {{prefix}}{table}"  # noqa: S608
        )
        if row["newest"]
    ]
    visit = None
    if "log_visit" in database.tables():
        (row,) = database.query(
            "SELECT MAX(visit_last_action_time) AS newest FROM {prefix}log_visit"
        )
        visit = row["newest"]
    written = max(path.stat().st_mtime for path in paths)
    copied = (files.manifest and files.manifest.made) or files.newest if files else None
    return Ages(
        now=began,
        dump=completed(described.completed, written) or began,
        is_said=described.completed is not None,
        newest_visit=visit,
        newest_archive=max(newest, default=None),
        files=copied.astimezone(UTC).replace(tzinfo=None) if copied else None,
        is_copying=bool(files and files.manifest and files.manifest.made),
    )


def completed(said: datetime | None, written: float) -> datetime | None:
    """Return when a dump was complete, in UTC.

    The dump says it by the clock of its machine. No dump is complete after its file was written: a
    later time is of a zone east of UTC. Whole hours before it, within two minutes, are of one west
    of UTC; anything else is taken for a file that was copied later, and for UTC.

    Args:
        said: by the dump; None where it does not.
        written: when its file was, in seconds since 1970.
    """
    of_file = _moment(written)
    if said is None or of_file is None:
        return of_file
    ahead = (said - of_file) / timedelta(minutes=1)
    if 2 < ahead <= EAST_MINUTES:
        return said - timedelta(minutes=math.ceil(ahead / 15) * 15)
    hours = math.ceil(ahead / 60)
    if WEST_HOURS <= hours < 0 and hours * 60 - ahead <= 2:
        return said - timedelta(hours=hours)
    return said


def _moment(seconds: float) -> datetime | None:
    """Return a time in UTC, without a zone as the database has it; None for no time at all."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None) if seconds else None


def _fits(database: Database, salt: str) -> bool | None:
    """Whether the tokens in the database were made with a salt; None where that cannot be known.

    Every Matomo has a token for `anonymous` whose text is known: `anonymous`. What is stored is
    SHA-512 of text and salt (plugins/UsersManager/Model.php, hashTokenAuth; core/Db/Schema/
    Mysql.php, createAnonymousUser).
    """
    if "user_token_auth" not in database.tables():
        return None
    rows = database.query(
        "SELECT password FROM {prefix}user_token_auth"
        " WHERE login = 'anonymous' AND hash_algo = 'sha512'"
    )
    made = _hashed("anonymous", salt)
    return any(row["password"] == made for row in rows) if rows else None


def _has_token(database: Database, token: str, salt: str) -> bool:
    """Whether the database has a token, by the salt that its tokens were made with."""
    return bool(
        database.query(
            "SELECT 1 FROM {prefix}user_token_auth WHERE password = %s", _hashed(token, salt)
        )
    )


def _hashed(token: str, salt: str) -> str:
    return hashlib.sha512(f"{token}{salt}".encode()).hexdigest()


def _lost_containers(database: Database, files: BackupFiles | None) -> tuple[str, ...]:
    """Name the containers of the tag manager that are published, and whose script is not there."""
    if not {"tagmanager_container", "tagmanager_container_release"} <= database.tables():
        return ()
    rows = database.query(
        "SELECT DISTINCT r.idcontainer AS id FROM {prefix}tagmanager_container_release AS r"
        " JOIN {prefix}tagmanager_container AS c ON c.idcontainer = r.idcontainer"
        " WHERE r.status = 'active' AND c.status = 'active' AND r.environment = 'live'"
    )
    return tuple(
        str(row["id"])
        for row in rows
        # Others than the live one are named container_ID_preview.js, and by their environment.
        if not (files and files.has(f"{backup_files.CONTAINERS}{row['id']}."))
    )


def _note_plugins(
    found: Findings,
    described: Description,
    files: BackupFiles | None,
    options: dict[str, str],
) -> None:
    """Note the plugins of config.ini.php that the database knows nothing of."""
    config = readable(files.config) if files else None
    if config:
        named = {
            *config.texts("Plugins", "Plugins"),
            *config.texts("PluginsInstalled", "PluginsInstalled"),
        }
        found.no_tables = tuple(sorted(named - described.plugins.keys()))
    if "Marketplace" in described.plugins:
        found.has_licence = bool(options.get("marketplace_license_key"))


def _note_code(found: Findings, facts: dict[str, Any], files: BackupFiles | None) -> None:
    """Note which columns and which code active plugins lack."""
    found.missing_columns = tuple(str(lack).split(" ")[0] for lack in facts["no_columns"])
    own = files.plugins if files else set()
    config = readable(files.config) if files else None
    active = {*config.texts("Plugins", "Plugins")} if config else set()
    without = {*found.without_image} & active
    found.code_in_files = tuple(sorted(without & own))
    found.no_code = tuple(sorted(without - own))


# -- what is proven by Matomo itself --------------------------------------------------------------


def _log_in(
    started: StartedStack, database: Database, production: Production | None, salt: str | None
) -> Login:
    """Log in as a superuser of production, with the code of the secret that the database has.

    Args:
        started: the deployment.
        database: its.
        production: has a token to try, where one is given.
        salt: that the tokens in the database were made with; None where that is not known.
    """
    token = production.token if production else ""
    rows = database.query(
        "SELECT login, twofactor_secret AS secret FROM {prefix}user"
        " WHERE superuser_access = 1 AND login <> 'anonymous' ORDER BY login"
    )
    enrolled = [row for row in rows if row["secret"]]
    name, password = _given(LOGIN), _given(PASSWORD)
    given = [row for row in rows if name and password and row["login"] == name]
    login = Login(
        superusers=len(rows),
        enrolled=len(enrolled),
        is_unknown=bool(name or password) and not given,
        token_opens=_opens(started, token) if token else None,
        is_token_there=not (token and salt) or _has_token(database, token, salt),
    )
    chosen = (given or enrolled or list(rows))[:1]
    if not chosen:
        return login
    (row,) = chosen
    if not given:
        password = secrets.token_urlsafe(18)
        hashed = started.shell.run("php", "-r", HASHED, environment={"HARNESS_PASSWORD": password})
        database.query(
            "UPDATE {prefix}user SET password = %s WHERE login = %s", hashed, row["login"]
        )
    account = Account(str(row["login"]), password, str(row["secret"] or ""))
    login = replace(login, by_own_password=bool(given), has_factor=bool(row["secret"]))
    with suppress(BrokenPromiseError):  # which names the person
        page = twofactor.log_in(_conversation(started), account.login, account.password)
        login = replace(login, asked=page.component == twofactor.ASK)
        page = twofactor.sign_in(_conversation(started), account, steps=0)
        login = replace(login, is_in=_is_in(page))
    return login


def _conversation(started: StartedStack) -> Any:
    return Http(started.web.url, started.web.authority).web


def _is_in(page: Page) -> bool:
    return page.component != twofactor.ASK and not page.document.select_one(
        'input[name="form_login"]'
    )


def _opens(started: StartedStack, token: str) -> bool:
    try:
        Api(_conversation(started), token).call("SitesManager.getSitesIdWithAtLeastViewAccess")
    except ApiError:
        return False
    return True


@contextmanager
def _no_archiving_by_pages(database: Database) -> Iterator[None]:
    """Have no page make an archive while the ones of the dump are read."""
    rows = database.query(
        "SELECT option_value AS value FROM {prefix}option WHERE option_name = %s", BY_PAGES
    )
    put = "REPLACE INTO {prefix}option (option_name, option_value, autoload) VALUES (%s, %s, 1)"
    database.query(put, BY_PAGES, "0")
    try:
        yield
    finally:
        if rows:
            database.query(put, BY_PAGES, rows[0]["value"])
        else:
            database.query("DELETE FROM {prefix}option WHERE option_name = %s", BY_PAGES)


def _archived_anew(
    started: StartedStack, api: Api, database: Database, sampled: Sequence[Archive]
) -> Comparison:
    """Archive a few days anew whose visits should be there, and compare their reports."""
    if not sampled:
        return Comparison(0, left_out="no day that was over has both its archive and its visits")
    # Matomo keeps the archive of a day without a visit (canSkipThisArchive in
    # ArchiveProcessor/Loader.php): it would be compared with itself.
    lost = [day for day in sampled if not archived.has_visits(database, day)]
    days = [day for day in sampled if day not in lost]
    asked = [day.as_asked for day in days]
    before = state.numbers(api, asked)
    for day in days:
        api.call(
            "CoreAdminHome.invalidateArchivedReports",
            idSites=day.site,
            dates=str(day.first),
            period="day",
        )
    for site in sorted({day.site for day in days}):
        of_site = [day.first for day in days if day.site == site]
        started.shell.console(
            "core:archive",
            f"--force-idsites={site}",
            "--force-periods=day",
            # Else it archives whatever else the backup was taken before: hours, where that is much.
            f"--force-date-range={min(of_site)},{max(of_site)}",
            "--skip-all-segments",
            "--disable-scheduled-tasks",
            seconds=WHOLE_DATA_SECONDS,
        )
    after = state.numbers(api, asked)
    missing = [f"{day.name}, of which the dump has no visit" for day in lost]
    different = state.different(before, after)
    return Comparison(len(lost) + len(before), (*missing, *different))


def _days_stored(started: StartedStack, database: Database) -> int | None:
    """Return after how many days Matomo deletes visits; None where it keeps them."""
    php = Php(started.shell, Http(started.web.url, started.web.authority))
    if not in_force(php, database, "Deletelogs", "delete_logs_enable"):
        return None
    return in_force(php, database, "Deletelogs", "delete_logs_older_than")


def _sampled(
    database: Database, archives: Sequence[Archive], dumped: date, days_stored: int | None
) -> list[Archive]:
    """Return a few days whose visits should be there, of different sites first, the newest first.

    Args:
        database: that was loaded.
        archives: in it.
        dumped: when.
        days_stored: after so many days visits are deleted; None where they never are.
    """
    # Of the first days that a purge has left, some visits may be gone.
    margin = timedelta(days=0 if days_stored is None else 2)
    firsts = {
        int(row["idsite"]): row["first"].date() + margin
        for row in database.query(
            "SELECT idsite, MIN(visit_first_action_time) AS first FROM {prefix}log_visit"
            " GROUP BY idsite"
        )
    }
    if not firsts:
        oldest = date.min
        if days_stored is not None:
            oldest = dumped - timedelta(days=days_stored) + margin
        firsts = {archive.site: oldest for archive in archives}
    days = [
        archive
        for archive in archives
        if archive.period == "day"
        and not archive.segment
        and archive.is_closed
        # A site alone without a visit: an import has made its archives, or somebody deleted them.
        and archive.site in firsts
        and archive.first >= firsts[archive.site]
        and archive.numbers.get("nb_visits")
    ]
    days.sort(key=lambda archive: archive.first, reverse=True)
    newest = {archive.site: archive for archive in reversed(days)}.values()
    others = [archive for archive in days if archive not in newest]
    return [*newest, *others][:SAMPLED_DAYS]
