"""A process on the host that removes what a run made once the run is gone, however it ended.

It holds the other end of a pipe: the kernel closes ours at the end of the process, after SIGKILL
too. Testcontainers' own reaper does the same from a container, whose image needs a registry.
"""

import atexit
import functools
import os
import signal
import subprocess
import sys
import uuid
from typing import Any, Final

from harness.settings import OWNER_LABEL

RUN_LABEL: Final = "org.matomo-harness.run"


@functools.cache
def labels() -> dict[str, str]:
    """Labels for all that this process makes; the first call starts the process's watcher."""
    run = uuid.uuid4().hex
    _watch(run)
    return {OWNER_LABEL: f"pid-{os.getpid()}", RUN_LABEL: run}


def _watch(run: str) -> None:
    watcher = subprocess.Popen(
        [sys.executable, "-m", "harness.stack.reaper", run],
        # Our end of this pipe stays open for as long as this process lives, and no longer.
        stdin=subprocess.PIPE,
        # A session of its own: Ctrl-C and a killed process group reach the run, not the watcher.
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # A run that ends by itself ends when nothing of it is left.
    atexit.register(watcher.communicate)


def sweep(run: str) -> None:
    """Remove the containers (with their anonymous volumes), networks and volumes of `run`."""
    from harness.stack.engine import connect

    client = connect()
    chosen: dict[str, Any] = {"filters": {"label": f"{RUN_LABEL}={run}"}}
    for container in client.containers.list(all=True, **chosen):
        container.remove(force=True, v=True)
    for network in client.networks.list(**chosen):
        network.remove()
    for volume in client.volumes.list(**chosen):
        volume.remove(force=True)


def main() -> None:
    """Wait for the end of the watched process, then sweep."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    sys.stdin.buffer.read()
    sweep(sys.argv[1])


if __name__ == "__main__":
    main()
