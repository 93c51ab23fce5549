"""Ports of a stack are its own as long as the stack is there, whether it runs or not."""

import os
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from matomo_harness.errors import UnsupportedEnvironmentError
from matomo_harness.operate import ports
from matomo_harness.operate.stack import Stack
from matomo_harness.runtime import reaper


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaper, "RUNS", tmp_path / "runs")
    # Whatever runs on this machine has others; a test in another worker asks for a moment whether
    # a port is free, and then it is not.
    first = 9500 + 100 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    monkeypatch.setattr(ports, "CHOICE", range(first, first + 100))


def stack(tmp_path: Path, name: str) -> Stack:
    (tmp_path / name).mkdir()
    return Stack(tmp_path / name)


def test_no_other_stack_is_given_them_while_nobody_listens(tmp_path: Path) -> None:
    stacks = [stack(tmp_path, f"checkout-{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        given = [port for pair in pool.map(ports.keep, stacks) for port in pair]
    assert len(set(given)) == 16


def test_those_of_a_stack_that_is_gone_are_free_again(tmp_path: Path) -> None:
    gone = stack(tmp_path, "gone")
    before = ports.keep(gone)
    shutil.rmtree(gone.root)
    assert ports.keep(stack(tmp_path, "next")) == before


def test_what_a_killed_command_wrote_by_half_keeps_nothing(tmp_path: Path) -> None:
    own = stack(tmp_path, "own")
    before = ports.keep(own)
    (reaper.RUNS / "ports" / str(before[0])).write_text("")
    assert ports.keep(stack(tmp_path, "next"))[0] == before[0]


def test_a_stack_gives_back_what_it_had_before(tmp_path: Path) -> None:
    again = stack(tmp_path, "again")
    assert ports.keep(again) == ports.keep(again)


def test_what_another_program_or_a_record_has_is_left_out(tmp_path: Path) -> None:
    own = stack(tmp_path, "own")
    first, second = ports.keep(own)
    with socket.create_server(("127.0.0.1", first)):
        assert not {first, second} & {*ports.keep(own, {second})}


def test_where_none_is_free_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "CHOICE", range(9500, 9501))
    with pytest.raises(UnsupportedEnvironmentError, match="two free ports"):
        ports.keep(stack(tmp_path, "own"))
