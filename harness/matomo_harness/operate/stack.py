"""Which stack a command is about: this checkout's own, or a reproduction's."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from matomo_harness.errors import WrongInputError
from matomo_harness.settings import ROOT, project_name

REPRODUCTIONS: Final = ROOT / ".local" / "repro"
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


@dataclass(frozen=True)
class Stack:
    """A Compose project, and the directory that holds what it keeps beside its volumes.

    Args:
        root: the directory; `.local/` in it has secrets and certificates (mode 0700).
        name: of a reproduction; empty for the local stack.
        secrets_name: of the file in `.local/` with its secrets and the generation of its volumes;
            another one while a snapshot is tried (operate/snapshot.py).
        purpose: what a stack is for that goes with its command: a drill or a rehearsal.
    """

    root: Path = ROOT
    name: str = ""
    secrets_name: str = "stack.env"
    purpose: str = ""

    @property
    def project(self) -> str:
        """Name of the Compose project, which is also the label of all that belongs to it."""
        return project_name(self.root)

    @property
    def is_of_production(self) -> bool:
        """Whether its data is production's: it is reached by loopback alone, and reaches nobody."""
        return bool(self.name or self.purpose)

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return self.root / ".local"

    @property
    def secrets_file(self) -> Path:
        """Its secrets, of mode 0600."""
        return self.directory / self.secrets_name

    @property
    def candidate(self) -> "Stack":
        """The same containers on the volumes of a snapshot that has yet to answer."""
        return replace(self, secrets_name="restoring.env")

    @property
    def snapshots(self) -> Path:
        """Where the records of its snapshots are."""
        return self.directory / "snapshots"

    @property
    def recipe_file(self) -> Path:
        """The record of the recipe that is under way."""
        return self.directory / "recipe.json"

    @property
    def tls_directory(self) -> Path:
        """Its certificates."""
        return self.directory / "tls"

    @property
    def authority_file(self) -> Path:
        """The authority that signed its certificates."""
        return self.tls_directory / "authority.pem"

    @property
    def begin(self) -> str:
        """The command that brings it up."""
        return f"matomo-harness repro open {self.name}" if self.name else "make up"

    @property
    def title(self) -> str:
        """What a person calls it."""
        if self.purpose:
            return f"the deployment of the {self.purpose}"
        return f"the reproduction {self.name}" if self.name else "the local stack"


LOCAL: Final = Stack()


def reproduction(name: str) -> Stack:
    """Return the stack of the reproduction `name`, which need not exist.

    Raises:
        WrongInputError: it cannot be a name.
    """
    if not NAME.fullmatch(name):
        raise WrongInputError(
            expected="NAME to be at most 40 lower-case letters, digits, - and _",
            seen=f"NAME={name}",
            next_command="make repro DUMP=… NAME=prod",
        )
    return Stack(REPRODUCTIONS / name, name)


def reproductions() -> list[Stack]:
    """Return all reproductions of this checkout, by name."""
    if not REPRODUCTIONS.exists():
        return []
    folders = sorted(path for path in REPRODUCTIONS.iterdir() if NAME.fullmatch(path.name))
    return [Stack(path, path.name) for path in folders]
