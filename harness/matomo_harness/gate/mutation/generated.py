"""Mutants made by rule: each key of config.ini.php and each variable, in turn.

Whoever changes a key in a pull request changes the image's file, so that what runs is what the
repository says: there is no drift, and only behaviour can show the fault.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from matomo_harness.gate.mutants import Change, Location, Mutant, Topology
from matomo_harness.gate.mutants.changes import image_file, renamed, without_line
from matomo_harness.gate.promises.environment.checks import Environment
from matomo_harness.matomo import ini, versions
from matomo_harness.matomo.versions import VersionDifference
from matomo_harness.policy import Policy
from matomo_harness.settings import IMAGE_DIRECTORY

CONFIG: Final = IMAGE_DIRECTORY / "config" / "config.ini.php"

EQUIVALENT: Final[Mapping[str, str]] = {
    "file.General.salt.dropped": "the variable sets it; the line is for the public EnvironmentVariables plugin",
    "file.General.salt.changed": "the variable wins over it",
    "file.General.proxy_scheme_headers[].HTTP_X_FORWARDED_SCHEME.dropped": "no load balancer of ours sends it",
    "file.General.proxy_scheme_headers[].HTTP_X_URL_SCHEME.dropped": "no load balancer of ours sends it",
    "file.General.proxy_scheme_headers[].HTTP_X_FORWARDED_SCHEME.changed": "no load balancer of ours sends it",
    "file.General.proxy_scheme_headers[].HTTP_X_URL_SCHEME.changed": "no load balancer of ours sends it",
    **{
        f"variable.{name}.swapped": "to Matomo every text but 0 is yes"
        for name in ("MATOMO_GENERAL_FORCE_SSL", "MATOMO_DATABASE_ENABLE_SSL")
    },
    **{
        f"file.General.datatable_archiving_maximum_rows_{report}.changed": "more rows than promised"
        for report in (
            *("referrers", "subtable_referrers", "actions", "subtable_actions", "site_search"),
            *("events", "subtable_events"),
        )
    },
    "file.General.datatable_archiving_maximum_rows_subtable_events.dropped": "Matomo's 500 are more rows than promised",
    "file.General.time_before_today_archive_considered_outdated.dropped": "Matomo's 900 s are less than promised",
    "variable.MATOMO_DATABASE_SCHEMA.swapped": "Matomo falls back to its default schema, which speaks to MariaDB as well",
}
"""Ids of the mutants that change nothing that was promised, and why."""

EQUIVALENT_BEFORE: Final[Mapping[str, tuple[VersionDifference, str]]] = {
    f"file.General.proxy_scheme_headers[].HTTP_X_FORWARDED_PROTO.{kind}": (
        versions.PROXY_SCHEME_HEADERS,
        f"before {versions.PROXY_SCHEME_HEADERS.since} Matomo believes this header whatever the list says",
    )
    for kind in ("dropped", "changed")
}
"""The same for versions before a difference."""


def equivalent(version: str) -> dict[str, str]:
    """Return ids of the mutants that change nothing in Matomo `version`, and why.

    Args:
        version: as core/Version.php has it.

    Raises:
        InvalidVersion: `version` is not a version.
    """
    early = {
        name: reason
        for name, (difference, reason) in EQUIVALENT_BEFORE.items()
        if not difference.is_in(version)
    }
    return {**EQUIVALENT, **early}


@dataclass(frozen=True)
class ConfigKey:
    """A line `name = value` of config.ini.php.

    Args:
        section: its name, without brackets.
        name: the key's name; `name[]` in a list.
        value: as it is written, without its quotes.
        line: the whole line.
    """

    section: str
    name: str
    value: str
    line: str

    @property
    def id(self) -> str:
        """The id of the line, with its value in a list."""
        return ".".join((self.section, self.name, *([self.value] if "[]" in self.name else [])))

    @property
    def changed(self) -> str:
        """The line with another value of the same kind."""
        if self.value in ("0", "1"):
            other = str(1 - int(self.value))
        elif self.value.isdigit():
            other = str(int(self.value) + 1)
        else:
            other = f"{self.value[:-1]}0"
        quoted = f'"{other}"' if '"' in self.line else other
        return f"{self.name} = {quoted}"


def keys() -> Iterator[ConfigKey]:
    """Return every key that config.ini.php has in all images."""
    for entry in ini.read(CONFIG.read_text()).entries:
        # A line with a comment (`; optional`) differs in the image, or is not there.
        if not entry.comment:
            yield ConfigKey(entry.section, entry.key, entry.text, entry.source)


def of_the_file() -> Iterator[Mutant]:
    """Drop and change each key of config.ini.php; of the list of plugins, only drop each line."""
    for key in keys():
        change = image_file(without_line(key.line))
        yield _in_the_image(key, f"file.{key.id}.dropped", f"no {key.line}", change)
        if key.section != "Plugins":
            change = image_file(renamed(key.line, key.changed))
            yield _in_the_image(key, f"file.{key.id}.changed", key.changed, change)


def _in_the_image(key: ConfigKey, name: str, breaks: str, change: Change) -> Mutant:
    # What a key says of a proxy matters only where there is one.
    topology = Topology.FULL_STACK if key.name.startswith("proxy_") else Topology.DEDICATED
    return Mutant(name, breaks, Location.IMAGE, (), change, topology=topology)


def of_the_environment(variables: tuple[str, ...]) -> Iterator[Mutant]:
    """Drop each variable, misspell it, and put another one's value into it.

    Args:
        variables: those that the policy names.
    """
    for name in variables:
        misspelt = f"{name[:-1]}_{name[-1]}"
        for kind, environment in (
            ("dropped", {name: None}),
            ("misspelt", {name: None, misspelt: "1"}),
            ("swapped", {name: "of-another"}),
        ):
            yield Mutant(
                f"variable.{name}.{kind}",
                f"{name} is {kind}",
                Location.ENVIRONMENT,
                (),
                topology=Topology.FULL_STACK,
                environment=environment,
            )


def generated(policy: Policy) -> list[Mutant]:
    """Return all generated mutants but those that are known to change nothing."""
    variables = policy.section(Environment).variables or ()
    return [
        mutant
        for mutant in (*of_the_file(), *of_the_environment(variables))
        if mutant.id not in EQUIVALENT
    ]
