"""Fill a running stack with made-up visits, and archive them: the first page is not empty then.

Up to `TRACKED` visits go through the tracker, hit by hit, as Matomo itself stores them. Whatever is
asked for beyond that are copies of those visits, made by the database in sets.
"""

import contextlib
import hashlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import pymysql
from docker.errors import APIError
from docker.models.containers import Container

from matomo_harness.errors import BrokenPromiseError, HarnessError, WrongInputError
from matomo_harness.matomo import made_up, tracker
from matomo_harness.matomo.api import MADE_BY, Api, all_rows
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.made_up import Place, Plan
from matomo_harness.matomo.time_zones import zone_of
from matomo_harness.matomo.web import Web
from matomo_harness.operate import compose, local, schedule, stack_files
from matomo_harness.operate.alone import alone
from matomo_harness.operate.stack import LOCAL, Stack
from matomo_harness.progress import console, step
from matomo_harness.runtime.archiver import task_seconds
from matomo_harness.runtime.shell import why_it_failed

SITES: Final = range(1, 21)
DAYS: Final = range(1, 366)
"""A year: raw visits are deleted after 720 days (image/config, [Deletelogs]), and what an archiver
finds deleted it does not report."""
VISITS: Final = range(1, 1_000_001)
TRACKED: Final = 1_000
"""Visits that go through the tracker at most: about three hits each, of which the local stack's web
container (one processor) takes 160 a second."""
ARCHIVERS: Final = 2
WITH_OPCACHE: Final = (
    "--php-cli-options=-d opcache.enable_cli=1 -d opcache.file_cache=/tmp -d"
    " opcache.file_cache_only=1"
)
"""Each archive is a PHP of its own, which reads all of Matomo's code anew without this."""
STOP_SECONDS: Final = 5
HITS_AT_ONCE: Final = 500
COPIES_AT_ONCE: Final = 10_000
GOAL: Final = "Newsletter subscribed"
_OTHERS: Final = (
    ("Catalogue", "https://catalogue.example", "Europe/Berlin"),
    ("Digital collections", "https://collections.example", "Europe/London"),
    ("Museum shop", "https://shop.example", "America/Los_Angeles"),
    ("Archives", "https://archives.example", "Asia/Tokyo"),
)
"""Name, address and time zone of sites beyond the first; from the fifth on, of branches."""


@dataclass(frozen=True)
class SiteTraffic:
    """What was made for one site.

    Args:
        id: idsite.
        name: the name that people see.
        first_day: the site's own first day that may have visits.
        last_day: the last one.
        visits: nb_visits, as Matomo reports them of these days together; likewise the others.
        unique_visitors: of all these days together.
        actions: page views, searches, events, downloads and outlinks.
        conversions: of the goal, and orders.
    """

    id: int
    name: str
    first_day: str
    last_day: str
    visits: int
    unique_visitors: int
    actions: int
    conversions: int


@dataclass(frozen=True)
class Traffic:
    """What was made.

    Args:
        sites: in the order of their traffic.
        tracked: visits that went through the tracker.
        copied: visits that the database made of them.
        seconds: of all.
        url: a page that shows them.
    """

    sites: tuple[SiteTraffic, ...]
    tracked: int
    copied: int
    seconds: float
    url: str


def require_possible(sites: int, days: int, visits: int) -> None:
    """Refuse numbers that no traffic can be made of.

    Raises:
        WrongInputError: one is out of range, or there are fewer visits than sites.
    """
    for name, number, choice in (
        ("SITES", sites, SITES),
        ("DAYS", days, DAYS),
        ("VISITS", visits, VISITS),
    ):
        if number not in choice:
            raise WrongInputError(
                expected=f"{name} to be a number from {choice[0]} to {choice[-1]}",
                seen=f"{name}={number}",
                next_command="make traffic SITES=2 DAYS=30 VISITS=1000",
            )
    if visits < sites:
        raise WrongInputError(
            expected="at least one visit for each site",
            seen=f"SITES={sites} VISITS={visits}",
            next_command=f"make traffic SITES={sites} VISITS={1000 * sites}",
        )


