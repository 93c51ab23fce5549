"""What mydumper writes: a directory with two files for each table, and one that says it ended.

`SCHEMA-schema-create.sql`, `SCHEMA.TABLE-schema.sql`, and `SCHEMA.TABLE.sql`, in pieces with
a number each where the table is large, and all of them packed with --compress. None of them has an
end that shows; but the file `metadata` has the time at which all were whole, and is called
`metadata.partial` until then.
"""

import re
from pathlib import Path
from typing import Final

from matomo_harness.errors import WrongInputError

METADATA: Final = ("metadata", "metadata.partial")
END: Final = "Finished dump at"
_STATEMENTS: Final = re.compile(r"\.sql(?:\.(?:gz|zst))?")


def is_metadata(path: Path) -> bool:
    """Whether a file says when mydumper began and ended."""
    return path.name in METADATA


def is_directory(path: Path) -> bool:
    """Whether mydumper wrote a directory."""
    return any((path / name).is_file() for name in METADATA)


def files(folder: Path) -> list[Path]:
    """Return the files of a directory that mydumper wrote, each table before its rows.

    Raises:
        WrongInputError: mydumper did not end, or there is no statement.
    """
    whole, partial = (folder / name for name in METADATA)
    found = whole if whole.is_file() else partial
    require_end(f"{folder.name}/{found.name}", found.read_text(errors="replace"))
    statements = [path for path in folder.iterdir() if _STATEMENTS.search(path.name)]
    if not statements:
        raise WrongInputError(
            expected=f"in {folder.name} the statements that mydumper wrote (.sql)",
            seen="none",
            next_command=f"ls {folder}; copy the directory anew, as a whole",
        )
    return sorted(statements)  # `-schema` sorts before `.sql` and before the number of a piece


def require_end(name: str, metadata: str) -> None:
    """Require that mydumper came to its end.

    Args:
        name: how errors name the file.
        metadata: what is in it.

    Raises:
        WrongInputError: it did not.
    """
    if name.endswith(METADATA[0]) and END in metadata:
        return
    raise WrongInputError(
        expected=f"`{END}` in {name}, as mydumper writes it at its end",
        seen="a dump without that: it is truncated, or mydumper broke off",
        next_command="copy it anew, or dump again and look at mydumper's exit code",
    )
