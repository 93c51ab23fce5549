"""Drift: what runs against what the repository says, file and database."""

import json
import re
import time
from typing import Any, Final

from matomo_harness.gate.core.check import (
    Area,
    CannotTellError,
    Capability,
    Finding,
    Group,
    nothing,
)
from matomo_harness.gate.probes.ini import Ini, differences, parse, pasteable
from matomo_harness.gate.probes.look import Look
from matomo_harness.gate.promises.configuration.checks import SEED, injected

AREA: Final = Area("drift")

OF_THE_ENVIRONMENT: Final = ("database", "database_reader", "mail", "PluginsInstalled")
"""Sections that differ from one deployment to the next, or that Matomo writes itself."""
OF_THE_INSTALLATION: Final = (
    ("General", "salt"),
    ("General", "trusted_hosts"),
    ("General", "installation_first_accessed"),
    ("General", "installation_in_progress"),
    ("General", "instance_id"),
)
CODE: Final = "/usr/src/matomo"
"""Of the image; every task copies it to the web root."""
OF_MATOMO: Final = ("matomo.js", "piwik.js")
"""It writes them for the plugins that are active; plugins.tracker_is_whole looks at them."""
OF_THE_FILE: Final = re.compile(r"config/(\w+\.localhost\.)?config\.ini\.php")
"""Which file_is_the_image_s looks at; one of several instances has it under its own host's name."""
OF_THE_BASE: Final = "/usr/src/matomo.sha256"
"""Of the image: sums of Matomo's code as the base has it (image/Dockerfile)."""
OWN: Final = ("config/common.config.ini.php", "core/Version.php", *OF_MATOMO)
"""May be an image's own: it changes no code. The version and the tracker are looked at elsewhere."""
DEFAULTS: Final = "config/global.ini.php config/common.config.ini.php"
SETTINGS: Final = (
    *("PrivacyManager.", "delete_", "enableBrowserTriggerArchiving", "todayArchiveTimeToLive"),
    *("SitesManager_Exclude", "SitesManager_Keep", "SitesManager_Search", "branding_"),
    *("MobileMessaging", "usersmanager.", "usercountry.location_provider"),
)
"""Beginnings of the names of options that are settings; the rest is Matomo's own bookkeeping."""
ASKS_OR_WRITES: Final = r"\$_(GET|POST|REQUEST|COOKIE)|file_put_contents|\b(eval|system|exec) *\("
LEFT_OUT: Final = ("exclude_unknown_urls", "excluded_user_agents")
"""Columns of a site by which whole visits are left out, in silence (core/Tracker/VisitExcluded.php)."""
NOTHING_SET: Final = ("0", "", "[]", "None", "null", "false")
LONGEST_WAIT: Final = 32 * 24 * 3600
"""Seconds; Matomo knows hourly, daily, weekly and monthly tasks (core/Scheduler/Schedule)."""
BOOKKEEPING: Final = ("PrivacyManager.userIdSalt", "delete_logs_lastRun", "delete_reports_lastRun")


@AREA.check(Capability.CONTAINER)
def file_is_the_image_s(look: Look) -> Finding:
    """config.ini.php says what the image's own says, comments and order aside."""
    seed = look.shell.run("sh", "-c", f"cat {SEED} 2>/dev/null || true")
    if not seed:
        raise CannotTellError(f"the image has no {SEED} to compare with")
    here = _compared(parse(look.shell.read(look.shell.config)))
    # Matomo drops what equals its defaults when it saves: its own, and the image's over them.
    defaults = parse(look.shell.run("sh", "-c", f"cat {DEFAULTS} 2>/dev/null || true"))
    found = differences(_compared(parse(seed)), here, defaults)
    finding = nothing("difference", found)
    if finding.kept:
        return finding
    return Finding(False, finding.expected, finding.seen, {"drift.ini": pasteable(here, found)})


def _compared(ini: Ini) -> Ini:
    return {
        section: {key: it for key, it in keys.items() if (section, key) not in OF_THE_INSTALLATION}
        for section, keys in ini.items()
        if section not in OF_THE_ENVIRONMENT
    }


