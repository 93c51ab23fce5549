"""Takes secondary keys out of a CREATE TABLE, to be made when its rows are there.

A server that has all rows sorts them once for each key; while rows come, each of them is put into
each key by itself, in random order. Unique keys stay: they decide which rows there may be.
"""

import re
from typing import Final

_KEY: Final = re.compile(rb",\n  (KEY `[^\n]+?)(?=,?\n)")
"""As SHOW CREATE TABLE writes it: a line for each."""
_AUTO_INCREMENT: Final = re.compile(rb"^  (`(?:[^`]|``)+`) [^\n]*\bAUTO_INCREMENT\b", re.M | re.I)
_PRIMARY: Final = re.compile(rb"^  PRIMARY KEY \((`(?:[^`]|``)+`)", re.M)


def without_keys(create_table: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return a CREATE TABLE without its secondary keys, and these as ALTER TABLE … ADD takes them.

    Where a key has to be there from the beginning (for a column that numbers itself, or a foreign
    key), or has a name that is not UTF-8, nothing is taken out.

    Args:
        create_table: the statement, as a dump has it.
    """
    numbered, primary = _AUTO_INCREMENT.search(create_table), _PRIMARY.search(create_table)
    needs_key = numbered and (not primary or primary[1] != numbered[1])
    if needs_key or b"FOREIGN KEY" in create_table:
        return create_table, ()
    try:
        keys = tuple(key.decode() for key in _KEY.findall(create_table))
    except UnicodeDecodeError:
        return create_table, ()
    return _KEY.sub(b"", create_table), keys
