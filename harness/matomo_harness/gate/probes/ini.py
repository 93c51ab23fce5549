"""Two config.ini.php, compared key by key."""

import re
from collections.abc import Iterable

Ini = dict[str, dict[str, str | list[str]]]


def parse(text: str) -> Ini:
    """Read the text of an ini file as Matomo does: sections, keys, lists (`key[]`); no comments."""
    ini: Ini = {}
    section = ""
    for line in text.splitlines():
        if head := re.match(r"\[([\w-]+)\]", line.strip()):
            section = head[1]
            ini.setdefault(section, {})
        elif setting := re.match(r"([\w-]+)(\[\w*\])?\s*=\s*(.*)", line.strip()):
            key, is_list, value = setting[1], setting[2], _value(setting[3])
            if is_list:
                held = ini.setdefault(section, {}).setdefault(key, [])
                if isinstance(held, list):
                    held.append(value)
            else:
                ini.setdefault(section, {})[key] = value
    return ini


def _value(text: str) -> str:
    quoted = re.match(r"""(["'])(.*?)\1\s*(;.*)?$""", text)
    if quoted:
        return quoted[2]
    return re.sub(r"\s*;.*$", "", text).strip()


def differences(wanted: Ini, here: Ini, defaults: Ini) -> list[str]:
    """Return each key that differs, as `[section] key: wanted …, here …`.

    Args:
        wanted: what should be.
        here: what is.
        defaults: what a key that is in neither file is.
    """
    found = []
    for section in sorted(wanted.keys() | here.keys()):
        keys = wanted.get(section, {}).keys() | here.get(section, {}).keys()
        for key in sorted(keys):
            default = defaults.get(section, {}).get(key)
            one = wanted.get(section, {}).get(key, default)
            other = here.get(section, {}).get(key, default)
            if _plain(one) != _plain(other):
                found.append(f"[{section}] {key}: wanted {_told(one)}, here {_told(other)}")
    return found


def _plain(value: str | list[str] | None) -> object:
    return sorted(value) if isinstance(value, list) else value


def _told(value: str | list[str] | None) -> str:
    if value is None:
        return "nothing"
    return ", ".join(value) if isinstance(value, list) else value or '""'


def pasteable(here: Ini, found: Iterable[str]) -> str:
    """Return what would make the repository's file say what runs: sections and keys, to paste."""
    lines: list[str] = []
    for difference in found:
        section, key = re.findall(r"^\[([\w-]+)\] ([\w-]+):", difference)[0]
        value = here.get(section, {}).get(key)
        lines.append(f"[{section}]")
        if value is None:
            lines.append(f"; {key} is gone")
        elif isinstance(value, list):
            lines += [f'{key}[] = "{it}"' for it in value]
        else:
            lines.append(f'{key} = "{value}"')
    return "\n".join(lines) + "\n"
