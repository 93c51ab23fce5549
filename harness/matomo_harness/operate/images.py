"""The images that the harness made on this engine, and those that nothing can use any more."""

import contextlib
import re
from dataclasses import dataclass
from typing import Final

from docker.errors import APIError
from docker.models.images import Image as EngineImage
from filelock import Timeout

from matomo_harness.progress import step
from matomo_harness.runtime import reaper
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.golden import GOLDEN_LABEL, MADE_FROM_LABEL, golden_lock, key_of
from matomo_harness.runtime.images import REPOSITORY, listed
from matomo_harness.runtime.inspection import inspected
from matomo_harness.settings import OWNER_LABEL, ROOT

MIB: Final = 2**20
DISTRIBUTED: Final = re.compile(r"matomo:(latest|[0-9a-f]{12})")
"""What `dist` calls an image, besides its name in a registry, which may be somebody's."""
OF_OTHER_CODE: Final = "stale: the code that installs has changed"


@dataclass(frozen=True)
class HarnessImage:
    """An image that the harness made.

    Args:
        name: its name with the tag; its id where it has no name.
        mebibytes: its size, with the layers that it shares with others.
        made: when it was made, UTC.
        state: `in use` (by a container), `ready`, or `stale` and why.
    """

    name: str
    mebibytes: int
    made: str
    state: str


def held() -> list[HarnessImage]:
    """Return all images that the harness made, by name."""
    containers = engine().containers.list(all=True, sparse=True)
    used = {str(inspected(container, "ImageID")) for container in containers}
    found = [
        HarnessImage(
            name,
            int(inspected(image, "Size") or 0) // MIB,
            str(inspected(image, "Created") or "")[:16].replace("T", " "),
            "in use" if image.id in used else _stale(image) or "ready",
        )
        for image in listed(OWNER_LABEL)
        for name in image.tags or [str(image.id)]
    ]
    return sorted(found, key=lambda image: image.name)


def prune() -> list[str]:
    """Remove golden images whose ingredients have gone or changed; return their names.

    What a container uses or another process is building stays, and so does what is of other code
    while another checkout's run lives: that code may be this run's own.
    """
    removed = []
    with (
        step("Removing golden images that nothing can use any more"),
        reaper.no_run_begins(),
    ):
        spared = OF_OTHER_CODE if _another_checkout_runs() else ""
        for image in listed(GOLDEN_LABEL):
            # An image has no name yet in the moment between the end of its build and its tag.
            with (
                contextlib.suppress(Timeout),
                golden_lock(image.labels[GOLDEN_LABEL]).acquire(timeout=0),
            ):
                removed += remove(image) if _stale(image) not in ("", spared) else []
    return removed


def _another_checkout_runs() -> bool:
    return any(
        run.lives and (run.origin is None or run.origin.checkout != str(ROOT))
        for run in reaper.runs()
    )


def is_ours(name: str) -> bool:
    """Whether the harness gave the name; somebody's image on top of ours has our label too."""
    return name.startswith(f"{REPOSITORY}/") or bool(DISTRIBUTED.fullmatch(name))


def remove(image: EngineImage) -> list[str]:
    """Remove the harness's names of an image, or an image without a name; return what went."""
    removed = []
    for name in filter(is_ours, image.tags) if image.tags else [str(image.id)]:
        try:
            engine().images.remove(name)
        except APIError as error:
            if error.status_code not in (404, 409):  # gone; a container uses it, or another image
                raise
        else:
            removed.append(name)
    return removed


def _stale(image: EngineImage) -> str:
    """Return why nothing can use a golden image any more; empty where something can."""
    if not (key := image.labels.get(GOLDEN_LABEL)):
        return ""
    if not image.tags:
        return "stale: a build broke off, or another took its name"
    here = {str(image.id) for image in listed()}
    image_id, database_id, *declared = image.labels[MADE_FROM_LABEL].split()
    if not here.issuperset((image_id, database_id)):
        return "stale: what it was made from has gone"
    is_current = key == key_of(image_id, database_id, "".join(declared))
    return "" if is_current else OF_OTHER_CODE
