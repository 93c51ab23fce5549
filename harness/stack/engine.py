"""The container engine: reaching it, and saying plainly why it cannot be reached."""

import functools
from typing import Final

import docker
import requests
from docker.errors import DockerException
from testcontainers.core.docker_client import get_docker_host

from harness.errors import MachineCannotError

PING_SECONDS: Final = 10


class EngineSilentError(MachineCannotError):
    """No engine answers at the address; it may not be installed or not be running."""


def connect(address: str | None = None) -> docker.DockerClient:
    """Return a client of the engine that answers.

    Args:
        address: DOCKER_HOST by default, else the current Docker context's, else the platform's.

    Raises:
        EngineSilentError: nothing answers.
        MachineCannotError: an engine is there and this user may not talk to it.
    """
    host = address or get_docker_host()
    try:
        client = docker.DockerClient(base_url=host, timeout=PING_SECONDS)
        client.ping()
    except (DockerException, requests.RequestException, OSError) as error:
        raise _unreachable(host or "the default socket", error) from error
    # Builds and commits are silent for minutes; the short limit was for the first answer only.
    client.api.timeout = 600
    return client


@functools.cache
def engine() -> docker.DockerClient:
    """Return this process's one client (see `connect`)."""
    return connect()


def _unreachable(host: str, error: Exception) -> MachineCannotError:
    if "Permission denied" in str(error) or "PermissionError" in str(error):
        return MachineCannotError(
            expected=f"to be allowed to talk to the container engine at {host}",
            seen="permission denied on its socket",
            next_command='sudo usermod -aG docker "$USER" && newgrp docker',
        )
    return EngineSilentError(
        expected=f"a container engine to answer at {host}",
        seen="no answer",
        next_command="start Docker (Docker Desktop, or: sudo systemctl start docker)",
    )
