"""Test traffic: hits that are sent in many ways, and what Matomo stores of them."""

import base64
import dataclasses
import hashlib
import ipaddress
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import requests

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.gate.core.check import CannotTellError, Capability, Group
from matomo_harness.gate.core.context import Step
from matomo_harness.gate.core.once import once
from matomo_harness.gate.core.target import Http, Permissions, Services
from matomo_harness.gate.probes.queue import Queue
from matomo_harness.matomo import tracker, traffic
from matomo_harness.matomo.api import Api, ApiError, all_rows
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.web import Web
from matomo_harness.personal_data.pseudonyms import IPV6_BYTES_LEFT

TEST_SITE: Final = "matomo-harness gate"
SINCE: Final = "2025-12-31"
"""The first day of the test sites' reports."""
OTHER_KINDS: Final = ("event", "download", "outlink")
"""Kinds of hits that are not page views."""
TITLE: Final = f"Ἰλιάς 日本 𠮷 📚{' and so on' * 50}"
"""A page title with letters of two, three and four bytes (UTF-8), as long as a catalogue's."""
OWN_NETWORKS: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8")
"""The networks of an institution's own devices (RFC 1918, RFC 4193)."""
ROBOT: Final = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
OPTED_OUT: Final = {"matomo_ignore": "ignore=" + base64.b64encode(b"*").decode()}
"""Matomo's own opt-out cookie (core/Tracker/IgnoreCookie.php, core/Cookie.php)."""
NOT_IN_BULK: Final = (
    "Matomo refuses the token in bulk requests, and takes it elsewhere: it is secure only, which"
    " Matomo 5.3 takes in none. Next: give a token that is not"
)
OWN_NETWORKS_EXCLUDED: Final = (
    "Matomo counts no device of an own network: all of them are among its excluded IPs"
)
VISITS_LOG_OFF: Final = re.compile(r"(?i)deactivated|not activated")
"""Part of the refusal where the visits log, or the plugin Live, is switched off for privacy."""
NONE_STORED: Final = "none is stored"
"""What is seen where no hit arrives, and Matomo has refused none."""


def masked(address: str, zeroed: int) -> str:
    """Return `address` as Matomo stores it when `zeroed` bytes of an IPv4 address are masked."""
    parsed = ipaddress.ip_address(address)
    packed = parsed.packed
    is_ipv6 = parsed.version == 6 and parsed.ipv4_mapped is None
    unmasked = IPV6_BYTES_LEFT[zeroed] if is_ipv6 else len(packed) - zeroed
    return str(ipaddress.ip_address(packed[:unmasked] + bytes(len(packed) - unmasked)))


def is_excluded(address: str, excluded: str) -> bool:
    """Return whether Matomo is told not to count an address.

    Args:
        address: a visitor's.
        excluded: addresses and ranges with commas between them, as people enter them under
            Administration, Websites, Settings: 10.1.2.3, 10.1.*.*, 10.1.0.0/16.
    """
    for text in filter(None, (part.strip() for part in excluded.split(","))):
        wild = text.count("*")
        network = f"{text.replace('*', '0')}/{32 - 8 * wild}" if wild else text
        with suppress(ValueError):
            if ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False):
                return True
    return False


def first_site(api: Api) -> int:
    """Return the first site that there is; the one of the installation may be gone.

    Raises:
        CannotTellError: there is none.
    """
    numbers = all_rows(api, "SitesManager.getAllSitesId")
    if not numbers:
        raise CannotTellError("there is no site")
    return min(map(int, numbers))


@dataclass(frozen=True)
class Canary:
    """A hit that can be found again, whose whole address and user id must not be.

    Args:
        way: how it is sent.
        site: idsite.
        address: the visitor's whole address.
        user_id: sent as `uid`.
        page: the hit's page; no other hit has it.
    """

    way: str
    site: int
    address: str
    user_id: str
    page: str

    @property
    def forms_of_address(self) -> Iterator[bytes]:
        """Every form in which the whole address could be stored."""
        parsed = ipaddress.ip_address(self.address)
        packed = parsed.packed
        yield from (self.address.encode(), packed)
        if parsed.version == 6 and parsed.ipv4_mapped:
            yield str(parsed.ipv4_mapped).encode()
        yield from (packed.hex().encode(), packed.hex().upper().encode())

    @property
    def forms_of_user_id(self) -> Iterator[bytes]:
        """Every form in which the user id could be stored."""
        yield self.user_id.encode()
        for derived in visitor_ids_made_of(self.user_id.encode()):
            yield from (derived.encode(), derived.upper().encode(), bytes.fromhex(derived))


