"""Running the checks on a target: steps first, each check within its time, several at once."""

import functools
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from matomo_harness.errors import BrokenPromiseError, HarnessError
from matomo_harness.gate.core.check import (
    REQUIRED,
    CannotTellError,
    Capability,
    Check,
    Finding,
    Group,
    Status,
)
from matomo_harness.gate.core.once import declared
from matomo_harness.gate.core.target import Target
from matomo_harness.gate.probes.look import Look, StepFailedError
from matomo_harness.gate.promises import ALL
from matomo_harness.time_limit import CLEAN_UP_SECONDS, within

RED: Final = (Status.FAIL, Status.ERROR)
CHECK_SECONDS: Final = 120.0
"""The slowest check takes 7 s on an idle machine, and did 22 s beside a whole test suite."""
TRACEBACK: Final = "traceback.txt"


@dataclass(frozen=True)
class Result:
    """How one check ended.

    Args:
        check: which.
        status: pass, fail, skip or error.
        expected: what should have been seen.
        seen: what was, or why it was not looked.
        seconds: that it took, with what it was the first to ask for.
        files: evidence, by file name.
    """

    check: Check
    status: Status
    expected: str
    seen: str
    seconds: float
    files: tuple[tuple[str, str | bytes], ...] = ()


class Runner:
    """Runs checks on one target, each when it is asked for; what they share is done once.

    Args:
        target: what is looked at.
        checks: those that may be asked for.
        seconds: that a check may take, its steps not counted.
    """

    def __init__(
        self, target: Target, checks: Iterable[Check], *, seconds: float = CHECK_SECONDS
    ) -> None:
        self.target = target
        able = [it for it in checks if not self.lacking(it)]
        self._look = Look(target, frozenset(step for it in able for step in it.steps))
        self._seconds = seconds

    def lacking(self, check: Check) -> list[Capability]:
        """Return the capabilities that `check` needs, or its steps do, and the target has not."""
        needed = check.capabilities.union(*(REQUIRED[it] for it in check.steps))
        return sorted(needed - self.target.capabilities)

    def run(self, check: Check) -> Result:
        """Perform the steps of `check`, then have it look; whatever goes wrong is its result."""
        begun = time.monotonic()
        if lacking := self.lacking(check):
            seen = "needs " + "; ".join(it.value for it in lacking)
            return Result(check, Status.SKIP, check.promise, seen, 0.0)
        try:
            self._prepare(check)
        except StepFailedError as failed:
            status, finding = Status.ERROR, Finding(False, failed.expected, failed.seen)
        else:
            status, finding = self._looked(check)
        seconds = round(time.monotonic() - begun, 3)
        files = tuple(finding.files.items())
        return Result(check, status, finding.expected, finding.seen, seconds, files)

    def _prepare(self, check: Check) -> None:
        for step in check.steps:
            self._look.perform(step)
        for step in check.steps_where_possible:
            if REQUIRED[step] <= self.target.capabilities:
                self._look.perform(step)

    def _looked(self, check: Check) -> tuple[Status, Finding]:
        """Run `check` in a thread of its own, which is left to itself where it cannot be ended."""
        ended: list[tuple[Status, Finding]] = []

        def look() -> None:
            declared.set(frozenset((*check.steps, *check.steps_where_possible)))
            with within(self._seconds, f"the check {check.id}"):
                ended.append(_finding(check, self._look))

        _watch_threads()
        before = len(_THREAD_ERRORS)
        thread = threading.Thread(target=look, name=check.id, daemon=True)
        thread.start()
        thread.join(self._seconds + CLEAN_UP_SECONDS)
        if errors := _THREAD_ERRORS[before:]:
            # Whose thread it was is not known: of checks side by side none is passed over.
            seen = f"an error in a thread: {errors[0].splitlines()[-1]}"[:300]
            files = {TRACEBACK: "\n".join(errors)}
            return Status.ERROR, Finding(False, check.promise, seen, files)
        if ended:
            return ended[0]
        seen = "it was still at work, and could not be ended"
        return Status.ERROR, Finding(False, f"an end within {self._seconds:.0f} s", seen)


def run(
    target: Target,
    checks: Iterable[Check] = ALL,
    told: Callable[[Result], None] = lambda _: None,
    *,
    until_red: bool = False,
    at_once: int = 1,
) -> list[Result]:
    """Run `checks` on `target`; nothing that goes wrong in one ends the others.

    Args:
        target: what is looked at.
        checks: all by default.
        told: called with each result as it comes, by one thread at a time.
        until_red: the first broken promise is the last that is looked at; one check at a time.
        at_once: checks that look side by side, where they do not disturb each other.

    Returns:
        A result for each check, in the order of `checks`.
    """
    every = list(checks)
    runner = Runner(target, every)
    results: dict[str, Result] = {}
    one_at_a_time = threading.Lock()

    def run_each(some: Sequence[Check]) -> None:
        for check in some:
            result = runner.run(check)
            with one_at_a_time:
                told(result)
                results[check.id] = result
            if until_red and result.status in RED:
                break

    side_by_side, alone = ([every], []) if until_red or at_once == 1 else lanes(every)
    if len(side_by_side) > 1:
        _compile_the_first_page(target)
    with ThreadPoolExecutor(at_once) as pool:
        try:
            list(pool.map(run_each, side_by_side))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    run_each(alone)
    return [results[it.id] for it in every if it.id in results]


def _compile_the_first_page(target: Target) -> None:
    """Have one process of the web server compile what all pages need; else each would, at once."""
    with suppress(HarnessError):  # which the checks will see
        target.web.get()


def lanes(checks: Sequence[Check]) -> tuple[list[list[Check]], list[Check]]:
    """Return checks that may run side by side, lane by lane, and those that must run alone.

    Checks of a group are one lane. The lanes that take longest come first, and costly checks before
    the others, so that nothing long is left alone at the end.
    """
    groups = [it for it in Group if it is not Group.ALONE]
    together = [[it for it in checks if it.group is group] for group in groups]
    free = [[it] for it in sorted(checks, key=lambda it: not it.costly) if it.group is None]
    return (
        [it for it in (*together, *free) if it],
        [it for it in checks if it.group is Group.ALONE],
    )


_THREAD_ERRORS: Final[list[str]] = []
"""Tracebacks of threads that nobody waited for the result of."""


@functools.cache
def _watch_threads() -> None:
    """Keep what ends a thread by an error, and have it told as before."""
    tell = threading.excepthook

    def keep(error: threading.ExceptHookArgs) -> None:
        told = traceback.format_exception(error.exc_type, error.exc_value, error.exc_traceback)
        _THREAD_ERRORS.append("".join(told))
        tell(error)

    threading.excepthook = keep


def _finding(check: Check, look: Look) -> tuple[Status, Finding]:
    try:
        finding = check.run(look)
    except CannotTellError as reason:
        return Status.SKIP, Finding(False, check.promise, str(reason))
    except BrokenPromiseError as error:
        return Status.FAIL, Finding(False, error.expected, error.seen)
    except HarnessError as error:
        return Status.ERROR, Finding(False, error.expected, error.seen)
    except BaseException as error:  # noqa: BLE001  an answer that no check foresaw is no kept promise
        told = "".join(traceback.format_exception(error))
        seen = f"{type(error).__name__}: {error}"[:300]
        return Status.ERROR, Finding(False, check.promise, seen, {TRACEBACK: told})
    return (Status.PASS if finding.kept else Status.FAIL), finding
