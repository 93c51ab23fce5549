"""The containers of Matomo and its database, built on Testcontainers, and their network.

Each is a context manager. However this process is killed, the reaper removes what it made.
"""

import contextlib
import dataclasses
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Final, Self

import requests
from docker.errors import NotFound
from docker.models.containers import Container
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from matomo_harness.errors import HarnessError, UnsupportedEnvironmentError, WrongInputError
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.image import OFFICIAL, ImageProfile
from matomo_harness.matomo.install import CLOSED, closed_server
from matomo_harness.matomo.web import Web
from matomo_harness.runtime import description
from matomo_harness.runtime.certificates import Certificate, loopback_tls
from matomo_harness.runtime.compose_model import OF_MATOMO, UNREACHABLE
from matomo_harness.runtime.description import Service, require_supported
from matomo_harness.runtime.engine import engine, execute
from matomo_harness.runtime.reaper import Run, this_process
from matomo_harness.runtime.shell import (
    ANSWER_SECONDS,
    AnswerWaitStrategy,
    MatomoShell,
    ask_web,
    is_alive,
    start_seconds,
    wait_for_answer,
)

LOOPBACK: Final = "127.0.0.1"
DATABASE_ALIAS: Final = "db"
DATABASE_USER: Final = "matomo"
SCHEMA: Final = "matomo"

DATA_DIRECTORY: Final = "/var/lib/mysql"
"""This and the web root are in memory. The entrypoint copies 9,000 files of code, and ext4 is slow
to reuse an inode that was freed in the last minute: in a container that was started just after
another was removed, the copy took 6 s on disk, and takes 0.3 s in memory."""

FAST_DATABASE: Final = (
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--innodb-flush-method=nosync",
    "--performance-schema=off",
    "--skip-name-resolve",
)
"""Options that trade durability for speed: for tests only, never for anybody's real data."""

SMALL_DATABASE: Final = (
    *FAST_DATABASE,
    # With TLS the server makes itself a certificate at each start, which takes 0.2 s.
    "--skip-ssl",
    # Small files and caches, because each start copies and fills them, and they count as memory.
    "--innodb-undo-tablespaces=0",
    "--innodb-log-file-size=8M",
    "--innodb-log-buffer-size=2M",
    "--innodb-buffer-pool-size=32M",
    "--innodb-temp-data-file-path=ibtmp1:1M:autoextend",
    "--innodb-autoextend-increment=1",
    "--key-buffer-size=1M",
    "--aria-pagecache-buffer-size=4M",
    "--table-open-cache=200",
    "--table-definition-cache=400",
    # Counts writes to each table, for the reset of an instance.
    "--userstat=1",
)
"""Options for a database that starts installed: it starts quickly and needs little memory."""


@dataclass(frozen=True)
class Passwords:
    """The passwords of a test's database.

    Args:
        root: the password of root, who may do everything.
        matomo: the password of the user that Matomo connects as.
    """

    root: str = field(repr=False)
    matomo: str = field(repr=False)

    @classmethod
    def new(cls) -> "Passwords":
        """Make up both, one with every character that shell, SQL, PHP or ini could misread."""
        return cls(secrets.token_urlsafe(18), secrets.token_urlsafe(12) + """ '"\\$;#""")


def network(run: Run | None = None) -> Network:
    """Return a network of `run`, to use as a context manager.

    Args:
        run: the run that owns it; this process's own by default.
    """
    return Network(docker_network_kw={"labels": (run or this_process()).labels})


