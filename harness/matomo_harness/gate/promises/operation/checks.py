"""Operation: it starts with its configuration, people get in, and what is wrong is noticed."""

import re
from typing import Final

from pydantic import Field

from matomo_harness.gate.core.check import Capability, Finding, Group, Severity, holds, nothing
from matomo_harness.gate.core.promise import ALWAYS, Promise
from matomo_harness.gate.core.target import Http
from matomo_harness.gate.probes.pages import PublicPages, SuperuserPages
from matomo_harness.gate.probes.php import require_program
from matomo_harness.matomo.container import SEED, MatomoContainer
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
    "It starts with its configuration, people get in, and what is wrong is noticed.",
    Operation,
)

START: Final = "matomo-entrypoint"
"""The image's program that prepares config/ at each start."""
TOLERATED: Final = ("file integrity", "last successful archiv", "update", "geolocation", "datab")
"""Parts of labels, lower case: what System check says of a package without a manifest and of an
archiver that has not run yet is not for this check."""
NAME_OF_A_WORD: Final = r"\b(?:General|Login|CoreHome|CoreAdminHome)_[A-Z]\w+"
"""Shown as it is where a translation has none (core/Translation/Translator.php)."""


# -- config.ini.php -------------------------------------------------------------------------------


@PROMISE.check(
    "configuration_is_well_formed",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Mend the line that is named, in the image's config.ini.php or in that on the volume.",
    failure_mode="M2",
    formerly="configuration.file_is_well_formed",
)
def configuration_is_well_formed(container: MatomoContainer) -> Finding:
    """Every line of config.ini.php is what it looks like, here and in the image."""
    files = f"{container.config} {SEED}"
    each = f"for file in {files}; do [ ! -e $file ] || check-config $file; done"
    return nothing("broken line", container.run("sh", "-c", f"{each} || true").splitlines())


@PROMISE.check(
    "configuration_is_closed_to_others",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Take the right to write from others: chmod o-w config/config.ini.php.",
    formerly="configuration.file_is_closed_to_others",
)
def configuration_is_closed_to_others(container: MatomoContainer) -> Finding:
    """Nobody but its owner and its group may write config.ini.php, whatever else runs there."""
    mode = container.run("stat", "-L", "-c", "%A", container.config).strip()
    return holds(mode[-2] == "-", "no write permission for others", mode)


@PROMISE.check(
    "half_saved_file_opens_no_installer",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Bring config/common.config.ini.php back, with enable_installer = 0 in [General].",
    failure_mode="C15",
    needs=[Capability.CHANGE],
    group=Group.ALONE,
    formerly="configuration.torn_file_is_no_new_matomo",
)
def half_saved_file_opens_no_installer(container: MatomoContainer, http: Http) -> Finding:
    """Who reads config.ini.php while it is saved is refused, and has no installer write it anew."""
    whole = container.read(container.config)
    # Matomo saves it by emptying it first (Config.php, writeConfig).
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
    """A container that starts on a config.ini.php that is there leaves it as it is."""
    require_program(container, START)
    whole = container.read(container.config)
    live = with_key(whole, "General", "gate_canary", 1)
    container.write(container.config, live)
    try:
        container.run(START, "true", user="root")
        after = container.read(container.config)
    finally:
        container.write(container.config, whole)
    return holds(after == live, "the file of before", "another" if after != live else "it")


@PROMISE.check(
    "start_fills_an_empty_volume",
    proves="configuration_on_a_volume",
    severity=Severity.MEDIUM,
    remedy=f"Have the image's {START} copy {SEED} to config/ where it is empty.",
    failure_mode="C5",
    needs=[Capability.CHANGE],
    group=Group.ALONE,
    formerly="configuration.a_start_gives_an_empty_volume_the_file",
)
def start_fills_an_empty_volume(container: MatomoContainer) -> Finding:
    """A container that starts on an empty config/ puts the image's config.ini.php there."""
    require_program(container, START)
    kept = f"{container.config}.gate"
    container.run("mv", container.config, kept, user="root")
    try:
        container.run(START, "true", user="root")
        given = container.run("sh", "-c", f"cat {container.config} 2>/dev/null || true")
    finally:
        container.run("mv", "-f", kept, container.config, user="root")
    whole = given.strip() == container.read(SEED).strip()
    return holds(whole, "the image's file", "it" if whole else given[:80] or "none")


# -- what is wrong is noticed ---------------------------------------------------------------------


@PROMISE.check(
    "health_check_sees_what_is_wrong",
    proves="health_check",
    severity=Severity.MEDIUM,
    remedy="Have the image's matomo-health read the login page, and see why where it is red.",
    needs=[Capability.CHANGE],
    group=Group.ALONE,
    formerly="configuration.health_check_sees_what_is_wrong",
)
def health_check_sees_what_is_wrong(container: MatomoContainer) -> Finding:
    """The container's health check is green on what is well, and red while Matomo shows its maintenance page."""
    require_program(container, "matomo-health")
    if said := container.health():
        return holds(False, "green", said)
    whole = container.read(container.config)
    container.write(container.config, with_key(whole, "General", "maintenance_mode", 1))
    try:
        said = container.health()
    finally:
        container.write(container.config, whole)
    return holds(said is not None, "a reason", said or "healthy")


@PROMISE.check(
    "system_check_has_no_error",
    proves=ALWAYS,
    severity=Severity.MEDIUM,
    remedy="Open Administration, Diagnostic, System check, and do what it says of each error.",
    failure_mode="F4",
    formerly="configuration.system_check_has_no_error",
)
def system_check_has_no_error(pages: SuperuserPages) -> Finding:
    """Matomo's own system check shows no error beyond what a package cannot have."""
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
    remedy="Name the header of the proxy's scheme in proxy_scheme_headers[] of [General], and see"
    " maintenance_mode, trusted_hosts[] and the certificate.",
    failure_mode="M1",
    formerly="configuration.login_is_near",
)
def login_page_is_reached(pages: PublicPages) -> Finding:
    """From the address alone somebody comes to the login form, in two redirects at most."""
    answer = pages.login_page
    kept = len(answer.history) <= 2 and 'name="form_login"' in answer.text
    form = "a form" if "form_login" in answer.text else "no login form"
    seen = f"HTTP {answer.status_code}, {len(answer.history)} redirects, {form}"
    return holds(kept, "the login form in 2 redirects at most", seen)


@PROMISE.check(
    "pages_say_words",
    proves=ALWAYS,
    severity=Severity.LOW,
    remedy="Let the web server's user read lang/ and plugins/*/lang/, and empty tmp/cache/.",
    failure_mode="F4",
    formerly="gui.pages_say_words",
)
def pages_say_words(pages: PublicPages) -> Finding:
    """The login page says words, and no names of words, as where translations cannot be read."""
    return nothing("name of a word", re.findall(NAME_OF_A_WORD, Page(pages.login_page).excerpt))


@PROMISE.check(
    "pages_run_without_errors",
    proves=ALWAYS,
    severity=Severity.LOW,
    remedy="Open the page with the browser's console, see which plugin's script fails, and empty"
    " tmp/assets/.",
    costly=True,
    formerly="gui.pages_run_without_errors",
)
def pages_run_without_errors(pages: SuperuserPages) -> Finding:
    """No script fails on the way from the login to Anonymize data."""
    return nothing("error of a script", pages.in_a_browser.complaints)
