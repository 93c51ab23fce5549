"""What a command of the harness began on the engine, and what it left there."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from matomo_harness.runtime import reaper
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.reaper import PARENT_LABEL


def run_of(program: Any) -> str:
    """Return the id of the run that a program begins, which has to come before it ends."""
    while True:
        for begun in reaper.runs():
            if begun.origin and begun.origin.process == program.pid:
                return begun.id
        assert program.poll() is None, program.stdout and program.stdout.read()
        time.sleep(0.05)


def wait_until_gone(left: Callable[[], object], watched: str) -> None:
    """Wait until nothing is left of a run that has ended, or whoever removes it has ended as well.

    Args:
        left: returns what there still is; nothing in the end.
        watched: the run whose watcher removes it: the same, or one that began later.
    """
    while left():
        is_removed = is_watched(watched)
        # Its last removal may have come after the question above.
        assert is_removed or not left(), left()
        time.sleep(0.1)


def is_watched(run: str) -> bool:
    """Whether the process lives that removes what a run leaves."""
    words = f"\0matomo_harness.runtime.reaper\0{run}\0".encode()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            if words in file.read_bytes():
                return True
    return False


def things_of(run: str) -> tuple[str, ...]:
    """Name what is on the engine of a run."""
    parent = f"{PARENT_LABEL}={reaper.Run(run).as_parent}"
    labels = (parent, f"{reaper.RUN_LABEL}={run}")
    return tuple(thing.name for label in labels for thing in reaper.labelled(engine(), label))


def left_of(run: str) -> tuple[str, ...]:
    """Name what a run has left, on the engine and in its directory."""
    return (*things_of(run), *(str(path) for path in reaper.RUNS.glob(f"{run}-*")))
