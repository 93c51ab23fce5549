"""Choose checks, and run those that a running instance allows: this needs no engine."""

import dataclasses
import json
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

from matomo_harness.errors import WrongInputError
from matomo_harness.gate import remote, report
from matomo_harness.gate.catalogue import ALL, FORMER_IDS, PROMISES, read_policy, waivers_of
from matomo_harness.gate.core import runner
from matomo_harness.gate.core.check import Check
from matomo_harness.gate.core.runner import Result
from matomo_harness.gate.core.target import Target
from matomo_harness.gate.core.verdict import verdict
from matomo_harness.gate.probes.preflight import PREFLIGHT
from matomo_harness.gate.promises import NAMES
from matomo_harness.matomo import inside, read_only
from matomo_harness.matomo.inside import ReadOnlyContainer
from matomo_harness.matomo.read_only import Address
from matomo_harness.policy import POLICY_FILE, Policy, Waiver, judged_by
from matomo_harness.progress import console
from matomo_harness.redaction import redact
from matomo_harness.settings import REPORTS

DIRECTORY: Final = REPORTS / "gate"
EXEC_VARIABLE: Final = "HARNESS_EXEC"
"""Holds the command that reaches the container, where no option does."""
OnResult = Callable[[Result], None]


def chosen(pattern: str) -> list[Check]:
    """Return the checks that `pattern` names; all where it is empty.

    Args:
        pattern: ids, promises or parts of them, separated by blanks; `*` and `?` as in file names.

    Raises:
        WrongInputError: nothing has such a name; `seen` has the nearest ones.
    """
    words = [name for word in pattern.split() for name in _of_today(word)]
    found = [
        check for check in ALL if not words or any(_is_named(check.id, word) for word in words)
    ]
    for word in words:
        if not any(_is_named(check.id, word) for check in found):
            raise WrongInputError(
                expected="a check's id, a part of it or a pattern, or a promise: "
                + ", ".join(NAMES),
                seen=f"{word}; the nearest: {', '.join(_nearest(word)) or 'none'}",
                next_command="matomo-harness gate --list",
            )
    return found


def _of_today(word: str) -> list[str]:
    """Return today's names for a `word` of the release before, and say so."""
    areas = {former.partition(".")[0] for former in FORMER_IDS}
    is_former_area = word in areas and word not in NAMES
    if not is_former_area and any(_is_named(check.id, word) for check in ALL):
        return [word]
    now = [new for former, new in FORMER_IDS.items() if _is_named(former, word, areas)]
    if not now:
        return [word]
    names = ", ".join(now[:3]) + (f" and {len(now) - 3} more" if len(now) > 3 else "")
    console.print(f"{word} is {names} now; the old name is valid for one release.")
    return now


def _is_named(check: str, word: str, promises: Collection[str] = NAMES) -> bool:
    # `mail` is a promise, and also a part of the names of checks that prove another one.
    if word in promises:
        return check.partition(".")[0] == word
    return fnmatch(check, word if "." in word else f"*{word}*")


def _nearest(word: str) -> list[str]:
    names = {check.id: check.id for check in ALL}
    names |= {check.id.partition(".")[2]: check.id for check in ALL}
    return list(dict.fromkeys(names[name] for name in get_close_matches(word, names, 3, 0.4)))


def seconds_of_last_run() -> dict[str, float]:
    """Return how long each check took when the gate last ran here; empty where it never did."""
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
    container: ReadOnlyContainer | None = None,
    database: Address | None = None,
) -> dict[str, Any]:
    """Run those of `checks` that need no more than is given, in turn, on the Matomo at `url`.

    Args:
        url: its address.
        policy_file: what is promised.
        on_result: called with each result as it comes.
        checks: those to run.
        authority: file with the authority that signed its certificate.
        allow_hits: whether hits may be stored.
        container: its container, where that is reached.
        database: its database; by default the one that the environment names, if any.

    Raises:
        HarnessError: no Matomo there, a refused token or login, a mistake in the policy.
    """
    promised, waivers = read_policy(policy_file), waivers_of(policy_file)
    target = remote.target(
        *(url, promised),
        authority=authority,
        allow_hits=allow_hits,
        container=container,
        database=read_only.given() or database,
    )
    if warning := target.about.get("database user"):
        console.print(
            f"The database's user {warning}. The gate reads in read-only transactions; better give"
            " it a user who may only SELECT.",
            markup=False,
        )
    about = {**target.about, "policy": named(policy_file, promised)}
    target = dataclasses.replace(target, about=about)
    return run_checks(target, waivers, on_result, checks, at_once=1)


def named(policy_file: Path, promised: Policy) -> str:
    """Name a policy in a report: whose file it is, and what is in it by its hash."""
    whose = "the reference's " if policy_file == POLICY_FILE else ""
    return f"{whose}{policy_file.name}, {promised.digest[:12]}"


def reached_by(command: str) -> ReadOnlyContainer | None:
    """Return the container that `command`, or else HARNESS_EXEC, reaches; None without a command.

    Raises:
        WrongInputError: the command is none, fails or asks for something; or no Matomo is there.
    """
    text = command or os.environ.get(EXEC_VARIABLE, "")
    return inside.reached_by(text) if text else None


def _as_it_counts(result: Result, target: Target, waivers: Sequence[Waiver]) -> Result:
    """Return `result` with what waivers and `[gate] required` make of it, and without a secret."""
    (counted,) = verdict([result], target.policy, waivers).results
    return dataclasses.replace(
        counted,
        expected=redact(counted.expected, target.secrets),
        seen=redact(counted.seen, target.secrets),
    )


def require_place(directory: Path, *, is_ours: bool = True) -> None:
    """Refuse work whose report cannot be written, before it is done.

    Args:
        directory: of the report; it is made where it is not there.
        is_ours: whether only reports are in it, which this one replaces.

    Raises:
        WrongInputError: it cannot be made or written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # What another user left in it, as by sudo, could not be replaced.
        places = (directory, *(directory.iterdir() if is_ours else ()))
        closed = next((place for place in places if not os.access(place, os.W_OK)), None)
        if closed is None:
            return
        seen = f"{closed} is read-only for this user"
    except OSError as error:
        seen = error.strerror or str(error)
    raise WrongInputError(
        expected=f"a directory for the report, {directory}, that can be written to",
        seen=seen,
        next_command="cd to a directory of your own, then the same command",
    )


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
        on_result: called with each result as it comes, waivers applied and secrets removed.
        checks: those to run.
        at_once: how many of them run side by side.

    Raises:
        WrongInputError: the report cannot be written.
    """
    require_place(DIRECTORY)

    def on_raw_result(result: Result) -> None:
        on_result(_as_it_counts(result, target, waivers))

    results = runner.run(target, checks, on_raw_result, at_once=at_once, preflight=PREFLIGHT)
    judged = verdict(results, target.policy, waivers)
    given = judged_by(target.policy, waivers)
    return report.write(judged, target.about, DIRECTORY, target.secrets, PROMISES, given)
