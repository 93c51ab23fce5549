"""What a captured deployment means for the policy: lines that would change, and broken promises.

A line is proposed only where the promise stays as strong as it was, or where the policy lists what
is there and no promise is about it. Whatever would make a promise weaker is named and not proposed.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import tomlkit
from tomlkit.items import Array

from matomo_harness.gate.probes.drift import Difference
from matomo_harness.gate.promises.accounts.checks import Accounts
from matomo_harness.gate.promises.archiving.checks import Archiving, is_at_least
from matomo_harness.gate.promises.masking.checks import Masking
from matomo_harness.gate.promises.settings.checks import (
    OFF,
    ON,
    SAFEGUARDS,
    Settings,
    as_row,
    chosen_safeguards,
    is_within,
    options_of,
    plugin_settings_of,
    rows_of_the_mask,
    site_settings_of,
)
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.ini import Entry, Setting
from matomo_harness.operate.capture_file import Known, LeftOut
from matomo_harness.policy import Policy, is_promise

MAXIMUM_ROWS: Final = "datatable_archiving_maximum_rows_"
UNIQUE_VISITORS: Final = "enable_processing_unique_visitors_"
OF_ONE_SITE: Final = re.compile(r"_\d+$")

Holds = Callable[[str, object], bool]
"""Whether a value keeps the promise that the policy's value makes."""


def _is_on(value: str, promise: object) -> bool:  # noqa: ARG001
    return value in ON


def _is_off(value: str, promise: object) -> bool:  # noqa: ARG001
    return value in OFF


def _at_most(value: str, promise: object) -> bool:
    return value.isdigit() and int(value) <= int(str(promise))


def _days(value: str, promise: object) -> bool:
    return promise == "kept" or _at_most(value, promise)


def _deletes(value: str, promise: object) -> bool:
    return (value in ON) != (promise == "kept")


SAYS: Final[Mapping[str, tuple[str, Holds]]] = MappingProxyType(
    {
        "General.enable_browser_archiving_triggering": ("archiving.only_by_schedule", _is_off),
        "General.browser_archiving_disabled_enforce": ("archiving.only_by_schedule", _is_on),
        "General.enable_general_settings_admin": ("archiving.only_by_schedule", _is_off),
        "General.time_before_today_archive_considered_outdated": (
            "archiving.today_outdated_after_seconds",
            _at_most,
        ),
        "General.archive_failure_recovery_timeout": (
            "archiving.killed_taken_up_after_seconds",
            _at_most,
        ),
        "General.force_ssl": ("transport.browsers_by_tls", _is_on),
        "TwoFactorAuth.twoFactorAuthRequired": ("second_factors.for_everybody", _is_on),
        "Deletelogs.delete_logs_enable": ("retention.visits_days", _deletes),
        "Deletelogs.delete_logs_older_than": ("retention.visits_days", _days),
        "Deletereports.delete_reports_enable": ("retention.reports_months", _deletes),
        "Deletereports.delete_reports_older_than": ("retention.reports_months", _days),
    }
)
"""Settings of config.ini.php that a promise is about: the key of the policy, and what keeps it. The
promises' own checks prove the same by what happens."""
CLICKED: Final[Mapping[str, tuple[str, Holds]]] = MappingProxyType(
    {
        "enableBrowserTriggerArchiving": ("archiving.only_by_schedule", _is_off),
        "todayArchiveTimeToLive": ("archiving.today_outdated_after_seconds", _at_most),
        "delete_logs_enable": SAYS["Deletelogs.delete_logs_enable"],
        "delete_logs_older_than": SAYS["Deletelogs.delete_logs_older_than"],
        "delete_reports_enable": SAYS["Deletereports.delete_reports_enable"],
        "delete_reports_older_than": SAYS["Deletereports.delete_reports_older_than"],
        "TwoFactorAuth.twoFactorAuthRequired": SAYS["TwoFactorAuth.twoFactorAuthRequired"],
    }
)
"""The same of what people click, in the tables option and plugin_setting."""
MASK: Final = ("PrivacyManager.ipAnonymizerEnabled", "PrivacyManager.ipAddressMaskLength")
NEEDED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "TwoFactorAuth": ("second_factors.for_everybody",),
        "PrivacyManager": ("masking.bytes", "retention.visits_days", "retention.erasure"),
        "NoUserIds": ("user_ids.none_stored", "user_ids.no_mail_addresses"),
        "EnvironmentVariables": ("environment.variables", "secrets.only_in_the_environment"),
    }
)
"""Plugins without which a promise is not kept."""
BREAKING: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"UserId": ("user_ids.none_stored",)}
)
"""Plugins with which a promise is not kept."""
CHOSEN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Tracker.visit_standard_length": "settings.visit_length_seconds",
        "Tracker.trust_visitors_cookies": "settings.trust_visitors_cookies",
        "General.login_cookie_expire": "accounts.longest_session_seconds",
        "General.login_session_not_remembered_idle_timeout": "accounts.idle_session_seconds",
        "General.default_invite_user_token_expiry_days": "settings.invitation_days",
    }
)
"""The keys of the policy by which an institution chooses a safeguard (`chosen_safeguards`)."""


