"""The check context hands out, by type, what all checks of a run share of one target.

A check says what it needs by its parameters' types, as a test names fixtures: a capability of the
target (`Api`, `Database` …), a section of the policy, a probe, which is made once for all checks,
or the result of a step, which the runner performs first. A check cannot use what it did not
declare, and a type checker sees that. A parameter `X | None` is None where the target lacks what X
needs.
"""

import functools
import threading
import types
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from matomo_harness.errors import HarnessError
from matomo_harness.gate.core.check import CannotTellError, Capability, Group
from matomo_harness.gate.core.target import CAPABILITY_OF, Target
from matomo_harness.matomo.container import OutOfReachError
from matomo_harness.policy import Section
from matomo_harness.time_limit import within

T = TypeVar("T")

STEP_SECONDS: Final = 600.0
"""The archiver of a throw-away copy ends within seconds, and on a busy machine within minutes."""


class Step:
    """Something that the runner does before the checks that need it, once for all of them.

    A subclass performs it in `__init__`, whose parameters say what it needs; the instance is the
    result. The first line of its docstring says what is done.

    Args:
        needs: capabilities that it takes, besides those of its parameters.
        group: the checks that share its result run in one thread.
        precedes: a step that runs after this one, where both are wanted: what is to be archived is
            sent before the archiver runs.
    """

    needs: ClassVar[frozenset[Capability]] = frozenset()
    group: ClassVar[Group | None] = None
    precedes: ClassVar[type["Step"] | None] = None

    def __init_subclass__(
        cls,
        *,
        needs: Collection[Capability] = (),
        group: Group | None = None,
        precedes: type["Step"] | None = None,
    ) -> None:
        cls.needs = frozenset(needs)
        cls.group = group
        cls.precedes = precedes


class Preflight(Step):
    """A step that finds out why many checks fail at once; it is performed after the first failure.

    Args:
        blocks: types; a check that uses one of them, itself or by a step or probe, says nothing of
            its promise where this step fails.
        is_fatal: no such check is run any more once it has failed.
    """

    blocks: ClassVar[frozenset[Any]] = frozenset()
    is_fatal: ClassVar[bool] = True

    def __init_subclass__(
        cls, *, blocks: Collection[Any] = (), is_fatal: bool = True, **options: Any
    ) -> None:
        super().__init_subclass__(**options)
        cls.blocks = frozenset(blocks)
        cls.is_fatal = is_fatal

    @classmethod
    def explains(cls, seen: str) -> bool:  # noqa: ARG003  of those that can tell
        """Whether a finding is because of this, where this has failed."""
        return cls.is_fatal


def title(step: type[Step]) -> str:
    """Return what `step` does, in a sentence."""
    return (step.__doc__ or step.__name__).splitlines()[0].rstrip(".")


class StepFailedError(HarnessError):
    """A step that a check needs failed.

    Args:
        step: the step.
        cause: the error that it failed with.
    """

    def __init__(self, step: type[Step], cause: BaseException) -> None:
        first = cause
        self.root = step
        """The step that failed first, of those that need each other."""
        while isinstance(first, StepFailedError) and first.__cause__:
            self.root, first = first.root, first.__cause__
        seen = first.seen if isinstance(first, HarnessError) else f"{type(first).__name__}: {first}"
        super().__init__(
            expected=f"the step '{title(step)}' to succeed",
            seen=seen[:300],
            next_command=first.next_command
            if isinstance(first, HarnessError)
            else "see the checks of what the step does",
        )


# -- what a parameter asks for --------------------------------------------------------------------


@dataclass(frozen=True)
class Parameter:
    """A parameter of a check, a step or a probe.

    Args:
        kind: its type.
        is_optional: whether None is accepted.
    """

    kind: Any
    is_optional: bool


@functools.cache
def parameters_of(asking: Any) -> dict[str, Parameter]:
    """Return the parameters of a check, a step or a probe, by their names.

    Raises:
        TypeError: a parameter has no type, or a union that is not `X | None`.
    """
    function = asking.__init__ if isinstance(asking, type) else asking  # type: ignore[misc]
    if function is object.__init__:
        return {}
    if function.__code__.co_kwonlyargcount:
        raise TypeError(f"{asking}: expected parameters that may be given by position")
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    hints = get_type_hints(function)
    return {name: _parameter(name, hints) for name in names if name != "self"}


def _parameter(name: str, hints: dict[str, Any]) -> Parameter:
    hint = hints.get(name)
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        if len(kinds) == 1:
            return Parameter(kinds[0], is_optional=True)
    if not isinstance(hint, type):
        raise TypeError(f"{name}: expected a class or `X | None`, seen {hint}")
    return Parameter(hint, is_optional=False)


@dataclass(frozen=True)
class Needs:
    """What a check, a step or a probe cannot do without.

    Args:
        capabilities: those of the target.
        steps: those that it needs, in the order in which they are performed.
        possible_steps: the same, of parameters that may be None.
    """

    capabilities: frozenset[Capability] = frozenset()
    steps: tuple[type[Step], ...] = ()
    possible_steps: tuple[type[Step], ...] = ()


