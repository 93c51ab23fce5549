"""The queue in which a plugin may keep hits until a job stores them."""

from typing import Final

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.gate.core.once import once
from matomo_harness.gate.core.target import Permissions
from matomo_harness.matomo import ini
from matomo_harness.matomo.container import MatomoContainer

QUEUED_TRACKING: Final = "QueuedTracking"
"""The one queue plugin whose command is known (github.com/matomo-org/plugin-QueuedTracking)."""
PROCESS: Final = ("queuedtracking:process", "--force-num-requests-process-at-once=1")
"""Its command; without the option it leaves what is less than a batch (Commands/Process.php)."""


class Queue:
    """Runs the queue's job, as a schedule would; where there is none, nothing happens.

    It runs only where the instance may be changed: elsewhere it is its own schedule's to run.
    """

    def __init__(self, permissions: Permissions, container: MatomoContainer | None) -> None:
        self._container = container if permissions.may_change else None
        self.error = ""
        """Why QueuedTracking's command failed last; it may be switched off, and its Redis away."""

    @once
    def command(self) -> str:
        """The command that stores what waits, of deployment.toml or known; empty without any."""
        if not self._container:
            return ""
        if declared := self._container.profile.queue:
            return " ".join(declared)
        listed = ini.read(self._container.read(self._container.config)).texts("Plugins", "Plugins")
        return f"php console {' '.join(PROCESS)}" if QUEUED_TRACKING in listed else ""

    def run(self) -> None:
        """Store what waits.

        Raises:
            BrokenPromiseError: the command that deployment.toml declares fails.
        """
        if not self._container or not self.command:
            return
        declared = self._container.profile.queue
        try:
            if declared:
                self._container.run(*declared)
            else:
                self._container.console(*PROCESS)
        except BrokenPromiseError as error:
            self.error = f"`{self.command}`: {' '.join(error.seen.split())}"
            if declared:
                raise BrokenPromiseError(
                    expected="the command of [queue] in deployment.toml to succeed",
                    seen=self.error,
                    next_command="correct it, and run it by hand in the web task's container",
                ) from error
