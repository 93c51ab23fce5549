"""Who is played when, and with whom: controls in groups, the longest first, a shard of it all."""

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
        subject: a control is for the whole gate.
        full: a mutant too; else it gets the checks that it names and those of its own promise that
            cost little and need no step that the named ones do without. All checks take 50 s of a
            processor, these 1 to 5.
    """
    if full or isinstance(subject, Control):
        return list(ALL)
    if not subject.kills:
        # Of a generated one the first red check is enough: those that cost little come first.
        return sorted(ALL, key=lambda it: it.costly)
    named = [it for it in ALL if it.id in subject.kills]
    performed = _steps(named)
    return [
        it
        for it in ALL
        if it in named
        or (it.promise == subject.promise and not it.costly and _steps([it]) <= performed)
    ]


def _steps(checks: Iterable[Check]) -> set[type[Step]]:
    return {step for it in checks for step in (*it.steps, *it.possible_steps)}


# -- groups ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """What one deployment is made for.

    Args:
        subject: what is played; of a group all of its controls as one.
        members: the controls of a group; empty where `subject` stands for itself.
    """

    subject: Subject
    members: tuple[Control, ...] = ()

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """Those of the matrix that this turn answers for."""
        return self.members or (self.subject,)


def batches_of(subjects: Sequence[Subject], *, full: bool) -> list[Batch]:
    """Return a turn for each of `subjects`; controls that do not contradict each other share one.

    A control joins the first group of its topology that alters nothing that it alters itself. So
    whole groups, taken out of all, fall into the same groups again: a shard has them as they were.

    Args:
        subjects: mutants and controls.
        full: each control has a turn of its own.
    """
    groups: list[list[Control]] = []
    alone: list[Subject] = []
    for subject in subjects:
        if full or isinstance(subject, Mutant) or not _may_share(subject):
            alone.append(subject)
            continue
        fitting = (group for group in groups if all(_agree(subject, it) for it in group))
        if group := next(fitting, None):
            group.append(subject)
        else:
            groups.append([subject])
    return [*(Batch(it) for it in alone), *(_turn_of(group) for group in groups)]


def _may_share(control: Control) -> bool:
    return bool(control.alters) and not control.environment


def _agree(one: Control, other: Control) -> bool:
    return one.topology is other.topology and not set(one.alters) & set(other.alters)


def _turn_of(group: Sequence[Control]) -> Batch:
    first, *others = group
    if not others:
        return Batch(first)
    together = Control(
        f"{first.id}+{len(others)}",
        "all at once: " + "; ".join(it.says for it in group),
        every(*(it.change for it in group)),
        first.topology,
    )
    return Batch(together, tuple(group))


# -- what a turn costs ----------------------------------------------------------------------------

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
    """Return what `subject` costs, roughly, in seconds of a processor: start, steps and checks."""
    checks = checks_for(subject, full=full)
    steps = sum(STEP_SECONDS.get(step, 0.0) for step in _steps(checks))
    return (
        TOPOLOGY_SECONDS[subject.topology] + steps + sum(CHECK_SECONDS[it.costly] for it in checks)
    )


def longest_first(batches: Iterable[Batch], *, full: bool) -> list[Batch]:
    """Return `turns` so that no long one is left alone at the end."""
    return sorted(batches, key=lambda it: (-seconds(it.subject, full=full), it.subject.id))


# -- shards ---------------------------------------------------------------------------------------


def part_of(shard: Shard, subjects: Sequence[Subject], *, full: bool) -> list[Subject]:
    """Return the subjects of `shard`, in their order.

    The shards have each subject once, whole groups of controls, and cost about the same. Only
    the subjects decide which go where: not the machine, not the hour.
    """
    loads = [0.0] * shard.count
    mine: set[str] = set()
    for batch in longest_first(batches_of(subjects, full=full), full=full):
        lightest = loads.index(min(loads))
        loads[lightest] += seconds(batch.subject, full=full)
        if lightest == shard.number - 1:
            mine |= {it.id for it in batch.subjects}
    return [it for it in subjects if it.id in mine]
