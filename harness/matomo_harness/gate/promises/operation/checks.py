"""Operation: Matomo starts with its configuration, people get in, and faults are noticed."""

import posixpath
import re
from typing import Final

from pydantic import Field

from matomo_harness.gate.core.check import (
    CannotTellError,
    Capability,
    Finding,
    Group,
    Severity,
    holds,
    nothing,
)
from matomo_harness.gate.core.promise import ALWAYS, Promise
from matomo_harness.gate.core.target import Http
from matomo_harness.gate.probes.pages import PublicPages, SuperuserPages
from matomo_harness.gate.probes.php import require_program, require_writable_configuration
from matomo_harness.matomo import ini
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.matomo.ini import with_key
from matomo_harness.matomo.web import Page
from matomo_harness.policy import Section


class Operation(Section, table="operation"):
    """How the container starts, and how it is seen to be well."""

    health_check: bool | None = Field(
        default=None,
        description="The container's health check is green where Matomo is well, and red where it"
        " is not.",
    )
    configuration_on_a_volume: bool | None = Field(
        default=None,
        description="config/ may be on a volume: a start fills an empty one and leaves a live"
        " config.ini.php as it is, and no half of one opens the installer.",
    )


PROMISE: Final = Promise(
    "operation",
    "Matomo starts with its configuration, people get in, and faults are noticed.",
    Operation,
)

START: Final = "matomo-entrypoint"
"""The image's program that prepares config/ at each start."""
TOLERATED: Final = ("file integrity", "last successful archiv", "update", "geolocation", "datab")
"""Parts of labels, in lower case, that this check ignores: what System check says of a package without
a manifest and of an archiver that has not run yet."""
TRANSLATION_KEY: Final = r"\b(?:General|Login|CoreHome|CoreAdminHome)_[A-Z]\w+"
"""Matomo shows the key itself where a translation is missing (core/Translation/Translator.php)."""


# -- config.ini.php -------------------------------------------------------------------------------


@PROMISE.check(
    "configuration_is_well_formed",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Correct the line that is named, in the image's config.ini.php or in the one on the volume.",
    failure_mode="M2",
    formerly="configuration.file_is_well_formed",
)
def configuration_is_well_formed(container: MatomoContainer) -> Finding:
    """PHP reads every line of config.ini.php as it looks, in the live file and in the image's."""
    found = [
        f"{posixpath.basename(path)} {doubt}"
        for path in filter(None, (container.config, container.profile.seed))
        for doubt in ini.doubts(container.run("sh", "-c", f"cat {path} 2>/dev/null || true"))
    ]
    return nothing("broken line", found)


@PROMISE.check(
    "configuration_is_closed_to_others",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Remove the write permission of others: chmod o-w config/config.ini.php.",
    formerly="configuration.file_is_closed_to_others",
)
def configuration_is_closed_to_others(container: MatomoContainer) -> Finding:
    """Only its owner and its group may write config.ini.php, whatever else runs in the container."""
    mode = container.run("stat", "-L", "-c", "%A", container.config).strip()
    return holds(mode[-2] == "-", "no write permission for others", mode)


@PROMISE.check(
    "half_saved_file_opens_no_installer",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Restore config/common.config.ini.php, with enable_installer = 0 in [General].",
    failure_mode="C15",
    needs=[Capability.CHANGE],
    group=Group.ALONE,
    formerly="configuration.torn_file_is_no_new_matomo",
)
def half_saved_file_opens_no_installer(container: MatomoContainer, http: Http) -> Finding:
    """A request that finds config.ini.php half saved opens no installer, and nothing is saved."""
    require_writable_configuration(container)
    whole = container.read(container.config)
    # Matomo empties the file before it saves it (Config.php, writeConfig).
    container.write(container.config, "")
    try:
        answer = http.web.get()
        saved = container.read(container.config)
    finally:
        container.write(container.config, whole)
    seen = "its installer" if "module=Installation" in answer.text else "no installer"
    written = f"config.ini.php saved: {' '.join(saved.split())}" if saved else "nothing saved"
    expected = "no installer, nothing saved"
    return holds(expected == f"{seen}, {written}", expected, f"{seen}, {written}")


@PROMISE.check(
    "start_leaves_the_live_file",
    proves="configuration_on_a_volume",
    severity=Severity.HIGH,
    remedy=f"Have the image's {START} copy its config.ini.php only where config/ has none.",
    failure_mode="C9",
    needs=[Capability.CHANGE],
    group=Group.ALONE,
    formerly="configuration.a_start_leaves_the_live_file",
)
def start_leaves_the_live_file(container: MatomoContainer) -> Finding:
    """A container that starts on an existing config.ini.php leaves it as it is."""
    require_program(container, START)
    whole = container.read(container.config)
    live = with_key(whole, "General", "gate_canary", 1)
    container.write(container.config, live, user="root")
    try:
        container.run(START, "true", user="root")
        after = container.read(container.config)
    finally:
        container.write(container.config, whole, user="root")
    expected = "the same file as before"
    return holds(after == live, expected, "another file" if after != live else expected)


