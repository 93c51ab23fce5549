"""One command at a time on a stack: whoever copies its data must not meet who starts it."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from filelock import FileLock, Timeout

from matomo_harness.errors import WrongInputError
from matomo_harness.operate.stack import Stack
from matomo_harness.runtime import reaper

WAIT_SECONDS: Final = 10.0
"""The schedule holds the lock while it starts an archiver, which takes a second or two."""


@contextmanager
def alone(stack: Stack, *, tidies: bool = True) -> Iterator[None]:
    """Keep other commands off a stack for the block; the kernel lets go of a killed one's lock.

    Args:
        stack: which one.
        tidies: whether what dead runs left is removed first: a copy that one had begun would hold
            the volumes.

    Raises:
        WrongInputError: another one is at work on it.
    """
    stack.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FileLock(stack.directory / "stack.lock")
    try:
        lock.acquire(timeout=WAIT_SECONDS)
    except Timeout as error:
        raise WrongInputError(
            expected=f"one command at a time on {stack.title}",
            seen=f"another one is at work, which holds {lock.lock_file}",
            next_command="the same command again, once that has ended",
        ) from error
    try:
        if tidies:
            reaper.remove_leftovers_of_dead_runs()
        yield
    finally:
        lock.release()


def name_lock(stack: Stack) -> FileLock:
    """Return the lock of whoever makes or removes the reproduction that has this name."""
    return FileLock(stack.root.parent / f"{stack.name}.lock", blocking=False)


@contextmanager
def removing(stack: Stack, *, tidies: bool = True) -> Iterator[None]:
    """Keep off a stack whoever makes it, and every other command, for the block.

    Args:
        stack: which one.
        tidies: as of `alone`.

    Raises:
        WrongInputError: another one is at work on it.
    """
    with contextlib.ExitStack() as locks:
        if stack.name:
            try:
                locks.enter_context(name_lock(stack))
            except Timeout as error:
                raise WrongInputError(
                    expected=f"nobody to be at work on {stack.title}",
                    seen="another command is making it",
                    next_command="the same command again, once that has ended",
                ) from error
        locks.enter_context(alone(stack, tidies=tidies))
        yield
