"""Kill `make test-all` at random moments and check whether anything is left.

    .venv/bin/python tests/kills.py 10

Prints a line for each kill and exits with 1 when anything was left a minute later.
"""

import os
import random
import signal
import subprocess
import sys
import time

from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.reaper import PLACE_LABEL, RUNS, remove_labelled

PROGRAMS = "[p]ytest -n"
LONGEST_SECONDS = 120  # lint comes first
PATIENCE_SECONDS = 60


def left() -> list[str]:
    """Return the ids of what the runs of this machine have left."""
    client, label = engine(), {"label": PLACE_LABEL}
    return [
        *(
            str(container.id)[:12]
            for container in client.containers.list(
                all=True, filters={**label}, ignore_removed=True
            )
        ),
        *(str(network.id)[:12] for network in client.networks.list(filters={**label})),
        *(str(volume.id)[:12] for volume in client.volumes.list(filters={**label})),
    ]


def kill_once(ending: signal.Signals, seconds: float) -> tuple[int, float, list[str]]:
    """Return the number of objects at the kill, the seconds until none was left, and the rest."""
    with subprocess.Popen(
        ["make", "test-all"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as suite:
        time.sleep(seconds)
        oldest = subprocess.run(
            ["pgrep", "-o", "-f", PROGRAMS], capture_output=True, text=True, check=False
        )
        at_kill = len(left())
        os.kill(int(oldest.stdout or suite.pid), ending)
        begun = time.monotonic()
        while left() and time.monotonic() - begun < PATIENCE_SECONDS:
            time.sleep(0.5)
    return at_kill, time.monotonic() - begun, left()


def main() -> int:
    """Kill as often as the first argument says."""
    dirty = 0
    print("signal   after   there   gone after   left")
    for _ in range(int(sys.argv[1])):
        ending = random.choice((signal.SIGINT, signal.SIGTERM, signal.SIGKILL))  # noqa: S311
        seconds = random.uniform(3, LONGEST_SECONDS)  # noqa: S311
        at_kill, gone, remains = kill_once(ending, seconds)
        print(
            f"{ending.name:8}{seconds:5.0f} s{at_kill:8}{gone:11.1f} s   {remains or 'nothing'}",
            flush=True,
        )
        if remains:
            dirty += 1
            remove_labelled(engine(), PLACE_LABEL)
    print(f"files in {RUNS}: {len(list(RUNS.iterdir()))}")
    return 1 if dirty else 0


if __name__ == "__main__":
    sys.exit(main())
