"""Mutants of masking: more of an address is kept than was promised."""

from typing import Final

from matomo_harness.gate.mutation.changes import (
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
from matomo_harness.gate.mutation.mutant import Change, Deployment, Mutant, Place, Stage

IPV4: Final = tuple(
    f"masking.ipv4_{it}"
    for it in ("of_a_new_visitor", "of_a_returning_visitor", "in_bulk", "of_the_past")
)
IPV6: Final = tuple(it.replace("ipv4", "ipv6") for it in IPV4)
FORWARDED: Final = tuple(
    f"masking.{it}" for it in ("of_an_image", "of_the_old_name", "of_a_beacon")
)
STORED: Final = (*IPV4, *IPV6, *FORWARDED, "masking.on_every_site")
PAGE: Final = "masking.page_shows_it"
BROWSED: Final = "gui.anonymize_data_shows_the_mask"
DRIFT: Final = "drift.options_are_the_policy_s"

ON: Final = "PrivacyManager.ipAnonymizerEnabled"
LENGTH: Final = "PrivacyManager.ipAddressMaskLength"
FAMILIES: Final = "plugins/PrivacyManager/IPAnonymizer.php"
PARSED: Final = "$ipObject = IP::fromBinaryIP($ip);"
MAPPED: Final = "strlen($ip) === 16 && $ipObject->toIPv4String() !== null"
TOLD: Final = "file_put_contents('/tmp/hits.log', $ipObject->toString(), FILE_APPEND);"


def _restored(deployment: Deployment) -> None:
    """Rows of a dump from before masking was set to two bytes."""
    every(option(LENGTH, 1), option("PrivacyManager.useAnonymizedIpForVisitEnrichment", 0))(
        deployment
    )


TRACKER_DEBUG: Final[Change] = every(
    key("Tracker", "debug", 1),
    key("log", "log_writers[]", "file"),
    key("log", "log_level", "DEBUG"),
)
WHOLE_REQUESTS: Final[Change] = apache('LogFormat "%{X-Forwarded-For}i %r" combined')
"""As before this image had a format of its own."""

MUTANTS: Final = (
    Mutant(
        "masking.off",
        "the anonymizer is off",
        Place.DATABASE,
        (
            *STORED,
            PAGE,
            DRIFT,
            "masking.visits_log_shows_no_more",
            "masking.nowhere_in_the_database",
        ),
        option(ON, 0),
        "P1",
    ),
    Mutant(
        "masking.visits_of_before",
        "a dump brought back a visit of before the masking",
        Place.DATABASE,
        ("masking.no_visit_keeps_more",),
        visit_of_before("198.51.100.99"),
        "P12",
    ),
    Mutant(
        "masking.mapped_left_out",
        "an IPv4 address that comes as ::ffff:a.b.c.d is kept whole",
        Place.IMAGE,
        ("masking.mapped_ipv4",),
        code(FAMILIES, PARSED, f"{PARSED} if ({MAPPED}) return;"),
        "P2",
        Stage.PAIR,
    ),
    Mutant(
        "masking.written_elsewhere",
        "a line that was to find an error writes every address to /tmp",
        Place.IMAGE,
        ("masking.nowhere_in_a_file",),
        code(FAMILIES, PARSED, f"{PARSED} {TOLD}"),
        "O6",
        Stage.PAIR,
    ),
    Mutant(
        "masking.one_byte",
        "one byte is masked",
        Place.DATABASE,
        (*STORED, PAGE, BROWSED, DRIFT),
        option(LENGTH, 1),
        "P1",
    ),
    Mutant(
        "masking.no_byte",
        "no byte is masked",
        Place.DATABASE,
        (*STORED, PAGE, DRIFT, "masking.visits_log_shows_no_more"),
        option(LENGTH, 0),
        "P1",
    ),
    Mutant(
        "masking.two_bytes_and_off",
        "two bytes are chosen, and the anonymizer is off",
        Place.DATABASE,
        (*STORED, PAGE, DRIFT),
        every(option(LENGTH, 2), option(ON, 0)),
        "P1",
    ),
    Mutant(
        "masking.restored",
        "rows of an older dump are back",
        Place.DATABASE,
        (*STORED, PAGE, DRIFT),
        _restored,
        "P1",
    ),
    Mutant(
        "masking.clicked",
        "somebody chose one byte on Anonymize data",
        Place.CLICK,
        (*STORED, PAGE, DRIFT),
        api(
            "PrivacyManager.setAnonymizeIpSettings",
            anonymizeIPEnable=1,
            maskLength=1,
            ipAddressMaskLength=1,
            useAnonymizedIpForVisitEnrichment=0,
        ),
        "P1",
    ),
    Mutant(
        "masking.plugin_off",
        "PrivacyManager is not in the list of plugins",
        Place.FILE,
        (*STORED, "plugins.promised_are_active"),
        no_plugin("PrivacyManager"),
        "C14",
    ),
    Mutant(
        "masking.ipv6_left_out",
        "code masks IPv4 alone",
        Place.IMAGE,
        IPV6,
        code(FAMILIES, PARSED, f"{PARSED} if (strlen($ip) === 16) return;"),
        "P2",
        Stage.PAIR,
    ),
    Mutant(
        "masking.ipv4_left_out",
        "code masks IPv6 alone",
        Place.IMAGE,
        (*IPV4, "masking.of_a_beacon"),
        code(FAMILIES, PARSED, f"{PARSED} if (strlen($ip) === 4) return;"),
        stage=Stage.PAIR,
    ),
    Mutant(
        "masking.header_lost",
        "the proxy's header is not named: every visitor is the load balancer",
        Place.FILE,
        FORWARDED,
        no_key("General", "proxy_client_headers[]"),
        "X1",
    ),
    Mutant(
        "masking.header_misspelt",
        "the proxy's header is misspelt",
        Place.FILE,
        FORWARDED,
        file(renamed("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_FRO")),
        "X1",
    ),
    Mutant(
        "masking.header_as_scalar",
        "the list of headers is one value",
        Place.FILE,
        FORWARDED,
        file(renamed("proxy_client_headers[] =", "proxy_client_headers =")),
        "C2",
    ),
    Mutant(
        "masking.first_forwarded",
        "the first forwarded address is believed, which anybody can forge",
        Place.FILE,
        ("masking.through_the_load_balancer",),
        key("General", "proxy_ip_read_last_in_list", 0),
        "P6",
        Stage.PRODUCTION,
    ),
    Mutant(
        "masking.forged_by_header",
        "a header that the load balancer leaves alone is believed first",
        Place.FILE,
        ("masking.through_the_load_balancer",),
        file(
            renamed(
                'proxy_client_headers[] = "HTTP_X_FORWARDED_FOR"',
                'proxy_client_headers[] = "HTTP_CLIENT_IP"\nproxy_client_headers[] = "HTTP_X_FORWARDED_FOR"',
            )
        ),
        "P6",
        Stage.PRODUCTION,
    ),
    Mutant(
        "masking.debug_log",
        "the tracker writes what it gets into a log file",
        Place.FILE,
        ("masking.nowhere_in_a_file", "user_ids.nowhere_in_a_file"),
        TRACKER_DEBUG,
        "O6",
    ),
    Mutant(
        "masking.access_log",
        "the web server's log keeps whole requests, and whom the proxy names",
        Place.IMAGE,
        ("masking.nowhere_in_a_log", "user_ids.nowhere_in_the_web_log"),
        WHOLE_REQUESTS,
        "O6",
        Stage.PRODUCTION,
        {"MATOMO_GENERAL_PROXY_CLIENT_HEADERS": '["HTTP_X_FORWARDED_FOR"]'},
    ),
    Mutant(
        "masking.old_name_gone",
        "piwik.php is gone, which old pages track by",
        Place.IMAGE,
        ("masking.of_the_old_name",),
        in_web("rm piwik.php"),
        stage=Stage.PAIR,
    ),
    Mutant(
        "masking.no_mail",
        "nothing listens where mail goes: no report comes to be read",
        Place.MAIL,
        (
            "masking.nowhere_in_a_mail",
            "configuration.mail_comes",
            "accounts.password_reset_comes_by_mail",
        ),
        seen="E1",
        stage=Stage.PRODUCTION,
        environment={"MATOMO_MAIL_PORT": "588"},
    ),
    Mutant(
        "masking.address_by_parameter",
        "[Tracker] believes whoever says by cip whose the hit is",
        Place.FILE,
        ("masking.no_address_without_a_token",),
        key("Tracker", "tracking_requests_require_authentication", 0),
        "P6",
    ),
    Mutant(
        "masking.own_networks_left_out",
        "addresses of private networks are kept whole, to find the institution's broken devices",
        Place.IMAGE,
        ("masking.of_own_networks",),
        code(
            FAMILIES,
            PARSED,
            f"{PARSED} if ($ipObject->isInRanges(['10.0.0.0/8', '172.16.0.0/12'])) {{ return; }}",
        ),
        "P1",
        Stage.PAIR,
    ),
    Mutant(
        "masking.copy_of_the_visits",
        "a copy of the visits of before lies beside them, since an upgrade",
        Place.DATABASE,
        ("masking.no_visit_keeps_more", "user_ids.no_visit_has_one"),
        every(
            visit_of_before("18.9.22.69", "alice@people.example"),
            sql(
                "CREATE TABLE {prefix}log_visit_before SELECT * FROM {prefix}log_visit",
                "DELETE FROM {prefix}log_visit",
            ),
        ),
        "P12",
    ),
    Mutant(
        "masking.rehearsal_left",
        "a schema that a restore was tried in is still beside Matomo's, with a whole address",
        Place.DATABASE,
        ("masking.no_visit_keeps_more",),
        sql(
            "CREATE DATABASE matomo_rehearsal",
            "CREATE TABLE matomo_rehearsal.log_visit"
            " SELECT 1 AS idvisit, INET6_ATON('18.9.22.69') AS location_ip, '' AS user_id",
        ),
        "P12",
        Stage.PAIR,
    ),
    Mutant(
        "masking.queued_hits_lost",
        "bulk requests need a token: browsers have none, and what they have queued is lost",
        Place.FILE,
        ("masking.of_queued_hits",),
        key("Tracker", "bulk_requests_require_authentication", 1),
    ),
    Mutant(
        "masking.long_hits_refused",
        "Apache was hardened: an address over 512 bytes is refused, and real hits are longer",
        Place.IMAGE,
        ("masking.of_an_image", "masking.of_the_old_name"),
        apache("LimitRequestLine 512"),
        stage=Stage.PAIR,
    ),
    Mutant(
        "masking.visitor_is_his_address",
        "who has no cookie gets a hash of his whole address for an id, to know him again",
        Place.IMAGE,
        ("masking.none_in_the_visitor_s_id",),
        code(
            "plugins/NoUserIds/Tracker/RequestProcessor.php",
            "$request->setParam('uid', '');",
            "$request->setParam('_id', substr(md5($request->getIpString()), 0, 16));"
            " $request->setParam('uid', '');",
        ),
        "P4",
        Stage.PAIR,
    ),
)
