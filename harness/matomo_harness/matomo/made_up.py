"""Visits that look like those of a library's sites, to fill an empty Matomo with.

The same arguments give the same visits. What Matomo must report of them is counted here, from the
visits alone. A first part of them is meant for the tracker; the rest are copies of that part: whole
visitors, with another id, some weeks and minutes apart, so that a database can make them in sets.
"""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Final

from matomo_harness.matomo.time_zones import zone_of
from matomo_harness.matomo.tracker import Hit

HOURS: Final = (
    4,
    2,
    1,
    1,
    1,
    2,
    5,
    12,
    28,
    45,
    55,
    57,
    48,
    52,
    58,
    57,
    52,
    44,
    36,
    32,
    30,
    26,
    16,
    8,
)
"""How many visits begin in each hour of a site's day, against each other: an office's day, a long
evening, a quiet night."""
WEEKDAYS: Final = (100, 104, 103, 98, 82, 42, 50)
"""Likewise for Monday to Sunday."""
FIRST_SECOND: Final = 1800
LAST_SECOND: Final = 81_900
"""A visit for the tracker begins between these seconds of the site's day, and lasts `LONGEST` at
most. With `JITTER` it stays on its day, so that numbers of each day are known beforehand."""
LONGEST: Final = 2100
JITTER: Final = 1500
"""A copy of a visitor comes at most so many seconds sooner or later than the one it is of."""

_CHROME: Final = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0"
_SAFARI: Final = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6"
_DEVICES: Final[tuple[tuple[int, str, tuple[str, ...]], ...]] = (
    (34, f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME} Safari/537.36",
     ("1920x1080", "1536x864", "2560x1440")),
    (9, f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME} Safari/537.36 Edg/141.0.0.0",
     ("1920x1080", "1366x768")),
    (8, "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0",
     ("1920x1080",)),
    (11, f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_SAFARI} Safari/605.1.15",
     ("1440x900", "1728x1117")),
    (6, f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_CHROME} Safari/537.36", ("1512x982",)),
    (3, "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0", ("1920x1200",)),
    (15, f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) {_SAFARI} Mobile/15E148"
     " Safari/604.1", ("390x844", "393x852")),
    (4, f"Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) {_SAFARI} Mobile/15E148 Safari/604.1",
     ("820x1180",)),
    (7, f"Mozilla/5.0 (Linux; Android 15; Pixel 9) {_CHROME} Mobile Safari/537.36", ("412x915",)),
    (6, f"Mozilla/5.0 (Linux; Android 14; SM-S921B) {_CHROME} Mobile Safari/537.36", ("360x780",)),
)  # fmt: skip
_PLACES: Final = (
    # weight, country, region, city, latitude, longitude, language, hours from UTC
    (25, "us", "NY", "New York", 40.71, -74.01, "en-us", -5),
    (14, "us", "CA", "San Francisco", 37.77, -122.42, "en-us", -8),
    (8, "us", "MA", "Boston", 42.36, -71.06, "en-us", -5),
    (5, "ca", "ON", "Toronto", 43.65, -79.38, "en-ca", -5),
    (9, "gb", "ENG", "London", 51.51, -0.13, "en-gb", 0),
    (8, "de", "BE", "Berlin", 52.52, 13.41, "de-de", 1),
    (3, "de", "BY", "Munich", 48.14, 11.58, "de-de", 1),
    (5, "fr", "IDF", "Paris", 48.86, 2.35, "fr-fr", 1),
    (3, "es", "MD", "Madrid", 40.42, -3.70, "es-es", 1),
    (2, "pl", "14", "Warsaw", 52.23, 21.01, "pl-pl", 1),
    (4, "in", "KA", "Bengaluru", 12.97, 77.59, "en-in", 5),
    (3, "jp", "13", "Tokyo", 35.69, 139.69, "ja-jp", 9),
    (3, "br", "SP", "Sao Paulo", -23.55, -46.63, "pt-br", -3),
    (2, "au", "NSW", "Sydney", -33.87, 151.21, "en-au", 10),
    (1, "za", "WC", "Cape Town", -33.92, 18.42, "en-za", 2),
)
_SUBJECTS: Final = (
    "medieval manuscripts", "open access", "ulysses", "climate data", "oral history", "manga",
    "dissertations", "sheet music", "old maps", "newspapers 1918", "linear algebra", "photographs",
    "census", "interlibrary loan", "opening hours", "citation style",
)  # fmt: skip
_TOPICS: Final = (
    "Maps", "Manuscripts", "Photographs", "Sheet music",
    "Newspapers", "Dissertations", "Data", "Recordings",
)  # fmt: skip
_CAMPAIGNS: Final = ("autumn-newsletter", "orientation-week", "poster-qr", "alumni-mail")
_REFERRERS: Final[tuple[tuple[int, tuple[str, ...]], ...]] = (
    (30, ("",)),
    (34, (
        "https://www.google.com/", "https://www.google.com/", "https://www.google.de/",
        "https://www.bing.com/search?q={words}", "https://duckduckgo.com/?q={words}",
        "https://search.yahoo.com/search?p={words}", "https://www.ecosia.org/search?q={words}",
    )),
    (17, (
        "https://en.wikipedia.org/wiki/Library", "https://www.worldcat.example/record",
        "https://portal.university.example/students", "https://blog.archives.example/new",
        "https://guides.university.example/history", "https://chatgpt.com/",
    )),
    (10, (
        "https://www.facebook.com/", "https://www.linkedin.com/feed/", "https://www.reddit.com/",
        "https://mastodon.social/", "https://www.youtube.com/watch",
    )),
    (9, ("campaign",)),
)  # fmt: skip
_GOODS: Final = (
    ("CARD-12", "Postcards, set of 12", "Paper", 9.5),
    ("POSTER-MAP", "Poster: map of 1746", "Prints", 24.0),
    ("TOTE", "Tote bag", "Textiles", 14.0),
    ("SCAN-HI", "Scan in high resolution", "Services", 35.0),
    ("BOOK-GUIDE", "Guide to the collections", "Books", 29.9),
)


