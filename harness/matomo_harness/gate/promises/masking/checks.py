"""Masking: of every visitor's address only what the policy leaves is kept, however a hit came."""

import itertools
from typing import Final

from matomo_harness.gate.core.check import Area, Capability, Finding, Group, Step, holds, nothing
from matomo_harness.gate.probes import sweep
from matomo_harness.gate.probes.day import IPV6_KEPT, Canary, masked
from matomo_harness.gate.probes.look import Look

AREA: Final = Area("masking")

FORGED: Final = (
    *("X-Forwarded-For", "Client-IP", "X-Client-IP", "X-Real-IP", "X-Forwarded", "Forwarded-For"),
    *("X-Cluster-Client-IP", "CF-Connecting-IP", "True-Client-IP", "Fastly-Client-IP"),
)
"""Headers by which proxies name whom they serve; the load balancer sees to the first alone."""
MAPPED: Final = "LEFT(HEX(location_ip), 24) = '00000000000000000000FFFF'"
"""Of an IPv4 address that is written as IPv6 (RFC 4291, 2.5.5.2), in SQL."""
PRIVATE: Final = ("10", "127", "172", "192")
"""First bytes of the addresses of this machine's own networks, which is all that a mask may leave."""


def _kept_of(look: Look, canaries: list[Canary]) -> Finding:
    """Compare what is stored of each with what the policy leaves of it, or less."""
    zeroed, stored = look.policy.privacy.masked_bytes, look.day.stored
    wrong, seen, expected = [], set(), set()
    for it in canaries:
        nothing_stored = f"nothing stored {look.day.not_taken.get(it, '')}".rstrip()
        address = stored[it].address if it in stored else nothing_stored
        seen.add(address)
        expected.add(masked(it.address, zeroed))
        if address not in {masked(it.address, more) for more in range(zeroed, 5)}:
            wanted = masked(it.address, zeroed)
            wrong.append(f"{it.way}, site {it.site}: {address} for {wanted}")
    if not canaries:
        return holds(False, "hits", "none was sent")
    return holds(not wrong, "; ".join(sorted(expected)), "; ".join(wrong or sorted(seen)))


def _of_test_site(look: Look, *words: str) -> Finding:
    return _kept_of(look, [it for it in look.day.canary(*words) if it.site == look.day.sites[0]])


@AREA.check(Capability.HITS, Capability.API, steps=(Step.TRAFFIC,))
def ipv4_of_a_new_visitor(look: Look) -> Finding:
    """An IPv4 address of a new visitor is stored without its last bytes."""
    return _of_test_site(look, "form", "IPv4")


@AREA.check(Capability.HITS, Capability.API, steps=(Step.TRAFFIC,))
def ipv6_of_a_new_visitor(look: Look) -> Finding:
    """An IPv6 address of a new visitor is stored without its last bytes."""
    return _of_test_site(look, "form", "IPv6")


@AREA.check(Capability.HITS, Capability.API, steps=(Step.TRAFFIC,))
def mapped_ipv4(look: Look) -> Finding:
    """An IPv4 address that is written as IPv6 is stored without its last bytes."""
    return _of_test_site(look, "mapped")


@AREA.check(Capability.HITS, Capability.API, steps=(Step.TRAFFIC,))
def of_own_networks(look: Look) -> Finding:
    """An address of a private network, as an institution's own devices have, is masked as any other."""
    return _of_test_site(look, "own network")


@AREA.check(Capability.HITS, Capability.API, steps=(Step.TRAFFIC,))
def ipv4_of_a_returning_visitor(look: Look) -> Finding:
    """An IPv4 address of a visitor who was here before is stored without its last bytes."""
    return _of_test_site(look, "returning", "IPv4")


@AREA.check(Capability.HITS, Capability.API, steps=(Step.TRAFFIC,))
def ipv6_of_a_returning_visitor(look: Look) -> Finding:
    """An IPv6 address of a visitor who was here before is stored without its last bytes."""
    return _of_test_site(look, "returning", "IPv6")


