"""Rehearsals of upgrades in tests: a small stack to begin with, and what is found."""

import dataclasses
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matomo_harness.operate import clean
from matomo_harness.operate.stack import Stack
from matomo_harness.policy import POLICY_FILE
from matomo_harness.settings import RunSettings
from tests.checkout import Checkout, copied
from tests.runs import left_of, run_of

REPORTS = "reports/rehearsal"


@contextmanager
def small_stack(directory: Path, *, visits: int = 20) -> Iterator[Checkout]:
    """Bring up a local stack of 5.3.1, with visits of some days and their archives.

    Args:
        directory: an empty one.
        visits: there may be none.
    """
    settings = dataclasses.replace(RunSettings.from_environment(), matomo_version="5.3.1")
    with copied(directory, settings) as copy:
        assert (answer := copy.harness("up")).code == 0, answer.text
        if visits:
            traffic = ("traffic", "--sites", "1", "--days", "3", "--visits", f"{visits}")
            assert (answer := copy.harness(*traffic)).code == 0, answer.text
        yield copy
        clean.remove_stack(Stack(copy.root))


def rehearsed(
    stack: Checkout, *arguments: str, promises: str = "masking", limits: str = ""
) -> tuple[int, dict[str, Any]]:
    """Rehearse something; return the exit code and what rehearsal.json holds.

    Nothing of it is left.

    Args:
        stack: whose checkout it is.
        arguments: of the command, which begin with its name.
        promises: that the gates judge.
        limits: lines of the policy's section [upgrade]. By default there are none: how many hits
            are lost while a container starts is a matter of what else the machine does.
    """
    policy = stack.root / "policy-of-the-rehearsal.toml"
    section = f"[upgrade]\n{limits}\n"
    policy.write_text(re.sub(r"(?ms)^\[upgrade\]$.*?(?=^\[|\Z)", section, POLICY_FILE.read_text()))
    path = stack.root / REPORTS / "rehearsal.json"
    path.unlink(missing_ok=True)
    with subprocess.Popen(
        stack.command(*arguments, "--gate", promises, "--policy", str(policy)),
        cwd=stack.root,
        env=stack.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as program:
        run = run_of(program)
        said, _ = program.communicate(timeout=850)
    assert path.exists(), said
    assert left_of(run) == ()
    return program.returncode, json.loads(path.read_text())


def reasons(found: dict[str, Any], weight: str) -> list[str]:
    """Return the sentences of the verdict's reasons of a weight."""
    return [reason["what"] for reason in found["reasons"] if reason["weight"] == weight]
