"""Mutants of masking: more of an address than promised is stored, shown or written down."""

from typing import Final

from matomo_harness.gate.mutants import Change, Deployment, Location, Mutants, Topology
from matomo_harness.gate.mutants.changes import (
    apache,
    api,
    code,
    every,
    file,
    in_web,
    key,
    no_key,
    no_plugin,
    option,
    renamed,
    sql,
    visit_of_before,
)
from matomo_harness.gate.mutants.queued_hits import (
    MARKED,
    PROCESS,
    REMOVED,
    queue,
)
from matomo_harness.matomo import versions

MUTANTS: Final = Mutants("masking")

IPV4: Final = tuple(
    f"masking.ipv4_{way}"
    for way in ("of_a_new_visitor", "of_a_returning_visitor", "in_bulk", "of_the_past")
)
IPV6: Final = tuple(check.replace("ipv4", "ipv6") for check in IPV4)
FORWARDED: Final = tuple(
    f"masking.{way}" for way in ("of_an_image", "of_the_old_name", "of_a_beacon")
)
STORED: Final = (*IPV4, *IPV6, *FORWARDED, "masking.on_every_site")
PAGE: Final = "masking.page_shows_the_mask"
BROWSED: Final = "masking.browser_shows_the_mask"
DRIFT: Final = "settings.options"
ON: Final = "PrivacyManager.ipAnonymizerEnabled"
LENGTH: Final = "PrivacyManager.ipAddressMaskLength"
FAMILIES: Final = "plugins/PrivacyManager/IPAnonymizer.php"
PARSED: Final = "$ipObject = IP::fromBinaryIP($ip);"
MAPPED: Final = "strlen($ip) === 16 && $ipObject->toIPv4String() !== null"
WRITE_DOWN: Final = "file_put_contents('/tmp/hits.log', $ipObject->toString(), FILE_APPEND);"
TRACKER_DEBUG: Final[Change] = every(
    key("Tracker", "debug", 1),
    key("log", "log_writers[]", "file"),
    key("log", "log_level", "DEBUG"),
)
WHOLE_REQUESTS: Final[Change] = apache('LogFormat "%{X-Forwarded-For}i %r" combined')
"""The log as it was before this image had a format of its own."""


def _restore_old_rows(deployment: Deployment) -> None:
    """Restore rows of a dump from before masking was set to two bytes."""
    every(option(LENGTH, 1), option("PrivacyManager.useAnonymizedIpForVisitEnrichment", 0))(
        deployment
    )


