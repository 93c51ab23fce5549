"""The gate proves itself: we break each promise in turn, and it must see that (docs/gate.md)."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from matomo_harness.gate import promises
from matomo_harness.gate.mutants import Control, Mutant


def _modules(kind: str) -> list[Any]:
    names = [f"{promises.__name__}.{name}.{kind}" for name in promises.NAMES]
    return [import_module(name) for name in names if find_spec(name)]


WRITTEN: Final[tuple[Mutant, ...]] = tuple(
    mutant for module in _modules("mutants") for mutant in module.MUTANTS.written
)
CONTROLS: Final[tuple[Control, ...]] = tuple(
    control for module in _modules("controls") for control in module.CONTROLS
)
