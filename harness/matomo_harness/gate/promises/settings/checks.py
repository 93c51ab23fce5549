"""Settings: nothing is set but what the policy says, in the file, the database and each site."""

import re
from collections.abc import Mapping
from typing import Final

from pydantic import Field

from matomo_harness import redaction
from matomo_harness.errors import WrongInputError
from matomo_harness.gate.core.check import CannotTellError, Finding, Severity, nothing
from matomo_harness.gate.core.promise import ALWAYS, Promise
from matomo_harness.gate.probes.browser import ALL_BYTES
from matomo_harness.gate.probes.drift import differences, pasteable
from matomo_harness.gate.probes.php import Php
from matomo_harness.gate.promises.accounts.checks import Accounts
from matomo_harness.gate.promises.archiving.checks import Archiving
from matomo_harness.gate.promises.masking.checks import Masking
from matomo_harness.matomo import ini
from matomo_harness.matomo.container import ADDED, MatomoContainer
from matomo_harness.matomo.database import Database
from matomo_harness.policy import Names, Section, promised


class Settings(Section, table="settings"):
    """What is set, in config.ini.php and by people's clicks in the database."""

    file_of_the_image: bool | None = Field(
        default=None, description="config.ini.php says what the image's own says."
    )
    options: Names | None = Field(
        default=None,
        description="Rows `name=value` that the table option may have; any other setting there is"
        " drift. What masking.bytes promises need not be named.",
    )
    plugin_settings: Names | None = Field(
        default=None,
        description="Settings of plugins, `plugin.name=value`, that the database may have; the"
        f" value of a secret is {redaction.REDACTED}.",
    )
    site_settings: Names | None = Field(
        default=None,
        description="Settings of single sites, `plugin.name=value` or `column=value`, that the"
        " database may have.",
    )
    visit_length_seconds: int = Field(
        default=1800,
        # Visits of the test traffic are 54 minutes apart, hits within one up to 221 s.
        ge=300,
        le=3200,
        description="A visit ends after so many seconds without a hit, at most.",
    )
    trust_visitors_cookies: bool = Field(
        default=False,
        description="A visitor may be known again by a cookie alone, whatever device sends it.",
    )
    invitation_days: int = Field(
        default=7, ge=1, description="An invitation opens an account for so many days, at most."
    )


PROMISE: Final = Promise("settings", "Nothing is set but what the policy says.", Settings)

ON: Final = ("1", "True")
OFF: Final = ("0", "", "False")
SAFEGUARDS: Final[Mapping[str, int | tuple[str, ...]]] = {
    **dict.fromkeys(
        (
            *("General.enable_trusted_host_check", "Tracker.record_statistics"),
            "Tracker.create_new_visit_after_midnight",
            *("Tracker.tracking_requests_require_authentication", "mail.ssl_verify_peer"),
            *("mail.ssl_verify_peer_name", "mail.ssl_disallow_self_signed"),
        ),
        ON,
    ),
    **dict.fromkeys(
        (
            *("General.enable_framed_pages", "General.enable_framed_settings"),
            *("General.enable_framed_allow_write_admin_token_auth", "General.csp_report_only"),
            *("General.cors_domains", "Tracker.exclude_requests", "Development.enabled"),
            *("Tracker.debug", "Tracker.debug_on_demand", "Tracker.use_third_party_id_cookie"),
            "Tracker.enable_fingerprinting_across_websites",
            "General.disable_checks_usernames_attributes",
            *("Debug.tracker_always_new_visitor", "Debug.log_sql_queries"),
            *("Debug.enable_sql_profiler", "Debug.enable_php_profiler"),
            *("Debug.always_archive_data_day", "Debug.always_archive_data_period"),
            *("Debug.always_archive_data_range", "database.ssl_no_verify"),
        ),
        OFF,
    ),
    "Tracker.create_new_visit_after_x_actions": ("10000",),
    "General.password_hash_algorithm": ("default", "bcrypt", "argon2i", "argon2id"),
    "Tracker.tracking_requests_require_authentication_when_custom_timestamp_newer_than": 86400,
}
"""Matomo's own defaults (config/global.ini.php of versions.DEFAULTS_READ): allowed values, or the
most in seconds. They are only those that promise something to visitors or users and that no other
check can show. An institution may choose other values of those that `chosen_safeguards` adds."""

OF_THE_ENVIRONMENT: Final = ("database", "database_reader", "mail", "PluginsInstalled")
"""Sections that differ from one deployment to the next, or that Matomo writes itself."""
OF_THE_INSTALLATION: Final = (
    ("General", "salt"),
    ("General", "trusted_hosts"),
    ("General", "installation_first_accessed"),
    ("General", "installation_in_progress"),
    ("General", "instance_id"),
)
DEFAULTS: Final = ("config/global.ini.php", "config/common.config.ini.php", ADDED)

