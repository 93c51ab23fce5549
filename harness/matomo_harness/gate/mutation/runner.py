"""The mutation runner: every mutant and every control under the gate, and what the matrix says."""

import dataclasses
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final

from matomo_harness.errors import HarnessError
from matomo_harness.gate.catalogue import ALL
from matomo_harness.gate.core import runner
from matomo_harness.gate.core.check import Check, Status
from matomo_harness.gate.core.runner import RED
from matomo_harness.gate.core.target import Target
from matomo_harness.gate.mutants import Control, Deployment, Mutant, Subject, Topology
from matomo_harness.gate.mutation.batches import Batch, batches_of, checks_for, longest_first
from matomo_harness.policy import Policy
from matomo_harness.runtime.dedicated import pair
from matomo_harness.runtime.full_stack import FullStack
from matomo_harness.runtime.golden import Golden
from matomo_harness.runtime.servers import Servers
from matomo_harness.time_limit import CLEAN_UP_SECONDS, within

STARTS: Final = "it starts"
"""In place of a check's id: what is red of a deployment that does not come up at all."""
CHANGE_SECONDS: Final = 180.0
"""The slowest change, a plugin's update, takes 5 s on an idle machine."""


@dataclass(frozen=True)
class Row:
    """What the gate said of one mutant or control.

    Args:
        subject: which.
        statuses: of each check that was run, by id.
        seen: by the checks that are red, by id.
        seconds: that it took, the deployment's start and end included.
        not_made: why the change could not be made, or its deployment not be ended; what was seen
            is worth nothing then.
        traceback: of what was raised then.
        together: ids of the controls that ran on the same deployment, itself among them;
            empty where it ran alone.
    """

    subject: Subject
    statuses: Mapping[str, Status]
    seen: Mapping[str, str]
    seconds: float
    not_made: str = ""
    traceback: str = ""
    together: tuple[str, ...] = ()

    @property
    def red(self) -> frozenset[str]:
        """Ids of the checks that are red."""
        return frozenset(name for name, status in self.statuses.items() if status in RED)

    def without(self, check: str) -> "Row":
        """Return the row of a gate that has no such check."""
        statuses = {name: it for name, it in self.statuses.items() if name != check}
        return dataclasses.replace(self, statuses=statuses)


def is_killed(row: Row) -> bool:
    """Whether every check that the mutant names is red; where it names none, whether any is."""
    return not missed(row)


def missed(row: Row) -> list[str]:
    """Return the checks that the mutant names and that are not red."""
    assert isinstance(row.subject, Mutant)  # noqa: S101
    if not row.subject.kills:
        return [] if row.red else ["any check"]
    return [it for it in row.subject.kills if it not in row.red]


