"""The gate's checks have been seen red: each by a mutant that names it, on a real deployment."""

import pytest

from matomo_harness.gate.catalogue import ALL, read_policy
from matomo_harness.gate.mutants import Mutant, Topology
from matomo_harness.gate.mutation import CONTROLS, WRITTEN, batches, runner
from matomo_harness.gate.mutation.runner import MutationRunner
from matomo_harness.pytest_plugin import SharedServers
from matomo_harness.runtime.golden import Golden

SLOW = pytest.mark.slow(reason="a deployment with one thing wrong, for each mutant")
QUICK = 5
"""Mutants that the quick tests run."""


def cost(mutant: Mutant) -> float:
    """Seconds of a processor, roughly: the deployment's start, and steps of the named checks."""
    steps = {step for it in ALL if it.id in mutant.kills for step in it.steps}
    performed = sum(batches.STEP_SECONDS.get(it, 0.0) for it in steps)
    return batches.TOPOLOGY_SECONDS[mutant.topology] + performed + 0.5


def cover() -> list[Mutant]:
    """Few mutants that name every check; `make mutants` runs all of them."""
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
def mutation(matomo_golden: Golden, matomo_servers: SharedServers) -> MutationRunner:
    """Where mutants run; their servers' logs are full of errors, on purpose."""
    return MutationRunner(matomo_golden, matomo_servers.servers(), read_policy())


@pytest.mark.parametrize("mutant", COVER)
def test_each_named_check_is_red_and_without_it_the_mutant_survives(
    mutation: MutationRunner, mutant: Mutant
) -> None:
    row = mutation.run(mutant, [it for it in ALL if it.id in mutant.kills])
    assert not row.not_made
    assert runner.missed(row) == []
    for check in mutant.kills:
        assert runner.judge([row.without(check)], whole=False).survivors == (mutant.id,)


# All of the services as they are is test_gate.
@SLOW
@pytest.mark.timeout(900)  # the whole gate takes 50 s of a processor, and others run beside it
@pytest.mark.parametrize("topology", [Topology.SHARED, Topology.DEDICATED])
def test_the_whole_gate_is_green_on_harmless_changes_of_each_topology(
    mutation: MutationRunner, topology: Topology
) -> None:
    played = [
        it for it in batches.batches_of(CONTROLS, full=False) if it.subject.topology is topology
    ]
    largest = max(played, key=lambda it: len(it.subjects))
    row = mutation.run(largest.subject, ALL)
    assert row.not_made == ""
    assert dict(row.seen) == {}
    assert set(row.statuses) == {it.id for it in ALL}
