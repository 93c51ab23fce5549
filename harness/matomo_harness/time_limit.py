"""A time limit for a piece of work that is made of many requests, commands and queries.

Python cannot end a thread from outside. So each operation that waits for somebody else asks
`seconds_left` how long it may still take and ends by itself; the work then ends with its error.
"""

import contextvars
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from matomo_harness.errors import HarnessError

CLEAN_UP_SECONDS: Final = 15.0
"""What the work gets after its time to leave things as they were, in its `finally`."""
LEAST_SECONDS: Final = 0.05
"""An operation gets this much even where less is left: to many libraries 0 means no limit."""


class TimeLimitError(HarnessError):
    """The time for a piece of work is over; it ends here, and only cleans up."""


@dataclass
class _Limit:
    """The limit of the work that is going on.

    Args:
        what: the work, as the error names it.
        seconds: how long it may take.
        ends: when its time is over, by the monotonic clock.
        is_raised: the work has had its error; what it asks for now is its clean-up.
    """

    what: str
    seconds: float
    ends: float
    is_raised: bool = False


_limit: contextvars.ContextVar[_Limit | None] = contextvars.ContextVar("limit", default=None)


@contextmanager
def within(seconds: float, what: str) -> Iterator[None]:
    """End all operations in this context after `seconds` at the latest.

    Args:
        seconds: for all of them together.
        what: the work, as the error names it.
    """
    token = _limit.set(_Limit(what, seconds, time.monotonic() + seconds))
    try:
        yield
    finally:
        _limit.reset(token)


def seconds_left(most: float) -> float:
    """Return the seconds that an operation may take: `most`, or what is left of the current limit.

    Raises:
        TimeLimitError: nothing is left. It is raised once: what comes after it is the work's
            clean-up, which has CLEAN_UP_SECONDS.
    """
    limit = _limit.get()
    if limit is None:
        return most
    left = limit.ends - time.monotonic()
    if left <= 0:
        _end(limit)
        left = limit.ends + CLEAN_UP_SECONDS - time.monotonic()
        if left <= 0:
            raise _is_over(limit)
    return max(min(most, left), LEAST_SECONDS)


def require_time_left() -> None:
    """Raise where the time is over: an operation that was cut off has no result.

    Raises:
        TimeLimitError: it is over, and the work has not had this error yet.
    """
    limit = _limit.get()
    if limit is not None and limit.ends <= time.monotonic():
        _end(limit)


def _end(limit: _Limit) -> None:
    if not limit.is_raised:
        limit.is_raised = True
        raise _is_over(limit)


def _is_over(limit: _Limit) -> TimeLimitError:
    return TimeLimitError(
        expected=f"{limit.what} to end within {limit.seconds:.0f} s",
        seen="it was still at work",
        next_command="docker ps, docker logs: what is the target doing?",
    )
