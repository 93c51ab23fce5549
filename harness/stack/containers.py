"""The two containers of a run, on Testcontainers, and the network between them.

Each is a context manager; whatever kills this process, the reaper removes what it made.
"""

import secrets
from typing import Any, Final, Self

from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import ExecWaitStrategy

from harness.errors import HarnessError, MachineCannotError
from harness.matomo.database import Database
from harness.matomo.web import Web
from harness.stack import reaper
from harness.stack.shell import MatomoShell, wait_for_web

LOOPBACK: Final = "127.0.0.1"
START_SECONDS: Final = 60
POLL_SECONDS: Final = 0.05
DATABASE_ALIAS: Final = "db"

WEB_ROOT: Final = "/var/www/html"
DATA_DIRECTORY: Final = "/var/lib/mysql"
"""Both in memory. The entrypoint copies 9,000 files of code, and ext4 looks for a while at each
inode that was freed in the last minute: on disk, a container started just after another was
removed took 6 s to copy, and takes 0.3 s in memory."""

FAST_DATABASE: Final = (
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--innodb-flush-method=nosync",
    "--performance-schema=off",
    "--skip-name-resolve",
)
"""Durability given up for speed: for tests only, never where a person's data is."""


def network() -> Network:
    """Return a network of this run's own, to be used as a context manager."""
    return Network(docker_network_kw={"labels": reaper.labels()})


class _HarnessContainer(DockerContainer):
    """What both containers share: one published port, on loopback; our label; errors of ours."""

    port: int

    def __init__(self, image: str, network: Network, alias: str) -> None:
        super().__init__(image, network=network, network_aliases=[alias], labels=reaper.labels())
        # Testcontainers' with_exposed_ports would publish on every interface.
        self.ports: dict[str, Any] = {f"{self.port}/tcp": (LOOPBACK, None)}

    def __enter__(self) -> Self:
        try:
            started: Self = super().__enter__()
        except HarnessError:
            raise
        except Exception as error:
            raise MachineCannotError(
                expected=f"{self.image} to start within {START_SECONDS} s",
                seen=_last_words(error),
                next_command=f"docker run --rm {self.image}",
            ) from error
        return started

    @property
    def published_port(self) -> int:
        """The port on 127.0.0.1 that leads to the container's."""
        return int(self._get_exposed_port(self.port))

    @property
    def log(self) -> str:
        """Everything that the container has said so far."""
        output: bytes = self.get_wrapped_container().logs()
        return output.decode(errors="replace")


class MariaDBContainer(_HarnessContainer):
    """A MariaDB with one schema for Matomo, empty, ready when the context is entered.

    Args:
        image: official `mariadb`, or the stand-in.
        network: where Matomo will look for it, as `db`.
        arguments: of mariadbd; FAST_DATABASE unless a test is about durability.
    """

    port = 3306

    def __init__(
        self, image: str, network: Network, *, arguments: tuple[str, ...] = FAST_DATABASE
    ) -> None:
        super().__init__(image, network, DATABASE_ALIAS)
        # With every character that a shell, SQL, PHP or an ini file could stumble over.
        self.password = secrets.token_urlsafe(12) + """ '"\\$;#"""
        self.with_envs(
            MARIADB_RANDOM_ROOT_PASSWORD="1",  # noqa: S106  a switch
            MARIADB_DATABASE="matomo",
            MARIADB_USER="matomo",
            MARIADB_PASSWORD=self.password,
        )
        self.with_command(list(arguments))
        self.with_tmpfs_mount(DATA_DIRECTORY)
        self.waiting_for(
            ExecWaitStrategy(["healthcheck.sh", "--connect", "--innodb_initialized"])
            .with_startup_timeout(START_SECONDS)
            .with_poll_interval(POLL_SECONDS)
        )

    @property
    def database(self) -> Database:
        """Matomo's schema, as seen from this machine."""
        return Database(LOOPBACK, self.published_port, "matomo", self.password, "matomo")

    def matomo_environment(self) -> dict[str, str]:
        """Return the variables that lead a Matomo on the same network here."""
        return {
            "MATOMO_DATABASE_HOST": DATABASE_ALIAS,
            "MATOMO_DATABASE_USERNAME": "matomo",
            "MATOMO_DATABASE_PASSWORD": self.password,
            "MATOMO_DATABASE_DBNAME": "matomo",
            "MATOMO_DATABASE_TABLES_PREFIX": "matomo_",
            "MATOMO_DATABASE_SCHEMA": "Mariadb",
        }


class MatomoContainer(_HarnessContainer):
    """The deployed image, answering HTTP when the context is entered, not yet installed.

    Args:
        image: the image under test.
        network: where its database is.
        environment: MATOMO_* variables; salt and the switch for outbound calls are added.
    """

    port = 80

    def __init__(self, image: str, network: Network, environment: dict[str, str]) -> None:
        super().__init__(image, network, "matomo")
        self.with_tmpfs_mount(WEB_ROOT, "exec")
        self.with_envs(
            **{
                "MATOMO_GENERAL_SALT": secrets.token_hex(16),
                # Marketplace, update check, licences: nothing in a test calls the world.
                "MATOMO_GENERAL_ENABLE_INTERNET_FEATURES": "0",
                **environment,
            }
        )

    def start(self) -> Self:
        """Start, and wait until the web server answers, whatever it answers."""
        super().start()
        wait_for_web(self.web, self.get_wrapped_container())
        return self

    @property
    def web(self) -> Web:
        """A new conversation with it, without cookies."""
        return Web(f"http://localhost:{self.published_port}")

    @property
    def shell(self) -> MatomoShell:
        """Its console and its files."""
        return MatomoShell(self.get_wrapped_container())


def _last_words(error: BaseException) -> str:
    notes: list[Any] = getattr(error, "__notes__", [])
    lines = [
        line for line in "\n".join([str(error), *map(str, notes)]).splitlines() if line.strip()
    ]
    return " | ".join(lines[-3:])
