"""Nothing that a run makes outlives it, however it ends.

A run lives as long as a process holds its lock file: the kernel releases the lock when the process
ends, even by SIGKILL. A watcher process on this machine waits for that moment and removes all that
carries the run's label. Before that, it removes the leftovers of earlier runs whose watchers died
as well (a reboot). Testcontainers' own reaper does the same from a container, but its image needs a
registry.
"""

import atexit
import contextlib
import functools
import json
import os
import secrets
import shutil
import signal
import socket
import stat
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import docker
from docker.errors import APIError
from docker.models.networks import Network
from filelock import FileLock, Timeout
from tenacity import (
    RetryCallState,
    retry,
    retry_if_exception_type,
    wait_fixed,
)

from matomo_harness.errors import UnsupportedEnvironmentError
from matomo_harness.runtime.engine import connect
from matomo_harness.runtime.inspection import inspected
from matomo_harness.settings import OWNER_LABEL, ROOT

RUN_LABEL: Final = "org.matomo-harness.run"
PLACE_LABEL: Final = "org.matomo-harness.place"
"""Says where the run's lock file is. Who cannot see that file cannot know whether the run lives, so
we never remove what belongs to another machine or another person on the same engine."""

PARENT_LABEL: Final = "org.matomo-harness.parent"
PARENT_VARIABLE: Final = "HARNESS_PARENT_RUN"
"""A run inside a run, as in our own tests, ends with the outer one at the latest."""

RUNS: Final = Path(tempfile.gettempdir()) / f"matomo-harness-{os.getuid()}"
"""Has the lock files, and files by which the processes of a run inform each other; only this user
may read it."""

MACHINE: Final = socket.gethostname()
"""As a run began: a laptop gets another name in another network, and the run's watcher, which has
begun with it, would look for what is labelled with that."""

POLL_SECONDS: Final = 0.2
REMOVED_SECONDS = 60
"""How long the engine may refuse a removal."""
ORPHANS_SECONDS: Final = (3, 7, 20)
"""After a kill, the watcher waits this long before each further search for what orphans made."""


class NetworkInUseError(UnsupportedEnvironmentError):
    """A network of the harness has a container of somebody else's, who is to take it out."""


@dataclass(frozen=True)
class Origin:
    """The process and the checkout that started a run.

    Args:
        process: the process's id; another process may have it after the end of the run.
        checkout: the folder of the harness that the process runs.
    """

    process: int
    checkout: str


@dataclass(frozen=True)
class EngineObject:
    """A container, network or volume.

    Args:
        name: kind and name, for people to read.
        labels: all its labels.
    """

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Run:
    """One test process, or several that share containers, and everything that they make.

    Args:
        id: value of RUN_LABEL.
    """

    id: str

    @property
    def lock(self) -> Path:
        """A lock file that is held as long as the run lives."""
        return RUNS / f"{self.id}.lock"

    @property
    def keep_marker(self) -> Path:
        """A file that exists if a person wants the run's containers to stay."""
        return RUNS / f"{self.id}.kept"

    @property
    def ended(self) -> Path:
        """A file that exists if the run ended by itself, with all its programs."""
        return RUNS / f"{self.id}.ended"

    @property
    def origin_file(self) -> Path:
        """A file with the run's origin."""
        return RUNS / f"{self.id}.origin"

    @property
    def origin(self) -> Origin | None:
        """The origin; None if an older harness began the run, or the file is gone or incomplete."""
        try:
            return Origin(**json.loads(self.origin_file.read_text()))
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    @property
    def lives(self) -> bool:
        """Whether a process holds the lock file."""
        try:
            with FileLock(self.lock, blocking=False):
                return False
        except Timeout:
            return True

    def file(self, name: str) -> Path:
        """Return the path of a file or a directory that is removed with the run."""
        return RUNS / f"{self.id}-{name}"

    @property
    def labels(self) -> dict[str, str]:
        """The labels of everything that is made for this run."""
        return {
            OWNER_LABEL: f"run-{self.id}",
            RUN_LABEL: self.id,
            PLACE_LABEL: place(),
            **parent(),
        }

    @property
    def as_parent(self) -> str:
        """The value of PARENT_LABEL for what goes with this run.

        It says where the lock file is as well: a stack has no label for that, and with one label
        more Compose would make anew what people have running.
        """
        return f"{self.id}@{place()}"

    def keep(self, name: str, facts: Mapping[str, str]) -> Path:
        """Leave everything of this run in place until `matomo-harness clean`.

        Args:
            name: the name of what a person wants to inspect.
            facts: how to reach it, including secrets.

        Returns:
            The file of mode 0600 that has the facts.
        """
        self.keep_marker.touch(mode=0o600)
        path = RUNS / f"{self.id}-{name}.env"
        path.touch(mode=0o600)
        path.write_text("".join(f"{key}={value}\n" for key, value in facts.items()))
        return path

    def let_go(self) -> "Run":
        """Stop keeping the run; return it, so that it can be removed."""
        self.keep_marker.unlink(missing_ok=True)
        return self