@AREA.check(Capability.HITS, Capability.API, steps=(Step.TRAFFIC,))
def ipv4_in_bulk(look: Look) -> Finding:
    """An IPv4 address in a bulk request is stored without its last bytes."""
    return _of_test_site(look, "bulk", "IPv4")


@AREA.check(Capability.HITS, Capability.API, steps=(Step.TRAFFIC,))
def ipv6_in_bulk(look: Look) -> Finding:
    """An IPv6 address in a bulk request is stored without its last bytes."""
    return _of_test_site(look, "bulk", "IPv6")


@AREA.check(Capability.HITS, Capability.API, steps=(Step.TRAFFIC,))
def ipv4_of_the_past(look: Look) -> Finding:
    """An IPv4 address of a hit that a server sends later is stored without its last bytes."""
    return _of_test_site(look, "past", "IPv4")


@AREA.check(Capability.HITS, Capability.API, steps=(Step.TRAFFIC,))
def ipv6_of_the_past(look: Look) -> Finding:
    """An IPv6 address of a hit that a server sends later is stored without its last bytes."""
    return _of_test_site(look, "past", "IPv6")


@AREA.check(Capability.CHANGE, steps=(Step.TRAFFIC,))
def of_an_image(look: Look) -> Finding:
    """An address that a proxy passes on with an image request is stored without its last bytes."""
    return _of_test_site(look, "image")


@AREA.check(Capability.CHANGE, steps=(Step.TRAFFIC,))
def of_the_old_name(look: Look) -> Finding:
    """An address that comes by piwik.php is stored without its last bytes."""
    return _of_test_site(look, "piwik.php")


@AREA.check(Capability.CHANGE, steps=(Step.TRAFFIC,))
def of_a_beacon(look: Look) -> Finding:
    """An address that a proxy passes on with JavaScript's beacon is stored without its last bytes."""
    return _of_test_site(look, "beacon")


@AREA.check(Capability.CHANGE, steps=(Step.TRAFFIC,))
def of_queued_hits(look: Look) -> Finding:
    """An address that a proxy passes on with hits that JavaScript has queued is stored without its last bytes."""
    return _of_test_site(look, "queued")


@AREA.check(Capability.CHANGE, steps=(Step.TRAFFIC,))
def on_every_site(look: Look) -> Finding:
    """No site is excepted: since 5.8 each may have settings of its own."""
    return _kept_of(look, [it for it in look.day.canaries if it.site != look.day.sites[0]])


@AREA.check(Capability.HITS, Capability.API, steps=(Step.TRAFFIC,))
def none_in_the_visitor_s_id(look: Look) -> Finding:
    """The visitor's id is not made of the address: it is none of its hashes, which are soon undone."""
    derived = look.day.visitors_made_of(lambda it: it.forms_of_address)
    return nothing("visitor id made of the address", derived)


@AREA.check(Capability.SERVICES, Capability.DATABASE, steps=(Step.SITE,), group=Group.TRAFFIC)
def through_the_load_balancer(look: Look) -> Finding:
    """No header that a visitor can forge is believed: what is stored is whom the load balancer saw."""
    forged, zeroed = "203.0.113.77", look.policy.privacy.masked_bytes
    web = look.web
    web.session.headers.update(dict.fromkeys(FORGED, forged))
    web.session.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux) Firefox/101.0"
    web.get({"idsite": look.day.sites[0], "rec": 1, "new_visit": 1}, "matomo.php")
    (row,) = look.database.query(
        "SELECT INET6_NTOA(location_ip) AS address FROM {prefix}log_visit ORDER BY idvisit DESC LIMIT 1"
    )
    seen = str(row["address"])
    kept = seen == masked(seen, zeroed) and seen.split(".")[0] in PRIVATE
    return holds(kept, "the client of the load balancer, masked", seen)


@AREA.check(Capability.CHANGE, steps=(Step.REFUSED_HITS,))
def no_address_without_a_token(look: Look) -> Finding:
    """Nobody can give himself another's address: a hit that names one is refused without a token."""
    (answer,) = (it for canary, it in look.day.refused.items() if "token" in canary.way)
    seen = f"HTTP {answer.status_code}: {answer.text[:100]}"
    return holds(answer.status_code in (400, 401, 403), "a refusal", seen)


