"""An upgrade of Matomo, rehearsed on a copy: what it changes, what it costs, and the way back."""

import os
from pathlib import Path
from typing import Any, Final

from matomo_harness.errors import BrokenPromiseError, WrongInputError
from matomo_harness.gate.catalogue import read_policy
from matomo_harness.gate.promises import NAMES
from matomo_harness.operate.rehearsal import copies, rehearse, report
from matomo_harness.operate.rehearsal.rehearse import Choices
from matomo_harness.operate.rehearsal.verdict import verdict
from matomo_harness.policy import POLICY_FILE, Upgrade
from matomo_harness.settings import REPORTS, RunSettings

DIRECTORY: Final = REPORTS / "rehearsal"
PAGE: Final = report.PAGE


def rehearse_upgrade(
    source: str,
    image: str,
    settings: RunSettings,
    *,
    policy: Path | None = None,
    visits: int = 1000,
    promises: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Rehearse an upgrade, write its report, and return what rehearsal.json holds.

    Args:
        source: a snapshot, a reproduction or an image; the local stack where empty.
        image: to upgrade to.
        settings: of this process.
        policy: the policy's file; by default policy.toml of this directory, or the reference's.
        visits: made-up ones, where it begins with an image.
        promises: that the gates judge; all where there are none.

    Raises:
        WrongInputError: there is no such source, image or promise; or the image is not a newer one.
        UnsupportedEnvironmentError: there is no room, or a container does not start.
    """
    require_promises(promises)
    here = Path(POLICY_FILE.name)
    policy_file = policy or (here if here.exists() else POLICY_FILE)
    limits = read_policy(policy_file).section(Upgrade)
    choices = Choices(policy_file, DIRECTORY, visits, promises)
    found = rehearse.rehearse(copies.source_of(source), image, settings, choices)
    return report.write(found, verdict(found, limits), DIRECTORY)


def require_promises(names: tuple[str, ...]) -> None:
    """Require that there are promises of these names.

    Raises:
        WrongInputError: there is none of one.
    """
    if unknown := [name for name in names if name not in NAMES]:
        raise WrongInputError(
            expected=f"--gate to name promises: {', '.join(NAMES)}",
            seen=", ".join(unknown),
            next_command="matomo-harness gate --list",
        )


def shown(name: str) -> str:
    """Return the path of a report from here."""
    return os.path.relpath(DIRECTORY / name)


def require_go(document: dict[str, Any]) -> None:
    """Require that nothing speaks against the upgrade.

    Raises:
        BrokenPromiseError: something does.
    """
    if not document["verdict"]["go"]:
        first = document["reasons"][0]
        raise BrokenPromiseError(
            expected="nothing to speak against the upgrade",
            seen=f"{document['verdict']['sentence']} The first: {first['what']}",
            next_command=first["next"] or f"open {shown(PAGE)}",
        )
