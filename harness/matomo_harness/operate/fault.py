"""Faults in the local stack, for as long as a user wants to see what they do.

The command line reads the two enumerations whatever its verb is; so what needs the engine's
libraries is imported where it is used.
"""

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from docker.models.containers import Container

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class FaultKind(StrEnum):
    """What can go wrong."""

    CUT = "cut"
    SLOW = "slow"
    KILL = "kill"
    FULL_DISK = "full-disk"
    CLOCK_SKEW = "clock-skew"


class FaultTarget(StrEnum):
    """Where it goes wrong."""

    MATOMO = "matomo"
    DB = "db"
    MAIL = "mail"
    LOAD_BALANCER = "load-balancer"


def inject(
    kind: FaultKind,
    service: FaultTarget,
    seconds: float,
    *,
    cpus: float,
    path: str,
    skew: int,
    on_begin: Callable[[], None],
) -> None:
    """Inject a fault into the running local stack, and heal it after `seconds` or a signal.

    Args:
        kind: the kind of fault.
        service: which container has it.
        seconds: how long.
        cpus: what is left of the processor, for SLOW.
        path: a directory in memory, for FULL_DISK.
        skew: seconds that the clock is ahead, for CLOCK_SKEW.
        on_begin: called once the fault is there.

    Raises:
        WrongInputError: the stack is not up, or `path` is not in memory.
    """
    from matomo_harness.operate import compose

    container = compose.running(service)
    # The signals are blocked first: one that came in the midst of a fault would leave it there.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    with _fault(kind, container, cpus, path, skew):
        on_begin()
        signal.sigtimedwait(ENDING, seconds)


def _fault(
    kind: FaultKind, container: "Container", cpus: float, path: str, skew: int
) -> AbstractContextManager[None]:
    from matomo_harness.runtime import faults

    match kind:
        case FaultKind.CUT:
            return faults.cut(container)
        case FaultKind.SLOW:
            return faults.slow(container, cpus)
        case FaultKind.KILL:
            return faults.kill(container)
        case FaultKind.FULL_DISK:
            return faults.full_disk(container, path)
        case FaultKind.CLOCK_SKEW:
            return faults.clock_skew(container, skew)
