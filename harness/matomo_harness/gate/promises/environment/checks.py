"""Environment: what the task definition sets takes effect everywhere; the policy names it all."""

import json
import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

from pydantic import Field

from matomo_harness.gate.core.check import (
    CannotTellError,
    Capability,
    Finding,
    Group,
    Severity,
    nothing,
    same,
)
from matomo_harness.gate.core.promise import ALWAYS, Promise
from matomo_harness.gate.core.target import Services
from matomo_harness.gate.probes.php import Php
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.policy import Names, Section, promised


class Environment(Section, table="environment"):
    """What the task definition sets."""

    variables: Names | None = Field(
        default=None,
        description="The task definition sets these, as they are or as NAME_FILE.",
    )
    may_be_set: Names = Field(
        default=(),
        description="It may set these besides; any other that Matomo knows overrules"
        " config.ini.php, where nobody looks.",
    )


SWITCHES: Final = {"true": "1", "on": "1", "yes": "1", "false": "0", "off": "0", "no": "0"}
"""What PHP makes of these words in an ini file."""
OF_A_SERVICE: Final = re.compile(
    r"_SERVICE_(?:HOST|PORT)(?:_\w+)?$|_PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:ADDR|PORT|PROTO))?$"
)
STARTS: Final = (
    "/docker-entrypoint.d /docker-entrypoint-init.d /etc/cont-init.d /etc/s6-overlay /etc/services.d"
    " /lagoon/entrypoints /opt/bitnami/scripts /scripts /usr/local/bin /usr/local/sbin"
)
"""Where images have what they start with, besides / itself."""
SERVERS: Final = "/usr/local/etc /etc/php /etc/apache2 /etc/httpd /etc/nginx /etc/caddy"
"""Where a web server and PHP have their configuration, which names variables as `${NAME}`."""
READ_ELSEWHERE: Final = f"""
for name; do
    {{
        find / -maxdepth 1 -type f -size -64k -exec grep -lwF -- "$name" {{}} +
        find -L {STARTS} {SERVERS} -type f -size -64k -exec grep -lwF -- "$name" {{}} +
        find -L config plugins -type f -name '*.php' -exec grep -lwF -- "$name" {{}} +
    }} 2>/dev/null | grep -q . && echo "$name"
done
true
"""
"""Prints those of its arguments that the image's start, its web server, PHP's settings, a plugin's
code or config/config.php mentions (getenv)."""
PROMISE: Final = Promise(
    "environment",
    "What the task definition sets takes effect everywhere, and the policy names all of it.",
    Environment,
)

NOT_SETTINGS: Final = ("MATOMO_VERSION", "MATOMO_PLUGIN_DIRS", "MATOMO_PLUGIN_COPY_DIR")
"""Variables of the official image and of Matomo's own code that name no key of the configuration
(Plugin\\Manager::initPluginDirectories)."""


def injected(facts: Mapping[str, Any]) -> dict[str, tuple[str, str, str]]:
    """Return section, key and value of every MATOMO_ variable that names an existing key."""
    found = {}
    for name, value in facts["environment"].items():
        is_other = name in NOT_SETTINGS or _is_of_a_service(name, value)
        if not name.startswith("MATOMO_") or is_other:
            continue
        for section, keys in facts["settings"].items():
            prefix = f"MATOMO_{section}_".upper()
            rest = name.upper().removeprefix(prefix)
            for key in keys or ():
                if name.upper().startswith(prefix) and rest == key.upper():
                    found[name] = (section, key, value)
    return found


IN_A_FILE: Final = "_FILE"


