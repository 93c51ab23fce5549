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
    "user_ids": ("no_mail_addresses",),
    "secrets": ("only_in_the_environment",),
    "code": ("from_the_image_alone",),
    "operation": ("health_check", "configuration_on_a_volume"),
    "backup": ("whole",),
    "mail": ("arrives",),
    "tracking": ("opt_out",),
    "accounts": ("nothing_for_anonymous",),
}
"""What the gate of before looked at whatever the file said: it stays promised."""
SET_NOW: Final = ("MATOMO_GENERAL_LOGIN_PASSWORD_RECOVERY_REPLYTO_EMAIL_ADDRESS",)
"""Variables that every deployment of the harness has; only `make up` had them before."""
OF_THE_MASK: Final = ("PrivacyManager.ipAnonymizerEnabled=", "PrivacyManager.ipAddressMaskLength=")
"""Options that the gate allows by [masking] now."""


MOVED: Final = ("masked_bytes", "user_ids_stored", "second_factor_for_everybody")
"""Keys of the tables that are no more."""
REVERSED: Final = ("user_ids_stored", "from_browser", "version_banners")
"""Keys that allowed what a key of today promises not to happen."""


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
    _require_tables(path, old)
    new = _moved(old)
    for name, keys in SAID_BY_NONE.items():
        _table(new, name).update(dict.fromkeys(keys, True))
    return SCHEMA_LINE + tomlkit.dumps(new)


def _require_tables(path: Path, document: TOMLDocument) -> None:
    """Require that what is moved is there as the release before read it.

    Raises:
        WrongInputError: a table is none, a key is unknown, or no boolean where one is reversed.
    """
    for table in (*FORMER_TABLES, *SAID_BY_NONE, "archiving", "exposure", "settings"):
        said: Any = document.get(table, {})
        if not isinstance(said, dict):
            raise files.mistake(path, f"[{table}] to be a table", repr(said))
        for key, value in said.items():
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
        if option.startswith(OF_THE_MASK):
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
