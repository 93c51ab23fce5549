"""The gate: every check on a built image, or those that can be on a running instance."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

from matomo_harness import policy
from matomo_harness.errors import WrongInputError
from matomo_harness.gate import remote, report
from matomo_harness.gate.core import runner as run
from matomo_harness.gate.core import target
from matomo_harness.gate.core.check import REQUIRED, Check
from matomo_harness.gate.core.runner import Result
from matomo_harness.gate.core.target import Target
from matomo_harness.gate.mutation import WRITTEN
from matomo_harness.gate.promises import ALL
from matomo_harness.progress import step
from matomo_harness.runtime import images
from matomo_harness.runtime.golden import golden
from matomo_harness.runtime.production import Production
from matomo_harness.settings import REPORTS, Settings

DIRECTORY: Final = REPORTS / "gate"
AT_ONCE: Final = 4
"""Checks that look side by side at a deployment of ours; somebody else's is asked in turn."""

Told = Callable[[Result], None]


def chosen(pattern: str) -> list[Check]:
    """Return the checks that `pattern` names; all where it is empty.

    Args:
        pattern: ids, areas or parts of them, apart by blanks; `*` and `?` as in file names.

    Raises:
        WrongInputError: nothing has such a name; `seen` has those that are nearest.
    """
    words = pattern.split()
    found = [it for it in ALL if not words or any(_is_named(it, word) for word in words)]
    for word in words:
        if not any(_is_named(it, word) for it in found):
            raise WrongInputError(
                expected="a check's id, a part of it or a pattern, or an area: "
                + ", ".join(dict.fromkeys(it.area for it in ALL)),
                seen=f"{word}; the nearest: {', '.join(_nearest(word)) or 'none'}",
                next_command="matomo-harness gate --list",
            )
    return found


def _is_named(check: Check, word: str) -> bool:
    return check.area == word or fnmatch(check.id, word if "." in word else f"*{word}*")


def _nearest(word: str) -> list[str]:
    names = {it.id: it.id for it in ALL} | {it.id.partition(".")[2]: it.id for it in ALL}
    return list(dict.fromkeys(names[it] for it in get_close_matches(word, names, 3, 0.4)))


def seconds_of_last_run() -> dict[str, float]:
    """Return how long each check took when the gate ran last here; empty where it never did."""
    with suppress(OSError, ValueError, LookupError):
        document = json.loads((DIRECTORY / "gate.json").read_text())
        return {it["id"]: it["seconds"] for it in document["checks"]}
    return {}


@dataclass(frozen=True)
class Explained:
    """What there is to know of a check.

    Args:
        id: of the check.
        proves: the promise, in a sentence.
        needs: capabilities of the target, as a person reads them.
        steps: what the runner does before, in its order.
        mutants: those that prove the check, and what each breaks.
    """

    id: str
    proves: str
    needs: tuple[str, ...]
    steps: tuple[str, ...]
    mutants: Mapping[str, str]


def explained(check: Check) -> Explained:
    """Return what there is to know of `check`."""
    needs = check.capabilities.union(*(REQUIRED[it] for it in check.steps))
    return Explained(
        check.id,
        check.promise,
        tuple(sorted(it.value for it in needs)),
        tuple(it.value for it in check.steps),
        {it.id: it.breaks for it in WRITTEN if check.id in it.kills},
    )


def of_image(
    settings: Settings, policy_file: Path, told: Told, checks: Sequence[Check] = ALL
) -> dict[str, Any]:
    """Run `checks` on the image that `settings` name, in production's shape; write the report.

    Raises:
        HarnessError: the image cannot be built or started, or the policy holds a mistake.
    """
    promised = policy.read(policy_file)
    image, database = images.deployed_image(settings), images.mariadb_base(settings)
    installed = golden(image, database)
    about = {
        "image": str(image),
        "image id": image.id,
        "database": str(database),
        "Matomo": images.code_version(image.reference),
        "policy": policy_file.name,
    }
    with step("Starting production's shape"):
        # What the tasks do is looked at, and not how long it takes them.
        production = Production(installed, is_changed=False).__enter__()
    try:
        return _run(target.of_production(production, promised, about), told, checks, AT_ONCE)
    finally:
        production.__exit__(None, None, None)


def of_address(
    url: str,
    policy_file: Path,
    told: Told,
    checks: Sequence[Check] = ALL,
    *,
    authority: Path | None,
    allow_hits: bool,
) -> dict[str, Any]:
    """Run on the Matomo at `url` those of `checks` that need no more than is given, in turn.

    Raises:
        HarnessError: no Matomo there, a refused token or login, a mistake in the policy.
    """
    promised = policy.read(policy_file)
    looked_at = remote.target(url, promised, authority=authority, allow_hits=allow_hits)
    return _run(looked_at, told, checks, at_once=1)


def _run(looked_at: Target, told: Told, checks: Sequence[Check], at_once: int) -> dict[str, Any]:
    results = run.run(looked_at, checks, told, at_once=at_once)
    return report.write(results, looked_at.about, DIRECTORY, looked_at.secrets)
