"""Secrets: passwords and the salt are in the environment alone, and are written down nowhere."""

import base64
import html
import json
import secrets
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from pydantic import Field

from matomo_harness.gate.core.check import Capability, Finding, Group, Severity, holds, nothing
from matomo_harness.gate.core.promise import ALWAYS, Promise
from matomo_harness.gate.core.target import Services
from matomo_harness.gate.probes import leak_scan
from matomo_harness.gate.probes.php import Php, is_writable, require_writable_configuration
from matomo_harness.gate.promises.environment.checks import keys_set
from matomo_harness.matomo import ini
from matomo_harness.matomo.api import Api
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.matomo.image import BACKUP
from matomo_harness.policy import Section


class Secrets(Section, table="secrets"):
    """Where passwords and the salt are."""

    only_in_the_environment: bool | None = Field(
        default=None,
        description="No password or salt of the environment, and no superuser's token, is in a"
        " file, a log or a process list.",
    )


PROMISE: Final = Promise(
    "secrets",
    "Passwords and the salt are in the environment alone, and are written down nowhere.",
    Secrets,
)

KEYS: Final = ("password", "salt")
"""Keys of config.ini.php whose values are secrets."""


# -- the configuration ----------------------------------------------------------------------------


@PROMISE.check(
    "salt_is_there",
    formerly="configuration.salt_is_there",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Set MATOMO_GENERAL_SALT in the task definition, to the previous salt where there was"
    " one.",
    failure_mode="A12",
)
def salt_is_there(php: Php) -> Finding:
    """A salt is set, without which no token survives a restart."""
    is_set = bool(php.settings["General"].get("salt"))
    return holds(is_set, "a salt", "one" if is_set else "none")


def _of_the_environment(php: Php, file: ini.Ini) -> list[str]:
    """Return the passwords and the salt that the environment sets and `file` as well."""
    secret_keys = [pair for pair in dict.fromkeys(keys_set(php.facts).values()) if pair[1] in KEYS]
    # Every line counts: one that a later line overrides is in the file all the same.
    return [
        f"[{section}] {key}"
        for section, key in secret_keys
        if any(entry.text for entry in file.of(section, key))
    ]


@PROMISE.check(
    "none_in_the_configuration",
    formerly="configuration.no_secret_of_before_in_the_file",
    proves="only_in_the_environment",
    severity=Severity.HIGH,
    remedy="Delete the key from config.ini.php on the volume, and change the secret that it held.",
    failure_mode="C3",
)
def none_in_the_configuration(php: Php, container: MatomoContainer) -> Finding:
    """config.ini.php has no password or salt, not even an old one, that the environment sets."""
    file = ini.read(container.read(container.config))
    return nothing("secret", _of_the_environment(php, file))


@PROMISE.check(
    "save_writes_none",
    formerly="configuration.a_save_writes_no_secret",
    proves="only_in_the_environment",
    severity=Severity.HIGH,
    remedy="Build the image with its own EnvironmentVariables plugin, which keeps the environment"
    " out of what Matomo saves; the public one does not.",
    failure_mode="C3",
    needs=[Capability.CHANGE],
    group=Group.ALONE,
)
def save_writes_none(php: Php, container: MatomoContainer) -> Finding:
    """When Matomo saves its configuration, no password or salt of the environment gets into the file."""
    require_writable_configuration(container)
    whole = container.read(container.config)
    try:
        container.console("config:set", "--section=General", "--key=gate_canary", "--value=1")
        saved = container.read(container.config)
    finally:
        container.write(container.config, whole)
    file = ini.read(saved)
    if file.text("General", "gate_canary") != "1":
        return holds(False, "a saved file", "the file was not saved")
    return nothing("secret", _of_the_environment(php, file))


# -- anywhere -------------------------------------------------------------------------------------


