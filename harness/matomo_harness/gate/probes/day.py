"""A day's life of a Matomo: hits that come in many ways, archiving, what is stored and reported."""

import base64
import dataclasses
import hashlib
import ipaddress
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import requests

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.gate.core.check import Capability, Step, given
from matomo_harness.gate.core.once import once, result_of
from matomo_harness.gate.core.target import Target
from matomo_harness.matomo import tracker, traffic
from matomo_harness.matomo.api import ApiError
from matomo_harness.matomo.traffic import Site, Visit
from matomo_harness.matomo.web import Parameters
from matomo_harness.runtime.tasks import Task

TEST_SITE: Final = "matomo-harness gate"
FIRST_DAY: Final = date(2025, 12, 31)
"""The last of a year, a month, and in the middle of a week."""
DAYS: Final = 2
ZONES: Final = ("America/New_York", "Pacific/Auckland")
SEGMENT: Final = "browserCode==FF"
MAILED: Final = ("VisitsSummary_get", "Actions_getPageUrls", "UserCountry_getCountry")
OTHER_KINDS: Final = ("event", "download", "outlink")
"""Of hits that are no page views."""
TITLE: Final = f"Ἰλιάς 日本 𠮷 📚{' and so on' * 50}"
"""Of letters of two, three and four bytes (UTF-8), and long as a catalogue's."""
OWN_NETWORKS: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8")
"""Addresses of an institution's own devices (RFC 1918, RFC 4193)."""
DUE: Final = "Piwik\\Plugins\\CoreAdminHome\\Tasks.cleanupTrackingFailures"
"""A task of Matomo's own: refused hits are forgotten after two days."""
OLD_SITE: Final = 8_999_999
"""Of a refused hit that is due to be forgotten; there is no such site."""
ROBOT: Final = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
OPTED_OUT: Final = {"matomo_ignore": "ignore=" + base64.b64encode(b"*").decode()}
"""Matomo's own cookie of who opted out (core/Tracker/IgnoreCookie.php, core/Cookie.php)."""
OPEN_SEGMENT: Final = "actions>=1"
"""Made by nobody: only a request could have it archived."""


IPV6_KEPT: Final = (16, 8, 6, 3, 0)
"""Bytes of an IPv6 address that stay where so many of an IPv4 address are masked
(plugins/PrivacyManager/IPAnonymizer.php; an IPv4 address written as IPv6 is masked as IPv4)."""


def masked(address: str, zeroed: int) -> str:
    """Return `address` as Matomo stores it when `zeroed` bytes of an IPv4 address are masked."""
    parsed = ipaddress.ip_address(address)
    packed = parsed.packed
    is_ipv6 = parsed.version == 6 and parsed.ipv4_mapped is None
    kept = IPV6_KEPT[zeroed] if is_ipv6 else len(packed) - zeroed
    return str(ipaddress.ip_address(packed[:kept] + bytes(len(packed) - kept)))


@dataclass(frozen=True)
class Canary:
    """A hit that can be found again, with an address and a user id that must not be.

    Args:
        way: how it came.
        site: idsite.
        address: the visitor's, whole.
        user_id: sent as `uid`.
        page: of the hit; nobody else's.
    """

    way: str
    site: int
    address: str
    user_id: str
    page: str

    @property
    def forms_of_address(self) -> Iterator[bytes]:
        """Every form in which the address could be kept whole."""
        parsed = ipaddress.ip_address(self.address)
        packed = parsed.packed
        yield from (self.address.encode(), packed)
        if parsed.version == 6 and parsed.ipv4_mapped:
            yield str(parsed.ipv4_mapped).encode()
        yield from (packed.hex().encode(), packed.hex().upper().encode())

    @property
    def forms_of_user_id(self) -> Iterator[bytes]:
        """Every form in which the user id could be kept."""
        yield self.user_id.encode()
        for derived in visitor_ids_made_of(self.user_id.encode()):
            yield from (derived.encode(), derived.upper().encode(), bytes.fromhex(derived))