# -- running --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MutationRunner:
    """What deployments are made from.

    Args:
        golden: the installed state.
        servers: of instances that share them.
        policy: what is promised.
        change_seconds: that the change of one may take.
    """

    golden: Golden
    servers: Servers
    policy: Policy
    change_seconds: float = CHANGE_SECONDS

    @contextmanager
    def deployment(self, subject: Subject) -> Iterator[Deployment]:
        """A healthy deployment of the kind that `subject` runs on, with its environment.

        Raises:
            HarnessError: it does not come up.
        """
        if subject.topology is Topology.FULL_STACK:
            with FullStack(self.golden, environment=subject.environment) as stack:
                yield Deployment(self.policy, whole=stack)
        elif subject.topology is Topology.DEDICATED:
            with pair(self.golden, subject.environment) as made:
                yield Deployment(self.policy, alone=made)
        else:
            instance = self.servers.fresh()
            try:
                yield Deployment(self.policy, alone=instance)
            finally:
                self.servers.drop(instance)

    def run(self, subject: Subject, checks: Iterable[Check]) -> Row:
        """Make `subject` and run `checks` on it; whatever goes wrong is its row's."""
        begun = monotonic()
        try:
            row = self._run(subject, checks)
        except HarnessError as error:
            row = Row(subject, {STARTS: Status.ERROR}, {STARTS: error.seen}, 0.0)
        except Exception as error:  # noqa: BLE001  the rest of the matrix goes on
            row = _not_made(subject, error)
        return dataclasses.replace(row, seconds=monotonic() - begun)

    def _run(self, subject: Subject, checks: Iterable[Check]) -> Row:
        with self.deployment(subject) as deployment, deployment.faults:
            try:
                looked_at = self._changed(subject, deployment)
            except BaseException as error:  # noqa: BLE001  of a thread of its own: no Ctrl-C
                return _not_made(subject, error)
            first_is_enough = isinstance(subject, Mutant) and not subject.kills
            results = runner.run(looked_at, checks, until_red=first_is_enough)
        return Row(
            subject,
            {it.check.id: it.status for it in results},
            {it.check.id: it.seen for it in results if it.status in RED},
            0.0,
        )

    def _changed(self, subject: Subject, deployment: Deployment) -> Target:
        """Make the change in a thread of its own, which is left to itself where it cannot be ended.

        Raises:
            BaseException: whatever the change raises.
        """
        made: Future[Target] = Future()

        def change() -> None:
            try:
                with within(self.change_seconds, f"the change of {subject.id}"):
                    subject.change(deployment)
                    made.set_result(deployment.target)
            except BaseException as error:  # noqa: BLE001  it is told to who waits
                made.set_exception(error)

        threading.Thread(target=change, name=subject.id, daemon=True).start()
        return made.result(self.change_seconds + CLEAN_UP_SECONDS)

    def run_all(
        self,
        subjects: Sequence[Subject],
        *,
        full: bool,
        at_once: int,
        on_row: Callable[[Row], None] = lambda _: None,
        on_red_group: Callable[[Row], None] = lambda _: None,
    ) -> list[Row]:
        """Play all, several at once; rows come in the order of `subjects`, then those of groups.

        Args:
            subjects: mutants and controls.
            full: see `checks_for` and `turns_of`.
            at_once: how many.
            on_row: called with each row as it comes.
            on_red_group: called with the row of a group that runs apart now.
        """

        def run(subject: Subject) -> Row:
            return self.run(subject, checks_for(subject, full=full))

        batches = longest_first(batches_of(subjects, full=full), full=full)
        rows = run_turns(batches, run, at_once=at_once, on_row=on_row, on_red_group=on_red_group)
        asked_for = [it.id for it in subjects]
        return [rows.pop(it) for it in asked_for] + list(rows.values())


def _not_made(subject: Subject, error: BaseException) -> Row:
    said = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
    told = "".join(traceback.format_exception(error))
    return Row(subject, {}, {}, 0.0, not_made=said, traceback=told)


def run_turns(
    batches: Iterable[Batch],
    run: Callable[[Subject], Row],
    *,
    at_once: int,
    on_row: Callable[[Row], None] = lambda _: None,
    on_red_group: Callable[[Row], None] = lambda _: None,
) -> dict[str, Row]:
    """Play `turns`, several at once; of a group on which all is well each member gets its row.

    Where anything is red, each member runs alone, so that it is named. Where none is red
    alone, the group is named: together they raised an alarm all the same.

    Args:
        turns: in the order in which to begin them.
        run: runs one subject.
        at_once: how many.
        on_row: called with each row as it comes.
        on_red_group: called with the row of a group that runs apart now.

    Returns:
        The rows by the ids of their subjects.
    """
    rows: dict[str, Row] = {}
    red_groups: list[tuple[Batch, Row]] = []

    def keep(row: Row) -> None:
        on_row(row)
        rows[row.subject.id] = row

    with ThreadPoolExecutor(at_once) as pool:
        ahead = {pool.submit(run, it.subject): it for it in batches}
        try:
            while ahead:
                for future in wait(ahead, return_when=FIRST_COMPLETED).done:
                    batch, row = ahead.pop(future), future.result()
                    if batch.members and _alarms(row):
                        red_groups.append((batch, row))
                        on_red_group(row)
                        ahead |= {pool.submit(run, it): Batch(it) for it in batch.members}
                    else:
                        for each in _shares(batch, row):
                            keep(each)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for batch, row in red_groups:
        if not any(_alarms(rows[it.id]) for it in batch.members):
            keep(dataclasses.replace(row, together=tuple(it.id for it in batch.members)))
    return rows


