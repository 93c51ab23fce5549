"""A stack on this machine: up, down, and what a user needs while it runs."""

import os
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass

from docker.models.containers import Container
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from matomo_harness.errors import UnsupportedEnvironmentError, WrongInputError
from matomo_harness.gate import remote
from matomo_harness.matomo import twofactor
from matomo_harness.matomo.api import create_token
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.install import Superuser
from matomo_harness.matomo.web import Web
from matomo_harness.operate import adoption, compose, schedule, stack_files, stack_image
from matomo_harness.operate.alone import alone
from matomo_harness.operate.compose import LOOPBACK
from matomo_harness.operate.stack import LOCAL, Stack
from matomo_harness.progress import step
from matomo_harness.runtime import description, images, reaper
from matomo_harness.runtime.certificates import loopback_tls
from matomo_harness.runtime.containers import wait_for_database
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.installation import (
    ensure_installed,
    ensure_second_factor,
    require_tracking,
)
from matomo_harness.runtime.shell import MatomoShell, start_seconds, wait_for_web
from matomo_harness.settings import RunSettings

MAIL_PAGE = 1080
DATABASE = 3306
HTTPS = 443
FREED_SECONDS = 10
"""How long the engine may take to give back the port of a container that has stopped."""


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


def up(settings: RunSettings, stack: Stack = LOCAL) -> StackSummary:
    """Bring up a running, installed Matomo; finish what an interrupted `up` left.

    A database that holds a Matomo already is taken over with its prefix and its people.

    Raises:
        UnsupportedEnvironmentError: a port is taken, or disk space or a base image is missing.
        WrongInputError: image/ or a given image has a mistake, the database cannot be taken over,
            or another command is at work on the stack.
        BrokenPromiseError: Matomo does not come up healthy.
    """
    with alone(stack):
        return _up(settings, stack)


def _up(settings: RunSettings, stack: Stack) -> StackSummary:
    started = start(settings, stack)
    shell, web, database = started.shell, started.web, started.database
    superuser = started.superuser
    with (
        step("Installing Matomo unless it is installed"),
        stack_image.writable_configuration(shell),
    ):
        installed_now = ensure_installed(shell, web, database, superuser)
        if not installed_now:
            adoption.adopt_collation(database, shell)
            adoption.ensure_superuser(shell, database, superuser)
        require_tracking(shell, web, database)
        ensure_second_factor(_web(settings, stack), database, superuser)
    schedule.begin(settings.archive_seconds, stack)
    return started.summary(installed_now=installed_now)


@dataclass(frozen=True)
class StartedStack:
    """A stack whose containers run; its Matomo may be installed, or not, or wait for an update.

    Args:
        stack: which one.
        shell: the web container's.
        web: its pages, by the name that people use.
        database: Matomo's schema.
        superuser: the harness's own.
        image: the image that runs.
        database_image: the database's.
    """

    stack: Stack
    shell: MatomoShell
    web: Web
    database: Database
    superuser: Superuser
    image: images.Image
    database_image: images.Image

    def summary(self, *, installed_now: bool) -> StackSummary:
        """Return what a person is shown of it."""
        return StackSummary(
            url=f"{self.web.url}/",
            login=self.superuser.login,
            mail=f"http://{LOOPBACK}:{compose.port('mail', MAIL_PAGE, self.stack)}/",
            matomo_version=self.shell.console("core:version").strip(),
            image=str(self.image),
            database_image=str(self.database_image),
            installed_now=installed_now,
        )


def start(settings: RunSettings, stack: Stack = LOCAL, *, adopts: bool = True) -> StartedStack:
    """Start the containers of a stack.

    Args:
        settings: images and ports.
        stack: which one.
        adopts: whether the prefix is that of whatever Matomo the database holds, which has to be
            of a supported version; else it is the one that the stack remembers.

    Raises:
        UnsupportedEnvironmentError: a port is taken, or disk space or a base image is missing.
        WrongInputError: image/ or a given image has a mistake, the database cannot be taken over,
            or another command is at work on the stack.
    """
    image = images.deployed_image(settings)
    database_image = images.mariadb_base(settings)
    variables = _variables(settings, image, database_image, stack)
    ports = {"MATOMO_PORT": settings.port, "MATOMO_HTTP_PORT": settings.http_port}
    for variable, port in ports.items():
        _require_free_port(variable, port, stack)
    with step("Starting the containers"):
        _start(variables, ports, stack)
        wait_for_database(database_of(stack), compose.container("db", stack))
        prefix = stack_files.read(stack).tables_prefix
        if adopts and adoption.adopt_prefix(database_of(stack), prefix, stack):
            variables = _variables(settings, image, database_image, stack)
            _start(variables, ports, stack)
        web = _web(settings, stack)
        container = compose.container("matomo", stack)
        target = stack_image.of(image)
        wait_for_web(web, container, start_seconds(target.profile))
        shell = MatomoShell(container, profile=target.profile)
        if not target.is_reference:
            stack_image.settle(shell, _given_to_matomo(variables))
    secrets = stack_files.read(stack)
    return StartedStack(
        stack=stack,
        shell=shell,
        web=web,
        database=database_of(stack),
        superuser=Superuser(secrets.superuser_login, secrets.superuser_password),
        image=image,
        database_image=database_image,
    )


