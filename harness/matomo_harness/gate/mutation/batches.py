"""Batches for the mutation runner: controls in groups, the longest first, a shard of them all."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from matomo_harness.gate.catalogue import ALL
from matomo_harness.gate.core.check import Check
from matomo_harness.gate.core.context import Step
from matomo_harness.gate.mutants import Control, Mutant, Subject, Topology
from matomo_harness.gate.mutants.changes import every
from matomo_harness.gate.probes.accounts import (
    EnrolledAccount,
    SecondEnrolledAccount,
    UnenrolledAccounts,
)
from matomo_harness.gate.probes.reports import ArchiverRun, CountedVisits, SecondArchiverRun
from matomo_harness.gate.probes.traffic import Traffic
from matomo_harness.shard import Shard

# -- which checks ---------------------------------------------------------------------------------


def checks_for(subject: Subject, *, full: bool) -> list[Check]:
    """Return the checks to run on `subject`, in the gate's order.

    Args:
        subject: a mutant, or a control, which is for the whole gate.
        full: whether a mutant is, too; else it gets the checks that it names, and those of its own
            promise that cost little and need no step that the named ones do without. All checks
            take 50 s of a processor, these 1 to 5.
    """
    if full or isinstance(subject, Control):
        return list(ALL)
    if not subject.kills:
        # For a generated mutant the first red check is enough, so the cheap ones come first.
        return sorted(ALL, key=lambda check: check.costly)
    named = [check for check in ALL if check.id in subject.kills]
    performed = _steps(named)
    return [
        check
        for check in ALL
        if check in named
        or (check.promise == subject.promise and not check.costly and _steps([check]) <= performed)
    ]


def _steps(checks: Iterable[Check]) -> set[type[Step]]:
    return {step for check in checks for step in (*check.steps, *check.possible_steps)}


# -- groups ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """The subject, or the group of controls, that one deployment is made for.

    Args:
        subject: what is run; for a group, all of its controls as one.
        members: the controls of a group; empty where `subject` is not one.
    """

    subject: Subject
    members: tuple[Control, ...] = ()

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """The subjects of the matrix that this batch answers for."""
        return self.members or (self.subject,)


def batches_of(subjects: Sequence[Subject], *, full: bool) -> list[Batch]:
    """Return a batch for each of `subjects`; controls that do not contradict each other share one.

    A control joins the first group of its topology that alters nothing that it alters itself. So
    whole groups that are taken out of all subjects form again: a shard has them as they were.

    Args:
        subjects: mutants and controls.
        full: whether each control has a batch of its own.
    """
    groups: list[list[Control]] = []
    alone: list[Subject] = []
    for subject in subjects:
        if full or isinstance(subject, Mutant) or not _may_share(subject):
            alone.append(subject)
            continue
        fitting = (group for group in groups if all(_agree(subject, member) for member in group))
        if group := next(fitting, None):
            group.append(subject)
        else:
            groups.append([subject])
    return [*(Batch(subject) for subject in alone), *(_batch_of(group) for group in groups)]


def _may_share(control: Control) -> bool:
    return bool(control.alters) and not control.environment


def _agree(first: Control, second: Control) -> bool:
    return first.topology is second.topology and not set(first.alters) & set(second.alters)


def _batch_of(group: Sequence[Control]) -> Batch:
    first, *others = group
    if not others:
        return Batch(first)
    together = Control(
        f"{first.id}+{len(others)}",
        "all at once: " + "; ".join(control.says for control in group),
        every(*(control.change for control in group)),
        first.topology,
    )
    return Batch(together, tuple(group))


# -- what a batch costs ---------------------------------------------------------------------------

TOPOLOGY_SECONDS: Final[Mapping[Topology, float]] = {
    Topology.SHARED: 0.1,
    Topology.DEDICATED: 2.0,
    Topology.FULL_STACK: 8.0,
}
STEP_SECONDS: Final[Mapping[type[Step], float]] = {
    Traffic: 1.5,
    CountedVisits: 1.5,
    ArchiverRun: 9.0,
    SecondArchiverRun: 0.5,
    UnenrolledAccounts: 4.5,
    EnrolledAccount: 1.5,
    SecondEnrolledAccount: 1.5,
}
CHECK_SECONDS: Final = {True: 0.4, False: 0.05}
"""By whether the check is costly."""


def seconds(subject: Subject, *, full: bool) -> float:
    """Return roughly what `subject` costs in seconds of a processor: start, steps and checks."""
    checks = checks_for(subject, full=full)
    steps = sum(STEP_SECONDS.get(step, 0.0) for step in _steps(checks))
    of_checks = sum(CHECK_SECONDS[check.costly] for check in checks)
    return TOPOLOGY_SECONDS[subject.topology] + steps + of_checks


def longest_first(batches: Iterable[Batch], *, full: bool) -> list[Batch]:
    """Return `batches`, sorted so that no long one is left alone at the end."""
    return sorted(batches, key=lambda batch: (-seconds(batch.subject, full=full), batch.subject.id))


# -- shards ---------------------------------------------------------------------------------------


def part_of(shard: Shard, subjects: Sequence[Subject], *, full: bool) -> list[Subject]:
    """Return the subjects of `shard`, in their order.

    Each subject is in one shard, a group of controls is never divided, and all shards cost about
    the same. Only the subjects decide which go where: not the machine, not the hour.
    """
    loads = [0.0] * shard.count
    mine: set[str] = set()
    for batch in longest_first(batches_of(subjects, full=full), full=full):
        lightest = loads.index(min(loads))
        loads[lightest] += seconds(batch.subject, full=full)
        if lightest == shard.number - 1:
            mine |= {subject.id for subject in batch.subjects}
    return [subject for subject in subjects if subject.id in mine]
