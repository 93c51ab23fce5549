"""User ids: a hit that names its user leaves no trace of the name, in clear or derived."""

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl

from pydantic import Field

from matomo_harness.gate.core.check import Capability, Finding, Severity, holds, nothing
from matomo_harness.gate.core.promise import Promise
from matomo_harness.gate.core.target import Services
from matomo_harness.gate.probes import leak_scan
from matomo_harness.gate.probes.leak_scan import StoredTables
from matomo_harness.gate.probes.reports import Archives
from matomo_harness.gate.probes.tables import visit_tables
from matomo_harness.gate.probes.traffic import OTHER_KINDS, SentHits, Traffic
from matomo_harness.matomo.api import Api, ApiError
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.matomo.database import Database
from matomo_harness.policy import Section


class UserIds(Section, table="user_ids"):
    """What is left of who a visitor is."""

    none_stored: bool | None = Field(
        default=None,
        description="No user id (uid) of a hit is stored, in clear or derived.",
    )
    no_mail_addresses: bool | None = Field(
        default=None,
        description="No title, address of a page, custom dimension or report has a person's mail"
        " address in it.",
    )


PROMISE: Final = Promise(
    "user_ids",
    "A hit that names its user leaves no trace of the name, in clear or derived.",
    UserIds,
)

NAMES_A_USER: Final = (
    r'(?i)\buser[ _-]?(name|id)\b|"user"|\blogin\b(?![ _-]*(status|state))'
    r"|\be-?mail(?![ _-]*(link|click|campaign|newsletter|open))"
)
"""In a dimension's name, or the parameter it is taken from, this means a user (not `User type`)."""
MAIL_ADDRESS: Final = (
    r"[A-Za-z0-9._+-]+(@|%40)(?![0-9]x[.])[A-Za-z0-9-]+[.]"
    r"(?!(png|jpe?g|gif|webp|svg|js|css)\b)[A-Za-z]"
)
"""The first thing that names people where a page says who they are."""
OF_HITS: Final = ("idvisit", "idaction")
"""One of these is in each table that has what hits say, and in a copy of it, whatever its name."""
BY_THE_PLUGIN: Final = (
    "Name NoUserIds in Plugins[] of config.ini.php, and make sure that plugins/NoUserIds is as in"
    " the image."
)


# -- what is stored of a hit ----------------------------------------------------------------------


def _is_nameless(traffic: Traffic, way: str) -> Finding:
    """Find that the hits that came by `way` are stored, none of them with its user id."""
    canaries, stored = traffic.came(way), traffic.stored
    lost = [canary.way for canary in canaries if canary not in stored]
    with_user_id = [
        f"{canary.way}: {stored[canary].user_id}"
        for canary in canaries
        if canary in stored and stored[canary].user_id
    ]
    if lost or not canaries:
        return holds(False, "the hits to be stored", f"not stored: {', '.join(lost) or 'all'}")
    return nothing("user id", with_user_id)


def _that_came(ways: tuple[str, ...]) -> Callable[..., Finding]:
    def check(traffic: Traffic) -> Finding:
        found = [_is_nameless(traffic, way) for way in ways]
        return next((finding for finding in found if not finding.passed), found[0])

    return check


for _name, _user_id, _capability, _ways in (
    ("none_by_form", "The user id of a single hit", Capability.HITS, ("form",)),
    ("none_in_bulk", "The user id of a hit in a bulk request", Capability.HITS, ("bulk",)),
    (
        "none_of_the_past",
        "The user id of a hit that a server sends later",
        Capability.HITS,
        ("past",),
    ),
    (
        "none_of_a_returning_visitor",
        "The user id of a returning visitor's hit",
        Capability.HITS,
        ("returning",),
    ),
    (
        "none_of_a_browser",
        "The user id of an image request, a JavaScript beacon or queued hits",
        Capability.CHANGE,
        ("image", "piwik.php", "beacon", "queued"),
    ),
    (
        "none_of_other_hits",
        "The user id of an event, a download or an outlink",
        Capability.HITS,
        OTHER_KINDS,
    ),
):
    PROMISE.check(
        _name,
        sentence=f"{_user_id} is not stored.",
        proves="none_stored",
        severity=Severity.CRITICAL,
        remedy=BY_THE_PLUGIN,
        failure_mode="P3",
        needs=[_capability],
    )(_that_came(_ways))


