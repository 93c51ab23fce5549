"""Values that are made once for all checks of a run, whichever thread asks first.

`functools.cached_property` cannot serve: in Python 3.11 all instances of a class wait for one
lock, so that one mutant's archiver held up every other's; from 3.12 on it has no lock at all.
"""

import threading
from collections.abc import Callable
from typing import Any, Final, Generic, Self, TypeVar, overload

T = TypeVar("T")


class once(Generic[T]):  # noqa: N801  used like functools.cached_property
    """A property that is made at first use; other threads wait for it, other instances do not.

    Where making it fails, the next thread that asks tries again.

    Args:
        make: returns the value.
    """

    _guard: Final = threading.Lock()

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__
        self._name = make.__name__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> "Self | T":
        """Return the value, which is made first where it is missing."""
        if instance is None:
            return self
        values = instance.__dict__
        key = f"_once_{self._name}"
        if key not in values:
            with once._guard:
                lock = values.setdefault(f"_lock_{self._name}", threading.RLock())
            with lock:
                if key not in values:
                    values[key] = self._make(instance)
        value: T = values[key]
        return value
