"""The checks, one module for each area of the policy."""

from typing import Final

from matomo_harness.gate.core.check import Check
from matomo_harness.gate.promises.accounts import checks as accounts
from matomo_harness.gate.promises.archiving import checks as archiving
from matomo_harness.gate.promises.configuration import checks as configuration
from matomo_harness.gate.promises.drift import checks as drift
from matomo_harness.gate.promises.exposure import checks as exposure
from matomo_harness.gate.promises.gui import checks as gui
from matomo_harness.gate.promises.masking import checks as masking
from matomo_harness.gate.promises.plugins import checks as plugins
from matomo_harness.gate.promises.two_factors import checks as two_factors
from matomo_harness.gate.promises.user_ids import checks as user_ids

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