@PROMISE.check(
    "none_in_the_visitor_id",
    formerly="user_ids.none_in_the_visitor_s_id",
    proves="none_stored",
    severity=Severity.CRITICAL,
    remedy="Name NoUserIds in Plugins[] of config.ini.php, and remove the plugin or the code that"
    " derives visitor ids from user ids.",
    failure_mode="P4",
    needs=[Capability.HITS],
)
def none_in_the_visitor_id(traffic: Traffic) -> Finding:
    """The visitor id is no hash of the user id, and differs between two visitors with one user id."""
    derived = traffic.visitors_made_of(lambda canary: [canary.user_id.encode()])
    stored = traffic.stored
    visitors = [stored[canary].visitor for canary in traffic.of_one_user if canary in stored]
    if len(set(visitors)) < len(visitors):
        derived.append("of two visitors with one user id")
    return nothing("visitor id made of the user id", derived)


# -- what is left from before ----------------------------------------------------------------------


@PROMISE.check(
    "no_visit_has_one",
    proves="none_stored",
    severity=Severity.CRITICAL,
    remedy="Set user_id to NULL in all rows of the tables that are named, and drop those that are"
    " mere copies.",
    failure_mode="P12",
)
def no_visit_has_one(database: Database, container: MatomoContainer | None) -> Finding:
    """No stored visit, of any day, site or table, has a user id."""
    found = []
    for table in visit_tables(database, container):
        rows = database.query(
            f"SELECT COUNT(*) AS visits FROM `{table}` WHERE user_id <> ''"  # noqa: S608
        )
        found += [f"{row['visits']} in {table}" for row in rows if row["visits"]]
    return nothing("visit", found)


@PROMISE.check(
    "no_refused_hit_names_anybody",
    proves=("none_stored", "masking.bytes"),
    severity=Severity.CRITICAL,
    remedy="Delete the rows of the table tracking_failure, and name NoUserIds in Plugins[] of"
    " config.ini.php.",
    failure_mode="P12",
)
def no_refused_hit_names_anybody(database: Database, promise: UserIds) -> Finding:
    """No refused hit that Matomo has stored, however old, has a user id or an address in it."""
    rows = database.query("SELECT idsite, request_url AS hit FROM {prefix}tracking_failure")
    identifying = ("uid", "cip") if promise.none_stored else ("cip",)
    named = [
        f"{name} of site {row['idsite']}"
        for row in rows
        for name, value in parse_qsl(str(row["hit"]).partition("?")[2] or str(row["hit"]))
        if name in identifying and not value.startswith("__")
    ]
    return nothing("user id or address", named)


@PROMISE.check(
    "no_archive_names_users",
    proves="none_stored",
    severity=Severity.CRITICAL,
    remedy="Delete the rows whose name begins with UserId_ from the archive tables that are named.",
    failure_mode="P12",
)
def no_archive_names_users(database: Database) -> Finding:
    """No archive, however old, has a report of users in it."""
    blobs = [table for table in sorted(database.tables()) if table.startswith("archive_blob_")]
    found = []
    for table in blobs:
        rows = database.query(
            f"SELECT COUNT(*) AS reports FROM {{prefix}}{table}"  # noqa: S608
            " WHERE name LIKE 'UserId\\_%%'"
        )
        found += [f"{row['reports']} in {table}" for row in rows if row["reports"]]
    return nothing("report", found)


# -- where people would be named ------------------------------------------------------------------


@PROMISE.check(
    "no_report_of_users",
    proves="none_stored",
    severity=Severity.HIGH,
    remedy="Remove UserId from Plugins[] of config.ini.php.",
    failure_mode="P11",
)
def no_report_of_users(api: Api) -> Finding:
    """The API offers no report of user ids."""
    try:
        answer = api.call("UserId.getUsers", idSite=1, period="day", date="today")
    except ApiError as error:
        return holds("UserId" in error.seen or "plugin" in error.seen, "a refusal", error.seen)
    return holds(False, "a refusal", answer)


@PROMISE.check(
    "no_dimension_is_of_users",
    proves="none_stored",
    severity=Severity.HIGH,
    remedy="Deactivate the dimension that is named on Administration, Websites, Custom Dimensions.",
    failure_mode="P3",
)
def no_dimension_is_of_users(database: Database) -> Finding:
    """No custom dimension says who a visitor is, by a user's name or id, a login or a mail address."""
    if "custom_dimensions" not in database.tables():
        return nothing("dimension of users", [])
    rows = database.query(
        "SELECT name, extractions FROM {prefix}custom_dimensions"
        " WHERE active AND CONCAT(name, ' ', COALESCE(extractions, '')) REGEXP %s",
        NAMES_A_USER,
    )
    return nothing("dimension of users", [f"{row['name']} {row['extractions']}" for row in rows])


