"""Accounts for tests, made by the API."""

from matomo_harness import policy
from matomo_harness.gate.core.target import of_instance
from matomo_harness.gate.probes.people import People, Person
from matomo_harness.matomo import twofactor
from matomo_harness.matomo.twofactor import Account
from matomo_harness.runtime.instance import Instance


def new_person(instance: Instance, role: str = "view") -> Person:
    """Somebody with a role on site 1 who has never logged in."""
    return People(of_instance(instance, policy.read())).new(role)


def enrolled(instance: Instance, role: str = "view") -> Account:
    """Somebody with a second factor; its code of this moment is used."""
    person = new_person(instance, role)
    return twofactor.enrol(instance.web, person.login, person.password)
