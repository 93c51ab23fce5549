"""A check: its id, the sentence that it proves, what it needs, and its finding."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matomo_harness.gate.core.context import Step


class Status(StrEnum):
    """How a check ended."""

    PASSED = "pass"
    FAILED = "fail"
    ERROR = "error"
    SKIPPED = "skip"
    NOT_PROMISED = "not promised"
    """The policy does not promise what the check proves: it was not run, and does not count."""
    WAIVED = "waived"
    """It failed, and somebody answers for that until a day that has not passed."""


class Severity(IntEnum):
    """What a broken promise costs."""

    LOW = 1
    """It hinders somebody."""
    MEDIUM = 2
    """Something is disclosed, lost or counted that should not be."""
    HIGH = 3
    """A defence is gone, or data is wrong."""
    CRITICAL = 4
    """Visitors' or users' data is open, or stored against the promise."""


class Capability(StrEnum):
    """What a check may need from a target; the value says what is missing without it."""

    API = "a superuser's token, as HARNESS_TOKEN"
    LOGIN = "HARNESS_LOGIN, HARNESS_PASSWORD and HARNESS_TOTP_SECRET of a superuser"
    HITS = "leave to store hits on a test site: --allow-hits"
    CHANGE = "an instance that may be changed: accounts, sites, archives (a built image)"
    CONTAINER = "the container: its files, its environment (a built image, --container, --exec)"
    WEB_ROOT = "a web root of its own, whose code may be changed (dedicated containers)"
    DATABASE = "the database (a built image, --container, or DATABASE_URL)"
    SERVICES = "the services around it: proxy, mail relay, archiver (a built image)"


class Group(StrEnum):
    """Checks that share what one worker has prepared, or that would disturb each other."""

    TRAFFIC = "traffic"
    ACCOUNTS = "accounts"
    ENROLLED = "enrolled accounts"
    LOGIN = "login"
    WEB_ROOT = "web root"
    ALONE = "alone"
    """No other check may run meanwhile, as this one breaks something for a moment."""


class CannotTellError(Exception):
    """The target has nothing to decide by; the check is skipped with this reason."""


class NothingPromisedError(Exception):
    """A list of the policy names nothing of what the check looks at: that is not promised."""


@dataclass(frozen=True)
class Finding:
    """What a check expected and what it saw.

    Args:
        passed: whether the promise holds.
        expected: what should be seen.
        seen: what was seen.
        files: evidence that is too long for a line, and pictures, by file name.
    """

    passed: bool
    expected: str
    seen: str
    files: Mapping[str, str | bytes] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Check:
    """One promise, and how to see whether a target keeps it.

    Args:
        id: `promise.name`, which stays the same whatever its function is called.
        sentence: what it proves.
        run: inspects the target and returns its finding; its parameters are what it needs
            (context.py).
        proves: keys of the policy, `section.key`; the check does not run where none of them is
            promised. Empty where it guards what always holds.
        severity: what a broken promise costs.
        remedy: what to do where the check fails, in a sentence.
        failure_mode: row of docs/failure-modes.md; empty where the failure is only imagined.
        capabilities: those that it cannot run without.
        steps: what the runner performs first, with all the steps that these need.
        possible_steps: the same, where the target has the capabilities for them.
        group: checks of one group run in one thread; None where it disturbs no other check and
            shares nothing.
        costly: whether it takes half a second of a processor or more, so that the quick kill matrix
            leaves it out where a mutant does not name it.
        formerly: ids of earlier releases, which are accepted with a warning.
    """

    id: str
    sentence: str
    run: Callable[..., Finding]
    proves: tuple[str, ...] = ()
    severity: Severity = Severity.MEDIUM
    remedy: str = ""
    failure_mode: str = ""
    capabilities: frozenset[Capability] = frozenset()
    steps: tuple[type["Step"], ...] = ()
    possible_steps: tuple[type["Step"], ...] = ()
    group: Group | None = None
    costly: bool = False
    formerly: tuple[str, ...] = ()

    @property
    def promise(self) -> str:
        """The part of the id before the dot."""
        return self.id.partition(".")[0]


LONGEST: Final = 600
"""Characters of a text; what is longer is cut."""
BROKEN_WORD: Final = re.compile(r"\S{1,100}\Z")
"""The end of a cut text: who takes secrets out of it later would not know the first half of one."""


def same(expected: object, seen: object) -> Finding:
    """Return the finding that `seen` is what was expected."""
    return Finding(expected == seen, _text(expected), _text(seen))


def nothing(what: str, found: Iterable[object]) -> Finding:
    """Return the finding that there is no `what`; `found` is what was seen."""
    texts = [str(value) for value in found]
    return Finding(not texts, f"no {what}", _text("; ".join(texts) or "none"))


def holds(passed: bool, expected: str, seen: object) -> Finding:
    """Return the finding of a condition that the caller evaluated."""
    return Finding(bool(passed), expected, _text(seen))


def _text(value: object) -> str:
    text = str(value)
    if len(text) <= LONGEST:
        return text
    return f"{BROKEN_WORD.sub('', text[:LONGEST])} … ({len(text)} characters)"
