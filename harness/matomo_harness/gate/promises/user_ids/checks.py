"""User ids: a hit that names its user leaves nothing of the name, in clear or derived."""

import re
from typing import Final
from urllib.parse import parse_qsl

from matomo_harness.gate.core.check import Area, Capability, Finding, Step, holds, nothing
from matomo_harness.gate.probes import sweep
from matomo_harness.gate.probes.day import OTHER_KINDS
from matomo_harness.gate.probes.look import Look
from matomo_harness.matomo.api import ApiError

AREA: Final = Area("user_ids")

NAMES_A_USER: Final = r'(?i)\buser[ _-]?(name|id)\b|"user"|\blogin\b|\be-?mail'
"""In a dimension's name, or in the parameter that it is taken from. (`User type` names nobody.)"""
MAIL_ADDRESS: Final = r"[A-Za-z0-9._+-]+(@|%40)[A-Za-z0-9-]+[.][A-Za-z]"
"""By which people are named first, where a page tells who they are."""


def _none_stored(look: Look, *words: str) -> Finding:
    if look.policy.privacy.user_ids_stored:
        return holds(True, "user ids may be stored, by policy", "not looked at")
    canaries, stored = look.day.canary(*words), look.day.stored
    lost = [it.way for it in canaries if it not in stored]
    kept = [
        f"{it.way}: {stored[it].user_id}" for it in canaries if it in stored and stored[it].user_id
    ]
    if lost or not canaries:
        return holds(False, "the hits to be stored", f"not stored: {', '.join(lost) or 'all'}")
    return nothing("user id", kept)


@AREA.check(Capability.HITS, Capability.API, steps=(Step.TRAFFIC,))
def none_by_form(look: Look) -> Finding:
    """A user id that a single hit sends is not stored."""
    return _none_stored(look, "form")


@AREA.check(Capability.HITS, Capability.API, steps=(Step.TRAFFIC,))
def none_in_bulk(look: Look) -> Finding:
    """A user id in a bulk request is not stored."""
    return _none_stored(look, "bulk")


@AREA.check(Capability.HITS, Capability.API, steps=(Step.TRAFFIC,))
def none_of_the_past(look: Look) -> Finding:
    """A user id of a hit that a server sends later is not stored."""
    return _none_stored(look, "past")


@AREA.check(Capability.HITS, Capability.API, steps=(Step.TRAFFIC,))
def none_of_a_returning_visitor(look: Look) -> Finding:
    """A user id that a returning visitor's hit sends is not stored."""
    return _none_stored(look, "returning")


def _none_stored_of_any(look: Look, ways: tuple[str, ...]) -> Finding:
    found = [_none_stored(look, it) for it in ways]
    return next((it for it in found if not it.kept), found[0])


@AREA.check(Capability.CHANGE, steps=(Step.TRAFFIC,))
def none_of_a_browser(look: Look) -> Finding:
    """A user id in an image request or in JavaScript's beacon or queue is not stored."""
    return _none_stored_of_any(look, ("image", "piwik.php", "beacon", "queued"))


@AREA.check(Capability.HITS, Capability.API, steps=(Step.TRAFFIC,))
def none_of_other_hits(look: Look) -> Finding:
    """A user id of an event, a download or an outlink is not stored."""
    return _none_stored_of_any(look, OTHER_KINDS)


@AREA.check(Capability.HITS, Capability.API, steps=(Step.TRAFFIC,))
def none_in_the_visitor_s_id(look: Look) -> Finding:
    """The visitor's id is not made of the user id: it is none of its hashes, and two of one id differ."""
    derived = look.day.visitors_made_of(lambda it: [it.user_id.encode()])
    visitors = [look.day.stored[it].visitor for it in look.day.twins if it in look.day.stored]
    if len(set(visitors)) < len(visitors):
        derived.append("of two visitors with one user id")
    return nothing("visitor id made of the user id", derived)


@AREA.check(Capability.API)
def no_report_of_users(look: Look) -> Finding:
    """There is no report of user ids to be asked for."""
    try:
        answer = look.api.call("UserId.getUsers", idSite=1, period="day", date="today")
    except ApiError as error:
        return holds("UserId" in error.seen or "plugin" in error.seen, "a refusal", error.seen)
    return holds(False, "a refusal", answer)


@AREA.check(Capability.DATABASE)
def no_visit_has_one(look: Look) -> Finding:
    """No visit that is stored, of whatever day and site and in whatever table, has a user id."""
    found = []
    for table in look.visit_tables:
        rows = look.database.query(
            f"SELECT COUNT(*) AS visits FROM `{table}` WHERE user_id <> ''"  # noqa: S608
        )
        found += [f"{it['visits']} in {table}" for it in rows if it["visits"]]
    return nothing("visit", found)


