"""Made-up visits, and what Matomo must report of them, computed here without Matomo.

The same seed gives the same visits. The expectation uses the visits alone: no number in it was
ever read from a Matomo.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, Literal

from matomo_harness.matomo.time_zones import zone_of
from matomo_harness.matomo.tracker import Hit

Period = Literal["day", "week", "month", "year"]

_WEBKIT: Final = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6"
USER_AGENTS: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/128.0.0.0 Safari/537.36",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6) {_WEBKIT} Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:129.0) Gecko/20100101 Firefox/129.0",
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) {_WEBKIT} Mobile/15E148 Safari/604.1",
)
PATHS: Final = ("/", "/search", "/record/1", "/record/2", "/record/3", "/help", "/about", "/hours")
VISIT_GAP: Final = timedelta(minutes=30)
"""Matomo starts a new visit after this much silence ([Tracker] visit_standard_length, 1800 s)."""


@dataclass(frozen=True)
class Site:
    """A site that gets visits.

    Args:
        id: idsite.
        url: without a slash at its end.
        timezone: whose midnight divides the site's days.
    """

    id: int
    url: str
    timezone: str


@dataclass(frozen=True)
class Visit:
    """One visit: its hits, in time order, all on one of the site's own days.

    Args:
        site: where.
        hits: at least one.
    """

    site: Site
    hits: tuple[Hit, ...]

    @property
    def day(self) -> date:
        """The site's own calendar day."""
        return self.hits[0].at.astimezone(zone_of(self.site.timezone)).date()

    @property
    def seconds(self) -> int:
        """Length as Matomo counts it, in CoreHome/Columns/VisitTotalTime.php.

        One action is 0 s long (default_time_one_page_visit), more take the time from the first to
        the last plus one second.
        """
        if len(self.hits) == 1:
            return 0
        return int((self.hits[-1].at - self.hits[0].at).total_seconds()) + 1


@dataclass(frozen=True)
class PageFigures:
    """One row of the Pages report.

    Args:
        url: the page's address.
        views: nb_hits.
        visits: nb_visits, visits that saw it at least once.
    """

    url: str
    views: int
    visits: int


@dataclass(frozen=True)
class Figures:
    """What Matomo must report of one site and period.

    Args:
        visits: nb_visits.
        unique_visitors: nb_uniq_visitors.
        actions: nb_actions.
        bounces: bounce_count, visits of one action.
        bounce_rate: as shown, in whole percent.
        average_seconds: avg_time_on_site, rounded half up.
        pages: the most viewed first.
    """

    visits: int
    unique_visitors: int
    actions: int
    bounces: int
    bounce_rate: str
    average_seconds: int
    pages: tuple[PageFigures, ...]


def visits(sites: Iterable[Site], first_day: date, days: int, *, seed: int = 1) -> list[Visit]:
    """Make visits to `sites` on `days` days from `first_day` on, some at the very edges of a day.

    Visitors come back on other days and twice on one; each has an address and a browser of its
    own, as Matomo joins hits of one address and browser whatever their visitor id is.
    """
    chance = random.Random(seed)  # noqa: S311  not a secret
    made: list[Visit] = []
    for site in sites:
        visitors = [_visitor(site, number) for number in range(1, 3 + days * 2)]
        for offset in range(days):
            day = first_day + timedelta(days=offset)
            for visitor in chance.sample(visitors, chance.randint(3, 6)):
                starts = sorted(chance.sample(range(23), chance.randint(1, 2)))
                made.extend(_visit(site, day, hour, visitor, chance) for hour in starts)
            # The last second of the site's day: by UTC it may be on the next day already.
            made.append(_edge_visit(site, day, _visitor(site, 200 + offset)))
    return made


def hits(made: Iterable[Visit]) -> Iterator[Hit]:
    """Return all hits in time order, as a live site would send them."""
    return iter(sorted((hit for visit in made for hit in visit.hits), key=lambda hit: hit.at))


def expected(made: Iterable[Visit], site: Site, period: Period, day: date) -> Figures:
    """Compute what Matomo must report for the `period` that holds `day`."""
    return expected_between(made, site, *bounds(period, day))


def expected_between(made: Iterable[Visit], site: Site, first: date, last: date) -> Figures:
    """Compute what Matomo must report from `first` to `last`, both included."""
    counted = [visit for visit in made if visit.site == site and first <= visit.day <= last]
    number = len(counted)
    bounces = sum(len(visit.hits) == 1 for visit in counted)
    views = Counter(hit.url for visit in counted for hit in visit.hits)
    seen_in = Counter(url for visit in counted for url in {hit.url for hit in visit.hits})
    return Figures(
        visits=number,
        unique_visitors=len({visit.hits[0].visitor for visit in counted}),
        actions=sum(views.values()),
        bounces=bounces,
        bounce_rate=f"{_rounded(Decimal(100 * bounces) / number) if number else 0}%",
        average_seconds=_rounded(Decimal(sum(visit.seconds for visit in counted)) / number)
        if number
        else 0,
        pages=tuple(PageFigures(url, count, seen_in[url]) for url, count in sorted(views.items())),
    )


def bounds(period: Period, day: date) -> tuple[date, date]:
    """Return the first and last day of the period that holds `day`; weeks start on Monday."""
    if period == "day":
        return day, day
    if period == "week":
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=6)
    if period == "year":
        return day.replace(month=1, day=1), day.replace(month=12, day=31)
    first = day.replace(day=1)
    return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def _visitor(site: Site, number: int) -> tuple[str, str, str]:
    """Return id, address and browser. Addresses differ in the two bytes that outlive masking."""
    key = site.id * 1000 + number
    address = f"{11 + key // 200 % 100}.{key % 200}.{number % 250}.7"
    return f"{key:016x}", address, USER_AGENTS[key % len(USER_AGENTS)]


def _visit(
    site: Site, day: date, hour: int, visitor: tuple[str, str, str], chance: random.Random
) -> Visit:
    # It ends within an hour of its start, its actions less than half an hour apart: it never passes
    # midnight, never becomes two visits, and never one with the visitor's next.
    at = datetime.combine(day, time(hour, chance.randint(0, 9)), zone_of(site.timezone)).astimezone(
        UTC
    )
    made = []
    for _ in range(chance.choice((1, 1, 2, 3, 5))):
        made.append(_hit(site, visitor, at, chance.choice(PATHS)))
        at += timedelta(seconds=chance.randint(5, 240))
    return Visit(site, tuple(made))


def _edge_visit(site: Site, day: date, visitor: tuple[str, str, str]) -> Visit:
    last_second = datetime.combine(day, time(23, 59, 59), zone_of(site.timezone)).astimezone(UTC)
    return Visit(site, (_hit(site, visitor, last_second, "/hours"),))


def _hit(site: Site, visitor: tuple[str, str, str], at: datetime, path: str) -> Hit:
    name, address, user_agent = visitor
    return Hit(site.id, name, address, user_agent, at, site.url + path, f"Page {path}")


def _rounded(number: Decimal) -> int:
    return int(number.quantize(Decimal(1), ROUND_HALF_UP))