class HarnessContainer(DockerContainer):
    """The base of all our containers: ports published on loopback, our labels and our errors.

    Args:
        image: name and tag.
        network: the network that it joins.
        alias: its name in the network.
        run: the run that owns the container; this process's own by default.
        files: files to copy into the container before it starts, by path; none may be in a tmpfs.
        options: further options of the engine's create call.
    """

    port: int
    more_ports: tuple[int, ...] = ()

    def __init__(
        self,
        image: str,
        network: Network,
        alias: str,
        run: Run | None,
        *,
        files: Mapping[str, bytes] = MappingProxyType({}),
        **options: Any,
    ) -> None:
        labels = (run or this_process()).labels
        super().__init__(image, network=network, network_aliases=[alias], labels=labels, **options)
        self.image = image  # without the mirror of TESTCONTAINERS_HUB_IMAGE_NAME_PREFIX
        self.alias = alias
        # Testcontainers' with_exposed_ports would publish them on every interface.
        ports = (self.port, *self.more_ports)
        self.ports: dict[str, Any] = {f"{port}/tcp": (LOOPBACK, None) for port in ports}
        for path, content in files.items():
            self.with_copy_into_container(content, path)

    def __enter__(self) -> Self:
        try:
            started: Self = super().__enter__()
        except HarnessError:
            raise
        except Exception as error:
            raise UnsupportedEnvironmentError(
                expected=f"{self.image} to start within {ANSWER_SECONDS} s",
                seen=_last_words(error),
                next_command=f"docker run --rm {self.image}",
            ) from error
        return started

    def attach(self, container_id: str) -> None:
        """Represent a container that another process started.

        Args:
            container_id: the engine's id of it.

        Raises:
            NotFound: the container is gone.
        """
        self._container = engine().containers.get(container_id)

    def stop(self, force: bool = True, delete_volume: bool = True) -> None:
        """Remove the container, unless it is gone already."""
        with contextlib.suppress(NotFound):
            super().stop(force, delete_volume)

    @property
    def published_port(self) -> int:
        """The port on 127.0.0.1 that leads to the container's main port."""
        return self.published(self.port)

    def published(self, port: int) -> int:
        """Return the port on 127.0.0.1 that leads to `port` of the container.

        We do not use Testcontainers' get_exposed_port, which waits for a container that has ended.
        """
        container_id = str(self.get_wrapped_container().id)
        return int(self.get_docker_client().port(container_id, port))

    @property
    def log(self) -> str:
        """Everything that the container has logged so far."""
        output: bytes = self.get_wrapped_container().logs()
        return output.decode(errors="replace")


def tls_files(service: Service, certificate: Certificate) -> dict[str, bytes]:
    """Return the files of its certificate that `service` reads, by path in its container."""
    contents = {"cert.pem": certificate.chain, "key.pem": certificate.key}
    return {path: contents[name] for path, name in service.files.items() if name in contents}


class EmulatedService(HarnessContainer):
    """A service of compose.yml that needs no code of its own; it runs when the context is entered.

    Args:
        service: its description.
        image: the image that was built from its folder.
        network: the network of the deployment.
        certificate: its certificate, if it terminates TLS.
        run: the run that owns the container; this process's own by default.
    """

    def __init__(
        self,
        service: Service,
        image: str,
        network: Network,
        *,
        certificate: Certificate,
        run: Run | None = None,
    ) -> None:
        require_supported(service)
        self.port, *more = service.ports or (0,)
        self.more_ports = tuple(more)
        files = tls_files(service, certificate)
        super().__init__(image, network, service.name, run, files=files)
        if not service.ports:
            self.ports = {}
        self.with_envs(**service.environment)
        for path in service.tmpfs:
            self.with_tmpfs_mount(path)
        if service.command:
            self.with_command(list(service.command))


