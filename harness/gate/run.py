"""Running the checks on a target, one after the other."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import pymysql
import requests
from docker.errors import DockerException

from harness.errors import BrokenPromiseError, HarnessError
from harness.gate.check import CannotTellError, Check, Finding, Status
from harness.gate.checks import ALL
from harness.gate.look import Look
from harness.gate.target import Target

RED: Final = (Status.FAIL, Status.ERROR)


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


def run(
    target: Target,
    checks: Iterable[Check] = ALL,
    told: Callable[[Result], None] = lambda _: None,
    *,
    until_red: bool = False,
) -> list[Result]:
    """Run `checks` on `target`; nothing that goes wrong in one ends the others.

    Args:
        target: what is looked at.
        checks: all by default.
        told: called with each result as it comes.
        until_red: the first broken promise is the last that is looked at.
    """
    every = list(checks)
    look = Look(target, {it.area for it in every})
    results = []
    for check in every:
        result = _result(check, look)
        told(result)
        results.append(result)
        if until_red and result.status in RED:
            break
    return results


def _result(check: Check, look: Look) -> Result:
    begun = time.monotonic()
    if closed := sorted(check.doors - look.target.doors):
        seen = "needs " + "; ".join(door.value for door in closed)
        return Result(check, Status.SKIP, check.promise, seen, 0.0)
    status, finding = _looked(check, look)
    seconds = round(time.monotonic() - begun, 3)
    files = tuple(finding.files.items())
    return Result(check, status, finding.expected, finding.seen, seconds, files)


def _looked(check: Check, look: Look) -> tuple[Status, Finding]:
    try:
        finding = check.run(look)
    except CannotTellError as reason:
        return Status.SKIP, Finding(False, check.promise, str(reason))
    except BrokenPromiseError as error:
        return Status.FAIL, Finding(False, error.expected, error.seen)
    except HarnessError as error:
        return Status.ERROR, Finding(False, error.expected, error.seen)
    except (
        *(requests.RequestException, pymysql.Error, DockerException, ArithmeticError),
        *(AttributeError, LookupError, TypeError, ValueError),
    ) as error:
        # An answer of a shape that no check foresaw is no kept promise.
        return Status.ERROR, Finding(False, check.promise, f"{type(error).__name__}: {error}"[:300])
    return (Status.PASS if finding.kept else Status.FAIL), finding
