"""An installed Matomo in containers of its own: the slowest kind of instance, and the most real."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from harness.matomo.api import Api, create_token
from harness.matomo.install import FirstSite, Superuser
from harness.matomo.twofactor import Account
from harness.stack.containers import MariaDBContainer, MatomoContainer, network
from harness.stack.images import Image
from harness.stack.installation import ensure_installed, ensure_second_factor


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
def pair(
    image: Image, database_image: Image, environment: Mapping[str, str] | None = None
) -> Iterator[Pair]:
    """Start database and Matomo on a network of their own, install, and enrol the superuser.

    Args:
        image: the deployed image.
        database_image: a MariaDB.
        environment: MATOMO_* variables beside those that lead to the database.

    Raises:
        HarnessError: one of them did not come up.
    """
    with (
        network() as own_network,
        MariaDBContainer(database_image.reference, own_network) as mariadb,
    ):
        variables = {**mariadb.matomo_environment(), **(environment or {})}
        with MatomoContainer(image.reference, own_network, variables) as matomo:
            superuser = Superuser("admin", secrets.token_urlsafe(12))
            ensure_installed(matomo.shell, matomo.web, mariadb.database, superuser, FirstSite())
            account = ensure_second_factor(matomo.web, mariadb.database, superuser)
            yield Pair(matomo, mariadb, account)
