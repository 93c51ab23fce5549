"""Masking: no more of a visitor's address is stored than the policy allows, however a hit came."""

import itertools
from collections.abc import Callable
from typing import Final

from pydantic import Field

from matomo_harness.gate.core.check import Capability, Finding, Group, Severity, holds, nothing
from matomo_harness.gate.core.promise import ALWAYS, Promise
from matomo_harness.gate.core.target import Http, Services
from matomo_harness.gate.probes import leak_scan
from matomo_harness.gate.probes.leak_scan import StoredTables
from matomo_harness.gate.probes.pages import SuperuserPages
from matomo_harness.gate.probes.queue import Queue
from matomo_harness.gate.probes.reports import Archives, MailedReport
from matomo_harness.gate.probes.tables import visit_tables
from matomo_harness.gate.probes.traffic import (
    Canary,
    RefusedHits,
    SentHits,
    StoredHits,
    TestSite,
    Traffic,
    masked,
)
from matomo_harness.gate.probes.waiting import WaitingHit
from matomo_harness.matomo import versions
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.matomo.database import Database
from matomo_harness.personal_data.pseudonyms import IPV6_BYTES_LEFT
from matomo_harness.policy import Section, promised


class Masking(Section, table="masking"):
    """What is left of a visitor's address."""

    bytes: int | None = Field(
        default=None,
        ge=1,
        le=4,
        description="At least so many bytes of every IPv4 address are zeroed before it is stored"
        " (of an IPv6 address 8, 10, 13, 16).",
    )


PROMISE: Final = Promise(
    "masking", "No more of a visitor's address is stored than the policy allows.", Masking
)

FORGED: Final = (
    *("X-Forwarded-For", "Client-IP", "X-Client-IP", "X-Real-IP", "X-Forwarded", "Forwarded-For"),
    *("X-Cluster-Client-IP", "CF-Connecting-IP", "True-Client-IP", "Fastly-Client-IP"),
)
"""Headers in which proxies name their client; the load balancer sets the first alone."""
MAPPED: Final = "LEFT(HEX(location_ip), 24) = '00000000000000000000FFFF'"
"""SQL condition for an IPv4 address that is written as IPv6 (RFC 4291, 2.5.5.2)."""
PRIVATE: Final = ("10", "127", "172", "192")
"""First bytes of addresses in this machine's own networks; a mask may leave nothing else."""
NOBODY: Final = "0.0.0.0"  # noqa: S104  no address to listen at
"""What is stored of every address where all four bytes are masked: nobody's can be forged then."""
ON_THE_PAGE: Final = (
    "Set the policy's bytes in Administration, Privacy, Anonymize data, and find out what wrote the"
    " options PrivacyManager.ipAnonymizerEnabled and .ipAddressMaskLength."
)
QUEUED: Final = "Set bulk_requests_require_authentication = 0 in [Tracker]."
PROXY: Final = (
    "Name the load balancer's header in proxy_client_headers[] of [General], and keep"
    " proxy_ip_read_last_in_list on."
)


# -- what is stored of a hit ----------------------------------------------------------------------


def _is_masked(masking: Masking, traffic: Traffic, canaries: list[Canary]) -> Finding:
    """Find that what is stored of each address is what the policy leaves of it, or less."""
    zeroed, stored = promised(masking.bytes), traffic.stored
    wrong, seen, expected = [], set(), set()
    for canary in canaries:
        nothing_stored = f"nothing stored {traffic.refused.get(canary, '')}".rstrip()
        address = stored[canary].address if canary in stored else nothing_stored
        seen.add(address)
        wanted = masked(canary.address, zeroed)
        expected.add(wanted)
        if address not in traffic.left_of(canary, zeroed):
            wrong.append(f"{canary.way}, site {canary.site}: {address} for {wanted}")
    if not canaries:
        return holds(False, "hits", "none was sent")
    return holds(not wrong, "; ".join(sorted(expected)), "; ".join(wrong or sorted(seen)))