def keys_set(facts: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return section and key that every MATOMO_ variable sets, by its value or by NAME_FILE."""
    found = {name: (section, key) for name, (section, key, _) in injected(facts).items()}
    shorter = {
        name.removesuffix(IN_A_FILE): value
        for name, value in facts["environment"].items()
        if name.endswith(IN_A_FILE) and name not in found
    }
    by_file = injected({**facts, "environment": shorter})
    return found | {
        f"{name}{IN_A_FILE}": (section, key) for name, (section, key, _) in by_file.items()
    }


def _shown(value: object, given: str) -> str:
    """Return `value` as text; a list becomes JSON or words, whichever `given` is."""
    if not isinstance(value, list):
        return str(value)
    return json.dumps(value) if given.startswith("[") else ",".join(map(str, value))


def _differing(facts: Mapping[str, Any]) -> list[str]:
    """Return the names, never the values, of variables whose value is not the effective one."""
    differing = []
    for name, (section, key, value) in injected(facts).items():
        seen = _shown(facts["settings"][section][key], value).replace(" ", "")
        if seen not in (value.replace(" ", ""), SWITCHES.get(value.lower())):
            differing.append(name)
    return differing


@PROMISE.check(
    "wins_on_the_command_line",
    formerly="configuration.environment_wins",
    proves="variables",
    severity=Severity.HIGH,
    remedy='Keep Plugins[] = "EnvironmentVariables" in [Plugins] of config.ini.php: without it'
    " Matomo does not read the environment.",
    failure_mode="M6",
)
def wins_on_the_command_line(php: Php) -> Finding:
    """Every MATOMO_ variable takes effect on the command line, whatever config.ini.php says."""
    if not injected(php.facts):
        raise CannotTellError("no MATOMO_ variable is set")
    return nothing("variable without effect", _differing(php.facts))


@PROMISE.check(
    "wins_in_the_web_server",
    formerly="configuration.environment_wins_in_web",
    proves="variables",
    severity=Severity.HIGH,
    remedy="Remove the variable from the web server's own settings (/etc/apache2/envvars, SetEnv),"
    " and have the server pass its environment on to PHP (clear_env = no of php-fpm).",
    failure_mode="C6",
    group=Group.WEB_ROOT,
    costly=True,
)
def wins_in_the_web_server(php: Php, _services: Services) -> Finding:
    """Every MATOMO_ variable of the container takes effect in the web server and in the tracker."""
    wrong = []
    for mode, code in (("web", ""), ("tracker", 'define("PIWIK_TRACKER_MODE", true);')):
        # The web server's own environment is not used: it may be another one.
        facts = {**php.facts_over_http(code), "environment": php.facts["environment"]}
        wrong += [f"{name} in the {mode}" for name in _differing(facts)]
    return nothing("variable without effect", wrong)


@PROMISE.check(
    "no_useless_variable",
    formerly="configuration.no_useless_variable",
    proves=ALWAYS,
    severity=Severity.MEDIUM,
    remedy="Correct the variable's name in the task definition, or remove the variable from it.",
    failure_mode="C1",
)
def no_useless_variable(php: Php, container: MatomoContainer) -> Finding:
    """Every MATOMO_ variable sets a key that Matomo knows: none is misspelt."""
    environment = php.facts["environment"]
    if php.facts["warnings"] is not None:
        useless = [
            f"{name} {why}"
            for name, why in dict(php.facts["warnings"] or {}).items()
            if not _is_of_a_service(name, environment.get(name, ""))
        ]
        return nothing("useless variable", useless)
    profile = container.profile
    of_the_start = {name for _, name in (*profile.variables, *profile.named)}
    of_the_start |= {name for name, _ in profile.declared}
    known = {*injected(php.facts), *NOT_SETTINGS, *of_the_start}
    names = [
        name
        for name, value in environment.items()
        if name.startswith("MATOMO_") and not _is_of_a_service(name, value)
    ]
    unknown = [name for name in names if name not in known]
    if unknown:
        read = container.run("sh", "-c", READ_ELSEWHERE, "sh", *unknown).split()
        unknown = [name for name in unknown if name not in read]
    return nothing("useless variable", unknown)


def _is_of_a_service(name: str, value: str) -> bool:
    """Whether Kubernetes made a variable, for a Service that is called matomo or matomo-….

    See its documentation, "Accessing the Service", environment variables.
    """
    is_port = name.endswith("_PORT") and value.startswith(("tcp://", "udp://", "sctp://"))
    return is_port or bool(OF_A_SERVICE.search(name))


@PROMISE.check(
    "value_in_a_file_wins",
    formerly="configuration.a_value_in_a_file_wins",
    proves="variables",
    severity=Severity.MEDIUM,
    remedy="Build the image with the plugin of image/plugins/EnvironmentVariables, which reads"
    " NAME_FILE; the public one does not.",
    failure_mode="C7",
    needs=[Capability.CHANGE],
)
def value_in_a_file_wins(environment: Environment, container: MatomoContainer, php: Php) -> Finding:
    """A variable NAME_FILE sets NAME to what the file contains, as mounted secrets need."""
    name = "MATOMO_MAIL_HOST"
    if name not in promised(environment.variables):
        raise CannotTellError(f"{name} is not in the policy")
    value = f"relay-{secrets.token_hex(4)}.example"
    path = f"{container.tmp}/gate-{secrets.token_hex(6)}"
    container.write(path, value)
    try:
        facts = php.facts_with("-u", name, f"{name}_FILE={path}")
    finally:
        container.run("rm", "-f", path, user="root")
    return same(value, str(facts["settings"]["mail"]["host"]))


@PROMISE.check(
    "promised_variables_are_set",
    formerly="configuration.promised_variables_are_set",
    proves="variables",
    severity=Severity.HIGH,
    remedy="Set the missing variable in the task definition, as it is or as NAME_FILE, or remove it"
    " from variables in [environment] of the policy.",
    failure_mode="C1",
)
def promised_variables_are_set(environment: Environment, php: Php, _services: Services) -> Finding:
    """Every variable that the policy requires of the task definition is set."""
    given = {
        name.removesuffix("_FILE") for name, value in php.facts["environment"].items() if value
    }
    missing = [name for name in promised(environment.variables) if name not in given]
    return nothing("missing variable", missing)


@PROMISE.check(
    "no_other_variable",
    formerly="drift.variables_are_the_policy_s",
    proves="variables",
    severity=Severity.HIGH,
    remedy="Remove the variable from the task definition, or name it in may_be_set of [environment]"
    " in the policy.",
    failure_mode="C9",
)
def no_other_variable(environment: Environment, php: Php) -> Finding:
    """Only environment variables that the policy names overrule config.ini.php."""
    named = {*promised(environment.variables), *environment.may_be_set}
    found = [name for name in keys_set(php.facts) if name.removesuffix(IN_A_FILE) not in named]
    return nothing("variable beyond the policy", found)
