"""The local stack: up, down, clean, and what a person needs while it runs."""

import os
import secrets
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from docker.errors import APIError
from docker.models.containers import Container

from harness import process
from harness.errors import MachineCannotError, WrongInputError
from harness.matomo import twofactor
from harness.matomo.database import Database
from harness.matomo.install import FirstSite, Superuser
from harness.matomo.web import Web
from harness.progress import step
from harness.settings import OWNER_LABEL, ROOT, Settings, project_name
from harness.stack import images, reaper
from harness.stack.engine import engine
from harness.stack.installation import ensure_installed, ensure_second_factor
from harness.stack.shell import MatomoShell, wait_for_web

COMPOSE_FILE: Final = ROOT / "compose" / "compose.yml"
SECRETS_FILE: Final = ROOT / ".local" / "stack.env"
SUPERUSER: Final = "admin"
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True)
class Secrets:
    """What the local stack's parts know of each other; made once, kept beside the volumes.

    Args:
        database_password: of Matomo's database user.
        salt: MATOMO_GENERAL_SALT: tokens and sessions hang on it.
        superuser_password: of the account `admin`.
    """

    database_password: str = field(repr=False)
    salt: str = field(repr=False)
    superuser_password: str = field(repr=False)


@dataclass(frozen=True)
class Report:
    """What `up` has to tell.

    Args:
        url: where to go.
        login: whom to log in as.
        matomo_version: of the code that runs.
        image: the image that runs, and where its base came from.
        database_image: likewise.
        installed_now: False where an earlier installation was found.
    """

    url: str
    login: str
    matomo_version: str
    image: str
    database_image: str
    installed_now: bool


def up(settings: Settings) -> Report:
    """Bring up a running, installed Matomo; finish what an interrupted `up` left.

    Raises:
        MachineCannotError: a port is taken, no disk, no base image.
        WrongInputError: image/ or a given image has a mistake.
        BrokenPromiseError: Matomo does not come up healthy.
    """
    image = images.deployed_image(settings)
    database_image = images.mariadb_base(settings)
    kept = _secrets()
    _require_free_port(settings.port)
    with step("Starting the containers"):
        variables = {
            "MATOMO_IMAGE": image.reference,
            "MARIADB_IMAGE": database_image.reference,
            "MATOMO_PORT": str(settings.port),
            "DATABASE_PASSWORD": kept.database_password,
            "SALT": kept.salt,
        }
        _compose(["up", "--detach", "--remove-orphans"], variables)
        # By the name that people use: Matomo trusts the first host that a superuser comes by.
        web = Web(f"http://localhost:{settings.port}")
        wait_for_web(web, _container("matomo"))
    shell, database = MatomoShell(_container("matomo")), _database(kept)
    superuser = Superuser(SUPERUSER, kept.superuser_password)
    with step("Installing Matomo where it is not"):
        installed_now = ensure_installed(shell, web, database, superuser, FirstSite())
        ensure_second_factor(Web(web.url), database, superuser)
    return Report(
        url=f"{web.url}/",
        login=SUPERUSER,
        matomo_version=shell.console("core:version").strip(),
        image=str(image),
        database_image=str(database_image),
        installed_now=installed_now,
    )


def down() -> None:
    """Stop and remove the stack's containers and network; its volumes and secrets are kept."""
    with step("Stopping the local stack"):
        for container in _containers():
            container.stop(timeout=10)
            container.remove(v=True)
        for network in engine().networks.list(filters=_of_this_project()):
            network.remove()


def clean() -> list[str]:
    """Remove all that the harness made on this machine, of any checkout; return what it was."""
    client = engine()
    with step("Removing what the harness made"):
        removed = reaper.remove_labelled(client, OWNER_LABEL)
        for image in client.images.list(filters={"label": OWNER_LABEL}):
            # An image that somebody built on one of ours carries our label, not our name. One
            # without a name is what a build that failed left.
            for name in filter(_is_ours, image.tags) if image.tags else [str(image.id)]:
                removed.append(f"image {name}")
                client.images.remove(name)
        SECRETS_FILE.unlink(missing_ok=True)
        for kept in reaper.RUNS.glob("*.kept"):
            reaper.sweep(reaper.Run(kept.stem).let_go())
    return removed


def clean_run(run_id: str) -> list[str]:
    """Remove what was kept of a run; return what it was.

    Raises:
        WrongInputError: nothing of such a run is kept.
    """
    run = reaper.Run(run_id)
    if not run.kept.exists():
        kept = ", ".join(sorted(it.stem for it in reaper.RUNS.glob("*.kept")))
        raise WrongInputError(
            expected="a run of which something was kept (--matomo-keep)",
            seen=f"{run_id}; there is {kept or 'none'}",
            next_command="harness clean   (removes everything that the harness made)",
        )
    return reaper.sweep(run.let_go())


def console(arguments: list[str]) -> int:
    """Run Matomo's console in the local stack, on this terminal; return its exit code."""
    name = str(_running("matomo").name)
    terminal = ["--tty", "--interactive"] if os.isatty(0) and os.isatty(1) else []
    command = ["docker", "exec", *terminal, "--user", "www-data", name, "php", "console"]
    return subprocess.call([*command, *arguments])


