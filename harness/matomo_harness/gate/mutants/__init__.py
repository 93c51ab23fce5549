"""What a mutant is: one wrong thing in an otherwise healthy deployment, and who must see it."""

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
    """Part of a deployment that a control alters: those of different parts go together."""

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


@dataclass
class Deployment:
    """What a mutant changes; healthy until then.

    Args:
        policy: what is promised of it.
        alone: a shared or a dedicated instance, where there are no services.
        whole: the whole deployment, where there are.
        changed: what else of the target is not as it was.
        faults: what lasts until the deployment ends.
    """

    policy: Policy
    alone: Instance | None = None
    whole: FullStack | None = None
    changed: Callable[[Target], Target] = lambda target: target
    faults: ExitStack = field(default_factory=ExitStack)

    @property
    def instance(self) -> Instance:
        """The Matomo."""
        instance = self.whole.instance if self.whole else self.alone
        assert instance  # noqa: S101  one of the two is given
        return instance

    @property
    def full_stack(self) -> FullStack:
        """The whole deployment, for a mutant of Topology.FULL_STACK."""
        assert self.whole  # noqa: S101
        return self.whole

    @property
    def target(self) -> Target:
        """What the gate looks at."""
        if self.whole:
            return self.changed(targets.of_full_stack(self.whole, self.policy))
        return self.changed(targets.of_instance(self.instance, self.policy))

    def archive_by(self, archive: Callable[[], int]) -> None:
        """Have the schedule start something else than it should."""

        def change(healthy: Target) -> Target:
            assert healthy.services  # noqa: S101
            services = dataclasses.replace(healthy.services, archive=archive)
            return dataclasses.replace(healthy, services=services)

        self.changed = change


Change = Callable[[Deployment], object]
Variables = Mapping[str, str | None]
NONE: Final[Variables] = MappingProxyType({})


def _nothing(_: Deployment) -> None:
    """Of what only the environment makes wrong."""


@dataclass(frozen=True)
class Mutant:
    """One wrong thing, and the checks that must see it.

    Args:
        id: `promise.name`.
        breaks: what is wrong, in a sentence.
        location: where.
        kills: ids of the checks that must go red, each of them.
        change: makes it wrong.
        failure_mode: row of docs/failure-modes.md; empty where it is only thought of.
        topology: what it runs on.
        environment: variables of the web container that are other than they should be; None where
            one is not set.
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
        says: what is other, in a sentence.
        change: makes it so.
        topology: what it runs on.
        environment: as of a mutant.
        alters: every part of the deployment that is other then. Controls that alter different
            parts may run on one deployment; one that names none runs alone.
    """

    id: str
    says: str
    change: Change = _nothing
    topology: Topology = Topology.SHARED
    environment: Variables = field(default_factory=lambda: NONE)
    alters: tuple[Part, ...] = ()


Subject = Mutant | Control
"""What a kill matrix has a row for."""


class Mutants:
    """The mutants of one promise, in the order in which they are written.

    Args:
        promise: its name, the first part of their ids.
    """

    def __init__(self, promise: str) -> None:
        self.promise = promise
        self.every: list[Mutant] = []

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
            location: where.
            kills: checks, by ids; by the second part alone where they are of the same promise.
            change: makes it wrong.
            failure_mode: where it happened in the world.
            topology: what it runs on.
            environment: variables that are other.
        """
        named = (kills,) if isinstance(kills, str) else kills
        ids = tuple(check if "." in check else f"{self.promise}.{check}" for check in named)
        self.every.append(
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