def begin() -> Run:
    """Start a run that lives as long as this process, or until `end`, and return it."""
    run = Run(uuid.uuid4().hex[:12])
    with no_run_begins():
        # The lock is not bound to this thread, as another one may end the process.
        _held[run.id] = FileLock(run.lock, thread_local=False)
        _held[run.id].acquire()
        run.origin_file.write_text(json.dumps(asdict(Origin(os.getpid(), str(ROOT)))))
    return run


_held: dict[str, FileLock] = {}


@contextlib.contextmanager
def no_run_begins() -> Iterator[None]:
    """Make every process that starts a run wait, so that a list of the runs stays true inside."""
    require_own_directory()
    with FileLock(RUNS / "beginning"):
        yield


def require_own_directory() -> None:
    """Make the directory of runs, and require that nobody else may put anything into it.

    Secrets and sockets lie in it, and where it is everybody may make it first.

    Raises:
        UnsupportedEnvironmentError: somebody else has, or it is a link.
    """
    RUNS.mkdir(mode=0o700, exist_ok=True)
    found = RUNS.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UnsupportedEnvironmentError(
            expected=f"{RUNS} to be a directory of this user's",
            seen=f"one of the user {found.st_uid}, or a link",
            next_command="remove it, or name another place: TMPDIR=DIRECTORY",
        )
    if stat.S_IMODE(found.st_mode) != 0o700:
        RUNS.chmod(0o700)


def runs() -> list[Run]:
    """Return the runs of this place that live, and those that have left a file."""
    files = (*RUNS.glob("*.lock"), *RUNS.glob("*.kept"))
    # Other lock files of a run's processes have a hyphen in their name.
    return [Run(name) for name in sorted({file.stem for file in files}) if "-" not in name]


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
    """Return the run of this process alone: while it lives, `clean` leaves images in place."""
    run = begin()

    def end_unless_ended() -> None:
        if run.id in _held:
            end(run)

    atexit.register(end_unless_ended)
    return run


@functools.cache
def this_process() -> Run:
    """Return the run of this process alone; the first call starts its watcher."""
    run = hold_images()
    watcher = watch_once(run)

    def end_with_nothing_left() -> None:
        run.ended.touch(mode=0o600)
        _held.pop(run.id).release()
        os.waitpid(watcher, 0)

    atexit.register(end_with_nothing_left)
    return run


@contextlib.contextmanager
def directory(name: str) -> Iterator[Path]:
    """Yield an empty directory of this user's alone, which goes with the block.

    Where the process is killed in it, the watcher removes the directory; nobody removes one of
    `tempfile` then, which may hold a secret or a whole image.

    Args:
        name: what it is for, as a part of its name.
    """
    made = this_process().file(f"{name}-{secrets.token_hex(3)}")
    made.mkdir(mode=0o700)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@functools.cache
def watch_once(run: Run) -> int:
    """Start the process that removes what `run` made, once the run has ended; return its pid."""
    nothing = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in range(3)]
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "matomo_harness.runtime.reaper", run.id],
        os.environ,
        file_actions=nothing,
        # It has its own session: Ctrl-C and a killed process group reach the run, not the watcher.
        setsid=True,
    )


def labelled(client: docker.DockerClient, label: str) -> list[EngineObject]:
    """Return the containers, networks and volumes that carry `label`.

    Args:
        client: a client of the engine that has them.
        label: `name` or `name=value`.
    """
    filters: Any = {"label": label}
    # Containers of others disappear while they are listed; that must not end the search.
    containers = client.containers.list(all=True, filters=filters, ignore_removed=True)
    networks = client.networks.list(filters=filters)
    volumes = client.volumes.list(filters=filters)
    return [
        *(EngineObject(f"container {found.name}", found.labels) for found in containers),
        *(
            EngineObject(f"network {found.name}", inspected(found, "Labels") or {})
            for found in networks
        ),
        *(
            EngineObject(f"volume {found.name}", inspected(found, "Labels") or {})
            for found in volumes
        ),
    ]


def remove_labelled(client: docker.DockerClient, label: str) -> list[str]:
    """Remove the containers, networks and volumes that carry `label`; return their names.

    Args:
        client: a client of the engine that has them.
        label: `name` or `name=value`.

    Raises:
        NetworkInUseError: a container of somebody else's is in one of the networks.
        APIError: the engine refused to remove one; those before it are gone.
    """
    removed = remove_containers(client, label)
    filters: Any = {"label": label}
    for network in client.networks.list(filters=filters):
        remove_network(network)
        removed.append(f"network {network.name}")
    for volume in client.volumes.list(filters=filters):
        volume.remove(force=True)
        removed.append(f"volume {volume.name}")
    return removed