def _that_came(*words: str) -> Callable[..., Finding]:
    def check(masking: Masking, traffic: Traffic) -> Finding:
        came = [canary for canary in traffic.came(*words) if canary.site == traffic.site.id]
        return _is_masked(masking, traffic, came)

    return check


for _name, _address, *_words in (
    ("ipv4_of_a_new_visitor", "A new visitor's IPv4 address", "form", "IPv4"),
    ("ipv6_of_a_new_visitor", "A new visitor's IPv6 address", "form", "IPv6"),
    ("mapped_ipv4", "An IPv4 address that is written as IPv6", "mapped"),
    ("of_own_networks", "The private address of an institution's own device", "own network"),
    ("ipv4_of_a_returning_visitor", "A returning visitor's IPv4 address", "returning", "IPv4"),
    ("ipv6_of_a_returning_visitor", "A returning visitor's IPv6 address", "returning", "IPv6"),
    ("ipv4_in_bulk", "An IPv4 address in a bulk request", "bulk", "IPv4"),
    ("ipv6_in_bulk", "An IPv6 address in a bulk request", "bulk", "IPv6"),
    ("ipv4_of_the_past", "The IPv4 address of a hit that a server sends later", "past", "IPv4"),
    ("ipv6_of_the_past", "The IPv6 address of a hit that a server sends later", "past", "IPv6"),
):
    PROMISE.check(
        _name,
        sentence=f"{_address} is stored with its last bytes masked.",
        proves="bytes",
        severity=Severity.CRITICAL,
        remedy=ON_THE_PAGE,
        failure_mode="P2" if "ipv6" in _name else "P1",
        needs=[Capability.HITS],
    )(_that_came(*_words))

for _name, _address, _word in (
    ("of_an_image", "An address that a proxy passes on with an image request", "image"),
    ("of_the_old_name", "An address that a proxy passes on to piwik.php", "piwik.php"),
    ("of_a_beacon", "An address that a proxy passes on with a JavaScript beacon", "beacon"),
    ("of_queued_hits", "An address that a proxy passes on with queued hits", "queued"),
):
    PROMISE.check(
        _name,
        sentence=f"{_address} is stored with its last bytes masked.",
        proves="bytes",
        severity=Severity.CRITICAL,
        remedy=f"{ON_THE_PAGE} {QUEUED if _word == 'queued' else PROXY}",
        failure_mode="P1",
        needs=[Capability.CHANGE],
    )(_that_came(_word))


@PROMISE.check(
    "on_every_site",
    proves="bytes",
    severity=Severity.CRITICAL,
    remedy="Remove the site's own privacy settings, or set them to the policy's bytes.",
    failure_mode="P1",
    needs=[Capability.CHANGE],
)
def on_every_site(masking: Masking, traffic: Traffic) -> Finding:
    """Addresses are masked on every site, even one with privacy settings of its own."""
    # On every version of Matomo: see versions.PRIVACY_SETTINGS_OF_A_SITE.
    elsewhere = [canary for canary in traffic.canaries if canary.site != traffic.site.id]
    return _is_masked(masking, traffic, elsewhere)


@PROMISE.check(
    "none_in_the_visitor_id",
    formerly="masking.none_in_the_visitor_s_id",
    proves="bytes",
    severity=Severity.CRITICAL,
    remedy="Remove the plugin or the code that derives visitor ids from addresses.",
    needs=[Capability.HITS],
)
def none_in_the_visitor_id(traffic: Traffic) -> Finding:
    """The visitor id is no hash of the address, from which the address is soon found again."""
    derived = traffic.visitors_made_of(lambda canary: canary.forms_of_address)
    return nothing("visitor id made of the address", derived)