def new_canary(run: str, way: str, site: int, family: str) -> Canary:
    """Return a canary with an address, a user id and a page that no other has.

    No text (UTF-8) has a byte of 248 or more, so no file has the four packed bytes of an IPv4
    address by chance: four letters were once found in Matomo's own JavaScript.

    Args:
        run: part of the page's path.
        way: how it will be sent.
        site: idsite.
        family: "IPv4", "IPv6", "mapped IPv4" (an IPv4 address written as IPv6) or one of
            OWN_NETWORKS.
    """
    token = secrets.token_hex(3)
    first, second, third = bytes.fromhex(token)
    v4 = f"{67 + first % 50}.{248 + second % 8}.{11 + third % 240}.{13 + first % 200}"
    v6 = f"2001:db8:{token[:4]}:{token[2:]}:9abc:{token[:4]}:1111:{token[2:]}"
    texts = {"IPv4": v4, "IPv6": v6, "mapped IPv4": f"::ffff:{v4}"}
    own = (
        f"10.{248 + second % 8}.{11 + third % 240}.{13 + first % 200}",
        f"172.{16 + first % 16}.{248 + second % 8}.{13 + third % 200}",
        f"192.168.{248 + second % 8}.{13 + third % 200}",
        v6.replace("2001:db8", "fd12:3456"),
    )
    texts |= zip(OWN_NETWORKS, own, strict=True)
    address = str(ipaddress.ip_address(texts[family]))
    page = f"https://canary.example/{run}/{token}{secrets.token_hex(4)}"
    return Canary(way, site, address, f"canary{secrets.token_hex(8)}", page)


def visitor_ids_made_of(name: bytes) -> set[str]:
    """Return the visitor ids (16 hex digits) that the usual hashes derive from `name`."""
    return {make(name).hexdigest()[:16] for make in (hashlib.md5, hashlib.sha1, hashlib.sha256)}


@dataclass(frozen=True)
class StoredHit:
    """What Matomo stores of a canary.

    Args:
        address: location_ip, as text.
        user_id: None where none is stored.
        visitor: idvisitor, 16 hex digits.
    """

    address: str
    user_id: str | None
    visitor: str


# -- where hits are sent --------------------------------------------------------------------------


class TestSite(Step, needs={Capability.HITS}):
    """A test site is made.

    Args:
        api: of a superuser.
        permissions: where the instance may be changed, traffic is sent to every site.
    """

    __test__ = False  # to pytest it looks like a test

    def __init__(self, api: Api, permissions: Permissions) -> None:
        sites = all_rows(api, "SitesManager.getSitesWithAtLeastViewAccess")
        named = [int(site["idsite"]) for site in sites if site["name"] == TEST_SITE]
        self.id = named[0] if named else new_site(api, TEST_SITE, "UTC")
        others = [int(site["idsite"]) for site in sites if int(site["idsite"]) != self.id]
        self.all_ids = [self.id, *(others if permissions.may_change else [])]


def new_site(api: Api, name: str, zone: str, since: str = SINCE) -> int:
    """Make a site whose reports begin on the day `since`, YYYY-MM-DD; return its id."""
    return api.add_site(name, "https://discovery.example", zone, since=since)


