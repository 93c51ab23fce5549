"""Who begins something on a stack does not meet who copies its data or judges its copy."""

from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from matomo_harness.errors import WrongInputError
from matomo_harness.operate import alone, clean, local, repro, traffic
from matomo_harness.operate.stack import Stack
from matomo_harness.settings import RunSettings

BEGIN: dict[str, Callable[[Stack], object]] = {
    "up": lambda stack: local.up(RunSettings(), stack),
    "repro open": lambda stack: repro.open_again(stack.name, RunSettings()),
    "repro remove": lambda stack: repro.remove(stack.name),
    "traffic": lambda stack: traffic.make(1, 1, 1, stack),
    "clean": lambda _: clean.clean(),
}


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A reproduction, of which there is only its directory."""
    monkeypatch.setattr(alone, "WAIT_SECONDS", 0.1)
    made = Stack(tmp_path / "prod", "prod")
    made.directory.mkdir(parents=True)
    monkeypatch.setattr(repro, "reproduction", lambda _: made)
    monkeypatch.setattr(repro, "find", lambda _: KnownReproduction(made))
    monkeypatch.setattr(clean, "reproductions", lambda: [made])
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


def test_what_another_command_is_making_is_not_removed(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repro, "REPRODUCTIONS", stack.root.parent)
    monkeypatch.setattr("matomo_harness.operate.clean.remove_stack", lambda _: [])
    with repro._claimed(stack), pytest.raises(WrongInputError) as refusal:
        repro.remove("prod")
    assert refusal.value.seen == "another command is making it"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"certificate": {}}', "{", "\udcff"])
def test_a_record_of_a_reproduction_that_is_none_is_named_with_the_way_out(
    tmp_path: Path, text: str
) -> None:
    stack = Stack(tmp_path / "prod", "prod")
    stack.directory.mkdir(parents=True)
    (stack.directory / repro.RECORD).write_text(text, errors="surrogateescape")
    with pytest.raises(WrongInputError, match=r"reproduction\.json to be the record") as refusal:
        repro._read(stack)
    assert refusal.value.next_command == "matomo-harness repro remove prod"
