"""What a gate looks at: one Matomo, and what can be done with it from here."""

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from matomo_harness.gate.core.check import Capability
from matomo_harness.matomo.api import Api
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.twofactor import Account
from matomo_harness.matomo.web import TIME_LIMIT, Web
from matomo_harness.policy import Policy
from matomo_harness.runtime import tasks
from matomo_harness.runtime.instance import Instance
from matomo_harness.runtime.mail import Mailbox
from matomo_harness.runtime.production import Production
from matomo_harness.runtime.shell import MatomoShell
from matomo_harness.runtime.tasks import Task

PATIENCE: Final = (5.0, 30.0)
"""Seconds to connect and between two bytes, for a Matomo that is not ours."""


@dataclass(frozen=True)
class Stands:
    """What is around a Matomo in the shape of production.

    Args:
        straight: a new conversation with the task, past the load balancer.
        mail: what came to the relay.
        logs: everything that the containers have said, by service.
        archive: runs the scheduled task; its exit code.
        web: what the web container was started from.
        tasks_started: what else is started while its context lasts.
        secrets: passwords that nothing may tell, by name.
    """

    straight: Callable[[], Web]
    mail: Mailbox
    logs: Callable[[], Mapping[str, str]]
    archive: Callable[[], int]
    web: Callable[[], Task]
    tasks_started: Callable[[], AbstractContextManager[list[Task]]]
    secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Target:
    """One Matomo with its capabilities; one that is None is missing.

    Args:
        url: where it is, without a slash at its end.
        policy: what is promised of it.
        authority: file with whoever signed its certificate.
        clear_text: where it would be by http; None where that is not known.
        token: of a superuser.
        account: of a superuser, with an enrolled second factor.
        shell: console and files.
        database: its schema.
        stands: what is around it.
        may_hit: hits may be stored, on a test site.
        may_change: it is thrown away afterwards.
        about: images and versions, for the report.
    """

    url: str
    policy: Policy
    authority: Path | None = None
    clear_text: str | None = None
    token: str | None = field(default=None, repr=False)
    account: Account | None = None
    shell: MatomoShell | None = None
    database: Database | None = None
    stands: Stands | None = None
    may_hit: bool = False
    may_change: bool = False
    about: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Those that it has."""
        offered = {
            Capability.API: self.token,
            Capability.LOGIN: self.account,
            Capability.HITS: self.may_hit,
            Capability.CHANGE: self.may_change,
            Capability.CONTAINER: self.shell,
            Capability.WEB_ROOT: self.shell and not self.shell.instance,
            Capability.DATABASE: self.database,
            Capability.SERVICES: self.stands,
        }
        return frozenset(capability for capability, what in offered.items() if what)

    @property
    def secrets(self) -> list[str]:
        """Passwords, tokens and the like that no report may tell."""
        of_account = (self.account.password, self.account.secret) if self.account else ()
        of_services = self.stands.secrets.values() if self.stands else ()
        return [it for it in (self.token, *of_account, *of_services) if it]

    @property
    def web(self) -> Web:
        """A new conversation with it, without cookies."""
        limit = TIME_LIMIT if self.may_change else PATIENCE
        return Web(self.url, authority=self.authority, time_limit=limit)

    @property
    def api(self) -> Api:
        """The API with the superuser's token."""
        return Api(self.web, self.token or "")


def of_instance(instance: Instance, policy: Policy) -> Target:
    """Return an instance of ours as a target that may be changed; it has no stands."""
    return Target(
        url=instance.url,
        policy=policy,
        authority=instance.authority,
        token=instance.token,
        account=instance.account,
        shell=instance.shell,
        database=instance.database,
        may_hit=True,
        may_change=True,
    )


def of_production(
    production: Production, policy: Policy, about: Mapping[str, str] = MappingProxyType({})
) -> Target:
    """Return all of `production` as a target, every capability there."""
    instance = production.instance
    stands = Stands(
        straight=lambda: production.matomo.web,
        mail=production.mail.mailbox,
        logs=lambda: {
            "web": production.matomo.log,
            "database": production.mariadb.log,
            "load balancer": production.load_balancer.log,
            "mail relay": production.mail.log,
        },
        archive=lambda: production.archive().exit_code,
        web=lambda: tasks.task(production.matomo.get_wrapped_container()),
        tasks_started=lambda: tasks.started_in(str(production.network.name)),
        secrets={
            "database password": production.mariadb.passwords.matomo,
            "mail password": production.mail.password,
            "salt": production.salt,
        },
    )
    return dataclasses.replace(
        of_instance(instance, policy),
        clear_text=production.load_balancer.http.url,
        stands=stands,
        about=about,
    )
