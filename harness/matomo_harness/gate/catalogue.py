"""All promises and their checks, put together from their packages."""

from importlib import import_module
from pathlib import Path
from typing import Final

from matomo_harness import policy
from matomo_harness.gate import promises
from matomo_harness.gate.core.check import Check
from matomo_harness.gate.core.promise import Promise
from matomo_harness.policy import POLICY_FILE, Policy, Section

PROMISES: Final[tuple[Promise, ...]] = tuple(
    import_module(f"{promises.__name__}.{name}.checks").PROMISE for name in promises.NAMES
)
SECTIONS: Final[tuple[type[Section], ...]] = tuple(
    promise.section for promise in PROMISES if promise.section
)
ALL: Final[tuple[Check, ...]] = tuple(check for promise in PROMISES for check in promise.checks)
FORMER_IDS: Final = {former: check.id for check in ALL for former in check.formerly}
"""Ids of the release before, for one release, and what each is now."""


def read_policy(path: Path = POLICY_FILE) -> Policy:
    """Read what is promised.

    Raises:
        WrongInputError: the file holds a mistake.
    """
    return policy.read(path, SECTIONS)
