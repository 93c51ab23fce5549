"""Accounts for tests, made by the API."""

from matomo_harness.gate.catalogue import read_policy
from matomo_harness.gate.core.context import Context
from matomo_harness.gate.probes.accounts import NewUser, TestAccounts
from matomo_harness.matomo import twofactor
from matomo_harness.matomo.twofactor import Account
from matomo_harness.runtime.instance import Instance
from matomo_harness.runtime.targets import of_instance


def new_person(instance: Instance, role: str = "view") -> NewUser:
    """Somebody with a role on site 1 who has never logged in."""
    return Context(of_instance(instance, read_policy())).get(TestAccounts).new(role)


def enrolled(instance: Instance, role: str = "view") -> Account:
    """Somebody with a second factor; its code of this moment is used."""
    person = new_person(instance, role)
    return twofactor.enrol(instance.web, person.login, person.password)
