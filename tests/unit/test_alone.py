"""Who begins something on a stack does not meet who copies its data or judges its copy."""

from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from matomo_harness.errors import WrongInputError
from matomo_harness.operate import alone, local, repro, traffic
from matomo_harness.operate.stack import Stack
from matomo_harness.settings import RunSettings

BEGIN: dict[str, Callable[[Stack], object]] = {
    "up": lambda stack: local.up(RunSettings(), stack),
    "repro open": lambda stack: repro.open_again(stack.name, RunSettings()),
    "repro remove": lambda stack: repro.remove(stack.name),
    "traffic": lambda stack: traffic.make(1, 1, 1, stack),
}


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A reproduction, of which there is only its directory."""
    monkeypatch.setattr(alone, "WAIT_SECONDS", 0.1)
    made = Stack(tmp_path / "prod", "prod")
    made.directory.mkdir(parents=True)
    monkeypatch.setattr(repro, "reproduction", lambda _: made)
    monkeypatch.setattr(repro, "find", lambda _: KnownReproduction(made))
    return made


class KnownReproduction:
    """What is known of a reproduction."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack


@pytest.mark.parametrize("begin", BEGIN.values(), ids=BEGIN)
def test_it_is_refused_while_another_command_is_at_work(
    stack: Stack, begin: Callable[[Stack], object]
) -> None:
    with FileLock(stack.directory / "stack.lock"), pytest.raises(WrongInputError) as refusal:
        begin(stack)
    assert refusal.value.expected == "one command at a time on the reproduction prod"
    assert "the same command again" in refusal.value.next_command