class MariaDBContainer(HarnessContainer):
    """A MariaDB with one schema for Matomo, ready when the context is entered.

    Args:
        image: official `mariadb`, the substitute, or a golden one, which has its own passwords.
        network: the network in which Matomo looks for it.
        alias: its name in the network.
        passwords: passwords of root and of the user matomo; made up by default.
        run: the run that owns the container; this process's own by default.
        arguments: arguments of mariadbd; FAST_DATABASE unless a test is about durability.
        certificate: with one, it refuses connections without TLS, as RDS does where
            `require_secure_transport` is on.
        requires_tls: whether it does; without, it takes connections in clear text as well.
        memory: size limit of its data, in bytes; half of the machine's memory by default.
    """

    port = 3306

    def __init__(
        self,
        image: str,
        network: Network,
        *,
        alias: str = DATABASE_ALIAS,
        passwords: Passwords | None = None,
        run: Run | None = None,
        arguments: tuple[str, ...] = FAST_DATABASE,
        certificate: Certificate | None = None,
        requires_tls: bool = True,
        memory: int | None = None,
    ) -> None:
        described = description.read({}).services[DATABASE_ALIAS]
        files = tls_files(described, certificate) if certificate else {}
        super().__init__(image, network, alias, run, files=files)
        self.passwords = passwords or Passwords.new()
        self._certificate = certificate
        self._requires_tls = bool(certificate) and requires_tls
        if certificate:
            others = (argument for argument in arguments if argument != "--skip-ssl")
            of_service = (
                argument
                for argument in described.command[1:]
                if requires_tls or not argument.startswith("--require-secure-transport")
            )
            arguments = (*others, *of_service)
        self.with_envs(
            MARIADB_ROOT_PASSWORD=self.passwords.root,
            MARIADB_DATABASE=SCHEMA,
            MARIADB_USER=DATABASE_USER,
            MARIADB_PASSWORD=self.passwords.matomo,
        )
        self.with_command(list(arguments))
        self.with_tmpfs_mount(DATA_DIRECTORY, f"size={memory}" if memory else None)
        self.waiting_for(
            AnswerWaitStrategy("the database", lambda: self.database.query("SELECT 1"))
        )

    def start(self) -> Self:
        """Start, wait until Matomo's user can connect, and require TLS of it where there is any."""
        super().start()
        if self._requires_tls:
            self.root.query(f"ALTER USER {DATABASE_USER}@'%' REQUIRE SSL")
        return self

    @property
    def database(self) -> Database:
        """Matomo's schema, as seen from this machine."""
        password = self.passwords.matomo
        tls = loopback_tls() if self._certificate else None
        return Database(LOOPBACK, self.published_port, DATABASE_USER, password, SCHEMA, tls=tls)

    @property
    def root(self) -> Database:
        """The same schema, as root sees it."""
        return dataclasses.replace(self.database, user="root", password=self.passwords.root)

    def matomo_environment(self) -> dict[str, str]:
        """Return the variables that make a Matomo on the same network use this database."""
        values = {"DATABASE_PASSWORD": self.passwords.matomo}
        variables = description.read(values).services["matomo"].variables("MATOMO_DATABASE_")
        without = () if self._certificate else DATABASE_TLS
        variables["MATOMO_DATABASE_HOST"] = self.alias
        return {name: value for name, value in variables.items() if name not in without}

    def server_environment(self) -> dict[str, str]:
        """Return the variables that lead a Matomo to this server, without the name of a schema.

        MATOMO_DATABASE_DBNAME in the container would win over each instance's own file.
        """
        variables = self.matomo_environment()
        del variables["MATOMO_DATABASE_DBNAME"]
        return variables


STARTS_APACHE: Final = ("apache2-foreground",)
"""The official image's command, which passes its arguments on to Apache."""


def web_root_options(profile: ImageProfile) -> str:
    """Return the mount options of a web root in memory, which its user may write to.

    A mount would be root's, with the mode of what it hides: where root starts the image and the web
    server's user archives, that could unpack nothing into it.
    """
    if not profile.web_root_owner:
        return "exec"
    user, group, mode = profile.web_root_owner.split(":")
    if user == "0":
        return "exec,mode=1777"
    return f"exec,uid={user},gid={group},mode={mode}"


UNATTENDED: Final = {"healthcheck": {"test": ["NONE"]}}
"""The engine runs no health checks: a test calls MatomoShell.health when it wants to know. Each
health check costs a page, which is 0.3 s of processor time."""
DATABASE_TLS: Final = ("MATOMO_DATABASE_ENABLE_SSL", "MATOMO_DATABASE_SSL_CA")
"""Both are needed: without an authority Matomo connects in clear text, without any message."""
OF_EVERY_MATOMO: Final = ("MATOMO_GENERAL_ENABLE_INTERNET_FEATURES",)
"""It switches off marketplace, update check and licences: no test calls the outside world."""
NOBODY_ASKED: Final = {"extra_hosts": dict.fromkeys(OF_MATOMO, UNREACHABLE)}
"""The same for an image that reads no variable: its container, and an archiver's beside it, know no
way to the hosts that Matomo would tell its address, its versions, and how many users it has."""


