"""The gate proves itself: each promise is broken in turn, and the gate must say so (docs/gate.md)."""

from typing import Final

from harness.gate.mutants import (
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
from harness.gate.mutants.mutant import Mutant

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