@AREA.check(Capability.CONTAINER, costly=True, group=Group.WEB_ROOT)
def web_root_is_the_image_s(look: Look) -> Finding:
    """The web root's code is the image's own, and no program is there besides."""
    # An empty file is none: Matomo makes an empty favicon.ico.
    said = look.shell.run("sh", "-c", f"LC_ALL=C diff -rqN {CODE} . || true")
    if not (changed := re.findall(r"^Files .+ and \./(.+) differ$", said, re.MULTILINE)):
        raise CannotTellError(f"the image has no {CODE} to compare with")
    return nothing("file beyond the image", [it for it in changed if _is_code(it)])


@AREA.check(Capability.WEB_ROOT, Capability.CHANGE, group=Group.WEB_ROOT)
def nothing_runs_beside_matomo(look: Look) -> Finding:
    """PHP loads nothing before a page in the web server: an agent would see each hit as it came."""
    said = look.said_by_php('echo "LOADED", json_encode(array_slice(get_included_files(), 0, -1));')
    before = json.loads(said.partition("LOADED")[2].partition("]")[0] + "]")
    return nothing("file that is loaded first", before)


@AREA.check(Capability.CONTAINER, costly=True)
def matomo_is_the_base_s(look: Look) -> Finding:
    """Matomo's code in the image is its base's to the byte: no build patches it, or adds to its own parts."""
    listed = look.shell.run("sh", "-c", f"cat {OF_THE_BASE} 2>/dev/null || true")
    ours = {it.partition("  ")[2] for it in listed.splitlines()}
    if not ours:
        raise CannotTellError(f"the image has no {OF_THE_BASE} to compare with")
    changed = look.shell.run(
        "sh", "-c", f"cd {CODE} && LC_ALL=C sha256sum --quiet -c {OF_THE_BASE} 2>/dev/null || true"
    )
    there = look.shell.run("sh", "-c", f"cd {CODE} && find . -type f").splitlines()
    parts = {_part(it) for it in ours}
    added = [it for it in there if it not in ours and _part(it) in parts and _is_code(it[2:])]
    beyond = [
        *re.findall(r"^(?:\./)?(.+): FAILED", changed, re.MULTILINE),
        *(it[2:] for it in added),
    ]
    return nothing("file beyond the base", [it for it in beyond if it not in OWN])


def _part(path: str) -> str:
    """A plugin's folder, or the first folder: what a build may add as a whole."""
    return "/".join(path.split("/")[: 3 if path.startswith("./plugins/") else 2])


def _is_code(path: str) -> bool:
    if path.startswith("tmp/") or path in OF_MATOMO or path.endswith("/.htaccess"):
        return False
    # People's files are there too: logos, a tag manager's scripts, a database of places.
    if path.startswith(("config/", "misc/", "js/")):
        return path.endswith(".php") and not OF_THE_FILE.fullmatch(path)
    return True


@AREA.check(Capability.CONTAINER)
def compiled_pages_only_show(look: Look) -> Finding:
    """No program in tmp/, where Matomo compiles its pages, reads what is sent or writes a file of its own."""
    # Twig's and Matomo's own do neither; one that does was put there.
    script = f"grep -rlE --include='*.php' '{ASKS_OR_WRITES}' {look.shell.tmp} 2>/dev/null || true"
    return nothing("program", look.shell.run("sh", "-c", script).splitlines())


@AREA.check(Capability.CONTAINER)
def variables_are_the_policy_s(look: Look) -> Finding:
    """No variable of the environment overrules config.ini.php but those that the policy names."""
    named = {*look.policy.environment.variables, *look.policy.environment.may_be_set}
    found = [it for it in injected(look.facts) if it.removesuffix("_FILE") not in named]
    return nothing("variable beyond the policy", found)


@AREA.check(Capability.DATABASE)
def options_are_the_policy_s(look: Look) -> Finding:
    """No setting in the table option is other than the policy says."""
    rows = look.database.query(
        "SELECT option_name AS name, option_value AS value FROM {prefix}option"
    )
    return nothing("setting beyond the policy", _beyond(rows, look.policy.settings.options))


