"""The gate on a copy, whole or in part."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from matomo_harness.gate import remote, report
from matomo_harness.gate.catalogue import ALL, PROMISES, read_policy, waivers_of
from matomo_harness.gate.core import runner
from matomo_harness.gate.core.check import Capability, Check, Status
from matomo_harness.gate.core.runner import RED
from matomo_harness.gate.core.verdict import NOT_RUN, verdict
from matomo_harness.gate.probes.preflight import PREFLIGHT
from matomo_harness.matomo.versions import RANGE, is_supported
from matomo_harness.operate import gate_container, local
from matomo_harness.operate.rehearsal.copies import RunningCopy

AT_ONCE: Final = 3
AFFECTED: Final = ("masking", "user_ids", "tracking")
"""Promises that hold, or do not, while a visitor's hit is stored: what a way back must keep."""


@dataclass(frozen=True)
class Judgement:
    """What a gate said.

    Args:
        counts: of each status.
        red: what each red check has seen, by its id.
        directory: of its report.
        not_possible: why there was no gate; empty where there was one.
        passed: ids of the checks that passed.
        errors: those of the red ones that ended in an error: nobody knows whether they hold.
        not_examined: ids of those that did not run, but for want of a login that was not given.
    """

    counts: Mapping[str, int]
    red: Mapping[str, str]
    directory: str
    not_possible: str = ""
    passed: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    not_examined: tuple[str, ...] = ()


def checks_of(promises: Collection[str]) -> list[Check]:
    """Return the checks of some promises, or all where none is named."""
    return [check for check in ALL if not promises or check.id.partition(".")[0] in promises]


def judged(
    copy: RunningCopy,
    token: str,
    policy_file: Path,
    checks: Sequence[Check],
    directory: Path,
    *,
    code: str,
    logs_in: bool,
) -> Judgement:
    """Run checks on a copy; hits are stored on a site of the gate's own.

    Args:
        copy: what is judged.
        token: of a superuser.
        policy_file: what is promised.
        checks: those to run.
        directory: of the report.
        code: version of the copy's Matomo.
        logs_in: whether checks that need a login run, too. Matomo takes each code of a second
            factor once, so gates that do so are a minute apart.

    Raises:
        HarnessError: the policy has a mistake, or the copy does not answer.
    """
    if not is_supported(code):
        return Judgement({}, {}, "", f"it is Matomo {code}, and the checks are made for {RANGE}")
    policy, waivers = read_policy(policy_file), waivers_of(policy_file)
    stack, web = copy.stack, copy.started.web
    container, matomo = gate_container.entered(copy.started.shell.name)
    database, _ = gate_container.database(container, matomo, web.url)
    target = remote.target(
        *(web.url, policy),
        authority=stack.authority_file,
        allow_hits=True,
        environment={"HARNESS_TOKEN": token, **(local.login_variables(stack) if logs_in else {})},
        container=matomo,
        database=database,
    )
    results = runner.run(target, checks, at_once=AT_ONCE, preflight=PREFLIGHT)
    found = verdict(results, policy, waivers)
    document = report.write(found, target.about, directory, target.secrets, PROMISES)
    red = {
        check["id"]: str(check["seen"]) for check in document["checks"] if check["status"] in RED
    }
    by_login = {check.id for check in checks if Capability.LOGIN in check.capabilities}
    return Judgement(
        document["counts"],
        red,
        os.path.relpath(directory),
        passed=_ids(document, Status.PASSED),
        errors=_ids(document, Status.ERROR),
        not_examined=tuple(
            name for name in _ids(document, *NOT_RUN) if logs_in or name not in by_login
        ),
    )


def _ids(document: Mapping[str, Any], *statuses: Status) -> tuple[str, ...]:
    return tuple(check["id"] for check in document["checks"] if check["status"] in statuses)