SETTINGS: Final = (
    *("PrivacyManager.", "delete_", "enableBrowserTriggerArchiving", "todayArchiveTimeToLive"),
    *("SitesManager_Exclude", "SitesManager_Keep", "SitesManager_Search", "branding_"),
    *("MobileMessaging", "usersmanager.", "usercountry.location_provider"),
)
"""Beginnings of the names of options that are settings; the rest is Matomo's own bookkeeping."""
BOOKKEEPING: Final = ("PrivacyManager.userIdSalt", "delete_logs_lastRun", "delete_reports_lastRun")
EXCLUDING_COLUMNS: Final = ("exclude_unknown_urls", "excluded_user_agents")
"""Columns of a site that silently exclude whole visits (core/Tracker/VisitExcluded.php)."""
NOTHING_SET: Final = ("0", "", "[]", "None", "null", "false")


# -- what is in force -----------------------------------------------------------------------------


@PROMISE.check(
    "no_safeguard_is_off",
    proves=(
        *("visit_length_seconds", "trust_visitors_cookies", "invitation_days"),
        *("accounts.longest_session_seconds", "accounts.idle_session_seconds"),
        "archiving.unique_visitors_of",
    ),
    severity=Severity.HIGH,
    remedy="Remove the keys that are named from config.ini.php and common.config.ini.php, so that"
    " Matomo's defaults apply, or set them within what the policy allows.",
    failure_mode="A11",
    formerly="configuration.no_safeguard_is_off",
)
def no_safeguard_is_off(
    php: Php, settings: Settings, accounts: Accounts, archiving: Archiving
) -> Finding:
    """No default safeguard of Matomo is off or loosened (debug output, frames, unchecked certificates)."""
    effective = php.settings
    off = []
    for name, allowed in {**SAFEGUARDS, **chosen_safeguards(settings, accounts)}.items():
        section, _, key = name.partition(".")
        value = effective.get(section, {}).get(key)
        if not is_within(value, allowed):
            off.append(f"{name} = {value}")
    general = effective.get("General", {})
    for period in archiving.unique_visitors_of:
        key = f"enable_processing_unique_visitors_{period}"
        # Every Matomo has this key: where it is missing, the policy's word is no period.
        if str(general.get(key)) not in ON:
            off.append(f"General.{key} = {general.get(key)}")
    return nothing("safeguard off", off)


def chosen_safeguards(settings: Settings, accounts: Accounts) -> dict[str, int | tuple[str, ...]]:
    """Return the safeguards that an institution may loosen or tighten against Matomo's defaults."""
    trusted: tuple[str, ...] = (*OFF, *ON) if settings.trust_visitors_cookies else OFF
    remembered, idle = accounts.longest_session_seconds, accounts.idle_session_seconds
    return {
        "Tracker.trust_visitors_cookies": trusted,
        "Tracker.visit_standard_length": settings.visit_length_seconds,
        "General.login_cookie_expire": remembered,
        "General.login_session_not_remembered_idle_timeout": idle,
        "General.default_invite_user_token_expiry_days": settings.invitation_days,
    }


def is_within(value: object, allowed: int | tuple[str, ...]) -> bool:
    """Return whether a setting is an allowed value, at most the number, or unknown to this Matomo."""
    if value is None:
        return True
    if isinstance(allowed, int):
        return str(value).isdigit() and int(str(value)) <= allowed
    return str(value) in allowed


@PROMISE.check(
    "no_site_has_its_own_section",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Remove the section that is named from config.ini.php.",
    formerly="drift.no_site_has_its_own_section",
)
def no_site_has_its_own_section(php: Php) -> Finding:
    """No site has its own section of the configuration, which would override what is promised of all."""
    found = [section for section in php.settings if re.search(r"_\d+$", section)]
    return nothing("section of one site", found)


# -- config.ini.php -------------------------------------------------------------------------------


@PROMISE.check(
    "file_is_of_the_image",
    proves="file_of_the_image",
    severity=Severity.HIGH,
    remedy="Copy what drift.ini says into the repository's config.ini.php (matomo-harness capture"
    " writes it as a patch), or make the one on the volume say what the image's says.",
    failure_mode="C9",
    formerly="drift.file_is_the_image_s",
)
def file_is_of_the_image(container: MatomoContainer) -> Finding:
    """config.ini.php says what the image's own says, comments and order aside."""
    if not (path := container.profile.seed):
        raise CannotTellError("the image has no config.ini.php of its own")
    seed = container.run("cat", path)
    try:
        here = _compared(ini.read(container.read(container.config)))
    except WrongInputError as error:
        return Finding(False, error.expected, error.seen)
    # When Matomo saves, it drops what equals its defaults: its own, and the image's over them.
    defaults = ini.merged(
        *(
            ini.read(container.run("sh", "-c", f"cat {path} 2>/dev/null || true"))
            for path in DEFAULTS
        )
    )
    found = differences(_compared(ini.read(seed)), here, defaults)
    finding = nothing("difference", [str(difference) for difference in found])
    if finding.passed:
        return finding
    return Finding(False, finding.expected, finding.seen, {"drift.ini": pasteable(here, found)})


