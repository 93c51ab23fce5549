"""What `site` leaves behind: a file for programs, and a page to read. Neither has a found value."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from matomo_harness import __version__
from matomo_harness.gate import report
from matomo_harness.operate.site import values
from matomo_harness.operate.site.faults import Expectation, Fault
from matomo_harness.operate.site.records import PageRecord

TEMPLATE: Final = Path(__file__).with_name("site.html")
DOCUMENT: Final = "site.json"
PAGE: Final = "index.html"


def document(
    pages: Sequence[PageRecord],
    found: Sequence[Fault],
    expected: Expectation,
    allowed: Sequence[str],
) -> dict[str, Any]:
    """Return what site.json holds.

    Args:
        pages: that were gone through.
        found: what is wrong with them.
        expected: what they were judged by.
        allowed: names of faults that are accepted.
    """
    counted = [fault for fault in found if fault.name not in allowed]
    return {
        "verdict": {"clean": not counted, "sentence": _sentence(pages, counted, found)},
        "faults": [
            {
                **asdict(fault),
                "severity": fault.severity.name.lower(),
                "allowed": fault.name in allowed,
            }
            for fault in found
        ],
        "pages": [_page(page, expected) for page in pages],
        "matomo": sorted({hit.tracker for page in pages for hit in page.hits}),
        "sites": sorted({values.masked(hit.site) for page in pages for hit in page.hits}),
        "harness": __version__,
        "time": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def write(said: dict[str, Any], directory: Path) -> None:
    """Write both files; `said` is what `document` returned."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / DOCUMENT).write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n")
    (directory / PAGE).write_text(report.page(TEMPLATE, said))


def _page(page: PageRecord, expected: Expectation) -> dict[str, Any]:
    answered = [request for request in page.requests if 200 <= request.status < 300]
    return {
        "address": values.shown_address(page.address, expected.forbidden),
        "hits": len(page.hits),
        "arrived": sum(len(request.hits) for request in answered),
        "before_click": sum(len(request.hits) for request in page.requests if not request.by_click),
        "kinds": sorted({_kind(hit.parameters) for hit in page.hits}),
    }


def _kind(parameters: Any) -> str:
    """Name what a hit tracks, by the parameters that Matomo tells it by."""
    kinds = (
        ("ping", "heartbeat"),
        ("e_c", "event"),
        ("search", "site search"),
        ("download", "download"),
        ("link", "outlink"),
        ("c_i", "content interaction"),
        ("c_n", "content"),
        ("ec_id", "order"),
        ("ec_items", "cart"),
        ("idgoal", "goal"),
    )
    return next((kind for name, kind in kinds if name in parameters), "page view")


def _sentence(pages: Sequence[PageRecord], counted: Sequence[Fault], found: Sequence[Fault]) -> str:
    hits = sum(len(page.hits) for page in pages)
    looked = f"{_count(len(pages), 'page')}, {_count(hits, 'hit')}"
    allowed = len(found) - len(counted)
    accepted = f" {_count(allowed, 'fault')} allowed." if allowed else ""
    if counted:
        return f"{_count(len(counted), 'fault')} in {looked}.{accepted}"
    return f"Clean: {looked}.{accepted}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
