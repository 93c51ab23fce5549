"""Run programs, and set what they see; an error carries the last lines that they printed."""

import contextlib
import os
import shutil
import subprocess
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from matomo_harness.errors import UnsupportedEnvironmentError
from matomo_harness.progress import ProgressStep, step

_LAST_LINES = 3


def run(
    command: Sequence[str],
    running: ProgressStep | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
) -> str:
    """Run `command`, show its lines behind the step's title, and return its standard output.

    Raises:
        UnsupportedEnvironmentError: it is missing or exits non-zero; `seen` carries its last lines.
    """
    lines: list[str] = []
    last: deque[str] = deque(maxlen=_LAST_LINES)
    try:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=dict(environment),
        ) as program:
            assert program.stdout is not None  # noqa: S101  stdout=PIPE
            for line in program.stdout:
                lines.append(line)
                if line.strip():
                    last.append(line.strip())
                    if running:
                        running.say(line)
    except OSError as error:
        raise UnsupportedEnvironmentError(
            expected=f"{command[0]} to be on this machine",
            seen=str(error),
            next_command="matomo-harness doctor",
        ) from error
    if program.returncode != 0:
        raise UnsupportedEnvironmentError(
            expected=f"`{' '.join(command)}` to succeed",
            seen=f"exit {program.returncode}: " + " | ".join(last),
            next_command=" ".join(command),
        )
    return "".join(lines)


def is_root_on_debian() -> bool:
    """Whether packages can be installed here: root, on Debian, Ubuntu or a derivative."""
    return os.geteuid() == 0 and Path("/etc/debian_version").exists()


def install_packages(*packages: str) -> None:
    """Install those Debian packages that are missing, without the ones that they recommend.

    Raises:
        UnsupportedEnvironmentError: not root, not Debian, or apt failed.
    """
    missing = [package for package in packages if not _installed(package)]
    if not missing:
        return
    if not is_root_on_debian():
        raise UnsupportedEnvironmentError(
            expected=f"{', '.join(missing)} on this machine",
            seen="not installed, and only root on Debian or Ubuntu can install it from here",
            next_command=f"sudo apt-get install {' '.join(missing)}",
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # Another apt may be at work, as on a freshly booted machine: wait for it rather than fail.
    apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120"]
    with step(f"Installing {', '.join(missing)}") as running:
        run([*apt, "update"], running, environment=environment)
        run(
            [*apt, "install", "-y", "--no-install-recommends", *missing],
            running,
            environment=environment,
        )


def _installed(package: str) -> bool:
    """Whether dpkg has it, or PATH has a program of its name (on another distribution)."""
    if shutil.which(package):
        return True
    query = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Status}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return query.stdout.endswith(" installed")


@contextlib.contextmanager
def variable(name: str, value: str) -> Iterator[None]:
    """Have a variable of the environment, for this process and what it starts, for the block."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
