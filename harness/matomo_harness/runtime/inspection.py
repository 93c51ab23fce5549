"""What the engine says of a container, an image, a network or a volume.

The one place that reads an inspection. An engine leaves out what is empty, or says null: Docker 29
omits Config.Cmd, Entrypoint, Env, Labels, User, Volumes and WorkingDir of an image where the image
has none (API 1.52), Docker 20.10 says null, and Podman an empty list. Here all of them are None or
empty, and the caller says what it takes instead: `inspected(image, "Config", "Env") or []`.
"""

from collections.abc import Mapping
from typing import Any

from docker.models.resource import Model


def inspected(found: Model, *path: str) -> Any:
    """Return what the engine's last answer about `found` has at `path`; None where it is left out.

    Args:
        found: an object of the engine; `reload` it first where it may have changed.
        path: names of fields, from the outermost on.
    """
    value: Any = found.attrs
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def environment(found: Model) -> dict[str, str]:
    """Return the variables that a container was started with, or that an image sets."""
    pairs = (line.partition("=") for line in inspected(found, "Config", "Env") or [])
    return {name: value for name, _, value in pairs}


def networks(found: Model) -> dict[str, Any]:
    """Return the networks that a container is in, by name, each with its endpoint."""
    return dict(inspected(found, "NetworkSettings", "Networks") or {})