class Sender:
    """Sends canaries as browsers, servers and proxies do, and notes which are refused.

    Args:
        http: where they are sent.
        api: of a superuser.
        container: where there is one, its clock says when the first was sent.
    """

    def __init__(self, http: Http, api: Api, container: MatomoContainer | None) -> None:
        self.since = int(container.run("date", "+%s")) if container else None
        self.run = secrets.token_hex(4)
        self.refused: dict[Canary, str] = {}
        self.is_bulk_refused = False
        self._http = http
        self._token = api.token

    def new(self, way: str, site: int, family: str = "IPv4") -> Canary:
        """Return a canary that will be sent by `way`; see `new_canary`."""
        return new_canary(self.run, way, site, family)

    def send(
        self, canary: Canary, *, by_token: bool = True, **more: dict[str, str]
    ) -> requests.Response:
        """Send a hit that names its visitor's address, for which Matomo requires a token.

        Args:
            canary: the hit.
            by_token: send it with a superuser's token.
            more: `cookies`.
        """
        form = {
            **with_address(self.run, canary),
            **({"token_auth": self._token} if by_token else {}),
        }
        return self._http.web.post_form("matomo.php", form, **more)

    def send_in_bulk(self, canaries: list[Canary]) -> list[Canary]:
        """Send `canaries` in bulk requests, as servers do; return those that were sent.

        The first goes alone. Where the token is not taken with it, Matomo has noted a failed login
        of this address: the rest is not sent.
        """
        sent: list[Canary] = []
        for part in (canaries[:1], canaries[1:]):
            queries = ["?" + urlencode(with_address(self.run, canary)) for canary in part]
            document = {"requests": queries, "token_auth": self._token}
            answer = self._http.web.post_json("matomo.php", document)
            self.note(answer, *part)
            if not sent and tracker.is_token_refused_in_bulk(answer):
                self.is_bulk_refused = True
                return []
            sent += part
        return sent

    def note(self, answer: requests.Response, *canaries: Canary) -> None:
        """Note that `canaries` are refused, where `answer` is an error."""
        if not answer.ok:
            said = " ".join(answer.text[:200].split())
            self.refused |= dict.fromkeys(canaries, f"HTTP {answer.status_code}: {said}")


class StoredHits:
    """What is stored of canaries now, from the database if it can be read, or the visits log."""

    def __init__(self, sender: Sender, site: TestSite, api: Api, database: Database | None) -> None:
        self._sender = sender
        self._site = site
        self._api = api
        self._database = database

    def of(self, canaries: Iterable[Canary]) -> dict[Canary, StoredHit]:
        """Return what is stored of those `canaries` of which anything is.

        Raises:
            CannotTellError: only the visits log could tell, and it is switched off.
        """
        try:
            found = self._in_database(self._database) if self._database else self._in_visits_log()
        except ApiError as error:
            if VISITS_LOG_OFF.search(error.seen):
                raise CannotTellError(
                    "the visits log is switched off, and no database is given"
                ) from error
            raise
        pages = {page.split("://")[-1]: stored for page, stored in found.items()}
        return {
            canary: pages[key]
            for canary in canaries
            if (key := canary.page.split("://")[-1]) in pages
        }

    def _in_database(self, database: Database) -> dict[str, StoredHit]:
        rows = database.query(
            "SELECT a.name, INET6_NTOA(v.location_ip) AS address, v.user_id,"
            " LOWER(HEX(v.idvisitor)) AS visitor FROM {prefix}log_link_visit_action l"
            " JOIN {prefix}log_action a ON a.idaction = l.idaction_url"
            # By site first, for which there are indexes: years of other sites' hits stay unread.
            " JOIN {prefix}log_visit v ON v.idvisit = l.idvisit"
            " WHERE v.idsite IN %s AND a.name LIKE %s",
            tuple(self._site.all_ids),
            f"%canary.example/{self._sender.run}/%",
        )
        return {
            str(row["name"]): StoredHit(
                _read(str(row["address"])), row["user_id"] or None, row["visitor"]
            )
            for row in rows
        }

    def _in_visits_log(self) -> dict[str, StoredHit]:
        found: dict[str, StoredHit] = {}
        for site in self._site.all_ids:
            for day in ("today", "yesterday", "lastWeek"):
                visits = self._api.call(
                    "Live.getLastVisitsDetails",
                    idSite=site,
                    period="week" if day == "lastWeek" else "day",
                    date=day,
                    filter_limit=200,
                    doNotFetchActions=0,
                )
                for visit in visits:
                    address, user_id = _read(str(visit["visitIp"])), visit.get("userId") or None
                    stored = StoredHit(address, user_id, visit["visitorId"])
                    found |= {str(action.get("url")): stored for action in visit["actionDetails"]}
        return found