def logs() -> int:
    """Follow the local stack's logs on this terminal; return the exit code."""
    _running("matomo")
    return subprocess.call([*_compose_command(), "logs", "--follow", "--tail", "100"], env=_plain())


def totp() -> tuple[str, int]:
    """Return the superuser's current 2FA code and the seconds that it still lives.

    Raises:
        WrongInputError: the local stack is not up, or the superuser has no second factor.
    """
    _running("db")
    secret = _database(_secrets()).second_factor_secret(SUPERUSER)
    if not secret:
        raise WrongInputError(
            expected=f"a second factor of {SUPERUSER}",
            seen="none is enrolled",
            next_command="make up   (enrols one)",
        )
    return twofactor.code(secret), twofactor.seconds_left()


# -- pieces ---------------------------------------------------------------------------------------


def _secrets() -> Secrets:
    """Read the secrets, or make them on the first call; the file appears whole or not at all.

    Raises:
        WrongInputError: the file is gone, and data that only it opens is still there.
    """
    if not SECRETS_FILE.exists():
        _require_no_data()
        SECRETS_FILE.parent.mkdir(mode=0o700, exist_ok=True)
        made = SECRETS_FILE.with_suffix(".new")
        made.unlink(missing_ok=True)
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"DATABASE_PASSWORD={secrets.token_urlsafe(18)}\n")
            file.write(f"SALT={secrets.token_hex(16)}\n")
            file.write(f"SUPERUSER_PASSWORD={secrets.token_urlsafe(12)}\n")
        made.rename(SECRETS_FILE)
    lines = dict(line.split("=", 1) for line in SECRETS_FILE.read_text().splitlines())
    return Secrets(lines["DATABASE_PASSWORD"], lines["SALT"], lines["SUPERUSER_PASSWORD"])


def _require_no_data() -> None:
    volumes = engine().volumes.list(filters=_of_this_project())
    if volumes:
        raise WrongInputError(
            expected=f"{SECRETS_FILE}, which holds the password of the stack's data",
            seen=f"no such file, and the volume {volumes[0].name}",
            next_command="put the file back, or give the data up: make clean",
        )


def _require_free_port(port: int) -> None:
    if any(port in _published_ports(container) for container in _containers()):
        return
    with socket.socket() as probe:
        # As the engine binds: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise _port_taken(port) from error


def _port_taken(port: int) -> MachineCannotError:
    return MachineCannotError(
        expected=f"port {port} on {LOOPBACK} to be free for the local stack",
        seen="another program listens there",
        next_command=f"MATOMO_PORT={port + 1} make up",
    )


def _published_ports(container: Container) -> set[int]:
    bindings = container.attrs["HostConfig"].get("PortBindings") or {}
    return {
        int(binding["HostPort"])
        for choices in bindings.values()
        for binding in choices or []
        if binding["HostPort"].isdecimal() and container.status == "running"
    }


def _compose(arguments: list[str], variables: Mapping[str, str]) -> None:
    try:
        process.run(
            [*_compose_command(), "--progress", "plain", *arguments],
            environment={**_plain(), **variables},
        )
    except MachineCannotError as error:
        if "port is already allocated" in error.seen or "address already in use" in error.seen:
            raise _port_taken(int(variables["MATOMO_PORT"])) from error
        raise MachineCannotError(
            expected="docker compose to start the local stack",
            seen=error.seen,
            next_command="make logs",
        ) from error


def _compose_command() -> list[str]:
    return ["docker", "compose", "--file", str(COMPOSE_FILE), "--project-name", project_name()]


def _plain() -> dict[str, str]:
    """Return the environment with a value for each variable that compose.yml would warn of."""
    absent = ("MATOMO_IMAGE", "MARIADB_IMAGE", "DATABASE_PASSWORD", "SALT")
    return {**dict.fromkeys(absent, "none"), "MATOMO_PORT": "0", **os.environ}


def _of_this_project() -> dict[str, Any]:
    return {"label": f"{OWNER_LABEL}={project_name()}"}


def _containers() -> list[Container]:
    return list(engine().containers.list(all=True, filters=_of_this_project()))


def _container(service: str) -> Container:
    for container in _containers():
        if container.labels.get("com.docker.compose.service") == service:
            return container
    raise WrongInputError(
        expected="the local stack to be up",
        seen=f"no container of {service}",
        next_command="make up",
    )


def _running(service: str) -> Container:
    container = _container(service)
    if container.status != "running":
        raise WrongInputError(
            expected="the local stack to be up",
            seen=f"{container.name} is {container.status}",
            next_command="make up",
        )
    return container


def _database(kept: Secrets) -> Database:
    try:
        bindings = engine().api.port(str(_container("db").id), 3306)
        port = int(bindings[0]["HostPort"])
    except (APIError, TypeError, IndexError) as error:
        raise MachineCannotError(
            expected="the local stack's database to be published on loopback",
            seen="no port",
            next_command="make up",
        ) from error
    return Database(LOOPBACK, port, "matomo", kept.database_password, "matomo")


def _is_ours(tag: str) -> bool:
    return tag.startswith(f"{images.REPOSITORY}/") or tag == "matomo:latest"
