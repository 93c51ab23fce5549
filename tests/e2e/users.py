"""Accounts for tests, made by the API."""

from matomo_harness.gate.catalogue import read_policy
from matomo_harness.gate.core.context import Context
from matomo_harness.gate.probes.accounts import NewUser, TestAccounts
from matomo_harness.matomo import twofactor
from matomo_harness.matomo.twofactor import Account
from matomo_harness.runtime.instance import Instance
from matomo_harness.runtime.targets import of_instance


def new_user(instance: Instance, role: str = "view") -> NewUser:
    """Make a user with a role on site 1 who has never logged in."""
    return Context(of_instance(instance, read_policy())).get(TestAccounts).new(role)


def enrolled_user(instance: Instance, role: str = "view") -> Account:
    """Make a user with a second factor, whose code of this moment is used."""
    user = new_user(instance, role)
    return twofactor.enrol(instance.web, user.login, user.password)
