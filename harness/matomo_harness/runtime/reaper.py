"""Nothing of a run outlives it, however it ends.

A run is whoever holds its lock file: the kernel takes the lock away at the end of the process,
after SIGKILL too. A watcher process on this machine waits for that moment and removes everything
that carries the run's label; it first removes what earlier runs left whose watchers died as well
(a reboot). Testcontainers' own reaper does the same from a container, whose image needs a registry.
"""

import atexit
import contextlib
import functools
import json
import os
import signal
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import docker
from docker.errors import APIError
from filelock import FileLock, Timeout
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from matomo_harness.errors import UnsupportedEnvironmentError
from matomo_harness.runtime.engine import connect
from matomo_harness.settings import OWNER_LABEL, ROOT

RUN_LABEL: Final = "org.matomo-harness.run"
PLACE_LABEL: Final = "org.matomo-harness.place"
"""Where the run's lock file is. Whoever cannot see that file cannot tell whether the run lives:
another machine or another person on the same engine is never swept from here."""

PARENT_LABEL: Final = "org.matomo-harness.parent"
PARENT_VARIABLE: Final = "HARNESS_PARENT_RUN"
"""A run inside a run, as our own tests have them, ends with the outer one at the latest."""

RUNS: Final = Path(tempfile.gettempdir()) / f"matomo-harness-{os.getuid()}"
"""Lock files and what the processes of a run tell each other; for this user's eyes only."""

POLL_SECONDS: Final = 0.2
ORPHANS_SECONDS: Final = (3, 7, 20)
"""How long after a kill what its orphans made is looked for again."""


@dataclass(frozen=True)
class Origin:
    """Who began a run.

    Args:
        process: its id; another may have the same one after the end of the run.
        checkout: the folder of the harness that it runs.
    """

    process: int
    checkout: str


@dataclass(frozen=True)
class EngineObject:
    """A container, network or volume.

    Args:
        name: with its kind, as a person reads it.
        labels: all that it carries.
    """

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Run:
    """One test process, or several that share containers, and all that they make.

    Args:
        id: value of RUN_LABEL.
    """

    id: str

    @property
    def lock(self) -> Path:
        """Held for as long as the run lives."""
        return RUNS / f"{self.id}.lock"

    @property
    def keep_marker(self) -> Path:
        """There when a person wants the run's containers to stay."""
        return RUNS / f"{self.id}.kept"

    @property
    def ended(self) -> Path:
        """There when the run ended by itself, with all its programs."""
        return RUNS / f"{self.id}.ended"

    @property
    def origin_file(self) -> Path:
        """Has the run's origin, for whoever asks whose it is."""
        return RUNS / f"{self.id}.origin"

    @property
    def origin(self) -> Origin | None:
        """None where an older harness began the run, or where the file is gone or not whole."""
        try:
            return Origin(**json.loads(self.origin_file.read_text()))
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    @property
    def lives(self) -> bool:
        """Whether a process holds it."""
        try:
            with FileLock(self.lock, blocking=False):
                return False
        except Timeout:
            return True

    def file(self, name: str) -> Path:
        """Return the path of a file that ends with the run."""
        return RUNS / f"{self.id}-{name}"

    @property
    def labels(self) -> dict[str, str]:
        """For everything that is made for this run."""
        return {
            OWNER_LABEL: f"run-{self.id}",
            RUN_LABEL: self.id,
            PLACE_LABEL: place(),
            PARENT_LABEL: os.environ.get(PARENT_VARIABLE, ""),
        }

    def keep(self, name: str, facts: Mapping[str, str]) -> Path:
        """Leave everything of this run where it is, until `matomo-harness clean`.

        Args:
            name: of what a person wants to look at.
            facts: how to reach it, secrets among them.

        Returns:
            The file of mode 0600 that has them.
        """
        self.keep_marker.touch(mode=0o600)
        path = RUNS / f"{self.id}-{name}.env"
        path.touch(mode=0o600)
        path.write_text("".join(f"{key}={value}\n" for key, value in facts.items()))
        return path

    def let_go(self) -> "Run":
        """Keep it no longer; return it, to be swept."""
        self.keep_marker.unlink(missing_ok=True)
        return self


def begin() -> Run:
    """Return a new run that lives as long as this process, or until `end`."""
    run = Run(uuid.uuid4().hex[:12])
    with no_run_begins():
        # Not the thread's: whoever ends the process may be another one.
        _held[run.id] = FileLock(run.lock, thread_local=False)
        _held[run.id].acquire()
        run.origin_file.write_text(json.dumps(asdict(Origin(os.getpid(), str(ROOT)))))
    return run


_held: dict[str, FileLock] = {}


@contextlib.contextmanager
def no_run_begins() -> Iterator[None]:
    """Have whoever begins a run wait: what is seen of the runs inside stays true until the end."""
    RUNS.mkdir(mode=0o700, exist_ok=True)
    with FileLock(RUNS / "beginning"):
        yield


def runs() -> list[Run]:
    """Return the runs of this place that live, and those that left a file."""
    files = (*RUNS.glob("*.lock"), *RUNS.glob("*.kept"))
    # What the processes of a run lock among themselves has a hyphen in its name.
    return [Run(name) for name in sorted({it.stem for it in files}) if "-" not in name]


