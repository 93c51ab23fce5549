"""Made-up visits: the same for the same arguments, exact in number, and each on its own day."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, cast
from unittest.mock import MagicMock
from zoneinfo import ZoneInfo

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.matomo.api import Api
from matomo_harness.matomo.made_up import CopiedVisit, Place, Plan, plan
from matomo_harness.matomo.traffic import VISIT_GAP
from matomo_harness.operate import traffic
from matomo_harness.operate.stack import LOCAL, Stack
from matomo_harness.operate.traffic import require_possible

# Clocks are put back in New York on 1 November 2026, in Berlin on 25 October.
PLACES = (
    Place(1, "https://one.example", "America/New_York", date(2026, 11, 10), goal=1),
    Place(7, "https://seven.example", "Europe/Berlin", date(2026, 11, 11), goal=1),
)


@pytest.fixture(scope="module")
def made() -> Plan:
    return plan(PLACES, 30, 6000, run=1, tracked=500)


def test_the_same_arguments_make_the_same_visits(made: Plan) -> None:
    assert plan(PLACES, 30, 6000, run=1, tracked=500) == made


def test_another_run_has_other_visitors(made: Plan) -> None:
    other = plan(PLACES, 30, 6000, run=2, tracked=500)
    assert not visitors(made) & visitors(other)


def visitors(made: Plan) -> set[str]:
    return {visit.visitor for visit, _ in made.every()}


@pytest.mark.parametrize("visits", [2, 3, 499, 500, 501, 6000])
def test_there_are_as_many_visits_as_asked_for(visits: int) -> None:
    made = plan(PLACES, 30, visits, run=1, tracked=500)
    assert len(made.tracked) == min(visits, 500)
    assert sum(made.expected(place).visits for place in PLACES) == visits
    assert all(made.expected(place).visits for place in PLACES)


def test_every_visit_is_on_one_of_the_days_by_the_clock_of_its_site(made: Plan) -> None:
    for visit, of in made.every():
        shift = timedelta(seconds=visit.shift if isinstance(visit, CopiedVisit) else 0)
        zone = ZoneInfo(of.place.timezone)
        days = {(hit.at + shift).astimezone(zone).date() for hit in of.hits}
        assert days == {visit.day}
        assert made.first_day(of.place) <= visit.day <= of.place.last_day


def test_matomo_makes_one_visit_of_the_hits_of_one(made: Plan) -> None:
    for visit in made.tracked:
        assert all(after.at - before.at < VISIT_GAP for before, after in pairwise(visit.hits))
        assert visit.begins == visit.hits[0].at
        assert visit.hits[0].more["new_visit"] == 1
    by_visitor: dict[str, list[date]] = {}
    for copy, _ in made.every():
        by_visitor.setdefault(copy.visitor, []).append(copy.day)
    assert all(len(set(days)) == len(days) for days in by_visitor.values())


def test_no_copy_is_made_twice_in_a_set(made: Plan) -> None:
    assert max(Counter((visit.of.visitor, visit.of.begins, visit.set) for visit in made.copied)
               .values()) == 1  # fmt: skip


def test_people_come_by_day_and_on_working_days(made: Plan) -> None:
    hours = Counter(
        visit.begins.astimezone(ZoneInfo(visit.place.timezone)).hour for visit in made.tracked
    )
    assert sum(hours[hour] for hour in range(9, 18)) > len(made.tracked) / 2
    assert sum(hours[hour] for hour in range(1, 6)) < len(made.tracked) / 20
    weekdays = Counter(visit.day.weekday() for visit in made.tracked)
    assert weekdays[1] + weekdays[2] > 1.5 * (weekdays[5] + weekdays[6])


def test_there_is_something_of_everything_that_reports_are_of(made: Plan) -> None:
    hits = [hit for visit in made.tracked for hit in visit.hits]
    names = {name for hit in hits for name in hit.more}
    assert names >= {"search", "e_c", "download", "link", "ec_id", "ec_items", "idgoal", "urlref"}
    assert any("mtm_campaign=" in hit.url for hit in hits)
    assert len({hit.more["country"] for hit in hits}) >= 8
    assert len({hit.user_agent for hit in hits}) >= 8
    assert made.expected(PLACES[0]).conversions
    assert len(visitors(made)) < 0.8 * 6000  # the others come back


def test_a_moment_is_utc(made: Plan) -> None:
    assert {visit.begins.tzinfo for visit in made.tracked} == {UTC}


@pytest.mark.parametrize(
    ("sites", "days", "visits", "word"),
    [
        (0, 30, 1000, "SITES"),
        (-1, 30, 1000, "SITES"),
        (21, 30, 1000, "SITES"),
        (2, 0, 1000, "DAYS"),
        (2, -3, 1000, "DAYS"),
        (2, 366, 1000, "DAYS"),
        (2, 30, 0, "VISITS"),
        (2, 30, -5, "VISITS"),
        (2, 30, 1_000_001, "VISITS"),
        (5, 30, 4, "at least one visit for each site"),
    ],
)
def test_numbers_that_no_traffic_can_be_made_of_are_refused(
    sites: int, days: int, visits: int, word: str
) -> None:
    with pytest.raises(WrongInputError, match=word):
        require_possible(sites, days, visits)


def test_the_bounds_themselves_are_taken() -> None:
    require_possible(20, 365, 1_000_000)
    require_possible(1, 1, 1)


@pytest.mark.parametrize(("zone", "hours"), [("UTC+2", 2), ("UTC-5.5", -5.5), ("UTC+12.75", 12.75)])
def test_a_site_may_be_so_many_hours_off_utc(zone: str, hours: float) -> None:
    place = Place(1, "https://one.example", zone, date(2026, 11, 10), goal=1)
    made = plan([place], 3, 20, run=1, tracked=10)
    assert {
        (visit.begins + timedelta(hours=hours)).date() - visit.day for visit in made.tracked
    } == {timedelta()}
    assert len([*made.every()]) == 20


class Sites:
    """An API that knows sites, and gives those that are missing."""

    def __init__(self, **addresses: str) -> None:
        self._addresses = {int(number.removeprefix("s")): one for number, one in addresses.items()}

    def call(self, method: str, **_: object) -> Any:
        """Answer a question for sites or goals."""
        if method == "Goals.getGoals":
            return [{"name": traffic.GOAL, "idgoal": 1}]
        row = {"timezone": "UTC", "ts_created": "2001-01-01 00:00:00"}
        return [
            {"idsite": number, "main_url": one, "name": f"at {one}", **row}
            for number, one in self._addresses.items()
        ]

    def add_site(self, _name: str, address: str, _zone: str, **_: object) -> None:
        """Add a site."""
        self._addresses[max(self._addresses, default=0) + 1] = address


@pytest.mark.parametrize(
    ("sites", "numbers"),
    [
        (Sites(s1="https://own.example"), [1, 2]),
        (Sites(s2="https://catalogue.example", s3="https://own.example"), [3, 2]),
        (Sites(s2="https://catalogue.example"), [2, 3]),
    ],
)
def test_a_site_of_our_own_making_is_not_taken_for_the_stacks_own(
    sites: Sites, numbers: list[int]
) -> None:
    assert [place.id for place in traffic._sites(cast("Api", sites), 2, 3, LOCAL)] == numbers


@pytest.mark.parametrize(
    ("error", "says"), [(KeyboardInterrupt, "make archive"), (RuntimeError, "")]
)
def test_archivers_end_with_what_waits_for_them(
    monkeypatch: pytest.MonkeyPatch, made: Plan, error: type[BaseException], says: str
) -> None:
    started: list[MagicMock] = []

    def start(*_: object) -> MagicMock:
        started.append(MagicMock(logs=logs))
        return started[-1]

    def logs(**_: object) -> Iterator[bytes]:
        yield b"archived site id = 1"
        raise error

    monkeypatch.setattr("matomo_harness.operate.schedule.start", start)
    say: Callable[[str], None] = MagicMock()
    with pytest.raises(error) as ended:
        traffic._archive(MagicMock(), made, Stack(Path()), say)
    assert str(ended.value) == says
    assert len(started) == 2
    for container in started:
        container.stop.assert_called_once()
