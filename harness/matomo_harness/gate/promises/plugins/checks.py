"""Plugins: exactly the promised ones are active, and they are complete and fit for this Matomo."""

from collections.abc import Mapping
from typing import Final

from pydantic import Field

from matomo_harness.gate.core.check import Capability, Finding, Severity, nothing, same
from matomo_harness.gate.core.promise import ALWAYS, Promise
from matomo_harness.gate.core.target import Http
from matomo_harness.gate.probes.pages import SuperuserPages
from matomo_harness.gate.probes.php import Php
from matomo_harness.gate.probes.traffic import TestSite, first_site
from matomo_harness.matomo.api import Api, ApiError
from matomo_harness.matomo.container import MatomoContainer, plugin_folders
from matomo_harness.matomo.web import Parameters
from matomo_harness.policy import Names, Section, promised


class Plugins(Section, table="plugins"):
    """Which plugins are active, and what they may decide."""

    active: Names | None = Field(default=None, description="Exactly these are active.")
    where_present: Names = Field(
        default=(), description="These are active too, where the image has them."
    )
    may_decide: Names | None = Field(
        default=None,
        description="Beside Matomo's own, these may have a say in logins, masking and counting.",
    )
    allowed_events: Names = Field(
        default=(), description="Events that any plugin may use, although they decide."
    )


PROMISE: Final = Promise(
    "plugins",
    "Exactly the promised plugins are active, and they are complete and fit for this Matomo.",
    Plugins,
)

TABLES: Final = {
    "CustomDimensions": ("custom_dimensions",),
    "Dashboard": ("user_dashboard",),
    "LanguagesManager": ("user_language",),
    "PrivacyManager": ("privacy_logdata_anonymizations",),
    "ScheduledReports": ("report", "report_subscriptions"),
    "SegmentEditor": ("segment",),
    "Login": ("brute_force_log",),
    "TwoFactorAuth": ("twofactor_recovery_code",),
    "TagManager": (
        *("tagmanager_container", "tagmanager_container_version", "tagmanager_container_release"),
        *("tagmanager_tag", "tagmanager_trigger", "tagmanager_variable"),
    ),
}
"""Tables that these plugins' install() makes; one listed as installed that never was lacks them."""
READS: Final = {
    "Annotations": ("Annotations.getAll", {"period": "day", "date": "today"}),
    "CustomDimensions": ("CustomDimensions.getConfiguredCustomDimensions", {}),
    "Dashboard": ("Dashboard.getDashboards", {}),
    "Goals": ("Goals.getGoals", {}),
    "LanguagesManager": ("LanguagesManager.getAvailableLanguages", {}),
    "Live": ("Live.getCounters", {"lastMinutes": "30"}),
    "ScheduledReports": ("ScheduledReports.getReports", {}),
    "SegmentEditor": ("SegmentEditor.getAll", {}),
    "SitesManager": ("SitesManager.getAllSitesId", {}),
    "UsersManager": ("UsersManager.getUsers", {}),
    "TagManager": ("TagManager.getContainers", {}),
    "VisitsSummary": ("VisitsSummary.get", {"period": "day", "date": "today"}),
    "Actions": ("Actions.getPageUrls", {"period": "day", "date": "today"}),
    "Referrers": ("Referrers.get", {"period": "day", "date": "today"}),
    "Events": ("Events.getCategory", {"period": "day", "date": "today"}),
    "Contents": ("Contents.getContentNames", {"period": "day", "date": "today"}),
    "DevicesDetection": ("DevicesDetection.getModel", {"period": "day", "date": "today"}),
    "Resolution": ("Resolution.getResolution", {"period": "day", "date": "today"}),
    "UserCountry": ("UserCountry.getCountry", {"period": "day", "date": "today"}),
    "API": ("API.getReportMetadata", {}),
}
"""A request to each plugin whose answer needs the plugin's tables and classes."""
DECISIONS: Final = frozenset(
    {
        "API.Request.authenticate",
        "API.Request.intercept",
        "Access.Capability.filterCapabilities",
        "Access.modifyUserAccess",
        "ArchiveProcessor.getArchive",
        "Archiver.filterRecordBuilders",
        "Archiving.isRequestAuthorizedToArchive",
        "CronArchive.alterArchivingRequestUrl",
        "CronArchive.filterWebsiteIds",
        "Db.getDatabaseConfig",
        "Dimension.filterDimensions",
        "Login.beforeLoginCheckAllowed",
        "Login.resetPassword.confirmed",
        "Login.userRequiresPasswordConfirmation",
        "PrivacyManager.shouldIgnoreDnt",
        "Request.initAuthenticationObject",
        "ScheduledTasks.shouldExecuteTask",
        "Session.beforeSessionStart",
        "Tracker.Cache.getSiteAttributes",
        "Tracker.Request.getIdSite",
        "Tracker.getDatabaseConfig",
        "Tracker.isExcludedVisit",
        "Tracker.makeNewVisitObject",
        "Tracker.newHandler",
        "Tracker.setTrackerCacheGeneral",
        "Tracker.setVisitorIp",
        "TwoFactorAuth.requiresTwoFactorAuthentication",
        "UsersManager.checkPassword",
    }
)
"""Events by which a plugin can undo a promise (Matomo's developer reference, Events)."""
MADE: Final[Mapping[str, tuple[str, Parameters]]] = {
    "Annotations": ("Annotations.add", {"date": "2026-01-05", "note": "gate"}),
    "Dashboard": (
        "Dashboard.createNewDashboardForUser",
        {"login": "gate", "dashboardName": "gate", "addDefaultWidgets": 1},
    ),
    "Goals": (
        "Goals.addGoal",
        {"name": "gate", "matchAttribute": "url", "pattern": "x", "patternType": "contains"},
    ),
    "ScheduledReports": (
        "ScheduledReports.addReport",
        {
            **{"description": "gate", "period": "never", "hour": 0, "reportType": "email"},
            **{"reportFormat": "html", "reports[0]": "VisitsSummary_get"},
            **{"parameters[displayFormat]": 1, "parameters[emailMe]": "true"},
        },
    ),
    "SegmentEditor": (
        "SegmentEditor.add",
        {"name": "gate", "definition": "visitCount>=9", "autoArchive": 0},
    ),
}
"""What people make in each plugin, by the API methods that Matomo's pages call."""
PNG: Final = b"\x89PNG"


