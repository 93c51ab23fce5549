"""Migrates a policy file of the previous release: the same promises, by their new names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import tomlkit
from tomlkit.toml_document import TOMLDocument

from matomo_harness.errors import WrongInputError
from matomo_harness.policy import FORMER_TABLES, files

SCHEMA_LINE: Final = "#:schema ./policy.schema.json\n"
"""The line by which editors find the schema (Taplo, Even Better TOML)."""
ALWAYS_CHECKED_BEFORE: Final[Mapping[str, tuple[str, ...]]] = {
    "user_ids": ("no_mail_addresses",),
    "secrets": ("only_in_the_environment",),
    "code": ("from_the_image_alone",),
    "operation": ("health_check", "configuration_on_a_volume"),
    "backup": ("whole",),
    "mail": ("arrives",),
    "tracking": ("opt_out",),
    "accounts": ("nothing_for_anonymous",),
}
"""Keys that the previous gate checked whatever the file said: they stay promised."""
SET_NOW: Final = ("MATOMO_GENERAL_LOGIN_PASSWORD_RECOVERY_REPLYTO_EMAIL_ADDRESS",)
"""Variables that every deployment of the harness has; only `make up` had them before."""
MASK_OPTIONS: Final = ("PrivacyManager.ipAnonymizerEnabled=", "PrivacyManager.ipAddressMaskLength=")
"""Options that the gate now allows by [masking]."""
MOVED: Final = ("masked_bytes", "user_ids_stored", "second_factor_for_everybody")
"""Keys of the tables that no longer exist."""
REVERSED: Final = ("user_ids_stored", "from_browser", "version_banners")
"""Keys that allowed what a current key promises not to happen."""


def migrated(path: Path) -> str:
    """Return the content of `path`, as a file of this release.

    Raises:
        WrongInputError: it is not TOML, or not a policy of the previous release.
    """
    files.document(path)
    old = tomlkit.parse(path.read_text())
    if not any(table in old for table in FORMER_TABLES):
        raise WrongInputError(
            expected=f"a policy of the release before, with [{FORMER_TABLES[0]}]",
            seen=f"{path.name} has none of {', '.join(FORMER_TABLES)}",
            next_command=f"matomo-harness gate --policy {path}",
        )
    _require_tables(path, old)
    new = _moved(old)
    for name, keys in ALWAYS_CHECKED_BEFORE.items():
        _table(new, name).update(dict.fromkeys(keys, True))
    return SCHEMA_LINE + tomlkit.dumps(new)


def _require_tables(path: Path, document: TOMLDocument) -> None:
    """Require that what is moved has the form that the previous release read.

    Raises:
        WrongInputError: a table is not one, a key is unknown, or a key to reverse is no boolean.
    """
    for table in (*FORMER_TABLES, *ALWAYS_CHECKED_BEFORE, "archiving", "exposure", "settings"):
        content: Any = document.get(table, {})
        if not isinstance(content, dict):
            raise files.mistake(path, f"[{table}] to be a table", repr(content))
        for key, value in content.items():
            if key in REVERSED and not isinstance(value, bool):
                raise files.mistake(path, f"[{table}] {key} to be true or false", repr(value))
            if table in FORMER_TABLES and key not in MOVED:
                raise files.mistake(path, f"[{table}] only {', '.join(MOVED)}", f"unknown: {key}")


def _moved(new: TOMLDocument) -> TOMLDocument:
    if new.get("privacy", {}).get("masked_bytes") == 0:
        del new["privacy"]["masked_bytes"]  # it promises nothing
    _move(new, "privacy", "masked_bytes", "masking", "bytes")
    _move(new, "privacy", "user_ids_stored", "user_ids", "none_stored", reverse=True)
    _move(new, "login", "second_factor_for_everybody", "second_factors", "for_everybody")
    _move(new, "archiving", "from_browser", "archiving", "only_by_schedule", reverse=True)
    _move(new, "exposure", "version_banners", "exposure", "no_version_banners", reverse=True)
    for table in FORMER_TABLES:
        if table in new:
            del new[table]
    settings = _table(new, "settings")
    options: Any = settings.get("options")
    for option in list(options or []):
        if option.startswith(MASK_OPTIONS):
            options.remove(option)
    settings["file_of_the_image"] = True
    environment: Any = new.get("environment", {})
    if "variables" in environment:
        environment.setdefault("may_be_set", tomlkit.array())
        for name in SET_NOW:
            if name not in environment["may_be_set"]:
                environment["may_be_set"].append(name)
    return new


def _move(
    document: TOMLDocument, table: str, key: str, to: str, name: str, *, reverse: bool = False
) -> None:
    """Move a key; a reversed one allowed something, and now promises that it does not happen."""
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
