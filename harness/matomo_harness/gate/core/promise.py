"""A promise: a section of the policy and the checks that prove it, declared beside each other."""

from collections.abc import Callable, Collection
from typing import Any, Final, TypeVar

from matomo_harness.gate.core.check import Capability, Check, Finding, Group, Severity
from matomo_harness.gate.core.context import Needs, needs_of, parameters_of
from matomo_harness.policy import Section

Run = TypeVar("Run", bound=Callable[..., Finding])

ALWAYS: Final = ()
"""For a check that guards what always holds: no key of the policy decides whether it runs."""


class Promise:
    """What one section of a policy promises, and its checks in the order in which they are written.

    Args:
        name: name of the section, and first part of its checks' ids.
        sentence: what is promised, for a report.
        section: model of the section; None where all that the promise says always holds.
    """

    def __init__(self, name: str, sentence: str, section: type[Section] | None = None) -> None:
        self.name = name
        self.sentence = sentence
        self.section = section
        self.checks: list[Check] = []

    def check(
        self,
        name: str,
        *,
        proves: str | tuple[str, ...],
        severity: Severity,
        remedy: str,
        sentence: str = "",
        failure_mode: str = "",
        needs: Collection[Capability] = (),
        group: Group | None = None,
        costly: bool = False,
        formerly: str = "",
    ) -> Callable[[Run], Run]:
        """Take a function as a check; its parameters' types say what it needs (context.py).

        Args:
            name: second part of the id, for good.
            proves: key of the policy, of this section or as `section.key`; several where any of
                them suffices; ALWAYS where it guards what always holds.
            severity: see Check.
            remedy: what to do where it fails, in a sentence.
            sentence: what it proves; the function's docstring by default.
            failure_mode: row of docs/failure-modes.md.
            needs: capabilities that are permissions and not parameters: HITS, CHANGE, WEB_ROOT.
            group: see Check; by default that of its steps or of its login.
            costly: see Check; a check that changes an instance or logs in always is.
            formerly: its former id.
        """
        keys = (proves,) if isinstance(proves, str) else proves

        def take(run: Run) -> Run:
            needed = needs_of(run)
            capabilities = needed.capabilities | frozenset(needs)
            own = _without_steps(run) | frozenset(needs)
            changes = {Capability.CHANGE, Capability.LOGIN} & own
            self.checks.append(
                Check(
                    id=f"{self.name}.{name}",
                    sentence=" ".join((sentence or run.__doc__ or "").split()),
                    run=run,
                    proves=tuple(self._key(key) for key in keys),
                    severity=severity,
                    remedy=remedy,
                    failure_mode=failure_mode,
                    capabilities=capabilities,
                    steps=needed.steps,
                    possible_steps=needed.possible_steps,
                    group=group or _group_of(needed, capabilities),
                    costly=costly or bool(changes),
                    formerly=(formerly,) if formerly else (),
                )
            )
            return run

        return take

    def _key(self, key: str) -> str:
        if "." in key:
            return key
        fields: dict[str, Any] = self.section.model_fields if self.section else {}
        if key not in fields:
            raise LookupError(f"[{self.name}] has no key {key}")
        return f"{self.name}.{key}"


def _without_steps(run: Callable[..., Finding]) -> frozenset[Capability]:
    """Return what `run` needs without its steps, which are performed once for all checks."""
    asked = [needs_of(parameter.kind) for parameter in parameters_of(run).values()]
    own = (needed.capabilities for needed in asked if not needed.steps)
    return frozenset[Capability]().union(*own)


def _group_of(needed: Needs, capabilities: Collection[Capability]) -> Group | None:
    groups = [step.group for step in (*needed.steps, *needed.possible_steps) if step.group]
    return next(iter(groups), Group.LOGIN if Capability.LOGIN in capabilities else None)
