"""Runs the checks on a target: steps first, each check within its time limit, several at once."""

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
    CannotTellError,
    Capability,
    Check,
    Finding,
    Group,
    NothingPromisedError,
    Status,
)
from matomo_harness.gate.core.context import (
    Context,
    Preflight,
    StepFailedError,
    needs_of,
    parameters_of,
    title,
    types_of,
)
from matomo_harness.gate.core.target import Target
from matomo_harness.matomo.container import OutOfReachError
from matomo_harness.policy import Policy, is_promise
from matomo_harness.time_limit import CLEAN_UP_SECONDS, within

RED: Final = (Status.FAILED, Status.ERROR)
CHECK_SECONDS: Final = 120.0
"""The slowest check takes 7 s on an idle machine, and took 22 s beside a whole test suite."""
TRACEBACK: Final = "traceback.txt"


@dataclass(frozen=True)
class Result:
    """How one check ended.

    Args:
        check: the check.
        status: how it ended.
        expected: what should have been seen.
        seen: what was seen, or why the check did not run.
        seconds: how long it took, with what it was the first to ask for.
        files: evidence, by file name.
        cause: what should have happened before, where that is why the check ended in an error.
        next_command: what to do about the cause.
    """

    check: Check
    status: Status
    expected: str
    seen: str
    seconds: float
    files: tuple[tuple[str, str | bytes], ...] = ()
    cause: str = ""
    next_command: str = ""


def is_promised(check: Check, policy: Policy) -> bool:
    """Whether `policy` promises what `check` proves, or `check` guards what always holds."""
    values = [policy.value(key) for key in check.proves]
    return not values or any(is_promise(value) for value in values)


class Runner:
    """Runs checks on one target, each when it is asked for; what they share is done once.

    Args:
        target: the Matomo that is inspected.
        checks: those that may be asked for.
        seconds: how long a check may take, its steps not counted.
        preflight: what is asked once a check has failed: why so many fail may be one cause.
    """

    def __init__(
        self,
        target: Target,
        checks: Iterable[Check],
        *,
        seconds: float = CHECK_SECONDS,
        preflight: Sequence[type[Preflight]] = (),
    ) -> None:
        self.target = target
        self._preflight = preflight
        self._failed: dict[type[Preflight], StepFailedError] = {}
        able = [
            check
            for check in checks
            if is_promised(check, target.policy) and not self.lacking(check)
        ]
        self._context = Context(target, {step for check in able for step in check.steps})
        self._seconds = seconds

    def lacking(self, check: Check) -> list[Capability]:
        """Return the capabilities that `check` needs and the target lacks."""
        return sorted(check.capabilities - self.target.capabilities)

    def run(self, check: Check) -> Result:
        """Perform the steps of `check`, then run it; whatever goes wrong becomes its result."""
        started = time.monotonic()
        if not is_promised(check, self.target.policy):
            seen = "not promised: " + ", ".join(check.proves)
            return Result(check, Status.NOT_PROMISED, check.sentence, seen, 0.0)
        if lacking := self.lacking(check):
            seen = "needs " + "; ".join(capability.value for capability in lacking)
            return Result(check, Status.SKIPPED, check.sentence, seen, 0.0)
        for step, failed in self._failed.items():
            if step.is_fatal and self._blocks(step, check):
                return _caused(check, failed, 0.0)
        cause = None
        try:
            self._prepare(check)
        except CannotTellError as reason:
            status, finding = Status.SKIPPED, Finding(False, check.sentence, str(reason))
        except StepFailedError as failed:
            cause = failed
            status, finding = Status.ERROR, Finding(False, failed.expected, failed.seen)
        else:
            status, finding = self._inspect(check)
            self.target.forget_failed_logins()
        if status in RED:
            cause = self._diagnose(check, finding.seen) or cause
        seconds = round(time.monotonic() - started, 3)
        files = tuple(finding.files.items())
        if cause:
            return _caused(check, cause, seconds, files)
        return Result(check, status, finding.expected, finding.seen, seconds, files)

    def reviewed(self, result: Result) -> Result:
        """Return `result`, or an error where it passed on a target that answers nobody.

        An error page opens nothing to anybody, either.
        """
        if result.status is Status.PASSED:
            for step, failed in self._failed.items():
                if step.is_fatal and self._blocks(step, result.check):
                    return _caused(result.check, failed, result.seconds)
        return result

    def _blocks(self, step: type[Preflight], check: Check) -> bool:
        return bool(step.blocks & types_of(check.run)) and self._context.has(step)

    def _diagnose(self, check: Check, seen: str) -> StepFailedError | None:
        """Return the failure of the preflight that explains why `check` saw this, if any does."""
        for step in self._preflight:
            if not self._blocks(step, check):
                continue
            try:
                self._context.get(step)
            except CannotTellError:
                continue
            except StepFailedError as failed:
                self._failed[step] = failed
                if step.explains(seen):
                    return failed
        return None

    def _prepare(self, check: Check) -> None:
        for step in check.steps:
            self._context.get(step)
        for parameter in parameters_of(check.run).values():
            if parameter.is_optional and self._context.has(parameter.kind):
                for step in needs_of(parameter.kind).steps:
                    self._context.get(step)

    def _inspect(self, check: Check) -> tuple[Status, Finding]:
        """Run `check` in a thread of its own, which is abandoned where it cannot be ended."""
        ended: list[tuple[Status, Finding]] = []

        def inspect() -> None:
            with within(self._seconds, f"the check {check.id}"):
                ended.append(_finding(check, self._context))

        _watch_threads()
        before = len(_THREAD_ERRORS)
        thread = threading.Thread(target=inspect, name=check.id, daemon=True)
        thread.start()
        thread.join(self._seconds + CLEAN_UP_SECONDS)
        if errors := _THREAD_ERRORS[before:]:
            # Nobody knows whose thread it was: all checks that run side by side get the error.
            seen = f"an error in a thread: {errors[0].splitlines()[-1]}"[:300]
            files = {TRACEBACK: "\n".join(errors)}
            return Status.ERROR, Finding(False, check.sentence, seen, files)
        if ended:
            return ended[0]
        seen = "it was still at work, and could not be ended"
        return Status.ERROR, Finding(False, f"an end within {self._seconds:.0f} s", seen)


