"""The kill matrix: every mutant and every variant under the gate, each on a deployment of its own."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final

import pymysql
from docker.errors import DockerException
from requests import RequestException

from harness.errors import HarnessError
from harness.gate import run
from harness.gate.check import Check, Status
from harness.gate.checks import ALL
from harness.gate.mutants.mutant import Deployment, Mutant, Stage, Variant
from harness.gate.run import RED
from harness.policy import Policy
from harness.stack.golden import Golden
from harness.stack.pair import pair
from harness.stack.production import Production
from harness.stack.servers import Servers

STARTS: Final = "it starts"
"""In place of a check's id: what is red of a deployment that does not come up at all."""
CANNOT: Final = (HarnessError, LookupError, DockerException, RequestException, pymysql.Error)
"""What says that a change could not be made: the mutant is a mistake, and not the deployment."""
SLOWEST_FIRST: Final = (Stage.PRODUCTION, Stage.PAIR, Stage.INSTANCE)

Subject = Mutant | Variant


@dataclass(frozen=True)
class Row:
    """What the gate said of one mutant or variant.

    Args:
        subject: which.
        statuses: of each check that was run, by id.
        seen: by the checks that are red, by id.
        seconds: that it took, the deployment's start and end included.
        not_made: why the change could not be made; nothing was run then.
    """

    subject: Subject
    statuses: Mapping[str, Status]
    seen: Mapping[str, str]
    seconds: float
    not_made: str = ""

    @property
    def red(self) -> frozenset[str]:
        """Ids of the checks that are red."""
        return frozenset(name for name, status in self.statuses.items() if status in RED)

    def without(self, check: str) -> "Row":
        """Return the row of a gate that has no such check."""
        statuses = {name: it for name, it in self.statuses.items() if name != check}
        return Row(self.subject, statuses, self.seen, self.seconds, self.not_made)


def is_killed(row: Row) -> bool:
    """Whether every check that the mutant names is red; where it names none, whether any is."""
    return not missed(row)


def missed(row: Row) -> list[str]:
    """Return the checks that the mutant names and that are not red."""
    assert isinstance(row.subject, Mutant)  # noqa: S101
    if not row.subject.kills:
        return [] if row.red else ["any check"]
    return [it for it in row.subject.kills if it not in row.red]


# -- which checks ---------------------------------------------------------------------------------


def checks_for(subject: Subject, *, full: bool) -> list[Check]:
    """Return the checks to run on `subject`, in the gate's order.

    Args:
        subject: a variant is for the whole gate.
        full: a mutant too; else it gets the checks that it names and those of its own promise that
            cost little. All checks take 45 s of a processor, these 2 to 5.
    """
    if full or isinstance(subject, Variant):
        return list(ALL)
    if not subject.kills:
        # Of a generated one the first red check is enough: those that cost little come first.
        return sorted(ALL, key=lambda it: it.costly)
    cheap = {it.id for it in ALL if it.area == subject.promise and not it.costly}
    return [it for it in ALL if it.id in cheap or it.id in subject.kills]


# -- playing --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Theatre:
    """What deployments are made from.

    Args:
        golden: the installed state.
        servers: of instances that share them.
        policy: what is promised.
    """

    golden: Golden
    servers: Servers
    policy: Policy

    @contextmanager
    def deployment(self, subject: Subject) -> Iterator[Deployment]:
        """A healthy deployment of the kind that `subject` is played on, with its environment.

        Raises:
            HarnessError: it does not come up.
        """
        if subject.stage is Stage.PRODUCTION:
            with Production(self.golden, environment=subject.environment) as production:
                yield Deployment(self.policy, production=production)
        elif subject.stage is Stage.PAIR:
            with pair(self.golden, subject.environment) as made:
                yield Deployment(self.policy, alone=made)
        else:
            instance = self.servers.fresh()
            try:
                yield Deployment(self.policy, alone=instance)
            finally:
                self.servers.drop(instance)

    def play(self, subject: Subject, checks: Iterable[Check]) -> Row:
        """Make `subject` and run `checks` on it."""
        begun = monotonic()
        try:
            with self.deployment(subject) as deployment, deployment.faults:
                try:
                    subject.change(deployment)
                    looked_at = deployment.target
                except CANNOT as error:
                    return Row(subject, {}, {}, monotonic() - begun, not_made=str(error))
                first_is_enough = isinstance(subject, Mutant) and not subject.kills
                results = run.run(looked_at, checks, until_red=first_is_enough)
        except HarnessError as error:
            return Row(subject, {STARTS: Status.ERROR}, {STARTS: error.seen}, monotonic() - begun)
        return Row(
            subject,
            {it.check.id: it.status for it in results},
            {it.check.id: it.seen for it in results if it.status in RED},
            monotonic() - begun,
        )

    def play_all(
        self,
        subjects: Sequence[Subject],
        *,
        full: bool,
        at_once: int,
        told: Callable[[Row], None] = lambda _: None,
    ) -> list[Row]:
        """Play all, several at once, the slowest first; rows come in the order of `subjects`.

        Args:
            subjects: mutants and variants.
            full: see `checks_for`.
            at_once: how many.
            told: called with each row as it comes.
        """
        ordered = sorted(subjects, key=lambda it: SLOWEST_FIRST.index(it.stage))
        rows = {}
        with ThreadPoolExecutor(at_once) as pool:
            futures = [pool.submit(self.play, it, checks_for(it, full=full)) for it in ordered]
            try:
                for future in as_completed(futures):
                    row = future.result()
                    told(row)
                    rows[row.subject.id] = row
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return [rows[it.id] for it in subjects]


# -- what it says ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """What a matrix says of the gate; a gate that proves itself has none of these.

    Args:
        survivors: ids of mutants that a check which they name did not see.
        not_made: ids of mutants and variants whose change could not be made.
        false_alarms: ids of variants on which something was red.
        of_another_promise: ids of mutants that only checks of another promise saw.
        idle: ids of checks that no mutant turned red; empty where only a part was played.
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


def judge(rows: Iterable[Row], *, whole: bool) -> Verdict:
    """Judge the gate by its matrix.

    Args:
        rows: of mutants and variants.
        whole: all written ones are among them, so that a check without a kill is an idle one.
    """
    every = list(rows)
    made = [row for row in every if not row.not_made]
    mutants = [row for row in made if isinstance(row.subject, Mutant)]
    killed = [row for row in mutants if is_killed(row)]
    kills = frozenset[str]().union(*(row.red for row in mutants))
    return Verdict(
        survivors=tuple(row.subject.id for row in mutants if not is_killed(row)),
        not_made=tuple(row.subject.id for row in every if row.not_made),
        false_alarms=tuple(
            row.subject.id for row in made if isinstance(row.subject, Variant) and row.red
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


def last_line(rows: Iterable[Row], verdict: Verdict) -> str:
    """Return the line that says it all."""
    every = list(rows)
    mutants = [row for row in every if isinstance(row.subject, Mutant)]
    lost = set(verdict.survivors) | set(verdict.not_made)
    survived = sum(row.subject.id in lost for row in mutants)
    variants = len(every) - len(mutants)
    alarms = len(verdict.false_alarms) + sum(
        row.subject.id in verdict.not_made for row in every if isinstance(row.subject, Variant)
    )
    return (
        f"{len(mutants)} mutants, {len(mutants) - survived} killed, {survived} survived;"
        f" {variants} variants, {alarms} false alarms"
    )