# -- mail addresses -------------------------------------------------------------------------------


@PROMISE.check(
    "no_mail_address_is_stored",
    proves="no_mail_addresses",
    severity=Severity.CRITICAL,
    remedy="Have the sites' pages send no mail address, and empty the rows of the named columns that"
    " hold one.",
    failure_mode="P3",
)
def no_mail_address_is_stored(database: Database) -> Finding:
    """No stored page title, page address or custom dimension has a person's mail address in it."""
    columns = database.query(
        "SELECT TABLE_NAME AS name, COLUMN_NAME AS `column` FROM information_schema.COLUMNS"
        " WHERE TABLE_SCHEMA = DATABASE() AND (COLUMN_NAME LIKE 'custom\\_%%'"
        " OR (TABLE_NAME LIKE '%%log\\_action' AND COLUMN_NAME = 'name')"
        " OR COLUMN_NAME IN (%s, %s))",
        *OF_HITS,
    )
    of_table: dict[str, list[str]] = {}
    for column in columns:
        of_table.setdefault(str(column["name"]), []).append(str(column["column"]))
    found = []
    for table, listed in of_table.items():
        names = [name for name in listed if name not in OF_HITS]
        # The schema may have tables of other applications; copies of Matomo's have other names.
        is_of_matomo = table.startswith(database.tables_prefix) or names != listed
        if not (names and is_of_matomo):
            continue
        # One look at the table, however many columns it has.
        counts = ", ".join(f"SUM(`{name}` REGEXP %s) AS `{name}`" for name in names)
        (row,) = database.query(f"SELECT {counts} FROM `{table}`", *[MAIL_ADDRESS] * len(names))  # noqa: S608
        found += [f"{row[name]} in {table}.{name}" for name in names if row[name]]
    return nothing("mail address", found)


@PROMISE.check(
    "no_archive_has_a_mail_address",
    proves="no_mail_addresses",
    severity=Severity.CRITICAL,
    remedy="Delete the reports that have one from the archive tables that are named, and have the"
    " sites' pages send no mail address.",
    failure_mode="P12",
    needs=[Capability.CHANGE],
)
def no_archive_has_a_mail_address(_traffic: Traffic, tables: StoredTables) -> Finding:
    """No archived report, however old, has a person's mail address in it."""
    pattern = re.compile(MAIL_ADDRESS.encode())
    found = [
        f"{match[0].decode()}… in {table}"
        for table, text in tables.contents.items()
        if "archive_blob_" in table and (match := pattern.search(text))
    ]
    return nothing("mail address", found)


# -- what is stored anywhere ----------------------------------------------------------------------


@PROMISE.check(
    "nowhere_in_the_database",
    proves="none_stored",
    severity=Severity.CRITICAL,
    remedy="Name NoUserIds in Plugins[] of config.ini.php, and find the plugin that writes the"
    " table that is named.",
    failure_mode="P3",
    needs=[Capability.CHANGE],
)
def nowhere_in_the_database(tables: StoredTables, sent: SentHits) -> Finding:
    """After hits and archiving, no table has a user id in it, in clear or as a hash."""
    return nothing("user id", tables.with_any(leak_scan.user_ids(sent.canaries)))


@PROMISE.check(
    "nowhere_in_a_file",
    proves="none_stored",
    severity=Severity.CRITICAL,
    remedy="Turn off the tracker's debug output and log files that record requests.",
    failure_mode="O6",
    needs=[Capability.CHANGE],
)
def nowhere_in_a_file(container: MatomoContainer, sent: SentHits, _archives: Archives) -> Finding:
    """After hits and archiving, no file has a user id in it."""
    user_ids = leak_scan.user_ids(sent.canaries)
    found = leak_scan.in_files(container, user_ids, since=sent.since)
    return nothing("user id", found)


@PROMISE.check(
    "nowhere_in_the_web_log",
    proves="none_stored",
    severity=Severity.CRITICAL,
    remedy="Give the web server's log a format without queries.",
    failure_mode="O6",
)
def nowhere_in_the_web_log(services: Services, sent: SentHits) -> Finding:
    """The web server's log, which outlives Matomo's own data, has no user id in it."""
    found = leak_scan.in_logs(services, leak_scan.user_ids(sent.canaries), only="web")
    return nothing("user id", found)
