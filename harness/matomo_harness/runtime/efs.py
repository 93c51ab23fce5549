"""The file system that outlives the tasks: volumes that act as EFS behind an access point."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from docker.types import Mount

from matomo_harness.errors import UnsupportedEnvironmentError
from matomo_harness.matomo.container import WEB_ROOT
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.reaper import Run, this_process

EFS_DIRECTORIES: Final = {
    **{part: f"{WEB_ROOT}/{part}" for part in ("config", "misc", "js")},
    "backup": "/mnt/efs",
}
"""The path of each mount; the rest of the web root ends with the task."""
FOREIGN_UID: Final = 1000
"""The access point's POSIX user, which no image knows."""


@dataclass
class Efs:
    """Empty volumes that belong to a foreign uid; they are removed at the end of the context.

    An access point lets every client act as its own POSIX user: any client may write, and that user
    owns every file. Here any client may write because of the directories' mode.

    Args:
        image: an image with a shell and chown, to prepare the volumes with.
        mode: mode of each directory; 0755 for an access point that maps no user.
        uid: owner of each directory.
        run: the run that owns the volumes; this process's own by default.
    """

    image: str
    mode: str = "0777"
    uid: int = FOREIGN_UID
    run: Run | None = None
    volumes: dict[str, str] = field(default_factory=dict, init=False)

    def __enter__(self) -> Self:
        """Make the volumes."""
        labels = (self.run or this_process()).labels
        for place in EFS_DIRECTORIES:
            self.volumes[place] = str(engine().volumes.create(labels=labels).name)
        self.shell(f"chown {self.uid}:{self.uid} * && chmod {self.mode} *")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the volumes."""
        for name in self.volumes.values():
            engine().volumes.get(name).remove(force=True)

    def mounts(self, places: Mapping[str, str] = EFS_DIRECTORIES) -> list[Mount]:
        """Return a task's mounts, without the copy of the image's files that a new volume gets."""
        return [
            Mount(path, self.volumes[place], type="volume", no_copy=True)
            for place, path in places.items()
        ]

    def shell(self, script: str) -> str:
        """Run `script` as root in the folder of config, misc, js and backup; return its output.

        Raises:
            UnsupportedEnvironmentError: it exits non-zero.
        """
        container = engine().containers.create(
            self.image,
            ["-c", script],
            entrypoint=["sh"],
            working_dir="/efs",
            mounts=self.mounts({place: f"/efs/{place}" for place in EFS_DIRECTORIES}),
            network_mode="none",
            labels=(self.run or this_process()).labels,
        )
        try:
            container.start()
            code = container.wait()["StatusCode"]
            output = container.logs().decode(errors="replace")
        finally:
            # The image's own volume on its web root goes too: it has no label to find it by.
            container.remove(force=True, v=True)
        if code != 0:
            raise UnsupportedEnvironmentError(
                expected=f"`{script}` to succeed on the file system",
                seen=output.strip(),
                next_command="docker volume ls",
            )
        return output