def end(run: Run) -> None:
    """End `run` before this process ends, and remove what it made."""
    if any(RUNS.glob(f"{run.id}-*")):
        remove_leftovers(run)
    _held.pop(run.id).release()
    if not run.keep_marker.exists():
        run.lock.unlink(missing_ok=True)
        run.origin_file.unlink(missing_ok=True)


@functools.cache
def hold_images() -> Run:
    """Return the run that is this process alone: a clean leaves images while it lives."""
    run = begin()

    def end_unless_ended() -> None:
        if run.id in _held:
            end(run)

    atexit.register(end_unless_ended)
    return run


@functools.cache
def this_process() -> Run:
    """Return the run that is this process alone; the first call starts its watcher."""
    run = hold_images()
    watcher = watch_once(run)

    def end_with_nothing_left() -> None:
        run.ended.touch(mode=0o600)
        _held.pop(run.id).release()
        os.waitpid(watcher, 0)

    atexit.register(end_with_nothing_left)
    return run


@functools.cache
def watch_once(run: Run) -> int:
    """Start the process that removes what `run` made once it has ended; return its pid."""
    nothing = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in range(3)]
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "matomo_harness.runtime.reaper", run.id],
        os.environ,
        file_actions=nothing,
        # A session of its own: Ctrl-C and a killed process group reach the run, not the watcher.
        setsid=True,
    )


def labelled(client: docker.DockerClient, label: str) -> list[EngineObject]:
    """Return the containers, networks and volumes that carry `label`.

    Args:
        client: of the engine that has them.
        label: `name` or `name=value`.
    """
    filters: Any = {"label": label}
    # Others' containers go while they are listed; that must not end the search.
    containers = client.containers.list(all=True, filters=filters, ignore_removed=True)
    networks = client.networks.list(filters=filters)
    volumes = client.volumes.list(filters=filters)
    return [
        *(EngineObject(f"container {it.name}", it.labels) for it in containers),
        *(EngineObject(f"network {it.name}", it.attrs["Labels"]) for it in networks),
        *(EngineObject(f"volume {it.name}", it.attrs["Labels"]) for it in volumes),
    ]


def remove_labelled(client: docker.DockerClient, label: str) -> list[str]:
    """Remove the containers, networks and volumes that carry `label`; return what they were.

    Args:
        client: of the engine that has them.
        label: `name` or `name=value`.

    Raises:
        APIError: the engine refused one; what came before it is gone.
    """
    removed = remove_containers(client, label)
    filters: Any = {"label": label}
    for network in client.networks.list(filters=filters):
        network.remove()
        removed.append(f"network {network.name}")
    for volume in client.volumes.list(filters=filters):
        volume.remove(force=True)
        removed.append(f"volume {volume.name}")
    return removed


def remove_containers(client: docker.DockerClient, label: str) -> list[str]:
    """Remove the containers that carry `label`, as `remove_labelled` does; return what they were.

    Raises:
        APIError: the engine refused one; what came before it is gone.
    """
    removed = []
    filters: Any = {"label": label}
    for container in client.containers.list(all=True, filters=filters, ignore_removed=True):
        container.remove(force=True, v=True)
        removed.append(f"container {container.name}")
    return removed


# The engine may still be at a removal that the dying run had asked for, and refuses a second one.
@retry(retry=retry_if_exception_type(APIError), wait=wait_fixed(0.2), stop=stop_after_delay(60))
def remove_leftovers(run: Run) -> list[str]:
    """Remove what `run` made, unless it is to be kept; return what it was."""
    if run.keep_marker.exists():
        return []
    client = connect()
    removed = remove_labelled(client, f"{RUN_LABEL}={run.id}")
    removed += remove_labelled(client, f"{PARENT_LABEL}={run.id}")
    for file in RUNS.glob(f"{run.id}*"):
        file.unlink(missing_ok=True)
    return removed


def remove_leftovers_of_dead_runs() -> list[str]:
    """Remove what runs of this place left whose process and watcher are both gone."""
    removed = []
    client = connect()
    for run in {Run(it.labels[RUN_LABEL]) for it in labelled(client, f"{PLACE_LABEL}={place()}")}:
        try:
            with FileLock(run.lock, blocking=False):
                removed += remove_leftovers(run)
        except Timeout:
            continue  # it lives
    return removed


def place() -> str:
    """Return the value of PLACE_LABEL of the runs that can be seen from here."""
    return f"{socket.gethostname()}:{RUNS}"


def main() -> None:
    """Sweep what died before, wait for the end of the watched run, then sweep that."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    run = Run(sys.argv[1])
    # Others may be at the same things just now; this run is what we are here for.
    with contextlib.suppress(APIError, UnsupportedEnvironmentError):
        remove_leftovers_of_dead_runs()
    with FileLock(run.lock, poll_interval=POLL_SECONDS):
        killed = not run.ended.exists()
        remove_leftovers(run)
    # A program that the run had started may be at it still, and make more.
    for seconds in ORPHANS_SECONDS if killed else ():
        time.sleep(seconds)
        remove_leftovers(run)


if __name__ == "__main__":
    main()
