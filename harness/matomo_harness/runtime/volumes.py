"""Volumes of the engine: made, copied and removed."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Final

from docker.errors import APIError, NotFound

from matomo_harness.errors import HarnessError, UnsupportedEnvironmentError
from matomo_harness.runtime import images
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.inspection import inspected
from matomo_harness.runtime.reaper import parent
from matomo_harness.settings import OWNER_LABEL

COPY: Final = """
set -eu
needed=$(du -sk /from | cut -f 1)
free=$(df --output=avail -k "/to/$1" | tail -n 1 | tr -d ' ')
if [ "$free" -lt "$needed" ]; then
    echo "HARNESS_NO_ROOM $needed KiB are to be copied, and $free KiB are free"
    exit 1
fi
for part; do
    cp --archive --reflink=auto "/from/$part/." "/to/$part/"
done
sync --file-system "/to/$1"
for part; do
    echo "HARNESS_BYTES $part $(du -s --block-size=1 "/to/$part" | cut -f 1)"
done
"""
"""Copies volumes with owners, modes and times, and waits until the disk has them: whoever removes
the original afterwards may lose the power. It ends before it begins where there is no room for it,
because a full disk harms everything on the machine."""


def create(name: str, labels: Mapping[str, str]) -> None:
    """Make an empty volume that carries the harness's label.

    Args:
        name: its name.
        labels: with that of its owner.
    """
    engine().volumes.create(name, labels={**parent(), **labels})


def exists(name: str) -> bool:
    """Whether there is a volume of this name."""
    with contextlib.suppress(NotFound):
        engine().volumes.get(name)
        return True
    return False


def remove(name: str) -> bool:
    """Remove a volume of the harness, unless it is gone; return whether it was there.

    Raises:
        UnsupportedEnvironmentError: a container uses it.
    """
    try:
        volume = engine().volumes.get(name)
        if OWNER_LABEL in (inspected(volume, "Labels") or {}):
            volume.remove()
            return True
    except NotFound:
        pass
    except APIError as error:
        raise UnsupportedEnvironmentError(
            expected=f"nothing to use the volume {name}, which is to be removed",
            seen=error.explanation or str(error),
            next_command=f"docker ps -a --filter volume={name}",
        ) from error
    return False


def copy(image: str, sources: Mapping[str, str], targets: Mapping[str, str]) -> dict[str, int]:
    """Copy volumes into others in a container without a network; return the bytes of each part.

    Args:
        image: one with GNU's cp.
        sources: names of volumes by part.
        targets: names of empty volumes by the same parts.

    Raises:
        UnsupportedEnvironmentError: there is no room, or the copy failed.
    """
    parts: Sequence[str] = tuple(sources)
    mounted = {
        **{sources[part]: {"bind": f"/from/{part}", "mode": "ro"} for part in parts},
        **{targets[part]: {"bind": f"/to/{part}", "mode": "rw"} for part in parts},
    }
    try:
        said = images.run_once(image, ["sh", "-c", COPY, "sh", *parts], user="0:0", volumes=mounted)
    except HarnessError as error:
        raise UnsupportedEnvironmentError(
            expected="room on the engine's disk for a copy of the volumes, and the copy to succeed",
            seen=error.seen.rpartition("HARNESS_NO_ROOM ")[2],
            next_command="docker system df   (then remove snapshots, or free some disk)",
        ) from error
    lines = [line.split() for line in said.splitlines() if line.startswith("HARNESS_BYTES ")]
    return {part: int(size) for _, part, size in lines}
