"""An installed Matomo in its own containers: for tests about environment, volumes or restarts."""

import contextlib
import dataclasses
import functools
import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from docker.errors import APIError
from testcontainers.core.network import Network

from matomo_harness.matomo.install import Superuser
from matomo_harness.runtime.containers import (
    DATABASE_ALIAS,
    SMALL_DATABASE,
    MariaDBContainer,
    WebContainer,
    network,
)
from matomo_harness.runtime.fpm import web_container
from matomo_harness.runtime.golden import Golden
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.installation import ensure_installed
from matomo_harness.runtime.instance import Instance


@dataclass(frozen=True)
class ContainerPair:
    """A running Matomo and its database, with nothing installed yet.

    Args:
        matomo: HTTP (`matomo.web`), console and files (`matomo.shell`).
        mariadb: the empty database (`mariadb.database`).
        superuser: the superuser to install it with.
    """

    matomo: WebContainer
    mariadb: MariaDBContainer
    superuser: Superuser

    def install(self) -> None:
        """Install Matomo with this superuser and a first site.

        Raises:
            HarnessError: the installer refuses a step, or Matomo is not healthy afterwards.
        """
        matomo, database = self.matomo, self.mariadb.database
        ensure_installed(matomo.shell, matomo.web, database, self.superuser)


@dataclass(frozen=True, kw_only=True)
class DedicatedMatomo(Instance):
    """An instance with its two containers, which tests may stop, start and inspect.

    Args:
        matomo: the web container.
        mariadb: the database's container.
        own_network: the network that no other pair is in; None where they share one.
    """

    matomo: WebContainer
    mariadb: MariaDBContainer
    own_network: Network | None = None

    def restarted(self) -> "DedicatedMatomo":
        """Return it with its addresses of now: a restart gives a container other ports."""
        return dataclasses.replace(self, url=self.matomo.web.url, database=self.mariadb.database)

    def stop(self) -> None:
        """Remove both containers, and their network."""
        with ThreadPoolExecutor() as side_by_side:
            list(side_by_side.map(lambda container: container.stop(), (self.matomo, self.mariadb)))
        if self.own_network:  # an engine has room for some thirty
            with contextlib.suppress(APIError):  # it goes with the run at the latest
                self.own_network.remove()


@contextmanager
def started(
    image: Image, database_image: Image, environment: Mapping[str, str] | None = None
) -> Iterator[ContainerPair]:
    """Start Matomo and an empty database side by side on a network of their own.

    Args:
        image: the deployed image.
        database_image: a MariaDB.
        environment: MATOMO_* variables; they win over those of the database connection.

    Raises:
        HarnessError: one of them did not start.
    """
    with network() as own_network, ExitStack() as running:
        mariadb = MariaDBContainer(database_image.reference, own_network)
        variables = {
            **mariadb.matomo_environment(),
            "MATOMO_GENERAL_SALT": secrets.token_hex(16),
            **(environment or {}),
        }
        matomo = WebContainer(image.reference, own_network, variables)
        _start(running, mariadb, matomo)
        yield ContainerPair(matomo, mariadb, Superuser("admin", secrets.token_urlsafe(12)))


@contextmanager
def pair(
    golden: Golden, environment: Mapping[str, str | None] | None = None
) -> Iterator[DedicatedMatomo]:
    """Start an installed Matomo and its database, with the arguments of `start_pair`.

    Raises:
        HarnessError: one of the two did not start.
    """
    started = start_pair(golden, environment)
    try:
        yield started
    finally:
        started.stop()


def start_pair(
    golden: Golden, environment: Mapping[str, str | None] | None = None
) -> DedicatedMatomo:
    """Start an installed Matomo and its database.

    All pairs of a process share a network, because making one takes a tenth of a second, and their
    databases have made-up names in it. Where a file has the database's name, the pair gets its own
    network.

    Args:
        golden: the images to start from.
        environment: MATOMO_* variables; they win over the harness's. One that is None is not set.

    Raises:
        HarnessError: one of the two did not start.
    """
    with ExitStack() as running:
        passwords = golden.installed.passwords
        of_its_own = None if golden.reads_environment else running.enter_context(network())
        alias = DATABASE_ALIAS if of_its_own else f"db-{secrets.token_hex(4)}"
        own_network = of_its_own or _network()
        mariadb = MariaDBContainer(
            golden.database.reference,
            own_network,
            passwords=passwords,
            alias=alias,
            arguments=SMALL_DATABASE,
        )
        variables: dict[str, str | None] = {
            **mariadb.matomo_environment(),
            **golden.environment,
            **(environment or {}),
        }
        set_variables = {name: value for name, value in variables.items() if value is not None}
        matomo = web_container(
            golden.web.reference,
            own_network,
            set_variables,
            profile=golden.installed.profile,
        ).with_chosen(environment or {})
        _start(running, mariadb, matomo)
        running.pop_all()  # both run: the caller stops them
    return DedicatedMatomo(
        url=matomo.web.url,
        shell=matomo.shell,
        database=mariadb.database,
        account=golden.installed.account,
        token=golden.installed.token,
        matomo=matomo,
        mariadb=mariadb,
        own_network=of_its_own,
    )


@functools.cache
def _network() -> Network:
    return network().create()


def _start(running: ExitStack, mariadb: MariaDBContainer, matomo: WebContainer) -> None:
    with ThreadPoolExecutor() as side_by_side:
        list(side_by_side.map(running.enter_context, (mariadb, matomo)))
