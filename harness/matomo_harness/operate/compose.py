"""The local stack's containers: those of this checkout's Compose project alone."""

import os
from collections.abc import Mapping
from typing import Any, Final

from docker.errors import APIError
from docker.models.containers import Container

from matomo_harness import process
from matomo_harness.errors import UnsupportedEnvironmentError, WrongInputError
from matomo_harness.policy import deployment
from matomo_harness.runtime import description
from matomo_harness.runtime.engine import engine
from matomo_harness.settings import COMPOSE_FILE, OWNER_LABEL, project_name

FILE: Final = COMPOSE_FILE
LOOPBACK: Final = "127.0.0.1"
SERVICE_LABEL: Final = "com.docker.compose.service"


def up(variables: Mapping[str, str]) -> None:
    """Start what does not run, and start anew what differs from what `variables` say.

    Raises:
        UnsupportedEnvironmentError: Compose failed; `seen` has the last lines that it printed.
    """
    arguments = ["--progress", "plain", "up", "--detach", "--remove-orphans"]
    process.run([*command(), *arguments], environment={**os.environ, **variables})


def command() -> list[str]:
    """Return the command line of Compose for this stack."""
    return ["docker", "compose", "--file", str(FILE), "--project-name", project_name()]


def plain_environment() -> dict[str, str]:
    """Return the environment for a command of Compose that starts nothing."""
    named = dict.fromkeys(description.variables(FILE), "0")
    return {**named, **deployment.read().variables, **os.environ}


def of_this_project() -> dict[str, Any]:
    """Return the engine's filter for what belongs to this stack."""
    return {"label": f"{OWNER_LABEL}={project_name()}"}


def containers() -> list[Container]:
    """Return all containers of this stack, even those that have ended."""
    return list(engine().containers.list(all=True, filters=of_this_project(), ignore_removed=True))


def volumes() -> list[str]:
    """Return the names of this stack's volumes."""
    return [str(volume.name) for volume in engine().volumes.list(filters=of_this_project())]


def container(service: str) -> Container:
    """Return the container of `service`.

    Raises:
        WrongInputError: there is none.
    """
    for found in containers():
        if found.labels.get(SERVICE_LABEL) == service:
            return found
    raise WrongInputError(
        expected="the local stack to be up",
        seen=f"no container of {service}",
        next_command="make up",
    )


def running(service: str) -> Container:
    """Return the running container of `service`.

    Raises:
        WrongInputError: it does not run.
    """
    found = container(service)
    if found.status != "running":
        raise WrongInputError(
            expected="the local stack to be up",
            seen=f"{found.name} is {found.status}",
            next_command="make up",
        )
    return found


def port(service: str, inside: int) -> int:
    """Return the port on 127.0.0.1 that leads to `inside` of `service`.

    Raises:
        UnsupportedEnvironmentError: there is none.
    """
    try:
        bindings = engine().api.port(str(container(service).id), inside)
        return int(bindings[0]["HostPort"])
    except (APIError, TypeError, IndexError) as error:
        raise UnsupportedEnvironmentError(
            expected=f"the local stack's {service} to be published on loopback",
            seen="no port",
            next_command="make up",
        ) from error
