"""The verdict on results: waivers are taken into account, and required checks must have run."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fnmatch import fnmatch
from typing import Final

from matomo_harness.errors import WrongInputError
from matomo_harness.gate.core.check import Check, Status
from matomo_harness.gate.core.runner import Result
from matomo_harness.policy import Gate, Policy, Waiver

NOT_RUN: Final = (Status.SKIPPED, Status.NOT_PROMISED)


@dataclass(frozen=True)
class Verdict:
    """The results of a gate, as they count.

    Args:
        results: those of all checks, waived ones among them.
        problems: what is wrong with waivers, by the ids of their checks; each breaks the gate.
    """

    results: tuple[Result, ...]
    problems: Mapping[str, str]


def verdict(
    results: Sequence[Result],
    policy: Policy,
    waivers: Iterable[Waiver] = (),
    *,
    today: date | None = None,
) -> Verdict:
    """Return what `results` mean.

    Args:
        results: those of a gate.
        policy: names the checks that may not be skipped.
        waivers: for checks that may fail, by the current ids of these.
        today: the day to judge by; None is that of UTC, as a promotion judges by.
    """
    day = today or datetime.now(UTC).date()
    of_check = {waiver.check: waiver for waiver in waivers}
    counted = [_counted(result, of_check, day) for result in _required(results, policy)]
    ran = {result.check.id: result for result in counted if result.status not in NOT_RUN}
    problems = {
        check: problem
        for check, waiver in of_check.items()
        if check in ran and (problem := _problem(waiver, ran[check], day))
    }
    return Verdict(tuple(counted), problems)


def _required(results: Sequence[Result], policy: Policy) -> list[Result]:
    patterns = policy.section(Gate).required
    expected = "the check to run, as [gate] required of the policy names it"
    return [
        dataclasses.replace(result, status=Status.ERROR, expected=expected)
        if result.status in NOT_RUN
        and any(fnmatch(result.check.id, pattern) for pattern in patterns)
        else result
        for result in results
    ]


def _counted(result: Result, waivers: Mapping[str, Waiver], day: date) -> Result:
    waiver = waivers.get(result.check.id)
    if waiver and result.status is Status.FAILED and day <= waiver.until:
        seen = f"{result.seen} (waived by {waiver.owner} until {waiver.until}: {waiver.reason})"
        return dataclasses.replace(result, status=Status.WAIVED, seen=seen)
    return result


def _problem(waiver: Waiver, result: Result, day: date) -> str:
    if day > waiver.until:
        return f"the waiver of {waiver.owner} expired on {waiver.until}"
    if result.status is Status.PASSED:
        return f"the waiver of {waiver.owner} is not used: the check passes"
    return ""


def require_known(
    waivers: Iterable[Waiver], checks: Iterable[Check], former: Mapping[str, str]
) -> tuple[Waiver, ...]:
    """Return `waivers` with the current ids of their checks.

    Args:
        waivers: those that the file has.
        checks: all checks of the gate.
        former: ids of the previous release, and the current id of each.

    Raises:
        WrongInputError: a waiver names a check that does not exist, or two name the same.
    """
    known = {check.id for check in checks}
    renamed = tuple(
        waiver.model_copy(update={"check": former.get(waiver.check, waiver.check)})
        for waiver in waivers
    )
    if unknown := next((waiver.check for waiver in renamed if waiver.check not in known), None):
        raise WrongInputError(
            expected="waivers.toml to name checks of the gate",
            seen=unknown,
            next_command="matomo-harness gate --list",
        )
    names = [waiver.check for waiver in renamed]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise WrongInputError(
            expected="one waiver for a check in waivers.toml",
            seen=f"two for {twice}, one by its former id",
            next_command="edit waivers.toml beside the policy",
        )
    return renamed