def start_database(settings: RunSettings, stack: Stack) -> tuple[Database, Container]:
    """Start the database of a stack alone; return its schema and its container.

    Raises:
        UnsupportedEnvironmentError: it does not start.
    """
    image, database_image = images.deployed_image(settings), images.mariadb_base(settings)
    variables = _variables(settings, image, database_image, stack)
    compose.up(variables, stack, "db")
    container = compose.container("db", stack)
    wait_for_database(database_of(stack), container)
    return database_of(stack), container


def down(stack: Stack = LOCAL) -> None:
    """Stop and remove the stack's containers and network; its volumes and secrets stay.

    Raises:
        UnsupportedEnvironmentError: a container of somebody else's is in the network.
    """
    with step(f"Stopping {stack.title}"):
        _remove_containers(stack)
        schedule.wait_for_end(stack.root)
        _remove_containers(stack)
        for network in engine().networks.list(filters=compose.of_project(stack)):
            reaper.remove_network(network)


def _remove_containers(stack: Stack) -> None:
    """Stop all of them at once: a web server waits for its load balancer's connections."""

    def remove(container: Container) -> None:
        container.stop(timeout=10)
        container.remove(v=True)

    if containers := compose.containers(stack):
        with ThreadPoolExecutor(len(containers)) as pool:
            list(pool.map(remove, containers))


def console(arguments: list[str]) -> int:
    """Run Matomo's console in the local stack, on this terminal; return its exit code."""
    return subprocess.call([*_as_web_user(LOCAL, _terminal()), "php", "console", *arguments])


def shell(stack: Stack = LOCAL) -> int:
    """Open a shell in a stack's web container, as the web server's user in the web root.

    Without a terminal it runs what standard input says.

    Returns:
        The shell's exit code.

    Raises:
        WrongInputError: the stack is not up.
    """
    return subprocess.call([*_as_web_user(stack, _terminal() or ["--interactive"]), "sh"])


def _terminal() -> list[str]:
    return ["--tty", "--interactive"] if os.isatty(0) and os.isatty(1) else []


def _as_web_user(stack: Stack, options: list[str]) -> list[str]:
    """Return the beginning of a command in the web container; the web root is its directory."""
    shell = stack_image.shell_of(stack)
    return ["docker", "exec", *options, "--user", shell.profile.web_user, shell.name]


def logs() -> int:
    """Follow the local stack's logs on this terminal; return the exit code."""
    compose.running("matomo")
    return subprocess.call(
        [*compose.command(), "logs", "--follow", "--tail", "100"], env=compose.plain_environment()
    )


def totp(stack: Stack = LOCAL) -> tuple[str, int]:
    """Return the superuser's current 2FA code and the seconds for which it is still valid.

    Raises:
        WrongInputError: the local stack is not up, or the superuser has no second factor.
    """
    secret = second_factor(stack)
    return twofactor.code(secret), twofactor.seconds_left()


def second_factor(stack: Stack = LOCAL) -> str:
    """Return the secret of the superuser's second factor.

    Raises:
        WrongInputError: the stack is not up or not installed, or the superuser has no second
            factor.
    """
    found = account(stack)
    if not found.secret:
        raise WrongInputError(
            expected=f"a second factor of {found.login}",
            seen="none is enrolled",
            next_command=f"{stack.begin}   (enrols one)",
        )
    return found.secret


def login_variables(stack: Stack = LOCAL) -> dict[str, str]:
    """Return what logs the superuser in to a gate; nothing where there is no second factor.

    One is enrolled only where Matomo enforces it, and a gate logs in with one alone.

    Raises:
        WrongInputError: the stack is not up, or not installed.
    """
    found = account(stack)
    if not found.secret:
        return {}
    return dict(zip(remote.VARIABLES, astuple(found), strict=True))