@dataclass(frozen=True)
class Place:
    """A site that gets visits.

    Args:
        id: idsite.
        url: without a slash at its end.
        timezone: whose midnight divides the site's days.
        last_day: the site's own last day with visits.
        goal: id of a goal that a hit reaches by its number; 0 for none.
        sells: whether it has a shop.
    """

    id: int
    url: str
    timezone: str
    last_day: date
    goal: int = 0
    sells: bool = True


@dataclass(frozen=True)
class TrackedVisit:
    """A visit that goes through the tracker.

    Args:
        place: where.
        visitor: 16 hex digits.
        day: the site's own.
        begins: when, UTC.
        hits: at least one, in time order.
        actions: how many of them Matomo counts as actions; goals and orders are none.
        conversions: of goals, and orders.
    """

    place: Place
    visitor: str
    day: date
    begins: datetime
    hits: tuple[Hit, ...]
    actions: int
    conversions: int


@dataclass(frozen=True)
class CopiedVisit:
    """A visit like another one.

    Args:
        of: the one that it is a copy of.
        set: number of the set that it belongs to, from 1 on; each visit is in a set once at most.
        visitor: 16 hex digits.
        day: the site's own.
        shift: seconds from that visit's moments to its own.
        jitter: seconds of `shift` by which the time of day differs.
    """

    of: TrackedVisit
    set: int
    visitor: str
    day: date
    shift: int
    jitter: int


@dataclass(frozen=True)
class Figures:
    """What Matomo must report of one site.

    Args:
        visits: nb_visits.
        unique_visitors: nb_uniq_visitors.
        actions: nb_actions.
        conversions: of goals, and orders.
    """

    visits: int
    unique_visitors: int
    actions: int
    conversions: int


