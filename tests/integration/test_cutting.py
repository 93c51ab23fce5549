"""A part of a database is a database of its own: its reports are those of the visits that stay."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Final, NamedTuple

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.matomo import tracker, traffic
from matomo_harness.matomo.traffic import Site, Visit
from matomo_harness.personal_data import schema, slices
from matomo_harness.personal_data.slices import WHOLE, Slice
from matomo_harness.runtime.instance import Instance

FIRST_DAY: Final = date(2025, 5, 30)
SECOND_DAY: Final = FIRST_DAY + timedelta(days=1)
"""The last one of its month: May is cut in two."""
PERIODS: Final[tuple[traffic.Period, ...]] = ("day", "week", "month", "year")


class CutMatomo(NamedTuple):
    """A Matomo with visits of three days and reports."""

    instance: Instance
    sites: list[Site]
    visits: list[Visit]

    def cut(self, chosen: Slice) -> str:
        """Cut it, and archive what is left as a reproduction does."""
        database, shell = self.instance.database, self.instance.shell
        with database.connection() as connection:
            columns = schema.read(connection, database.tables_prefix)
            said = slices.cut(connection, columns, chosen)
        dates = f"{FIRST_DAY},{FIRST_DAY + timedelta(days=2)}"
        shell.console("core:invalidate-report-data", f"--dates={dates}", "--no-interaction")
        shell.console("core:archive")
        return said

    def numbers(self, site: Site) -> list[tuple[int, int, int]]:
        """Return visits, actions and bounces as reported for each period and day."""
        found = []
        for period in PERIODS:
            for day in (FIRST_DAY, SECOND_DAY):
                row = self.instance.api.call(
                    "VisitsSummary.get", idSite=site.id, period=period, date=day.isoformat()
                )
                found.append((row["nb_visits"], row["nb_actions"], row["bounce_count"]))
        return found

    def expected(self, site: Site, stays: Callable[[Visit], bool]) -> list[tuple[int, int, int]]:
        """Return the same of the visits that stay."""
        left = [visit for visit in self.visits if stays(visit)]
        figures = [
            traffic.expected(left, site, period, day)
            for period in PERIODS
            for day in (FIRST_DAY, SECOND_DAY)
        ]
        return [(each.visits, each.actions, each.bounces) for each in figures]

    def count(self, condition: str) -> int:
        """Return how many rows `condition` finds."""
        (row,) = self.instance.database.query(f"SELECT COUNT(*) AS n FROM {condition}")  # noqa: S608
        return int(row["n"])


@pytest.fixture
def filled(fresh_matomo: Instance) -> CutMatomo:
    """A Matomo with two sites, visits of three days, and reports of them."""
    api = fresh_matomo.api
    sites = [
        Site(api.add_site(url, url, zone, since="2025-05-01"), url, zone)
        for url, zone in (("https://one.example", "UTC"), ("https://two.example", "Asia/Tokyo"))
    ]
    made = traffic.visits(sites, FIRST_DAY, 3)
    hits = list(traffic.hits(made))
    assert tracker.send(api, hits) == len(hits)
    fresh_matomo.shell.console("core:archive")
    return CutMatomo(fresh_matomo, sites, made)


def require_whole(filled: CutMatomo) -> None:
    """Assert that nothing refers to what was cut off, and nothing is left that was referred to."""
    visits = "idvisit NOT IN (SELECT idvisit FROM {prefix}log_visit)"
    for table in ("log_link_visit_action", "log_conversion"):
        assert not filled.count(f"{{prefix}}{table} WHERE {visits}")
    labels = "idaction_url NOT IN (SELECT idaction FROM {prefix}log_action)"
    assert not filled.count("{prefix}log_link_visit_action WHERE " + labels)
    referred = "idaction IN (SELECT idaction_url FROM {prefix}log_link_visit_action)"
    assert not filled.count("{prefix}log_action WHERE type = 1 AND NOT " + referred)
    tables = filled.instance.database.query("SHOW TABLES LIKE %s", "%harness%")
    assert not tables


@pytest.mark.slow(reason="reports are archived twice")
def test_visits_since_a_day_and_their_reports_stay(filled: CutMatomo) -> None:
    one = filled.sites[0]  # in UTC, as the day is that visits are cut by
    said = filled.cut(Slice(since=SECOND_DAY, sites=(one.id,)))
    stays = [visit for visit in filled.visits if visit.site == one and visit.day >= SECOND_DAY]
    whole = len(filled.visits)
    assert said == f"{len(stays)} of {whole} visits: since {SECOND_DAY}; sites {one.id}"
    assert filled.numbers(one) == filled.expected(one, lambda visit: visit.day >= SECOND_DAY)
    require_whole(filled)


@pytest.mark.nightly(reason="another cut, archived twice")
def test_a_site_stays_with_its_reports_and_the_others_go(filled: CutMatomo) -> None:
    two = filled.sites[1]
    before = filled.numbers(two)
    filled.cut(Slice(sites=(two.id,)))
    assert filled.numbers(two) == before == filled.expected(two, lambda _: True)
    assert [site["idsite"] for site in filled.instance.api.call("SitesManager.getAllSites")] == [
        two.id
    ]
    for table in ("log_visit", "log_link_visit_action", "site_url"):
        assert not filled.count(f"{{prefix}}{table} WHERE idsite <> {two.id}")
    require_whole(filled)


@pytest.mark.nightly(reason="another cut, archived twice")
def test_a_sample_has_all_visits_of_some_visitors(filled: CutMatomo) -> None:
    filled.cut(Slice(sample=WHOLE // 2))
    rows = filled.instance.database.query(
        "SELECT DISTINCT LOWER(HEX(idvisitor)) AS id FROM {prefix}log_visit"
    )
    left = {row["id"] for row in rows}
    everybody = {visit.hits[0].visitor for visit in filled.visits}
    assert 0 < len(left) < len(everybody)
    for site in filled.sites:
        expected = filled.expected(site, lambda visit: visit.hits[0].visitor in left)
        assert filled.numbers(site) == expected
    require_whole(filled)


@pytest.mark.nightly(reason="another cut, archived")
def test_a_schema_alone_has_people_and_sites_and_no_visits(filled: CutMatomo) -> None:
    people = filled.count("{prefix}user")
    assert filled.cut(Slice(schema_only=True)) == "no visits and no reports"
    for table in ("log_visit", "log_action", "log_link_visit_action", "archive_numeric_2025_05"):
        assert not filled.count(f"{{prefix}}{table}")
    assert filled.count("{prefix}user") == people
    assert len(filled.instance.api.call("SitesManager.getAllSites")) == 3


@pytest.mark.parametrize(
    ("chosen", "seen"),
    [
        (Slice(sites=(1, 77)), "no 77; there are 1"),
        (Slice(since=date(2031, 1, 1)), "none of"),
    ],
)
def test_a_slice_that_cannot_be_is_refused_before_anything_is_cut(
    fresh_matomo: Instance, chosen: Slice, seen: str
) -> None:
    api, database = fresh_matomo.api, fresh_matomo.database
    site = Site(1, "https://one.example", "UTC")
    assert tracker.send(api, list(traffic.hits(traffic.visits([site], FIRST_DAY, 1)))) > 0
    count = "SELECT COUNT(*) AS n FROM {prefix}log_visit"
    before = database.query(count)
    with (
        database.connection() as connection,
        pytest.raises(WrongInputError) as refused,
    ):
        slices.cut(connection, schema.read(connection, database.tables_prefix), chosen)
    assert seen in refused.value.seen
    assert database.query(count) == before
