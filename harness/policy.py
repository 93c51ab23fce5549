"""image/policy.toml: what a deployment promises, read strictly."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, get_type_hints

from harness.errors import WrongInputError
from harness.settings import ROOT

POLICY_FILE: Final = ROOT / "image" / "policy.toml"


@dataclass(frozen=True)
class Plugins:
    """The `[plugins]` table.

    Args:
        active: exactly these are active.
        where_present: these too, where the image has them.
    """

    active: tuple[str, ...]
    where_present: tuple[str, ...]


@dataclass(frozen=True)
class Privacy:
    """The `[privacy]` table.

    Args:
        masked_bytes: bytes of an IPv4 address that are zeroed before it is stored, 0 to 4.
        user_ids_stored: whether a `uid` of a hit may be kept.
    """

    masked_bytes: int
    user_ids_stored: bool


@dataclass(frozen=True)
class Login:
    """The `[login]` table.

    Args:
        second_factor_for_everybody: nobody gets anywhere without one.
    """

    second_factor_for_everybody: bool


@dataclass(frozen=True)
class Archiving:
    """The `[archiving]` table.

    Args:
        from_browser: whether looking at a report may archive.
        today_outdated_after_seconds: age from which today's archive is made anew.
        maximum_rows: report name to rows kept; the rest is summed up as "Others".
    """

    from_browser: bool
    today_outdated_after_seconds: int
    maximum_rows: Mapping[str, int]


@dataclass(frozen=True)
class Policy:
    """Everything that is promised.

    Args:
        plugins: which are active.
        privacy: what is stored of a visitor.
        login: how people come in.
        archiving: when reports are made, and how long they are.
    """

    plugins: Plugins
    privacy: Privacy
    login: Login
    archiving: Archiving


def read(path: Path = POLICY_FILE) -> Policy:
    """Read `path`.

    Raises:
        WrongInputError: not TOML, a key that is unknown or missing, or a value that cannot be.
    """
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise _mistake(path, "a readable TOML file", str(error)) from error
    policy: Policy = _table(path, "", Policy, document)
    if not 0 <= policy.privacy.masked_bytes <= 4:
        seen = f"[privacy] masked_bytes = {policy.privacy.masked_bytes}"
        raise _mistake(path, "[privacy] masked_bytes from 0 to 4", seen)
    return policy


def _table(path: Path, name: str, kind: type[Any], table: object) -> Any:
    if not isinstance(table, dict):
        raise _mistake(path, f"[{name}] to be a table", repr(table))
    known = {field.name for field in fields(kind)}
    prefix = f"[{name}] " if name else ""
    if unknown := sorted(table.keys() - known):
        raise _mistake(path, f"{prefix}only {', '.join(sorted(known))}", f"unknown: {unknown[0]}")
    if missing := sorted(known - table.keys()):
        raise _mistake(path, f"{prefix}{missing[0]}", "no such key")
    hints = get_type_hints(kind)
    values = {
        key: _value(path, f"{name}.{key}".strip("."), hints[key], table[key]) for key in known
    }
    return kind(**values)


def _value(path: Path, name: str, hint: Any, value: object) -> Any:
    if isinstance(hint, type) and hasattr(hint, "__dataclass_fields__"):
        return _table(path, name, hint, value)
    if hint is bool or hint is int:
        if type(value) is not hint:
            raise _mistake(path, f"{name} to be {_WORDS[hint]}", repr(value))
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if isinstance(value, dict) and all(type(item) is int and item > 0 for item in value.values()):
        return value
    raise _mistake(
        path, f"{name} to be a list of names, or a table of positive numbers", repr(value)
    )


_WORDS: Final = {bool: "true or false", int: "a whole number"}


def _mistake(path: Path, expected: str, seen: str) -> WrongInputError:
    return WrongInputError(
        expected=f"{expected} in {path.name}", seen=seen, next_command=f"edit {path}"
    )
