"""What a live config.ini.php says beyond the image's, as a change of the repository's file.

Nothing of the live file is taken over but single values: no comment, and no value that may be a
secret or lead to somebody's servers. What stays out is named by its key.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from matomo_harness.gate.probes.drift import Difference, differences
from matomo_harness.gate.promises.settings.checks import OF_THE_ENVIRONMENT, OF_THE_INSTALLATION
from matomo_harness.matomo import ini
from matomo_harness.matomo.ini import Entry, Ini, Setting, Settings
from matomo_harness.operate.production_config import (
    ADDRESS,
    APART,
    ELSEWHERE,
    NAMED_ADDRESS,
    OF_TABLES,
)
from matomo_harness.redaction import LIKELY_SECRET, NO_SECRET, SECRET, SWITCH

RANDOM: Final = re.compile(r"(?=\S*\d)(?=\S*[A-Za-z])[A-Za-z0-9+/_=.:-]{20,}|-----BEGIN")
"""Looks like a key or a token: 20 signs or more, with letters and digits among them."""
LIST_OF_PLUGINS: Final = ("Plugins", "Plugins")
LEAST_SECRET: Final = 4
LEAST_LIKELY: Final = 8
"""Signs of a secret that is searched for in other values, as shorter ones are in everything; and of
one by a name that may mean something else, such as `auth_module`."""

INSTALLED: Final = (
    "Matomo writes it with each installation; in an image's file it would say of a new database"
    " that the tables of plugins are there, and nobody would make them"
)
OF_DEPLOYMENT: Final = "it differs from one deployment to the next"
SERVICES: Final = "it leads to services of this deployment"
IS_SECRET: Final = "it may be a secret"  # noqa: S105
IS_ADDRESS: Final = "it is an address or a host's name"


@dataclass(frozen=True)
class LeftOut:
    """What differs and is in no patch.

    Args:
        what: its key or row, without its value.
        why: in words.
    """

    what: str
    why: str

    def __str__(self) -> str:
        """Return it as it is printed."""
        return f"{self.what}: {self.why}"


@dataclass(frozen=True)
class Known:
    """What is known of a deployment besides its files.

    Args:
        variables: names of the environment variables that are set.
        secrets: values that may be nowhere.
    """

    variables: Collection[str] = ()
    secrets: Collection[str] = field(default=(), repr=False)

    def reason(self, name: str, *values: str) -> str | None:
        """Return why a setting must stay out; None where it need not.

        Args:
            name: of the setting, without its section or plugin.
            values: what it is set to: one value, or the items of a list.
        """
        if self.has_secret_in(values):
            return IS_SECRET
        is_switch = all(SWITCH.fullmatch(value) for value in values)
        if SECRET.search(name) and not NO_SECRET.fullmatch(name) and any(values):
            return IS_SECRET
        if is_switch or NO_SECRET.fullmatch(name):
            return None
        pieces = [piece for value in values for piece in APART.split(value)]
        is_said = any(LIKELY_SECRET.search(value) for value in values if APART.search(value))
        if LIKELY_SECRET.search(name) or is_said or any(RANDOM.match(piece) for piece in pieces):
            return IS_SECRET
        if NAMED_ADDRESS.search(name) or any(ADDRESS.fullmatch(piece) for piece in pieces):
            return IS_ADDRESS
        return None

    def has_secret_in(self, values: Iterable[str]) -> bool:
        """Whether a value that may be nowhere is in one of `values`."""
        return any(secret in value for value in values for secret in self.secrets)


def secrets_of(*files: Ini, variables: Mapping[str, str]) -> frozenset[str]:
    """Return the values that must appear nowhere, by the names of their keys and variables."""
    named = [(entry.name, entry.text) for file in files for entry in file.entries]
    named += [(name.removesuffix("_FILE"), value) for name, value in variables.items()]
    return frozenset(
        value
        for name, value in named
        if not SWITCH.fullmatch(value)
        and not NO_SECRET.fullmatch(name)
        and (
            (SECRET.search(name) and len(value) >= LEAST_SECRET)
            or (LIKELY_SECRET.search(name) and len(value) >= LEAST_LIKELY)
        )
    )


@dataclass(frozen=True)
class CapturedFile:
    """A file of the repository that says what runs.

    Args:
        text: the file.
        changes: the keys that say something else than the image's file, and are in `text`.
        left_out: those that are not.
    """

    text: str = field(repr=False)
    changes: tuple[Difference, ...]
    left_out: tuple[LeftOut, ...]


def captured(ours: str, seed: str, live: str, defaults: Settings, known: Known) -> CapturedFile:
    """Return the repository's file with what the live one says beyond the image's.

    Args:
        ours: the repository's file; every line without a change stays as it is.
        seed: the file in the image that runs, which may be older, and which a build may have
            shortened.
        live: the file that Matomo reads.
        defaults: what holds of keys that a file does not set. Matomo drops a key that equals its
            default when it saves the file.
        known: what decides about what stays out.

    Raises:
        WrongInputError: a file is not INI.
    """
    wanted, here = ini.read(seed), ini.read(live)
    text, changes, left_out = ours, [], []
    for difference in differences(wanted.settings, here.settings, defaults):
        section, name = difference.section, difference.name
        key = f"[{section}] {name}"
        why = _reason(difference, wanted, here, known)
        if why:
            left_out.append(LeftOut(key, why))
            continue
        changes.append(difference)
        before, now = (file.settings.get(section, {}).get(name) for file in (wanted, here))
        text = _changed(text, section, name, before, now)
    gone = {heading.name for heading in wanted.headings} - {
        heading.name for heading in here.headings
    }
    for section in gone:
        text = _without_empty_section(text, section)
    return CapturedFile(text, tuple(changes), tuple(left_out))


def _reason(difference: Difference, wanted: Ini, here: Ini, known: Known) -> str | None:
    """Return why a difference stays out; None where it need not."""
    section, name = difference.section, difference.name
    if section == "PluginsInstalled":
        return INSTALLED
    is_of_tables = section == "database" and name in OF_TABLES
    if section in ELSEWHERE:
        return SERVICES
    if section in OF_THE_ENVIRONMENT and not is_of_tables:
        return OF_DEPLOYMENT
    if (section, name) in OF_THE_INSTALLATION:
        return OF_DEPLOYMENT
    variable = f"MATOMO_{section}_{name}".upper()
    lines = [entry for file in (wanted, here) for entry in file.of(section, name)]
    if read := [variable for entry in lines for variable in entry.variables]:
        return f"the environment sets it ({read[0]})"
    for set_by in (variable, f"{variable}_FILE"):
        if set_by in known.variables:
            return f"the environment sets it ({set_by})"
    entries = _items(here.settings.get(section, {}).get(name))
    values = [text for entry in entries for text in (entry.text, entry.index or "")]
    if (section, name) == LIST_OF_PLUGINS:
        return IS_SECRET if known.has_secret_in(values) else None
    return known.reason(name, *values)


def _items(setting: Setting | None) -> list[Entry]:
    if setting is None:
        return []
    return [setting] if isinstance(setting, Entry) else list(setting.values())


# -- the change -----------------------------------------------------------------------------------


def _changed(
    text: str, section: str, name: str, before: Setting | None, now: Setting | None
) -> str:
    """Return `text` with a key as it is now; of a list only what has changed is touched."""
    there = _there(text, section, name)
    if now is None:
        return _without(text, there)
    if isinstance(now, Entry):
        if there and all(entry.index is None for entry in there):
            return ini.with_key(text, section, name, now)
        return _with_lines(_without(text, there), section, [now])
    old, new = _items(before), list(now.values())
    if any(entry.index != "" for entry in (*there, *new)):
        return _with_lines(_without(text, there), section, new)
    said, known = {entry.text for entry in new}, {entry.text for entry in old}
    gone = [entry for entry in there if entry.text in known and entry.text not in said]
    added = [entry for entry in new if entry.text not in {entry.text for entry in there}]
    if len(gone) < len(there):
        text = _with_lines(text, section, added)
        return ini.without(
            text, [e for e in _there(text, section, name) if e.text in {g.text for g in gone}]
        )
    return _with_lines(_without(text, there), section, added)


def _there(text: str, section: str, name: str) -> list[Entry]:
    """Return the lines of a key that take effect: of a section that begins anew, the last."""
    file = ini.read(text)
    last = max((heading.start for heading in file.headings if heading.name == section), default=0)
    return [entry for entry in file.of(section, name) if entry.start >= last]


def _with_lines(text: str, section: str, entries: Sequence[Entry]) -> str:
    """Add keys behind the last one of their list, or at the end of their section."""
    for entry in entries:
        line = f"{entry.key} = {entry.written}".rstrip()
        file = ini.read(text)
        last = max((head.start for head in file.headings if head.name == section), default=0)
        of_section = [e for e in file.entries if e.section == section and e.start >= last]
        of_list = [e for e in of_section if e.name == entry.name]
        if of_list:
            text = ini.with_line(text, of_list[-1].stop, line)
        elif of_section:
            text = ini.with_line(text, of_section[-1].stop, line)
        else:
            text = ini.with_key(text, section, entry.key, entry)
    return text


def _without(text: str, gone: Sequence[Entry]) -> str:
    """Take a key out, and the comment above it where no other key stands below that."""
    if not gone:
        return text
    lines = text.split("\n")
    first, last = gone[0].line - 1, gone[-1].line - 1 + gone[-1].source.count("\n")
    is_alone = {entry.line for entry in _lines_between(text, gone)} == {e.line for e in gone}
    follows = lines[last + 1].strip() if last + 1 < len(lines) else ""
    top = first
    while top > 0 and lines[top - 1].strip().startswith(";") and "<?php" not in lines[top - 1]:
        top -= 1
    text = ini.without(text, gone)
    if top == first or not is_alone or (follows and not follows.startswith((";", "["))):
        return text
    lines = text.split("\n")
    below = lines[first:]
    if top > 0 and not lines[top - 1].strip() and below and not below[0].strip():
        below = below[1:]
    return "\n".join([*lines[:top], *below])


def _lines_between(text: str, gone: Sequence[Entry]) -> list[Entry]:
    """Return all keys from the first of some to the last."""
    return [e for e in ini.read(text).entries if gone[0].start <= e.start <= gone[-1].start]


def _without_empty_section(text: str, section: str) -> str:
    """Take a section's heading out if nothing stands below it."""
    headings = ini.read(text).headings
    stops = [*(heading.start for heading in headings[1:]), len(text)]
    # A file without a heading has one stop all the same.
    for heading, stop in zip(headings, stops, strict=False):
        if heading.name == section and not text[heading.stop : stop].strip():
            return text[: heading.start] + text[stop:]
    return text


# -- the patch ------------------------------------------------------------------------------------


def patch(path: str, before: str | None, after: str) -> str:
    """Return a unified diff that `git apply` and `patch -p1` take; empty where nothing differs.

    Args:
        path: of the file, from the directory in which the patch is applied.
        before: its text; None where there is no such file.
        after: its text then.
    """
    tab = "\t" if " " in path else ""  # by which `patch` knows where a name with blanks ends
    lines = difflib.unified_diff(
        _lines(before or ""),
        _lines(after),
        "/dev/null" if before is None else f"a/{path}{tab}",
        f"b/{path}{tab}",
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _lines(text: str) -> list[str]:
    """Return the lines with their ends, as git counts them: by line feeds alone."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)
