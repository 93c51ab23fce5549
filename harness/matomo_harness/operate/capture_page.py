"""The config.ini.php of a Matomo that only a URL leads to, as its own page shows it to a superuser.

It is the page Administration, Diagnostic, Config file. Of the file it leaves out the database's
sections, and shows no passwords (Diagnostics' ConfigReader); there the image's own lines are taken,
so that nothing is said to differ.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from matomo_harness.errors import WrongInputError
from matomo_harness.matomo import ini
from matomo_harness.matomo.ini import Settings, Writable
from matomo_harness.matomo.web import Page, Web

QUERY: Final = {"module": "Diagnostics", "action": "configfile"}
COMPONENT: Final = "Diagnostics.ConfigFile"
MASKED: Final = "******"
NEVER_SHOWN: Final = ("database", "database_reader", "database_tests", "tests", "debugtests")
"""Sections that the page leaves out (ConfigReader::shouldSkipCategory)."""


@dataclass(frozen=True)
class ShownConfig:
    """What the page shows.

    Args:
        text: as a config.ini.php.
        unseen: keys and sections that it does not show, or not for certain, in words.
    """

    text: str = field(repr=False)
    unseen: tuple[str, ...]


def shown(web: Web, seed: Settings, defaults: Settings) -> ShownConfig:
    """Return the file as the page has it.

    Args:
        web: a superuser's conversation, logged in.
        seed: the image's file, for what the page does not show.
        defaults: the values of keys that no file sets.

    Raises:
        BrokenPromiseError: the page is not shown.
        WrongInputError: it is of an unknown form.
    """
    page = Page(web.get(QUERY))
    try:
        values = json.loads(page.attribute(COMPONENT, "all-config-values"))
        return as_file(values, seed, defaults)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise WrongInputError(
            expected=f"the page Config file of a supported Matomo at {web.url}",
            seen=f"another form of it ({error!r})"[:200],
            next_command="give the file itself: --config config.ini.php",
        ) from error


def as_file(values: Mapping[str, Any], seed: Settings, defaults: Settings) -> ShownConfig:
    """Return the file of which the page shows `values`, by section and key.

    The page also lists what plugins store in the database, beneath the plugin's name and without a
    word about where it is from; such a key is in the file for certain only where the image or
    Matomo's defaults have it.

    Args:
        values: the page's.
        seed: as in `shown`.
        defaults: likewise.
    """
    plugins = set(_items(values["Plugins"]["Plugins"]["value"]))
    settings: dict[str, dict[str, Writable]] = {
        section: _as_in(seed[section]) for section in NEVER_SHOWN if section in seed
    }
    masked, doubtful = [], []
    for section, keys in values.items():
        # PHP writes an empty table as a list.
        for name, entry in dict(keys).items():
            if not entry["isCustomValue"]:
                continue
            there = seed.get(section, {}).get(name)
            if entry["value"] == MASKED:
                masked.append(f"[{section}] {name}")
                if there is not None:
                    settings.setdefault(section, {})[name] = _as_in({name: there})[name]
            elif section in plugins and there is None and name not in defaults.get(section, {}):
                doubtful.append(f"[{section}] {name}")
            else:
                settings.setdefault(section, {})[name] = _encoded(entry["value"])
    unseen = ["the sections of the database are not on Matomo's page Config file"]
    if masked:
        unseen.append(f"that page hides the values of {', '.join(masked)}")
    if doubtful:
        unseen.append(
            f"{', '.join(doubtful)}: in the file, or clicked, that page does not say; nothing is"
            " proposed"
        )
    return ShownConfig(ini.write(settings, ini.HEADER), tuple(unseen))


def _items(value: Any) -> list[str]:
    return [str(item) for item in (value.values() if isinstance(value, Mapping) else value)]


def _as_in(section: Mapping[str, ini.Setting]) -> dict[str, Writable]:
    return {
        name: setting if isinstance(setting, ini.Entry) else dict(setting)
        for name, setting in section.items()
    }


def _encoded(value: Any) -> Writable:
    """Return a value as Matomo writes it to the file: HTML's signs as entities (IniFileChain)."""
    if isinstance(value, Mapping):
        return {key: _encoded_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_encoded_text(item) for item in value]
    return _encoded_text(value)


def _encoded_text(value: Any) -> ini.Scalar:
    if value is None or isinstance(value, int | float):
        return value
    text = str(value)
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(sign, entity)
    return text
