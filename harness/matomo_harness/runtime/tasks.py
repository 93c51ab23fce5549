"""Tasks as the container engine sees them: what a container was started from."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from docker.errors import NotFound
from docker.models.containers import Container

from matomo_harness.runtime.engine import engine

MOUNTED: Final = ("Source", "Name", "Destination")


@dataclass(frozen=True)
class Task:
    """What a container was started from.

    Args:
        image: its id.
        environment: its variables.
        mounts: source or volume and destination of each.
    """

    image: str
    environment: Mapping[str, str] = field(repr=False)
    mounts: frozenset[tuple[str, ...]]

    def differences(self, other: "Task") -> list[str]:
        """Return what is other in `other`, by name; never a variable's value."""
        names = self.environment.keys() | other.environment.keys()
        variables = sorted(
            it for it in names if self.environment.get(it) != other.environment.get(it)
        )
        return [
            *(
                [f"image {other.image[:19]} for {self.image[:19]}"]
                if other.image != self.image
                else []
            ),
            *(f"variable {it}" for it in variables),
            *(f"mount {it[-1]}" for it in sorted(self.mounts ^ other.mounts)),
        ]


def task(container: Container) -> Task:
    """Return what `container` was started from."""
    attributes: Mapping[str, Any] = container.attrs
    pairs = (it.partition("=") for it in attributes["Config"]["Env"] or [])
    return Task(
        attributes["Image"],
        {name: value for name, _, value in pairs},
        frozenset(tuple(str(it.get(key, "")) for key in MOUNTED) for it in attributes["Mounts"]),
    )


@contextmanager
def started_in(network: str) -> Iterator[list[Task]]:
    """Collect what is started in a network while the context lasts; complete at its end.

    Args:
        network: its name.
    """
    found: list[Task] = []
    events = engine().events(decode=True, filters={"type": "container", "event": "start"})

    def collect() -> None:
        for event in events:
            with suppress(NotFound):  # it has ended and was removed
                container = engine().containers.get(event["id"])
                if network in container.attrs["NetworkSettings"]["Networks"]:
                    found.append(task(container))

    collecting = threading.Thread(target=collect, daemon=True)
    collecting.start()
    try:
        yield found
    finally:
        events.close()
        collecting.join()
