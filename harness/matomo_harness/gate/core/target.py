"""A target: one Matomo that a gate inspects, and what can be done with it from here."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

import pymysql

from matomo_harness.errors import HarnessError
from matomo_harness.gate.core.check import Capability
from matomo_harness.matomo.api import Api
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.mail import Mailbox
from matomo_harness.matomo.twofactor import Account
from matomo_harness.matomo.web import TIME_LIMIT, Web
from matomo_harness.policy import Policy

T = TypeVar("T")

PATIENCE: Final = (5.0, 30.0)
"""Seconds to connect and between two bytes, for a Matomo that is not ours."""

FORGET_FAILED_LOGINS: Final = (
    "DELETE FROM {prefix}brute_force_log WHERE COALESCE(login, '') = ''"
    " OR login REGEXP '^(view|write|admin|superuser)-[0-9a-f]{8}$'"
)
"""Those by tokens, which have no name, and those of the gate's test accounts."""

SHORTEST_SECRET: Final = 8
"""Letters of a database's password that is taken out of reports."""


@dataclass(frozen=True)
class Task:
    """What a container was started from.

    Args:
        image: its id.
        environment: its variables.
        mounts: source or volume and destination of each.
    """

    image: str
    environment: Mapping[str, str] = field(repr=False)
    mounts: frozenset[tuple[str, ...]]

    def differences(self, other: "Task") -> list[str]:
        """Return the names of what differs in `other`, never a variable's value."""
        names = self.environment.keys() | other.environment.keys()
        variables = sorted(
            name for name in names if self.environment.get(name) != other.environment.get(name)
        )
        is_other_image = other.image != self.image
        return [
            *([f"image {other.image[:19]} for {self.image[:19]}"] if is_other_image else []),
            *(f"variable {name}" for name in variables),
            *(f"mount {mount[-1]}" for mount in sorted(self.mounts ^ other.mounts)),
        ]


@dataclass(frozen=True)
class Services:
    """What surrounds a Matomo in a full stack.

    Args:
        past_the_load_balancer: begins a new conversation with the web task itself.
        mail: what the mail relay received.
        logs: everything that the containers have logged, by service.
        archive: runs the scheduled task, and returns its exit code.
        web_task: returns what the web container was started from.
        tasks_started: the tasks that are started while its context lasts.
        secrets: passwords that nothing may disclose, by name.
    """

    past_the_load_balancer: Callable[[], Web]
    mail: Mailbox
    logs: Callable[[], Mapping[str, str]]
    archive: Callable[[], int]
    web_task: Callable[[], Task]
    tasks_started: Callable[[], AbstractContextManager[list[Task]]]
    secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Http:
    """A Matomo's address, which is all that some checks need.

    Args:
        url: without a slash at its end.
        authority: file with the authority that signed its certificate; the public ones where None.
        clear_text: its address by http; None where that is not known.
        time_limit: seconds to connect, seconds between two bytes of the answer.
    """

    url: str
    authority: Path | None = None
    clear_text: str | None = None
    time_limit: tuple[float, float] = TIME_LIMIT

    @property
    def web(self) -> Web:
        """A new conversation, without cookies."""
        return Web(self.url, authority=self.authority, time_limit=self.time_limit)


@dataclass(frozen=True)
class Permissions:
    """What may be done to a target.

    Args:
        may_hit: whether hits may be stored, on a test site.
        may_change: whether it may be changed, as it is thrown away afterwards.
        names_clients: whether Matomo has to believe the X-Forwarded-For that the gate sends: the
            harness's own deployments stand behind a load balancer, others' as their project says.
    """

    may_hit: bool = False
    may_change: bool = False
    names_clients: bool = True


CAPABILITY_OF: Final[Mapping[Any, Capability | None]] = {
    Http: None,
    Permissions: None,
    Api: Capability.API,
    Account: Capability.LOGIN,
    MatomoContainer: Capability.CONTAINER,
    Database: Capability.DATABASE,
    Services: Capability.SERVICES,
}
"""The types by which a target hands out what it offers, and the capability that each is."""


class UndeclaredCapabilityError(RuntimeError):
    """A target is asked for a capability that it lacks: a mistake in the code that asks."""


@dataclass(frozen=True)
class Target:
    """One Matomo with its capabilities; one that is None is missing.

    Args:
        http: its address.
        policy: what is promised of it.
        permissions: what may be done to it.
        token: a superuser's.
        account: a superuser's, with an enrolled second factor.
        container: console and files.
        database: its schema.
        services: what surrounds it.
        about: images and versions, for the report.
    """

    http: Http
    policy: Policy
    permissions: Permissions = Permissions()
    token: str | None = field(default=None, repr=False)
    account: Account | None = None
    container: MatomoContainer | None = None
    database: Database | None = None
    services: Services | None = None
    about: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The capabilities that it has."""
        offered = {
            Capability.API: self.token,
            Capability.LOGIN: self.account,
            Capability.HITS: self.permissions.may_hit,
            Capability.CHANGE: self.permissions.may_change,
            Capability.CONTAINER: self.container,
            Capability.WEB_ROOT: self.container and not self.container.instance,
            Capability.DATABASE: self.database,
            Capability.SERVICES: self.services,
        }
        return frozenset(capability for capability, value in offered.items() if value)

    def offer(self, kind: type[T]) -> T:
        """Return the capability whose type is `kind`.

        Raises:
            UndeclaredCapabilityError: the target does not have it.
        """
        api = Api(self.http.web, self.token) if self.token else None
        offered: dict[Any, object] = {
            Http: self.http,
            Permissions: self.permissions,
            Api: api,
            Account: self.account,
            MatomoContainer: self.container,
            Database: self.database,
            Services: self.services,
        }
        capability = offered[kind]
        if capability is None:
            raise UndeclaredCapabilityError(f"{kind.__name__} is used and not declared")
        return capability  # type: ignore[return-value]

    def forget_failed_logins(self) -> None:
        """Delete what Matomo has counted of logins that checks let fail, where it may be changed.

        A whole gate is refused some fifteen times. Matomo shuts an address out for an hour after
        20, or after fewer where the institution says so (`[Login] maxAllowedRetries`). A database
        that does not answer has a check of its own.
        """
        if self.database and self.permissions.may_change:
            with suppress(pymysql.Error, HarnessError):
                self.database.query(FORGET_FAILED_LOGINS)

    @property
    def secrets(self) -> list[str]:
        """Passwords, tokens and the like that no report may disclose."""
        of_account = (self.account.password, self.account.secret) if self.account else ()
        of_services = self.services.secrets.values() if self.services else ()
        # A shorter one is also a part of words that the report needs: the schema's name, say.
        password = self.database.password if self.database else ""
        of_database = (password,) if len(password) >= SHORTEST_SECRET else ()
        secrets = (self.token, *of_account, *of_services, *of_database)
        return [secret for secret in secrets if secret]
