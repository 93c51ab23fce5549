"""Plugins: exactly those that are promised, whole, and fit for this Matomo."""

from collections.abc import Mapping
from typing import Final

from matomo_harness.gate.core.check import Area, Capability, Finding, Step, holds, nothing, same
from matomo_harness.gate.probes.look import Look
from matomo_harness.matomo.api import ApiError
from matomo_harness.matomo.web import Parameters

AREA: Final = Area("plugins")

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
"""What these plugins' install() makes; a plugin that is listed as installed and never was, lacks it."""
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
"""A question to each, whose answer needs its tables and classes."""
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
"""What people make in each, by the API that the pages ask."""
PNG: Final = b"\x89PNG"


@AREA.check(Capability.API)
def promised_are_active(look: Look) -> Finding:
    """Every plugin that the policy names is active."""
    promised = list(look.policy.plugins.active)
    answers = look.api.call_many(
        [{"method": "API.isPluginActivated", "pluginName": name} for name in promised]
    )
    inactive = [name for name, it in zip(promised, answers, strict=True) if not _true(it)]
    return nothing("promised plugin that is inactive", inactive)


def _true(answer: object) -> bool:
    value = answer.get("value") if isinstance(answer, dict) else answer
    return value in (True, 1, "1", "true")


@AREA.check(Capability.LOGIN)
def nothing_else_is_active(look: Look) -> Finding:
    """No plugin is active that the policy does not name."""
    known = {*look.policy.plugins.active, *look.policy.plugins.where_present}
    active = {
        name
        for name, it in look.plugins_page.items()
        # Themes and what Matomo itself cannot do without are always there.
        if it["activated"] and not it.get("alwaysActivated")
    }
    return nothing("active plugin beyond the policy", sorted(active - known))


@AREA.check(Capability.API)
def user_id_is_off(look: Look) -> Finding:
    """The UserId plugin is not active."""
    answer = look.api.call("API.isPluginActivated", pluginName="UserId")
    return same(False, _true(answer))


@AREA.check(Capability.CONTAINER, costly=True)
def have_their_code(look: Look) -> Finding:
    """Every active plugin has its folder and its code."""
    names = " ".join(look.facts["activated"])
    script = f'for it in {names}; do [ -n "$(ls plugins/$it 2>/dev/null)" ] || echo $it; done'
    return nothing("active plugin without code", look.shell.run("sh", "-c", script).split())


@AREA.check(Capability.CONTAINER)
def have_their_tables(look: Look) -> Finding:
    """Every active plugin has the tables that its installation makes."""
    active = set(look.facts["activated"])
    needed = {table: name for name in active for table in TABLES.get(name, ())}
    missing = sorted(needed.keys() - set(look.facts["tables"]))
    return nothing("missing table", [f"{it} of {needed[it]}" for it in missing])


@AREA.check(Capability.CONTAINER)
def have_their_columns(look: Look) -> Finding:
    """Every column that an active plugin stores a hit's facts in is there."""
    return nothing("missing column", look.facts["no_columns"])


@AREA.check(Capability.CONTAINER)
def core_has_its_tables(look: Look) -> Finding:
    """Every table of Matomo's own schema is there."""
    # Of archives there is one for each month that was archived, made when it is needed.
    needed = set(look.facts["core_tables"]) - {"archive_blob", "archive_numeric"}
    return nothing("missing table", sorted(needed - set(look.facts["tables"])))


@AREA.check(Capability.DATABASE)
def tables_have_their_keys(look: Look) -> Finding:
    """Every table has its primary key: a restore may lose it, and rows are no longer one of a kind."""
    rows = look.database.query(
        "SELECT TABLE_NAME AS name FROM information_schema.TABLES"
        " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' AND TABLE_NAME NOT IN"
        " (SELECT TABLE_NAME FROM information_schema.STATISTICS"
        " WHERE TABLE_SCHEMA = DATABASE() AND INDEX_NAME = 'PRIMARY')"
    )
    return nothing("table without a key", [str(it["name"]) for it in rows])


@AREA.check(Capability.CONTAINER)
def fit_this_version(look: Look) -> Finding:
    """What each plugin requires of Matomo, PHP and other plugins is here."""
    return nothing("unmet requirement", look.facts["missing"])


@AREA.check(Capability.LOGIN)
def requirements_are_met(look: Look) -> Finding:
    """The plugins page names no missing requirement of a promised plugin."""
    missing = [
        f"{name}: {it['missingRequirements']}"
        for name, it in look.plugins_page.items()
        if name in look.policy.plugins.active and it.get("missingRequirements")
    ]
    return nothing("missing requirement", missing)


@AREA.check(Capability.API)
def answer(look: Look) -> Finding:
    """Every plugin that can be asked something answers, without an error."""
    promised = {*look.policy.plugins.active}
    asked = {name: it for name, it in READS.items() if name in promised}
    answers = look.api.call_many(
        [{"method": method, "idSite": 1, **more} for method, more in asked.values()]
    )
    errors = [
        f"{name}: {it.get('message')}"
        for name, it in zip(asked, answers, strict=True)
        if isinstance(it, dict) and it.get("result") == "error"
    ]
    return nothing("error", errors)