@PROMISE.check(
    "start_fills_an_empty_volume",
    proves="configuration_on_a_volume",
    severity=Severity.MEDIUM,
    remedy=f"Have the image's {START} copy its config.ini.php to config/ where it is empty.",
    failure_mode="C5",
    needs=[Capability.CHANGE],
    group=Group.ALONE,
    formerly="configuration.a_start_gives_an_empty_volume_the_file",
)
def start_fills_an_empty_volume(container: MatomoContainer) -> Finding:
    """A container that starts on an empty config/ puts the image's config.ini.php there."""
    require_program(container, START)
    if not container.profile.seed:
        raise CannotTellError("the image has no config.ini.php of its own")
    aside = f"{container.config}.gate"
    container.run("mv", container.config, aside, user="root")
    try:
        container.run(START, "true", user="root")
        copied = container.run("sh", "-c", f"cat {container.config} 2>/dev/null || true")
    finally:
        container.run("mv", "-f", aside, container.config, user="root")
    is_whole = copied.strip() == container.read(container.profile.seed).strip()
    expected = "the image's file"
    return holds(is_whole, expected, expected if is_whole else copied[:80] or "none")


# -- faults are noticed ---------------------------------------------------------------------------


@PROMISE.check(
    "health_check_sees_what_is_wrong",
    proves="health_check",
    severity=Severity.MEDIUM,
    remedy="Have the image's matomo-health read the login page, and where it is red find out why.",
    needs=[Capability.CHANGE],
    group=Group.ALONE,
    formerly="configuration.health_check_sees_what_is_wrong",
)
def health_check_sees_what_is_wrong(container: MatomoContainer) -> Finding:
    """The health check is green while Matomo is well, and red while it shows its maintenance page."""
    require_program(container, "matomo-health")
    if reason := container.health():
        return holds(False, "green", reason)
    whole = container.read(container.config)
    closed = with_key(whole, "General", "maintenance_mode", 1)
    container.write(container.config, closed, user="root")
    try:
        reason = container.health()
    finally:
        container.write(container.config, whole, user="root")
    return holds(reason is not None, "a reason", reason or "healthy")


@PROMISE.check(
    "system_check_has_no_error",
    proves=ALWAYS,
    severity=Severity.MEDIUM,
    remedy="Open Administration, Diagnostic, System check, and do what it says about each error.",
    failure_mode="F4",
    formerly="configuration.system_check_has_no_error",
)
def system_check_has_no_error(pages: SuperuserPages) -> Finding:
    """Matomo's own system check shows no error but those that a packaged Matomo cannot avoid."""
    errors = [
        result["label"]
        for result in pages.system_check
        for item in result["items"]
        if item["status"] == "error"
        and not any(part in result["label"].lower() for part in TOLERATED)
    ]
    return nothing("error in System check", errors)


# -- what people see ------------------------------------------------------------------------------


@PROMISE.check(
    "login_page_is_reached",
    proves=ALWAYS,
    severity=Severity.MEDIUM,
    remedy="Name the proxy's scheme header in proxy_scheme_headers[] of [General], and check"
    " maintenance_mode, trusted_hosts[] and the certificate.",
    failure_mode="M1",
    formerly="configuration.login_is_near",
)
def login_page_is_reached(pages: PublicPages) -> Finding:
    """Matomo's bare address leads to the login form in at most two redirects."""
    answer = pages.login_page
    is_reached = len(answer.history) <= 2 and 'name="form_login"' in answer.text
    form = "a form" if "form_login" in answer.text else "no login form"
    seen = f"HTTP {answer.status_code}, {len(answer.history)} redirects, {form}"
    return holds(is_reached, "the login form in 2 redirects at most", seen)


@PROMISE.check(
    "pages_say_words",
    proves=ALWAYS,
    severity=Severity.LOW,
    remedy="Let the web server's user read lang/ and plugins/*/lang/, and empty tmp/cache/.",
    failure_mode="F4",
    formerly="gui.pages_say_words",
)
def pages_say_words(pages: PublicPages) -> Finding:
    """The login page shows words, not the translation keys that it shows without translations."""
    return nothing("translation key", re.findall(TRANSLATION_KEY, Page(pages.login_page).excerpt))


@PROMISE.check(
    "pages_run_without_errors",
    proves=ALWAYS,
    severity=Severity.LOW,
    remedy="Open the page with the browser's console, find the plugin whose script fails, and empty"
    " tmp/assets/.",
    costly=True,
    formerly="gui.pages_run_without_errors",
)
def pages_run_without_errors(pages: SuperuserPages) -> Finding:
    """No script fails on the way from the login to Anonymize data."""
    return nothing("error of a script", pages.in_a_browser.complaints)
