"""TOML files of ours, read strictly: a key that is not known is an error, not a comment."""

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, TypeVar, get_type_hints

from matomo_harness.errors import WrongInputError

T = TypeVar("T")


def read(path: Path, kind: type[T]) -> T:
    """Return what `path` says, as `kind`: a dataclass of tables, whole numbers, booleans and lists.

    Raises:
        WrongInputError: not TOML, a key that is unknown or missing, or a value of another type.
    """
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise mistake(path, "a readable TOML file", str(error)) from error
    table: T = _table(path, "", kind, document)
    return table


def mistake(path: Path, expected: str, seen: str) -> WrongInputError:
    """Return the error for a file that says what cannot be.

    Args:
        path: the file.
        expected: what should be in it.
        seen: what is.
    """
    return WrongInputError(
        expected=f"{expected} in {path.name}", seen=seen, next_command=f"edit {path}"
    )


def _table(path: Path, name: str, kind: type[Any], table: object) -> Any:
    if not isinstance(table, dict):
        raise mistake(path, f"[{name}] to be a table", repr(table))
    known = {field.name for field in fields(kind)}
    prefix = f"[{name}] " if name else ""
    if unknown := sorted(table.keys() - known):
        raise mistake(path, f"{prefix}only {', '.join(sorted(known))}", f"unknown: {unknown[0]}")
    if missing := sorted(known - table.keys()):
        raise mistake(path, f"{prefix}{missing[0]}", "no such key")
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
            raise mistake(path, f"{name} to be {_WORDS[hint]}", repr(value))
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if isinstance(value, dict) and all(type(item) is int and item > 0 for item in value.values()):
        return value
    raise mistake(
        path, f"{name} to be a list of names, or a table of positive numbers", repr(value)
    )


_WORDS: Final = {bool: "true or false", int: "a whole number"}