@AREA.check()
def opt_out_is_served(look: Look) -> Finding:
    """Any site's visitor gets the script by which he opts out, without a session here."""
    answer = look.web.get({"module": "CoreAdminHome", "action": "optOutJS", "divId": "opt-out"})
    kind = answer.headers.get("Content-Type", "")
    kept = answer.ok and "javascript" in kind and "opt-out" in answer.text
    return holds(kept, "the script", f"HTTP {answer.status_code}, {kind}")


@AREA.check()
def opt_out_may_be_framed(look: Look) -> Finding:
    """The page by which a visitor opts out may be a frame on any site's own page."""
    answer = look.web.get({"module": "CoreAdminHome", "action": "optOut"})
    frame, policy = (
        answer.headers.get(it, "") for it in ("X-Frame-Options", "Content-Security-Policy")
    )
    kept = answer.ok and not frame and "frame-ancestors" not in policy
    return holds(kept, "a page without a word on frames", f"HTTP {answer.status_code} {frame}")


@AREA.check(Capability.HITS, Capability.API, steps=(Step.TRAFFIC,))
def opt_outs_are_kept(look: Look) -> Finding:
    """Who opted out is not counted: a hit with Matomo's own cookie of it is no visit."""
    counted = look.day.opted_out in look.day.stored
    return holds(not counted, "nothing stored", "a visit" if counted else "nothing stored")


@AREA.check(Capability.CONTAINER)
def nobody_else_decides(look: Look) -> Finding:
    """No plugin but Matomo's own has a say in who gets in, what is masked and what is counted."""
    deciding = [
        f"{name}: {event}"
        for name, events in look.facts["hooks"].items()
        for event in events
        if event in DECISIONS and name not in look.policy.plugins.may_decide
    ]
    return nothing("plugin that decides", deciding)


@AREA.check(Capability.CHANGE, steps=(Step.SITE,))
def take_what_is_made(look: Look) -> Finding:
    """What people make in a plugin is taken: a segment, a goal, a note, a report, a dashboard."""
    promised = {*look.policy.plugins.active}
    asked = {name: it for name, it in MADE.items() if name in promised}
    errors = []
    for name, (method, more) in asked.items():
        try:
            look.api.call(method, **{**more, "idSite": look.day.sites[0]})
        except ApiError as error:
            errors.append(f"{name}: {error.seen}")
    return nothing("error", errors)


@AREA.check(Capability.LOGIN, Capability.API)
def pictures_are_drawn(look: Look) -> Finding:
    """Reports have their pictures: the curves of overviews, and the graphs that are mailed."""
    where: Parameters = {"idSite": 1, "period": "day", "date": "last10"}
    curve: Parameters = {
        **{"module": "VisitsSummary", "action": "getEvolutionGraph"},
        **{"viewDataTable": "sparkline", "columns": "nb_visits"},
    }
    graph: Parameters = {
        **{"module": "API", "method": "ImageGraph.get", "apiModule": "VisitsSummary"},
        **{"apiAction": "get", "graphType": "evolution"},
    }
    token = {"token_auth": look.target.token or ""}
    answers = {
        "curve": look.superuser.get({**where, **curve}),
        "graph": look.web.post({**where, **graph}, token),
    }
    missing = [
        f"{name}: {len(it.content)} bytes, {it.headers.get('Content-Type')}"
        for name, it in answers.items()
        if not it.content.startswith(PNG)
    ]
    return nothing("missing picture", missing)


@AREA.check(Capability.CONTAINER)
def tracker_is_whole(look: Look) -> Finding:
    """The tracker JavaScript on disk is this version's, with every active plugin's part in it."""
    return same(True, look.facts["tracker_is_whole"])


@AREA.check()
def tracker_is_served(look: Look) -> Finding:
    """matomo.js and piwik.js are served to every site's pages, and are the same."""
    answers = [look.web.ask(it) for it in ("matomo.js", "piwik.js")]
    kept = all(it.ok and "Matomo" in it.text[:300] for it in answers)
    kept = kept and answers[0].content == answers[1].content
    # With nosniff a browser runs nothing else (Fetch, "blocked due to nosniff").
    kinds = [it.headers.get("Content-Type", "") for it in answers]
    kept = kept and all("javascript" in it for it in kinds)
    # Else a browser keeps it from pages of another origin (Fetch, Cross-Origin-Resource-Policy).
    whose = [it.headers.get("Cross-Origin-Resource-Policy", "cross-origin") for it in answers]
    kept = kept and set(whose) == {"cross-origin"}
    seen = ", ".join(
        f"HTTP {it.status_code}, {len(it.content)} bytes, {kind}, {policy}"
        for it, kind, policy in zip(answers, kinds, whose, strict=True)
    )
    return holds(kept, "Matomo's tracker under both names, cross-origin", seen)