@AREA.check(Capability.DATABASE)
def database_does_nothing_of_its_own(look: Look) -> Finding:
    """No trigger, event, routine, view or table with a history is in the schema: Matomo makes none."""
    kinds = (
        ("TRIGGER", "TRIGGERS", "TRIGGER_NAME", "TRIGGER_SCHEMA"),
        ("EVENT", "EVENTS", "EVENT_NAME", "EVENT_SCHEMA"),
        ("ROUTINE", "ROUTINES", "ROUTINE_NAME", "ROUTINE_SCHEMA"),
        ("VIEW", "VIEWS", "TABLE_NAME", "TABLE_SCHEMA"),
    )
    found = [
        f"{kind.lower()} {row['name']}"
        for kind, table, name, schema in kinds
        for row in look.database.query(
            f"SELECT {name} AS name FROM information_schema.{table}"  # noqa: S608
            f" WHERE {schema} = DATABASE()"
        )
    ]
    found += [
        f"history of {row['name']}"
        for row in look.database.query(
            "SELECT TABLE_NAME AS name FROM information_schema.TABLES"
            " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'SYSTEM VERSIONED'"
        )
    ]
    return nothing("trigger, event, routine, view or history", found)


@AREA.check(Capability.DATABASE)
def plugin_settings_are_the_policy_s(look: Look) -> Finding:
    """No plugin setting in the database is other than the policy says."""
    rows = look.database.query(
        "SELECT CONCAT(plugin_name, '.', setting_name) AS name, setting_value AS value"
        " FROM {prefix}plugin_setting WHERE user_login = ''"
    )
    known = set(look.policy.settings.plugin_settings)
    found = [f"{it['name']}={it['value']}" for it in rows]
    return nothing("plugin setting beyond the policy", [it for it in found if it not in known])


@AREA.check(Capability.DATABASE)
def site_settings_are_the_policy_s(look: Look) -> Finding:
    """No site's own setting of a plugin's, or of what it leaves out, is other than the policy says."""
    rows = look.database.query(
        "SELECT CONCAT(plugin_name, '.', setting_name) AS name, setting_value AS value, idsite"
        " FROM {prefix}site_setting WHERE plugin_name NOT LIKE '%%Measurable'"
    )
    known = set(look.policy.settings.site_settings)
    found = [
        f"{it['name']}={it['value']} of site {it['idsite']}"
        for it in rows
        # The form of a site saves all of them, and what is off or empty is Matomo's default.
        if str(it["value"]) not in NOTHING_SET and f"{it['name']}={it['value']}" not in known
    ]
    found += [
        f"{name}={row[name]} of site {row['idsite']}"
        for row in look.database.query("SELECT * FROM {prefix}site")
        for name in LEFT_OUT
        if str(row.get(name)) not in NOTHING_SET and f"{name}={row[name]}" not in known
    ]
    return nothing("site's setting beyond the policy", found)


@AREA.check(Capability.CONTAINER)
def no_site_has_its_own_section(look: Look) -> Finding:
    """No site has a section of the configuration to itself, which would overrule what is promised of all."""
    found = [it for it in look.settings if re.search(r"_\d+$", it)]
    return nothing("section of one site", found)


@AREA.check(Capability.DATABASE)
def no_task_is_put_off(look: Look) -> Finding:
    """None of Matomo's own tasks waits longer than a month, as after a day with a wrong clock."""
    rows = look.database.query(
        "SELECT option_value AS value FROM {prefix}option"
        " WHERE option_name = 'TaskScheduler.timetable'"
    )
    last = time.time() + LONGEST_WAIT
    tasks = re.findall(r's:\d+:"([^"]+)";i:(\d+);', "".join(str(it["value"]) for it in rows))
    return nothing("task put off", [name for name, when in tasks if int(when) > last])


def _beyond(rows: list[dict[str, Any]], known: tuple[str, ...]) -> list[str]:
    return [
        f"{name}={row['value']}"
        for row in rows
        if (name := str(row["name"])).startswith(SETTINGS)
        and not name.startswith(BOOKKEEPING)
        and f"{name}={row['value']}" not in known
    ]