def account(stack: Stack) -> twofactor.Account:
    """Return the superuser's account; its secret is empty where there is no second factor.

    Raises:
        WrongInputError: the stack is not up, or not installed.
    """
    database, held = installed_database(stack), stack_files.read(stack)
    secret = database.second_factor_secret(held.superuser_login)
    return twofactor.Account(held.superuser_login, held.superuser_password, secret or "")


def token(settings: RunSettings, stack: Stack = LOCAL) -> str:
    """Make an API token of the superuser and return it.

    Raises:
        WrongInputError: the stack is not up, or not installed.
    """
    return create_token(_web(settings, stack), account(stack), steps=0).token


# -- pieces ---------------------------------------------------------------------------------------


def _variables(
    settings: RunSettings, image: images.Image, database_image: images.Image, stack: Stack
) -> dict[str, str]:
    """Return what compose.yml asks for, and write what is added to it for this image."""
    secrets = stack_files.read(stack)
    stack_files.make_certificates(stack)
    target = stack_image.of(image)
    variables = {
        "MATOMO_IMAGE": image.reference,
        "MARIADB_IMAGE": database_image.reference,
        **_service_images(),
        "MATOMO_PORT": str(settings.port),
        "MATOMO_HTTP_PORT": str(settings.http_port),
        "DATABASE_PASSWORD": secrets.database_password,
        "SALT": secrets.salt,
        "MAIL_PASSWORD": secrets.mail_password,
        "TABLES_PREFIX": secrets.tables_prefix,
        "GENERATION": secrets.generation,
        "TLS_DIRECTORY": str(stack.tls_directory),
        **target.variables,
    }
    stack_image.write(target, _given_to_matomo(variables), stack)
    return variables


def _given_to_matomo(variables: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment of Matomo, as compose.yml has it."""
    return description.read(variables).services["matomo"].environment


def _service_images() -> dict[str, str]:
    """Return the images of emulated services: NAME_IMAGE is built from the folder `name`."""
    services = description.read({}).services.values()
    names = [name for service in services if (name := description.emulated(service))]
    return {
        description.image_variable(name): images.service_image(name).reference for name in names
    }


def _web(settings: RunSettings, stack: Stack) -> Web:
    # The name that people use: Matomo trusts the first host by which a superuser comes.
    return Web(f"https://localhost:{settings.port}", authority=stack.authority_file)


def _require_free_port(variable: str, port: int, stack: Stack) -> None:
    own = [each for each in compose.containers(stack) if port in compose.published_ports(each)]
    if any(container.status == "running" for container in own):
        return
    # The engine says that a container has stopped, and gives its ports back a moment later.
    patience = FREED_SECONDS if own else 0
    attempts = Retrying(
        stop=stop_after_delay(patience),
        wait=wait_fixed(0.1),
        retry=retry_if_exception_type(OSError),
        reraise=True,
    )
    try:
        attempts(compose.bind_for_a_moment, port)
    except OSError as error:
        raise _port_taken(variable, port) from error


def _port_taken(variable: str, port: int) -> UnsupportedEnvironmentError:
    return UnsupportedEnvironmentError(
        expected=f"port {port} on {LOOPBACK} to be free for the local stack",
        seen="another program listens there",
        next_command=f"{variable}={port + 1} make up",
    )


def _start(variables: dict[str, str], ports: dict[str, int], stack: Stack) -> None:
    try:
        compose.up(variables, stack)
    except UnsupportedEnvironmentError as error:
        if "port is already allocated" in error.seen or "address already in use" in error.seen:
            named = [variable for variable, port in ports.items() if str(port) in error.seen]
            variable = named[0] if named else "MATOMO_PORT"
            raise _port_taken(variable, ports[variable]) from error
        raise UnsupportedEnvironmentError(
            expected=f"docker compose to start {stack.title}",
            seen=error.seen,
            next_command="make logs",
        ) from error


def installed_database(stack: Stack) -> Database:
    """Return the schema of a stack whose Matomo is installed.

    Raises:
        WrongInputError: it is not up, or what brought it up did not come to its end.
    """
    compose.running("db", stack)
    database = database_of(stack)
    if "user" not in database.tables():
        raise WrongInputError(
            expected=f"{stack.title} to have an installed Matomo",
            seen="a database without its tables",
            next_command=stack.begin,
        )
    return database


def database_of(stack: Stack) -> Database:
    """Return the schema of a stack whose database runs, as Matomo's user sees it."""
    port, password = compose.port("db", DATABASE, stack), stack_files.read(stack).database_password
    return Database(LOOPBACK, port, "matomo", password, "matomo", tls=loopback_tls())
