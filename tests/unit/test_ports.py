"""Ports of a stack are its own as long as the stack is there, whether it runs or not."""

import errno
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from matomo_harness.errors import UnsupportedEnvironmentError
from matomo_harness.operate import compose, ports
from matomo_harness.operate.stack import Stack
from matomo_harness.runtime import reaper

BIND: Final = compose.bind_for_a_moment


@pytest.fixture(autouse=True)
def taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The ports that others have: which ones this machine's programs have, is chance."""
    held: set[int] = set()

    def bind(port: int) -> None:
        if port in held:
            raise OSError(errno.EADDRINUSE, "in use")

    monkeypatch.setattr(reaper, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(compose, "bind_for_a_moment", bind)
    return held


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


def test_what_another_program_or_a_record_has_is_left_out(tmp_path: Path, taken: set[int]) -> None:
    own = stack(tmp_path, "own")
    first, second = ports.keep(own)
    taken.add(first)
    assert not {first, second} & {*ports.keep(own, {second})}


def test_another_program_is_met_at_its_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(OSError, match="in use"):
        BIND(other.getsockname()[1])


def test_where_none_is_free_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "CHOICE", range(9500, 9501))
    with pytest.raises(UnsupportedEnvironmentError, match="two free ports"):
        ports.keep(stack(tmp_path, "own"))
