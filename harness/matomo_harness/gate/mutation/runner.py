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
"""Used in place of a check's id: red where a deployment does not come up at all."""
CHANGE_SECONDS: Final = 180.0
"""The slowest change, a plugin's update, takes 5 s on an idle machine."""


@dataclass(frozen=True)
class Row:
    """What the gate said of one mutant or control.

    Args:
        subject: the mutant or control.
        statuses: how each check that was run ended, by id.
        seen: what the red checks saw, by id.
        seconds: how long it took, the deployment's start and end included.
        not_made: why the change could not be made, or its deployment not ended; what was seen is
            then worth nothing.
        traceback: that of the error that was raised then.
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
        statuses = {name: status for name, status in self.statuses.items() if name != check}
        return dataclasses.replace(self, statuses=statuses)


def is_killed(row: Row) -> bool:
    """Whether every check that the mutant names is red; where it names none, whether any is."""
    return not missed(row)


def missed(row: Row) -> list[str]:
    """Return the checks that the mutant names and that are not red."""
    assert isinstance(row.subject, Mutant)  # noqa: S101
    if not row.subject.kills:
        return [] if row.red else ["any check"]
    return [check for check in row.subject.kills if check not in row.red]


# -- running --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MutationRunner:
    """Makes a deployment for each mutant and control, and runs the gate on it.

    Args:
        golden: the installed state.
        servers: those that shared instances run on.
        policy: what is promised.
        change_seconds: how long the change of one subject may take.
    """

    golden: Golden
    servers: Servers
    policy: Policy
    change_seconds: float = CHANGE_SECONDS

    @contextmanager
    def deployment(self, subject: Subject) -> Iterator[Deployment]:
        """Yield a healthy deployment of the topology that `subject` runs on, with its environment.

        Raises:
            HarnessError: the deployment does not come up.
        """
        if subject.topology is Topology.FULL_STACK:
            with FullStack(self.golden, environment=subject.environment) as stack:
                yield Deployment(self.policy, stack=stack)
        elif subject.topology is Topology.DEDICATED:
            with pair(self.golden, subject.environment) as dedicated:
                yield Deployment(self.policy, alone=dedicated)
        else:
            instance = self.servers.fresh()
            try:
                yield Deployment(self.policy, alone=instance)
            finally:
                self.servers.drop(instance)

    def run(self, subject: Subject, checks: Iterable[Check]) -> Row:
        """Make `subject` and run `checks` on it; whatever goes wrong is in its row."""
        started = monotonic()
        try:
            row = self._run(subject, checks)
        except HarnessError as error:
            row = Row(subject, {STARTS: Status.ERROR}, {STARTS: error.seen}, 0.0)
        except Exception as error:  # noqa: BLE001  the rest of the matrix goes on
            row = _not_made(subject, error)
        return dataclasses.replace(row, seconds=monotonic() - started)

    def _run(self, subject: Subject, checks: Iterable[Check]) -> Row:
        with self.deployment(subject) as deployment, deployment.faults:
            try:
                target = self._changed_target(subject, deployment)
            except BaseException as error:  # noqa: BLE001  from a thread of its own: no Ctrl-C
                return _not_made(subject, error)
            first_is_enough = isinstance(subject, Mutant) and not subject.kills
            results = runner.run(target, checks, until_red=first_is_enough)
        return Row(
            subject,
            {result.check.id: result.status for result in results},
            {result.check.id: result.seen for result in results if result.status in RED},
            0.0,
        )

    def _changed_target(self, subject: Subject, deployment: Deployment) -> Target:
        """Make the change in a thread of its own, which is abandoned where it cannot be ended.

        Raises:
            BaseException: whatever the change raises.
        """
        outcome: Future[Target] = Future()

        def change() -> None:
            try:
                with within(self.change_seconds, f"the change of {subject.id}"):
                    subject.change(deployment)
                    outcome.set_result(deployment.target)
            except BaseException as error:  # noqa: BLE001  it is for whoever waits
                outcome.set_exception(error)

        threading.Thread(target=change, name=subject.id, daemon=True).start()
        return outcome.result(self.change_seconds + CLEAN_UP_SECONDS)

    def run_all(
        self,
        subjects: Sequence[Subject],
        *,
        full: bool,
        at_once: int,
        on_row: Callable[[Row], None] = lambda _: None,
        on_red_group: Callable[[Row], None] = lambda _: None,
    ) -> list[Row]:
        """Run all, several at once; rows come in the order of `subjects`, then those of groups.

        Args:
            subjects: mutants and controls.
            full: see `checks_for` and `batches_of`.
            at_once: how many run side by side.
            on_row: called with each row as it comes.
            on_red_group: called with the row of a group whose members now run alone.
        """

        def run(subject: Subject) -> Row:
            return self.run(subject, checks_for(subject, full=full))

        batches = longest_first(batches_of(subjects, full=full), full=full)
        rows = run_batches(batches, run, at_once=at_once, on_row=on_row, on_red_group=on_red_group)
        ids = [subject.id for subject in subjects]
        return [rows.pop(name) for name in ids] + list(rows.values())


def _not_made(subject: Subject, error: BaseException) -> Row:
    reason = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error))
    return Row(subject, {}, {}, 0.0, not_made=reason, traceback=trace)


def run_batches(
    batches: Iterable[Batch],
    run: Callable[[Subject], Row],
    *,
    at_once: int,
    on_row: Callable[[Row], None] = lambda _: None,
    on_red_group: Callable[[Row], None] = lambda _: None,
) -> dict[str, Row]:
    """Run `batches`, several at once; of a group on which all is green each member gets its row.

    Where a group is red, each member runs alone, so that the culprit is named. Where none is red
    alone, the group is named: together they raised an alarm all the same.

    Args:
        batches: in the order in which to begin them.
        run: runs one subject.
        at_once: how many run side by side.
        on_row: called with each row as it comes.
        on_red_group: called with the row of a group whose members now run alone.

    Returns:
        The rows by the ids of their subjects.
    """
    rows: dict[str, Row] = {}
    red_groups: list[tuple[Batch, Row]] = []

    def record(row: Row) -> None:
        on_row(row)
        rows[row.subject.id] = row

    with ThreadPoolExecutor(at_once) as pool:
        ahead = {pool.submit(run, batch.subject): batch for batch in batches}
        try:
            while ahead:
                for future in wait(ahead, return_when=FIRST_COMPLETED).done:
                    batch, row = ahead.pop(future), future.result()
                    if batch.members and _alarms(row):
                        red_groups.append((batch, row))
                        on_red_group(row)
                        ahead |= {
                            pool.submit(run, member): Batch(member) for member in batch.members
                        }
                    else:
                        for share in _shares(batch, row):
                            record(share)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for batch, row in red_groups:
        ids = tuple(member.id for member in batch.members)
        if not any(_alarms(rows[name]) for name in ids):
            record(dataclasses.replace(row, together=ids))
    return rows


def _alarms(row: Row) -> bool:
    return bool(row.red or row.not_made)


def _shares(batch: Batch, row: Row) -> list[Row]:
    """Return the rows of all that `batch` answers for, each with its share of the seconds."""
    if not batch.members:
        return [row]
    together = tuple(member.id for member in batch.members)
    share = row.seconds / len(together)
    return [
        dataclasses.replace(row, subject=member, seconds=share, together=together)
        for member in batch.members
    ]


# -- what it says ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class MatrixVerdict:
    """What a matrix says of the gate; a gate that proves itself has none of these.

    Args:
        survivors: ids of mutants that a check did not see although they name it.
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
        rows: those of mutants and controls.
        whole: whether all written ones are among them, so that a check without a kill is idle.
    """
    every_row = list(rows)
    made = [row for row in every_row if not row.not_made]
    mutants = [row for row in made if isinstance(row.subject, Mutant)]
    killed = [row for row in mutants if is_killed(row)]
    kills = frozenset[str]().union(*(row.red for row in mutants))
    return MatrixVerdict(
        survivors=tuple(row.subject.id for row in mutants if not is_killed(row)),
        not_made=tuple(row.subject.id for row in every_row if row.not_made),
        false_alarms=tuple(
            row.subject.id for row in made if isinstance(row.subject, Control) and row.red
        ),
        of_another_promise=tuple(
            row.subject.id for row in killed if not _is_seen_by_its_promise(row)
        ),
        idle=tuple(check.id for check in ALL if check.id not in kills) if whole else (),
    )


def _is_seen_by_its_promise(row: Row) -> bool:
    assert isinstance(row.subject, Mutant)  # noqa: S101
    if not row.subject.kills:
        return True  # a generated mutant is of no promise
    own = f"{row.subject.promise}."
    return STARTS in row.red or any(check.startswith(own) for check in row.red)


def last_line(rows: Iterable[Row], verdict: MatrixVerdict) -> str:
    """Return the summary of a matrix in one line."""
    every_row = list(rows)
    mutants = [row for row in every_row if isinstance(row.subject, Mutant)]
    lost = set(verdict.survivors) | set(verdict.not_made)
    survived = sum(row.subject.id in lost for row in mutants)
    controls = len(every_row) - len(mutants)
    alarms = len(verdict.false_alarms) + sum(
        row.subject.id in verdict.not_made for row in every_row if isinstance(row.subject, Control)
    )
    return (
        f"{len(mutants)} mutants, {len(mutants) - survived} killed, {survived} survived;"
        f" {controls} controls, {alarms} false alarms"
    )
