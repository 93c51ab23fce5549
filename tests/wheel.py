"""Builds the wheel, and installs it as another project does."""

import os
import re
import subprocess
import sys
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
        pip = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet")
        ended = self.run("python", *pip, "--constraint", str(self.constraints), *packages)
        assert ended.returncode == 0, ended.stderr

    def run(
        self, program: str, *arguments: str, directory: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the environment's programs to its end, in `directory`."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return subprocess.run(
            [str(self.directory / "bin" / program), *arguments],
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
    """Make an environment in `directory`, with nothing in it; harness/prepare.sh does it so too."""
    constraints = directory / "constraints.txt"
    locked = (ROOT / "requirements.lock").read_text()
    constraints.write_text("\n".join(re.findall(r"(?m)^([a-z0-9][^\\\n]*)", locked)))
    made = Environment(directory / "environment", constraints)
    subprocess.run([sys.executable, "-m", "venv", str(made.directory)], check=True)
    return made
