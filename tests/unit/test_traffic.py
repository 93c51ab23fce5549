"""The reports that the generator expects are right by hand, and its visits are as described."""

import itertools
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from matomo_harness.matomo.tracker import Hit
from matomo_harness.matomo.traffic import (
    VISIT_GAP,
    Figures,
    PageFigures,
    Site,
    Visit,
    expected,
    visits,
)

SITE = Site(1, "https://one.example", "UTC")
DAY = date(2025, 6, 2)


def visit_of(visitor: str, *moments: tuple[str, str]) -> Visit:
    hits = (
        Hit(1, visitor, "192.0.2.1", "browser", _at(clock), SITE.url + path, path)
        for clock, path in moments
    )
    return Visit(SITE, tuple(hits))


def _at(clock: str) -> datetime:
    return datetime.fromisoformat(f"2025-06-02T{clock}").replace(tzinfo=UTC)


def test_the_figures_of_three_visits_by_hand() -> None:
    made = [
        visit_of("a", ("10:00:00", "/"), ("10:00:09", "/x"), ("10:00:19", "/")),
        visit_of("a", ("12:00:00", "/")),
        visit_of("b", ("13:00:00", "/x")),
    ]
    assert expected(made, SITE, "day", DAY) == Figures(
        visits=3,
        unique_visitors=2,
        actions=5,
        bounces=2,
        bounce_rate="67%",  # 2 of 3
        average_seconds=7,  # (19 + 1) / 3
        pages=(
            PageFigures("https://one.example/", 3, 2),
            PageFigures("https://one.example/x", 2, 2),
        ),
    )


def test_a_period_without_visits_is_all_zero() -> None:
    assert expected([], SITE, "month", DAY) == Figures(0, 0, 0, 0, "0%", 0, ())


def test_the_same_seed_makes_the_same_visits() -> None:
    assert visits([SITE], DAY, 3, seed=7) == visits([SITE], DAY, 3, seed=7)
    assert visits([SITE], DAY, 3, seed=7) != visits([SITE], DAY, 3, seed=8)


def test_matomo_would_join_no_two_visits() -> None:
    sites = [SITE, Site(2, "https://two.example", "Pacific/Auckland")]
    made = visits(sites, DAY, 14)
    of_visitor = defaultdict(list)
    for visit in made:
        of_visitor[visit.hits[0].visitor].append(visit)
    for ordered in of_visitor.values():
        ordered.sort(key=lambda visit: visit.hits[0].at)
        for earlier, later in itertools.pairwise(ordered):
            assert later.hits[0].at - earlier.hits[-1].at > VISIT_GAP
    addresses = {visit.hits[0].address: visit.hits[0].visitor for visit in made}
    assert len({address.rsplit(".", 2)[0] for address in addresses}) == len(of_visitor)


def test_no_visit_crosses_midnight_of_its_site() -> None:
    site = Site(3, "https://three.example", "Asia/Kolkata")
    for visit in visits([site], DAY, 7):
        days = {hit.at.astimezone(ZoneInfo(site.timezone)).date() for hit in visit.hits}
        assert len(days) == 1
        assert timedelta(0) <= visit.hits[-1].at - visit.hits[0].at < VISIT_GAP
