"""What is listed of the archiver's runs."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from matomo_harness.operate import compose, schedule
from matomo_harness.operate.stack import Stack

NEVER = "0001-01-01T00:00:00Z"
"""When a container has started that has only been created, in the engine's words."""


def container(name: str, status: str, created: str, started: str, code: int = 0) -> Any:
    attributes = {"Created": created, "State": {"StartedAt": started, "ExitCode": code}}
    labels = {schedule.ROLE_LABEL: schedule.ROLE}
    return SimpleNamespace(name=name, status=status, labels=labels, attrs=attributes)


def test_one_that_is_being_started_is_the_newest_and_has_not_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hours = [f"2026-11-30T{hour}:00:00.5Z" for hour in (20, 21, 22)]
    there = [
        container("failed", "exited", hours[0], hours[0], 1),
        container("begins", "created", hours[2], NEVER),
        container("runs", "running", hours[1], hours[1]),
    ]
    monkeypatch.setattr(compose, "containers", lambda _: there)
    found = [(run.container, run.exit_code) for run in schedule.runs(Stack(tmp_path))]
    assert found == [("begins", None), ("runs", None), ("failed", 1)]
