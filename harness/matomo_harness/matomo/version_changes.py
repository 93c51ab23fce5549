"""What changes from one version of Matomo to another for who runs it: plugins, options, servers.

Read in Matomo's CHANGELOG.md, and in its code of 5.0, 5.3.1, 5.7, 5.8.0, 5.13 and 6.0 in
development. What only two of these differ in takes effect somewhere between, and is noted for the
later. Of 6 nothing has been released yet.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from packaging.version import InvalidVersion, Version

from matomo_harness.matomo.versions import number

READ_UP_TO: Final = Version("6.0")
"""The last version that these tables know anything of."""


class WhenSet(StrEnum):
    """Which config.ini.php a change concerns."""

    SET = "sets it"
    NOT_SET = "does not set it"


@dataclass(frozen=True)
class OptionChange:
    """An option of config.ini.php that means something else, is gone, or has another default.

    Args:
        since: the first version that is known to have it.
        section: of the file.
        name: of the option, without brackets.
        what: what changes.
        source: how that is known.
        concerns: which files.
        breaks: whether Matomo is out of order where nothing is done.
        is_written: whether core:update writes it into config.ini.php, which has to be captured.
    """

    since: Version
    section: str
    name: str
    what: str
    source: str
    concerns: WhenSet = WhenSet.SET
    breaks: bool = False
    is_written: bool = False


@dataclass(frozen=True)
class PluginChange:
    """One of Matomo's own plugins that comes or goes.

    Args:
        since: the first version that is known to have it so.
        name: of the plugin.
        what: what changes.
        source: how that is known.
        is_gone: whether it is gone; else it is new, and off where the file has a list of its own.
    """

    since: Version
    name: str
    what: str
    source: str
    is_gone: bool = False


@dataclass(frozen=True)
class ServerChange:
    """What Matomo needs around it.

    Args:
        since: the first version that needs it.
        what: is needed.
        source: how that is known.
    """

    since: Version
    what: str
    source: str


_LOG: Final = "CHANGELOG.md, "
_GUIDE: Final = "developer guide, Migrate from Matomo 5 to 6"

PLUGINS: Final = (
    PluginChange(
        Version("5.7"),
        "BotTracking",
        "new, and on by default; core:update to 5.9 activates it",
        _LOG + "5.7.0; core/Updates/5.9.0-b2.php",
    ),
    PluginChange(
        Version("5.7"),
        "AIAgents",
        "new, and on by default; core:update to 5.9 activates it, with MariaDB 10.3.2 or newer",
        "config/global.ini.php of 5.7; core/Updates/5.9.0-b2.php",
    ),
    PluginChange(
        Version("5.13"),
        "AIProviders",
        "new, and on by default; no update activates it",
        _LOG + "5.13.0",
    ),
    PluginChange(
        Version("6"),
        "SEO",
        "its widget and SEO.getRank are removed; a build or a console that names it fails",
        _LOG + "6.0.0; core/Updates/6.0.0-b1.php",
        is_gone=True,
    ),
    PluginChange(
        Version("6"),
        "TrackingSpamPrevention",
        "comes with Matomo, and core:update activates it; it runs twice where the plugin was"
        " installed and off",
        _LOG + "6.0.0; core/Updates/6.0.0-b1.php",
    ),
)

OPTIONS: Final = (
    OptionChange(
        Version("5.1.2"),
        "database",
        "collation",
        "queries and new tables take it, with charset; core:update writes the one of the tables",
        "core/Updates/5.1.2-rc1.php, and again 5.2.0-b2.php",
        WhenSet.NOT_SET,
        is_written=True,
    ),
    OptionChange(
        Version("5.7"),
        "General",
        "proxy_scheme_headers",
        "X-Forwarded-Proto and its like are believed only if listed here; with force_ssl and no"
        " assume_secure_protocol every page redirects for ever without them",
        _LOG + "5.7.0; core/Updates/5.7.0-b3.php",
        WhenSet.NOT_SET,
        breaks=True,
        is_written=True,
    ),
    OptionChange(
        Version("5.7"),
        "General",
        "minimum_mysql_version",
        "it has no effect any more",
        "config/global.ini.php of 5.7",
    ),
    OptionChange(
        Version("5.8"),
        "Tracker",
        "url_query_parameter_to_exclude_from_url",
        "the default list has more names (li_fat_id; from 5.13 on token_auth and token): an own"
        " list replaces it, and must have them, too",
        "config/global.ini.php of 5.8.0; " + _LOG + "5.13.0",
    ),
    OptionChange(
        Version("5.8"),
        "SitesManager",
        "CommonPIIParams",
        "the default list has many more names: an own list replaces it",
        "config/global.ini.php of 5.8.0",
    ),
    OptionChange(
        Version("5.13"),
        "proxy",
        "host",
        "the detection of a site's content fails with an outgoing proxy, unless exclude names hosts"
        " that are reached directly",
        _LOG + "5.13.0",
    ),
    OptionChange(
        Version("5.14"),
        "General",
        "enable_framed_pages",
        "it also decides about exports and the API's output: they may be framed with 1 alone",
        _LOG + "5.14.0",
    ),
    OptionChange(
        Version("6"),
        "General",
        "datatable_archiving_maximum_rows_actions_flat",
        "pages are archived flat, up to 10000; core:update writes 0, as it was before",
        _LOG + "6.0.0; core/Updates/6.0.0-b1.php",
        WhenSet.NOT_SET,
        is_written=True,
    ),
    OptionChange(
        Version("6"),
        "General",
        "datatable_archiving_maximum_rows_actions",
        "it does not limit pages and titles where …_actions_flat is above 0",
        _LOG + "6.0.0",
    ),
    OptionChange(
        Version("6"),
        "General",
        "datatable_archiving_maximum_rows_subtable_actions",
        "it does not limit pages and titles where …_actions_flat is above 0",
        _LOG + "6.0.0",
    ),
    OptionChange(
        Version("6"),
        "General",
        "proxy_host_headers",
        "the host that a proxy names must be in trusted_hosts[], and so must Matomo's own name:"
        " else a warning takes the login form's place",
        _LOG + "6.0.0",
        breaks=True,
    ),
    OptionChange(
        Version("6"),
        "General",
        "enable_users_admin",
        "0 also switches off UsersManager.addCapabilities and removeCapabilities",
        _GUIDE,
    ),
    OptionChange(
        Version("6"),
        "TrackingSpamPrevention",
        "block_clouds",
        "it fetches the clouds' addresses alone; cloud_blocking_mode decides which are blocked",
        _LOG + "6.0.0",
    ),
    OptionChange(
        Version("6"),
        "Live",
        "enable_aggregated_realtime_reports",
        "it has no effect any more",
        _LOG + "6.0.0",
    ),
    OptionChange(
        Version("6"),
        "Tracker",
        "create_new_visit_after_midnight",
        "with 0, time that a visit over midnight adds to the day before is not archived again",
        _LOG + "6.0.0",
    ),
)

SECTIONS_GONE: Final = (
    OptionChange(
        Version("6"),
        "APISettings",
        "*",
        "the section has no effect any more, as API.getSettings is gone",
        _LOG + "6.0.0",
    ),
)

SERVERS: Final = (
    ServerChange(
        Version("5.8"), "MySQL or MariaDB 5.5 or newer", "core/Db/Schema/Mariadb.php of 5.8.0"
    ),
    ServerChange(Version("6"), "PHP 8.1 or newer (7.2.5 before)", _GUIDE),
    ServerChange(Version("6"), "MySQL 8.0 or MariaDB 10.6 or newer; no TiDB", _GUIDE),
    ServerChange(
        Version("6"),
        "glob, fnmatch and file_get_contents are not in PHP's disable_functions",
        _LOG + "6.0.0",
    ),
    ServerChange(
        Version("6"),
        "no cron job that calls misc/cron/archive.sh, which is removed",
        _LOG + "6.0.0",
    ),
)

_ALWAYS: Final = """
Actions Annotations API BulkTracking Contents CoreAdminHome CoreConsole CoreHome
CorePluginsAdmin CoreUpdater CoreVisualizations CoreVue CustomDimensions CustomJsTracker
Dashboard DBStats DevicePlugins DevicesDetection Diagnostics Ecommerce Events FeatureFlags
Feedback GeoIp2 Goals Heartbeat ImageGraph Insights Installation Intl IntranetMeasurable
JsTrackerInstallCheck LanguagesManager Live Login Marketplace MobileAppMeasurable
MobileMessaging Monolog Morpheus MultiSites Overlay PagePerformance PrivacyManager
ProfessionalServices Proxy Referrers Resolution RssWidget ScheduledReports SegmentEditor
SEO SitesManager TagManager Tour Transitions TwoFactorAuth UserCountry UserCountryMap
UserId UserLanguage UsersManager VisitFrequency VisitorInterest VisitsSummary VisitTime
WebsiteMeasurable Widgetize
"""
OWN_PLUGINS: Final = frozenset(_ALWAYS.split())
"""Plugins that come with Matomo 5.3.1 and newer (config/global.ini.php, PluginList.php); what comes
or goes since then is in PLUGINS."""


def between(before: str, after: str, since: Version) -> bool:
    """Whether something that is so `since` a version is new on the way from one to another."""
    return number(before) < since <= number(after)


# -- what a plugin's plugin.json asks for ---------------------------------------------------------

_CONSTRAINT: Final = re.compile(
    r"(?P<operator>>=|<=|==|!=|=|>|<|\^|~)?\s*v?(?P<version>\d[\w.+-]*)"
)


def takes(requirement: str, version: str) -> bool:
    """Whether a plugin whose plugin.json has `requirement` for `matomo` runs with a version.

    It is Matomo's own rule (core/Plugin/Dependency.php): a list of constraints that all hold, where
    a bare version of two numbers or more stands for itself and newer; one that has no upper limit
    ends with its own major version. An empty text is for Matomo 4 alone.

    Args:
        requirement: as `>=5.0.0-b1,<6.0.0-b1`.
        version: of Matomo.

    Raises:
        ValueError: a constraint is none of these.
    """
    parts = [part.strip() for part in requirement.split(",") if part.strip()]
    if not parts:
        parts = [">=4.0.0-b1", "<5.0.0-b1"]
    constraints = [_constraint(part) for part in parts]
    if len(constraints) == 1:
        operator, bound = constraints[0]
        if operator in ("<", "<="):
            constraints.append((">=", Version(f"{bound.major}.0.0b1")))
        else:
            constraints.append(("<", Version(f"{bound.major + 1}.0.0b1")))
    code = Version(version)
    return all(_holds(code, operator, bound) for operator, bound in constraints)


def _constraint(text: str) -> tuple[str, Version]:
    found = _CONSTRAINT.fullmatch(text)
    try:
        if not found:
            raise InvalidVersion(text)
        # Matomo's own generator of plugins writes -stable, which Composer takes.
        named = re.sub(r"-stable$", "", found["version"], flags=re.IGNORECASE)
        bare = ">=" if "." in named else "="
        return found["operator"] or bare, Version(named)
    except InvalidVersion as error:
        raise ValueError(f"`{text}` is no constraint of a version") from error


def _holds(code: Version, operator: str, bound: Version) -> bool:
    if operator == "^":
        return bound <= code < Version(f"{bound.major + 1}.0.0b1")
    if operator == "~":
        # The last number that is named may grow.
        numbers: Sequence[int] = bound.release[:-1] or bound.release
        top = ".".join(map(str, (*numbers[:-1], numbers[-1] + 1)))
        return bound <= code < Version(top)
    return {
        ">=": code >= bound,
        "<=": code <= bound,
        ">": code > bound,
        "<": code < bound,
        "=": code == bound,
        "==": code == bound,
        "!=": code != bound,
    }[operator]


def relevant(
    changes: Iterable[OptionChange], sections: "dict[str, set[str]]"
) -> Iterable[OptionChange]:
    """Yield the changes that concern a file.

    Args:
        changes: of options, or of whole sections.
        sections: names of the options that the file sets, by section.
    """
    for change in changes:
        names = sections.get(change.section, set())
        is_set = bool(names) if change.name == "*" else change.name in names
        if is_set == (change.concerns is WhenSet.SET):
            yield change
