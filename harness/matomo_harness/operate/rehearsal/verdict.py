"""What a rehearsal's findings mean for the real upgrade: go, go with these steps, or no."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from matomo_harness.operate.rehearsal import stages
from matomo_harness.operate.rehearsal.findings import Findings
from matomo_harness.operate.rehearsal.plugin import Kind
from matomo_harness.operate.rehearsal.state import State, gone_columns
from matomo_harness.policy import Upgrade

NAMED: Final = 8
"""So many of a list are named; the report has the others."""


class Weight(StrEnum):
    """What a reason means."""

    NO = "no"
    STEP = "step"
    NOTE = "note"


@dataclass(frozen=True)
class Reason:
    """Something that speaks against the upgrade, has to be done with it, or is good to know.

    Args:
        weight: which of these.
        what: in a sentence.
        next: what to do.
    """

    weight: Weight
    what: str
    next: str = ""


@dataclass(frozen=True)
class Verdict:
    """The verdict.

    Args:
        reasons: what speaks against it first, then steps, then notes.
    """

    reasons: tuple[Reason, ...]

    @property
    def is_go(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.of(Weight.NO)

    def of(self, weight: Weight) -> list[Reason]:
        """Return the reasons of a weight."""
        return [reason for reason in self.reasons if reason.weight is weight]

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        against, steps = len(self.of(Weight.NO)), len(self.of(Weight.STEP))
        if against:
            return f"No: {_counted(against, 'thing speaks', 'things speak')} against it."
        return f"Go, with {_counted(steps, 'step', 'steps')}." if steps else "Go."


def verdict(found: Findings, limits: Upgrade) -> Verdict:
    """Return what `found` means, by the limits of the policy."""
    reasons = [
        *_of_the_way(found),
        *_of_the_server(found),
        *_of_code_and_tables(found),
        *_of_plugins(found),
        *_of_the_tracker(found),
        *_of_the_archiver(found),
        *_of_numbers(found),
        *_of_configuration(found),
        *_of_gates(found),
        *_of_hits(found, limits),
        *_of_time(found, limits),
        *_of_ways_back(found),
    ]
    order = list(Weight)
    return Verdict(tuple(sorted(reasons, key=lambda reason: order.index(reason.weight))))


def _of_the_way(found: Findings) -> Iterable[Reason]:
    if found.failed:
        yield Reason(Weight.NO, f"the upgrade ended early: {found.failed}", "mend it on a copy")
    if found.update and found.second_update and found.second_update.is_done:
        yield Reason(
            Weight.NO,
            "core:update failed half way, and its second run went through: the first said"
            f" {found.update.said}",
            "find the migration that fails on your tables, and mend them before the upgrade",
        )
    if found.update and found.update.is_done and found.update.warnings:
        yield Reason(
            Weight.NO,
            "core:update says that it is done, and left something out, which Matomo may never try"
            f" again: {named(found.update.warnings)}",
            "mend on a copy what it names, then rehearse again",
        )


def _of_the_server(found: Findings) -> Iterable[Reason]:
    server = found.server
    if server and server.changed:
        yield Reason(
            Weight.NO,
            f"on the new database server tables are not as before: {named(server.changed)}",
            "compare them on a copy before you upgrade the server",
        )
    if server and server.speech:
        written = ", ".join(f"{key} = {value}" for key, value in server.speech.items())
        yield Reason(
            Weight.STEP,
            f"[database] {written} has to be in config.ini.php before: with the new server's own"
            " collation archiving ends with 'Illegal mix of collations' (error 1267)",
            "put it into the file that the image is built with, or MATOMO_DATABASE_COLLATION into"
            " the environment, and deploy that first",
        )
    if server:
        yield Reason(
            Weight.NOTE,
            f"from MariaDB {server.before} to {server.after} ({server.way}): the old server opens"
            " none of the new one's files, so its way back is a restore",
        )


def _of_code_and_tables(found: Findings) -> Iterable[Reason]:
    before, after = found.before, found.after
    if after is None or before is None:
        return
    if after.code != found.new_version:
        yield Reason(
            Weight.NO,
            f"Matomo {after.code} runs from an image with {found.new_version}: the volume has old"
            " code, which hides the image's",
            "take the code off the volume: mount config/, misc/ and js/ alone",
        )
    if after.updates:
        yield Reason(
            Weight.NO,
            f"after core:update these still wait for an update: {named(after.updates)}",
            "php console core:update --yes, once more",
        )
    elif after.tables != after.code:
        yield Reason(
            Weight.NO,
            f"core:update says that it is done, and the tables are of {after.tables}",
            "php console core:update --yes, and read what it prints",
        )
    if lacking := [each for each in after.lacking if each not in before.lacking]:
        yield Reason(
            Weight.NO,
            f"columns that active plugins store hits in are not there: {named(lacking)}",
            "deactivate and activate the plugin, on a copy; then rehearse again",
        )
    if found.emptied:
        yield Reason(
            Weight.NO,
            f"tables that had rows before are empty or gone: {named(found.emptied)}",
            "find the migration that does it in the report; keep a copy of what you need of them",
        )
    if gone := sorted(before.columns.keys() - after.columns.keys() - {*found.emptied}):
        yield Reason(Weight.NOTE, f"tables are gone: {named(gone)}")
    if gone := gone_columns(before, after):
        yield Reason(
            Weight.NOTE,
            f"columns are gone, with what was in them: {named(gone)}",
            "keep a copy of what you need of them: afterwards only a restore brings it back",
        )
    known = _strange_collations(before)
    if strange := [each for each in _strange_collations(after) if each not in known]:
        yield Reason(
            Weight.NO,
            f"tables with another character set or collation than the rest: {named(strange)}",
            "ALTER TABLE … CONVERT TO CHARACTER SET, before the upgrade",
        )
    if known:
        yield Reason(Weight.NOTE, f"of another collation than the rest already: {named(known)}")


def _strange_collations(state: State) -> list[str]:
    """Name the tables of another collation than most of them have."""
    counts = Counter(state.collations.values())
    if len(counts) < 2:
        return []
    ((usual, _),) = counts.most_common(1)
    return [f"{table} ({found})" for table, found in state.collations.items() if found != usual]


def _of_plugins(found: Findings) -> Iterable[Reason]:
    before, after = found.before, found.after
    if before is None or after is None:
        return
    plugin = found.plugin
    if plugin and plugin.kind is Kind.ADD and plugin.name not in after.plugins:
        yield Reason(
            Weight.NO,
            f"{plugin.name} was switched on ({plugin.route}), and is not active",
            "read what Matomo says of it in Administration, Plugins",
        )
    if plugin and plugin.kind is Kind.UPDATE and plugin.version:
        seen = after.plugins.get(plugin.name)
        if seen != plugin.version:
            is_of = "not active" if seen is None else f"of {seen or 'no version'} in the tables"
            yield Reason(
                Weight.NO,
                f"{plugin.name} {plugin.version} was put into the image, and it is {is_of}",
                "give a newer one, of a plugin that is on: there is no way down",
            )
    removed = {plugin.name} if plugin and plugin.kind is Kind.REMOVE else set()
    if removed:
        if plugin and plugin.name in before.plugins:
            yield Reason(
                Weight.STEP,
                f"active before, and removed: {plugin.name}",
                "take it out of [plugins] of the policy and of [Plugins] of the file",
            )
        yield Reason(
            Weight.NOTE,
            f"tables and settings of {plugin.name if plugin else ''} stay in the database",
            "plugin:uninstall removes them for good, while its files are still there",
        )
    if gone := sorted(before.plugins.keys() - after.plugins.keys() - removed):
        yield Reason(
            Weight.NO,
            f"active before, and not any more: {named(gone)}",
            "matomo-harness fit --to the new version says which take it",
        )
    if new := sorted(after.plugins.keys() - before.plugins.keys()):
        yield Reason(
            Weight.STEP,
            f"active now, and not before: {named(new)}",
            "add them to [plugins] of the policy and to [Plugins] of the file, or switch them off",
        )
    if off := sorted(after.defaults - before.defaults - after.plugins.keys()):
        yield Reason(
            Weight.STEP,
            "Matomo has them on from now on, and here they stay off, as the file has a list of its"
            f" own: {named(off)}",
            "decide for each: add it to [Plugins] of the file and [plugins] of the policy, or leave"
            " it off and say so in the policy",
        )


def _of_the_tracker(found: Findings) -> Iterable[Reason]:
    before, after = found.before, found.after
    if before and after and before.tracker_is_whole and after.tracker_is_whole is False:
        yield Reason(
            Weight.NO,
            f"matomo.js is not what Matomo {after.code} makes of its own and its plugins' scripts:"
            " the image has one that was taken from an older version",
            "build the image with the version's own one, or: php console custom-matomo-js:update",
        )
    if found.deployment_loses_tracker:
        yield Reason(
            Weight.STEP,
            "matomo.js has the script of a plugin, and the next deployment has Matomo's own again",
            "php console custom-matomo-js:update in a container of the new image, and put its"
            " matomo.js into the image",
        )


def _of_the_archiver(found: Findings) -> Iterable[Reason]:
    today = found.archiver_failed.get(stages.TODAY)
    if now := found.archiver_failed.get(stages.AFTER):
        yield Reason(
            Weight.STEP if today else Weight.NO,
            f"the archiver fails after the upgrade{', as it does today' if today else ''}: {now}",
            "php console core:archive says what it is",
        )
    if today:
        yield Reason(Weight.NOTE, f"the archiver fails today already: {today}")


def _of_numbers(found: Findings) -> Iterable[Reason]:
    for names, how in (
        (found.unreadable, "reports said something before, and are empty or an error now"),
        (
            _records(found.changed_archives),
            "records of archives are not as they were after core:update",
        ),
        (found.changed_numbers, "reports have other numbers after the upgrade"),
        (found.changed_again, "reports have other numbers once their day is archived anew"),
    ):
        if names:
            yield Reason(
                Weight.NO,
                f"{len(names)} {how}: {named(names)}",
                "compare them on a copy before you upgrade",
            )
    if found.after and not found.compared_numbers:
        yield Reason(Weight.NOTE, "there was no archive, so no number was compared")


def _records(archives: Iterable[str]) -> list[str]:
    """Return the names of what is archived, with the number of archives that have it otherwise."""
    counts = Counter(name.rpartition(", ")[2] for name in archives)
    return [f"{name} ({count})" for name, count in sorted(counts.items())]


def _of_configuration(found: Findings) -> Iterable[Reason]:
    if found.restart_takes_back:
        yield Reason(
            Weight.STEP,
            "what core:update writes into config.ini.php is gone with the next deployment:"
            f" {named(found.restart_takes_back)}",
            "apply config.patch to the file that the image is built with, before you deploy",
        )
    elif found.config_patch:
        yield Reason(
            Weight.STEP,
            "core:update writes into config.ini.php",
            "apply config.patch to the file that the image is built with, too",
        )


def _said_as_steps(found: Findings) -> set[str]:
    """Return the checks that are red by what a step says: the repository is changed with it."""
    said = {"settings.file_is_of_the_image"} if found.config_patch else set()
    if found.before and found.after:
        before, after = found.before.plugins.keys(), found.after.plugins.keys()
        if after - before:
            said.add("plugins.nothing_else_is_active")
        plugin = found.plugin
        if plugin and plugin.kind is Kind.REMOVE and before - after == {plugin.name}:
            said.add("plugins.promised_are_active")
    return said


def _of_gates(found: Findings) -> Iterable[Reason]:
    gates = found.gates
    today = gates.get(stages.TODAY)
    red_today = set(today.red) if today else set()
    unknown_today = set(today.errors) if today else set()
    passed_today = set(today.passed) if today else set()
    is_compared = today is not None and not today.not_possible
    before = "that pass today" if is_compared else "and there is no gate of today to compare with"
    for stage, gate in gates.items():
        if gate.not_possible:
            # Where today's code was judged, nobody knows whether what passes today still does.
            is_lost = is_compared and stage != stages.TODAY
            yield Reason(
                Weight.STEP if is_lost else Weight.NOTE,
                f"no gate of {stage}: {gate.not_possible}",
                "judge it by a harness that knows this version" if is_lost else "",
            )
        if stage == stages.TODAY:
            continue
        # What nobody knows of today is excused where nobody knows of it again, and not where it
        # is broken.
        known = red_today - unknown_today | unknown_today & set(gate.errors)
        said = _said_as_steps(found) if stage == stages.AFTER else set()
        if new := sorted(set(gate.red) - known - said):
            first = f": {gate.red[new[0]][:200]}"
            yield Reason(
                Weight.NO,
                f"{stage}: {len(new)} checks are red {before}: {named(new)}{first}",
                f"open {gate.directory}/index.html",
            )
        if unseen := sorted(passed_today & set(gate.not_examined)):
            yield Reason(
                Weight.STEP,
                f"{stage}: {len(unseen)} checks pass today and were not examined: {named(unseen)}",
                f"open {gate.directory}/index.html, which says what they lacked",
            )
    if red_today:
        yield Reason(Weight.NOTE, f"red today already: {named(sorted(red_today))}")


def _of_hits(found: Findings, limits: Upgrade) -> Iterable[Reason]:
    today = next((each for each in found.hits if each.stage == stages.TODAY), None)
    # Where a later one is stored, those of today were stored as well, and are lost.
    is_blind = bool(today and today.answered) and not any(each.stored for each in found.hits)
    if is_blind:
        yield Reason(
            Weight.NOTE,
            "today's Matomo stores none of the rehearsal's hits and answers them well (it may"
            " exclude private addresses), so what an upgrade loses of them is not known",
            "take that exclusion out in a snapshot of its own, and rehearse from that",
        )
    for account in found.hits:
        if account.lost_silently and not is_blind:
            yield Reason(
                Weight.NO,
                f"{account.stage}: {account.lost_silently} hits were answered well and not stored",
                "rehearse again: where it stays so, something else than Matomo answers for it then",
            )
    if found.unknown_hits:
        yield Reason(
            Weight.NOTE,
            f"whether {found.unknown_hits} hits were stored is not known, as the database was gone"
            " when they were looked for",
        )
    lost = sum(
        account.sent - account.answered if is_blind else account.lost
        for account in found.hits
        if account.stage in stages.ON_THE_WAY
    )
    if lost:
        is_too_many = limits.lost_hits is not None and lost > limits.lost_hits
        limit = f", and [upgrade] lost_hits = {limits.lost_hits}" if is_too_many else ""
        yield Reason(
            Weight.NO if is_too_many else Weight.NOTE,
            f"{lost} of {sum(each.sent for each in found.hits)} hits were lost on the way{limit}",
            "a deployment that starts the new container before it ends the old one loses none",
        )
    if found.lost_by_return:
        yield Reason(
            Weight.NOTE,
            f"going back by a restore loses what was tracked since the backup: here"
            f" {found.lost_by_return} hits",
        )


def _of_time(found: Findings, limits: Upgrade) -> Iterable[Reason]:
    minutes = round(found.seconds(*stages.CLOSED_TO_PEOPLE) / 60, 1)
    if limits.longest_minutes is not None and minutes > limits.longest_minutes:
        yield Reason(
            Weight.NO,
            f"people see no report for {minutes} minutes, and [upgrade] longest_minutes ="
            f" {limits.longest_minutes:g}{_longest(found)}",
            "the report has the time of each migration",
        )


def _longest(found: Findings) -> str:
    longest = found.update.longest if found.update else None
    return f"; the longest step took {longest.seconds:g} s: {longest.text}" if longest else ""


def _of_ways_back(found: Findings) -> Iterable[Reason]:
    for tables, how in (
        (found.back_at_once, "without a restore"),
        (found.back_restored, "by a restore"),
    ):
        if tables is None and (found.changes_code or tables is found.back_restored):
            yield Reason(Weight.NO, f"the way back {how} was not reached")
        elif tables:
            yield Reason(
                Weight.NO, f"after the way back {how} tables are not as before: {named(tables)}"
            )


def _counted(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"


def named(names: Iterable[str]) -> str:
    """Return the first of some names, and how many others there are."""
    listed = list(names)
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return ", ".join(listed[:NAMED]) + more
