"""What a mutant is: one wrong thing in an otherwise healthy deployment, and who must see it."""

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from matomo_harness.gate.core import target
from matomo_harness.gate.core.target import Target
from matomo_harness.matomo.database import Database
from matomo_harness.policy import Policy
from matomo_harness.runtime.instance import Instance
from matomo_harness.runtime.production import Production
from matomo_harness.runtime.shell import MatomoShell


class Place(StrEnum):
    """Where a deployment goes wrong."""

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


class Stage(StrEnum):
    """What a mutant is played on: no more than it needs, as more takes longer."""

    INSTANCE = "an instance that shares its servers with others"
    PAIR = "a web container and a database of its own"
    PRODUCTION = "all stands"


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
        alone: an instance or a pair, where there are no stands.
        production: all stands, where there are.
        changed: what else of the target is not as it was.
        faults: what lasts until the deployment ends.
    """

    policy: Policy
    alone: Instance | None = None
    production: Production | None = None
    changed: Callable[[Target], Target] = lambda it: it
    faults: ExitStack = field(default_factory=ExitStack)

    @property
    def instance(self) -> Instance:
        """The Matomo."""
        instance = self.production.instance if self.production else self.alone
        assert instance  # noqa: S101  one of the two is given
        return instance

    @property
    def stands(self) -> Production:
        """All stands, for a mutant of Stage.PRODUCTION."""
        assert self.production  # noqa: S101
        return self.production

    @property
    def shell(self) -> MatomoShell:
        """Console and files."""
        return self.instance.shell

    @property
    def database(self) -> Database:
        """The schema."""
        return self.instance.database

    @property
    def target(self) -> Target:
        """What the gate looks at."""
        if self.production:
            return self.changed(target.of_production(self.production, self.policy))
        return self.changed(target.of_instance(self.instance, self.policy))

    def archive_by(self, archive: Callable[[], int]) -> None:
        """Have the schedule start something else than it should."""

        def change(healthy: Target) -> Target:
            assert healthy.stands  # noqa: S101
            stands = dataclasses.replace(healthy.stands, archive=archive)
            return dataclasses.replace(healthy, stands=stands)

        self.changed = change


Change = Callable[[Deployment], object]
Variables = Mapping[str, str | None]


@dataclass(frozen=True)
class Mutant:
    """One wrong thing, and the checks that must see it.

    Args:
        id: `promise.name`; the promise is an area of checks.
        breaks: what is wrong, in a sentence.
        place: where.
        kills: ids of the checks that must go red, each of them.
        change: makes it wrong.
        seen: row of the list of failure modes where it happened in the world; empty where it is
            only thought of.
        stage: what it is played on.
        environment: variables of the web container that are other than they should be; None where
            one is not set.
    """

    id: str
    breaks: str
    place: Place
    kills: tuple[str, ...]
    change: Change = lambda _: None
    seen: str = ""
    stage: Stage = Stage.INSTANCE
    environment: Variables = field(default_factory=lambda: MappingProxyType({}))

    @property
    def promise(self) -> str:
        """Area of the promise that it breaks."""
        return self.id.partition(".")[0]


@dataclass(frozen=True)
class Variant:
    """A control: a change that breaks no promise, so that nothing may go red.

    Args:
        id: `variant.name`.
        says: what is other, in a sentence.
        change: makes it so.
        stage: what it is played on.
        environment: as of a mutant.
        alters: every part of the deployment that is other then. Controls that alter different
            parts may be played on one deployment; one that names none is played alone.
    """

    id: str
    says: str
    change: Change = lambda _: None
    stage: Stage = Stage.INSTANCE
    environment: Variables = field(default_factory=lambda: MappingProxyType({}))
    alters: tuple[Part, ...] = ()


Subject = Mutant | Variant
"""What a matrix has a row for."""
