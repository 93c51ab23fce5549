"""A copy of this checkout to run the command line in, with a local stack of its own."""

import dataclasses
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from matomo_harness.matomo.database import Database
from matomo_harness.matomo.web import Web
from matomo_harness.operate import ports, schedule
from matomo_harness.operate.compose import LOOPBACK, SERVICE_LABEL
from matomo_harness.operate.stack import Stack
from matomo_harness.runtime import reaper
from matomo_harness.runtime.certificates import loopback_tls
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.reaper import PARENT_VARIABLE
from matomo_harness.settings import OWNER_LABEL, PERIODS, ROOT, RunSettings, project_name
from tests import programs
from tests.programs import Answer

BEGAN: Final = time.time()
FAR: Final = max(range(PERIODS.stop // 2, PERIODS.stop), key=lambda each: each - BEGAN % each)
"""The period that is the longest from being full: nearly a day, whatever the hour is."""


@dataclass(frozen=True)
class Checkout:
    """A copy of this checkout, and so a local stack of its own.

    Args:
        root: its directory.
        settings: images and ports.
        seconds: that a command may take.
        program: how Python starts the harness; another way has something happen in it.
    """

    root: Path
    settings: RunSettings
    seconds: float = 240
    program: tuple[str, ...] = ("-m", "matomo_harness")

    def environment(self, **changes: str) -> dict[str, str]:
        """Return the environment that leads a command to this copy."""
        own = {
            "PYTHONPATH": str(self.root / "harness"),
            "MATOMO_PORT": str(self.settings.port),
            "MATOMO_HTTP_PORT": str(self.settings.http_port),
            "MATOMO_BASE": self.settings.matomo_base,
            "MATOMO_VERSION": self.settings.matomo_version,
            "IMAGE": self.settings.image or "",
            # One of the full hour, or of midnight, would archive beside the one of a test.
            "ARCHIVE_SECONDS": str(FAR),
            # A person's stack stays when its command has ended; this one goes with its test.
            PARENT_VARIABLE: os.environ.get(PARENT_VARIABLE) or reaper.this_process().as_parent,
        }
        return {**os.environ, **own, **changes}

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of the harness with `arguments`."""
        return [sys.executable, *self.program, *arguments]

    def harness(self, *arguments: str, prefix: tuple[str, ...] = (), **changes: str) -> Answer:
        """Run the harness to its end."""
        environment = self.environment(**changes)
        if not prefix and self.program == Checkout.program:
            return programs.run(arguments, self.root, environment, self.seconds)
        ended = subprocess.run(
            [*prefix, *self.command(*arguments)],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=self.seconds,
            check=False,
        )
        return Answer(ended.returncode, ended.stdout + ended.stderr)

    @property
    def web(self) -> Web:
        """A new session with this copy's Matomo over TLS."""
        authority = self.root / ".local/tls/authority.pem"
        return Web(f"https://localhost:{self.settings.port}", authority=authority)

    def secret(self, name: str) -> str:
        """Return a value of .local/stack.env."""
        text = (self.root / ".local/stack.env").read_text()
        return dict(line.split("=", 1) for line in text.splitlines())[name]

    @property
    def database(self) -> Database:
        """The schema of this copy's stack."""
        labels = [f"{OWNER_LABEL}={project_name(self.root)}", f"{SERVICE_LABEL}=db"]
        (container,) = engine().containers.list(filters={"label": labels})
        published = container.ports["3306/tcp"] or []
        port = int(published[0]["HostPort"])
        password = self.secret("DATABASE_PASSWORD")
        return Database(LOOPBACK, port, "matomo", password, "matomo", tls=loopback_tls())

    @property
    def containers(self) -> list[str]:
        """Names of this copy's containers."""
        label = f"{OWNER_LABEL}={project_name(self.root)}"
        containers = engine().containers.list(all=True, filters={"label": label})
        return [str(container.name) for container in containers]


@contextmanager
def copied(directory: Path, settings: RunSettings | None = None) -> Iterator[Checkout]:
    """Copy this checkout into `directory`; at the end, remove what its stack made.

    Args:
        directory: an empty one.
        settings: images and Matomo's version; by default those of the environment.
    """
    root = directory / "checkout"
    left_out = shutil.ignore_patterns(".git", ".venv", ".local", "reports", ".*_cache")
    shutil.copytree(ROOT, root, ignore=left_out)
    # Nobody is given them until it is gone: another worker or clone may start a stack meanwhile.
    holder = directory / "ports"
    holder.mkdir()
    port, http_port = ports.keep(Stack(holder))
    settings = dataclasses.replace(
        settings or RunSettings.from_environment(), port=port, http_port=http_port
    )
    try:
        yield Checkout(root, settings)
    finally:
        holder.rmdir()
        programs.end(str(root / "harness"))
        own = f"{OWNER_LABEL}={project_name(root)}"
        reaper.remove_containers(engine(), own)
        schedule.wait_for_end(root)
        reaper.remove_labelled(engine(), own)
