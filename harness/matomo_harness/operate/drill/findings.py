"""What a restore drill found, as it came. No person data is in it: names of things and numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Stage(StrEnum):
    """The steps of a drill, in their order."""

    FILES = "reading the files"
    DUMP = "loading the dump into a database"
    TABLES = "looking at the tables, before any code has touched them"
    START = "starting an empty deployment"
    RESTORE = "putting the files back"
    ANSWERS = "waiting for Matomo"
    UNTOUCHED = "comparing every table with the dump's"
    NUMBERS = "reading every report number from Matomo"
    LOGIN = "logging in with a second factor"
    SAMPLE = "archiving a sample of days anew"
    GATE = "running the gate"


ON_THE_WAY = (Stage.DUMP, Stage.START, Stage.RESTORE, Stage.ANSWERS)
"""Those that a real restore has, too; the others are here to prove it."""


@dataclass(frozen=True)
class Ages:
    """How old a backup is; all in UTC.

    Args:
        now: when the drill began.
        dump: when the dump was taken.
        is_said: whether the dump itself says that; else it is the time of its file.
        newest_visit: the last action of any visit in it.
        newest_archive: when the last archive in it was made.
        last_run: when the archiver had last come to its end.
        files: when the files were copied, or the youngest of them was changed.
        is_copying: whether it is the time of the copying; else an older one proves nothing.
    """

    now: datetime
    dump: datetime
    is_said: bool
    newest_visit: datetime | None = None
    newest_archive: datetime | None = None
    last_run: datetime | None = None
    files: datetime | None = None
    is_copying: bool = True

    @property
    def copied(self) -> datetime | None:
        """When the files were copied, at the earliest; None where that is not known.

        Files that nobody changes are as old in last night's copy as in one of last year.
        """
        return self.files if self.files and (self.is_copying or self.files > self.dump) else None

    @property
    def minutes(self) -> dict[str, int | None]:
        """The gaps, in minutes."""
        seen = {"newest visit": self.newest_visit, "newest archive": self.newest_archive}
        return {
            "from the dump until now: lost, if this were restored now": _minutes(
                self.dump, self.now
            ),
            **{
                f"from the {name} until the dump": _minutes(moment, self.dump)
                for name, moment in seen.items()
            },
            "between the files and the dump": (
                abs(_minutes(self.copied, self.dump) or 0) if self.copied else None
            ),
        }

    @property
    def last_sign(self) -> datetime | None:
        """When anything happened for the last time in what was dumped."""
        signs = (self.newest_visit, self.newest_archive, self.last_run)
        return max((moment for moment in signs if moment), default=None)


def _minutes(of: datetime | None, to: datetime) -> int | None:
    return round((to - of).total_seconds() / 60) if of else None


@dataclass(frozen=True)
class Counts:
    """How much is in the tables.

    Args:
        tables: of Matomo.
        sites: how many.
        users: people, without `anonymous`.
        visits: how many.
        archives: whole ones, of any site and period.
    """

    tables: int = 0
    sites: int = 0
    users: int = 0
    visits: int = 0
    archives: int = 0


@dataclass(frozen=True)
class Comparison:
    """Two sides that should be the same.

    Args:
        count: of what was compared.
        different: what is not the same, by name.
        left_out: why something was not compared; empty where nothing was.
    """

    count: int
    different: tuple[str, ...] = ()
    left_out: str = ""


@dataclass(frozen=True)
class Login:
    """Whether a person of production would get in.

    Args:
        superusers: in the database.
        enrolled: those of them with a second factor.
        asked: whether Matomo asked for the second factor.
        is_in: whether the code of the secret in the database opened it.
        has_factor: whether the one who logged in has a second factor.
        is_unknown: whether HARNESS_LOGIN and HARNESS_PASSWORD do not both name a superuser's.
        by_own_password: whether it was a person's own password; else the drill set one on its copy.
        token_opens: whether production's own token opens it; None where none was given.
        is_token_there: whether the database has that token, as far as that can be known.
    """

    superusers: int
    enrolled: int
    asked: bool = False
    is_in: bool = False
    has_factor: bool = True
    is_unknown: bool = False
    by_own_password: bool = False
    token_opens: bool | None = None
    is_token_there: bool = True


@dataclass(frozen=True)
class Gate:
    """What the gate said of the restored deployment.

    Args:
        counts: of each status.
        red: the red checks with what each proves; what they have seen may be person data.
        not_possible: why there was none.
    """

    counts: Mapping[str, int]
    red: Mapping[str, str]
    not_possible: str = ""


class Salt(StrEnum):
    """Where the salt came from."""

    FILES = "config.ini.php of the files"
    GIVEN = "the environment of the drill (MATOMO_GENERAL_SALT)"
    NOWHERE = "nowhere"


@dataclass
class Findings:
    """Everything that a drill found, as it came.

    Args:
        dump: names of the dump's files.
        files: name of the archive of files.
        image: that was restored with.
        began: when, in UTC.
        seconds: that each stage took.
        unusable: by the stage, what made it impossible.
        has_known_end: whether the dump has an end, by which a truncated one shows.
        left_out: what else of the dump was not loaded or cannot be known, and why.
        matomo: version of the tables.
        code: version of the code of the image.
        counts: of rows; None where the dump could not be loaded.
        ages: likewise.
        parts: how many files there are of each part.
        damaged: files that are not as the backup's own list says.
        is_listed: whether the backup has such a list.
        lacks: what the backup's own program says that it lacks.
        has_config: whether config.ini.php is there and can be read.
        allow_lists: keys of config.ini.php with the addresses that may log in.
        salt: where the salt came from.
        salt_fits: whether the tokens in the database were made with it; None where that cannot be
            known.
        has_logo: None where production has no logo of its own.
        lost_containers: containers of the tag manager that have a version, and no script.
        has_licence: whether a licence key is there; None where no plugin needs one.
        restored_by: the program that put the files back.
        no_code: active plugins without code in image or files.
        code_in_files: plugins whose code is in the files alone.
        no_tables: plugins that config.ini.php names and that the database does not know.
        without_image: plugins that the database knows and that the image has no code of.
        missing_tables: tables that the code needs and that are not there.
        missing_columns: likewise.
        lost_reports: tables of archives that have numbers, and no report beside them.
        missing_months: months without archives between others.
        moved: tables that are not as in the dump once Matomo has answered.
        numbers: what Matomo reports against what the archives of the dump say.
        production: likewise against production's numbers; None where none were given.
        sample: days that were archived anew, against what they were before.
        login: None where it was not reached.
        gate: likewise.
    """

    dump: tuple[str, ...]
    files: str
    image: str
    began: datetime
    seconds: dict[Stage, float] = field(default_factory=dict)
    unusable: dict[Stage, str] = field(default_factory=dict)
    has_known_end: bool = True
    left_out: tuple[str, ...] = ()
    matomo: str = ""
    code: str = ""
    counts: Counts | None = None
    ages: Ages | None = None
    parts: dict[str, int] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()
    is_listed: bool = False
    lacks: tuple[str, ...] = ()
    has_config: bool = False
    allow_lists: tuple[str, ...] = ()
    salt: Salt = Salt.NOWHERE
    salt_fits: bool | None = None
    has_logo: bool | None = None
    lost_containers: tuple[str, ...] = ()
    has_licence: bool | None = None
    restored_by: str = ""
    no_code: tuple[str, ...] = ()
    code_in_files: tuple[str, ...] = ()
    no_tables: tuple[str, ...] = ()
    without_image: tuple[str, ...] = ()
    missing_tables: tuple[str, ...] = ()
    missing_columns: tuple[str, ...] = ()
    lost_reports: tuple[str, ...] = ()
    missing_months: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    numbers: Comparison | None = None
    production: Comparison | None = None
    sample: Comparison | None = None
    login: Login | None = None
    gate: Gate | None = None

    @property
    def minutes_to_answer(self) -> float:
        """What a restore takes until Matomo answers."""
        return sum(self.seconds.get(stage, 0.0) for stage in ON_THE_WAY) / 60
