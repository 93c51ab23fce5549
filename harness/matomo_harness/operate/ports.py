"""Ports on loopback for the stacks beside the local one, each kept as long as its stack is there.

A stack has no container while it is copied or judged, and nobody listens at its ports then: without
this a stack of another checkout would be given them.
"""

from collections.abc import Container
from itertools import islice
from pathlib import Path
from typing import Final

from filelock import FileLock

from matomo_harness.errors import UnsupportedEnvironmentError
from matomo_harness.operate import compose
from matomo_harness.operate.stack import Stack
from matomo_harness.runtime import reaper

CHOICE: Final = range(8500, 9500)


def keep(stack: Stack, others: Container[int] = ()) -> tuple[int, int]:
    """Return two ports that are free, and keep them for `stack` until its directory is gone.

    Args:
        stack: its directory is there. What was kept for it before is given back.
        others: ports that are not for it either.

    Raises:
        UnsupportedEnvironmentError: none is free.
    """
    reaper.require_own_directory()
    folder = reaper.RUNS / "ports"
    folder.mkdir(mode=0o700, exist_ok=True)
    with FileLock(folder / "lock"):
        given = _given_to_others(folder, stack)
        free = (port for port in CHOICE if port not in given and port not in others)
        found = tuple(islice(filter(_is_free, free), 2))
        if len(found) < 2:
            raise UnsupportedEnvironmentError(
                expected=f"two free ports on {compose.LOOPBACK} from {CHOICE.start} on",
                seen="none of a thousand",
                next_command="ss -ltn",
            )
        for port in found:
            (folder / str(port)).write_text(str(stack.root))
    return found[0], found[1]


def _given_to_others(folder: Path, stack: Stack) -> set[int]:
    """Return the ports that are kept for other stacks, and forget those of stacks that are gone."""
    given = set()
    for file in folder.glob("[0-9]*"):
        root = file.read_text()  # empty where its writer was killed
        if root not in ("", str(stack.root)) and Path(root).is_dir():
            given.add(int(file.name))
        else:
            file.unlink()
    return given


def _is_free(port: int) -> bool:
    try:
        compose.bind_for_a_moment(port)
    except OSError:
        return False
    return True
