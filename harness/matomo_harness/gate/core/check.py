"""What a check is: an id, the sentence that it proves, what it needs, and its finding.

A check needs capabilities of the target, and steps that the runner performs before it: hits that
are sent, an archiver that has run, accounts that are made.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from matomo_harness.gate.probes.look import Look


class Status(StrEnum):
    """How a check ended."""

    PASS = "pass"  # noqa: S105  no password
    FAIL = "fail"
    SKIP = "skip"
    ERROR = "error"


class Capability(StrEnum):
    """What a check may need of a target; the value says what is missing without it."""

    API = "a superuser's token, as HARNESS_TOKEN"
    LOGIN = "HARNESS_LOGIN, HARNESS_PASSWORD and HARNESS_TOTP_SECRET of a superuser"
    HITS = "leave to store hits on a test site: --allow-hits"
    CHANGE = "an instance that may be changed: accounts, sites, archives (a built image)"
    CONTAINER = "the container: its console, files and environment (a built image)"
    WEB_ROOT = "a web root of its own, whose code may be changed (dedicated containers)"
    DATABASE = "the database (a built image)"
    SERVICES = "the services around it: proxy, mail relay, archiver (a built image)"


class UndeclaredCapabilityError(RuntimeError):
    """A check uses a capability that it does not declare: a mistake in the check."""


T = TypeVar("T")


def given(value: T | None, capability: Capability) -> T:
    """Return what a target offers by `capability`.

    Raises:
        UndeclaredCapabilityError: nothing; who declares the capability is not run then.
    """
    if value is None:
        raise UndeclaredCapabilityError(f"Capability.{capability.name} is used and not declared")
    return value


class Step(StrEnum):
    """What the runner does before a check looks, once for all checks; the value says what.

    A check sees the results of the steps that it declares, and of no other.
    """

    SITE = "a test site is made"
    TRAFFIC = "test traffic is sent and stored"
    REFUSED_HITS = "hits that must be refused are sent"
    COUNTED_VISITS = "visits are sent whose reports are known"
    ARCHIVER_RUN = "the archiver runs"
    ARCHIVES = "the archiver makes reports"
    SECOND_ARCHIVER_RUN = "the archiver runs again"
    MAILED_REPORT = "a report is mailed"
    ACCOUNTS = "test accounts without a second factor are made"
    ENROLLED_ACCOUNT = "a test account with a second factor is made"
    SECOND_ENROLLED_ACCOUNT = "another test account with a second factor is made"


NEEDS: Final[Mapping[Step, tuple[Step, ...]]] = {
    Step.TRAFFIC: (Step.SITE,),
    Step.REFUSED_HITS: (Step.SITE,),
    Step.ARCHIVES: (Step.ARCHIVER_RUN,),
    Step.SECOND_ARCHIVER_RUN: (Step.COUNTED_VISITS, Step.ARCHIVES),
    Step.MAILED_REPORT: (Step.TRAFFIC, Step.ARCHIVES),
    Step.SECOND_ENROLLED_ACCOUNT: (Step.ENROLLED_ACCOUNT,),
}
"""Steps that must have succeeded before another."""
REQUIRED: Final[Mapping[Step, frozenset[Capability]]] = {
    **dict.fromkeys(Step, frozenset({Capability.CHANGE})),
    **dict.fromkeys((Step.SITE, Step.TRAFFIC), frozenset({Capability.HITS, Capability.API})),
}
"""Capabilities without which a step is not performed."""


def with_needed(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Return `steps` and all that they need, in the order in which they are performed."""
    wanted: set[Step] = set()
    ahead = list(steps)
    while ahead:
        step = ahead.pop()
        wanted.add(step)
        ahead += NEEDS.get(step, ())
    return tuple(step for step in Step if step in wanted)


class Group(StrEnum):
    """Checks that share what one worker has at hand, or that would disturb each other."""

    TRAFFIC = "traffic"
    ACCOUNTS = "accounts"
    ENROLLED = "enrolled accounts"
    LOGIN = "login"
    WEB_ROOT = "web root"
    ALONE = "alone"
    """Nothing else may look meanwhile: the check breaks something for a moment."""