def make(sites: int, days: int, visits: int, stack: Stack = LOCAL) -> Traffic:
    """Make visits up to each site's own yesterday, and archive them.

    The same numbers on the same day make the same visits; where they are there already, those of
    other visitors. The local stack's own site is the first; a reproduction's sites stay as they
    are, and get none.

    Args:
        sites: how many; those that are missing are made.
        days: how many.
        visits: of all sites together.
        stack: which one; it runs.

    Raises:
        WrongInputError: a number is out of range, or the stack is not up or not installed.
        BrokenPromiseError: Matomo did not store, archive or report exactly what was sent.
    """
    require_possible(sites, days, visits)
    with alone(stack):  # an archiver of the schedule beside it would archive half of the visits
        return _made(sites, days, visits, stack)


def _made(sites: int, days: int, visits: int, stack: Stack) -> Traffic:
    begun = time.monotonic()
    web_container = compose.running("matomo", stack)
    database = local.installed_database(stack)
    with _api(database, stack) as api:
        with step("Sites and goals"):
            named = _sites(api, sites, days, stack)
            places = list(named)
            run = _next_run(database, places[0])
            plan = made_up.plan(places, days, visits, run=run, tracked=TRACKED)
        before = _stored(database, plan)
        try:
            _track(api, plan)
            known = _number(database, plan)
            if plan.copied:
                _copy(database, plan, known)
        except BaseException:
            _forget(database, plan)
            raise
        with step("Archiving") as progress:
            _invalidate(api, plan)
            _archive(web_container, plan, stack, progress.say)
        with step("Comparing what Matomo reports with what was made"):
            _require_exact(api, plan, before)
    first = plan.places[0]
    return Traffic(
        sites=tuple(_of_site(plan, place, name) for place, name in named.items()),
        tracked=len(plan.tracked),
        copied=len(plan.copied),
        seconds=round(time.monotonic() - begun, 1),
        url=f"{api.web.url}/index.php?module=CoreHome&action=index&idSite={first.id}"
        f"&period=day&date={first.last_day}",
    )


def _of_site(plan: Plan, place: Place, name: str) -> SiteTraffic:
    figures = plan.expected(place)
    return SiteTraffic(
        id=place.id,
        name=name,
        first_day=f"{plan.first_day(place)}",
        last_day=f"{place.last_day}",
        visits=figures.visits,
        unique_visitors=figures.unique_visitors,
        actions=figures.actions,
        conversions=figures.conversions,
    )


# -- who may ------------------------------------------------------------------------------------


@contextmanager
def _api(database: Database, stack: Stack) -> Iterator[Api]:
    """Yield the API by a token of the superuser that is gone at the end.

    It is made as Matomo stores one (sha512 of token and salt): to ask Matomo for it costs a second
    factor's code, and each is taken once.
    """
    held = stack_files.read(stack)
    token = secrets.token_hex(16)
    stored = hashlib.sha512(f"{token}{held.salt}".encode()).hexdigest()
    database.query(
        "INSERT INTO {prefix}user_token_auth (login, description, password, hash_algo,"
        " system_token, date_created, date_expired)"
        " VALUES (%s, %s, %s, 'sha512', 0, UTC_TIMESTAMP(), UTC_TIMESTAMP() + INTERVAL 1 DAY)",
        held.superuser_login,
        f"{MADE_BY} traffic",
        stored,
    )
    try:
        port = compose.port("load-balancer", local.HTTPS, stack)
        web = Web(f"https://localhost:{port}", authority=stack.authority_file)
        yield Api(web, token)
    finally:
        database.query("DELETE FROM {prefix}user_token_auth WHERE password = %s", stored)


# -- where ----------------------------------------------------------------------------------------


