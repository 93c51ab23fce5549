"""Measuring what the README promises, on this machine, in one run."""

import json
import os
import platform
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

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


@dataclass(frozen=True)
class Record:
    """What one run measured.

    Args:
        machine: processor, cores, engine.
        samples: of each figure that is a time.
        figures: in the order of measuring.
    """

    machine: str
    samples: int
    figures: tuple[Figure, ...]


def run(settings: Settings) -> Record:
    """Measure; the local stack is up afterwards.

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
    engine_version = engine().version()["Version"]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, engine {engine_version}"
    return Record(machine, SAMPLES, tuple(figures))


def write(record: Record, path: Path) -> None:
    """Write `record` to `path` as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(record), indent=2) + "\n")


def table(record: Record) -> Table:
    """Return `record` for people."""
    rows = Table("figure", "median", "lowest to highest", "asked for", title=record.machine)
    for figure in record.figures:
        low, high = figure.spread
        rows.add_row(
            figure.name,
            f"{figure.median:.2f} {figure.unit}",
            f"{low:.2f} to {high:.2f}",
            f"{figure.target:g} {figure.unit}",
        )
    return rows


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
