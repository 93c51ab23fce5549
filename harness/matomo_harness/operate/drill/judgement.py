"""What a drill's findings mean: it is a backup, or it is none, and what it lacks."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from matomo_harness.operate.drill.findings import Ages, Comparison, Findings, Salt, Stage
from matomo_harness.operate.quarantined import NO_END
from matomo_harness.operate.rehearsal.verdict import Reason, Verdict, Weight, named
from matomo_harness.policy import Drill

APART_HOURS: Final = 12
"""Hours between files and dump from which they are of different nights."""


class BackupVerdict(Verdict):
    """The verdict: reasons against it first, then what a restore needs besides, then notes."""

    @property
    def is_backup(self) -> bool:
        """Whether nothing speaks against it."""
        return self.is_go

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if not self.is_backup:
            return f"This is no backup: {_things(len(self.of(Weight.NO)))} against it."
        if besides := len(self.of(Weight.STEP)):
            return f"This is a backup; a restore needs {besides} more."
        return "This is a backup."


def _things(count: int) -> str:
    return "one thing speaks" if count == 1 else f"{count} things speak"


def verdict(found: Findings, limits: Drill) -> BackupVerdict:
    """Return what `found` means, by the limits of the policy."""
    reasons = [
        *_of_files(found),
        *_of_dump(found),
        *_of_salt(found),
        *_of_plugins(found),
        *_of_tables(found),
        *_of_numbers(found),
        *_of_login(found),
        *_of_gate(found),
        *(_of_age(found.ages, limits) if found.ages else ()),
        *_of_time(found, limits),
        *_of_what_was_not_reached(found),
    ]
    order = list(Weight)
    return BackupVerdict(tuple(sorted(reasons, key=lambda reason: order.index(reason.weight))))


def _of_files(found: Findings) -> Iterable[Reason]:
    if said := found.unusable.get(Stage.FILES):
        yield Reason(Weight.NO, f"the files cannot be restored: {said}", "make the tar anew")
        return
    if not found.has_config:
        yield Reason(
            Weight.NO,
            "config.ini.php is not in the files, or cannot be read: nobody can log in to what is"
            " restored without it",
            "have the backup take config/, as backup-data.sh does",
        )
    if found.allow_lists:
        yield Reason(
            Weight.NOTE,
            "config.ini.php lets only some addresses log in; the drill's copy lets all, without"
            f" [General] {named(found.allow_lists)}",
        )
    if found.damaged:
        yield Reason(
            Weight.NO,
            f"files are not as when the backup was made: {named(found.damaged)}",
            "compare them with backup-manifest.txt, and make the backup anew",
        )
    for part, what in (("misc", "logos and databases of locations"), ("js", "tracker scripts")):
        if not found.parts.get(part):
            yield Reason(Weight.NOTE, f"no file is in {part}/, which has {what}")
    if found.has_logo is False:
        yield Reason(
            Weight.STEP,
            "production has a logo of its own, and misc/user/logo… is not in the files",
            "upload it again, or have the backup take misc/user",
        )
    if found.lost_containers:
        yield Reason(
            Weight.NO,
            "the scripts of published containers of the tag manager are not in js/, so pages get"
            f" none: {named(found.lost_containers)}",
            "have the backup take js/; or php console tagmanager:regenerate-released-containers",
        )
    for lack in found.lacks:
        yield Reason(Weight.NOTE, f"the backup says that it does not hold {lack}")
    if not found.is_listed:
        yield Reason(
            Weight.NOTE,
            "the files have no list of their own (backup-manifest.txt), so one that was lost on the"
            " way does not show",
        )


def _of_dump(found: Findings) -> Iterable[Reason]:
    if (said := found.unusable.get(Stage.DUMP)) and found.counts is None:
        yield Reason(
            Weight.NO,
            f"the dump cannot be loaded: {said}",
            "dump again, and look at the exit code of mariadb-dump",
        )
    for said in found.left_out:
        yield Reason(Weight.NOTE, f"of the dump: {said}")
    if (counts := found.counts) is None:
        return
    if not found.has_known_end:
        yield Reason(
            Weight.STEP,
            f"whether the dump is whole is not known: {NO_END}",
            "dump without --compact and --skip-comments, or look at the tool's exit code",
        )
    empty = [
        name
        for name, many in (
            ("option", bool(found.matomo)),
            ("site", counts.sites),
            ("user", counts.users),
        )
        if not many
    ]
    if empty:
        yield Reason(
            Weight.NO,
            f"the dump has tables and no rows where every Matomo has some: {named(empty)}",
            "dump without --no-data, as a user who may SELECT",
        )
    elif not counts.archives:
        yield Reason(
            Weight.NO,
            "the dump has no archives: reports of days whose visits are deleted are lost",
            "dump the tables archive_numeric_… and archive_blob_…, too",
        )
    if found.lost_reports:
        yield Reason(
            Weight.NO,
            "tables have the numbers of visits, and the reports beside them are not in the dump:"
            f" {named(found.lost_reports)}",
            "dump the tables archive_blob_…, too, with their rows",
        )
    if found.missing_months:
        yield Reason(
            Weight.NOTE,
            f"no table of archives is of these months: {named(found.missing_months)}",
            "did production have visits then? If so, dump all tables archive_numeric_… and"
            " archive_blob_…",
        )


def _of_salt(found: Findings) -> Iterable[Reason]:
    if found.counts is None:
        return
    if found.salt is Salt.NOWHERE:
        yield Reason(
            Weight.NO,
            "the salt is neither in the files nor given: no token opens what is restored, no"
            " session goes on, and every visitor is a new one",
            "keep MATOMO_GENERAL_SALT with your secrets, and give it to the drill as a variable",
        )
    elif found.salt_fits is False:
        yield Reason(
            Weight.NO,
            f"the salt does not fit the database ({found.salt}): the files are of another Matomo,"
            " or of another time",
            "take dump and files of one Matomo and one night",
        )
    elif found.salt is Salt.GIVEN:
        yield Reason(
            Weight.STEP,
            "the salt is not in the files: a restore needs it from where you keep secrets",
            "MATOMO_GENERAL_SALT",
        )
    if found.salt is not Salt.NOWHERE and found.salt_fits is None:
        yield Reason(Weight.NOTE, "whether the salt fits is not known: `anonymous` has no token")


def _of_plugins(found: Findings) -> Iterable[Reason]:
    if found.counts is None or not found.matomo:
        return
    if found.no_tables:
        yield Reason(
            Weight.NO,
            "config.ini.php names plugins that the database knows nothing of, so dump and files are"
            f" of different days: {named(found.no_tables)}",
            "take dump and files of one night",
        )
    if found.no_code:
        yield Reason(
            Weight.NO,
            "active plugins have no code, neither in the image nor in the files:"
            f" {named(found.no_code)}",
            "build them into the image, or have the backup take plugins/",
        )
    if found.code_in_files:
        yield Reason(
            Weight.STEP,
            f"the code of active plugins is in the files alone: {named(found.code_in_files)}",
            "build them into the image: a restore brings back no code",
        )
    if others := sorted({*found.without_image} - {*found.no_code, *found.code_in_files}):
        yield Reason(
            Weight.NOTE, f"the database has plugins that the image has no code of: {named(others)}"
        )
    if found.has_licence is False:
        yield Reason(
            Weight.NOTE,
            "no licence key is in the database: plugins that are bought are not updated without it",
        )


def _of_tables(found: Findings) -> Iterable[Reason]:
    for names, what in (
        (found.missing_tables, "tables that the code needs are not in the dump"),
        (found.missing_columns, "columns that hits are stored in are not in the dump"),
    ):
        if names:
            yield Reason(
                Weight.NO,
                f"{what}: {named(names)}",
                "dump all tables at once (--single-transaction), and not while a plugin or an"
                " update changes them",
            )
    if found.moved:
        yield Reason(
            Weight.NO,
            f"tables are not as in the dump once Matomo has started: {named(found.moved)}",
            "does config.ini.php fit these tables? Look at a reproduction: make repro",
        )


def _of_numbers(found: Findings) -> Iterable[Reason]:
    for compared, what in (
        (found.numbers, "numbers that Matomo reports are not those of the archives in the dump"),
        (found.production, "reports are not as in production"),
        (found.sample, "reports have other numbers once their day is archived anew"),
    ):
        yield from _of_compared(compared, what)


def _of_compared(compared: Comparison | None, what: str) -> Iterable[Reason]:
    if compared is None:
        return
    if compared.different:
        count = len(compared.different)
        yield Reason(
            Weight.NO,
            f"{count} of {compared.count} {what}: {named(compared.different)}",
            "are visits, goals or segments of these days missing in the dump?",
        )
    if compared.left_out:
        yield Reason(Weight.NOTE, f"not compared: {compared.left_out}")


def _of_login(found: Findings) -> Iterable[Reason]:
    login = found.login
    if login is None:
        return
    if not login.superusers:
        yield Reason(Weight.NO, "the database has no superuser: nobody can log in", "dump `user`")
    elif not login.is_in:
        yield Reason(
            Weight.NO,
            "a superuser of production cannot log in with the second factor of the database",
            "is the clock right? Does a plugin decide who gets in?",
        )
    elif not login.enrolled:
        yield Reason(Weight.STEP, "no superuser has a second factor in the database", "enrol one")
    elif not login.has_factor:
        yield Reason(
            Weight.NOTE,
            "the superuser of HARNESS_LOGIN has no second factor, so no code was asked for: another"
            " superuser has one",
        )
    elif not login.asked:
        yield Reason(
            Weight.NO,
            "a superuser with a second factor gets in without it: TwoFactorAuth is not active",
            "is it in [Plugins] of config.ini.php?",
        )
    if login.superusers and login.is_unknown:
        yield Reason(
            Weight.NOTE,
            "HARNESS_LOGIN and HARNESS_PASSWORD were not used: both are needed, of a superuser whom"
            " the database knows; a password was set on the copy for the login",
        )
    elif login.superusers and not login.by_own_password:
        yield Reason(
            Weight.NOTE,
            "a password was set on the copy for the login: HARNESS_LOGIN and HARNESS_PASSWORD give"
            " a real one, which proves that as well",
        )
    if login.token_opens is False and not login.is_token_there:
        yield Reason(
            Weight.NOTE,
            "the token of production is not in the dump: it was made after the dump, or is of"
            " another Matomo; so whether tokens open what is restored was not tried",
        )
    elif login.token_opens is False:
        yield Reason(
            Weight.NO,
            "the token of production does not open what is restored",
            "the salt, or the table user_token_auth, is another one",
        )


def _of_gate(found: Findings) -> Iterable[Reason]:
    if (gate := found.gate) is None:
        return
    if gate.not_possible:
        yield Reason(Weight.NOTE, f"there was no gate: {gate.not_possible}")
    if gate.red:
        yield Reason(
            Weight.NO,
            f"{len(gate.red)} checks of the gate are red"
            f" ({gate.counts.get('error', 0)} of them could not be completed):"
            f" {named(sorted(gate.red))}",
            "make gate URL= says whether production has it, too; make repro DUMP= FILES= and make"
            " gate REPRO= show what they see, without person data",
        )


def _of_age(ages: Ages, limits: Drill) -> Iterable[Reason]:
    if limits.oldest_hours is not None:
        limit = f"[drill] oldest_hours = {limits.oldest_hours:g}"
        signs = (("dump was taken", ages.dump), ("last that happened in it was", ages.last_sign))
        for what, moment in signs:
            hours = _hours(moment, ages.now)
            if hours is not None and hours > limits.oldest_hours:
                yield Reason(
                    Weight.NO,
                    f"the {what} {hours:.1f} hours ago, and {limit}",
                    "does the backup run every night, and of the server that is written to?",
                )
                break
    if not ages.is_said:
        yield Reason(
            Weight.NOTE, "the dump does not say when it was taken: the time of its file counts"
        )
    apart = _hours(ages.copied, ages.dump)
    if apart is not None and abs(apart) > APART_HOURS:
        side = "before" if apart > 0 else "after"
        yield Reason(
            Weight.STEP,
            f"the files are of {abs(apart):.0f} hours {side} the dump",
            "take them of one night: containers of the tag manager and plugins are in both",
        )


def _hours(of: datetime | None, to: datetime) -> float | None:
    return (to - of).total_seconds() / 3600 if of else None


def _of_time(found: Findings, limits: Drill) -> Iterable[Reason]:
    minutes = round(found.minutes_to_answer, 1)
    if limits.longest_minutes is not None and minutes > limits.longest_minutes:
        yield Reason(
            Weight.NO,
            f"Matomo answers after {minutes} minutes, and [drill] longest_minutes ="
            f" {limits.longest_minutes:g}",
            "the report has the time of each step",
        )


def _of_what_was_not_reached(found: Findings) -> Iterable[Reason]:
    for stage, said in found.unusable.items():
        if stage not in (Stage.FILES, Stage.DUMP):
            yield Reason(
                Weight.NO,
                f"{stage} broke off: expected {said}",
                "what was seen may name persons, so it is not written down: look at a reproduction"
                " (make repro DUMP= FILES=)",
            )