@PROMISE.check(
    "none_in_a_file",
    formerly="configuration.no_secret_in_a_file",
    proves="only_in_the_environment",
    severity=Severity.HIGH,
    remedy="Delete the file, have whatever wrote it leave the secret out, and change the secret.",
    failure_mode="C3",
    group=Group.ALONE,
    costly=True,
)
def none_in_a_file(container: MatomoContainer, services: Services) -> Finding:
    """After Matomo has saved its configuration, no file or backup has a secret of the environment."""
    if is_writable(container, container.config):
        container.console("config:set", "--section=General", "--key=gate_canary", "--value=1")
        container.console("config:delete", "--section=General", "--key=gate_canary")
    # Into a directory of its own, which is searched with /tmp: the last real backup stays as it is.
    copy = f"/tmp/gate-{secrets.token_hex(6)}"  # noqa: S108  in the container
    container.run("mkdir", copy, user="root")
    try:
        if BACKUP in container.profile.programs:
            container.run(BACKUP, copy, user="root")
        places = f"{leak_scan.SEARCHED_DIRECTORIES} tmp /mnt/efs"
        return nothing("secret in a file", _in_files(container, services.secrets, places))
    finally:
        container.run("rm", "-rf", copy, user="root")


def _in_files(container: MatomoContainer, needles: Mapping[str, str], places: str) -> list[str]:
    """Return where `needles` are, in whatever form; grep reads them from a file, never as arguments."""
    found = []
    for name, needle in needles.items():
        path = f"tmp/gate-{secrets.token_hex(6)}"
        container.write(path, "\n".join(_forms(needle)))
        files = container.run(
            *("sh", "-c", f"grep -rlaF -f {path} {places} 2>/dev/null | grep -v {path} || true"),
            user="root",
        )
        container.run("rm", "-f", path)
        found += [f"{name} in {file}" for file in files.split()]
    return found


def _forms(secret: str) -> set[str]:
    """Return a secret as it is, and as JSON, a URL, HTML and base64 have it."""
    encoded = base64.b64encode(secret.encode()).decode()
    return {secret, json.dumps(secret)[1:-1], quote(secret, safe=""), html.escape(secret), encoded}


@PROMISE.check(
    "none_in_a_log",
    formerly="configuration.no_secret_in_a_log",
    proves="only_in_the_environment",
    severity=Severity.HIGH,
    remedy="Remove what prints the secret (env or set -x in a start script, a log level of debug),"
    " and change the secret.",
    failure_mode="C3",
)
def none_in_a_log(services: Services) -> Finding:
    """No secret of the environment is in any container's log."""
    logs = services.logs()
    found = [
        f"{name} in the log of {service}"
        for name, secret in services.secrets.items()
        for service, text in logs.items()
        if any(form in text for form in _forms(secret))
    ]
    return nothing("secret in a log", found)


@PROMISE.check(
    "none_in_the_process_list",
    formerly="configuration.no_secret_in_the_process_list",
    proves="only_in_the_environment",
    severity=Severity.HIGH,
    remedy="Pass the secret to the program by a variable or a file and not as an argument, and"
    " change the secret.",
    failure_mode="C3",
)
def none_in_the_process_list(container: MatomoContainer, services: Services) -> Finding:
    """No secret of the environment is an argument of a process."""
    lines = container.run("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '", user="root")
    exposed = [name for name, secret in services.secrets.items() if secret in lines]
    return nothing("secret as an argument", exposed)


@PROMISE.check(
    "no_token_in_a_file",
    formerly="exposure.no_token_in_a_file",
    proves="only_in_the_environment",
    severity=Severity.CRITICAL,
    remedy="Delete the token on Administration, Personal, Security, and then the file that has it.",
    failure_mode="S1",
    costly=True,
)
def no_token_in_a_file(api: Api, container: MatomoContainer) -> Finding:
    """None of the deployment's own files has the superuser's token, which needs no second factor."""
    return nothing("file", leak_scan.files_with(container, api.token))
