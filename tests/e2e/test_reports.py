"""Pages show the numbers of the visits that were made, once those are archived."""

import csv
from collections import Counter
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from matomo_harness.matomo.traffic import Figures
from matomo_harness.pytest_plugin import MatomoByTls
from tests.e2e.evidence import Evidence
from tests.e2e.known import left_behind
from tests.e2e.promises import expect_figures, expect_nothing
from tests.e2e.visits import URL, Library, make_library

pytestmark = pytest.mark.all_versions(reason="numbers and pages are the version's")

COLUMNS = ("Pageviews", "Unique Pageviews")


@pytest.fixture
def library(matomo_by_tls: MatomoByTls) -> Library:
    """A site with visits that nobody has archived."""
    return make_library(matomo_by_tls)


@left_behind
def test_an_unarchived_report_is_empty(superuser: Page, library: Library) -> None:
    day = library.of_first_day(superuser)
    day.open("General_Visitors", "General_Overview")
    expect_nothing(day)


@pytest.mark.nightly(reason="tests/integration compares all numbers")
@left_behind
@pytest.mark.slow(reason="archives, and reads many pages")
def test_reports_are_empty_before_archiving_and_exact_after(
    superuser: Page, library: Library, evidence: Evidence
) -> None:
    day = library.of_first_day(superuser)
    day.open("General_Visitors", "General_Overview")
    expect_nothing(day)

    library.archive()

    superuser.reload()
    expect_figures(day, library.one_day)
    expect(day.graph).to_be_visible()

    report = library.of_all_days(superuser)
    report.open("General_Visitors", "General_Overview")
    expect_figures(report, library.figures)
    evidence.keep(superuser, "The visitors overview shows the visits that were made")

    report.open("Referrers_Referrers", "General_Overview")
    channels = report.widget("Channel Type")
    expect(channels).to_contain_text(f"{library.figures.visits} direct entries")

    report.open("General_Actions", "General_Pages")
    expect(report.table).to_be_visible()
    rows = report.rows(*COLUMNS)
    assert rows == _rows(library.figures, flat=False)
    exported = _read(report.export("CSV").path())
    # See versions.EXPORT_IS_FLAT.
    assert exported == _rows(library.figures, flat="/record/1" in exported)

    # The dashboard is last: its map complains when it is left before it is drawn.
    report.open("Dashboard_Dashboard", "1")
    visits, actions = library.figures.visits, library.figures.actions
    row = superuser.get_by_role("row", name=f"Direct Entry {visits} {actions}")
    expect(row).to_be_visible()


def _rows(figures: Figures, *, flat: bool) -> dict[str, tuple[str, ...]]:
    """Return views and unique views, as the Pages table has addresses: by directory, or flat."""
    views: Counter[str] = Counter()
    visits: Counter[str] = Counter()
    for page in figures.pages:
        path = page.url.removeprefix(URL)
        if not flat:
            path = path.split("/")[1] if path.count("/") > 1 else path.rstrip("/") or "/index"
        views[path] += page.views
        visits[path] += page.visits
    return {path: (str(views[path]), str(visits[path])) for path in views}


def _read(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the columns of a CSV export that the table shows."""
    rows = csv.DictReader(path.read_text("utf-16").splitlines())
    return {row["Label"]: tuple(row[name] for name in COLUMNS) for row in rows}