def _compared(file: ini.Ini) -> ini.Settings:
    return {
        section: {
            name: setting
            for name, setting in settings.items()
            if (section, name) not in OF_THE_INSTALLATION
        }
        for section, settings in file.settings.items()
        if section not in OF_THE_ENVIRONMENT
    }


# -- what people change by a click ----------------------------------------------------------------


@PROMISE.check(
    "options",
    proves="options",
    severity=Severity.HIGH,
    remedy="Undo the setting on the page of Administration that has it, or name it under"
    " options in [settings] of the policy.",
    failure_mode="C10",
    formerly="drift.options_are_the_policy_s",
)
def options(database: Database, settings: Settings, masking: Masking) -> Finding:
    """Every setting in the table option is one that the policy names."""
    known = {*promised(settings.options), *rows_of_the_mask(masking)}
    found = [as_row(name, value) for name, value in options_of(database)]
    return nothing("setting beyond the policy", [row for row in found if row not in known])


def as_row(name: str, value: str) -> str:
    """Return a setting of the database as the policy names it, and a finding shows it."""
    return f"{name}={redaction.setting(name, value)}"


def options_of(database: Database) -> list[tuple[str, str]]:
    """Return the rows of the table option that are settings, as name and value."""
    rows = database.query("SELECT option_name AS name, option_value AS value FROM {prefix}option")
    return [
        (name, str(row["value"]))
        for row in rows
        if (name := str(row["name"])).startswith(SETTINGS) and not name.startswith(BOOKKEEPING)
    ]


def rows_of_the_mask(masking: Masking) -> set[str]:
    """Return the rows that mask what is promised, or more, which breaks no promise either."""
    if masking.bytes is None:
        return set()
    lengths = range(masking.bytes, ALL_BYTES + 1)
    return {
        "PrivacyManager.ipAnonymizerEnabled=1",
        *(f"PrivacyManager.ipAddressMaskLength={length}" for length in lengths),
    }


@PROMISE.check(
    "plugin_settings",
    proves="plugin_settings",
    severity=Severity.HIGH,
    remedy="Undo the setting under Administration, System, General settings, delete its row of"
    " the table plugin_setting, or name it under plugin_settings in [settings] of the policy.",
    failure_mode="C10",
    formerly="drift.plugin_settings_are_the_policy_s",
)
def plugin_settings(database: Database, settings: Settings) -> Finding:
    """Every plugin setting in the database is one that the policy names."""
    known = set(promised(settings.plugin_settings))
    found = [as_row(name, value) for name, value in plugin_settings_of(database)]
    return nothing(
        "plugin setting beyond the policy", [setting for setting in found if setting not in known]
    )


def plugin_settings_of(database: Database) -> list[tuple[str, str]]:
    """Return the settings of plugins that hold for everybody, as `plugin.name` and value."""
    rows = database.query(
        "SELECT CONCAT(plugin_name, '.', setting_name) AS name, setting_value AS value"
        " FROM {prefix}plugin_setting WHERE user_login = ''"
    )
    return [(str(row["name"]), str(row["value"])) for row in rows]


@PROMISE.check(
    "site_settings",
    proves="site_settings",
    severity=Severity.MEDIUM,
    remedy="Undo the setting in the site's form under Administration, Websites, Manage, or"
    " name it under site_settings in [settings] of the policy.",
    failure_mode="C10",
    formerly="drift.site_settings_are_the_policy_s",
)
def site_settings(database: Database, settings: Settings) -> Finding:
    """Every site's own plugin setting and exclusion of visits is one that the policy names."""
    known = set(promised(settings.site_settings))
    found = [
        f"{setting} of site {site}"
        for name, value, site in site_settings_of(database)
        if (setting := as_row(name, value)) not in known
    ]
    return nothing("site's setting beyond the policy", found)


def site_settings_of(database: Database) -> list[tuple[str, str, str]]:
    """Return single sites' own settings that say something, as name, value and the site's id."""
    rows = database.query(
        "SELECT CONCAT(plugin_name, '.', setting_name) AS name, setting_value AS value, idsite"
        " FROM {prefix}site_setting WHERE plugin_name NOT LIKE '%%Measurable'"
    )
    found = [(str(row["name"]), str(row["value"]), str(row["idsite"])) for row in rows]
    found += [
        (name, str(row[name]), str(row["idsite"]))
        for row in database.query("SELECT * FROM {prefix}site")
        for name in EXCLUDING_COLUMNS
        if name in row
    ]
    # A site's form saves all of them, and one that is off or empty is Matomo's default.
    return [(name, value, site) for name, value, site in found if value not in NOTHING_SET]
