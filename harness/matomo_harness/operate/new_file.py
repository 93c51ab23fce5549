"""A file of one's own, mode 0600, that appears whole or not at all, in the place of no other."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from matomo_harness.errors import UnsupportedEnvironmentError, WrongInputError


def require_new(to: Path, endings: Sequence[str], example: str) -> None:
    """Require a file that can be made, before work is done for it.

    Args:
        to: what --to names.
        endings: of its name, of which it has one.
        example: a command line that does.

    Raises:
        WrongInputError: it is there, its directory is not, or it has another ending.
    """
    if not to.name.endswith(tuple(endings)):
        raise WrongInputError(
            expected=f"--to to end in {', '.join(endings)}", seen=to.name, next_command=example
        )
    if os.path.lexists(to) or not to.parent.is_dir():
        raise _taken(to, "a file of that name" if os.path.lexists(to) else "no such directory")


@contextmanager
def new_file(to: Path) -> Iterator[IO[bytes]]:
    """Yield a file to write and read, which gets its name at the end of the block.

    With an error nothing is left of it.

    Raises:
        WrongInputError: another file got that name meanwhile.
        UnsupportedEnvironmentError: there is no room, or nothing may be written there.
    """
    made = ""
    try:
        descriptor, made = tempfile.mkstemp(dir=to.parent, prefix=f".{to.name}.")
        with os.fdopen(descriptor, "w+b") as file:
            yield file
        os.link(made, to)  # unlike a renaming, this takes no other file's name
    except FileExistsError as error:
        raise _taken(to, "a file of that name") from error
    except OSError as error:
        if error.errno is None:  # the engine's connection, and not a file
            raise
        raise UnsupportedEnvironmentError(
            expected=f"room for {to.name}", seen=str(error), next_command=f"df -h {to.parent}"
        ) from error
    finally:
        if made:
            Path(made).unlink(missing_ok=True)


def _taken(to: Path, seen: str) -> WrongInputError:
    return WrongInputError(
        expected=f"--to to name a new file in a directory that is there: {to}",
        seen=seen,
        next_command="name another",
    )