@PROMISE.check(
    "through_the_load_balancer",
    proves="bytes",
    severity=Severity.HIGH,
    remedy=PROXY,
    failure_mode="P6",
    group=Group.TRAFFIC,
)
def through_the_load_balancer(
    masking: Masking,
    http: Http,
    site: TestSite,
    database: Database,
    queue: Queue,
    _services: Services,
) -> Finding:
    """The stored address is the one that the load balancer saw, whatever headers a visitor forges."""
    forged, zeroed = "203.0.113.77", promised(masking.bytes)
    web = http.web
    web.session.headers.update(dict.fromkeys(FORGED, forged))
    web.session.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux) Firefox/101.0"
    web.get({"idsite": site.id, "rec": 1, "new_visit": 1}, "matomo.php")
    queue.run()
    (row,) = database.query(
        "SELECT INET6_NTOA(location_ip) AS address FROM {prefix}log_visit ORDER BY idvisit DESC LIMIT 1"
    )
    seen = str(row["address"])
    is_own = seen.split(".")[0] in PRIVATE or seen == NOBODY
    is_client = seen == masked(seen, zeroed) and is_own
    return holds(is_client, "the client of the load balancer, masked", seen)


@PROMISE.check(
    "no_address_without_a_token",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Set tracking_requests_require_authentication = 1 in [Tracker].",
    failure_mode="P6",
    needs=[Capability.CHANGE],
)
def no_address_without_a_token(refused: RefusedHits, queue: Queue, stored: StoredHits) -> Finding:
    """A hit that claims another visitor's address is refused without a token."""
    answer = refused.answers[refused.without_a_token]
    seen = f"HTTP {answer.status_code}: {answer.text[:100]}"
    is_refused = answer.status_code in (400, 401, 403)
    if not is_refused and queue.command:  # which takes every hit, and refuses when it runs
        is_refused = not stored.of([refused.without_a_token])
        seen += "; not stored" if is_refused else "; stored"
    return holds(is_refused, "a refusal", seen)


# -- what people are shown ------------------------------------------------------------------------


@PROMISE.check(
    "page_shows_the_mask",
    formerly="masking.page_shows_it",
    proves="bytes",
    severity=Severity.HIGH,
    remedy=ON_THE_PAGE,
    failure_mode="P1",
)
def page_shows_the_mask(masking: Masking, pages: SuperuserPages) -> Finding:
    """Administration, Privacy, Anonymize data says that masking is on, with the policy's bytes or more."""
    shown = pages.anonymize_data.document.select_one('[vue-entry="PrivacyManager.PrivacySettings"]')
    attributes = shown.attrs if shown else {}
    enabled = str(versions.by_any_name(attributes, versions.MASK_ENABLED_ATTRIBUTES)).strip('"')
    length = str(versions.by_any_name(attributes, versions.MASK_LENGTH_ATTRIBUTES)).strip('"')
    least = promised(masking.bytes)
    is_shown = enabled in ("true", "1") and length.isdigit() and int(length) >= least
    seen = f"{'on' if enabled in ('true', '1') else 'off'}, {length} bytes"
    return holds(is_shown, f"on, {least} bytes", seen)


@PROMISE.check(
    "browser_shows_the_mask",
    formerly="gui.anonymize_data_shows_the_mask",
    proves="bytes",
    severity=Severity.HIGH,
    remedy=ON_THE_PAGE,
    failure_mode="P1",
    costly=True,
)
def browser_shows_the_mask(masking: Masking, pages: SuperuserPages) -> Finding:
    """In a browser, Anonymize data shows that masking is on, with the policy's bytes or more."""
    seen, least = pages.in_a_browser, promised(masking.bytes)
    return Finding(
        seen.masked_bytes >= least,
        f"{least} bytes or more",
        f"{seen.masked_bytes} bytes",
        seen.pictures,
    )


@PROMISE.check(
    "visits_log_shows_no_more",
    proves="bytes",
    severity=Severity.CRITICAL,
    remedy=ON_THE_PAGE,
    failure_mode="P1",
    needs=[Capability.HITS],
)
def visits_log_shows_no_more(traffic: Traffic) -> Finding:
    """The visits log and its API show no whole address."""
    text = str(traffic.visits_log)
    whole = [canary.address for canary in traffic.canaries if canary.address in text]
    return nothing("whole address", whole)


# -- what is stored anywhere ----------------------------------------------------------------------


