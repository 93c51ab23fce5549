"""The promises: a package for each, with its section of the policy, its checks and its mutants.

A package is named in NAMES and nowhere else.
"""

from typing import Final

NAMES: Final = (
    "plugins",
    "environment",
    "secrets",
    "transport",
    "settings",
    "code",
    "database",
    "operation",
    "backup",
    "mail",
    "masking",
    "user_ids",
    "tracking",
    "second_factors",
    "accounts",
    "archiving",
    "exposure",
    # The last: its steps may delete what other checks read.
    "retention",
)
"""In the order of the report."""