@AREA.check(Capability.DATABASE)
def no_refused_hit_names_anybody(look: Look) -> Finding:
    """No refused hit that Matomo keeps has a user id or an address in it, of before either."""
    rows = look.database.query("SELECT idsite, request_url AS hit FROM {prefix}tracking_failure")
    named = [
        f"{name} of site {it['idsite']}"
        for it in rows
        for name, value in parse_qsl(str(it["hit"]).partition("?")[2] or str(it["hit"]))
        if name in ("uid", "cip") and not value.startswith("__")
    ]
    return nothing("user id or address", named)


@AREA.check(Capability.DATABASE)
def no_mail_address_is_stored(look: Look) -> Finding:
    """No title, address of a page or custom dimension that is stored has a person's mail address in it."""
    columns = look.database.query(
        "SELECT TABLE_NAME AS name, COLUMN_NAME AS `column` FROM information_schema.COLUMNS"
        " WHERE TABLE_SCHEMA = DATABASE() AND (COLUMN_NAME LIKE 'custom\\_%%'"
        " OR (TABLE_NAME LIKE '%%log\\_action' AND COLUMN_NAME = 'name'))"
    )
    found = []
    for it in columns:
        rows = look.database.query(
            f"SELECT COUNT(*) AS many FROM `{it['name']}` WHERE `{it['column']}` REGEXP %s",  # noqa: S608
            MAIL_ADDRESS,
        )
        found += [f"{row['many']} in {it['name']}.{it['column']}" for row in rows if row["many"]]
    return nothing("mail address", found)


@AREA.check(Capability.CHANGE, Capability.DATABASE, steps=(Step.TRAFFIC, Step.ARCHIVES))
def no_archive_has_a_mail_address(look: Look) -> Finding:
    """No archived report, of before either, has a person's mail address in it."""
    pattern = re.compile(MAIL_ADDRESS.encode())
    found = [
        f"{match[0].decode()}… in {table}"
        for table, text in look.tables.items()
        if "archive_blob_" in table and (match := pattern.search(text))
    ]
    return nothing("mail address", found)


@AREA.check(Capability.DATABASE)
def no_dimension_is_of_users(look: Look) -> Finding:
    """No custom dimension is made of who a visitor is: a user's name or id, a login, a mail address."""
    if "custom_dimensions" not in look.database.tables():
        return nothing("dimension of users", [])
    rows = look.database.query(
        "SELECT name, extractions FROM {prefix}custom_dimensions"
        " WHERE active AND CONCAT(name, ' ', COALESCE(extractions, '')) REGEXP %s",
        NAMES_A_USER,
    )
    return nothing("dimension of users", [f"{it['name']} {it['extractions']}" for it in rows])


@AREA.check(Capability.DATABASE)
def no_archive_names_users(look: Look) -> Finding:
    """No report of users is in an archive, of a time when there was one."""
    blobs = [it for it in sorted(look.database.tables()) if it.startswith("archive_blob_")]
    found = []
    for table in blobs:
        rows = look.database.query(
            f"SELECT COUNT(*) AS reports FROM {{prefix}}{table}"  # noqa: S608
            " WHERE name LIKE 'UserId\\_%%'"
        )
        found += [f"{it['reports']} in {table}" for it in rows if it["reports"]]
    return nothing("report", found)


@AREA.check(
    Capability.CHANGE, Capability.DATABASE, steps=(Step.TRAFFIC, Step.REFUSED_HITS, Step.ARCHIVES)
)
def nowhere_in_the_database(look: Look) -> Finding:
    """After hits and archiving the user id is in no table, in clear or as its hash."""
    return nothing("user id", sweep.database(look, sweep.user_ids(look.day.sent)))


@AREA.check(
    Capability.CHANGE, Capability.CONTAINER, steps=(Step.TRAFFIC, Step.REFUSED_HITS, Step.ARCHIVES)
)
def nowhere_in_a_file(look: Look) -> Finding:
    """After hits and archiving the user id is in no file."""
    return nothing("user id", sweep.files(look, sweep.user_ids(look.day.sent)))


@AREA.check(Capability.SERVICES, steps=(Step.TRAFFIC, Step.REFUSED_HITS))
def nowhere_in_the_web_log(look: Look) -> Finding:
    """The web server's log keeps no user id: it outlives Matomo's own data."""
    found = sweep.logs(look, sweep.user_ids(look.day.sent), only="web")
    return nothing("user id", found)
