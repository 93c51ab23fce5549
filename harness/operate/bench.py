"""Measuring what the README promises, on this machine, in one run."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from harness.operate import local
from harness.settings import Settings
from harness.stack import images
from harness.stack.engine import engine
from harness.stack.pair import started

SAMPLES: Final = 5
MIB: Final = 2**20


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Args:
        name: what was measured.
        median: of the samples, in `unit`.
        spread: lowest and highest sample.
        unit: `s` or `MiB`.
        target: what the project asks for on 2 cores.
    """

    name: str
    median: float
    spread: tuple[float, float]
    unit: str
    target: float


def run(settings: Settings, path: Path, out: Console) -> None:
    """Measure, write `path` and print a table.

    Raises:
        HarnessError: something that is measured did not come up.
    """
    local.up(settings)
    figures = [
        _seconds("second `make up`", lambda: local.up(settings), target=5),
        _seconds("built images to an installed pair", lambda: _once(settings), target=6),
        _own_layers(settings),
    ]
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, engine {engine().version()['Version']}"
    )
    record = {"machine": machine, "samples": SAMPLES, "figures": [asdict(f) for f in figures]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n")
    table = Table("figure", "median", "lowest to highest", "target", title=machine)
    for figure in figures:
        low, high = figure.spread
        table.add_row(
            figure.name,
            f"{figure.median:.2f} {figure.unit}",
            f"{low:.2f} to {high:.2f}",
            f"{figure.target:g} {figure.unit}",
        )
    out.print(table)
    out.print(f"Written to {path}")


def _seconds(name: str, act: Callable[[], object], *, target: float) -> Figure:
    samples: list[float] = []
    for _ in range(SAMPLES):
        with _clock(samples):
            act()
    spread = (min(samples), max(samples))
    return Figure(name, statistics.median(samples), spread, "s", target)


@contextmanager
def _clock(samples: list[float]) -> Iterator[None]:
    started = time.monotonic()
    yield
    samples.append(round(time.monotonic() - started, 3))


def _once(settings: Settings) -> None:
    with started(images.deployed_image(settings), images.mariadb_base(settings)) as both:
        both.install()


def _own_layers(settings: Settings) -> Figure:
    base, deployed = images.matomo_base(settings), images.deployed_image(settings)
    size = (
        engine().images.get(deployed.id).attrs["Size"] - engine().images.get(base.id).attrs["Size"]
    )
    mib = round(size / MIB, 3)
    return Figure("own layers on top of the base", mib, (mib, mib), "MiB", 5)
