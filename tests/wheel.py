"""Builds the wheel, and installs it as another project does."""

import subprocess
import sys
from pathlib import Path

from matomo_harness.settings import ROOT


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