class Traffic(Step, needs={Capability.HITS}, group=Group.TRAFFIC):
    """Test traffic is sent and stored.

    Where hits wait in a queue, that has run.

    Raises:
        BrokenPromiseError: no hit is stored.
    """

    def __init__(
        self,
        sender: Sender,
        site: TestSite,
        http: Http,
        api: Api,
        permissions: Permissions,
        services: Services | None,
        queue: Queue,
        stored: StoredHits,
    ) -> None:
        self._sender = sender
        self._http = http
        self._api = api
        self._stored = stored
        self._past_the_load_balancer = services.past_the_load_balancer if services else None
        self.site = site
        self._names_clients = permissions.names_clients
        self.day = datetime.now(UTC).date()
        """The day of the test site on which the hits come; it may be over when one looks."""
        self.canaries = self._sent()
        self._by_proxy = self._forwarded() if permissions.may_change else []
        self.canaries += self._by_proxy
        self.robot = sender.new("of a robot", site.id)
        parameters = {**with_address(sender.run, self.robot), "ua": ROBOT, "token_auth": api.token}
        http.web.post_form("matomo.php", parameters)
        self.opted_out = sender.new("opted out", site.id)
        sender.send(self.opted_out, cookies=OPTED_OUT)
        queue.run()
        if not self.stored.keys() & set(self.canaries):
            raise BrokenPromiseError(
                expected="hits that are sent to be stored",
                seen="; ".join(sorted(set(sender.refused.values())))[:200] or NONE_STORED,
                next_command="send one by hand: curl 'https://…/matomo.php?idsite=1&rec=1'",
            )

    def _sent(self) -> list[Canary]:
        new, site = self._sender.new, self.site.id
        made = [
            new(f"{way}, {family}", site_id, family)
            for site_id in self.site.all_ids
            for way in ("form", "bulk", "past", "returning")
            for family in ("IPv4", "IPv6")
        ]
        made.append(new("form, mapped", site, "mapped IPv4"))
        made += [new(way, site) for way in OTHER_KINDS]
        excluded = str(self._api.call("SitesManager.getExcludedIpsGlobal")["value"] or "")
        of_own = [new(f"own network, {network}", site, network) for network in OWN_NETWORKS]
        # An institution often counts none of its own devices: nothing of them is stored then.
        made += [canary for canary in of_own if not is_excluded(canary.address, excluded)]
        made[1] = dataclasses.replace(made[1], user_id=made[0].user_id)
        for canary in made:
            if "bulk" not in canary.way:
                self._sender.note(self._sender.send(canary), canary)
        in_bulk = [canary for canary in made if "bulk" in canary.way]
        sent = self._sender.send_in_bulk(in_bulk)
        return [canary for canary in made if canary not in in_bulk or canary in sent]

    def _forwarded(self) -> list[Canary]:
        """Send hits without a token, as JavaScript and images do: the proxy names the address."""
        ways: dict[str, Callable[[Canary], None]] = {
            "image": lambda canary: self._forward(canary, "GET", "matomo.php"),
            "piwik.php": lambda canary: self._forward(canary, "GET", "piwik.php"),
            "beacon": lambda canary: self._forward(canary, "POST", "matomo.php"),
            "queued": self._forward_in_bulk,
        }
        made = []
        for way, send in ways.items():
            for family in ("IPv4", "IPv6"):
                canary = self._sender.new(f"{way}, {family}", self.site.id, family)
                send(canary)
                made.append(canary)
        return made

    def _proxy(self, canary: Canary) -> Web:
        past = self._past_the_load_balancer
        web = past() if past else self._http.web
        web.session.headers.update(_forwarded_for(canary))
        return web

    def _forward(self, canary: Canary, method: str, path: str) -> None:
        web, parameters = self._proxy(canary), _parameters(canary)
        answer = web.get(parameters, path) if method == "GET" else web.post_form(path, parameters)
        self._sender.note(answer, canary)

    def _forward_in_bulk(self, canary: Canary) -> None:
        """Send a hit in bulk and without a token, as JavaScript sends its queue."""
        document = {"requests": ["?" + urlencode(_parameters(canary))]}
        self._sender.note(self._proxy(canary).post_json("matomo.php", document), canary)

    def left_of(self, canary: Canary, zeroed: int) -> set[str]:
        """Return what may be stored of its address where so many bytes, or more, are zeroed."""
        addresses = {canary.address}
        if not self._names_clients and canary in self._by_proxy and canary in self.stored:
            # Whose it is, the project's own proxy says; its end is zeroed all the same.
            addresses.add(self.stored[canary].address)
        return {masked(address, more) for address in addresses for more in range(zeroed, 5)}

    @property
    def refused(self) -> dict[Canary, str]:
        """The canaries that were refused, each with the answer."""
        return self._sender.refused

    @property
    def of_one_user(self) -> list[Canary]:
        """Two visitors, one by IPv4 and one by IPv6, who share one user id."""
        return self.canaries[:2]

    def came(self, *words: str) -> list[Canary]:
        """Return the canaries whose way contains all of `words`.

        Raises:
            CannotTellError: they were to come in bulk, and Matomo takes the token so in none; or
                from own networks, and Matomo is told to count none of these.
        """
        if "bulk" in words and self._sender.is_bulk_refused:
            raise CannotTellError(NOT_IN_BULK)
        came = [canary for canary in self.canaries if all(word in canary.way for word in words)]
        if "own network" in words and not came:
            raise CannotTellError(OWN_NETWORKS_EXCLUDED)
        return came

    # -- what is stored ----------------------------------------------------------------------------

    @once
    def stored(self) -> dict[Canary, StoredHit]:
        """What is stored of each canary."""
        return self._stored.of([*self.canaries, self.robot, self.opted_out])

    def visitors_made_of(self, forms: Callable[[Canary], Iterable[bytes]]) -> list[str]:
        """Return the ways of the canaries whose visitor id is a usual hash of one of its forms."""
        return [
            canary.way
            for canary in self.canaries
            if canary in self.stored
            and any(
                self.stored[canary].visitor in visitor_ids_made_of(form) for form in forms(canary)
            )
        ]

    @once
    def visits_log(self) -> list[dict[str, Any]]:
        """Visits of the test site on the day of the hits, as the visits log shows them.

        Raises:
            CannotTellError: it is switched off.
        """
        try:
            found: list[dict[str, Any]] = self._api.call(
                "Live.getLastVisitsDetails",
                idSite=self.site.id,
                period="day",
                date=str(self.day),
                filter_limit=100,
            )
        except ApiError as error:
            if VISITS_LOG_OFF.search(error.seen):
                raise CannotTellError("the visits log is switched off") from error
            raise
        return found


