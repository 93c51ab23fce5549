"""Measuring what the README promises, on this machine, in one run."""

import json
import os
import platform
import statistics
import time
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
        _figure("second `make up`", [_second_up(settings) for _ in range(SAMPLES)], "s", 5),
        _figure(
            "built images to an installed pair",
            [_installed_pair(settings) for _ in range(SAMPLES)],
            "s",
            6,
        ),
        _figure("own layers on top of the base", [_own_layers(settings)], "MiB", 5),
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


def _figure(name: str, samples: list[float], unit: str, target: float) -> Figure:
    return Figure(name, statistics.median(samples), (min(samples), max(samples)), unit, target)


def _second_up(settings: Settings) -> float:
    begun = time.monotonic()
    local.up(settings)
    return round(time.monotonic() - begun, 3)


def _installed_pair(settings: Settings) -> float:
    image, database_image = images.deployed_image(settings), images.mariadb_base(settings)
    begun = time.monotonic()
    with started(image, database_image) as both:
        both.install()
        return round(time.monotonic() - begun, 3)


def _own_layers(settings: Settings) -> float:
    base, deployed = images.matomo_base(settings), images.deployed_image(settings)
    of_deployed, of_base = (
        int(engine().images.get(it.id).attrs["Size"]) for it in (deployed, base)
    )
    return float(round((of_deployed - of_base) / MIB, 3))