def _caused(
    check: Check,
    failed: StepFailedError,
    seconds: float,
    files: tuple[tuple[str, str | bytes], ...] = (),
) -> Result:
    """Return the error of a check that says nothing, as what it needs had failed before."""
    return Result(
        check,
        Status.ERROR,
        failed.expected,
        failed.seen,
        seconds,
        files,
        cause=title(failed.root),
        next_command=failed.next_command,
    )


def run(
    target: Target,
    checks: Iterable[Check],
    on_result: Callable[[Result], None] = lambda _: None,
    *,
    until_red: bool = False,
    at_once: int = 1,
    preflight: Sequence[type[Preflight]] = (),
) -> list[Result]:
    """Run `checks` on `target`; whatever goes wrong in one, the others run.

    Args:
        target: the Matomo that is inspected.
        checks: those to run.
        on_result: called with each result as it comes, by one thread at a time.
        until_red: whether to stop at the first red check; the checks then run one at a time.
        at_once: how many checks run side by side, where they do not disturb each other.
        preflight: see Runner.

    Returns:
        A result for each check, in the order of `checks`.
    """
    wanted = list(checks)
    runner = Runner(target, wanted, preflight=preflight)
    results: dict[str, Result] = {}
    one_at_a_time, is_over = threading.Lock(), threading.Event()

    def run_lane(lane: Sequence[Check]) -> None:
        for check in lane:
            if is_over.is_set():
                return
            result = runner.run(check)
            with one_at_a_time:
                on_result(result)
                results[check.id] = result
            if until_red and result.status in RED:
                break

    side_by_side, alone = ([wanted], []) if until_red or at_once == 1 else lanes(wanted)
    if len(side_by_side) > 1:
        _compile_the_first_page(target)
    with ThreadPoolExecutor(at_once) as pool:
        try:
            list(pool.map(run_lane, side_by_side))
        except BaseException:
            is_over.set()  # Ctrl-C: a lane that runs ends with its check
            pool.shutdown(cancel_futures=True)
            raise
    run_lane(alone)
    return [runner.reviewed(results[check.id]) for check in wanted if check.id in results]


def _compile_the_first_page(target: Target) -> None:
    """Have one process of the web server compile what all pages need; else all would at once."""
    with suppress(HarnessError):  # which the checks will see
        target.http.web.get()


def lanes(checks: Sequence[Check]) -> tuple[list[list[Check]], list[Check]]:
    """Return checks that may run side by side, lane by lane, and those that must run alone.

    Checks of a group are one lane. The lanes that take longest come first, and costly checks before
    the others, so that nothing long is left alone at the end.
    """
    groups = [group for group in Group if group is not Group.ALONE]
    together = [[check for check in checks if check.group is group] for group in groups]
    costly_first = sorted(checks, key=lambda check: not check.costly)
    free = [[check] for check in costly_first if check.group is None]
    return (
        [lane for lane in (*together, *free) if lane],
        [check for check in checks if check.group is Group.ALONE],
    )


_THREAD_ERRORS: Final[list[str]] = []
"""Tracebacks of threads whose result nobody waited for."""


@functools.cache
def _watch_threads() -> None:
    """Record each error that ends a thread, and have it reported as before."""
    report = threading.excepthook

    def record(error: threading.ExceptHookArgs) -> None:
        lines = traceback.format_exception(error.exc_type, error.exc_value, error.exc_traceback)
        _THREAD_ERRORS.append("".join(lines))
        report(error)

    threading.excepthook = record


def _finding(check: Check, context: Context) -> tuple[Status, Finding]:
    try:
        finding = context.call(check.run)
    except CannotTellError as reason:
        return Status.SKIPPED, Finding(False, check.sentence, str(reason))
    except NothingPromisedError as reason:
        return Status.NOT_PROMISED, Finding(False, check.sentence, f"not promised: {reason}")
    except OutOfReachError as error:
        seen = f"cannot tell: {error.seen}; next: {error.next_command}"
        return Status.SKIPPED, Finding(False, error.expected, seen)
    except BrokenPromiseError as error:
        return Status.FAILED, Finding(False, error.expected, error.seen)
    except HarnessError as error:
        return Status.ERROR, Finding(False, error.expected, error.seen)
    except BaseException as error:  # noqa: BLE001  an answer that no check foresaw proves nothing
        text = "".join(traceback.format_exception(error))
        seen = f"{type(error).__name__}: {error}"[:300]
        return Status.ERROR, Finding(False, check.sentence, seen, {TRACEBACK: text})
    return (Status.PASSED if finding.passed else Status.FAILED), finding
