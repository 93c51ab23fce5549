"""Whatever ends a run, nothing of it is left."""

import signal
import subprocess
import sys

import pytest
from tenacity import retry, stop_after_delay, wait_fixed

from harness.stack.engine import engine
from harness.stack.images import Image
from harness.stack.reaper import RUN_LABEL

PROGRAM = """
import sys
from harness.stack import reaper
from harness.stack.containers import MatomoContainer, network
with network() as own_network, MatomoContainer(sys.argv[1], own_network, {}):
    print(reaper.this_process().labels[reaper.RUN_LABEL], flush=True)
    sys.stdin.read()
"""


def left_of(run: str) -> list[str]:
    chosen = {"label": f"{RUN_LABEL}={run}"}
    containers = engine().containers.list(all=True, filters={**chosen})
    networks = engine().networks.list(filters={**chosen})
    return [str(it.name) for it in containers] + [str(it.name) for it in networks]


@retry(stop=stop_after_delay(15), wait=wait_fixed(0.1), reraise=True)
def nothing_is_left_of(run: str) -> None:
    assert left_of(run) == []


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_run_leaves_nothing(any_image: Image, ending: signal.Signals) -> None:
    command = [sys.executable, "-c", PROGRAM, any_image.reference]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as program:
        assert program.stdout is not None
        run = program.stdout.readline().strip()
        assert len(left_of(run)) == 2, "a container and a network were there"
        program.send_signal(ending)
    nothing_is_left_of(run)
