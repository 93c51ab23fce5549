"""A state of the local stack comes back whole, or the one before stays, whatever happens."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
from docker.errors import APIError
from docker.models.containers import Container

from matomo_harness.errors import ExitCode
from matomo_harness.operate import clean
from matomo_harness.operate.compose import SERVICE_LABEL
from matomo_harness.operate.stack import Stack
from matomo_harness.runtime import images
from matomo_harness.runtime.engine import engine, execute
from matomo_harness.settings import OWNER_LABEL, RunSettings, project_name
from tests.checkout import Checkout, copied
from tests.programs import Answer

MARK = "/var/www/html/misc/mark"
SAVED = "saved"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A local stack that is up, of which there is a snapshot `saved` with the mark `then`."""
    with copied(tmp_path_factory.mktemp("snapshots")) as copy:
        assert (answer := copy.harness("up")).code == 0, answer.text
        mark(copy, "then")
        assert (answer := copy.harness("snapshot", "save", SAVED)).code == 0, answer.text
        yield copy
        clean.remove_stack(Stack(copy.root))
        assert volumes(copy) == set()
        assert not (copy.root / ".local/snapshots").exists()


def container(stack: Checkout, service: str) -> Container:
    labels = [f"{OWNER_LABEL}={project_name(stack.root)}", f"{SERVICE_LABEL}={service}"]
    (found,) = engine().containers.list(all=True, filters={"label": labels})
    return found


def mark(stack: Checkout, text: str) -> None:
    """Leave a mark in the database and one in the files."""
    stack.database.query("UPDATE {prefix}site SET name = %s WHERE idsite = 1", text)
    command = ["sh", "-c", f"echo {text} > {MARK}"]
    assert execute(container(stack, "matomo"), command, "root").code == 0


def marks(stack: Checkout) -> list[str]:
    """Return both marks, of a stack whose Matomo answers."""
    assert "form_login" in stack.web.get().text
    (row,) = stack.database.query("SELECT name FROM {prefix}site WHERE idsite = 1")
    return [row["name"], execute(container(stack, "matomo"), ["cat", MARK], "root").out.strip()]


def volumes(stack: Checkout) -> set[str]:
    label = f"{OWNER_LABEL}={project_name(stack.root)}"
    return {str(volume.name) for volume in engine().volumes.list(filters={"label": label})}


def listed(stack: Checkout) -> list[dict[str, Any]]:
    answer = stack.harness("snapshot", "list", "--json")
    assert answer.code == 0, answer.text
    found: list[dict[str, Any]] = json.loads(answer.text)
    return found


def restored(stack: Checkout, name: str = SAVED) -> Answer:
    return stack.harness("snapshot", "restore", name)


def assert_only_one_state_and_the_snapshot(stack: Checkout) -> None:
    """Assert that nothing half-made is left: five volumes in use, and five of the snapshot."""
    found = volumes(stack)
    in_use = {f"{part}{stack.secret('GENERATION')}" for part in PARTS}
    saved = {f"snapshot_{SAVED}_{part}" for part in PARTS}
    assert found == {f"{project_name(stack.root)}_{name}" for name in in_use | saved}
    assert not (stack.root / ".local/restoring.env").exists()


PARTS = ("backup", "config", "database", "js", "misc")


@pytest.mark.slow(reason="a stack is restored")
def test_a_state_comes_back_with_database_files_and_secrets(stack: Checkout) -> None:
    salt = stack.secret("SALT")
    file = stack.root / ".local/stack.env"
    file.write_text(file.read_text().replace(f"SALT={salt}\n", "SALT=another\n"))
    mark(stack, "now")
    assert marks(stack) == ["now", "now"]
    assert (answer := restored(stack)).code == 0, answer.text
    assert marks(stack) == ["then", "then"]
    assert stack.secret("SALT") == salt
    assert_only_one_state_and_the_snapshot(stack)


TESTS = """
import pytest

@pytest.mark.matomo_snapshot("saved")
def test_has_the_state(snapshot_matomo):
    (row,) = snapshot_matomo.database.query("SELECT name FROM {prefix}site WHERE idsite = 1")
    assert row["name"] == "then"
    assert snapshot_matomo.shell.run("cat", "/var/www/html/misc/mark").strip() == "then"
    assert snapshot_matomo.api.call("SitesManager.getSiteFromId", idSite=1)["name"] == "then"
    snapshot_matomo.database.query("UPDATE {prefix}site SET name = 'changed'")

@pytest.mark.matomo_snapshot("nowhere")
def test_of_an_unknown_one(snapshot_matomo):
    pass

def test_without_a_name(snapshot_matomo):
    pass
"""


