"""The gate's checks have been seen red: each by a mutant that names it, on a real deployment."""

import pytest

from matomo_harness import policy
from matomo_harness.gate.mutation import WRITTEN, matrix, turns
from matomo_harness.gate.mutation.matrix import Theatre
from matomo_harness.gate.mutation.mutant import Mutant, Stage
from matomo_harness.gate.mutation.variants import VARIANTS
from matomo_harness.gate.promises import ALL
from matomo_harness.pytest_plugin import SharedServers
from matomo_harness.runtime.golden import Golden

SLOW = pytest.mark.slow(reason="a deployment with one thing wrong, for each mutant")
QUICK = 5
"""Mutants that the quick tests play."""


def cost(mutant: Mutant) -> float:
    """Seconds of a processor, roughly: the deployment's start, and steps of the named checks."""
    steps = {step for it in ALL if it.id in mutant.kills for step in it.steps}
    performed = sum(turns.STEP_SECONDS.get(it, 0.0) for it in steps)
    return turns.TOPOLOGY_SECONDS[mutant.stage] + performed + 0.5


def cover() -> list[Mutant]:
    """Few mutants that name every check; `make mutants` plays all of them."""
    open_checks, taken = {it.id for it in ALL}, []
    while open_checks:
        best = max(WRITTEN, key=lambda it: len(open_checks & set(it.kills)) / cost(it))
        taken.append(best)
        open_checks -= set(best.kills)
    for mutant in sorted(taken, key=cost, reverse=True):
        named_by_others = {check for it in taken if it is not mutant for check in it.kills}
        if set(mutant.kills) <= named_by_others:
            taken.remove(mutant)
    return sorted(taken, key=cost)


COVER = [
    pytest.param(it, id=it.id, marks=[] if number < QUICK else SLOW)
    for number, it in enumerate(cover())
]


@pytest.fixture
def theatre(matomo_golden: Golden, matomo_servers: SharedServers) -> Theatre:
    """Where mutants are played; their servers' logs are full of errors, on purpose."""
    return Theatre(matomo_golden, matomo_servers.servers(), policy.read())


@pytest.mark.parametrize("mutant", COVER)
def test_each_named_check_is_red_and_without_it_the_mutant_survives(
    theatre: Theatre, mutant: Mutant
) -> None:
    row = theatre.play(mutant, [it for it in ALL if it.id in mutant.kills])
    assert not row.not_made
    assert matrix.missed(row) == []
    for check in mutant.kills:
        assert matrix.judge([row.without(check)], whole=False).survivors == (mutant.id,)


# All of the services as they are is test_gate.
@SLOW
@pytest.mark.timeout(900)  # the whole gate takes 50 s of a processor, and others run beside it
@pytest.mark.parametrize("topology", [Stage.INSTANCE, Stage.PAIR])
def test_the_whole_gate_is_green_on_harmless_changes_of_each_topology(
    theatre: Theatre, topology: Stage
) -> None:
    played = [it for it in turns.turns_of(VARIANTS, full=False) if it.subject.stage is topology]
    largest = max(played, key=lambda it: len(it.subjects))
    row = theatre.play(largest.subject, ALL)
    assert row.not_made == ""
    assert dict(row.seen) == {}
    assert set(row.statuses) == {it.id for it in ALL}
