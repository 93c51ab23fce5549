"""What a command of the harness began on the engine, and what it left there."""

import time
from typing import Any

from matomo_harness.runtime import reaper
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.reaper import PARENT_LABEL


def run_of(program: Any) -> str:
    """Return the id of the run of a program that has begun something on the engine."""
    for _ in range(1200):
        for begun in reaper.runs():
            if begun.origin and begun.origin.process == program.pid:
                return begun.id
        assert program.poll() is None, program.stdout.read()
        time.sleep(0.05)
    raise AssertionError("no run began")


def things_of(run: str) -> tuple[str, ...]:
    """Name what is on the engine of a run."""
    labels = (f"{PARENT_LABEL}={run}", f"{reaper.RUN_LABEL}={run}")
    return tuple(thing.name for label in labels for thing in reaper.labelled(engine(), label))


def left_of(run: str) -> tuple[str, ...]:
    """Name what a run has left, on the engine and in its directory."""
    return (*things_of(run), *(str(path) for path in reaper.RUNS.glob(f"{run}-*")))
