"""What a check is: an id, the sentence that it proves, the doors that it needs, and its finding."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from harness.gate.look import Look


class Status(StrEnum):
    """How a check ended."""

    PASS = "pass"  # noqa: S105  no password
    FAIL = "fail"
    SKIP = "skip"
    ERROR = "error"


class Door(StrEnum):
    """A way to an instance that a check may need; the value says what is missing without it."""

    API = "a superuser's token, as HARNESS_TOKEN"
    LOGIN = "HARNESS_LOGIN, HARNESS_PASSWORD and HARNESS_TOTP_SECRET of a superuser"
    HITS = "leave to store hits on a test site: --allow-hits"
    CHANGE = "an instance that may be changed: accounts, sites, archives (a built image)"
    INSIDE = "the container: its console, files and environment (a built image)"
    DATABASE = "the database (a built image)"
    STANDS = "the stands around it: proxy, mail relay, archiver (a built image)"


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
        doors: what it cannot do without.
        run: looks, and says what it saw.
        costly: it takes half a second of a processor or more, so that the quick kill matrix leaves
            it out where a mutant does not name it.
    """

    id: str
    promise: str
    doors: frozenset[Door]
    run: Callable[["Look"], Finding]
    costly: bool

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

    def check(self, *doors: Door, costly: bool = False) -> Callable[[Run], Run]:
        """Take a function as a check: its name is the id's second part, its docstring the promise.

        Args:
            doors: what it needs beyond HTTP.
            costly: see Check; what needs Door.CHANGE is, as it archives or makes accounts, and what
                needs Door.LOGIN, as it logs in.
        """

        def take(run: Run) -> Run:
            name: Any = getattr(run, "__name__", "")
            promise = " ".join((run.__doc__ or "").split())
            much = costly or not {Door.CHANGE, Door.LOGIN}.isdisjoint(doors)
            self.checks.append(Check(f"{self.name}.{name}", promise, frozenset(doors), run, much))
            return run

        return take


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
