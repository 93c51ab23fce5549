"""The gate proves itself: each promise is broken in turn, and the gate must say so (docs/gate.md)."""

from typing import Final

from matomo_harness.gate.mutation.mutant import Mutant
from matomo_harness.gate.promises.accounts import mutants as accounts
from matomo_harness.gate.promises.archiving import mutants as archiving
from matomo_harness.gate.promises.configuration import mutants as configuration
from matomo_harness.gate.promises.drift import mutants as drift
from matomo_harness.gate.promises.exposure import mutants as exposure
from matomo_harness.gate.promises.gui import mutants as gui
from matomo_harness.gate.promises.masking import mutants as masking
from matomo_harness.gate.promises.plugins import mutants as plugins
from matomo_harness.gate.promises.two_factors import mutants as two_factors
from matomo_harness.gate.promises.user_ids import mutants as user_ids

WRITTEN: Final[tuple[Mutant, ...]] = (
    *plugins.MUTANTS,
    *configuration.MUTANTS,
    *drift.MUTANTS,
    *masking.MUTANTS,
    *user_ids.MUTANTS,
    *two_factors.MUTANTS,
    *accounts.MUTANTS,
    *archiving.MUTANTS,
    *exposure.MUTANTS,
    *gui.MUTANTS,
)
