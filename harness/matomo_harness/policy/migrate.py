"""A policy file of the release before becomes one of today: the same promises, by new names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import tomlkit
from tomlkit.toml_document import TOMLDocument

from matomo_harness.errors import WrongInputError
from matomo_harness.policy import FORMER_TABLES, files

SCHEMA_LINE: Final = "#:schema ./policy.schema.json\n"
"""By which editors find the schema (Taplo, Even Better TOML)."""
SAID_BY_NONE: Final[Mapping[str, tuple[str, ...]]] = {
    "secrets": ("only_in_the_environment",),
    "code": ("from_the_image_alone",),
    "operation": ("health_check", "configuration_on_a_volume"),
    "backup": ("whole",),
    "mail": ("arrives",),
    "tracking": ("opt_out",),
    "accounts": ("nothing_for_anonymous",),
}
"""What the gate of before looked at whatever the file said: it stays promised."""
OF_THE_MASK: Final = ("PrivacyManager.ipAnonymizerEnabled=", "PrivacyManager.ipAddressMaskLength=")
"""Options that the gate allows by [masking] now."""


def migrated(path: Path) -> str:
    """Return what `path` says, as a file of today.

    Raises:
        WrongInputError: not TOML, or none of the release before.
    """
    files.document(path)
    old = tomlkit.parse(path.read_text())
    if not any(table in old for table in FORMER_TABLES):
        raise WrongInputError(
            expected=f"a policy of the release before, with [{FORMER_TABLES[0]}]",
            seen=f"{path.name} has none of {', '.join(FORMER_TABLES)}",
            next_command=f"matomo-harness gate --policy {path}",
        )
    new = _moved(old)
    for name, keys in SAID_BY_NONE.items():
        _table(new, name).update(dict.fromkeys(keys, True))
    return SCHEMA_LINE + tomlkit.dumps(new)


def _moved(new: TOMLDocument) -> TOMLDocument:
    _move(new, "privacy", "masked_bytes", "masking", "bytes")
    _move(new, "privacy", "user_ids_stored", "user_ids", "none_stored", reverse=True)
    _move(new, "login", "second_factor_for_everybody", "second_factors", "for_everybody")
    _move(new, "archiving", "from_browser", "archiving", "only_by_schedule", reverse=True)
    _move(new, "exposure", "version_banners", "exposure", "no_version_banners", reverse=True)
    for table in FORMER_TABLES:
        if table in new:
            del new[table]
    if new.get("user_ids", {}).get("none_stored"):
        _table(new, "user_ids")["no_mail_addresses"] = True
    settings = _table(new, "settings")
    options: Any = settings.get("options")
    for option in list(options or []):
        if option.startswith(OF_THE_MASK):
            options.remove(option)
    settings["file_of_the_image"] = True
    return new


def _move(
    document: TOMLDocument, table: str, key: str, to: str, name: str, *, reverse: bool = False
) -> None:
    """Move a key; one that allowed something promises now that it does not happen."""
    old: Any = document.get(table, {})
    if key in old:
        value = old[key]
        _table(document, to)[name] = not value if reverse else value
        del old[key]


def _table(document: TOMLDocument, name: str) -> Any:
    if name not in document:
        document[name] = tomlkit.table()
    table: Any = document[name]
    return table
