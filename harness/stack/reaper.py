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

import docker
from docker.errors import APIError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from harness.settings import OWNER_LABEL
from harness.stack.engine import connect

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


def remove_labelled(client: docker.DockerClient, label: str) -> list[str]:
    """Remove the containers, networks and volumes that carry `label`; return what they were.

    Args:
        client: of the engine that has them.
        label: `name` or `name=value`.

    Raises:
        APIError: the engine refused one; what came before it is gone.
    """
    removed = []
    filters: Any = {"label": label}
    for container in client.containers.list(all=True, filters=filters):
        container.remove(force=True, v=True)
        removed.append(f"container {container.name}")
    for network in client.networks.list(filters=filters):
        network.remove()
        removed.append(f"network {network.name}")
    for volume in client.volumes.list(filters=filters):
        volume.remove(force=True)
        removed.append(f"volume {volume.name}")
    return removed


# The engine may still be at a removal that the dying run had asked for, and refuses a second one.
@retry(retry=retry_if_exception_type(APIError), wait=wait_fixed(0.2), stop=stop_after_delay(60))
def sweep(run: str) -> None:
    """Remove what `run` made."""
    remove_labelled(connect(), f"{RUN_LABEL}={run}")


def main() -> None:
    """Wait for the end of the watched process, then sweep."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    sys.stdin.buffer.read()
    sweep(sys.argv[1])


if __name__ == "__main__":
    main()