class WebContainer(HarnessContainer):
    """The deployed image, answering HTTP when the context is entered, not yet installed.

    Args:
        image: the image under test, or a golden one.
        network: the network that its database is in.
        environment: MATOMO_* variables; the switch for outbound calls is added.
        alias: its name in the network.
        run: the run that owns the container; this process's own by default.
        profile: what the image is.
        arguments: arguments of apache2-foreground, where the image starts it without any.
        authority: file of the authority that it trusts for database and mail relay; where None,
            it trusts the public ones.
        options: further options of the engine's create call.
    """

    def __init__(
        self,
        image: str,
        network: Network,
        environment: Mapping[str, str],
        *,
        alias: str = "matomo",
        run: Run | None = None,
        profile: ImageProfile = OFFICIAL,
        arguments: tuple[str, ...] = (),
        authority: Path | None = None,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        described = description.read({}).services["matomo"]
        self.port = profile.port
        self.profile = profile
        super().__init__(image, network, alias, run, **{**UNATTENDED, **NOBODY_ASKED, **options})
        self.with_tmpfs_mount(profile.web_root, web_root_options(profile))
        if authority:
            # It is mounted and not copied, as an archiver gets the same mounts.
            (trusted,) = described.files
            self.with_volume_mapping(str(authority), trusted, "ro")
            self.with_envs(**described.variables("SSL_CERT_FILE"))
        if arguments and profile.command == STARTS_APACHE:
            self.with_command([*STARTS_APACHE, *arguments])
        known = {**described.variables(*OF_EVERY_MATOMO), **environment}
        self.with_envs(**{**known, **profile.environment(known)})
        # Any answer will do, as Matomo may not be installed yet.
        self.waiting_for(
            AnswerWaitStrategy(
                "the web server", lambda: ask_web(self.web), self.misplaced, start_seconds(profile)
            )
        )

    def with_chosen(self, environment: Mapping[str, str | None]) -> Self:
        """Set variables that win over all others, those of deployment.toml too; None unsets one."""
        for name, value in environment.items():
            if value is None:
                self.env.pop(name, None)
            else:
                self.env[name] = value
        return self

    def misplaced(self) -> WrongInputError | None:
        """Return why it does not serve Matomo, though it runs; None where that is not known."""
        return _misplaced(self)

    @property
    def web(self) -> Web:
        """A new conversation with it, without cookies."""
        return Web(
            f"{'https' if self.profile.speaks_tls else 'http'}://localhost:{self.published_port}",
            forwarded=self.profile.redirects,
            self_signed=self.profile.speaks_tls,
        )

    @property
    def shell(self) -> MatomoShell:
        """Its console and its files."""
        return MatomoShell(self.get_wrapped_container(), profile=self.profile)


def _misplaced(matomo: WebContainer) -> WrongInputError | None:
    """Return why a web server that runs does not serve Matomo; None where it does, or none runs."""
    container, profile = matomo.get_wrapped_container(), matomo.profile
    if not is_alive(container):
        return None
    status = _status(matomo, "matomo.js")
    if status is None:  # a start may wait for something, and put the code into place after that
        return None
    root = profile.web_root
    if execute(container, ["test", "-e", f"{root}/matomo.php"], "root").code != 0:
        return WrongInputError(
            expected=f"the image's start to put Matomo's code into {root}, its web root",
            seen=f"no matomo.php in it while the web server runs; the code is in {profile.code}",
            next_command="have the start copy it there, as the official image's /entrypoint.sh"
            " does, or build it into the web root",
        )
    if status == requests.codes.ok:
        return None
    if status in CLOSED:
        return closed_server("matomo.js", status)
    parts = PurePosixPath(root).parts[1:]
    paths = ("/".join(parts[start:]) for start in range(len(parts)))
    below = next((path for path in paths if _status(matomo, f"{path}/matomo.js") == 200), None)
    seen = f"; {below}/matomo.js is there: Matomo is below a path" if below else ""
    return WrongInputError(
        expected=f"the web server to serve {root} at the top of its address, as the checks ask it",
        seen=f"HTTP {status} for matomo.js{seen}",
        next_command=f"make {root} the web server's document root in the image; a path before it"
        " is the load balancer's",
    )


def _status(matomo: WebContainer, path: str) -> int | None:
    """Return the status of the answer to `path`; None where nobody answers."""
    try:
        return matomo.web.ask(path).status_code
    except (HarnessError, OSError):
        return None


def wait_for_database(database: Database, container: Container) -> None:
    """Wait until the user of `database` can connect to the server in `container`.

    Raises:
        UnsupportedEnvironmentError: the server stopped, or refused for ANSWER_SECONDS.
    """
    wait_for_answer(container, "the database", lambda: database.query("SELECT 1"))


def _last_words(error: BaseException) -> str:
    notes: list[Any] = getattr(error, "__notes__", [])
    lines = [
        line for line in "\n".join([str(error), *map(str, notes)]).splitlines() if line.strip()
    ]
    return " | ".join(lines[-3:])
