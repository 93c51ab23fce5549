"""What the harness itself starts, as a target of the gate."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

from matomo_harness.gate.core.target import Http, Permissions, Services, Target
from matomo_harness.policy import Policy
from matomo_harness.runtime import tasks
from matomo_harness.runtime.instance import Instance
from matomo_harness.runtime.production import Production


def of_instance(instance: Instance, policy: Policy) -> Target:
    """Return an instance of ours as a target that may be changed; it has no services."""
    return Target(
        http=Http(instance.url, instance.authority),
        policy=policy,
        permissions=Permissions(may_hit=True, may_change=True),
        token=instance.token,
        account=instance.account,
        container=instance.shell,
        database=instance.database,
    )


def of_production(
    production: Production, policy: Policy, about: Mapping[str, str] = MappingProxyType({})
) -> Target:
    """Return all of `production` as a target, every capability there."""
    alone = of_instance(production.instance, policy)
    services = Services(
        past_the_load_balancer=lambda: production.matomo.web,
        mail=production.mail.mailbox,
        logs=lambda: {
            "web": production.matomo.log,
            "database": production.mariadb.log,
            "load balancer": production.load_balancer.log,
            "mail relay": production.mail.log,
            **{name: service.log for name, service in production.others.items()},
        },
        archive=lambda: production.archive().exit_code,
        web_task=lambda: tasks.task(production.matomo.get_wrapped_container()),
        tasks_started=lambda: tasks.started_in(str(production.network.name)),
        secrets={
            "database password": production.mariadb.passwords.matomo,
            "mail password": production.mail.password,
            "salt": production.salt,
        },
    )
    http = dataclasses.replace(alone.http, clear_text=production.load_balancer.http.url)
    return dataclasses.replace(alone, http=http, services=services, about=about)