def _alarms(row: Row) -> bool:
    return bool(row.red or row.not_made)


def _shares(batch: Batch, row: Row) -> list[Row]:
    """Return the rows of those that `turn` answers for, each with its share of the seconds."""
    if not batch.members:
        return [row]
    together = tuple(it.id for it in batch.members)
    each = row.seconds / len(together)
    return [
        dataclasses.replace(row, subject=it, seconds=each, together=together)
        for it in batch.members
    ]


# -- what it says ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class MatrixVerdict:
    """What a matrix says of the gate; a gate that proves itself has none of these.

    Args:
        survivors: ids of mutants that a check which they name did not see.
        not_made: ids of mutants and controls whose change could not be made.
        false_alarms: ids of controls on which something was red.
        of_another_promise: ids of mutants that only checks of another promise saw.
        idle: ids of checks that no mutant turned red; empty where only a part ran.
    """

    survivors: tuple[str, ...]
    not_made: tuple[str, ...]
    false_alarms: tuple[str, ...]
    of_another_promise: tuple[str, ...]
    idle: tuple[str, ...]

    @property
    def proven(self) -> bool:
        """Whether the gate proved itself."""
        found = (
            self.survivors,
            self.not_made,
            self.false_alarms,
            self.of_another_promise,
            self.idle,
        )
        return not any(found)


def judge(rows: Iterable[Row], *, whole: bool) -> MatrixVerdict:
    """Judge the gate by its matrix.

    Args:
        rows: of mutants and controls.
        whole: all written ones are among them, so that a check without a kill is an idle one.
    """
    every = list(rows)
    made = [row for row in every if not row.not_made]
    mutants = [row for row in made if isinstance(row.subject, Mutant)]
    killed = [row for row in mutants if is_killed(row)]
    kills = frozenset[str]().union(*(row.red for row in mutants))
    return MatrixVerdict(
        survivors=tuple(row.subject.id for row in mutants if not is_killed(row)),
        not_made=tuple(row.subject.id for row in every if row.not_made),
        false_alarms=tuple(
            row.subject.id for row in made if isinstance(row.subject, Control) and row.red
        ),
        of_another_promise=tuple(row.subject.id for row in killed if not _by_its_own(row)),
        idle=tuple(it.id for it in ALL if it.id not in kills) if whole else (),
    )


def _by_its_own(row: Row) -> bool:
    assert isinstance(row.subject, Mutant)  # noqa: S101
    if not row.subject.kills:
        return True  # it is of no promise's own
    own = f"{row.subject.promise}."
    return STARTS in row.red or any(it.startswith(own) for it in row.red)


def last_line(rows: Iterable[Row], verdict: MatrixVerdict) -> str:
    """Return the line that says it all."""
    every = list(rows)
    mutants = [row for row in every if isinstance(row.subject, Mutant)]
    lost = set(verdict.survivors) | set(verdict.not_made)
    survived = sum(row.subject.id in lost for row in mutants)
    controls = len(every) - len(mutants)
    alarms = len(verdict.false_alarms) + sum(
        row.subject.id in verdict.not_made for row in every if isinstance(row.subject, Control)
    )
    return (
        f"{len(mutants)} mutants, {len(mutants) - survived} killed, {survived} survived;"
        f" {controls} controls, {alarms} false alarms"
    )