@AREA.check(Capability.LOGIN)
def page_shows_it(look: Look) -> Finding:
    """Administration, Privacy, Anonymize data shows the masking on, with the policy's bytes."""
    shown = look.privacy_page.document.select_one('[vue-entry="PrivacyManager.PrivacySettings"]')
    told = shown.attrs if shown else {}
    # The names of 5.3, then those of 5.8.
    enabled = str(told.get("anonymize-ip-enabled", told.get("ip-anonymizer-enabled"))).strip('"')
    length = str(told.get("mask-length", told.get("ip-address-mask-length"))).strip('"')
    least = look.policy.privacy.masked_bytes
    kept = enabled in ("true", "1") and length.isdigit() and int(length) >= least
    seen = f"{'on' if enabled in ('true', '1') else 'off'}, {length} bytes"
    return holds(kept, f"on, {least} bytes", seen)


@AREA.check(Capability.HITS, Capability.API, steps=(Step.TRAFFIC,))
def visits_log_shows_no_more(look: Look) -> Finding:
    """The visits log and its API show no address whole."""
    text = str(look.day.visits_log)
    return nothing("whole address", [it.address for it in look.day.canaries if it.address in text])


@AREA.check(Capability.DATABASE)
def no_visit_keeps_more(look: Look) -> Finding:
    """No visit that is stored, of whatever day and site and in whatever table, has more of its address than the policy leaves."""
    masked_bytes = look.policy.privacy.masked_bytes
    families = (
        ("LENGTH(location_ip) = 4", masked_bytes),
        (f"LENGTH(location_ip) = 16 AND {MAPPED}", masked_bytes),
        (f"LENGTH(location_ip) = 16 AND NOT {MAPPED}", 16 - IPV6_KEPT[masked_bytes]),
    )
    more = []
    for table, (family, zeroed) in itertools.product(look.visit_tables, families):
        rows = look.database.query(
            f"SELECT COUNT(*) AS visits FROM `{table}` WHERE {family}"  # noqa: S608
            " AND RIGHT(HEX(location_ip), %s) <> REPEAT('0', %s)",
            *(2 * zeroed, 2 * zeroed),
        )
        more += [f"{it['visits']} in {table}" for it in rows if it["visits"]]
    return nothing("visit", more)


@AREA.check(
    Capability.CHANGE, Capability.DATABASE, steps=(Step.TRAFFIC, Step.REFUSED_HITS, Step.ARCHIVES)
)
def nowhere_in_the_database(look: Look) -> Finding:
    """After hits and archiving the whole address is in no table, in no form."""
    return nothing("whole address", sweep.database(look, sweep.addresses(look.day.sent)))


@AREA.check(
    Capability.CHANGE, Capability.CONTAINER, steps=(Step.TRAFFIC, Step.REFUSED_HITS, Step.ARCHIVES)
)
def nowhere_in_a_file(look: Look) -> Finding:
    """After hits and archiving the whole address is in no file."""
    return nothing("whole address", sweep.files(look, sweep.addresses(look.day.sent)))


@AREA.check(
    Capability.SERVICES, Capability.CHANGE, steps=(Step.TRAFFIC, Step.REFUSED_HITS, Step.ARCHIVES)
)
def nowhere_in_a_log(look: Look) -> Finding:
    """After hits and archiving the whole address is in no container's log."""
    return nothing("whole address", sweep.logs(look, sweep.addresses(look.day.sent)))


@AREA.check(Capability.SERVICES, Capability.CHANGE, steps=(Step.REFUSED_HITS, Step.MAILED_REPORT))
def nowhere_in_a_mail(look: Look) -> Finding:
    """A report that is mailed has no whole address in it, nor has any other mail."""
    look.stands.mail.wait_for(look.day.mailed, "", seconds=15)
    return nothing("whole address", sweep.mails(look, sweep.addresses(look.day.sent)))
