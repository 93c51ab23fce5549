"""Where the container engine is, and who said so: a variable, a Docker context, or nobody.

The Docker command line, Compose, docker-py and Testcontainers each decide this for themselves, and
not alike: docker-py knows no contexts, and Testcontainers does not know DOCKER_CONTEXT. Here it is
decided once, as the command line decides it (docker/cli, "docker context", DOCKER_HOST first), and
written into DOCKER_HOST, which all four obey.
"""

import hashlib
import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from matomo_harness.errors import UnsupportedEnvironmentError

HOST: Final = "DOCKER_HOST"
CONTEXT: Final = "DOCKER_CONTEXT"
CONFIG: Final = "DOCKER_CONFIG"
DEFAULT: Final = "default"
"""The name of the context that is the platform's own socket."""
LOCAL_SCHEMES: Final = ("unix", "http+unix", "npipe")
LOCAL_NAMES: Final = ("", "localhost")


@dataclass(frozen=True)
class EngineAddress:
    """The engine that a person chose, or the platform's own.

    Args:
        host: `unix:///…`, `tcp://…`; None for the platform's default socket.
        chosen_by: the variable or the context that says so; empty where nothing does.
        undo: the command that takes the choice back; empty where there is none.
    """

    host: str | None = None
    chosen_by: str = ""
    undo: str = ""

    def __str__(self) -> str:
        named = self.host or "the default socket"
        return f"{named} ({self.chosen_by})" if self.chosen_by else named


def chosen(environment: Mapping[str, str] = os.environ) -> EngineAddress:
    """Return which engine is meant, as the Docker command line understands the same environment.

    Raises:
        UnsupportedEnvironmentError: the chosen context does not exist or leads to no engine, or the
            engine is on another machine.
    """
    address = _chosen(environment)
    _require_this_machine(address)
    return address


def _chosen(environment: Mapping[str, str]) -> EngineAddress:
    if host := environment.get(HOST):
        return EngineAddress(host, HOST, f"unset {HOST}")
    directory = Path(environment.get(CONFIG) or Path.home() / ".docker")
    if name := environment.get(CONTEXT):
        by, undo = f"{CONTEXT}={name}", f"unset {CONTEXT}"
    else:
        name = _current_context(directory)
        by, undo = f"the Docker context {name}", f"docker context use {DEFAULT}"
    if name == DEFAULT:
        return EngineAddress()
    host = _host_of_context(directory, name)
    if not host:
        raise UnsupportedEnvironmentError(
            expected=f"{by} to lead to a container engine",
            seen=f"no such context, or one without an engine, in {directory}",
            next_command=f"{undo}   (or see: docker context ls)",
        )
    return EngineAddress(host, by, undo)


def _current_context(directory: Path) -> str:
    try:
        return str(json.loads((directory / "config.json").read_text())["currentContext"])
    except (OSError, ValueError, KeyError, TypeError):  # as the command line: then it is no choice
        return DEFAULT


def _host_of_context(directory: Path, name: str) -> str:
    """Return the address in a context's file (docker/cli, `cli/context/store`), else ""."""
    folder = hashlib.sha256(name.encode()).hexdigest()
    try:
        described = json.loads((directory / "contexts/meta" / folder / "meta.json").read_text())
        return str(described["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _require_this_machine(address: EngineAddress) -> None:
    """Refuse an engine on another machine.

    Ports are published on its loopback, which cannot be reached from here; and files of this
    machine that containers mount by their path (the authority, certificates) are not there.
    """
    parts = urlsplit(address.host or "unix:///")
    if parts.scheme in LOCAL_SCHEMES:
        return
    if parts.scheme in ("tcp", "http", "https") and _is_loopback(parts.hostname or ""):
        return
    raise UnsupportedEnvironmentError(
        expected="a container engine on this machine: its ports are published on its own loopback,"
        " and what is mounted must be there",
        seen=f"an engine elsewhere, {address}",
        next_command=f"{address.undo}   (or run the harness on the machine of the engine)",
    )


def _is_loopback(name: str) -> bool:
    if name in LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