GROUP_OF_STEP: Final[Mapping[Step, Group]] = {
    **dict.fromkeys(Step, Group.TRAFFIC),
    Step.ACCOUNTS: Group.ACCOUNTS,
    **dict.fromkeys((Step.ENROLLED_ACCOUNT, Step.SECOND_ENROLLED_ACCOUNT), Group.ENROLLED),
}
"""Who shares the results of a step; a test site is made in a moment and found by its name."""


class CannotTellError(Exception):
    """Nothing is there to tell by; the check is skipped with this reason."""


@dataclass(frozen=True)
class Finding:
    """What a check saw.

    Args:
        kept: whether the promise is.
        expected: what should be seen.
        seen: what was.
        files: evidence that is too long for a line, and pictures, by file name.
    """

    kept: bool
    expected: str
    seen: str
    files: Mapping[str, str | bytes] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Check:
    """One promise and how to see whether it is kept.

    Args:
        id: `area.name`.
        promise: the sentence that it proves.
        capabilities: what it cannot do without.
        run: looks, and says what it saw.
        steps: what the runner does before, with all that these need.
        steps_where_possible: the same, where the target has the capabilities for it.
        group: whom it runs in one thread with; None where it disturbs nobody and shares nothing.
        costly: it takes half a second of a processor or more, so that the quick kill matrix leaves
            it out where a mutant does not name it.
    """

    id: str
    promise: str
    capabilities: frozenset[Capability]
    run: Callable[["Look"], Finding]
    steps: tuple[Step, ...] = ()
    steps_where_possible: tuple[Step, ...] = ()
    group: Group | None = None
    costly: bool = False

    @property
    def area(self) -> str:
        """The part of the id before the dot."""
        return self.id.partition(".")[0]


Run = Callable[["Look"], Finding]


class Area:
    """The checks of one area, in the order in which they are written.

    Args:
        name: first part of their ids.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.checks: list[Check] = []

    def check(
        self,
        *capabilities: Capability,
        steps: tuple[Step, ...] = (),
        steps_where_possible: tuple[Step, ...] = (),
        group: Group | None = None,
        costly: bool = False,
    ) -> Callable[[Run], Run]:
        """Take a function as a check: its name is the id's second part, its docstring the promise.

        Args:
            capabilities: what it needs beyond HTTP.
            steps: what the runner does before.
            steps_where_possible: the same, where the target has the capabilities for it.
            group: see Check; that of its steps or of its login by default.
            costly: see Check; what needs Capability.CHANGE is, as it archives or makes accounts,
                and what needs Capability.LOGIN, as it logs in.
        """

        def take(run: Run) -> Run:
            name: Any = getattr(run, "__name__", "")
            promise = " ".join((run.__doc__ or "").split())
            much = costly or not {Capability.CHANGE, Capability.LOGIN}.isdisjoint(capabilities)
            performed, possible = with_needed(steps), with_needed(steps_where_possible)
            self.checks.append(
                Check(
                    f"{self.name}.{name}",
                    promise,
                    frozenset(capabilities),
                    run,
                    performed,
                    possible,
                    group or _group_of(capabilities, (*performed, *possible)),
                    much,
                )
            )
            return run

        return take


def _group_of(capabilities: Iterable[Capability], steps: Iterable[Step]) -> Group | None:
    groups = [GROUP_OF_STEP[it] for it in steps if it is not Step.SITE]
    return next(iter(groups), Group.LOGIN if Capability.LOGIN in capabilities else None)


LONGEST: Final = 600


def same(expected: object, seen: object) -> Finding:
    """Find that `seen` is what was expected."""
    return Finding(expected == seen, _text(expected), _text(seen))


def nothing(what: str, found: Iterable[object]) -> Finding:
    """Find that there is none of `what`; what was found is what is seen."""
    there = [str(it) for it in found]
    return Finding(not there, f"no {what}", _text("; ".join(there) or "none"))


def holds(kept: bool, expected: str, seen: object) -> Finding:
    """Find by a condition of the caller's own."""
    return Finding(bool(kept), expected, _text(seen))


def _text(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text)} characters)"
