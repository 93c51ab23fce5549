"""Which commit is delivered: one that others can see."""

import subprocess
from pathlib import Path

from matomo_harness.errors import WrongInputError

LENGTH = 12
"""Hex digits of a commit in a tag, as in the image's label."""


def pushed_commit(directory: Path) -> str:
    """Return the commit that is checked out, shortened; it is a tag in the registry.

    Args:
        directory: in a work tree of git.

    Raises:
        WrongInputError: no work tree, changes that are not committed, or a commit that no remote
            branch has.
    """
    commit = current(directory)
    if changes := _git(directory, "status", "--porcelain"):
        raise WrongInputError(
            expected="a work tree without changes: the image's tag is its commit",
            seen=f"{len(changes.splitlines())} changed files, such as {changes.split()[1]}",
            next_command="git commit, or git stash",
        )
    if not _git(directory, "branch", "--remotes", "--contains", "HEAD"):
        raise WrongInputError(
            expected=f"the commit {commit} on a remote branch, where others can see it",
            seen="it is on this machine alone",
            next_command="git push",
        )
    return commit


def current(directory: Path) -> str:
    """Return the commit that is checked out, shortened.

    Raises:
        WrongInputError: no work tree, or one without a commit.
    """
    commit = _git(directory, "rev-parse", f"--short={LENGTH}", "HEAD")
    if not commit:
        raise WrongInputError(
            expected="a commit of git to deliver",
            seen=f"none in {directory.resolve()}",
            next_command="git status",
        )
    return commit


def of_the_same_image(directory: Path) -> list[str]:
    """Return the commit that is checked out, and those before it back to the last of image/.

    What they build is the same; only one of them may have been published.

    Raises:
        WrongInputError: no work tree, or one without a commit.
    """
    first = current(directory)
    listed = ("rev-list", "--first-parent", "--abbrev-commit", f"--abbrev={LENGTH}", "HEAD")
    last = _git(directory, *listed, "-1", "--", ":/image")
    commits = _git(directory, *listed).split()
    return commits[: commits.index(last) + 1] if last in commits else [first]


def _git(directory: Path, *words: str) -> str:
    """Return what git says; empty where it fails."""
    try:
        said = subprocess.run(
            ["git", *words], cwd=directory, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return said.stdout.strip() if said.returncode == 0 else ""
