"""Masking: of every visitor's address only what the policy leaves is kept, however a hit came."""

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
from matomo_harness.gate.probes.reports import Archives, MailedReport
from matomo_harness.gate.probes.tables import visit_tables
from matomo_harness.gate.probes.traffic import (
    IPV6_KEPT,
    Canary,
    RefusedHits,
    SentHits,
    TestSite,
    Traffic,
    masked,
)
from matomo_harness.matomo import versions
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.matomo.database import Database
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
    "masking", "Of every visitor's address only what the policy leaves is kept.", Masking
)

FORGED: Final = (
    *("X-Forwarded-For", "Client-IP", "X-Client-IP", "X-Real-IP", "X-Forwarded", "Forwarded-For"),
    *("X-Cluster-Client-IP", "CF-Connecting-IP", "True-Client-IP", "Fastly-Client-IP"),
)
"""Headers by which proxies name whom they serve; the load balancer sees to the first alone."""
MAPPED: Final = "LEFT(HEX(location_ip), 24) = '00000000000000000000FFFF'"
"""Of an IPv4 address that is written as IPv6 (RFC 4291, 2.5.5.2), in SQL."""
PRIVATE: Final = ("10", "127", "172", "192")
"""First bytes of the addresses of this machine's own networks, which is all that a mask may leave."""
ON_THE_PAGE: Final = (
    "Set Administration, Privacy, Anonymize data to the policy's bytes, and see what wrote the"
    " options PrivacyManager.ipAnonymizerEnabled and .ipAddressMaskLength."
)
QUEUED: Final = "Set bulk_requests_require_authentication = 0 in [Tracker]."
PROXY: Final = (
    "Name the load balancer's header in proxy_client_headers[] of [General], and keep"
    " proxy_ip_read_last_in_list on."
)


# -- what is stored of a hit ----------------------------------------------------------------------


def _is_masked(masking: Masking, traffic: Traffic, canaries: list[Canary]) -> Finding:
    """Compare what is stored of each with what the policy leaves of it, or less."""
    zeroed, stored = promised(masking.bytes), traffic.stored
    wrong, seen, expected = [], set(), set()
    for canary in canaries:
        nothing_stored = f"nothing stored {traffic.refused.get(canary, '')}".rstrip()
        address = stored[canary].address if canary in stored else nothing_stored
        seen.add(address)
        wanted = masked(canary.address, zeroed)
        expected.add(wanted)
        if address not in {masked(canary.address, more) for more in range(zeroed, 5)}:
            wrong.append(f"{canary.way}, site {canary.site}: {address} for {wanted}")
    if not canaries:
        return holds(False, "hits", "none was sent")
    return holds(not wrong, "; ".join(sorted(expected)), "; ".join(wrong or sorted(seen)))


def _that_came(*words: str) -> Callable[..., Finding]:
    def check(masking: Masking, traffic: Traffic) -> Finding:
        came = [canary for canary in traffic.came(*words) if canary.site == traffic.site.id]
        return _is_masked(masking, traffic, came)

    return check


for _name, _whose, *_words in (
    ("ipv4_of_a_new_visitor", "An IPv4 address of a new visitor", "form", "IPv4"),
    ("ipv6_of_a_new_visitor", "An IPv6 address of a new visitor", "form", "IPv6"),
    ("mapped_ipv4", "An IPv4 address that is written as IPv6", "mapped"),
    ("of_own_networks", "An address of a private network, as own devices have,", "own network"),
    ("ipv4_of_a_returning_visitor", "An IPv4 address of a known visitor", "returning", "IPv4"),
    ("ipv6_of_a_returning_visitor", "An IPv6 address of a known visitor", "returning", "IPv6"),
    ("ipv4_in_bulk", "An IPv4 address in a bulk request", "bulk", "IPv4"),
    ("ipv6_in_bulk", "An IPv6 address in a bulk request", "bulk", "IPv6"),
    ("ipv4_of_the_past", "An IPv4 address of a hit that a server sends later", "past", "IPv4"),
    ("ipv6_of_the_past", "An IPv6 address of a hit that a server sends later", "past", "IPv6"),
):
    PROMISE.check(
        _name,
        sentence=f"{_whose} is stored without its last bytes.",
        proves="bytes",
        severity=Severity.CRITICAL,
        remedy=ON_THE_PAGE,
        failure_mode="P2" if "ipv6" in _name else "P1",
        needs=[Capability.HITS],
    )(_that_came(*_words))

for _name, _whose, _word in (
    ("of_an_image", "An address that a proxy passes on with an image request", "image"),
    ("of_the_old_name", "An address that comes by piwik.php", "piwik.php"),
    ("of_a_beacon", "An address that a proxy passes on with JavaScript's beacon", "beacon"),
    ("of_queued_hits", "An address that a proxy passes on with queued hits", "queued"),
):
    PROMISE.check(
        _name,
        sentence=f"{_whose} is stored without its last bytes.",
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
    remedy="Take the site's own privacy settings away, or set them to the policy's bytes.",
    failure_mode="P1",
    needs=[Capability.CHANGE],
)
def on_every_site(masking: Masking, traffic: Traffic) -> Finding:
    """No site is excepted: each may have settings of its own."""
    # Of every version: see versions.PRIVACY_SETTINGS_OF_A_SITE.
    elsewhere = [canary for canary in traffic.canaries if canary.site != traffic.site.id]
    return _is_masked(masking, traffic, elsewhere)