@PROMISE.check(
    "no_visit_keeps_more",
    proves="bytes",
    severity=Severity.CRITICAL,
    remedy="Have Matomo anonymize earlier visits (console privacymanager:anonymize-some-raw-data), and"
    " drop copies of their table.",
    failure_mode="P12",
)
def no_visit_keeps_more(
    masking: Masking, database: Database, container: MatomoContainer | None
) -> Finding:
    """No stored visit, of any day, site or table, has more of its address than the policy allows."""
    masked_bytes = promised(masking.bytes)
    families = (
        ("LENGTH(location_ip) = 4", masked_bytes),
        (f"LENGTH(location_ip) = 16 AND {MAPPED}", masked_bytes),
        (f"LENGTH(location_ip) = 16 AND NOT {MAPPED}", 16 - IPV6_BYTES_LEFT[masked_bytes]),
    )
    more = []
    for table, (family, zeroed) in itertools.product(visit_tables(database, container), families):
        rows = database.query(
            f"SELECT COUNT(*) AS visits FROM `{table}` WHERE {family}"  # noqa: S608
            " AND RIGHT(HEX(location_ip), %s) <> REPEAT('0', %s)",
            *(2 * zeroed, 2 * zeroed),
        )
        more += [f"{row['visits']} in {table}" for row in rows if row["visits"]]
    return nothing("visit", more)


@PROMISE.check(
    "nowhere_in_the_database",
    proves="bytes",
    severity=Severity.CRITICAL,
    remedy="See which table has the address, and find the plugin that writes it there.",
    failure_mode="P1",
    needs=[Capability.CHANGE],
)
def nowhere_in_the_database(tables: StoredTables, sent: SentHits) -> Finding:
    """After hits and archiving, no table has a whole address in any form."""
    return nothing("whole address", tables.with_any(leak_scan.addresses(sent.canaries)))


@PROMISE.check(
    "queue_keeps_no_whole_address",
    proves="bytes",
    severity=Severity.HIGH,
    remedy="Have the plugin mask addresses before it puts hits into its queue, or keep the queue out of"
    " the database and run it every minute; whoever accepts that they wait whole says so in a waiver.",
    failure_mode="P1",
    needs=[Capability.CHANGE],
)
def queue_keeps_no_whole_address(hit: WaitingHit, _database: Database) -> Finding:
    """While a hit waits in a queue to be stored, no table has its whole address."""
    if hit.is_stored_at_once:
        return holds(True, "no whole address in a table", "hits are stored at once")
    return nothing("whole address in a table", hit.whole_addresses)


@PROMISE.check(
    "nowhere_in_a_file",
    proves="bytes",
    severity=Severity.CRITICAL,
    remedy="Turn off the tracker's debug output and log files that record requests.",
    failure_mode="O6",
    needs=[Capability.CHANGE],
)
def nowhere_in_a_file(container: MatomoContainer, sent: SentHits, _archives: Archives) -> Finding:
    """After hits and archiving, no file has a whole address in it."""
    addresses = leak_scan.addresses(sent.canaries)
    found = leak_scan.in_files(container, addresses, since=sent.since)
    return nothing("whole address", found)


@PROMISE.check(
    "nowhere_in_a_log",
    proves="bytes",
    severity=Severity.CRITICAL,
    remedy="Give the web server's log a format without addresses and queries.",
    failure_mode="O6",
    needs=[Capability.CHANGE],
)
def nowhere_in_a_log(services: Services, sent: SentHits, _archives: Archives) -> Finding:
    """After hits and archiving, no container's log has a whole address in it."""
    found = leak_scan.in_logs(services, leak_scan.addresses(sent.canaries))
    return nothing("whole address", found)


@PROMISE.check(
    "nowhere_in_a_mail",
    proves="bytes",
    severity=Severity.CRITICAL,
    remedy="See which report has the address, and find the plugin that makes the report.",
    failure_mode="E1",
    needs=[Capability.CHANGE],
)
def nowhere_in_a_mail(services: Services, sent: SentHits, report: MailedReport) -> Finding:
    """No mailed report and no other mail has a whole address in it."""
    services.mail.wait_for(report.address, "", seconds=15)
    found = leak_scan.in_mails(services, leak_scan.addresses(sent.canaries))
    return nothing("whole address", found)