def new_canary(run: str, way: str, site: int, family: str) -> Canary:
    """Return one with an address, a user id and a page that nobody else has.

    No byte of 248 and more is in any text (UTF-8), so the four bytes of an IPv4 address, packed,
    are in no file by chance: four letters were found in Matomo's own JavaScript.

    Args:
        run: part of the page's path.
        way: how it will come.
        site: idsite.
        family: "IPv4", "IPv6", "mapped IPv4": one that is written as IPv6; or one of OWN_NETWORKS.
    """
    token = secrets.token_hex(3)
    one, two, three = bytes.fromhex(token)
    v4 = f"{60 + one % 60}.{248 + two % 8}.{11 + three % 240}.{13 + one % 200}"
    v6 = f"2001:db8:{token[:4]}:{token[2:]}:9abc:{token[:4]}:1111:{token[2:]}"
    texts = {"IPv4": v4, "IPv6": v6, "mapped IPv4": f"::ffff:{v4}"}
    own = (
        f"10.{248 + two % 8}.{11 + three % 240}.{13 + one % 200}",
        f"172.{16 + one % 16}.{248 + two % 8}.{13 + three % 200}",
        f"192.168.{248 + two % 8}.{13 + three % 200}",
        v6.replace("2001:db8", "fd12:3456"),
    )
    texts |= zip(OWN_NETWORKS, own, strict=True)
    address = str(ipaddress.ip_address(texts[family]))
    page = f"https://canary.example/{run}/{token}{secrets.token_hex(4)}"
    return Canary(way, site, address, f"canary{secrets.token_hex(8)}", page)


def visitor_ids_made_of(name: bytes) -> set[str]:
    """Return the visitor ids, 16 hex digits, that the usual hashes make of `name`."""
    return {make(name).hexdigest()[:16] for make in (hashlib.md5, hashlib.sha1, hashlib.sha256)}


@dataclass(frozen=True)
class Stored:
    """What Matomo keeps of a canary.

    Args:
        address: location_ip, as text.
        user_id: None where there is none.
        visitor: idvisitor, 16 hex digits.
    """

    address: str
    user_id: str | None
    visitor: str


Figures = dict[str, Any]


