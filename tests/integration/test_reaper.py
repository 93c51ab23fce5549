"""Whatever ends a run, nothing of it is left, and nothing of another run is touched."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from docker.errors import NotFound

from matomo_harness.errors import UnsupportedEnvironmentError
from matomo_harness.runtime import reaper
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.reaper import (
    PARENT_VARIABLE,
    RUN_LABEL,
    Run,
    remove_leftovers,
    remove_leftovers_of_dead_runs,
    this_process,
)
from tests.checkout import Checkout
from tests.runs import wait_until_gone

PROGRAM = """
import sys
from matomo_harness.runtime import reaper
from matomo_harness.runtime.containers import WebContainer, network
from matomo_harness.runtime.engine import engine
run = reaper.this_process()
engine().volumes.create(labels=run.labels)
with network() as own_network, WebContainer(sys.argv[1], own_network, {}):
    print(run.id, reaper.watch_once(run), flush=True)
    sys.stdin.read()
"""
SUITE = """
import os, signal, pytest

@pytest.mark.parametrize("number", range(2))
def test_waits_to_be_killed(fresh_matomo, dedicated_matomo, number, request):
    from matomo_harness.runtime.reaper import this_process
    directory = request.config.rootpath
    runs = [this_process().id, request.config.workerinput["matomo_run"]]
    (directory / f"{number}.new").write_text(f"{os.getpid()} {' '.join(runs)}")
    (directory / f"{number}.new").rename(directory / f"{number}.up")
    signal.sigwait([signal.SIGUSR1])
"""


def leftovers_of(run: str) -> list[str]:
    chosen = {"label": f"{RUN_LABEL}={run}"}
    containers = engine().containers.list(all=True, filters={**chosen}, ignore_removed=True)
    networks = engine().networks.list(filters={**chosen})
    volumes = engine().volumes.list(filters={**chosen})
    return [str(leftover.id) for leftover in (*containers, *networks, *volumes)]


def wait_until_nothing_is_left_of(run: str, by: str = "") -> None:
    """Wait for the run's own watcher, or for that of the run `by`."""
    wait_until_gone(lambda: leftovers_of(run), by or run)


@contextmanager
def program(
    image: Image, place: str = tempfile.gettempdir()
) -> Iterator[tuple["subprocess.Popen[str]", str, int]]:
    """Start a run with a container, network and volume; yield process, id and watcher's pid.

    Runs of another `place` do not see it.
    """
    command = [sys.executable, "-c", PROGRAM, image.reference]
    pipe, environment = subprocess.PIPE, {**os.environ, "TMPDIR": place}
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        run, watcher = process.stdout.readline().split()
        assert len(leftovers_of(run)) == 3
        yield process, run, int(watcher)
        process.kill()


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_run_leaves_nothing(any_image: Image, ending: signal.Signals) -> None:
    with program(any_image) as (process, run, _):
        process.send_signal(ending)
        wait_until_nothing_is_left_of(run)


@pytest.mark.slow(reason="containers of three runs")
def test_the_next_start_removes_leftovers_of_dead_runs_only(
    any_image: Image, tmp_path: Path
) -> None:
    # Whatever else starts on this machine in between would do it first.
    start = partial(program, any_image, str(tmp_path))
    with start() as (_, living, _), start() as (process, dead, watcher):
        os.kill(watcher, signal.SIGKILL)
        process.kill()
        process.wait()
        assert len(leftovers_of(dead)) == 3, "nobody was there to remove them"
        with start() as (_, later, _):
            wait_until_nothing_is_left_of(dead, by=later)
        assert len(leftovers_of(living)) == 3


def test_containers_that_come_and_go_do_not_end_the_search_for_dead_runs(
    any_image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A watcher that starts elsewhere would have hold of the dead run, and this search pass it over.
    monkeypatch.setattr(reaper, "RUNS", tmp_path / reaper.RUNS.name)
    run = reaper.begin()
    with (
        ThreadPoolExecutor(4) as others,
        program(any_image, str(tmp_path)) as (process, dead, watcher),
    ):
        coming_and_going = [others.submit(come_and_go, any_image, run) for _ in range(4)]
        os.kill(watcher, signal.SIGKILL)
        process.kill()
        process.wait()
        while not all(churn.done() for churn in coming_and_going):
            remove_leftovers_of_dead_runs()
        assert leftovers_of(dead) == []
        for churn in coming_and_going:
            churn.result()
    reaper.end(run)


def test_a_network_that_is_not_removed_names_whose_container_is_in_it(
    any_image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaper, "REMOVED_SECONDS", 1)
    client = engine()
    left = Run(f"left{uuid.uuid4().hex[:8]}")
    network = client.networks.create(f"{left.id}-network", labels={RUN_LABEL: left.id})
    stranger = client.containers.run(
        any_image.reference, ["sleep", "60"], detach=True, entrypoint="", network=network.name
    )
    try:
        with pytest.raises(UnsupportedEnvironmentError) as refused:
            remove_leftovers(left)
        assert refused.value.seen == stranger.name
        assert f"docker network disconnect -f {network.name}" in refused.value.next_command
        stranger.remove(force=True, v=True)
        assert remove_leftovers(left) == [f"network {left.id}-network"]
    finally:
        with suppress(NotFound):
            stranger.remove(force=True, v=True)
        with suppress(NotFound):
            network.remove()


def come_and_go(image: Image, run: Run) -> None:
    for _ in range(10):
        engine().containers.create(image.reference, labels=run.labels).remove(force=True, v=True)


@pytest.mark.usefixtures("interruptible", "any_golden")  # built before, or the suite would
@pytest.mark.parametrize(
    "ending",
    [
        signal.SIGKILL,
        # A run that is told to end removes what it made: the two ways take longer and need less.
        *(
            pytest.param(ending, marks=pytest.mark.nightly(reason="SIGKILL is the hardest"))
            for ending in (signal.SIGTERM, signal.SIGINT)
        ),
    ],
)
@pytest.mark.slow(reason="a run of pytest with servers of its own")
def test_a_killed_suite_of_two_workers_leaves_nothing(
    any_image: Image, ending: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-n", "2", f"--matomo-image={any_image.reference}"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as suite:
        try:
            (pid, *runs), (other_pid, *other_runs) = (
                wait_until_up(tmp_path / f"{number}.up", suite) for number in (0, 1)
            )
            assert pid != other_pid, "one test for each worker"
            shared = runs[1]
            assert other_runs[1] == shared
            assert len(leftovers_of(shared)) == 3, "the servers and their network, once"
            assert all(len(leftovers_of(own)) == 3 for own in (runs[0], other_runs[0])), (
                "a pair for each"
            )

            os.kill(int(pid), signal.SIGKILL)
            wait_until_nothing_is_left_of(runs[0])
            assert len(leftovers_of(shared)) == 3, "a worker's end is not the run's"

            suite.send_signal(ending)
            for run in (other_runs[0], shared):
                wait_until_nothing_is_left_of(run)
        finally:
            suite.kill()


def wait_until_up(path: Path, suite: "subprocess.Popen[bytes]") -> list[str]:
    while not path.exists():
        assert suite.poll() is None, "the suite has ended"
        time.sleep(0.1)
    return path.read_text().split()


def test_a_stack_goes_with_the_process_that_began_it_for_a_test(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Outside of tests/integration nobody has set it: such a stack was once found hours later.
    monkeypatch.delenv(PARENT_VARIABLE)
    assert checkout.environment()[PARENT_VARIABLE] == this_process().as_parent
