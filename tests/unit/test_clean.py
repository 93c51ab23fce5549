"""What `clean` leaves and to whom it belongs, found from plain values."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.operate.clean import EngineUsers, clean_run, left_things, why_it_stays
from matomo_harness.runtime import reaper
from matomo_harness.runtime.engine import EngineSilentError
from matomo_harness.runtime.reaper import PARENT_LABEL, PLACE_LABEL, RUN_LABEL, EngineObject
from matomo_harness.settings import OWNER_LABEL, ROOT

HERE, ELSEWHERE = "here:/tmp/runs", "another:/tmp/runs"


def of_run(run: str, place: str = HERE) -> EngineObject:
    return EngineObject(
        "container x", {OWNER_LABEL: f"run-{run}", RUN_LABEL: run, PLACE_LABEL: place}
    )


STACK = EngineObject("volume x", {OWNER_LABEL: "matomo-1234abcd"})
BUILD = EngineObject("container x", {OWNER_LABEL: "matomo-harness"})


def engine_users(
    *things: EngineObject,
    living: Mapping[str, str] = {},
    preserved: Mapping[str, str] = {},
    users: Mapping[str, str] = {},
) -> EngineUsers:
    return EngineUsers(list(things), living, preserved, users, HERE)


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        (engine_users(), ""),
        (engine_users(STACK), ""),
        (engine_users(of_run("a"), preserved={"a": "of /x"}), ""),
        (engine_users(users={"sha256:1": "web"}), "container web uses it"),
        (engine_users(users={"sha256:2": "web"}), ""),
        (engine_users(living={"a": "process 1"}), "a run that lives may use it"),
        (engine_users(of_run("a", ELSEWHERE)), "whoever made container x may live, and use it"),
        (engine_users(BUILD), "whoever made container x may live, and use it"),
    ],
)
def test_an_image_stays_while_it_may_be_in_use(machine: EngineUsers, reason: str) -> None:
    assert why_it_stays("sha256:1", machine) == reason


@pytest.mark.parametrize(
    ("machine", "whose"),
    [
        (engine_users(of_run("a"), living={"a": "process 1"}), "of the run a, which lives"),
        (
            engine_users(of_run("a", ELSEWHERE)),
            f"of the run a of {ELSEWHERE}, which cannot be seen",
        ),
        (
            engine_users(of_run("a"), preserved={"a": "of /x"}),
            "of the kept run a, of /x; matomo-harness clean --run a",
        ),
        (engine_users(of_run("a")), "of the run a, which has just ended"),
        (
            engine_users(STACK),
            "of another checkout's stack matomo-1234abcd, in a folder that is not known",
        ),
        (engine_users(BUILD), "of a build, or started by hand"),
    ],
)
def test_what_is_left_names_its_owner(machine: EngineUsers, whose: str) -> None:
    assert left_things(machine)[-1].startswith(f"{machine.things[0].name}: {whose}")


def test_no_run_begins_while_clean_chooses_what_to_remove(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(reaper, "RUNS", tmp_path)
    with ThreadPoolExecutor(1) as pool:
        with reaper.no_run_begins():
            begun = pool.submit(reaper.begin)
            with pytest.raises(TimeoutError):
                begun.result(timeout=0.5)
            assert reaper.runs() == []
        run = begun.result()
        assert run.lives
        reaper.end(run)
    assert reaper.runs() == []


@pytest.mark.parametrize(("choice", "option"), [("ALL=1", True), ("ALL=0", False), ("ALL=", False)])
def test_only_all_1_removes_everything(choice: str, option: bool) -> None:
    command = ["make", "--dry-run", "--old-file=.venv/requirements.lock", "clean", choice]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert (" clean --all" in printed) is option


def test_an_engine_that_is_gone_is_not_asked_again_and_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[int] = []

    def connect() -> None:
        asked.append(1)
        raise EngineSilentError(expected="an engine", seen="none", next_command="start it")

    monkeypatch.setattr(reaper, "RUNS", tmp_path)
    monkeypatch.setattr(reaper, "connect", connect)
    monkeypatch.setattr(reaper, "REMOVED_SECONDS", 1)
    with pytest.raises(EngineSilentError):
        reaper.remove_leftovers(reaper.Run("gone"))
    assert len(asked) == 1


def test_a_stack_whose_run_ended_with_the_machine_goes_with_the_next_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A drill's has production's data, and no label but its owner's and its parent's."""
    monkeypatch.setattr(reaper, "RUNS", tmp_path)
    living = reaper.begin()
    parents = ("", "dead@another:/tmp/runs", living.as_parent, reaper.Run("dead").as_parent)
    stacks = [EngineObject("volume x", {PARENT_LABEL: parent}) for parent in parents]
    monkeypatch.setattr(reaper, "connect", lambda: None)
    monkeypatch.setattr(
        reaper, "labelled", lambda _, label: stacks if label == PARENT_LABEL else []
    )
    monkeypatch.setattr(reaper, "remove_leftovers", lambda run: [run.id])
    assert reaper.remove_leftovers_of_dead_runs() == ["dead"]
    reaper.end(living)


def test_a_machine_that_gets_another_name_meanwhile_still_removes_the_stack_of_a_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else production's data would stay, and no later command would know whose it is."""
    begun = reaper.Run("a").as_parent
    monkeypatch.setattr("socket.gethostname", lambda: "another")
    assert reaper.Run("a").as_parent == begun


IS_KILLED = """
import os, signal
from matomo_harness.runtime import reaper

with reaper.directory("login") as made:
    (made / "auth.json").write_text("a password")
    print(made, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_directory_goes_with_a_killed_process_where_no_engine_answers(tmp_path: Path) -> None:
    nowhere = {**os.environ, "TMPDIR": str(tmp_path), "DOCKER_HOST": "unix:///nowhere"}
    command = [sys.executable, "-c", IS_KILLED]
    ended = subprocess.run(command, env=nowhere, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL
    made = Path(ended.stdout.strip())
    assert made.is_relative_to(tmp_path)
    until = time.monotonic() + 30
    while made.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not made.exists()


def test_a_directory_goes_with_its_block(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reaper, "RUNS", tmp_path)
    monkeypatch.setattr(reaper, "this_process", lambda: reaper.Run("this"))
    with reaper.directory("image") as made:
        assert made.stat().st_mode & 0o777 == 0o700
        (made / "image.tar").touch()
    assert list(tmp_path.iterdir()) == []


def test_a_mistyped_run_does_not_lead_to_the_removal_of_the_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(reaper, "RUNS", tmp_path)
    with pytest.raises(WrongInputError) as error:
        clean_run("mistyped")
    assert not error.value.next_command.startswith("matomo-harness clean")
    for suffix in ("lock", "kept"):
        (tmp_path / f"preserved.{suffix}").touch()
    with pytest.raises(WrongInputError) as error:
        clean_run("mistyped")
    assert error.value.next_command == "matomo-harness clean --run preserved"
