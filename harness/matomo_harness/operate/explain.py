"""Explain a check; its mutants are known only where the engine's libraries are installed."""

from collections.abc import Mapping
from dataclasses import dataclass

from matomo_harness import extra
from matomo_harness.gate.core.check import Check
from matomo_harness.gate.core.context import title


@dataclass(frozen=True)
class Explanation:
    """What there is to know about a check.

    Args:
        id: the check's id.
        proves: the promise that it proves, in a sentence.
        keys: the policy's keys that it proves; none where it guards what always holds.
        severity: how bad a broken promise is.
        remedy: what to do about a broken promise.
        failure_mode: its row of docs/failure-modes.md.
        needs: the capabilities that it needs, in words for people.
        steps: what the runner does before it, in order.
        mutants: those that prove it, and what each breaks; None without the extra `docker`.
    """

    id: str
    proves: str
    keys: tuple[str, ...]
    severity: str
    remedy: str
    failure_mode: str
    needs: tuple[str, ...]
    steps: tuple[str, ...]
    mutants: Mapping[str, str] | None


def explained(check: Check) -> Explanation:
    """Return what there is to know about `check`."""
    return Explanation(
        check.id,
        check.sentence,
        check.proves,
        check.severity.name.lower(),
        check.remedy,
        check.failure_mode,
        tuple(sorted(capability.value for capability in check.capabilities)),
        tuple(title(step) for step in check.steps),
        _mutants_of(check) if extra.is_installed() else None,
    )


def _mutants_of(check: Check) -> dict[str, str]:
    # A mutant changes a deployment, so its module needs the engine's libraries.
    from matomo_harness.gate.mutation import WRITTEN

    return {mutant.id: mutant.breaks for mutant in WRITTEN if check.id in mutant.kills}
