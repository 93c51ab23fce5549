"""The local stack: up, down, and what a user needs while it runs."""

import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from docker.models.containers import Container

from matomo_harness.errors import UnsupportedEnvironmentError, WrongInputError
from matomo_harness.matomo import twofactor
from matomo_harness.matomo.api import create_token
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.install import FirstSite, Superuser
from matomo_harness.matomo.web import Web
from matomo_harness.operate import adoption, compose, schedule, stack_files
from matomo_harness.operate.compose import LOOPBACK
from matomo_harness.policy import deployment
from matomo_harness.progress import step
from matomo_harness.runtime import description, images
from matomo_harness.runtime.certificates import loopback_tls
from matomo_harness.runtime.containers import wait_for_database
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.inspection import inspected
from matomo_harness.runtime.installation import (
    ensure_installed,
    ensure_second_factor,
    require_tracking,
)
from matomo_harness.runtime.shell import MatomoShell, wait_for_web
from matomo_harness.settings import RunSettings

MAIL_PAGE = 1080
DATABASE = 3306


@dataclass(frozen=True)
class StackSummary:
    """What `up` reports.

    Args:
        url: the address of Matomo.
        login: the user to log in as.
        mail: the page with the mails that Matomo sent.
        matomo_version: the version of the code that runs.
        image: the image that runs, and where its base came from.
        database_image: likewise.
        installed_now: False where an earlier installation was found.
    """

    url: str
    login: str
    mail: str
    matomo_version: str
    image: str
    database_image: str
    installed_now: bool


def up(settings: RunSettings) -> StackSummary:
    """Bring up a running, installed Matomo; finish what an interrupted `up` left.

    A database that holds a Matomo already is taken over with its prefix and its people.

    Raises:
        UnsupportedEnvironmentError: a port is taken, or disk space or a base image is missing.
        WrongInputError: image/ or a given image has a mistake, or the database cannot be taken
            over.
        BrokenPromiseError: Matomo does not come up healthy.
    """
    image = images.deployed_image(settings)
    database_image = images.mariadb_base(settings)
    variables = _variables(settings, image.reference, database_image.reference)
    ports = {"MATOMO_PORT": settings.port, "MATOMO_HTTP_PORT": settings.http_port}
    for variable, port in ports.items():
        _require_free_port(variable, port)
    with step("Starting the containers"):
        _start(variables, ports)
        wait_for_database(_database(), compose.container("db"))
        if adoption.adopt_prefix(_database(), stack_files.read().tables_prefix):
            variables = _variables(settings, image.reference, database_image.reference)
            _start(variables, ports)
        web = _web(settings)
        wait_for_web(web, compose.container("matomo"))
    secrets = stack_files.read()
    shell, database = MatomoShell(compose.container("matomo")), _database()
    superuser = Superuser(secrets.superuser_login, secrets.superuser_password)
    with step("Installing Matomo unless it is installed"):
        installed_now = ensure_installed(shell, web, database, superuser, FirstSite())
        if not installed_now:
            adoption.ensure_superuser(shell, database, superuser)
        require_tracking(shell, web, database)
        ensure_second_factor(_web(settings), database, superuser)
    schedule.begin(settings.archive_seconds)
    return StackSummary(
        url=f"{web.url}/",
        login=superuser.login,
        mail=f"http://{LOOPBACK}:{compose.port('mail', MAIL_PAGE)}/",
        matomo_version=shell.console("core:version").strip(),
        image=str(image),
        database_image=str(database_image),
        installed_now=installed_now,
    )


def down() -> None:
    """Stop and remove the stack's containers and network; its volumes and secrets stay."""
    with step("Stopping the local stack"):
        _remove_containers()
        schedule.wait_for_end()
        _remove_containers()
        for network in engine().networks.list(filters=compose.of_this_project()):
            network.remove()


def _remove_containers() -> None:
    """Stop all of them at once: a web server waits for its load balancer's connections."""

    def remove(container: Container) -> None:
        container.stop(timeout=10)
        container.remove(v=True)

    if containers := compose.containers():
        with ThreadPoolExecutor(len(containers)) as pool:
            list(pool.map(remove, containers))


def console(arguments: list[str]) -> int:
    """Run Matomo's console in the local stack, on this terminal; return its exit code."""
    name = str(compose.running("matomo").name)
    terminal = ["--tty", "--interactive"] if os.isatty(0) and os.isatty(1) else []
    command = ["docker", "exec", *terminal, "--user", "www-data", name, "php", "console"]
    return subprocess.call([*command, *arguments])