def _sites(api: Api, many: int, days: int, stack: Stack) -> dict[Place, str]:
    """Return the sites with their names; those that are missing are made."""
    there = all_rows(api, "SitesManager.getAllSites")
    found = {int(site["idsite"]): site for site in there}
    by_address = {str(site["main_url"]): site for site in found.values()}
    places: dict[Place, str] = {}
    ours = {_other(number)[1] for number in range(max(SITES))}
    own = [found[number] for number in sorted(found) if str(found[number]["main_url"]) not in ours]
    if not stack.name and own:
        places[_place(api, own[0], days)] = str(own[0]["name"])
    for number in range(many - len(places)):
        name, address, zone = _other(number)
        if address not in by_address:
            since = f"{datetime.now(UTC).date() - timedelta(days=days + 1)}"
            api.add_site(name, address, zone, since=since)
            by_address = {
                str(site["main_url"]): site for site in all_rows(api, "SitesManager.getAllSites")
            }
        places[_place(api, by_address[address], days)] = name
    return places


def _other(number: int) -> tuple[str, str, str]:
    """Return name, address and time zone of a site beyond the first, by its number from 0."""
    if number < len(_OTHERS):
        return _OTHERS[number]
    return f"Branch {number}", f"https://branch-{number}.example", "America/New_York"


def _place(api: Api, site: Mapping[str, Any], days: int) -> Place:
    """Make a site ready for orders, and for reports of the days before it was made."""
    identity, zone = int(site["idsite"]), str(site["timezone"])
    last_day = datetime.now(zone_of(zone)).date() - timedelta(days=1)
    since = last_day - timedelta(days=days)
    changes: dict[str, str | int] = {"ecommerce": 1}
    # Matomo archives nothing of days before a site's first (Archive.php).
    if date.fromisoformat(str(site["ts_created"])[:10]) > since:
        changes["startDate"] = f"{since}"
    api.call("SitesManager.updateSite", idSite=identity, **changes)
    return Place(identity, str(site["main_url"]), zone, last_day, _goal(api, identity))


def _goal(api: Api, site: int) -> int:
    for goal in all_rows(api, "Goals.getGoals", idSite=site):
        if goal["name"] == GOAL:
            return int(goal["idgoal"])
    made = api.call(
        "Goals.addGoal",
        idSite=site,
        name=GOAL,
        matchAttribute="manually",
        # It wants some, and uses none of them.
        pattern="-",
        patternType="contains",
        revenue="2",
    )
    return int(made["value"])


def _next_run(database: Database, place: Place) -> int:
    """Return the first number of a run whose first visitor has not been there."""
    run = 1
    while database.query(
        "SELECT 1 FROM {prefix}log_visit WHERE idsite = %s AND idvisitor = UNHEX(%s) LIMIT 1",
        place.id,
        made_up.visitor_id(run, place, 0),
    ):
        run += 1
    return run


# -- through the tracker --------------------------------------------------------------------------


def _track(api: Api, plan: Plan) -> None:
    """Send the hits of all visits that are for the tracker, in time order, as a live site does.

    One conversation alone: two at a time deadlock on Matomo's table of options, where each notes
    the past days that have new hits (an UPDATE of a row that is not there, then an INSERT).
    """
    hits = sorted((hit for visit in plan.tracked for hit in visit.hits), key=lambda hit: hit.at)
    sent, begun = 0, time.monotonic()
    with step(f"{len(plan.tracked):,} visits with {len(hits):,} hits by the tracker") as progress:
        for begin in range(0, len(hits), HITS_AT_ONCE):
            sent += tracker.send(api, hits[begin : begin + HITS_AT_ONCE])
            progress.say(f"{sent:,} hits, {_rate(sent, begun, 'hits')}")
    console.print(f"  {_rate(sent, begun, 'hits')}")


def _rate(many: int, begun: float, what: str) -> str:
    return f"{many / (time.monotonic() - begun):,.0f} {what}/s"


@dataclass(frozen=True)
class _Known:
    """How the database numbers the visits that went through the tracker.

    Args:
        visits: idvisit of each, by its visitor and its beginning.
        first: the lowest idvisit.
        last: the highest.
    """

    visits: dict[tuple[str, datetime], int]
    first: int
    last: int


def _visitors(plan: Plan, place: Place) -> list[bytes]:
    """Return the ids of a site's visitors who come by the tracker, as they are stored."""
    found = {visit.visitor for visit in plan.tracked if visit.place.id == place.id}
    return [bytes.fromhex(visitor) for visitor in sorted(found)]