# -- which are active -----------------------------------------------------------------------------


@PROMISE.check(
    "promised_are_active",
    proves="active",
    severity=Severity.HIGH,
    remedy="Add the plugin to Plugins[] of [Plugins] in config.ini.php, spelt as its folder is.",
    failure_mode="C14",
)
def promised_are_active(plugins: Plugins, api: Api, container: MatomoContainer | None) -> Finding:
    """Every plugin that the policy names is active, or absent where it says so."""
    present = plugin_folders(container) if container and plugins.where_present else frozenset()
    names = (
        *promised(plugins.active),
        *(each for each in plugins.where_present if each in present),
    )
    answers = api.call_many(
        [{"method": "API.isPluginActivated", "pluginName": name} for name in names]
    )
    inactive = [name for name, answer in zip(names, answers, strict=True) if not _is_true(answer)]
    return nothing("promised plugin that is inactive", inactive)


def _is_true(answer: object) -> bool:
    value = answer.get("value") if isinstance(answer, dict) else answer
    return value in (True, 1, "1", "true")


@PROMISE.check(
    "nothing_else_is_active",
    proves="active",
    severity=Severity.MEDIUM,
    remedy="Take the plugin out of Plugins[] of [Plugins] in config.ini.php, or name it in the"
    " policy's [plugins] active.",
    failure_mode="C10",
)
def nothing_else_is_active(plugins: Plugins, pages: SuperuserPages) -> Finding:
    """No plugin is active that the policy does not name."""
    known = {*promised(plugins.active), *plugins.where_present}
    active = {
        name
        for name, shown in pages.plugins.items()
        # Themes and what Matomo itself cannot do without are always there.
        if shown["activated"] and not shown.get("alwaysActivated")
    }
    return nothing("active plugin beyond the policy", sorted(active - known))


@PROMISE.check(
    "user_id_is_off",
    proves="user_ids.none_stored",
    severity=Severity.HIGH,
    remedy="Take UserId out of Plugins[] of [Plugins] in config.ini.php.",
    failure_mode="P11",
)
def user_id_is_off(api: Api) -> Finding:
    """The UserId plugin is not active."""
    answer = api.call("API.isPluginActivated", pluginName="UserId")
    return same(False, _is_true(answer))


# -- whether they are complete --------------------------------------------------------------------


@PROMISE.check(
    "have_their_code",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Build the image with the plugin's folder in plugins/, or take the plugin out of"
    " Plugins[] of [Plugins].",
    failure_mode="G7",
    costly=True,
)
def have_their_code(php: Php, container: MatomoContainer) -> Finding:
    """Every active plugin has its folder, with code in it."""
    folders = php.facts["folders"]
    script = 'for folder; do [ -n "$(ls "$folder" 2>/dev/null)" ] || echo "$folder"; done'
    empty = container.run("sh", "-c", script, "sh", *folders.values()).splitlines()
    without = [name for name, folder in folders.items() if folder in empty]
    return nothing("active plugin without code", without)


@PROMISE.check(
    "have_their_tables",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Take the plugin out of PluginsInstalled[] of [PluginsInstalled] in config.ini.php, and"
    " deactivate and activate it by the console, so that it is installed again.",
    failure_mode="G1",
)
def have_their_tables(php: Php) -> Finding:
    """Every active plugin has the tables that its installation creates."""
    active = set(php.facts["activated"])
    needed = {table: name for name in active for table in TABLES.get(name, ())}
    missing = sorted(needed.keys() - set(php.facts["tables"]))
    return nothing("missing table", [f"{table} of {needed[table]}" for table in missing])


