"""An installed Matomo in containers of its own: the slowest kind of instance, and the most real."""

import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from harness.matomo.api import Api, create_token
from harness.matomo.install import FirstSite, Superuser
from harness.matomo.twofactor import Account
from harness.stack.containers import MariaDBContainer, MatomoContainer, network
from harness.stack.images import Image
from harness.stack.installation import ensure_installed, ensure_second_factor


@dataclass(frozen=True)
class Started:
    """Matomo and its database, running, nothing installed yet.

    Args:
        matomo: HTTP (`matomo.web`), console and files (`matomo.shell`).
        mariadb: the database (`mariadb.database`), empty.
        superuser: whom to install it for.
    """

    matomo: MatomoContainer
    mariadb: MariaDBContainer
    superuser: Superuser

    def install(self) -> None:
        """Install Matomo with this superuser and a first site.

        Raises:
            HarnessError: the installer refuses a step, or Matomo is not healthy afterwards.
        """
        matomo, database = self.matomo, self.mariadb.database
        ensure_installed(matomo.shell, matomo.web, database, self.superuser, FirstSite())


@dataclass(frozen=True)
class Pair:
    """A running, installed Matomo and its database, with every door open.

    Args:
        matomo: HTTP (`matomo.web`), console and files (`matomo.shell`).
        mariadb: the database (`mariadb.database`).
        account: the superuser, with an enrolled second factor.
    """

    matomo: MatomoContainer
    mariadb: MariaDBContainer
    account: Account = field(repr=False)

    @cached_property
    def api(self) -> Api:
        """The API with the superuser's token; made on first use."""
        return create_token(self.matomo.web, self.account)


@contextmanager
def started(
    image: Image, database_image: Image, environment: Mapping[str, str] | None = None
) -> Iterator[Started]:
    """Start Matomo and a database side by side on a network of their own.

    Args:
        image: the deployed image.
        database_image: a MariaDB.
        environment: MATOMO_* variables; they win over those that lead to the database.

    Raises:
        HarnessError: one of them did not come up.
    """
    with network() as own_network, ExitStack() as running:
        mariadb = MariaDBContainer(database_image.reference, own_network)
        variables = {**mariadb.matomo_environment(), **(environment or {})}
        matomo = MatomoContainer(image.reference, own_network, variables)
        with ThreadPoolExecutor() as side_by_side:
            list(side_by_side.map(running.enter_context, (mariadb, matomo)))
        yield Started(matomo, mariadb, Superuser("admin", secrets.token_urlsafe(12)))


@contextmanager
def pair(
    image: Image, database_image: Image, environment: Mapping[str, str] | None = None
) -> Iterator[Pair]:
    """Start Matomo and a database, install, and enrol the superuser; the arguments of `started`.

    Raises:
        HarnessError: one of them did not come up.
    """
    with started(image, database_image, environment) as both:
        both.install()
        matomo, mariadb = both.matomo, both.mariadb
        account = ensure_second_factor(matomo.web, mariadb.database, both.superuser)
        yield Pair(matomo, mariadb, account)
