"""Builds a release and publishes it: `python tests/release.py build|publish [--tag v1.2.3]`.

The wheel is built from the source distribution, so that both hold what the commit holds. `publish`
is twine's upload: on GitHub the run itself proves who it is (trusted publishing), elsewhere
TWINE_USERNAME and TWINE_PASSWORD do; TWINE_REPOSITORY_URL names another index.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from matomo_harness.errors import HarnessError, WrongInputError

ROOT: Final = Path(__file__).parents[1]
PLACEHOLDER: Final = "OWNER"
ADDRESSED: Final = ("pyproject.toml", ".github/CODEOWNERS", ".github/ISSUE_TEMPLATE/config.yml")
"""Files with the repository's public address."""


def version(root: Path) -> str:
    """Return the version that a checkout has."""
    text = (root / "harness/matomo_harness/__init__.py").read_text()
    (found,) = re.findall(r'(?m)^__version__ = "(.+)"$', text)
    return str(found)


def require_ready(root: Path, tag: str) -> None:
    """Refuse to release what is not ready for it.

    Args:
        root: the checkout.
        tag: that the release is made for.

    Raises:
        WrongInputError: names what is missing.
    """
    for expected, seen, next_command in _obstacles(root, tag):
        raise WrongInputError(expected=expected, seen=seen, next_command=next_command)


def _obstacles(root: Path, tag: str) -> Iterator[tuple[str, str, str]]:
    of_checkout = version(root)
    if tag != f"v{of_checkout}":
        edit = "set __version__ in harness/matomo_harness/__init__.py, commit, and tag that"
        yield f"the tag v{of_checkout}, which is the version of this commit", tag or "no tag", edit
    head = f"## {of_checkout}"
    if not re.search(rf"(?m)^{re.escape(head)}( |$)", (root / "CHANGELOG.md").read_text()):
        edit = f"name the section of the CHANGELOG '{head} (the day)'"
        yield f"CHANGELOG.md to say what is new in {of_checkout}", "no such section", edit
    for name in ADDRESSED:
        if PLACEHOLDER in (root / name).read_text():
            seen = f"{PLACEHOLDER} in {name}"
            yield "the repository's public address", seen, f"edit {name}"
    status = ["git", "status", "--porcelain"]
    changed = subprocess.run(status, cwd=root, capture_output=True, text=True, check=True).stdout
    if changed:
        files = ", ".join(line[3:] for line in changed.splitlines()[:3])
        yield "a work tree without changes", files, "git status; commit what belongs to it"


def build(root: Path, directory: Path) -> list[Path]:
    """Build the source distribution and, from that, the wheel; return both.

    Args:
        root: the checkout.
        directory: where they go; what is there is replaced.
    """
    shutil.rmtree(directory, ignore_errors=True)
    source = _built("sdist", root, directory)
    with tempfile.TemporaryDirectory() as temporary:
        with tarfile.open(source) as archive:
            archive.extractall(temporary, filter="data")
        (unpacked,) = Path(temporary).iterdir()
        wheel = _built("wheel", unpacked, directory)
    return [source, wheel]


def _built(kind: str, root: Path, directory: Path) -> Path:
    before = set(directory.glob("*"))
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(directory)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    (made,) = set(directory.glob("*")) - before
    return made


def publish(files: list[Path]) -> None:
    """Check the files as an index does, and upload them."""
    _twine("check", "--strict", *map(str, files))
    _twine("upload", "--non-interactive", "--disable-progress-bar", *map(str, files))


def _twine(*arguments: str) -> None:
    environment = {**os.environ, "COLUMNS": "1000"}  # or a message is cut into lines
    ended = subprocess.run(
        [sys.executable, "-m", "twine", "--no-color", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        # From "ERROR HTTPError: 403 Forbidden from …" on, in one line.
        said = " ".join((ended.stdout + ended.stderr).split())
        raise WrongInputError(
            expected=f"twine {arguments[0]} to take {Path(arguments[-1]).name}",
            seen=said[said.find("ERROR") :] if "ERROR" in said else said,
            next_command="CONTRIBUTING.md says what a release needs",
        )


def main(arguments: list[str]) -> int:
    """Build the files into dist/, and publish them where that is asked for."""
    parser = argparse.ArgumentParser(description="Build a release, and publish it.")
    parser.add_argument("verb", choices=("build", "publish"))
    parser.add_argument("--tag", default="", help="the tag that the release is made for")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.verb == "publish":
            require_ready(ROOT, chosen.tag)
        files = build(ROOT, ROOT / "dist")
        if chosen.verb == "publish":
            publish(files)
    except HarnessError as error:
        print(f"release: {error}", file=sys.stderr)
        return int(error.exit_code)
    for file in files:
        print(file.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