def _number(database: Database, plan: Plan) -> _Known:
    """Find the tracked visits in the database.

    Raises:
        BrokenPromiseError: Matomo has made another number of visits or actions of them.
    """
    stored: dict[tuple[str, datetime], tuple[int, int]] = {}
    for place in plan.places:
        rows = database.query(
            "SELECT idvisit, HEX(idvisitor) AS visitor, visit_first_action_time AS begins,"
            " visit_total_actions AS actions FROM {prefix}log_visit"
            " WHERE idsite = %s AND idvisitor IN %s",
            place.id,
            _visitors(plan, place),
        )
        for row in rows:
            key = str(row["visitor"]).lower(), row["begins"].replace(tzinfo=UTC)
            stored[key] = int(row["idvisit"]), int(row["actions"])
    expected = {(visit.visitor, visit.begins) for visit in plan.tracked}
    actions = sum(visit.actions for visit in plan.tracked)
    seen = sum(many for _, many in stored.values())
    if stored.keys() != expected or seen != actions:
        raise BrokenPromiseError(
            expected=f"{len(expected)} visits with {actions} actions to be stored",
            seen=f"{len(stored)} visits with {seen} actions, {len(stored.keys() & expected)}"
            " of them as they were sent",
            next_command="make logs",
        )
    numbers = {key: number for key, (number, _) in stored.items()}
    return _Known(numbers, min(numbers.values()), max(numbers.values()))


# -- in sets --------------------------------------------------------------------------------------

_COPIES: Final = "harness_copies"
"""A table of the session alone: which visit is copied, and how the copy differs."""
_TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "log_visit": {
        "idvisit": "l.idvisit + c.visits",
        "idvisitor": "c.visitor",
        "visit_first_action_time": "l.visit_first_action_time + INTERVAL c.shift SECOND",
        "visit_last_action_time": "l.visit_last_action_time + INTERVAL c.shift SECOND",
        "visitor_localtime": "SEC_TO_TIME(MOD(TIME_TO_SEC(l.visitor_localtime) + c.jitter + 86400,"
        " 86400))",
        "last_idlink_va": "l.last_idlink_va + c.links",
    },
    "log_link_visit_action": {
        "idlink_va": "l.idlink_va + c.links",
        "idvisit": "l.idvisit + c.visits",
        "idvisitor": "c.visitor",
        "server_time": "l.server_time + INTERVAL c.shift SECOND",
    },
    "log_conversion": {
        "idvisit": "l.idvisit + c.visits",
        "idvisitor": "c.visitor",
        "server_time": "l.server_time + INTERVAL c.shift SECOND",
        "idlink_va": "l.idlink_va + c.links",
        # Unique for each site; NULL is a cart that was left behind.
        "idorder": "CONCAT(l.idorder, '-', c.number)",
    },
    "log_conversion_item": {
        "idvisit": "l.idvisit + c.visits",
        "idvisitor": "c.visitor",
        "server_time": "l.server_time + INTERVAL c.shift SECOND",
        # '0' is a cart that was left behind (GoalManager::ITEM_IDORDER_ABANDONED_CART).
        "idorder": "IF(l.idorder = '0', '0', CONCAT(l.idorder, '-', c.number))",
    },
}
"""What is different in a copy, for each table; every other column stays."""


