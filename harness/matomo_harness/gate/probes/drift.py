"""Two config.ini.php, compared key by key; what differs, as text to paste."""

from collections.abc import Sequence
from dataclasses import dataclass

from matomo_harness.matomo import ini
from matomo_harness.matomo.ini import Entry, Setting, Settings


@dataclass(frozen=True)
class Difference:
    """A key that says one thing in the one file and another in the other.

    Args:
        section: where it stands.
        name: of the key.
        wanted: what should be, by a default as well; None where nothing should.
        here: what is, likewise.
    """

    section: str
    name: str
    wanted: Setting | None
    here: Setting | None

    def __str__(self) -> str:
        """Return it as a finding has it."""
        wanted, here = _in_words(self.wanted), _in_words(self.here)
        return f"[{self.section}] {self.name}: wanted {wanted}, here {here}"


def differences(wanted: Settings, here: Settings, defaults: Settings) -> list[Difference]:
    """Return the keys that differ in what PHP reads, by section and name.

    The order of a list is no difference, and neither is a number or a word in quotes.

    Args:
        wanted: what should be.
        here: what is.
        defaults: what a key that is in neither file is.
    """
    found = []
    for section in sorted(wanted.keys() | here.keys()):
        names = wanted.get(section, {}).keys() | here.get(section, {}).keys()
        for name in sorted(names):
            default = defaults.get(section, {}).get(name)
            one = wanted.get(section, {}).get(name, default)
            other = here.get(section, {}).get(name, default)
            if _compared(one) != _compared(other):
                found.append(Difference(section, name, one, other))
    return found


def _compared(setting: Setting | None) -> object:
    if setting is None or isinstance(setting, Entry):
        return setting and setting.text
    # An item that has a name is told from one with another; a number is its place.
    return sorted(
        (each.text if key.isdecimal() else f"{key}={each.text}") for key, each in setting.items()
    )


def _in_words(setting: Setting | None) -> str:
    if setting is None:
        return "nothing"
    if isinstance(setting, Entry):
        return setting.text or '""'
    return ", ".join(each.text for each in setting.values())


def pasteable(here: Settings, found: Sequence[Difference]) -> str:
    """Return what would make the repository's file say what runs: sections and keys, to paste.

    Each section is there once: PHP forgets what stood in one that is begun again.

    Args:
        here: what runs.
        found: where it differs.
    """
    lines = []
    for section in dict.fromkeys(each.section for each in found):
        lines.append(f"[{section}]")
        for name in (each.name for each in found if each.section == section):
            setting = here.get(section, {}).get(name)
            is_gone = [f"; {name} is gone"]
            lines += is_gone if setting is None else ini.lines(name, setting)
    return "".join(f"{line}\n" for line in lines)