@dataclass(frozen=True)
class BrokenSetting:
    """What is set and breaks a promise.

    Args:
        what: the setting and its value, or how many rows.
        promise: the line of the policy, or what is promised always.
    """

    what: str
    promise: str

    def __str__(self) -> str:
        """Return it as it is printed."""
        return (
            f"{self.what}, against `{self.promise}`: promise would be weakened, so no change of it"
            " is proposed"
        )


@dataclass(frozen=True)
class Rows:
    """What people have clicked, as the database has it.

    Args:
        options: rows of the table option that are settings.
        plugin_settings: settings of plugins, as `plugin.name` and value.
        site_settings: single sites' own, with the site's id.
        open_to_anonymous: how many sites anybody may look at without a login.
    """

    options: tuple[tuple[str, str], ...] = ()
    plugin_settings: tuple[tuple[str, str], ...] = ()
    site_settings: tuple[tuple[str, str, str], ...] = ()
    open_to_anonymous: int = 0


def rows_of(database: Database) -> Rows:
    """Return what people have clicked; this only reads."""
    (anonymous,) = database.query(
        "SELECT COUNT(DISTINCT idsite) AS many FROM {prefix}access"
        " WHERE login = 'anonymous' AND access <> 'noaccess'"
    )
    return Rows(
        tuple(options_of(database)),
        tuple(plugin_settings_of(database)),
        tuple(site_settings_of(database)),
        int(anonymous["many"]),
    )


@dataclass(frozen=True)
class CapturedPolicy:
    """What a deployment means for its policy.

    Args:
        text: the policy's file with the lines that may change.
        weakened: what breaks a promise.
        left_out: rows of the database that may hold a secret or an address.
    """

    text: str
    weakened: tuple[BrokenSetting, ...]
    left_out: tuple[LeftOut, ...]


def captured(
    text: str, policy: Policy, changes: Sequence[Difference], rows: Rows, known: Known
) -> CapturedPolicy:
    """Return the policy with the lines that what runs asks for, and what breaks a promise.

    Args:
        text: of the policy's file.
        policy: the same, read.
        changes: of the configuration, as they were captured.
        rows: of the database.
        known: what decides about what stays out.
    """
    return _Reader(text, policy, known).read(changes, rows)