def logs() -> int:
    """Follow the local stack's logs on this terminal; return the exit code."""
    compose.running("matomo")
    return subprocess.call(
        [*compose.command(), "logs", "--follow", "--tail", "100"], env=compose.plain_environment()
    )


def totp() -> tuple[str, int]:
    """Return the superuser's current 2FA code and the seconds for which it is still valid.

    Raises:
        WrongInputError: the local stack is not up, or the superuser has no second factor.
    """
    compose.running("db")
    login = stack_files.read().superuser_login
    secret = _database().second_factor_secret(login)
    if not secret:
        raise WrongInputError(
            expected=f"a second factor of {login}",
            seen="none is enrolled",
            next_command="make up   (enrols one)",
        )
    return twofactor.code(secret), twofactor.seconds_left()


def token(settings: RunSettings) -> str:
    """Make an API token of the superuser and return it.

    Raises:
        WrongInputError: the local stack is not up, or the superuser has no second factor.
    """
    compose.running("db")
    secrets = stack_files.read()
    secret = _database().second_factor_secret(secrets.superuser_login)
    account = twofactor.Account(secrets.superuser_login, secrets.superuser_password, secret or "")
    return create_token(_web(settings), account, steps=0).token


# -- pieces ---------------------------------------------------------------------------------------


def _variables(settings: RunSettings, image: str, database_image: str) -> dict[str, str]:
    """Return what compose.yml asks for."""
    secrets = stack_files.read()
    stack_files.make_certificates()
    return {
        "MATOMO_IMAGE": image,
        "MARIADB_IMAGE": database_image,
        **_service_images(),
        "MATOMO_PORT": str(settings.port),
        "MATOMO_HTTP_PORT": str(settings.http_port),
        "DATABASE_PASSWORD": secrets.database_password,
        "SALT": secrets.salt,
        "MAIL_PASSWORD": secrets.mail_password,
        "TABLES_PREFIX": secrets.tables_prefix,
        "TLS_DIRECTORY": str(stack_files.TLS_DIRECTORY),
        **deployment.read().variables,
    }


def _service_images() -> dict[str, str]:
    """Return the images of emulated services: NAME_IMAGE is built from the folder `name`."""
    services = description.read({}).services.values()
    names = [name for service in services if (name := description.emulated(service))]
    return {
        description.image_variable(name): images.service_image(name).reference for name in names
    }


def _web(settings: RunSettings) -> Web:
    # The name that people use: Matomo trusts the first host by which a superuser comes.
    return Web(f"https://localhost:{settings.port}", authority=stack_files.AUTHORITY_FILE)


def _require_free_port(variable: str, port: int) -> None:
    if any(port in _published_ports(container) for container in compose.containers()):
        return
    with socket.socket() as probe:
        # As the engine binds: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise _port_taken(variable, port) from error


def _port_taken(variable: str, port: int) -> UnsupportedEnvironmentError:
    return UnsupportedEnvironmentError(
        expected=f"port {port} on {LOOPBACK} to be free for the local stack",
        seen="another program listens there",
        next_command=f"{variable}={port + 1} make up",
    )


def _published_ports(container: Container) -> set[int]:
    bindings = inspected(container, "HostConfig", "PortBindings") or {}
    return {
        int(binding["HostPort"])
        for choices in bindings.values()
        for binding in choices or []
        if str(binding.get("HostPort", "")).isdecimal() and container.status == "running"
    }


def _start(variables: dict[str, str], ports: dict[str, int]) -> None:
    try:
        compose.up(variables)
    except UnsupportedEnvironmentError as error:
        if "port is already allocated" in error.seen or "address already in use" in error.seen:
            named = [variable for variable, port in ports.items() if str(port) in error.seen]
            variable = named[0] if named else "MATOMO_PORT"
            raise _port_taken(variable, ports[variable]) from error
        raise UnsupportedEnvironmentError(
            expected="docker compose to start the local stack",
            seen=error.seen,
            next_command="make logs",
        ) from error


def _database() -> Database:
    port, password = compose.port("db", DATABASE), stack_files.read().database_password
    return Database(LOOPBACK, port, "matomo", password, "matomo", tls=loopback_tls())