@PROMISE.check(
    "none_in_the_visitor_id",
    formerly="masking.none_in_the_visitor_s_id",
    proves="bytes",
    severity=Severity.CRITICAL,
    remedy="Remove the plugin or the code that makes visitor ids of addresses.",
    needs=[Capability.HITS],
)
def none_in_the_visitor_id(traffic: Traffic) -> Finding:
    """The visitor's id is not made of the address: it is none of its hashes, which are soon undone."""
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
    masking: Masking, http: Http, site: TestSite, database: Database, _services: Services
) -> Finding:
    """No header that a visitor can forge is believed: what is stored is whom the load balancer saw."""
    forged, zeroed = "203.0.113.77", promised(masking.bytes)
    web = http.web
    web.session.headers.update(dict.fromkeys(FORGED, forged))
    web.session.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux) Firefox/101.0"
    web.get({"idsite": site.id, "rec": 1, "new_visit": 1}, "matomo.php")
    (row,) = database.query(
        "SELECT INET6_NTOA(location_ip) AS address FROM {prefix}log_visit ORDER BY idvisit DESC LIMIT 1"
    )
    seen = str(row["address"])
    kept = seen == masked(seen, zeroed) and seen.split(".")[0] in PRIVATE
    return holds(kept, "the client of the load balancer, masked", seen)


@PROMISE.check(
    "no_address_without_a_token",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Set tracking_requests_require_authentication = 1 in [Tracker].",
    failure_mode="P6",
    needs=[Capability.CHANGE],
)
def no_address_without_a_token(refused: RefusedHits) -> Finding:
    """Nobody can give himself another's address: a hit that names one is refused without a token."""
    answer = refused.answers[refused.without_a_token]
    seen = f"HTTP {answer.status_code}: {answer.text[:100]}"
    return holds(answer.status_code in (400, 401, 403), "a refusal", seen)


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
    """Administration, Privacy, Anonymize data shows the masking on, with the policy's bytes."""
    shown = pages.anonymize_data.document.select_one('[vue-entry="PrivacyManager.PrivacySettings"]')
    told = shown.attrs if shown else {}
    enabled = str(versions.by_any_name(told, versions.MASK_ENABLED_ATTRIBUTES)).strip('"')
    length = str(versions.by_any_name(told, versions.MASK_LENGTH_ATTRIBUTES)).strip('"')
    least = promised(masking.bytes)
    kept = enabled in ("true", "1") and length.isdigit() and int(length) >= least
    seen = f"{'on' if enabled in ('true', '1') else 'off'}, {length} bytes"
    return holds(kept, f"on, {least} bytes", seen)


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
    """A person who opens Administration, Privacy, Anonymize data sees masking on, with the policy's bytes."""
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
    """The visits log and its API show no address whole."""
    text = str(traffic.visits_log)
    whole = [canary.address for canary in traffic.canaries if canary.address in text]
    return nothing("whole address", whole)


# -- what is kept anywhere ------------------------------------------------------------------------


@PROMISE.check(
    "no_visit_keeps_more",
    proves="bytes",
    severity=Severity.CRITICAL,
    remedy="Have Matomo anonymize the visits of before: console privacymanager:anonymize-some-raw-data;"
    " drop copies of their table.",
    failure_mode="P12",
)
def no_visit_keeps_more(
    masking: Masking, database: Database, container: MatomoContainer | None
) -> Finding:
    """No visit that is stored, of whatever day and site and in whatever table, has more of its address than the policy leaves."""
    masked_bytes = promised(masking.bytes)
    families = (
        ("LENGTH(location_ip) = 4", masked_bytes),
        (f"LENGTH(location_ip) = 16 AND {MAPPED}", masked_bytes),
        (f"LENGTH(location_ip) = 16 AND NOT {MAPPED}", 16 - IPV6_KEPT[masked_bytes]),
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
    remedy="See which table has it, and which plugin writes there.",
    failure_mode="P1",
    needs=[Capability.CHANGE],
)
def nowhere_in_the_database(tables: StoredTables, sent: SentHits) -> Finding:
    """After hits and archiving the whole address is in no table, in no form."""
    return nothing("whole address", tables.with_any(leak_scan.addresses(sent.canaries)))


@PROMISE.check(
    "nowhere_in_a_file",
    proves="bytes",
    severity=Severity.CRITICAL,
    remedy="Turn off the tracker's debug output and log files that keep requests.",
    failure_mode="O6",
    needs=[Capability.CHANGE],
)
def nowhere_in_a_file(container: MatomoContainer, sent: SentHits, _archives: Archives) -> Finding:
    """After hits and archiving the whole address is in no file."""
    found = leak_scan.in_files(container, leak_scan.addresses(sent.canaries))
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
    """After hits and archiving the whole address is in no container's log."""
    found = leak_scan.in_logs(services, leak_scan.addresses(sent.canaries))
    return nothing("whole address", found)


@PROMISE.check(
    "nowhere_in_a_mail",
    proves="bytes",
    severity=Severity.CRITICAL,
    remedy="See which report has it, and which plugin makes it.",
    failure_mode="E1",
    needs=[Capability.CHANGE],
)
def nowhere_in_a_mail(services: Services, sent: SentHits, report: MailedReport) -> Finding:
    """A report that is mailed has no whole address in it, nor has any other mail."""
    services.mail.wait_for(report.address, "", seconds=15)
    found = leak_scan.in_mails(services, leak_scan.addresses(sent.canaries))
    return nothing("whole address", found)