@dataclass(frozen=True)
class Plan:
    """All visits that are to be made.

    Args:
        places: the sites, in the order of their traffic.
        days: how many days have visits, up to each site's last.
        tracked: those for the tracker.
        copied: the others.
    """

    places: tuple[Place, ...]
    days: int
    tracked: tuple[TrackedVisit, ...] = field(repr=False)
    copied: tuple[CopiedVisit, ...] = field(repr=False)

    def first_day(self, place: Place) -> date:
        """Return the first day of `place` that may have visits."""
        return place.last_day - timedelta(days=self.days - 1)

    def every(self) -> Iterator[tuple[TrackedVisit | CopiedVisit, TrackedVisit]]:
        """Yield every visit, with the one that went through the tracker for it."""
        yield from ((visit, visit) for visit in self.tracked)
        yield from ((visit, visit.of) for visit in self.copied)

    def expected(self, place: Place, first: date = date.min, last: date = date.max) -> Figures:
        """Count what Matomo must report of `place` from `first` to `last`, both included."""
        visits = actions = conversions = 0
        visitors = set()
        for visit, of in self.every():
            if of.place.id == place.id and first <= visit.day <= last:
                visits += 1
                actions += of.actions
                conversions += of.conversions
                visitors.add(visit.visitor)
        return Figures(visits, len(visitors), actions, conversions)


def plan(places: Sequence[Place], days: int, visits: int, *, run: int, tracked: int) -> Plan:
    """Make up `visits` visits on `days` days.

    Args:
        places: sites; each has fewer visits than the one before it.
        days: up to each site's last day.
        visits: at least one for each site.
        run: another number gives other visitors.
        tracked: how many are for the tracker at most; the others are copies of them.
    """
    made: list[TrackedVisit] = []
    copies: list[CopiedVisit] = []
    wanted = _shares(visits, len(places))
    by_tracker = _shares(min(tracked, visits), len(places))
    for number, place in enumerate(places):
        chance = random.Random(f"{run} {number} {len(places)} {days} {visits}")  # noqa: S311  no secret
        people = _people(place, days, by_tracker[number], run, chance)
        made.extend(visit for person in people for visit in person)
        copies.extend(_copies(people, days, wanted[number] - by_tracker[number], chance))
    return Plan(tuple(places), days, tuple(made), tuple(copies))


def visitor_id(run: int, place: Place, person: int, copy: int = 0) -> str:
    """Return the id of a visitor, 16 hex digits; no two are the same."""
    text = f"{run} {place.id} {person} {copy}"
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _shares(visits: int, places: int) -> list[int]:
    """Divide visits: the second site has half as many as the first, the third a third."""
    weights = [1 / number for number in range(1, places + 1)]
    spare = visits - places  # one for each, whatever its weight
    shares = [1 + int(spare * weight / sum(weights)) for weight in weights]
    shares[0] += visits - sum(shares)
    return shares


# -- visits for the tracker -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Visitor:
    id: str
    address: str
    hours_from_utc: int
    traits: tuple[tuple[str, str | int], ...]
    user_agent: str


def _people(
    place: Place, days: int, visits: int, run: int, chance: random.Random
) -> list[list[TrackedVisit]]:
    """Make up visitors with `visits` visits in all; each visitor's are in time order."""
    first = place.last_day - timedelta(days=days - 1)
    every_day = [first + timedelta(days=number) for number in range(days)]
    weights = [
        # A third more at the end than at the beginning, and no two days alike.
        WEEKDAYS[day.weekday()] * (1 + number / days / 3) * chance.uniform(0.85, 1.15)
        for number, day in enumerate(every_day)
    ]
    people: list[list[TrackedVisit]] = []
    left = visits
    while left:
        comes = min(left, days, chance.choices((1, 2, 3, 4, 6), (66, 17, 8, 5, 4))[0])
        when: set[date] = set()
        while len(when) < comes:
            when.update(chance.choices(every_day, weights))
        visitor = _visitor(place, run, len(people), chance)
        people.append([_visit(place, day, visitor, chance) for day in sorted(when)])
        left -= comes
    return people


def _visitor(place: Place, run: int, number: int, chance: random.Random) -> _Visitor:
    _, country, region, city, latitude, longitude, language, hours = chance.choices(
        _PLACES, [weight for weight, *_ in _PLACES]
    )[0]
    _, user_agent, resolutions = chance.choices(_DEVICES, [weight for weight, *_ in _DEVICES])[0]
    return _Visitor(
        id=visitor_id(run, place, number),
        # Two visitors differ in the two bytes that outlive masking: Matomo joins hits of one
        # address and browser. The block 100.64.0.0/10 and above is avoided: it is nobody's.
        address=f"{11 + number // 250 % 80}.{number % 250}.{run % 250}.{place.id % 250}",
        hours_from_utc=hours,
        traits=(
            ("country", country),
            ("region", region),
            ("city", city),
            ("lat", str(latitude)),
            ("long", str(longitude)),
            ("lang", language),
            ("res", chance.choice(resolutions)),
            ("cookie", 1),
            ("pdf", chance.choices((1, 0), (4, 1))[0]),
        ),
        user_agent=user_agent,
    )