MUTANTS.add(
    "off",
    "the anonymizer is off",
    Location.DATABASE,
    (
        *STORED,
        PAGE,
        DRIFT,
        "masking.visits_log_shows_no_more",
        "masking.nowhere_in_the_database",
    ),
    option(ON, 0),
    "P1",
)
MUTANTS.add(
    "visits_of_before",
    "a dump brought back a visit from before the masking",
    Location.DATABASE,
    ("masking.no_visit_keeps_more",),
    visit_of_before("198.51.100.99"),
    "P12",
)
MUTANTS.add(
    "mapped_left_out",
    "an IPv4 address that comes as ::ffff:a.b.c.d is stored whole",
    Location.IMAGE,
    ("masking.mapped_ipv4",),
    code(FAMILIES, PARSED, f"{PARSED} if ({MAPPED}) return;"),
    "P2",
    Topology.DEDICATED,
)
MUTANTS.add(
    "written_elsewhere",
    "a line of code meant to find an error writes every address to /tmp",
    Location.IMAGE,
    ("masking.nowhere_in_a_file",),
    code(FAMILIES, PARSED, f"{PARSED} {WRITE_DOWN}"),
    "O6",
    Topology.DEDICATED,
)
MUTANTS.add(
    "one_byte",
    "one byte is masked",
    Location.DATABASE,
    (*STORED, PAGE, BROWSED, DRIFT),
    option(LENGTH, 1),
    "P1",
)
MUTANTS.add(
    "no_byte",
    "no byte is masked",
    Location.DATABASE,
    (*STORED, PAGE, DRIFT, "masking.visits_log_shows_no_more"),
    option(LENGTH, 0),
    "P1",
)
MUTANTS.add(
    "two_bytes_and_off",
    "two bytes are chosen, and the anonymizer is off",
    Location.DATABASE,
    (*STORED, PAGE, DRIFT),
    every(option(LENGTH, 2), option(ON, 0)),
    "P1",
)
MUTANTS.add(
    "restored",
    "rows of an older dump are back",
    Location.DATABASE,
    (*STORED, PAGE, DRIFT),
    _restore_old_rows,
    "P1",
)
MUTANTS.add(
    "clicked",
    "somebody chose one byte on Anonymize data",
    Location.CLICK,
    (*STORED, PAGE, DRIFT),
    api(
        "PrivacyManager.setAnonymizeIpSettings",
        anonymizeIPEnable=1,
        useAnonymizedIpForVisitEnrichment=0,
        **versions.mask_length(1),
    ),
    "P1",
)
MUTANTS.add(
    "plugin_off",
    "PrivacyManager is not in the list of plugins",
    Location.FILE,
    (*STORED, "plugins.promised_are_active"),
    no_plugin("PrivacyManager"),
    "C14",
)
MUTANTS.add(
    "ipv6_left_out",
    "the code masks IPv4 alone",
    Location.IMAGE,
    IPV6,
    code(FAMILIES, PARSED, f"{PARSED} if (strlen($ip) === 16) return;"),
    "P2",
    Topology.DEDICATED,
)
MUTANTS.add(
    "ipv4_left_out",
    "the code masks IPv6 alone",
    Location.IMAGE,
    (*IPV4, "masking.of_a_beacon"),
    code(FAMILIES, PARSED, f"{PARSED} if (strlen($ip) === 4) return;"),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "header_lost",
    "the proxy's header is not named: every visitor has the load balancer's address",
    Location.FILE,
    FORWARDED,
    no_key("General", "proxy_client_headers[]"),
    "X1",
)
MUTANTS.add(
    "header_misspelt",
    "the proxy's header is misspelt",
    Location.FILE,
    FORWARDED,
    file(renamed("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_FRO")),
    "X1",
)
MUTANTS.add(
    "header_as_scalar",
    "the list of headers is a single value",
    Location.FILE,
    FORWARDED,
    file(renamed("proxy_client_headers[] =", "proxy_client_headers =")),
    "C2",
)
MUTANTS.add(
    "first_forwarded",
    "the first forwarded address is believed, which anybody can forge",
    Location.FILE,
    ("masking.through_the_load_balancer",),
    key("General", "proxy_ip_read_last_in_list", 0),
    "P6",
    Topology.FULL_STACK,
)
MUTANTS.add(
    "forged_by_header",
    "a header that the load balancer leaves alone is believed first",
    Location.FILE,
    ("masking.through_the_load_balancer",),
    file(
        renamed(
            'proxy_client_headers[] = "HTTP_X_FORWARDED_FOR"',
            'proxy_client_headers[] = "HTTP_CLIENT_IP"\nproxy_client_headers[] = "HTTP_X_FORWARDED_FOR"',
        )
    ),
    "P6",
    Topology.FULL_STACK,
)
MUTANTS.add(
    "debug_log",
    "the tracker writes what it receives into a log file",
    Location.FILE,
    ("masking.nowhere_in_a_file", "user_ids.nowhere_in_a_file"),
    TRACKER_DEBUG,
    "O6",
)
MUTANTS.add(
    "access_log",
    "the web server's log records whole requests, and the client that the proxy names",
    Location.IMAGE,
    ("masking.nowhere_in_a_log", "user_ids.nowhere_in_the_web_log"),
    WHOLE_REQUESTS,
    "O6",
    Topology.FULL_STACK,
    {"MATOMO_GENERAL_PROXY_CLIENT_HEADERS": '["HTTP_X_FORWARDED_FOR"]'},
)
MUTANTS.add(
    "old_name_gone",
    "piwik.php, through which old pages track, is gone",
    Location.IMAGE,
    ("masking.of_the_old_name",),
    in_web("rm piwik.php"),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "no_mail",
    "nothing listens where mail goes: no report arrives",
    Location.MAIL,
    (
        "masking.nowhere_in_a_mail",
        "mail.arrives",
        "mail.password_reset_arrives",
    ),
    failure_mode="E1",
    topology=Topology.FULL_STACK,
    environment={"MATOMO_MAIL_PORT": "588"},
)
MUTANTS.add(
    "address_by_parameter",
    "[Tracker] believes any address that a hit names by cip, without a token",
    Location.FILE,
    ("masking.no_address_without_a_token",),
    key("Tracker", "tracking_requests_require_authentication", 0),
    "P6",
)
MUTANTS.add(
    "own_networks_left_out",
    "addresses of private networks are stored whole, to find the institution's broken devices",
    Location.IMAGE,
    ("masking.of_own_networks",),
    code(
        FAMILIES,
        PARSED,
        f"{PARSED} if ($ipObject->isInRanges(['10.0.0.0/8', '172.16.0.0/12'])) {{ return; }}",
    ),
    "P1",
    Topology.DEDICATED,
)
MUTANTS.add(
    "copy_of_the_visits",
    "since an upgrade, a copy of earlier visits lies beside Matomo's own table",
    Location.DATABASE,
    ("masking.no_visit_keeps_more", "user_ids.no_visit_has_one"),
    every(
        visit_of_before("18.9.22.69", "alice@people.example"),
        sql(
            "CREATE TABLE {prefix}log_visit_before SELECT * FROM {prefix}log_visit",
            "DELETE FROM {prefix}log_visit",
        ),
    ),
    "P12",
)
MUTANTS.add(
    "rehearsal_left",
    "the schema of a trial restore is still beside Matomo's, with a whole address",
    Location.DATABASE,
    ("masking.no_visit_keeps_more",),
    sql(
        "CREATE DATABASE matomo_rehearsal",
        "CREATE TABLE matomo_rehearsal.log_visit"
        " SELECT 1 AS idvisit, INET6_ATON('18.9.22.69') AS location_ip, '' AS user_id",
    ),
    "P12",
    Topology.DEDICATED,
)
MUTANTS.add(
    "queued_hits_lost",
    "bulk requests need a token, which browsers do not have: the hits that they queued are lost",
    Location.FILE,
    ("masking.of_queued_hits",),
    key("Tracker", "bulk_requests_require_authentication", 1),
)
MUTANTS.add(
    "long_hits_refused",
    "Apache was hardened: a request line over 512 bytes is refused, and real hits are longer",
    Location.IMAGE,
    ("masking.of_an_image", "masking.of_the_old_name"),
    apache("LimitRequestLine 512"),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "visitor_is_his_address",
    "a visitor without a cookie gets a hash of the whole address as an id, to be known again",
    Location.IMAGE,
    ("masking.none_in_the_visitor_id",),
    code(
        "plugins/NoUserIds/Tracker/RequestProcessor.php",
        "$request->setParam('uid', '');",
        "$request->setParam('_id', substr(md5($request->getIpString()), 0, 16));"
        " $request->setParam('uid', '');",
    ),
    "P4",
    Topology.DEDICATED,
)
MUTANTS.add(
    "mask_clicked_off",
    "somebody switched masking off on Anonymize data",
    Location.CLICK,
    ("masking.browser_shows_the_mask", "masking.page_shows_the_mask"),
    option("PrivacyManager.ipAnonymizerEnabled", 0),
    "P1",
)
MUTANTS.add(
    "whole_in_the_queue",
    "a plugin puts hits with their whole addresses into a queue, and deletes them once stored",
    Location.IMAGE,
    ("masking.queue_keeps_no_whole_address",),
    queue(),
    "P1",
    Topology.DEDICATED,
)
MUTANTS.add(
    "queue_is_kept",
    "a plugin's queue keeps hits with their whole addresses after it has stored them",
    Location.IMAGE,
    ("masking.nowhere_in_the_database", "masking.queue_keeps_no_whole_address"),
    queue((PROCESS, REMOVED, MARKED)),
    "P1",
    Topology.DEDICATED,
)
