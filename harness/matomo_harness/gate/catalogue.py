"""All promises and their checks, put together from their packages."""

from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Final

from matomo_harness import policy
from matomo_harness.gate import promises
from matomo_harness.gate.core.check import Check
from matomo_harness.gate.core.promise import Promise
from matomo_harness.gate.core.verdict import require_known
from matomo_harness.policy import (
    POLICY_FILE,
    Gate,
    Policy,
    Section,
    Waiver,
    files,
    waivers_beside,
)

PROMISES: Final[tuple[Promise, ...]] = tuple(
    import_module(f"{promises.__name__}.{name}.checks").PROMISE for name in promises.NAMES
)
SECTIONS: Final[tuple[type[Section], ...]] = tuple(
    promise.section for promise in PROMISES if promise.section
)
ALL: Final[tuple[Check, ...]] = tuple(check for promise in PROMISES for check in promise.checks)
FORMER_IDS: Final = {former: check.id for check in ALL for former in check.formerly}
"""Ids of the previous release, valid for one release, and the current id of each."""


def waivers_of(policy_file: Path) -> tuple[Waiver, ...]:
    """Return the waivers beside the policy.

    Raises:
        WrongInputError: the file holds a mistake, or names a check that does not exist.
    """
    return require_known(waivers_beside(policy_file), ALL, FORMER_IDS)


def read_policy(path: Path = POLICY_FILE) -> Policy:
    """Read what a policy promises.

    Raises:
        WrongInputError: the file holds a mistake, or requires a check that does not exist.
    """
    read = policy.read(path, SECTIONS)
    required = tuple(FORMER_IDS.get(name, name) for name in read.section(Gate).required)
    for name in required:
        if not any(fnmatch(check.id, name) for check in ALL):
            expected = "[gate] required to name checks, by ids or patterns"
            raise files.mistake(path, expected, name)
    return read.with_section(Gate(required=required))
