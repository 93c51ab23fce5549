"""The checks, one module for each area of the policy."""

from typing import Final

from harness.gate.check import Check
from harness.gate.checks import (
    accounts,
    archiving,
    configuration,
    drift,
    exposure,
    gui,
    masking,
    plugins,
    two_factors,
    user_ids,
)

AREAS: Final = (
    plugins.AREA,
    configuration.AREA,
    drift.AREA,
    masking.AREA,
    user_ids.AREA,
    two_factors.AREA,
    accounts.AREA,
    archiving.AREA,
    exposure.AREA,
    gui.AREA,
)
ALL: Final[tuple[Check, ...]] = tuple(check for area in AREAS for check in area.checks)
