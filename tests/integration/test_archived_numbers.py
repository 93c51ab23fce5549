"""The first real test: the archiver reports exactly what the visitors did, to the last one."""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any, Final

import pytest

from matomo_harness.matomo import tracker, traffic
from matomo_harness.matomo.api import Api
from matomo_harness.matomo.traffic import Figures, PageFigures, Period, Site, Visit
from matomo_harness.matomo.web import Parameters
from matomo_harness.runtime.instance import Instance

pytestmark = pytest.mark.all_versions(reason="Matomo computes the numbers")

FIRST_DAY: Final = date(2025, 5, 31)  # a Saturday: three days over the end of a month and a week
DAYS: Final = 3
TIMEZONES: Final = ("UTC", "America/New_York", "Pacific/Auckland")
WEEKS: Final = (date(2025, 5, 26), date(2025, 6, 2))
MONTHS: Final = (date(2025, 5, 1), date(2025, 6, 1))


@pytest.fixture
def sites(fresh_matomo: Instance) -> list[Site]:
    made = []
    for zone in TIMEZONES:
        url = f"https://{zone.replace('/', '-').lower()}.example"
        number = fresh_matomo.api.add_site(zone, url, zone, since="2025-05-01")
        made.append(Site(number, url, zone))
    return made


@pytest.fixture
def visits(sites: list[Site]) -> list[Visit]:
    return traffic.visits(sites, FIRST_DAY, DAYS)


@pytest.fixture
def tracked(fresh_matomo: Instance, visits: list[Visit]) -> list[Visit]:
    hits = list(traffic.hits(visits))
    assert tracker.send(fresh_matomo.api, hits) == len(hits)
    return visits


def moments() -> Iterable[tuple[Period, date]]:
    yield from (("day", FIRST_DAY + timedelta(days=offset)) for offset in range(DAYS))
    yield from (("week", monday) for monday in WEEKS)
    yield from (("month", first) for first in MONTHS)


def figures(summary: Any, rows: Any) -> Figures:
    """Read from Matomo's two reports what the generator computes."""
    if not summary:
        return Figures(0, 0, 0, 0, "0%", 0, ())
    pages = (PageFigures(row["url"], row["nb_hits"], row["nb_visits"]) for row in rows)
    return Figures(
        visits=summary["nb_visits"],
        unique_visitors=summary["nb_uniq_visitors"],
        actions=summary["nb_actions"],
        bounces=summary["bounce_count"],
        bounce_rate=summary["bounce_rate"],
        average_seconds=summary["avg_time_on_site"],
        pages=tuple(sorted(pages, key=lambda page: page.url)),
    )


def reported_figures(api: Api, sites: list[Site]) -> dict[tuple[str, Period, date], Figures]:
    keys = [(site, period, day) for site in sites for period, day in moments()]
    calls: list[Parameters] = []
    for site, period, day in keys:
        where = {"idSite": site.id, "period": period, "date": day.isoformat()}
        calls.append({"method": "VisitsSummary.get", **where})
        calls.append({"method": "Actions.getPageUrls", "flat": 1, "filter_limit": -1, **where})
    answers = iter(api.call_many(calls))
    pairs = zip(answers, answers, strict=True)
    return {
        (site.timezone, period, day): figures(summary, rows)
        for (site, period, day), (summary, rows) in zip(keys, pairs, strict=True)
    }


def test_one_day_of_one_site_is_exact(fresh_matomo: Instance) -> None:
    site = Site(1, "https://discovery.example", "America/New_York")
    visits = traffic.visits([site], FIRST_DAY, 1)
    assert tracker.send(fresh_matomo.api, traffic.hits(visits))
    fresh_matomo.shell.console(
        "core:archive",
        "--disable-scheduled-tasks",
        f"--force-date-range={FIRST_DAY},{FIRST_DAY}",
        "--force-periods=day",
    )
    where_and_when: Parameters = {"idSite": site.id, "period": "day", "date": FIRST_DAY.isoformat()}
    summary = fresh_matomo.api.call("VisitsSummary.get", **where_and_when)
    rows = fresh_matomo.api.call("Actions.getPageUrls", flat=1, filter_limit=-1, **where_and_when)
    assert figures(summary, rows) == traffic.expected(visits, site, "day", FIRST_DAY)


@pytest.mark.slow(reason="three sites, three days: weeks, months and years are archived")
def test_reports_are_empty_before_archiving_and_exact_after(
    fresh_matomo: Instance, sites: list[Site], tracked: list[Visit]
) -> None:
    api = fresh_matomo.api
    nothing = Figures(0, 0, 0, 0, "0%", 0, ())
    assert set(reported_figures(api, sites).values()) == {nothing}, "a request archived by itself"

    fresh_matomo.shell.console("core:archive")

    assert reported_figures(api, sites) == {
        (site.timezone, period, day): traffic.expected(tracked, site, period, day)
        for site in sites
        for period, day in moments()
    }
