"""Each check of the gate turns red on a mutant that names it, on a real deployment."""

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
LONG = 8
"""Seconds of a processor, by `cost`: what needs a run of the archiver takes more."""
NIGHTLY = pytest.mark.nightly(
    reason="the promise is seen red on a cheaper mutant, or another control; .github/workflows/"
    "nightly.yml runs the whole kill matrix on a pull request"
)


def cost(mutant: Mutant) -> float:
    """Return rough processor seconds: the deployment's start, and the steps of the named checks."""
    steps = {step for check in ALL if check.id in mutant.kills for step in check.steps}
    performed = sum(batches.STEP_SECONDS.get(step, 0.0) for step in steps)
    return batches.TOPOLOGY_SECONDS[mutant.topology] + performed + 0.5


def cover() -> list[Mutant]:
    """Return a few mutants that together name every check; `make mutants` runs all mutants."""
    open_checks, taken = {check.id for check in ALL}, []
    while open_checks:
        best = max(WRITTEN, key=lambda mutant: len(open_checks & set(mutant.kills)) / cost(mutant))
        taken.append(best)
        open_checks -= set(best.kills)
    for mutant in sorted(taken, key=cost, reverse=True):
        named_by_others = {check for other in taken if other is not mutant for check in other.kills}
        if set(mutant.kills) <= named_by_others:
            taken.remove(mutant)
    return sorted(taken, key=cost)


def before_a_push(mutants: list[Mutant]) -> set[str]:
    """Return the ids of a cover's quick ones on shared servers, and of each promise's cheapest."""
    cheapest = {promise(mutant): mutant.id for mutant in sorted(mutants, key=cost, reverse=True)}
    shared = [mutant for mutant in mutants if mutant.topology is Topology.SHARED]
    return {mutant.id for mutant in shared if cost(mutant) < LONG} | set(cheapest.values())


def promise(mutant: Mutant) -> str:
    return mutant.id.partition(".")[0]


def _marks(number: int, *, is_nightly: bool) -> list[pytest.MarkDecorator]:
    if number < QUICK:
        return []
    return [SLOW, NIGHTLY] if is_nightly else [SLOW]


TAKEN = cover()
BEFORE_A_PUSH = before_a_push(TAKEN)
COVER = [
    pytest.param(
        mutant, id=mutant.id, marks=_marks(number, is_nightly=mutant.id not in BEFORE_A_PUSH)
    )
    for number, mutant in enumerate(TAKEN)
]


@pytest.fixture
def mutation(matomo_golden: Golden, matomo_servers: SharedServers) -> MutationRunner:
    """Runs mutants; the logs of their servers are full of errors, on purpose."""
    return MutationRunner(matomo_golden, matomo_servers.servers(), read_policy())


@pytest.mark.parametrize("mutant", COVER)
def test_each_named_check_turns_red_and_is_needed(mutation: MutationRunner, mutant: Mutant) -> None:
    row = mutation.run(mutant, [check for check in ALL if check.id in mutant.kills])
    assert not row.not_made
    assert runner.missed(row) == []
    for check in mutant.kills:
        assert runner.judge([row.without(check)], whole=False).survivors == (mutant.id,)


# test_gate covers the full stack as it is.
@SLOW
@pytest.mark.timeout(900)  # the whole gate takes 50 s of a processor, and others run beside it
@pytest.mark.parametrize(
    "topology", [Topology.SHARED, pytest.param(Topology.DEDICATED, marks=NIGHTLY)]
)
def test_the_whole_gate_is_green_on_the_controls_of_each_topology(
    mutation: MutationRunner, topology: Topology
) -> None:
    candidates = [
        batch
        for batch in batches.batches_of(CONTROLS, full=False)
        if batch.subject.topology is topology
    ]
    largest = max(candidates, key=lambda batch: len(batch.subjects))
    row = mutation.run(largest.subject, ALL)
    assert row.not_made == ""
    assert dict(row.seen) == {}
    assert set(row.statuses) == {check.id for check in ALL}
