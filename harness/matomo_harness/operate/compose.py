"""A stack's containers: those of its own Compose project alone."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from docker.errors import APIError
from docker.models.containers import Container

from matomo_harness import process
from matomo_harness.errors import UnsupportedEnvironmentError, WrongInputError
from matomo_harness.operate.stack import LOCAL, Stack
from matomo_harness.policy import deployment
from matomo_harness.runtime import description, images
from matomo_harness.runtime import volumes as runtime_volumes
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.inspection import inspected
from matomo_harness.settings import COMPOSE_FILE, OWNER_LABEL

FILE: Final = COMPOSE_FILE
RESTORED: Final = COMPOSE_FILE.with_name("restored.yml")
"""What is added to it for a stack of production's data."""
LOOPBACK: Final = "127.0.0.1"
SERVICE_LABEL: Final = "com.docker.compose.service"
GENERATION_LABEL: Final = "org.matomo-harness.generation"
"""Says of a container which generation of the volumes it has mounted (StackSecrets.generation)."""


def up(variables: Mapping[str, str], stack: Stack = LOCAL, *services: str) -> None:
    """Start what does not run, and start anew what differs from what `variables` say.

    Args:
        variables: those of compose.yml.
        stack: which one.
        services: only these and what they depend on; all by default.

    Raises:
        UnsupportedEnvironmentError: Compose failed; `seen` has the last lines that it printed.
    """
    # A web root on a volume of its own would stay that of the image before.
    options = ["--detach", "--remove-orphans", "--renew-anon-volumes"]
    images.let_everybody_read(FILE.parent)
    arguments = ["--progress", "plain", "up", *options, *services]
    process.run([*command(stack), *arguments], environment={**os.environ, **variables})


def bind_for_a_moment(port: int) -> None:
    """Bind `port` of this machine's loopback as the engine would, and give it back.

    Raises:
        OSError: another program has it.
    """
    with socket.socket() as probe:
        # As the engine binds: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((LOOPBACK, port))


def published_ports(container: Container) -> set[int]:
    """Return the ports of this machine that a container has, or will have once it runs again."""
    bindings = inspected(container, "HostConfig", "PortBindings") or {}
    return {
        int(binding["HostPort"])
        for choices in bindings.values()
        for binding in choices or []
        if str(binding.get("HostPort", "")).isdecimal()
    }


def command(stack: Stack = LOCAL) -> list[str]:
    """Return the command line of Compose for `stack`."""
    of_the_image = file_of_the_image(stack)
    files = [
        FILE,
        *([of_the_image] if of_the_image.exists() else []),
        *([RESTORED] if stack.is_of_production else []),
    ]
    named = [word for file in files for word in ("--file", str(file))]
    return ["docker", "compose", *named, "--project-name", stack.project]


def file_of_the_image(stack: Stack) -> Path:
    """Return the file with what is added for another image than the reference (stack_image.py)."""
    return stack.directory / "image.yml"


def plain_environment() -> dict[str, str]:
    """Return the environment for a command of Compose that starts nothing."""
    named = dict.fromkeys(description.variables(FILE), "0")
    return {**named, **deployment.read().variables, **os.environ}


def of_project(stack: Stack = LOCAL) -> dict[str, Any]:
    """Return the engine's filter for what belongs to `stack`."""
    return {"label": f"{OWNER_LABEL}={stack.project}"}


def containers(stack: Stack = LOCAL) -> list[Container]:
    """Return all containers of `stack`, even those that have ended."""
    own = of_project(stack)
    return list(engine().containers.list(all=True, filters=own, ignore_removed=True))


def volumes(stack: Stack = LOCAL) -> list[str]:
    """Return the names of the volumes of `stack`."""
    return [str(volume.name) for volume in engine().volumes.list(filters=of_project(stack))]


def volume(part: str, stack: Stack, generation: str) -> str:
    """Return the name of a volume of `stack`, as compose.yml has it.

    Args:
        part: its key in compose.yml.
        stack: which one.
        generation: of the volumes (StackSecrets.generation).
    """
    return f"{stack.project}_{part}{generation}"


def make_volume(part: str, stack: Stack, generation: str) -> str:
    """Make an empty volume of `stack`, with the labels that Compose gives its own; return its name.

    Args:
        part: its key in compose.yml.
        stack: which one.
        generation: of the volumes (StackSecrets.generation).
    """
    name = volume(part, stack, generation)
    of_compose = {"com.docker.compose.project": stack.project, "com.docker.compose.volume": part}
    runtime_volumes.create(name, {OWNER_LABEL: stack.project, **of_compose})
    return name


def parts() -> tuple[str, ...]:
    """Return the keys of all volumes in compose.yml."""
    services = description.read({}).services.values()
    return tuple(sorted({part for service in services for part in service.volumes.values()}))


def container(service: str, stack: Stack = LOCAL) -> Container:
    """Return the container of `service`.

    Raises:
        WrongInputError: there is none.
    """
    for found in containers(stack):
        if found.labels.get(SERVICE_LABEL) == service:
            return found
    raise WrongInputError(
        expected=f"{stack.title} to be up",
        seen=f"no container of {service}",
        next_command=stack.begin,
    )


def running(service: str, stack: Stack = LOCAL) -> Container:
    """Return the running container of `service`.

    Raises:
        WrongInputError: it does not run.
    """
    found = container(service, stack)
    if found.status != "running":
        raise WrongInputError(
            expected=f"{stack.title} to be up",
            seen=f"{found.name} is {found.status}",
            next_command=stack.begin,
        )
    return found


def port(service: str, inside: int, stack: Stack = LOCAL) -> int:
    """Return the port on 127.0.0.1 that leads to `inside` of `service`.

    Raises:
        UnsupportedEnvironmentError: there is none.
    """
    try:
        bindings = engine().api.port(str(container(service, stack).id), inside)
        return int(bindings[0]["HostPort"])
    except (APIError, TypeError, IndexError) as error:
        raise UnsupportedEnvironmentError(
            expected=f"{service} of {stack.title} to be published on loopback",
            seen="no port",
            next_command=stack.begin,
        ) from error
