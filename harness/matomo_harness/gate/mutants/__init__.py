"""A mutant: one fault in an otherwise healthy deployment, and the checks that must see it."""

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from matomo_harness.gate.core.target import Target
from matomo_harness.policy import Policy
from matomo_harness.runtime import targets
from matomo_harness.runtime.full_stack import FullStack
from matomo_harness.runtime.instance import Instance


class Location(StrEnum):
    """Where a fault sits."""

    IMAGE = "image"
    FILE = "config file"
    ENVIRONMENT = "environment"
    VOLUME = "volume"
    DATABASE = "database row"
    CLICK = "click in the GUI"
    CONTAINERS = "container set"
    CLOCK = "clock"
    PROXY = "proxy"
    MAIL = "mail server"
    CERTIFICATE = "certificate"


class Topology(StrEnum):
    """What a mutant runs on: no more than it needs, as more takes longer."""

    SHARED = "an instance that shares its servers with others"
    DEDICATED = "a web container and a database of its own"
    FULL_STACK = "a whole deployment, with all services"


class Part(StrEnum):
    """Part of a deployment that a control alters; controls of different parts may run together."""

    SITE_NAME = "name of site 1"
    SITE_ZONE = "time zone of site 1"
    SITE_CURRENCY = "currency of site 1"
    SITES = "sites"
    FILE_LAYOUT = "layout of config.ini.php"
    PLUGIN_LIST = "list of plugins"
    SUPERUSERS = "superusers"
    USERS = "users"
    ROW_LIMITS = "row limits"
    ROW_LIMIT_OF_PRODUCTS = "row limits of products"
    CODE = "Matomo's code"
    MASK = "mask"
    HEADERS = "headers"
    SEGMENTS = "segments"
    GOALS = "goals"
    ANNOTATIONS = "annotations"
    LANGUAGE = "the superuser's language"
    TRUSTED_HOSTS = "trusted hosts"
    RETENTION = "how long visits are stored"


@dataclass
class Deployment:
    """The deployment that a mutant changes; it is healthy until then.

    Args:
        policy: what is promised of it.
        alone: a shared or a dedicated instance, without services around it.
        stack: the full stack, with services.
        altered: makes the target differ from what the deployment alone would give.
        faults: those that last until the deployment ends.
    """

    policy: Policy
    alone: Instance | None = None
    stack: FullStack | None = None
    altered: Callable[[Target], Target] = lambda target: target
    faults: ExitStack = field(default_factory=ExitStack)

    @property
    def instance(self) -> Instance:
        """The Matomo."""
        instance = self.stack.instance if self.stack else self.alone
        assert instance  # noqa: S101  one of the two is given
        return instance

    @property
    def full_stack(self) -> FullStack:
        """The full stack, for a mutant of Topology.FULL_STACK."""
        assert self.stack  # noqa: S101
        return self.stack

    @property
    def target(self) -> Target:
        """The target that the gate inspects."""
        if self.stack:
            return self.altered(targets.of_full_stack(self.stack, self.policy))
        return self.altered(targets.of_instance(self.instance, self.policy))

    def archive_by(self, archive: Callable[[], int]) -> None:
        """Have the schedule start something other than it should."""

        def change(healthy: Target) -> Target:
            assert healthy.services  # noqa: S101
            services = dataclasses.replace(healthy.services, archive=archive)
            return dataclasses.replace(healthy, services=services)

        self.altered = change


Change = Callable[[Deployment], object]
Variables = Mapping[str, str | None]
NONE: Final[Variables] = MappingProxyType({})


def _nothing(_: Deployment) -> None:
    """Change nothing, as only the environment is wrong."""


@dataclass(frozen=True)
class Mutant:
    """One fault, and the checks that must see it.

    Args:
        id: `promise.name`.
        breaks: what is wrong, in a sentence.
        location: where the fault sits.
        kills: ids of the checks, all of which must go red.
        change: makes the fault.
        failure_mode: row of docs/failure-modes.md; empty where the failure is only imagined.
        topology: what it runs on.
        environment: variables of the web container that differ from what they should be; None for
            one that is not set.
    """

    id: str
    breaks: str
    location: Location
    kills: tuple[str, ...]
    change: Change = _nothing
    failure_mode: str = ""
    topology: Topology = Topology.SHARED
    environment: Variables = field(default_factory=lambda: NONE)

    @property
    def promise(self) -> str:
        """The promise that it breaks."""
        return self.id.partition(".")[0]


@dataclass(frozen=True)
class Control:
    """A change that breaks no promise, so that nothing may go red.

    Args:
        id: `control.name`.
        says: what differs, in a sentence.
        change: makes the difference.
        topology: what it runs on.
        environment: as for a mutant.
        alters: every part of the deployment that then differs. Controls that alter different
            parts may run on one deployment; one that names none runs alone.
    """

    id: str
    says: str
    change: Change = _nothing
    topology: Topology = Topology.SHARED
    environment: Variables = field(default_factory=lambda: NONE)
    alters: tuple[Part, ...] = ()


Subject = Mutant | Control
"""What a row of a kill matrix is about."""


class Mutants:
    """The mutants of one promise, in the order in which they are written.

    Args:
        promise: its name, the first part of their ids.
    """

    def __init__(self, promise: str) -> None:
        self.promise = promise
        self.written: list[Mutant] = []

    def add(
        self,
        name: str,
        breaks: str,
        location: Location,
        kills: str | tuple[str, ...],
        change: Change = _nothing,
        failure_mode: str = "",
        topology: Topology = Topology.SHARED,
        environment: Variables = NONE,
    ) -> None:
        """Add a mutant; the arguments are those of Mutant.

        Args:
            name: second part of the id.
            breaks: what is wrong.
            location: where the fault sits.
            kills: ids of checks; the second part alone for those of the same promise.
            change: makes the fault.
            failure_mode: where it has happened.
            topology: what it runs on.
            environment: variables that differ.
        """
        named = (kills,) if isinstance(kills, str) else kills
        ids = tuple(check if "." in check else f"{self.promise}.{check}" for check in named)
        self.written.append(
            Mutant(
                f"{self.promise}.{name}",
                breaks,
                location,
                ids,
                change,
                failure_mode,
                topology,
                environment,
            )
        )

    def mutant(
        self,
        name: str,
        location: Location,
        kills: str | tuple[str, ...],
        failure_mode: str = "",
        topology: Topology = Topology.SHARED,
        environment: Variables = NONE,
    ) -> Callable[[Change], Change]:
        """Take a function as a mutant: its docstring says what is wrong; see `add`."""

        def take(change: Change) -> Change:
            sentence = " ".join((change.__doc__ or "").split()).rstrip(".")
            breaks = sentence[:1].lower() + sentence[1:]
            self.add(name, breaks, location, kills, change, failure_mode, topology, environment)
            return change

        return take
