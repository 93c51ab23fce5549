"""Files of ours, TOML, read strictly: a key that is not known is a mistake, not a comment."""

import hashlib
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from matomo_harness.errors import WrongInputError


def document(path: Path) -> tuple[dict[str, Any], str]:
    """Return what `path` says, and the SHA-256 of it.

    Raises:
        WrongInputError: not TOML, or not to be read.
    """
    try:
        content = path.read_bytes()
        return tomllib.loads(content.decode()), hashlib.sha256(content).hexdigest()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise mistake(path, "a readable TOML file", str(error)) from error


def told(error: ValidationError) -> str:
    """Return every mistake that pydantic found, each with its place in the file."""
    return "; ".join(
        f"{'.'.join(map(str, one['loc']))}: {one['msg'].lower()}" for one in error.errors()
    )


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
