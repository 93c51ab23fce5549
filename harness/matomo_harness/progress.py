"""Show and time the progress of long work: a live line on a terminal, plain lines elsewhere."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

# Standard error, so that standard output stays what a script asked for (JSON, a code, an address).
console = Console(stderr=True, highlight=False)


@dataclass(frozen=True)
class Timing:
    """One finished step.

    Args:
        step: what was done, as shown to the user.
        seconds: wall-clock time.
    """

    step: str
    seconds: float


class ProgressStep:
    """A running step; `say` shows its latest detail."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._status = console.status(title) if console.is_terminal else None

    def say(self, detail: str) -> None:
        """Show `detail` behind the title; without a terminal it is dropped, to keep logs short."""
        if self._status:
            self._status.update(f"{self.title}  [dim]{detail.strip()[:90]}[/dim]")


timings: list[Timing] = []


@contextmanager
def step(title: str) -> Iterator[ProgressStep]:
    """Show `title` while the block runs, then the seconds that it took.

    Without a terminal, the seconds are shown from two on: fewer are not worth reading.
    """
    running = ProgressStep(title)
    started = time.monotonic()
    if running._status:
        running._status.start()
    else:
        console.print(f"{title} ...")
    try:
        yield running
    finally:
        if running._status:
            running._status.stop()
    seconds = time.monotonic() - started
    timings.append(Timing(title, round(seconds, 2)))
    if console.is_terminal or seconds >= 2:
        console.print(f"{title} [dim]{seconds:.1f} s[/dim]")


def write_timings(path: Path) -> None:
    """Write the steps of this process to `path` as JSON, with the core count beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "cores": os.cpu_count(),
        "steps": [{"step": timing.step, "seconds": timing.seconds} for timing in timings],
        "total_seconds": round(sum(timing.seconds for timing in timings), 2),
    }
    path.write_text(json.dumps(record, indent=2) + "\n")
