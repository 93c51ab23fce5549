"""Choosing checks, and running those that a running instance allows: no engine is needed here."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

from matomo_harness.errors import WrongInputError
from matomo_harness.gate import remote, report
from matomo_harness.gate.catalogue import ALL, FORMER_IDS, PROMISES, read_policy
from matomo_harness.gate.core import runner
from matomo_harness.gate.core.check import Check
from matomo_harness.gate.core.runner import Result
from matomo_harness.gate.core.target import Target
from matomo_harness.gate.core.verdict import require_known, verdict
from matomo_harness.policy import Waiver, waivers_beside
from matomo_harness.progress import console
from matomo_harness.settings import REPORTS

DIRECTORY: Final = REPORTS / "gate"
FORMER_PROMISES: Final[Mapping[str, str]] = {
    "configuration": "environment secrets transport settings operation backup mail",
    "drift": "settings code",
    "two_factors": "second_factors",
    "gui": "operation",
}
"""Areas of the release before, and the promises that have most of their checks now."""

OnResult = Callable[[Result], None]


def chosen(pattern: str) -> list[Check]:
    """Return the checks that `pattern` names; all where it is empty.

    Args:
        pattern: ids, promises or parts of them, apart by blanks; `*` and `?` as in file names.

    Raises:
        WrongInputError: nothing has such a name; `seen` has those that are nearest.
    """
    words = [name for word in pattern.split() for name in _of_today(word)]
    found = [check for check in ALL if not words or any(_is_named(check, word) for word in words)]
    for word in words:
        if not any(_is_named(check, word) for check in found):
            raise WrongInputError(
                expected="a check's id, a part of it or a pattern, or a promise: "
                + ", ".join(promise.name for promise in PROMISES),
                seen=f"{word}; the nearest: {', '.join(_nearest(word)) or 'none'}",
                next_command="matomo-harness gate --list",
            )
    return found


def _of_today(word: str) -> list[str]:
    """Return the names that `word` of the release before has now, and say so."""
    now = FORMER_IDS.get(word) or FORMER_PROMISES.get(word)
    if not now:
        return [word]
    console.print(f"{word} is called {now} now; the old name is taken for one release.")
    return now.split()


def _is_named(check: Check, word: str) -> bool:
    # `mail` is a promise, and part of the name of checks that prove another one.
    if any(promise.name == word for promise in PROMISES):
        return check.promise == word
    return fnmatch(check.id, word if "." in word else f"*{word}*")


def _nearest(word: str) -> list[str]:
    names = {check.id: check.id for check in ALL}
    names |= {check.id.partition(".")[2]: check.id for check in ALL}
    return list(dict.fromkeys(names[name] for name in get_close_matches(word, names, 3, 0.4)))


def seconds_of_last_run() -> dict[str, float]:
    """Return how long each check took when the gate ran last here; empty where it never did."""
    with suppress(OSError, ValueError, LookupError):
        document = json.loads((DIRECTORY / "gate.json").read_text())
        return {check["id"]: check["seconds"] for check in document["checks"]}
    return {}


def of_address(
    url: str,
    policy_file: Path,
    on_result: OnResult,
    checks: Sequence[Check] = ALL,
    *,
    authority: Path | None,
    allow_hits: bool,
) -> dict[str, Any]:
    """Run on the Matomo at `url` those of `checks` that need no more than is given, in turn.

    Raises:
        HarnessError: no Matomo there, a refused token or login, a mistake in the policy.
    """
    promised, waivers = read_policy(policy_file), waivers_of(policy_file)
    target = remote.target(url, promised, authority=authority, allow_hits=allow_hits)
    return run_checks(target, waivers, on_result, checks, at_once=1)


def waivers_of(policy_file: Path) -> tuple[Waiver, ...]:
    """Return the waivers beside the policy.

    Raises:
        WrongInputError: the file holds a mistake, or names a check that there is not.
    """
    return require_known(waivers_beside(policy_file), ALL, FORMER_IDS)


def run_checks(
    target: Target,
    waivers: Sequence[Waiver],
    on_result: OnResult,
    checks: Sequence[Check],
    *,
    at_once: int,
) -> dict[str, Any]:
    """Run `checks` on `target` and write the report; return what gate.json holds.

    Args:
        target: what is checked.
        waivers: of checks that may fail.
        on_result: called with each result as it comes.
        checks: those to run.
        at_once: how many of them run side by side.
    """
    results = runner.run(target, checks, on_result, at_once=at_once)
    judged = verdict(results, target.policy, waivers)
    return report.write(judged, target.about, DIRECTORY, target.secrets)
