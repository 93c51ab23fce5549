"""The hourly archiver of the local stack, as EventBridge starts it in production.

A process on this machine waits for the hour and starts a container beside the web container; it
ends with the stack. The newest containers that have run stay for inspection.
"""

import contextlib
import os
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from docker.errors import APIError, NotFound
from docker.models.containers import Container
from filelock import FileLock, Timeout
from requests.exceptions import ConnectionError as NoAnswerError
from requests.exceptions import ReadTimeout

from matomo_harness.errors import HarnessError, UnsupportedEnvironmentError
from matomo_harness.operate import compose, stack_image
from matomo_harness.operate.alone import alone
from matomo_harness.operate.stack import LOCAL, Stack, reproduction
from matomo_harness.runtime import archiver, reaper
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.inspection import inspected
from matomo_harness.settings import OWNER_LABEL, ROOT

END_SECONDS: Final = 30.0
"""At most, the schedule is just starting a container."""
LAST_RUNS: Final = 24
"""How many containers of the archiver stay."""
ROLE_LABEL: Final = "org.matomo-harness.role"
ROLE: Final = "archiver"


@dataclass(frozen=True)
class ScheduledRun:
    """A run of the archiver.

    Args:
        container: its name; `docker logs` has what it printed.
        started: when it began, UTC.
        exit_code: None while it begins or runs.
    """

    container: str
    started: str
    exit_code: int | None


def begin(period: int, stack: Stack = LOCAL) -> None:
    """Start the archiver every `period` seconds until the stack is down; one call is enough.

    A stack that goes with its command has none: without a name it would be the local stack's.
    """
    if stack.purpose:
        return
    nothing = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in range(3)]
    os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "matomo_harness.operate.schedule", str(period), stack.name],
        os.environ,
        file_actions=nothing,
        # It has a session of its own, to stay when the terminal is closed.
        setsid=True,
    )


def lock_file(root: Path = ROOT) -> Path:
    """Return the lock that the waiting process of the checkout at `root` holds."""
    return root / ".local" / "schedule.lock"


def wait_for_end(root: Path = ROOT) -> None:
    """Wait until the schedule has ended, as it does once the web container is gone.

    Whoever removes a stack has to look for containers again afterwards: the hour may have come
    meanwhile, and an archiver may have started.

    Raises:
        UnsupportedEnvironmentError: it does not end.
    """
    if not lock_file(root).exists():
        return
    try:
        with FileLock(lock_file(root), timeout=END_SECONDS):
            pass
    except Timeout as error:
        raise UnsupportedEnvironmentError(
            expected=f"the schedule to end within {END_SECONDS:.0f} s after its stack",
            seen=f"{lock_file(root)} is still held",
            # By its interpreter it is this checkout's: others have schedules of their own.
            next_command=f"pkill -f '{sys.executable} -m matomo_harness.operate.schedule'",
        ) from error


def start_now() -> Container:
    """Start the archiver, beside whatever else archives; its container stays for inspection.

    Raises:
        WrongInputError: the local stack is not up.
    """
    return start(compose.running("matomo"), LOCAL)


def runs(stack: Stack = LOCAL) -> list[ScheduledRun]:
    """Return the runs that are still there, the newest first."""
    found = [
        container
        for container in compose.containers(stack)
        if container.labels.get(ROLE_LABEL) == ROLE
    ]
    # One that is just being started has no time of that yet.
    found.sort(key=lambda container: str(inspected(container, "Created")), reverse=True)
    return [
        ScheduledRun(
            container=str(container.name),
            started=str(inspected(container, "Created"))[:19],
            exit_code=(
                None
                if container.status in ("created", "running")
                else int(inspected(container, "State", "ExitCode") or 0)
            ),
        )
        for container in found
    ]


def start(web: Container, stack: Stack, *options: str) -> Container:
    """Start the archiver of `stack`, and the job with Matomo's tasks where an image has one.

    Their containers stay for inspection.

    Args:
        web: its running web container.
        stack: which one.
        options: of core:archive.

    Returns:
        The archiver's container.
    """
    for old in runs(stack)[LAST_RUNS - 1 :]:
        with contextlib.suppress(NotFound):
            engine().containers.get(old.container).remove(v=True)
    labels = {OWNER_LABEL: stack.project, ROLE_LABEL: ROLE, **reaper.parent()}
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    archives, *tasks = stack_image.of_container(web).jobs
    name = f"{stack.project}-archiver-{moment}"
    container = archiver.start(web, labels, *options, name=name, job=archives)
    for job in tasks:
        archiver.start(web, labels, name=f"{stack.project}-tasks-{moment}", job=job)
    return container


def _wait_and_archive(period: int, stack: Stack) -> None:
    """Wait for the next full period; return at once when the web container is gone.

    Raises:
        WrongInputError: there is no web container any more.
    """
    web = compose.container("matomo", stack)
    try:
        web.wait(condition="removed", timeout=period - time.time() % period)
    except (NoAnswerError, ReadTimeout):  # it is still there, and the hour has come
        # Where the data is being copied, the next hour's archiver does the work of this one.
        with contextlib.suppress(APIError, HarnessError), alone(stack):
            start(compose.running("matomo", stack), stack)
    except NotFound:
        return


def main() -> None:
    """Archive at every full period until there is no stack any more."""
    period, name = int(sys.argv[1]), sys.argv[2]
    stack = reproduction(name) if name else LOCAL
    lock = lock_file(stack.root)
    lock.parent.mkdir(mode=0o700, exist_ok=True)
    with contextlib.suppress(Timeout, HarnessError), FileLock(lock, blocking=False):
        while True:
            _wait_and_archive(period, stack)


if __name__ == "__main__":
    main()