class Day:
    """Test traffic and what becomes of it: each property is the result of a step (Look.perform).

    Args:
        target: with Capability.HITS; with Capability.CHANGE for all that is archived.
        not_taken: canaries that were refused, and how.
        archivers: containers that were started each time when archiving was asked for; of none is
            known where there are no stands.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._api = target.api
        self._run = secrets.token_hex(4)
        self.not_taken: dict[Canary, str] = {}
        self.archivers: list[list[Task]] = []

    def send(self) -> None:
        """Send all test traffic and see that it is stored.

        Raises:
            BrokenPromiseError: not one hit is.
        """
        if not self.stored.keys() & set(self.canaries):
            raise BrokenPromiseError(
                expected="hits that are sent to be stored",
                seen="; ".join(sorted(set(self.not_taken.values())))[:200] or "none is",
                next_command="send one by hand: curl 'https://…/matomo.php?idsite=1&rec=1'",
            )

    def traffic_is_reported(self) -> bool:
        """Whether a report of the test site has visits, on the day of the hits or the one after."""
        where: Parameters = {"idSite": self.sites[0], "period": "day", "date": "last2"}
        visits: dict[str, int] = self._api.call("VisitsSummary.getVisits", **where)
        return any(visits.values())

    # -- canaries ----------------------------------------------------------------------------------

    @result_of(Step.SITE)
    def sites(self) -> list[int]:
        """Where canaries are sent: the test site, and the others where nobody minds."""
        every: list[dict[str, Any]] = self._api.call("SitesManager.getSitesWithAtLeastViewAccess")
        named = [int(it["idsite"]) for it in every if it["name"] == TEST_SITE]
        test = named[0] if named else self._new_site(TEST_SITE, "UTC")
        others = [int(it["idsite"]) for it in every if int(it["idsite"]) != test]
        return [test, *(others if self._target.may_change else [])]

    @result_of(Step.TRAFFIC)
    def canaries(self) -> list[Canary]:
        """All of them, sent."""
        made = [
            new_canary(self._run, f"{way}, {family}", site, family)
            for site in self.sites
            for way in ("form", "bulk", "past", "returning")
            for family in ("IPv4", "IPv6")
        ]
        made.append(new_canary(self._run, "form, mapped", self.sites[0], "mapped IPv4"))
        made += [new_canary(self._run, way, self.sites[0], "IPv4") for way in OTHER_KINDS]
        made += [
            new_canary(self._run, f"own network, {it}", self.sites[0], it) for it in OWN_NETWORKS
        ]
        made[1] = dataclasses.replace(made[1], user_id=made[0].user_id)
        for canary in made:
            if "bulk" not in canary.way:
                self._send(canary)
        self._send_bulk([it for it in made if "bulk" in it.way])
        return [*made, *self._forwarded()]

    @result_of(Step.TRAFFIC)
    def robot(self) -> Canary:
        """A hit of a robot's, sent."""
        canary = new_canary(self._run, "of a robot", self.sites[0], "IPv4")
        form = {**self._with_address(canary), "ua": ROBOT, "token_auth": self._target.token or ""}
        self._target.web.post_form("matomo.php", form)
        return canary

    @result_of(Step.TRAFFIC)
    def opted_out(self) -> Canary:
        """A hit of somebody who opted out before, sent."""
        canary = new_canary(self._run, "opted out", self.sites[0], "IPv4")
        form = {**self._with_address(canary), "token_auth": self._target.token or ""}
        self._target.web.post_form("matomo.php", form, cookies=OPTED_OUT)
        return canary

    @result_of(Step.REFUSED_HITS)
    def refused(self) -> dict[Canary, requests.Response]:
        """Hits that Matomo must not count, sent, with what it answered.

        It lists them (core/Tracker/Failures.php), one of a kind and site.
        """
        nowhere = 9_000_000 + secrets.randbelow(900_000)
        without_site = new_canary(self._run, "of no site", nowhere, "IPv4")
        without_token = new_canary(self._run, "without a token", self.sites[0], "IPv4")
        answers = {}
        for canary, token in ((without_site, self._target.token), (without_token, None)):
            form = {**self._with_address(canary), **({"token_auth": token} if token else {})}
            answers[canary] = self._target.web.post_form("matomo.php", form)
        return answers

    @once
    def sent(self) -> list[Canary]:
        """Every canary, the refused too: what must be found nowhere."""
        return [*self.canaries, *self.refused, self.robot, self.opted_out]

    def _parameters(self, canary: Canary) -> dict[str, str | int]:
        return {
            "idsite": canary.site,
            "rec": 1,
            "url": canary.page,
            "uid": canary.user_id,
            "new_visit": 1,
            "ua": traffic.USER_AGENTS[0],
            "action_name": TITLE,
        }

    def _with_address(self, canary: Canary) -> dict[str, str | int]:
        extra: dict[str, str | int] = {"cip": canary.address}
        if "past" in canary.way:
            moment = datetime.now(UTC) - timedelta(hours=2)
            extra["cdt"] = moment.strftime("%Y-%m-%d %H:%M:%S")
        if "returning" in canary.way:
            extra |= {"_id": hashlib.sha1(self._run.encode()).hexdigest()[:16]}  # noqa: S324
        return {**self._parameters(canary), **extra, **_kind(canary)}

    def _send(self, canary: Canary) -> None:
        form = {**self._with_address(canary), "token_auth": self._target.token or ""}
        answer = self._target.web.post_form("matomo.php", form)
        self._note(answer, canary)

    def _send_bulk(self, canaries: list[Canary]) -> None:
        queries = ["?" + urlencode(self._with_address(it)) for it in canaries]
        document = {"requests": queries, "token_auth": self._target.token}
        answer = self._target.web.post_json("matomo.php", document)
        self._note(answer, *canaries)

    def _note(self, answer: requests.Response, *canaries: Canary) -> None:
        if not answer.ok:
            said = " ".join(answer.text[:200].split())
            self.not_taken |= dict.fromkeys(canaries, f"HTTP {answer.status_code}: {said}")

    def _forwarded(self) -> list[Canary]:
        """Without a token: the address is what the proxy says. As JavaScript and images send."""
        if not self._target.may_change:
            return []
        stands = self._target.stands
        ways: dict[str, Callable[[Canary], None]] = {
            "image": lambda it: self._forward(it, "GET", "matomo.php"),
            "piwik.php": lambda it: self._forward(it, "GET", "piwik.php"),
            "beacon": lambda it: self._forward(it, "POST", "matomo.php"),
            "queued": self._forward_bulk,
        }
        made = []
        self._straight = stands.straight if stands else lambda: self._target.web
        for way, send in ways.items():
            for family in ("IPv4", "IPv6"):
                canary = new_canary(self._run, f"{way}, {family}", self.sites[0], family)
                send(canary)
                made.append(canary)
        return made

    def _forward(self, canary: Canary, method: str, path: str) -> None:
        web = self._straight()
        web.session.headers.update(_forwarded_for(canary))
        parameters = self._parameters(canary)
        answer = web.get(parameters, path) if method == "GET" else web.post_form(path, parameters)
        self._note(answer, canary)

    def _forward_bulk(self, canary: Canary) -> None:
        """As JavaScript sends what it has queued: in bulk, without a token."""
        web = self._straight()
        web.session.headers.update(_forwarded_for(canary))
        document = {"requests": ["?" + urlencode(self._parameters(canary))]}
        self._note(web.post_json("matomo.php", document), canary)

    @property
    def twins(self) -> list[Canary]:
        """Two visitors, one by IPv4 and one by IPv6, with one user id."""
        return self.canaries[:2]

    def canary(self, *words: str) -> list[Canary]:
        """Return those whose way has all of `words`."""
        return [it for it in self.canaries if all(word in it.way for word in words)]

    @result_of(Step.TRAFFIC)
    def stored(self) -> dict[Canary, Stored]:
        """What is kept of each, by the database where it can be read, else by the visits log."""
        sent = [*self.canaries, self.robot, self.opted_out]
        found = self._in_database() if self._target.database else self._in_visits_log()
        pages = {page.split("://")[-1]: it for page, it in found.items()}
        return {
            canary: pages[key] for canary in sent if (key := canary.page.split("://")[-1]) in pages
        }

    def visitors_made_of(self, forms: Callable[[Canary], Iterable[bytes]]) -> list[str]:
        """Return how those came whose visitor's id a usual hash makes of one of their forms."""
        return [
            it.way
            for it in self.canaries
            if it in self.stored
            and any(self.stored[it].visitor in visitor_ids_made_of(form) for form in forms(it))
        ]

    def _in_database(self) -> dict[str, Stored]:
        rows = given(self._target.database, Capability.DATABASE).query(
            "SELECT a.name, INET6_NTOA(v.location_ip) AS address, v.user_id,"
            " LOWER(HEX(v.idvisitor)) AS visitor FROM {prefix}log_link_visit_action l"
            " JOIN {prefix}log_action a ON a.idaction = l.idaction_url"
            " JOIN {prefix}log_visit v ON v.idvisit = l.idvisit WHERE a.name LIKE %s",
            f"%canary.example/{self._run}/%",
        )
        return {
            str(it["name"]): Stored(_read(str(it["address"])), it["user_id"] or None, it["visitor"])
            for it in rows
        }

    @result_of(Step.TRAFFIC)
    def visits_log(self) -> list[dict[str, Any]]:
        """Today's visits of the test site, as the visits log shows them."""
        found: list[dict[str, Any]] = self._api.call(
            "Live.getLastVisitsDetails",
            idSite=self.sites[0],
            period="day",
            date="today",
            filter_limit=100,
        )
        return found

    def _in_visits_log(self) -> dict[str, Stored]:
        found: dict[str, Stored] = {}
        for site in self.sites:
            for day in ("today", "yesterday", "lastWeek"):
                period = "week" if day == "lastWeek" else "day"
                visits = self._api.call(
                    "Live.getLastVisitsDetails",
                    idSite=site,
                    period=period,
                    date=day,
                    filter_limit=200,
                    doNotFetchActions=0,
                )
                for visit in visits:
                    stored = Stored(
                        _read(str(visit["visitIp"])),
                        visit.get("userId") or None,
                        visit["visitorId"],
                    )
                    for action in visit["actionDetails"]:
                        found[str(action.get("url"))] = stored
        return found

    # -- reports -----------------------------------------------------------------------------------

    @result_of(Step.COUNTED_VISITS)
    def counted(self) -> list[Site]:
        """Sites whose visits are counted, in time zones on both sides of this day."""
        made = [self._new_site(f"counted {zone}", zone) for zone in ZONES]
        return [
            Site(number, "https://discovery.example", zone)
            for number, zone in zip(made, ZONES, strict=True)
        ]

    @result_of(Step.COUNTED_VISITS)
    def segmented(self) -> Site:
        """A site that began yesterday: the archiver makes a new segment's reports since then."""
        name = "counted by segment"
        return Site(
            self._new_site(name, "UTC", self._yesterday), "https://discovery.example", "UTC"
        )

    @once
    def _yesterday(self) -> date:
        return (datetime.now(UTC) - timedelta(days=1)).date()

    @result_of(Step.COUNTED_VISITS)
    def visits(self) -> list[Visit]:
        """Sent, not yet archived."""
        made = traffic.visits(self.counted, FIRST_DAY, DAYS)
        made += traffic.visits([self.segmented], self._yesterday, 1)
        tracker.send(self._api, traffic.hits(made))
        self._api.call(
            "SegmentEditor.add",
            name="Firefox",
            definition=SEGMENT,
            idSite=self.segmented.id,
            autoArchive=1,
            enabledAllUsers=1,
        )
        return made

    def moments(self, site: Site) -> list[tuple[str, str]]:
        """Period and date of every report of `site` that is looked at."""
        if site == self.segmented:
            return [(it, str(self._yesterday)) for it in ("day", "week", "month")]
        last = FIRST_DAY + timedelta(days=DAYS - 1)
        days = [("day", str(FIRST_DAY)), ("day", str(last)), ("week", str(FIRST_DAY))]
        more = [("month", str(FIRST_DAY)), ("month", str(last)), ("year", str(last))]
        return [*days, *more, ("range", f"{FIRST_DAY},{last}")]

    def expected(self, site: Site, period: str, moment: str, *, firefox: bool = False) -> Figures:
        """Return what must be reported."""
        if period == "range":
            first, last = (date.fromisoformat(it) for it in moment.split(","))
        else:
            first, last = traffic.bounds(period, date.fromisoformat(moment))  # type: ignore[arg-type]
        counted = [it for it in self.visits if not firefox or "Firefox" in it.hits[0].user_agent]
        figures = traffic.expected_between(counted, site, first, last)
        # Unique visitors of years and ranges are not counted by default ([General]).
        unique = {} if period in ("year", "range") else {"unique": figures.unique_visitors}
        return {"visits": figures.visits, "actions": figures.actions, **unique}

    def reported(self, segment: str = "") -> dict[tuple[str, str, str], Figures]:
        """Return what Matomo reports now, of every counted site and moment."""
        sites = [self.segmented] if segment else self.counted
        keys = [(site, period, day) for site in sites for period, day in self.moments(site)]
        calls: list[Parameters] = [
            {
                "method": "VisitsSummary.get",
                "idSite": site.id,
                "period": period,
                "date": day,
                "segment": segment,
            }
            for site, period, day in keys
        ]
        answers = self._api.call_many(calls)
        return {
            (site.timezone, period, day): _figures(period, answer)
            for (site, period, day), answer in zip(keys, answers, strict=True)
        }

    @result_of(Step.COUNTED_VISITS)
    def before(self) -> dict[str, dict[tuple[str, str, str], Figures]]:
        """Reports before anything was archived: of all visits, of the segment, of an open one."""
        return {it: self.reported(it) for it in ("", SEGMENT, OPEN_SEGMENT)}

    @result_of(Step.ARCHIVER_RUN)
    def archived(self) -> int:
        """Exit code of the archiver, run once on all that is asked for: it takes the longest."""
        self._make_a_task_due()
        return self._archive()

    def _make_a_task_due(self) -> None:
        """Have a refused hit be older than Matomo keeps it, and that it be time to look."""
        if not (database := self._target.database):
            return
        database.query(
            "REPLACE INTO {prefix}tracking_failure"
            " (idsite, idfailure, date_first_occurred, request_url)"
            " VALUES (%s, 1, NOW() - INTERVAL 3 DAY, 'idsite=0')",
            OLD_SITE,
        )
        timetable = f'a:1:{{s:{len(DUE)}:"{DUE}";i:1;}}'
        database.query(
            "REPLACE INTO {prefix}option (option_name, option_value, autoload)"
            " VALUES ('TaskScheduler.timetable', %s, 0)",
            timetable,
        )

    @result_of(Step.ARCHIVES)
    def after(self) -> dict[str, dict[tuple[str, str, str], Figures]]:
        """The same reports once the archiver ran."""
        return {it: self.reported(it) for it in ("", SEGMENT)}

    @result_of(Step.SECOND_ARCHIVER_RUN)
    def archived_again(self) -> int:
        """Exit code of a second run."""
        return self._archive()

    @result_of(Step.MAILED_REPORT)
    def mailed(self) -> str:
        """Whom a report of the canaries' site was mailed to, once it was archived."""
        address = f"report-{self._run}@people.example"
        report: Parameters = {
            **{"idSite": self.sites[0], "description": "canaries", "period": "day", "hour": 0},
            **{"reportType": "email", "reportFormat": "html"},
            **{f"reports[{at}]": it for at, it in enumerate(MAILED)},
            **{"parameters[displayFormat]": 1, "parameters[emailMe]": "false"},
            "parameters[additionalEmails][0]": address,
        }
        made = self._api.call("ScheduledReports.addReport", **report)
        which: Parameters = {"idReport": made["value"], "period": "day", "date": "today"}
        self._api.call("ScheduledReports.sendReport", **which, force=1)
        return address

    def _archive(self) -> int:
        if stands := self._target.stands:
            with stands.tasks_started() as tasks:
                code = stands.archive()
            self.archivers.append(tasks)
            return code
        try:
            given(self._target.shell, Capability.CONTAINER).console("core:archive")
        except BrokenPromiseError:
            return 1
        return 0

    def _new_site(self, name: str, zone: str, since: date = FIRST_DAY) -> int:
        return self._api.add_site(name, "https://discovery.example", zone, since=str(since))


