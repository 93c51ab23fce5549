"""What ECS answers while a service is deployed, and what is said of it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from matomo_harness.errors import BrokenPromiseError, UnsupportedEnvironmentError, WrongInputError
from matomo_harness.operate.delivery import service as module
from matomo_harness.operate.delivery.service import EcsService
from matomo_harness.policy.delivery import Stage

OLD, NEW = f"sha256:{64 * 'a'}", f"sha256:{64 * 'b'}"
BEGUN = datetime(2026, 3, 4, 8, 0, tzinfo=UTC)


class Ecs:
    """Answers as ECS does.

    Args:
        answers: what it says of the service, in their order; the last one stays.
        runs: digests of the tasks, with each of these answers.
    """

    def __init__(self, answers: Sequence[dict[str, Any]], runs: Sequence[list[str]]) -> None:
        self._answers, self._runs = list(answers), list(runs)
        self._now: list[str] = []

    def describe_services(self, **_: Any) -> dict[str, Any]:
        """Return the service."""
        is_last = len(self._answers) == 1
        self._now = self._runs[0] if is_last else self._runs.pop(0)
        found = self._answers[0] if is_last else self._answers.pop(0)
        return {"services": [{"status": "ACTIVE", "desiredCount": 1, **found}]}

    def get_paginator(self, _: str) -> Any:
        """Return the names of the tasks, in one page."""
        return SimpleNamespace(paginate=lambda **_: [{"taskArns": self._now}])

    def describe_tasks(self, tasks: list[str], **_: Any) -> dict[str, Any]:
        """Return the tasks, which are named by their digests."""
        containers = [[{"name": "matomo", "imageDigest": digest}] for digest in tasks]
        return {"tasks": [{"lastStatus": "RUNNING", "containers": each} for each in containers]}


def deployment(name: str, state: str, **changes: Any) -> dict[str, Any]:
    return {"id": name, "status": "PRIMARY", "rolloutState": state, "createdAt": BEGUN, **changes}


def service(answers: Sequence[dict[str, Any]], runs: Sequence[list[str]]) -> EcsService:
    client: Any = Ecs(answers, runs)
    account: Any = SimpleNamespace(client=lambda _: client)
    stage = Stage(
        account="123456789012", region="eu-central-1", repository="m", cluster="c", service="matomo"
    )
    return EcsService(account, stage)


def wait(of: EcsService) -> None:
    running: Any = SimpleNamespace(say=lambda _: None)
    of._wait("new", NEW, running)


def test_what_runs_is_said_once_ecs_has_gone_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0)
    reason = "tasks failed to start."
    failed = deployment("new", "FAILED", status="ACTIVE", rolloutStateReason=reason)
    going_back = {"deployments": [deployment("back", "IN_PROGRESS"), failed]}
    is_back = {"deployments": [deployment("back", "COMPLETED")]}
    with pytest.raises(BrokenPromiseError) as error:
        wait(service([going_back, going_back, is_back], [[], [], [OLD]]))
    assert error.value.seen == f"the deployment failed: {reason}; {12 * 'a'} runs"


def test_what_keeps_ecs_from_placing_a_task_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0)
    monkeypatch.setattr(module, "MINUTES", 0)
    why = "(service matomo) was unable to place a task because no container instance met all of it"
    events = [
        {"createdAt": BEGUN + timedelta(minutes=1), "message": why},
        {"createdAt": BEGUN - timedelta(days=1), "message": "it has reached a steady state"},
    ]
    state = {"deployments": [deployment("new", "IN_PROGRESS", rolloutStateReason="in progress")]}
    with pytest.raises(UnsupportedEnvironmentError) as error:
        wait(service([{**state, "events": events}], [[OLD]]))
    assert error.value.seen == f"{why}; {12 * 'a'} runs"
    with pytest.raises(UnsupportedEnvironmentError) as error:
        wait(service([{**state, "events": events[1:]}], [[]]))
    assert error.value.seen == "in progress; nothing runs"


def test_a_service_that_is_scaled_to_nothing_is_deployed_once_it_says_so() -> None:
    wait(service([{"desiredCount": 0, "deployments": [deployment("new", "COMPLETED")]}], [[]]))


@pytest.mark.parametrize("controller", ["CODE_DEPLOY", "EXTERNAL"])
def test_a_service_that_ecs_does_not_deploy_is_refused_before_anything_is_registered(
    controller: str,
) -> None:
    """It has neither a deployment of its own nor, with EXTERNAL, a task definition."""
    of = service([{"deploymentController": {"type": controller}, "deployments": []}], [[OLD]])
    for asked in (of.wanted, lambda: of.deploy(f"registry.example/m@{NEW}")):
        with pytest.raises(WrongInputError) as error:
            asked()
        assert controller in error.value.seen
