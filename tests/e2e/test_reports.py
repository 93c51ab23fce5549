"""The numbers on the pages are those of the visits that were made, once they are archived."""

import csv
from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from harness.matomo import tracker, traffic
from harness.matomo.traffic import Figures, Site
from harness.pytest_plugin import MatomoByTls
from tests.e2e.evidence import Evidence
from tests.e2e.pages.report import Report
from tests.e2e.promises import expect_figures, expect_nothing

FIRST, LAST = date(2026, 3, 2), date(2026, 3, 4)
RANGE = f"{FIRST},{LAST}"


@dataclass(frozen=True)
class Library:
    """A site with visits that nobody has archived.

    Args:
        site: idsite.
        figures: what Matomo must say of all its days.
        one_day: and of the first.
    """

    site: int
    figures: Figures
    one_day: Figures


@pytest.fixture
def library(matomo_by_tls: MatomoByTls) -> Library:
    api = matomo_by_tls.instance.api
    url = "https://library.example"
    site = Site(api.add_site("Library", url, "UTC", since="2026-01-01"), url, "UTC")
    made = traffic.visits([site], FIRST, (LAST - FIRST).days + 1)
    tracker.send(api, traffic.hits(made))
    return Library(
        site.id,
        traffic.expected_between(made, site, FIRST, LAST),
        traffic.expected_between(made, site, FIRST, FIRST),
    )


def test_reports_are_empty_before_archiving_and_exact_after_it(
    superuser: Page, matomo_by_tls: MatomoByTls, library: Library, evidence: Evidence
) -> None:
    day = Report(superuser, library.site, "day", str(FIRST))
    day.open("General_Visitors", "General_Overview")
    expect_nothing(day)

    archive(matomo_by_tls, library)

    superuser.reload()
    expect_figures(day, library.one_day)
    expect(day.graph).to_be_visible()

    report = Report(superuser, library.site, "range", RANGE)
    report.open("General_Visitors", "General_Overview")
    expect_figures(report, library.figures)
    evidence.keep(superuser, "The visitors overview shows the visits that were made")

    report.open("Referrers_Referrers", "General_Overview")
    channels = report.widget("Channel Type")
    expect(channels).to_contain_text(f"{library.figures.visits} direct entries")

    report.open("Dashboard_Dashboard", "1")
    visits, actions = library.figures.visits, library.figures.actions
    row = superuser.get_by_role("row", name=f"Direct Entry {visits} {actions}")
    expect(row).to_be_visible()

    report.open("General_Actions", "General_Pages")
    expect(report.table).to_be_visible()
    rows = {label: cells[:2] for label, cells in report.rows().items()}
    assert rows == _rows(library.figures)

    exported = _read(report.export("CSV").path())
    assert exported == rows


def archive(matomo: MatomoByTls, library: Library) -> None:
    """Archive the library's days alone: today's reports are not this test's."""
    matomo.archive(
        "--disable-scheduled-tasks",
        f"--force-idsites={library.site}",
        f"--force-date-range={RANGE}",
        "--force-periods=day",
    )


def _rows(figures: Figures) -> dict[str, tuple[str, str]]:
    """Page views and unique ones, as the Pages table groups addresses: by their directories."""
    views: Counter[str] = Counter()
    visits: Counter[str] = Counter()
    for it in figures.pages:
        path = it.url.removeprefix("https://library.example")
        label = path.split("/")[1] if path.count("/") > 1 else (path if path != "/" else "/index")
        views[label] += it.views
        visits[label] += it.visits
    return {label: (str(views[label]), str(visits[label])) for label in views}


def _read(path: Path) -> dict[str, tuple[str, str]]:
    """The columns of a CSV export that the table shows."""
    rows = csv.DictReader(path.read_text("utf-16").splitlines())
    return {it["label"]: (it["nb_hits"], it["nb_visits"]) for it in rows}
