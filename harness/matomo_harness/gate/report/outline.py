"""The report in outline: verdict, promises, failures by cause, and what was not examined.

Programs get the same from gate.json, so that no page says what gate.json does not.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from matomo_harness.gate.core.check import Check, Severity, Status
from matomo_harness.gate.core.promise import Promise
from matomo_harness.gate.core.runner import RED
from matomo_harness.gate.core.verdict import NOT_RUN

NOT_CHOSEN: Final = "not chosen"
"""Of a check that this run was not asked for."""


class State(StrEnum):
    """What a run says of one promise, or of all of them; what wants a reader comes first."""

    BROKEN = "broken"
    PARTLY_EXAMINED = "partly examined"
    NOT_EXAMINED = "not examined"
    PROVEN = "proven"
    NOT_PROMISED = "not promised"


@dataclass(frozen=True)
class PromiseRow:
    """One promise on the first screen.

    Args:
        name: as in the policy.
        sentence: what is promised.
        state: proven, broken, partly examined, not examined, not promised.
        counts: of its checks, by status or NOT_CHOSEN; none that is zero.
        evidence: the finding that says most; empty where nothing was examined.
        check: whose finding that is.
    """

    name: str
    sentence: str
    state: State
    counts: Mapping[str, int]
    evidence: str
    check: str


@dataclass(frozen=True)
class Cause:
    """Why checks could not be run: a preflight or a step that failed.

    Args:
        cause: what should have happened.
        seen: what happened instead.
        next: what to do.
        checks: ids of those that ended in an error by it.
    """

    cause: str
    seen: str
    next: str
    checks: tuple[str, ...]


def outline(
    checks: Sequence[Mapping[str, Any]],
    waivers: Mapping[str, str],
    promises: Iterable[Promise] = (),
) -> dict[str, Any]:
    """Return what goes before the checks in gate.json: verdict, promises, causes.

    Args:
        checks: as gate.json has them.
        waivers: problems of waivers, which break the gate.
        promises: all that there are, with all their checks; those that ran are not all of them.
    """
    by_name = {promise.name: promise for promise in promises}
    ran = dict.fromkeys(check["id"].partition(".")[0] for check in checks)
    names = list(by_name) or list(ran)
    unsorted = [_row(name, by_name.get(name), _of(name, checks)) for name in names]
    rows = sorted(unsorted, key=lambda row: list(State).index(row.state))
    found = causes(checks)
    return {
        "verdict": _verdict(rows, found, bool(waivers)),
        "promises": [asdict(row) for row in rows],
        "causes": [asdict(cause) for cause in found],
        "not_examined": _not_examined(rows),
    }


def causes(checks: Iterable[Mapping[str, Any]]) -> list[Cause]:
    """Return what made checks end in an error, the cause of most of them first."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for check in checks:
        if check["cause"]:
            found.setdefault(check["cause"], []).append(check)
    return [
        Cause(cause, caused[0]["seen"], caused[0]["next"], tuple(check["id"] for check in caused))
        for cause, caused in sorted(found.items(), key=lambda item: -len(item[1]))
    ]


def _of(name: str, checks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [check for check in checks if check["id"].partition(".")[0] == name]


def _row(name: str, promise: Promise | None, checks: Sequence[Mapping[str, Any]]) -> PromiseRow:
    counts = Counter(check["status"] for check in checks)
    every: Sequence[Check] = promise.checks if promise else ()
    if left_out := len({check.id for check in every} - {check["id"] for check in checks}):
        counts[NOT_CHOSEN] = left_out
    strongest = _strongest(checks)
    return PromiseRow(
        name,
        promise.sentence if promise else "",
        # An error with a cause says nothing of the promise.
        _state(counts, any(check["status"] in RED and not check["cause"] for check in checks)),
        dict(counts),
        f"{strongest['promise']} Seen: {strongest['seen']}" if strongest else "",
        strongest["id"] if strongest else "",
    )


def _state(counts: Mapping[str, int], is_broken: bool) -> State:
    if is_broken:
        return State.BROKEN
    if set(counts) == {Status.NOT_PROMISED}:
        return State.NOT_PROMISED
    if not any(counts.get(status) for status in (Status.PASSED, Status.WAIVED)):
        return State.NOT_EXAMINED
    gaps = (Status.ERROR, Status.SKIPPED, Status.WAIVED, NOT_CHOSEN)
    return State.PARTLY_EXAMINED if any(counts.get(why) for why in gaps) else State.PROVEN


def _strongest(checks: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the finding that says most: a failure before an error before what passed."""
    order = (Status.FAILED, Status.ERROR, Status.PASSED, Status.WAIVED)
    examined = [check for check in checks if Status(check["status"]) not in NOT_RUN]
    return min(
        examined,
        key=lambda check: (
            order.index(Status(check["status"])),
            -Severity[check["severity"].upper()],
        ),
        default=None,
    )


def _verdict(
    rows: Sequence[PromiseRow], found: Sequence[Cause], has_waiver_problems: bool
) -> dict[str, str]:
    promised = _promises(sum(row.state is not State.NOT_PROMISED for row in rows))
    states = Counter(row.state for row in rows)
    if states[State.BROKEN]:
        rest = [
            f"{states[state]} {state}"
            for state in (State.PARTLY_EXAMINED, State.NOT_EXAMINED, State.PROVEN)
            if states[state]
        ]
        sentence = (
            f"Broken: {states[State.BROKEN]} of {promised}{''.join(f'; {each}' for each in rest)}."
        )
        return {"state": State.BROKEN, "sentence": sentence}
    if found:
        sentence = (
            f"Not proven: '{found[0].cause}' failed, and what depends on it could not be run."
        )
        return {"state": State.NOT_EXAMINED, "sentence": sentence}
    if has_waiver_problems:
        return {"state": State.BROKEN, "sentence": "Broken: a waiver does not hold."}
    if states[State.PARTLY_EXAMINED] or states[State.NOT_EXAMINED]:
        sentence = f"Nothing broken, but only {states[State.PROVEN]} of {promised} proven."
        return {"state": State.PARTLY_EXAMINED, "sentence": sentence}
    return {"state": State.PROVEN, "sentence": f"Proven: all {promised}."}


def _promises(count: int) -> str:
    return f"{count} promise" if count == 1 else f"{count} promises"


def _not_examined(rows: Sequence[PromiseRow]) -> dict[str, int]:
    """Return how many checks say nothing, by why; NOT_PROMISED ones are no gap."""
    total = sum((Counter(row.counts) for row in rows), Counter())
    gaps = (NOT_CHOSEN, Status.SKIPPED.value, Status.ERROR.value)
    return {why: total[why] for why in gaps if total[why]}
