"""The gate: every check on a built image, or those that can be on a running instance."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

from matomo_harness.errors import WrongInputError
from matomo_harness.gate import remote, report
from matomo_harness.gate.catalogue import ALL, FORMER_IDS, PROMISES, read_policy
from matomo_harness.gate.core import runner
from matomo_harness.gate.core.check import Check
from matomo_harness.gate.core.context import title
from matomo_harness.gate.core.runner import Result
from matomo_harness.gate.core.target import Target
from matomo_harness.gate.core.verdict import require_known, verdict
from matomo_harness.gate.mutation import WRITTEN
from matomo_harness.policy import Waiver, waivers_beside
from matomo_harness.progress import console, step
from matomo_harness.runtime import images, targets
from matomo_harness.runtime.golden import golden
from matomo_harness.runtime.production import Production
from matomo_harness.settings import REPORTS, Settings

DIRECTORY: Final = REPORTS / "gate"
AT_ONCE: Final = 4
"""Checks that look side by side at a deployment of ours; somebody else's is asked in turn."""
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
    return check.promise == word or fnmatch(check.id, word if "." in word else f"*{word}*")


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


@dataclass(frozen=True)
class Explained:
    """What there is to know of a check.

    Args:
        id: of the check.
        proves: the promise, in a sentence.
        keys: of the policy; none where it guards what always holds.
        severity: what it costs where the promise is broken.
        remedy: what to do then.
        failure_mode: row of docs/failure-modes.md.
        needs: capabilities of the target, as a person reads them.
        steps: what the runner does before, in its order.
        mutants: those that prove the check, and what each breaks.
    """

    id: str
    proves: str
    keys: tuple[str, ...]
    severity: str
    remedy: str
    failure_mode: str
    needs: tuple[str, ...]
    steps: tuple[str, ...]
    mutants: Mapping[str, str]


def explained(check: Check) -> Explained:
    """Return what there is to know of `check`."""
    return Explained(
        check.id,
        check.sentence,
        check.proves,
        check.severity.name.lower(),
        check.remedy,
        check.failure_mode,
        tuple(sorted(capability.value for capability in check.capabilities)),
        tuple(title(step) for step in check.steps),
        {mutant.id: mutant.breaks for mutant in WRITTEN if check.id in mutant.kills},
    )


def of_image(
    settings: Settings, policy_file: Path, on_result: OnResult, checks: Sequence[Check] = ALL
) -> dict[str, Any]:
    """Run `checks` on the image that `settings` name, in a whole deployment; write the report.

    Raises:
        HarnessError: the image cannot be built or started, or the policy holds a mistake.
    """
    promised, waivers = read_policy(policy_file), _waivers(policy_file)
    image, database = images.deployed_image(settings), images.mariadb_base(settings)
    installed = golden(image, database)
    about = {
        "image": str(image),
        "image id": image.id,
        "database": str(database),
        "Matomo": images.code_version(image.reference),
        "policy": f"{policy_file.name}, {promised.digest[:12]}",
    }
    with step("Starting the whole deployment"):
        # What the tasks do is looked at, and not how long it takes them.
        production = Production(installed, is_changed=False).__enter__()
    try:
        looked_at = targets.of_production(production, promised, about)
        return _run(looked_at, waivers, on_result, checks, AT_ONCE)
    finally:
        production.__exit__(None, None, None)


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
    promised, waivers = read_policy(policy_file), _waivers(policy_file)
    looked_at = remote.target(url, promised, authority=authority, allow_hits=allow_hits)
    return _run(looked_at, waivers, on_result, checks, at_once=1)


def _waivers(policy_file: Path) -> tuple[Waiver, ...]:
    return require_known(waivers_beside(policy_file), ALL, FORMER_IDS)


def _run(
    looked_at: Target,
    waivers: Sequence[Waiver],
    on_result: OnResult,
    checks: Sequence[Check],
    at_once: int,
) -> dict[str, Any]:
    results = runner.run(looked_at, checks, on_result, at_once=at_once)
    judged = verdict(results, looked_at.policy, waivers)
    return report.write(judged, looked_at.about, DIRECTORY, looked_at.secrets)
