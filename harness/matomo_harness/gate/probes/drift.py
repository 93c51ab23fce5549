"""Compares two config.ini.php key by key, and writes what differs as text to paste."""

from collections.abc import Sequence
from dataclasses import dataclass

from matomo_harness import redaction
from matomo_harness.matomo import ini
from matomo_harness.matomo.ini import Entry, Setting, Settings


@dataclass(frozen=True)
class Difference:
    """A key whose value differs between two files.

    Args:
        section: the section that holds the key.
        name: of the key.
        wanted: its value as it should be, or its default; None where it should have none.
        here: its value as it is, likewise.
    """

    section: str
    name: str
    wanted: Setting | None
    here: Setting | None

    def __str__(self) -> str:
        """Return the difference as a finding shows it."""
        wanted, here = (_in_words(self.name, each) for each in (self.wanted, self.here))
        return f"[{self.section}] {self.name}: wanted {wanted}, here {here}"


def differences(wanted: Settings, here: Settings, defaults: Settings) -> list[Difference]:
    """Return the keys for which PHP reads different values, by section and name.

    The order of a list makes no difference, nor do quotes around a number or a word.

    Args:
        wanted: the settings as they should be.
        here: the settings as they are.
        defaults: the values of keys that a file does not set.
    """
    found = []
    for section in sorted(wanted.keys() | here.keys()):
        names = wanted.get(section, {}).keys() | here.get(section, {}).keys()
        for name in sorted(names):
            default = defaults.get(section, {}).get(name)
            value_wanted = wanted.get(section, {}).get(name, default)
            value_here = here.get(section, {}).get(name, default)
            if _compared(value_wanted) != _compared(value_here):
                found.append(Difference(section, name, value_wanted, value_here))
    return found


def _compared(setting: Setting | None) -> object:
    if setting is None or isinstance(setting, Entry):
        return setting and setting.text
    # A named item differs from one with another name; a number is only its position.
    return sorted(
        (entry.text if key.isdecimal() else f"{key}={entry.text}") for key, entry in setting.items()
    )


def _in_words(name: str, setting: Setting | None) -> str:
    if setting is None:
        return "nothing"
    if isinstance(setting, Entry):
        return redaction.setting(name, setting.text) or '""'
    return ", ".join(redaction.setting(name, entry.text) for entry in setting.values())


def pasteable(here: Settings, found: Sequence[Difference]) -> str:
    """Return the sections and keys that make the repository's file say what runs, to paste.

    Each section appears once: PHP forgets the earlier keys of a section that begins again. What
    may be a secret is not written out.

    Args:
        here: the settings that run.
        found: where they differ.
    """
    lines = []
    for section in dict.fromkeys(difference.section for difference in found):
        lines.append(f"[{section}]")
        for name in (difference.name for difference in found if difference.section == section):
            setting = here.get(section, {}).get(name)
            if setting is None:
                lines.append(f"; {name} is gone")
            elif redaction.REDACTED in _in_words(name, setting):
                lines.append(f"; {name} = {redaction.REDACTED}")
            else:
                lines += ini.lines(name, setting)
    return "".join(f"{line}\n" for line in lines)
