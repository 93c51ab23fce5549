"""The gate on a healthy deployment: every promised check passes, and none is skipped."""

from collections.abc import Iterator

import pytest

from matomo_harness.gate.catalogue import ALL, read_policy
from matomo_harness.gate.core.check import Check, Status
from matomo_harness.gate.core.runner import is_promised
from matomo_harness.policy import POLICY_FILE
from matomo_harness.pytest_plugin import run_of
from matomo_harness.pytest_plugin.gate import GateSession, gate_on, group_of
from matomo_harness.runtime.evidence import DATABASE_ERRORS, WEB_ERRORS
from matomo_harness.runtime.golden import Golden

pytestmark = pytest.mark.all_versions(reason="each version keeps the promises, or does not")

REFUSED = '" 5'
"""Part of a line of the web server's log: the gate asks for what is refused."""


@pytest.fixture(scope="session")
def gate(
    matomo_golden: Golden, request: pytest.FixtureRequest, pytestconfig: pytest.Config
) -> Iterator[GateSession]:
    """The gate on the run's deployment; at its end nothing unforeseen is in the servers' logs."""
    callspecs = [getattr(item, "callspec", None) for item in request.session.items]
    given = [callspec.params.get("check") for callspec in callspecs if callspec]
    asked = [check for check in given if isinstance(check, Check)]
    session = gate_on(matomo_golden, run_of(pytestconfig), POLICY_FILE, asked)
    yield session
    web, database = session.stack.matomo.log, session.stack.mariadb.log
    errors = [line for line in web.splitlines() if WEB_ERRORS.search(line) and REFUSED not in line]
    errors += [line for line in database.splitlines() if DATABASE_ERRORS.search(line)]
    assert errors == []


PROMISED = [check for check in ALL if is_promised(check, read_policy())]


def test_the_reference_promises_all_but_two() -> None:
    others = {check.id for check in ALL} - {check.id for check in PROMISED}
    # Matomo 5.3 cannot keep the second.
    assert others == {
        "accounts.superusers_are_named",
        "retention.erased_lone_visitor_is_in_no_report",
    }


@pytest.mark.parametrize(
    "check", [pytest.param(check, id=check.id, marks=group_of(check)) for check in PROMISED]
)
def test_a_healthy_deployment_passes(gate: GateSession, check: Check) -> None:
    (result,) = gate.verdict(check).results
    assert (result.status, result.seen) == (Status.PASSED, result.seen), (
        f"{check.sentence} Expected {result.expected}; seen: {result.seen}; {result.files}"
    )