def _forwarded_for(canary: Canary) -> dict[str, str]:
    """Headers by which the load balancer says whom it serves."""
    return {
        "X-Forwarded-For": canary.address,
        "X-Forwarded-Proto": "https",
        "User-Agent": traffic.USER_AGENTS[1],
    }


def _kind(canary: Canary) -> dict[str, str]:
    """Parameters that make a hit another than a page view."""
    kinds = {
        "event": {"e_c": "gate", "e_a": "canary"},
        "download": {"download": canary.page},
        "outlink": {"link": canary.page},
    }
    return kinds.get(canary.way, {})


def _read(address: str) -> str:
    """Of the ways to write an IPv6 address, Python's; what is no address is as it is."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def _figures(period: str, answer: Any) -> Figures:
    if isinstance(answer, dict) and answer.get("result") == "error":
        raise ApiError(
            expected="a report",
            seen=str(answer.get("message")),
            next_command="see the message of Matomo",
        )
    seen: Figures = {"visits": 0, "actions": 0} | (
        {} if period in ("year", "range") else {"unique": 0}
    )
    if answer:
        seen = {"visits": answer["nb_visits"], "actions": answer["nb_actions"]}
        if period not in ("year", "range"):
            seen["unique"] = answer["nb_uniq_visitors"]
    return seen