class _Reader:
    def __init__(self, text: str, policy: Policy, known: Known) -> None:
        self._document = tomlkit.parse(text)
        self._policy = policy
        self._known = known
        self._weakened: list[BrokenSetting] = []
        self._left_out: list[LeftOut] = []

    def read(self, changes: Sequence[Difference], rows: Rows) -> CapturedPolicy:
        for change in changes:
            if (change.section, change.name) == ("Plugins", "Plugins"):
                self._plugins(change)
            else:
                self._setting(change)
        self._rows_of(rows)
        return CapturedPolicy(
            tomlkit.dumps(self._document), tuple(self._weakened), tuple(self._left_out)
        )

    # -- config.ini.php ----------------------------------------------------------------------------

    def _setting(self, change: Difference) -> None:
        name, value = f"{change.section}.{change.name}", _text(change.here)
        what = f"[{change.section}] {change.name}"
        what += f" = {value}" if change.here else " not set"
        if OF_ONE_SITE.search(change.section):
            self._weaken(what, "settings: no site has its own section of the configuration")
        elif name in SAYS:
            self._judge(what, value, *SAYS[name])
        elif change.section == "General" and change.name.startswith(MAXIMUM_ROWS):
            report = change.name.removeprefix(MAXIMUM_ROWS)
            promised = self._policy.value("archiving.maximum_rows")
            least = promised.get(report, 0) if isinstance(promised, dict) else 0
            if least and not is_at_least(least, value):
                self._weaken(what, f"[archiving.maximum_rows] {report} = {least}")
        elif change.section == "General" and change.name.startswith(UNIQUE_VISITORS):
            counted = self._policy.section(Archiving).unique_visitors_of
            if change.name.removeprefix(UNIQUE_VISITORS) in counted and value not in ON:
                said = ", ".join(f'"{period}"' for period in counted)
                self._weaken(what, f"[archiving] unique_visitors_of = [{said}]")
        else:
            chosen = chosen_safeguards(
                self._policy.section(Settings), self._policy.section(Accounts)
            )
            allowed = {**SAFEGUARDS, **chosen}
            if name in allowed and change.here and not is_within(value, allowed[name]):
                key = CHOSEN.get(name)
                said = self._line(key) if key else "settings: no default safeguard is off"
                self._weaken(what, said)

    def _plugins(self, change: Difference) -> None:
        before, now = _texts(change.wanted), _texts(change.here)
        active = self._policy.value("plugins.active")
        present = self._policy.value("plugins.where_present") or ()
        for plugin in sorted(now - before):
            if not self._is_guarded(f"plugin {plugin} active", BREAKING.get(plugin, ())) and (
                isinstance(active, tuple) and plugin not in (*active, *_tuple(present))
            ):
                self._array("plugins", "active").append(plugin)
        for plugin in sorted(before - now):
            if not self._is_guarded(f"plugin {plugin} not active", NEEDED.get(plugin, ())) and (
                isinstance(active, tuple) and plugin in active
            ):
                self._array("plugins", "active").remove(plugin)

    def _is_guarded(self, what: str, keys: Sequence[str]) -> bool:
        promised = [key for key in keys if is_promise(self._policy.value(key))]
        for key in promised:
            self._weaken(what, self._line(key))
        return bool(promised)

    # -- the database ------------------------------------------------------------------------------

    def _rows_of(self, rows: Rows) -> None:
        if rows.open_to_anonymous and is_promise(
            self._policy.value("accounts.nothing_for_anonymous")
        ):
            self._weaken(
                f"{rows.open_to_anonymous} sites that anonymous may look at",
                self._line("accounts.nothing_for_anonymous"),
            )
        of_mask = rows_of_the_mask(self._policy.section(Masking))
        for name, value in rows.options:
            if f"{name}={value}" in of_mask:
                continue
            if name in MASK and of_mask:
                self._weaken(f"option {name}={value}", self._line("masking.bytes"))
            else:
                self._row("option", "options", name, value)
        for name, value in rows.plugin_settings:
            self._row("plugin_setting", "plugin_settings", name, value)
        for name, value, site in rows.site_settings:
            self._row(f"site {site}", "site_settings", name, value)

    def _row(self, table: str, key: str, name: str, value: str) -> None:
        """Judge a setting of the database, and propose it where no promise is against it."""
        listed = self._policy.value(f"settings.{key}")
        if isinstance(listed, tuple) and as_row(name, value) in listed:
            return
        what = f"{table} {name}"
        if why := self._known.reason(re.split(r"[.\s]", name)[-1], value):
            self._left_out.append(LeftOut(what, why))
            return
        what += f"={value}"
        if name in CLICKED and self._judge(what, value, *CLICKED[name]):
            return
        if not isinstance(listed, tuple):
            return
        if other := next((row for row in listed if row.startswith(f"{name}=")), ""):
            self._weaken(what, f'[settings] {key}: "{other}"')
        elif f"{name}={value}" not in self._array("settings", key):
            self._array("settings", key).append(f"{name}={value}")

    # -- both --------------------------------------------------------------------------------------

    def _judge(self, what: str, value: str, key: str, holds: Holds) -> bool:
        """Name a value that breaks the promise of `key`; return whether it does."""
        promise = self._policy.value(key)
        is_broken = is_promise(promise) and not holds(value, promise)
        if is_broken:
            self._weaken(what, self._line(key))
        return is_broken

    def _weaken(self, what: str, promise: str) -> None:
        self._weakened.append(BrokenSetting(what, promise))

    def _line(self, key: str) -> str:
        table, _, name = key.partition(".")
        value = self._policy.value(key)
        said = tomlkit.item(value).as_string() if isinstance(value, bool | int | str) else "[…]"
        return f"[{table}] {name} = {said}"

    def _array(self, table: str, key: str) -> Array:
        array = self._document[table][key]
        assert isinstance(array, Array)  # noqa: S101  the policy has been read
        return array


def _text(setting: Setting | None) -> str:
    if setting is None:
        return ""
    return setting.text if isinstance(setting, Entry) else ", ".join(sorted(_texts(setting)))


def _texts(setting: Setting | None) -> set[str]:
    if setting is None:
        return set()
    return {setting.text} if isinstance(setting, Entry) else {e.text for e in setting.values()}


def _tuple(value: object) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()
