"""A restore drill: last night's backup, restored as it is into a deployment that nobody reaches."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.gate.catalogue import read_policy, waivers_of
from matomo_harness.operate import gate, rehearsal, stack_image
from matomo_harness.operate.drill import report, steps
from matomo_harness.operate.drill.against import Production
from matomo_harness.operate.drill.judgement import verdict
from matomo_harness.operate.drill.steps import Choices
from matomo_harness.operate.gate_image import policy_for
from matomo_harness.policy import Drill
from matomo_harness.settings import REPORTS, RunSettings

DIRECTORY: Final = REPORTS / "drill"
PAGE: Final = report.PAGE


def drill(
    dump: Sequence[Path],
    files: Path,
    settings: RunSettings,
    *,
    policy: Path | None = None,
    promises: tuple[str, ...] = (),
    production: Production | None = None,
) -> dict[str, Any]:
    """Prove a backup, write the report, and return what drill.json holds.

    Args:
        dump: its files, in their order, or its directory.
        files: a tar of the file system.
        settings: of this process.
        policy: the policy's file; by default policy.toml of this directory, or the reference's for
            its own image alone.
        promises: that the gate judges; all where there are none.
        production: where production's numbers come from; None where none are given.

    Raises:
        WrongInputError: a file is not there, there is no such promise, nobody has said what another
            image promises, policy or waivers hold a mistake, the report cannot be written, or the
            image is not of the version of the tables.
        UnsupportedEnvironmentError: there is no room, or a container does not start.
    """
    rehearsal.require_promises(promises)
    policy_file = policy or policy_for(settings.image)
    limits = read_policy(policy_file).section(Drill)
    # Both are needed hours later: a mistake is named now.
    waivers_of(policy_file)
    gate.require_place(DIRECTORY)
    choices = Choices(policy_file, DIRECTORY, promises, production)
    with stack_image.declared_beside(policy):
        found = steps.drill(dump, files, settings, choices)
    return report.write(found, verdict(found, limits), DIRECTORY)


def shown(name: str) -> str:
    """Return the path of a report from here."""
    return os.path.relpath(DIRECTORY / name)


def require_backup(document: dict[str, Any]) -> None:
    """Require that nothing speaks against the backup.

    Raises:
        BrokenPromiseError: something does.
    """
    if not document["verdict"]["backup"]:
        first = document["reasons"][0]
        raise BrokenPromiseError(
            expected="a backup that brings Matomo back",
            seen=f"{document['verdict']['sentence']} The first: {first['what']}",
            next_command=first["next"] or f"open {shown(PAGE)}",
        )