@pytest.mark.slow(reason="a copy of a stack is started")
def test_a_test_runs_on_a_copy_and_the_stack_runs_on(stack: Checkout, tmp_path: Path) -> None:
    mark(stack, "mine")
    (tmp_path / "test_state.py").write_text(TESTS)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env=stack.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed, 2 errors" in ended.stdout, ended.stdout
    assert f"there are: {SAVED}" in ended.stdout
    assert "a marker that names a snapshot" in ended.stdout
    assert marks(stack) == ["mine", "mine"]
    assert_only_one_state_and_the_snapshot(stack)


def test_a_record_says_what_the_data_is_of_and_no_secret(stack: Checkout) -> None:
    (record,) = listed(stack)
    matomo, database = container(stack, "matomo"), container(stack, "db")
    assert record["name"] == SAVED
    assert record["image_id"] == matomo.attrs["Image"]
    assert record["database_image_id"] == database.attrs["Image"]
    (row,) = stack.database.query("SELECT VERSION() AS version")
    assert row["version"].startswith(record["server_version"])
    assert record["matomo_version"] == images.code_version(record["image"])
    assert record["tables_prefix"] == "matomo_"
    assert set(record["sizes"]) == set(PARTS)
    assert record["sizes"]["database"] > 50 * 2**20
    files = sorted((stack.root / ".local/snapshots" / SAVED).iterdir())
    assert [file.name for file in files] == ["snapshot.json", "stack.env"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    names = ("DATABASE_PASSWORD", "SALT", "SUPERUSER_PASSWORD", "MAIL_PASSWORD")
    text = files[0].read_text() + stack.harness("snapshot", "list").text
    assert not [name for name in names if stack.secret(name) in text]


def test_a_taken_name_is_refused_and_what_has_it_stays(stack: Checkout) -> None:
    before = listed(stack)
    answer = stack.harness("snapshot", "save", SAVED)
    answer.refuses(ExitCode.WRONG_INPUT, "to be a new name", f"snapshot delete {SAVED}")
    assert listed(stack) == before


@pytest.mark.parametrize("verb", ["restore", "delete"])
def test_an_unknown_name_is_refused(stack: Checkout, verb: str) -> None:
    answer = stack.harness("snapshot", verb, "nowhere")
    answer.refuses(ExitCode.WRONG_INPUT, f"there are: {SAVED}", "snapshot list")


def test_an_unknown_reproduction_is_refused(stack: Checkout) -> None:
    answer = stack.harness("snapshot", "save", "one", "--repro", "nowhere")
    answer.refuses(ExitCode.WRONG_INPUT, "the name of a reproduction", "nowhere")


@contextmanager
def record_changed(stack: Checkout, **changes: str) -> Iterator[None]:
    file = stack.root / ".local/snapshots" / SAVED / "snapshot.json"
    before = file.read_text()
    file.write_text(json.dumps({**json.loads(before), **changes}))
    try:
        yield
    finally:
        file.write_text(before)


def test_data_files_of_another_release_series_are_refused(stack: Checkout) -> None:
    mark(stack, "mine")
    other = {"server_version": "10.11.6-MariaDB", "database_image": "mariadb:10.11"}
    with record_changed(stack, **other, database_image_id="sha256:other"):
        answer = restored(stack)
    wanted = f"MARIADB_BASE=mariadb:10.11 matomo-harness snapshot restore {SAVED}"
    answer.refuses(ExitCode.WRONG_INPUT, "MariaDB 10.11", wanted)
    assert marks(stack) == ["mine", "mine"]


@pytest.mark.nightly(reason="a stack is started, and another refusal runs in each run")
def test_tables_that_are_newer_than_the_code_are_refused(stack: Checkout) -> None:
    mark(stack, "mine")
    other = {"matomo_version": "99.0.0", "image": "matomo:99"}
    with record_changed(stack, **other, image_id="sha256:other"):
        answer = restored(stack)
    wanted = f"IMAGE=matomo:99 matomo-harness snapshot restore {SAVED}"
    answer.refuses(ExitCode.WRONG_INPUT, "Matomo 99.0.0 or newer", wanted)
    assert marks(stack) == ["mine", "mine"]


# -- what goes wrong in the middle ----------------------------------------------------------------


@contextmanager
def volume_of(stack: Checkout, name: str, size: str) -> Iterator[None]:
    """Have a small volume where a snapshot's would be made."""
    options = {"type": "tmpfs", "device": "tmpfs", "o": f"size={size}"}
    labels = {OWNER_LABEL: project_name(stack.root)}
    volume = engine().volumes.create(
        f"{project_name(stack.root)}_snapshot_{name}", driver_opts=options, labels=labels
    )
    try:
        yield
    finally:
        volume.remove(force=True)


@pytest.mark.slow(reason="a stack is saved")
@pytest.mark.parametrize(
    ("part", "size", "seen"),
    [
        ("backup", "8m", r"KiB are to be copied, and 8192 KiB are free"),
        pytest.param(
            "database",
            "8m",
            "No space left on device",
            marks=pytest.mark.nightly(reason="the same way out, later in the copy"),
        ),
    ],
)
def test_without_room_there_is_no_snapshot_and_the_database_runs(
    stack: Checkout, part: str, size: str, seen: str
) -> None:
    mark(stack, "mine")
    with volume_of(stack, f"full_{part}", size):
        answer = stack.harness("snapshot", "save", "full")
    answer.refuses(ExitCode.UNSUPPORTED_ENVIRONMENT, "room", seen)
    assert marks(stack) == ["mine", "mine"]
    assert [record["name"] for record in listed(stack)] == [SAVED]
    assert_only_one_state_and_the_snapshot(stack)


@pytest.mark.slow(reason="a stack is saved")
def test_a_second_command_at_the_same_time_is_refused(stack: Checkout) -> None:
    # Held there: else it may be done before the other one has begun.
    with running(holding(stack), "save", "slowly") as program:
        wait_until_held(program)
        try:
            # At once: each waits for ten seconds.
            commands = (("snapshot", "restore", SAVED), ("down",), ("clean",))
            with ThreadPoolExecutor(len(commands)) as people:
                answers = list(people.map(lambda command: stack.harness(*command), commands))
        finally:
            program.send_signal(signal.SIGCONT)
    assert program.returncode == 0
    assert stack.harness("snapshot", "delete", "slowly").code == 0
    for answer in answers:
        answer.refuses(ExitCode.WRONG_INPUT, "one command at a time")
    assert_only_one_state_and_the_snapshot(stack)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.slow(reason="a database stops and starts")
def test_ctrl_c_while_the_database_stops_leaves_it_running(stack: Checkout) -> None:
    mark(stack, "mine")
    database = container(stack, "db")
    only = {"container": str(database.id), "event": "kill"}
    with running(holding(stack), "save", "given-up") as program:
        wait_until_held(program)
        database.kill("SIGSTOP")  # it takes its time
        try:
            with closing(engine().events(filters=only, decode=True)) as signals:
                program.send_signal(signal.SIGCONT)
                next(signals)  # it is told to stop
                program.send_signal(signal.SIGINT)
                next(signals)  # and once more, and waited for: started now, it would be stopped
        finally:
            program.send_signal(signal.SIGCONT)
            with suppress(APIError):  # it was started too early, and has stopped
                database.kill("SIGCONT")
    assert program.returncode == 130
    assert marks(stack) == ["mine", "mine"]
    assert [record["name"] for record in listed(stack)] == [SAVED]
    assert_only_one_state_and_the_snapshot(stack)


@pytest.mark.nightly(reason="another end of a restoring")
def test_a_state_that_does_not_answer_leaves_the_one_before(stack: Checkout) -> None:
    mark(stack, "mine")
    with spoiled(f"{project_name(stack.root)}_snapshot_{SAVED}_database"):
        answer = restored(stack)
    assert answer.code in (ExitCode.BROKEN_PROMISE, ExitCode.UNSUPPORTED_ENVIRONMENT), answer.text
    assert "Traceback" not in answer.text
    assert marks(stack) == ["mine", "mine"]
    assert_only_one_state_and_the_snapshot(stack)


@contextmanager
def spoiled(volume: str) -> Iterator[None]:
    """Have a snapshot whose database does not start."""
    image = images.mariadb_base(RunSettings.from_environment())
    mounted = {volume: {"bind": "/data", "mode": "rw"}}

    def run(command: str) -> None:
        images.run_once(image.reference, ["sh", "-c", command], user="0:0", volumes=mounted)

    run("mv /data/ibdata1 /data/ibdata1.whole && echo spoiled > /data/ibdata1")
    try:
        yield
    finally:
        run("mv /data/ibdata1.whole /data/ibdata1")


@contextmanager
def running(stack: Checkout, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Start a command on snapshots, and wait for its end."""
    command = stack.command("snapshot", *arguments)
    with subprocess.Popen(
        command, cwd=stack.root, env=stack.environment(), stderr=subprocess.PIPE, text=True
    ) as program:
        yield program
        assert program.stderr is not None
        program.stderr.read()


HELD: Final = """
import os, signal
from matomo_harness import progress
from matomo_harness.cli import main

shown = progress.console.print


def shown_and_held(*words, **how):
    shown(*words, **how)
    if words and words[0] == "Stopping the database ...":
        os.kill(os.getpid(), signal.SIGSTOP)


progress.console.print = shown_and_held
main()
"""
"""The command, which stops itself before it stops the database."""


def holding(stack: Checkout) -> Checkout:
    return dataclasses.replace(stack, program=("-c", HELD))


def wait_until_held(program: "subprocess.Popen[str]") -> None:
    found = os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    assert found
    assert found.si_code == os.CLD_STOPPED, "it has ended"


def wait_for_line(program: "subprocess.Popen[str]", moment: str) -> None:
    assert program.stderr is not None
    for line in program.stderr:
        if re.search(moment, line):
            return
    raise AssertionError(f"it ended without: {moment}")


@pytest.mark.parametrize(
    "moment", [r"Starting the containers \.\.\.", "Copying the snapshot", "Stopping the local"]
)
@pytest.mark.nightly(reason="a restoring is killed, make up, and a restoring")
def test_a_restoring_that_is_killed_leaves_the_state_before(stack: Checkout, moment: str) -> None:
    mark(stack, "mine")
    killed(stack, moment, "restore", SAVED)
    assert (answer := stack.harness("up")).code == 0, answer.text
    assert marks(stack) == ["mine", "mine"]
    assert (answer := restored(stack)).code == 0, answer.text
    assert marks(stack) == ["then", "then"]
    assert_only_one_state_and_the_snapshot(stack)


def killed(stack: Checkout, moment: str, *arguments: str) -> None:
    with running(stack, *arguments) as program:
        wait_for_line(program, moment)
        program.send_signal(signal.SIGKILL)
    assert program.returncode == -signal.SIGKILL


UNANSWERED: Final = """
import os, signal
from matomo_harness.cli import main
from matomo_harness.operate import snapshot

snapshot.waits_for_update = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
main()
"""
"""The command, which is killed when the new state's containers run, before it asks for a page."""


@pytest.mark.nightly(reason="another moment of a killed restoring")
def test_a_state_that_runs_and_has_not_answered_is_not_saved_and_not_taken(stack: Checkout) -> None:
    mark(stack, "mine")
    with running(dataclasses.replace(stack, program=("-c", UNANSWERED)), "restore", SAVED) as ended:
        pass
    assert ended.returncode == -signal.SIGKILL
    answer = stack.harness("snapshot", "save", "half")
    answer.refuses(ExitCode.WRONG_INPUT, "a snapshot whose restoring was interrupted", "make up")
    answer = stack.harness("up")
    assert answer.code == 0, answer.text
    assert marks(stack) == ["mine", "mine"]
    answer = restored(stack)
    assert answer.code == 0, answer.text
    assert_only_one_state_and_the_snapshot(stack)


@pytest.mark.nightly(reason="another moment of a kill")
def test_a_saving_that_is_killed_leaves_no_snapshot(stack: Checkout) -> None:
    mark(stack, "mine")
    killed(stack, "Copying the volumes", "save", "cut")
    assert [record["name"] for record in listed(stack)] == [SAVED]
    assert (answer := stack.harness("up")).code == 0, answer.text
    assert marks(stack) == ["mine", "mine"]
    assert (answer := stack.harness("snapshot", "save", "cut")).code == 0, answer.text
    assert stack.harness("snapshot", "delete", "cut").code == 0
    assert_only_one_state_and_the_snapshot(stack)