def _visit(place: Place, day: date, visitor: _Visitor, chance: random.Random) -> TrackedVisit:
    at = FIRST_SECOND - 1
    while not FIRST_SECOND <= at <= LAST_SECOND:
        hour = chance.choices(range(24), HOURS)[0]
        at = hour * 3600 + chance.randrange(3600)
    begins = _moment(day, at, place)
    local = begins + timedelta(hours=visitor.hours_from_utc)
    common = {**dict(visitor.traits), "h": local.hour, "m": local.minute, "s": local.second}
    moment, actions, conversions = begins, 0, 0
    hits: list[Hit] = []
    for step in _steps(place, visitor, begins, chance):
        if (moment - begins).total_seconds() > LONGEST:
            break
        more = {**common, **step.more}
        if not hits:
            more["new_visit"] = 1
        hits.append(
            Hit(place.id, visitor.id, visitor.address, visitor.user_agent, moment,
                place.url + step.path, step.title, more)
        )  # fmt: skip
        actions += step.is_action
        conversions += step.converts
        moment += timedelta(seconds=min(chance.randint(4, 60) * chance.randint(1, 5), LONGEST // 8))
    return TrackedVisit(place, visitor.id, day, begins, tuple(hits), actions, conversions)


def _moment(day: date, second: int, place: Place) -> datetime:
    """Return a second of the site's own day as UTC; seconds are those that a clock shows."""
    clock = (datetime.min + timedelta(seconds=second)).time()
    return datetime.combine(day, clock, zone_of(place.timezone)).astimezone(UTC)


@dataclass(frozen=True)
class _Step:
    path: str
    title: str
    more: dict[str, str | int] = field(default_factory=dict)
    is_action: bool = True
    converts: bool = False


def _steps(
    place: Place, visitor: _Visitor, begins: datetime, chance: random.Random
) -> Iterator[_Step]:
    """Make up what a visitor does in a visit, beginning with a page."""
    topic, number = chance.choice(_TOPICS), chance.randint(1, 40)
    slug = topic.lower().replace(" ", "-")
    entry = chance.choices(
        (
            ("/", "Home"),
            (f"/{slug}/", topic),
            (f"/{slug}/{number}", f"{topic}: item {number}"),
            ("/visit/opening-hours", "Opening hours"),
            ("/help", "Help"),
        ),
        (38, 20, 26, 12, 4),
    )[0]
    yield _page(
        *entry,
        chance,
        **_arrival(chance),
    )
    if chance.random() < 0.42:
        return
    for _ in range(chance.choices((1, 2, 3, 5, 8), (30, 28, 20, 14, 8))[0]):
        yield _next_step(place, slug, topic, chance)
    if place.goal and chance.random() < 0.06:
        yield _Step(
            "/newsletter", "Newsletter", {"idgoal": place.goal}, is_action=False, converts=True
        )
    if place.sells and chance.random() < 0.05:
        yield _page("/shop/", "Shop", chance)
        goods = chance.sample(_GOODS, chance.randint(1, 3))
        rows = [(*what, chance.randint(1, 2)) for what in goods]
        total = sum(price * pieces for _, _, _, price, pieces in rows)
        more: dict[str, str | int] = {"idgoal": 0, "ec_items": json.dumps(rows)}
        if chance.random() < 0.3:  # the cart is left behind
            yield _Step("/shop/cart", "Cart", {**more, "revenue": f"{total:.2f}"}, is_action=False)
            return
        order = f"{begins:%y%m%d}-{visitor.id[:10]}"
        more |= {
            "ec_id": order,
            "ec_st": f"{total:.2f}",
            "ec_sh": "4.50",
            "ec_tx": f"{total * 0.08:.2f}",
            "revenue": f"{total * 1.08 + 4.5:.2f}",
        }
        yield _Step("/shop/thanks", "Thank you", more, is_action=False, converts=True)


def _next_step(place: Place, slug: str, topic: str, chance: random.Random) -> _Step:
    number = chance.randint(1, 40)
    kind = chance.choices(
        ("item", "list", "search", "event", "file", "away"), (46, 18, 14, 12, 6, 4)
    )[0]
    if kind == "search":
        words = chance.choice(_SUBJECTS)
        found = chance.choices((0, chance.randint(1, 400)), (1, 9))[0]
        return _Step(
            "/search", "Search",
            {"search": words, "search_cat": chance.choice(("everything", "articles", "books")),
             "search_count": found},
        )  # fmt: skip
    if kind == "event":
        category, action, name = chance.choice(
            (
                ("Viewer", "zoom", topic),
                ("Viewer", "turn page", topic),
                ("Audio", "play", f"Recording {number}"),
                ("Filter", "choose", "Language"),
                ("Cite", "copy", "Chicago"),
            )
        )
        return _Step(
            f"/{slug}/{number}", f"{topic}: item {number}",
            {"e_c": category, "e_a": action, "e_n": name, "e_v": chance.randint(1, 9)},
        )  # fmt: skip
    if kind == "file":
        address = f"{place.url}/files/{slug}-{number}.pdf"
        return _Step(f"/files/{slug}-{number}.pdf", "", {"download": address})
    if kind == "away":
        address = f"https://doi.example/10.1000/{number}"
        return _Step(f"/{slug}/{number}", "", {"link": address})
    if kind == "list":
        return _page(f"/{slug}/", topic, chance)
    return _page(f"/{slug}/{number}", f"{topic}: item {number}", chance)


def _page(path: str, title: str, chance: random.Random, **more: str) -> _Step:
    """Return a page view with the times that a browser measures, in milliseconds."""
    times: dict[str, str | int] = {
        "pv_id": f"{chance.getrandbits(24):06x}",
        "pf_net": chance.randint(5, 120),
        "pf_srv": chance.randint(60, 400),
        "pf_tfr": chance.randint(5, 90),
        "pf_dm1": chance.randint(80, 600),
        "pf_dm2": chance.randint(20, 300),
        "pf_onl": chance.randint(2, 40),
    }
    arrival = dict(more)
    path += arrival.pop("query", "")
    return _Step(path, title, {**times, **arrival})


def _arrival(chance: random.Random) -> dict[str, str]:
    """Return where a visitor comes from: the referrer, or the query of a campaign's address."""
    (_, choices) = chance.choices(_REFERRERS, [weight for weight, _ in _REFERRERS])[0]
    address = chance.choice(choices)
    words = chance.choice(_SUBJECTS)
    if address == "campaign":
        campaign = chance.choice(_CAMPAIGNS)
        return {"query": f"?mtm_campaign={campaign}&mtm_kwd={words.replace(' ', '-')}"}
    return {"urlref": address.format(words=words.replace(" ", "+"))} if address else {}


# -- copies ---------------------------------------------------------------------------------------


def _copies(
    people: Sequence[Sequence[TrackedVisit]], days: int, visits: int, chance: random.Random
) -> Iterator[CopiedVisit]:
    """Copy visitors, set by set, until there are `visits` visits; the last may come less often."""
    left = visits
    for number in count(1):
        for person in people:
            if not left:
                return
            part = person[:left]
            yield from _copy(part, number, days, chance)
            left -= len(part)


def _copy(
    visits: Sequence[TrackedVisit], number: int, days: int, chance: random.Random
) -> Iterator[CopiedVisit]:
    place = visits[0].place
    first = place.last_day - timedelta(days=days - 1)
    earlier = (visits[0].day - first).days // 7
    later = (place.last_day - visits[-1].day).days // 7
    weeks = chance.randint(-earlier, later)
    jitter = chance.randint(-JITTER, JITTER)
    text = f"{visits[0].visitor} {number}"
    visitor = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    zone = zone_of(place.timezone)
    for visit in visits:
        day = visit.day + timedelta(weeks=weeks)
        # The same time by the site's own clock, which may have been put forward in between.
        clock = visit.begins.astimezone(zone).replace(tzinfo=None) + timedelta(weeks=weeks)
        moment = clock.replace(tzinfo=zone).astimezone(UTC)
        shift = int((moment - visit.begins).total_seconds()) + jitter
        yield CopiedVisit(visit, number, visitor, day, shift, jitter)
