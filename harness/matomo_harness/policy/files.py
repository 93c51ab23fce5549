"""The harness's own TOML files, read strictly: an unknown key is a mistake, not a comment."""

import hashlib
import tomllib
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from matomo_harness.errors import WrongInputError


def document(path: Path) -> tuple[dict[str, Any], str]:
    """Return the content of `path`, and its SHA-256.

    Raises:
        WrongInputError: the file is not there, is not TOML, or cannot be read.
    """
    try:
        content = path.read_bytes()
        return tomllib.loads(content.decode()), hashlib.sha256(content).hexdigest()
    except FileNotFoundError as error:
        raise not_there(path) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise mistake(path, "a readable TOML file", str(error)) from error


BY_ITS_WHOLE_PATH: Final = "name it by its whole path: make runs in the harness's checkout"
"""What lies in a project of one's own is named from there in our documents."""


def not_there(path: Path) -> WrongInputError:
    """Return the error for a file that a user named and that is not there."""
    return WrongInputError(
        expected=f"a file {path.name}",
        seen=f"none at {path.absolute()}",
        next_command=BY_ITS_WHOLE_PATH,
    )


def mistakes_in(error: ValidationError) -> str:
    """Return every mistake that pydantic found, each with its place in the file."""
    return "; ".join(
        f"{'.'.join(map(str, detail['loc']))}: {detail['msg'].lower()}" for detail in error.errors()
    )


def mistake(path: Path, expected: str, seen: str) -> WrongInputError:
    """Return the error for a file with a mistake.

    Args:
        path: the file.
        expected: what should be in it.
        seen: what is in it.
    """
    return WrongInputError(
        expected=f"{expected} in {path.name}", seen=seen, next_command=f"edit {path}"
    )
