"""The gate on a healthy deployment: every promise is kept, and nothing is passed over."""

from collections.abc import Callable

import pytest

from harness import policy
from harness.gate import run, target
from harness.gate.check import Status
from harness.stack.production import Production

PROMISED = policy.read()


# The whole gate takes 100 to 160 s here; a guard against what hangs, which a busy machine does not.
@pytest.mark.timeout(900)
@pytest.mark.matomo_log(r'" 5\d\d ', reason="the gate asks for what is refused")
def test_a_healthy_deployment_keeps_every_promise(
    matomo_production: Production, figure: Callable[[str], None]
) -> None:
    results = run.run(target.of_production(matomo_production, PROMISED))
    figure(f"{len(results)} checks in {sum(it.seconds for it in results):.0f} s")
    assert not [
        f"{it.status} {it.check.id}: expected {it.expected}; seen {it.seen}"
        for it in results
        if it.status is not Status.PASS
    ]