def remove_network(network: Network) -> None:
    """Remove a network of the harness.

    Raises:
        NetworkInUseError: it has a container of somebody else's.
        APIError: the engine refused to remove it for another reason.
    """
    try:
        network.remove()
    except APIError as error:
        network.reload()
        others = [found["Name"] for found in (inspected(network, "Containers") or {}).values()]
        if not others:
            raise
        raise NetworkInUseError(
            expected=f"the network {network.name} to have containers of the harness alone",
            seen=", ".join(others),
            next_command=f"docker network disconnect -f {network.name} {others[0]}; then the same"
            " command again",
        ) from error


def remove_containers(client: docker.DockerClient, label: str) -> list[str]:
    """Remove the containers that carry `label`, as `remove_labelled` does; return their names.

    Args:
        client: a client of the engine that has them.
        label: `name` or `name=value`.

    Raises:
        APIError: the engine refused to remove one; those before it are gone.
    """
    removed = []
    filters: Any = {"label": label}
    for container in client.containers.list(all=True, filters=filters, ignore_removed=True):
        container.remove(force=True, v=True)
        removed.append(f"container {container.name}")
    return removed


def _not_removed(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, NetworkInUseError):
        raise error
    raise UnsupportedEnvironmentError(
        expected=f"the engine to remove within {REMOVED_SECONDS} s what an ended run left",
        seen=getattr(error, "explanation", None) or str(error),
        next_command="docker ps -a; then the same command again",
    ) from error


# The engine refuses a removal while it still performs one that the dying run asked for.
@retry(
    retry=retry_if_exception_type((APIError, NetworkInUseError)),
    wait=wait_fixed(0.2),
    stop=lambda state: (state.seconds_since_start or 0) > REMOVED_SECONDS,
    retry_error_callback=_not_removed,
)
def remove_leftovers(run: Run) -> list[str]:
    """Remove what `run` made, unless it is to stay; return the names of what was removed.

    Raises:
        UnsupportedEnvironmentError: the engine refuses to remove something for too long.
    """
    if run.keep_marker.exists():
        return []
    try:
        client = connect()
        removed = remove_labelled(client, f"{RUN_LABEL}={run.id}")
        removed += remove_labelled(client, f"{PARENT_LABEL}={run.as_parent}")
    finally:
        _remove(RUNS.glob(f"{run.id}-*"))  # where no engine answers, too: they may hold secrets
    _remove(RUNS.glob(f"{run.id}*"))
    return removed


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        if file.is_dir():
            shutil.rmtree(file, ignore_errors=True)
        else:
            file.unlink(missing_ok=True)


def remove_leftovers_of_dead_runs() -> list[str]:
    """Remove the leftovers of runs of this place whose process and watcher are both gone.

    After a reboot these may be a stack alone, as that of a drill, which holds production's data.
    """
    removed = []
    client = connect()
    leftovers = labelled(client, f"{PLACE_LABEL}={place()}")
    known = {leftover.labels[RUN_LABEL] for leftover in leftovers}
    here = f"@{place()}"
    parents = {thing.labels[PARENT_LABEL] for thing in labelled(client, PARENT_LABEL)}
    known |= {parent.removesuffix(here) for parent in parents if parent.endswith(here)}
    for run in map(Run, known):
        try:
            with FileLock(run.lock, blocking=False):
                removed += remove_leftovers(run)
        except Timeout:
            continue  # the run lives
    return removed


def parent() -> dict[str, str]:
    """Return the label of the run that has started this program: what is made goes with that run.

    Everything of a stack needs it, as compose.yml gives it to the services: a single container that
    lacks it would hold the volumes.
    """
    return {PARENT_LABEL: os.environ.get(PARENT_VARIABLE, "")}


def place() -> str:
    """Return the value of PLACE_LABEL for the runs that can be seen from here."""
    return f"{MACHINE}:{RUNS}"


def main() -> None:
    """Remove leftovers of earlier runs, wait until the watched run ends, then remove its own."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    run = Run(sys.argv[1])
    # Other watchers may be removing the same leftovers; the watched run matters more.
    with contextlib.suppress(UnsupportedEnvironmentError):
        remove_leftovers_of_dead_runs()
    with FileLock(run.lock, poll_interval=POLL_SECONDS):
        killed = not run.ended.exists()
        remove_leftovers(run)
    # A program that the run started may still be running, and make more.
    for seconds in ORPHANS_SECONDS if killed else ():
        time.sleep(seconds)
        remove_leftovers(run)


if __name__ == "__main__":
    main()