def _copy(database: Database, plan: Plan, known: _Known) -> None:
    """Make the copies in one transaction: all of them, or none."""
    links = database.query(
        "SELECT MIN(idlink_va) AS low, MAX(idlink_va) AS high FROM {prefix}log_link_visit_action"
        " WHERE idvisit BETWEEN %s AND %s",
        known.first,
        known.last,
    )[0]
    sets = max(visit.set for visit in plan.copied)
    visit_span, visit_base = _reserve(
        database, "log_visit", "idvisit", known.first, known.last, sets
    )
    link_span, link_base = _reserve(
        database, "log_link_visit_action", "idlink_va", int(links["low"]), int(links["high"]), sets
    )
    statements = {table: _insertion(database, table) for table in _TABLES}
    begun, done = time.monotonic(), 0
    title = f"{len(plan.copied):,} visits by copying those in the database"
    with (
        step(title) as progress,
        database.connection() as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            f"CREATE TEMPORARY TABLE {_COPIES} (of BIGINT UNSIGNED NOT NULL, number INT NOT NULL,"
            " visitor BINARY(8) NOT NULL, shift INT NOT NULL, jitter INT NOT NULL,"
            " visits BIGINT NOT NULL, links BIGINT NOT NULL, PRIMARY KEY (number, of))"
        )
        connection.begin()
        for begin in range(0, len(plan.copied), COPIES_AT_ONCE):
            chunk = plan.copied[begin : begin + COPIES_AT_ONCE]
            cursor.execute(f"DELETE FROM {_COPIES}")  # noqa: S608
            cursor.executemany(
                f"INSERT INTO {_COPIES} VALUES (%s, %s, %s, %s, %s, %s, %s)",  # noqa: S608
                [
                    (
                        known.visits[visit.of.visitor, visit.of.begins],
                        visit.set,
                        bytes.fromhex(visit.visitor),
                        visit.shift,
                        visit.jitter,
                        visit_base + (visit.set - 1) * visit_span,
                        link_base + (visit.set - 1) * link_span,
                    )
                    for visit in chunk
                ],
            )
            for statement in statements.values():
                cursor.execute(statement)
            done += len(chunk)
            progress.say(f"{done:,} visits, {_rate(done, begun, 'visits')}")
        connection.commit()
    console.print(f"  {_rate(done, begun, 'visits')}")


def _reserve(
    database: Database, table: str, column: str, low: int, high: int, sets: int
) -> tuple[int, int]:
    """Keep ids for copies, which hits that come meanwhile do not get.

    Args:
        database: Matomo's.
        table: without the prefix.
        column: of its ids.
        low: the lowest id that is copied.
        high: the highest.
        sets: how many copies there are of each at most.

    Returns:
        How far the ids of two sets are apart, and those of the first set from what it copies.
    """
    span = high - low + 1
    (row,) = database.query(f"SELECT MAX({column}) AS top FROM {{prefix}}{table}")  # noqa: S608
    # Hits that come before the next statement take the ids of the gap.
    first = int(row["top"]) + 1 + 1_000
    database.query(f"ALTER TABLE {{prefix}}{table} AUTO_INCREMENT = {first + sets * span}")
    return span, first - low


def _insertion(database: Database, table: str) -> str:
    """Return the statement that copies a table's rows, whatever columns plugins have added."""
    name = f"{database.tables_prefix}{table}"
    rows = database.query(
        "SELECT column_name AS name FROM information_schema.columns WHERE table_schema = %s"
        " AND table_name = %s AND extra NOT LIKE '%%GENERATED%%' ORDER BY ordinal_position",
        database.name,
        name,
    )
    columns = [str(row["name"]) for row in rows]
    into = ", ".join(f"`{column}`" for column in columns)
    values = ", ".join(_TABLES[table].get(column, f"l.`{column}`") for column in columns)
    return (
        f"INSERT INTO `{name}` ({into}) SELECT {values} FROM {_COPIES} c"  # noqa: S608
        f" STRAIGHT_JOIN `{name}` l ON l.idvisit = c.of ORDER BY c.number, c.of"
    )


def _forget(database: Database, plan: Plan) -> None:
    """Remove what an interrupted run has sent; what it copied was never committed."""
    with contextlib.suppress(HarnessError):
        database.wait_until_alone()  # the last request goes on without its client
    for place in plan.places:
        with contextlib.suppress(HarnessError, pymysql.Error):
            found = database.query(
                "SELECT idvisit FROM {prefix}log_visit WHERE idsite = %s AND idvisitor IN %s",
                place.id,
                _visitors(plan, place),
            )
            if not found:
                continue
            numbers = ", ".join(str(int(row["idvisit"])) for row in found)
            for table in reversed(tuple(_TABLES)):
                database.query(
                    f"DELETE FROM {{prefix}}{table} WHERE idvisit IN ({numbers})"  # noqa: S608
                )


# -- archives -------------------------------------------------------------------------------------