class RefusedHits(Step, needs={Capability.CHANGE}, group=Group.TRAFFIC):
    """Hits that must be refused are sent.

    Matomo lists them (core/Tracker/Failures.php), one for each kind and site.

    Args:
        sender: the one of all traffic.
        site: where the hit without a token would be stored.
        queue: a queue takes any hit, and refuses it when it runs.
    """

    def __init__(self, sender: Sender, site: TestSite, queue: Queue) -> None:
        nowhere = 9_000_000 + secrets.randbelow(900_000)
        of_no_site = sender.new("of no site", nowhere)
        self.without_a_token = sender.new("without a token", site.id)
        self.answers = {
            of_no_site: sender.send(of_no_site),
            self.without_a_token: sender.send(self.without_a_token, by_token=False),
        }
        queue.run()


class SentHits:
    """Every canary, also the refused: their addresses and user ids must be found nowhere."""

    def __init__(self, sender: Sender, traffic: Traffic, refused: RefusedHits) -> None:
        self.since = sender.since
        self.canaries = [*traffic.canaries, *refused.answers, traffic.robot, traffic.opted_out]


# -- parameters of a hit --------------------------------------------------------------------------


def _parameters(canary: Canary) -> dict[str, str | int]:
    return {
        "idsite": canary.site,
        "rec": 1,
        "url": canary.page,
        "uid": canary.user_id,
        "new_visit": 1,
        "ua": traffic.USER_AGENTS[0],
        "action_name": TITLE,
    }


def with_address(run: str, canary: Canary) -> dict[str, str | int]:
    """Return the parameters of a hit that names its visitor's address.

    Args:
        run: all canaries of this run that return are one visitor.
        canary: the hit.
    """
    extra: dict[str, str | int] = {"cip": canary.address}
    if "past" in canary.way:
        moment = datetime.now(UTC) - timedelta(hours=2)
        extra["cdt"] = moment.strftime("%Y-%m-%d %H:%M:%S")
    if "returning" in canary.way:
        extra |= {"_id": hashlib.sha1(run.encode()).hexdigest()[:16]}  # noqa: S324
    return {**_parameters(canary), **extra, **_kind(canary)}


def _forwarded_for(canary: Canary) -> dict[str, str]:
    """Return the headers by which the load balancer names the client that it serves."""
    return {
        "X-Forwarded-For": canary.address,
        "X-Forwarded-Proto": "https",
        "User-Agent": traffic.USER_AGENTS[1],
    }


def _kind(canary: Canary) -> dict[str, str]:
    """Return the parameters that make a hit something other than a page view."""
    kinds = {
        "event": {"e_c": "gate", "e_a": "canary"},
        "download": {"download": canary.page},
        "outlink": {"link": canary.page},
    }
    return kinds.get(canary.way, {})


def _read(address: str) -> str:
    """Return an address as Python writes it; what is not an address is returned unchanged."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address