@PROMISE.check(
    "have_their_columns",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Add the column by ALTER TABLE, with the type that the plugin's class in Columns/ declares.",
    failure_mode="U3",
)
def have_their_columns(php: Php) -> Finding:
    """Every column in which an active plugin stores a fact about a hit exists."""
    return nothing("missing column", php.facts["no_columns"])


# -- whether they fit and do their work -----------------------------------------------------------


@PROMISE.check(
    "fit_this_version",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Put into the image a release of the plugin whose plugin.json accepts this Matomo and this"
    " PHP.",
    failure_mode="M6",
)
def fit_this_version(php: Php) -> Finding:
    """Every plugin's requirements of Matomo, PHP and other plugins are met."""
    return nothing("unmet requirement", php.facts["missing"])


@PROMISE.check(
    "requirements_are_met",
    proves="active",
    severity=Severity.HIGH,
    remedy="Put into the image a release of the plugin whose requirements are met;"
    " Administration, Plugins names them.",
    failure_mode="M6",
)
def requirements_are_met(plugins: Plugins, pages: SuperuserPages) -> Finding:
    """The plugins page names no missing requirement of a promised plugin."""
    names = promised(plugins.active)
    missing = [
        f"{name}: {shown['missingRequirements']}"
        for name, shown in pages.plugins.items()
        if name in names and shown.get("missingRequirements")
    ]
    return nothing("missing requirement", missing)


@PROMISE.check(
    "each_answers",
    formerly="plugins.answer",
    proves="active",
    severity=Severity.LOW,
    remedy="Read the error, and activate the plugin or restore the table that it misses.",
    failure_mode="G1",
)
def each_answers(plugins: Plugins, api: Api) -> Finding:
    """Every promised plugin that has an API answers a request without an error."""
    names = promised(plugins.active)
    requests = {name: request for name, request in READS.items() if name in names}
    site = first_site(api)
    answers = api.call_many(
        [{"method": method, "idSite": site, **query} for method, query in requests.values()]
    )
    errors = [
        f"{name}: {answer.get('message')}"
        for name, answer in zip(requests, answers, strict=True)
        if isinstance(answer, dict) and answer.get("result") == "error"
    ]
    return nothing("error", errors)


@PROMISE.check(
    "nobody_else_decides",
    proves=("may_decide", "second_factors.for_everybody", "masking.bytes"),
    severity=Severity.HIGH,
    remedy="Remove the event from the plugin's registerEvents(), or name the plugin in the policy's"
    " [plugins] may_decide once its code has been read.",
    failure_mode="A1",
)
def nobody_else_decides(plugins: Plugins, php: Php) -> Finding:
    """Only Matomo's own and allowed plugins have a say in who gets in, what is masked and counted."""
    may_decide, decisions = plugins.may_decide or (), DECISIONS - {*plugins.allowed_events}
    deciding = [
        f"{name}: {event}"
        for name, events in php.facts["hooks"].items()
        for event in events
        if event in decisions and name not in may_decide
    ]
    return nothing("plugin that decides", deciding)


@PROMISE.check(
    "take_what_is_made",
    proves="active",
    severity=Severity.LOW,
    remedy="Read the error, and restore the plugin's table as this version of Matomo has it.",
    failure_mode="U3",
    needs=[Capability.CHANGE],
)
def take_what_is_made(plugins: Plugins, api: Api, site: TestSite) -> Finding:
    """Segments, goals, notes, reports and dashboards can be made in the promised plugins."""
    names = promised(plugins.active)
    requests = {name: request for name, request in MADE.items() if name in names}
    errors = []
    for name, (method, query) in requests.items():
        try:
            api.call(method, **{**query, "idSite": site.id})
        except ApiError as error:
            errors.append(f"{name}: {error.seen}")
    return nothing("error", errors)


@PROMISE.check(
    "pictures_are_drawn",
    proves=ALWAYS,
    severity=Severity.LOW,
    remedy="Build the image with PHP's extension gd, including FreeType.",
)
def pictures_are_drawn(http: Http, api: Api, pages: SuperuserPages) -> Finding:
    """Matomo draws the pictures of reports: the curves of overviews and the graphs of mails."""
    period: Parameters = {"idSite": first_site(api), "period": "day", "date": "last10"}
    curve: Parameters = {
        **{"module": "VisitsSummary", "action": "getEvolutionGraph"},
        **{"viewDataTable": "sparkline", "columns": "nb_visits"},
    }
    graph: Parameters = {
        **{"module": "API", "method": "ImageGraph.get", "apiModule": "VisitsSummary"},
        **{"apiAction": "get", "graphType": "evolution"},
    }
    answers = {
        "curve": pages.session.get({**period, **curve}),
        "graph": http.web.post({**period, **graph}, {"token_auth": api.token}),
    }
    missing = [
        f"{name}: {len(answer.content)} bytes, {answer.headers.get('Content-Type')}"
        for name, answer in answers.items()
        if not answer.content.startswith(PNG)
    ]
    return nothing("missing picture", missing)