@functools.cache
def needs_of(kind: Any) -> Needs:
    """Return what `kind` needs, by its parameters and by theirs in turn."""
    if kind in CAPABILITY_OF:
        capability = CAPABILITY_OF[kind]
        return Needs(frozenset({capability} if capability else ()))
    if kind is Context or (isinstance(kind, type) and issubclass(kind, Section)):
        return Needs()
    capabilities: set[Capability] = set()
    steps: dict[type[Step], None] = {}
    possible: dict[type[Step], None] = {}
    for parameter in parameters_of(kind).values():
        needed = needs_of(parameter.kind)
        if parameter.is_optional:
            possible |= dict.fromkeys((*needed.steps, *needed.possible_steps))
            continue
        capabilities |= needed.capabilities
        steps |= dict.fromkeys(needed.steps)
        possible |= dict.fromkeys(needed.possible_steps)
    if isinstance(kind, type) and issubclass(kind, Step):
        capabilities |= kind.needs
        steps[kind] = None
    only_possible = tuple(step for step in possible if step not in steps)
    return Needs(frozenset(capabilities), tuple(steps), only_possible)


@functools.cache
def types_of(asking: Any) -> frozenset[Any]:
    """Return the types of all that `asking` uses, by its parameters and theirs."""
    if asking in CAPABILITY_OF or asking is Context:
        return frozenset()
    if isinstance(asking, type) and issubclass(asking, Section):
        return frozenset()
    direct = frozenset(parameter.kind for parameter in parameters_of(asking).values())
    return direct.union(*(types_of(kind) for kind in direct))


# -- handing out ----------------------------------------------------------------------------------


class Context:
    """What the checks of one gate see of a target.

    Args:
        target: the Matomo that is inspected.
        wanted: steps of all checks that run, so that what is to be archived is sent before.
    """

    def __init__(self, target: Target, wanted: Collection[type[Step]] = ()) -> None:
        self.target = target
        self.wanted = frozenset(wanted)
        self._performed: dict[type[Step], Future[Step]] = {}
        self._probes: dict[type[Any], Any] = {}
        self._locks: dict[type[Any], threading.RLock] = {}
        self._guard = threading.Lock()

    def call(self, asking: Callable[..., T]) -> T:
        """Call `asking` with what its parameters ask for."""
        parameters = parameters_of(asking).items()
        return asking(**{name: self._argument(parameter) for name, parameter in parameters})

    def _argument(self, parameter: Parameter) -> Any:
        if parameter.is_optional and not self.has(parameter.kind):
            return None
        return self.get(parameter.kind)

    def has(self, kind: Any) -> bool:
        """Whether the target has all that `kind` needs."""
        return needs_of(kind).capabilities <= self.target.capabilities

    def get(self, kind: type[T]) -> T:
        """Return the capability, the section, the probe or the result of the step `kind`.

        Raises:
            StepFailedError: `kind` is a step that failed, now or before, or needs one that did.
            CannotTellError: `kind` is a step that cannot be performed on such a target, or not
                with what was given of it.
        """
        if kind is Context:
            return self  # type: ignore[return-value]
        if kind in CAPABILITY_OF:
            return self.target.offer(kind)
        if issubclass(kind, Section):
            return self.target.policy.section(kind)
        made: T = self._step(kind) if issubclass(kind, Step) else self._probe(kind)
        return made

    def _step(self, kind: Any) -> Any:
        with self._guard:
            outcome = self._performed.get(kind)
            is_first = outcome is None
            if outcome is None:
                outcome = self._performed[kind] = Future()
        if is_first:
            for earlier in self.wanted:
                if earlier.precedes is kind:
                    # Whoever needs its result is told why it failed.
                    with suppress(StepFailedError, CannotTellError):
                        self._step(earlier)
            try:
                with within(STEP_SECONDS, f"the step '{title(kind)}'"):
                    outcome.set_result(self.call(kind))
            except BaseException as error:
                outcome.set_exception(error)
                if not isinstance(error, Exception):
                    raise  # Ctrl-C, or a test's time limit: it is for whoever runs all this
        cause = outcome.exception()
        if isinstance(cause, CannotTellError):
            raise CannotTellError(*cause.args) from cause
        if isinstance(cause, OutOfReachError):
            raise CannotTellError(f"{cause.seen}; next: {cause.next_command}") from cause
        if cause:
            raise StepFailedError(kind, cause) from cause
        return outcome.result()

    def _probe(self, kind: Any) -> Any:
        """Make the probe once; where that fails, the next check that needs it tries again."""
        with self._guard:
            lock = self._locks.setdefault(kind, threading.RLock())
        with lock:
            if kind not in self._probes:
                self._probes[kind] = self.call(kind)
        return self._probes[kind]
