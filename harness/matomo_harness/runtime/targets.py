"""The gate's targets for what the harness itself starts."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

from matomo_harness.gate.core.target import Http, Permissions, Services, Target
from matomo_harness.policy import Policy
from matomo_harness.runtime import tasks
from matomo_harness.runtime.full_stack import FullStack
from matomo_harness.runtime.instance import Instance


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


def of_full_stack(
    stack: FullStack, policy: Policy, about: Mapping[str, str] = MappingProxyType({})
) -> Target:
    """Return a full stack as a target that has every capability."""
    matomo = of_instance(stack.instance, policy)
    services = Services(
        past_the_load_balancer=lambda: stack.matomo.web,
        mail=stack.mail.mailbox,
        logs=lambda: {
            "web": stack.matomo.log,
            "database": stack.mariadb.log,
            "load balancer": stack.load_balancer.log,
            "mail relay": stack.mail.log,
            **{name: service.log for name, service in stack.others.items()},
        },
        archive=lambda: stack.archive().exit_code,
        web_task=lambda: tasks.task(stack.matomo.get_wrapped_container()),
        tasks_started=lambda: tasks.started_in(str(stack.network.name)),
        secrets={
            "database password": stack.mariadb.passwords.matomo,
            "mail password": stack.mail.password,
            "salt": stack.salt,
        },
    )
    http = dataclasses.replace(matomo.http, clear_text=stack.load_balancer.http.url)
    return dataclasses.replace(matomo, http=http, services=services, about=about)
