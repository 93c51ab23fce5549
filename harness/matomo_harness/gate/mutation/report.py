"""Reports of a kill matrix: mutants.json for programs, mutants.html with a picture of it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from matomo_harness import __version__
from matomo_harness.gate.catalogue import ALL
from matomo_harness.gate.core.runner import RED
from matomo_harness.gate.mutants import Mutant
from matomo_harness.gate.mutation.generated import equivalent
from matomo_harness.gate.mutation.runner import MatrixVerdict, Row, is_killed, last_line, missed
from matomo_harness.gate.report import page

TEMPLATE: Final = Path(__file__).with_name("report.html")
CELL: Final = 7
"""Pixels that a mutant and a check take in the picture."""
LABELS: Final = 250
HEAD: Final = 20


def write(
    rows: Sequence[Row],
    verdict: MatrixVerdict,
    about: Mapping[str, str],
    directory: Path,
) -> dict[str, Any]:
    """Write mutants.json and mutants.html into `directory`; return what the former holds.

    Args:
        rows: those of all that ran.
        verdict: what they say of the gate.
        about: images and versions, and what ran.
        directory: it is made where it does not exist.
    """
    directory.mkdir(parents=True, exist_ok=True)
    moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    document = {
        "about": {**about, "harness": __version__, "time": moment},
        "summary": last_line(rows, verdict),
        "proven": verdict.proven,
        "survivors": list(verdict.survivors),
        "not_made": list(verdict.not_made),
        "false_alarms": list(verdict.false_alarms),
        "killed_by_another_promise": list(verdict.of_another_promise),
        "checks_without_a_kill": list(verdict.idle),
        "equivalent": equivalent(about["Matomo"]),
        "rows": [_fields(row) for row in rows],
    }
    (directory / "mutants.json").write_text(json.dumps(document, indent=1) + "\n")
    written = page(TEMPLATE, {"picture": picture(rows), **document})
    (directory / "mutants.html").write_text(written)
    return document


def _fields(row: Row) -> dict[str, Any]:
    subject = row.subject
    fields: dict[str, Any] = {
        "id": subject.id,
        "topology": subject.topology.value,
        "seconds": round(row.seconds, 1),
        "not_made": row.not_made,
        "traceback": row.traceback,
        "together": list(row.together),
        "checks": {name: status.value for name, status in row.statuses.items()},
        "seen": {name: text[:200] for name, text in row.seen.items()},
    }
    if isinstance(subject, Mutant):
        return fields | {
            "kind": "mutant",
            "breaks": subject.breaks,
            "location": subject.location.value,
            "promise": subject.promise,
            "failure_mode": subject.failure_mode,
            "kills": list(subject.kills),
            "killed": not row.not_made and is_killed(row),
            "missed": missed(row),
        }
    return fields | {"kind": "control", "says": subject.says, "red": sorted(row.red)}


# -- the picture ----------------------------------------------------------------------------------


def picture(rows: Sequence[Row]) -> str:
    """Return the matrix as SVG: a row for each mutant and control, a column for each check."""
    width, height = LABELS + CELL * len(ALL) + 10, HEAD + CELL * len(rows) + 10
    parts = [*_areas(height), *(cell for at, row in enumerate(rows) for cell in _row(at, row))]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" font-family="system-ui" font-size="6.5" fill="currentColor">{"".join(parts)}</svg>'
    )


def _areas(height: int) -> Iterator[str]:
    at = 0
    for area, checks in groupby(ALL, lambda check: check.promise):
        x, count = LABELS + at * CELL, len(list(checks))
        yield f'<text x="{x + 1}" y="10" font-size="8">{area}</text>'
        yield f'<path d="M{x - 0.5} 3V{height}" stroke="#999" stroke-width=".7"/>'
        at += count


def _row(at: int, row: Row) -> Iterator[str]:
    y = HEAD + at * CELL
    yield f'<text x="{LABELS - 4}" y="{y + 6}" text-anchor="end">{row.subject.id}</text>'
    named = row.subject.kills if isinstance(row.subject, Mutant) else ()
    for column, check in enumerate(ALL):
        status = row.statuses.get(check.id)
        if status is None and check.id not in named:
            continue
        colour = _colour(red=status in RED, named=check.id in named)
        x = LABELS + column * CELL
        yield (
            f'<rect x="{x}" y="{y}" width="{CELL - 1}" height="{CELL - 1}" fill="{colour}">'
            f"<title>{row.subject.id}: {check.id} {status.value if status else 'not run'}</title>"
            "</rect>"
        )


def _colour(*, red: bool, named: bool) -> str:
    if named:
        return "#157f3b" if red else "#d4002a"
    return "#a9d8b8" if red else "#ececec"