def _invalidate(api: Api, plan: Plan) -> None:
    """Tell Matomo which days have new visits, as it archives the past only when told to."""
    for place in plan.places:
        first = plan.first_day(place)
        every_day = [f"{first + timedelta(days=number)}" for number in range(plan.days)]
        api.call(
            "CoreAdminHome.invalidateArchivedReports", idSites=place.id, dates=",".join(every_day)
        )


def _archive(web: Container, plan: Plan, stack: Stack, say: Callable[[str], None]) -> None:
    """Run the stack's archiver for the sites that have new visits, side by side.

    Each is allowed one processor (image/deployment.toml), and archives site by site: two are 1.9
    times faster than one where there are two sites. Their log stays with their containers.

    Whatever ends this early ends them.

    Raises:
        BrokenPromiseError: one fails.
        KeyboardInterrupt: Ctrl-C; it says what is next.
    """
    parts = [plan.places[number::ARCHIVERS] for number in range(ARCHIVERS)]
    started: list[Container] = []
    try:
        for part in filter(None, parts):
            sites = f"--force-idsites={','.join(str(place.id) for place in part)}"
            options = sites, "--disable-scheduled-tasks", WITH_OPCACHE
            started.append(schedule.start(web, stack, *options))
        for container in started:
            for line in container.logs(stream=True, follow=True):
                say(line.decode(errors="replace"))
    except BaseException as error:
        for container in started:
            with contextlib.suppress(APIError):
                container.stop(timeout=STOP_SECONDS)
        if isinstance(error, KeyboardInterrupt):
            # The same command would make visits of others.
            raise KeyboardInterrupt(_archives_the_rest(stack)) from error
        raise
    for container in started:
        if code := container.wait(timeout=task_seconds())["StatusCode"]:
            raise BrokenPromiseError(
                expected="the archiver to end with exit code 0",
                seen=f"exit {code}: {why_it_failed(_lines(container))}",
                next_command=f"docker logs {container.name}",
            )


def _archives_the_rest(stack: Stack) -> str:
    """Say what archives visits that are there."""
    return "its archiver, which runs every hour" if stack.name else "make archive"


def _lines(container: Container) -> list[str]:
    return bytes(container.logs()).decode(errors="replace").strip().splitlines()


def _stored(database: Database, plan: Plan) -> dict[Place, tuple[int, int]]:
    """Return how many visits and actions each site has on the plan's days."""
    stored = {}
    for place in plan.places:
        zone = zone_of(place.timezone)
        first, last = plan.first_day(place), place.last_day + timedelta(days=1)
        begin, end = (
            datetime.combine(day, datetime.min.time(), zone).astimezone(UTC)
            for day in (first, last)
        )
        (row,) = database.query(
            # Matomo counts a visit on the day of its last action.
            "SELECT COUNT(*) AS visits, COALESCE(SUM(visit_total_actions), 0) AS actions"
            " FROM {prefix}log_visit WHERE idsite = %s"
            " AND visit_last_action_time >= %s AND visit_last_action_time < %s",
            place.id,
            begin.replace(tzinfo=None),
            end.replace(tzinfo=None),
        )
        stored[place] = int(row["visits"]), int(row["actions"])
    return stored


def _require_exact(api: Api, plan: Plan, before: Mapping[Place, tuple[int, int]]) -> None:
    """Compare what the API reports with what was there and what was asked for.

    Raises:
        BrokenPromiseError: visits or actions differ.
    """
    for place in plan.places:
        made = plan.expected(place)
        # A span is answered day by day, even one of a single day.
        days = f"{plan.first_day(place)},{place.last_day}"
        answer = api.call("VisitsSummary.get", idSite=place.id, period="day", date=days)
        rows = [row for row in answer.values() if row]
        reported = tuple(
            sum(int(row.get(name, 0)) for row in rows) for name in ("nb_visits", "nb_actions")
        )
        visits, actions = before[place]
        wanted = visits + made.visits, actions + made.actions
        if reported != wanted:
            raise BrokenPromiseError(
                expected="site {}: {} visits with {} actions to be reported of {}".format(
                    place.id, *wanted, days
                ),
                seen="{} visits with {} actions".format(*reported),
                next_command="make archive, then look again",
            )
