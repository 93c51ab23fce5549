"""Builds the wheel, and installs it as another project does."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from matomo_harness.settings import ROOT

OURS = ("PYTHON", "PYTEST", "VIRTUAL_ENV", "HARNESS_", "COV_")
"""Beginnings of variables that would lead a program into this checkout, or into this run."""


def built(directory: Path) -> Path:
    """Build the wheel into `directory`, and return it."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = directory.glob("*.whl")
    return wheel


def installed(directory: Path) -> str:
    """Build the wheel, install it alone, and return the folder to put on PYTHONPATH."""
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    site = str(directory / "site")
    command = [*install, "--target", site, str(built(directory))]
    subprocess.run(command, check=True, capture_output=True)
    return site


# -- an environment of its own --------------------------------------------------------------------


@dataclass(frozen=True)
class Environment:
    """A virtual environment that knows nothing of this checkout.

    Args:
        directory: where it is.
        constraints: file with the versions of requirements.lock, without their hashes.
        seconds: that a program may take.
    """

    directory: Path
    constraints: Path
    seconds: float = 240

    def install(self, *packages: str) -> None:
        """Have pip install `packages`, from where this machine's pip takes them."""
        self.pip("install", "--constraint", str(self.constraints), *packages)

    def pip(self, command: str, *arguments: str, **variables: str) -> None:
        """Have the pip of this run do its work in the environment.

        Neither pip nor compiled code is installed there: that is three quarters of the processor
        time of an installation (22 s of it here), and of all modules a test imports a few.
        """
        what = [*(["--no-compile"] if command == "install" else []), *arguments]
        python = str(self.directory / "bin/python")
        quiet = ("--python", python, "--disable-pip-version-check", "--quiet")
        ended = self._run([sys.executable, "-m", "pip", *quiet, command, *what], None, variables)
        assert ended.returncode == 0, ended.stderr

    def run(
        self, program: str, *arguments: str, directory: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the environment's programs to its end, in `directory`."""
        return self._run([str(self.directory / "bin" / program), *arguments], directory, variables)

    def _run(
        self, command: list[str], directory: Path | None, variables: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return subprocess.run(
            command,
            cwd=directory or self.directory,
            env={**clean, **variables},
            capture_output=True,
            text=True,
            timeout=self.seconds,
            check=False,
        )

    def harness(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run matomo-harness to its end."""
        return self.run("matomo-harness", *arguments, directory=None, **variables)


def environment(directory: Path) -> Environment:
    """Make an environment in `directory`, with nothing in it, not even pip."""
    constraints = directory / "constraints.txt"
    locked = (ROOT / "requirements.lock").read_text()
    constraints.write_text("\n".join(re.findall(r"(?m)^([a-z0-9][^\\\n]*)", locked)))
    made = Environment(directory / "environment", constraints)
    command = [sys.executable, "-m", "venv", "--without-pip", str(made.directory)]
    subprocess.run(command, check=True)
    return made
