"""Tasks as the container engine sees them: image, environment and mounts of a container."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from docker.errors import NotFound
from docker.models.containers import Container

from matomo_harness.gate.core.target import Task
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.inspection import environment, inspected, networks

MOUNTED: Final = ("Source", "Name", "Destination")
NOBODY_NAMED: Final = re.compile(r"[0-9a-f]{64}")
"""Name of a volume that the engine makes for a VOLUME line, anew for each container."""


def task(container: Container) -> Task:
    """Return the image, environment and mounts that `container` was started from."""
    return Task(
        str(inspected(container, "Image")),
        environment(container),
        frozenset(
            tuple(str(mount.get(key, "")) for key in MOUNTED)
            for mount in inspected(container, "Mounts") or []
            if not NOBODY_NAMED.fullmatch(str(mount.get("Name", "")))
        ),
    )


@contextmanager
def started_in(network: str) -> Iterator[list[Task]]:
    """Collect the tasks that start in a network during the context; complete at its end.

    Args:
        network: the network's name.
    """
    found: list[Task] = []
    events = engine().events(decode=True, filters={"type": "container", "event": "start"})

    def collect() -> None:
        for event in events:
            with suppress(NotFound):  # it has ended already, and was removed
                container = engine().containers.get(event["id"])
                if network in networks(container):
                    found.append(task(container))

    collecting = threading.Thread(target=collect, daemon=True)
    collecting.start()
    try:
        yield found
    finally:
        events.close()
        collecting.join()
