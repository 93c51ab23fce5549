"""What a user may choose, read once from the environment."""

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matomo_harness.errors import WrongInputError
from matomo_harness.matomo import database_versions, versions

_PARENT = Path(__file__).resolve().parents[2]
ROOT = _PARENT if (_PARENT / "pyproject.toml").exists() else Path.cwd()
"""The checkout that this harness runs from. For an installed harness it is the directory in which
it is run: the files of a user's stack must not vanish with an environment."""


def _data_folder(name: str) -> Path:
    """Return a folder of the checkout, which a wheel carries inside the package."""
    inside = Path(__file__).resolve().with_name(name)
    return inside if inside.exists() else ROOT / name


IMAGE_DIRECTORY = _data_folder("image")
"""The image that is deployed, and the substitute bases."""

COMPOSE_FILE = _data_folder("compose") / "compose.yml"
"""The services around it."""

REPORTS = ROOT / "reports"

SUBSTITUTE = "substitute"
"""Choice of a base image: the one that image/bases/ builds from Debian's packages."""

WORKER_SECONDS = "worker_seconds"
"""Property of our tests in junit.xml: seconds of setup and call, without shared fixtures."""

OWNER_LABEL = "org.matomo-harness.owner"
"""Marks every container, network, volume and image of the harness; it touches nothing else."""


@dataclass(frozen=True)
class RunSettings:
    """The choices of one run.

    Args:
        matomo_base: `auto` (local image, then registry, then substitute), `substitute`, or a
            reference.
        mariadb_base: the same for the database.
        matomo_version: one of versions.NAMES; only `auto` and `substitute` use it.
        mariadb_version: one of database_versions.NAMES; likewise.
        image: a deployed image built elsewhere; None builds image/ on the base.
        port: the local stack's HTTPS port on 127.0.0.1.
        http_port: the local stack's HTTP port, which redirects to `port`.
        archive_seconds: the local stack's archiver starts at every full period of this length.
    """

    matomo_base: str = "auto"
    mariadb_base: str = "auto"
    matomo_version: str = versions.NAMES[0]
    mariadb_version: str = database_versions.NAMES[0]
    image: str | None = None
    port: int = 8443
    http_port: int = 8080
    archive_seconds: int = 3600

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "RunSettings":
        """Read MATOMO_BASE, MARIADB_BASE, MATOMO_VERSION, MARIADB_VERSION, IMAGE, and so on.

        Raises:
            WrongInputError: a value is out of range or unknown.
        """
        matomo_version = _named(
            environment, "MATOMO_VERSION", versions.NAMES, "MATOMO_BASE=matomo:{}-apache"
        )
        mariadb_version = _named(
            environment, "MARIADB_VERSION", database_versions.NAMES, "MARIADB_BASE=mariadb:{}"
        )
        return cls(
            matomo_base=base_choice(environment.get("MATOMO_BASE") or cls.matomo_base),
            mariadb_base=base_choice(environment.get("MARIADB_BASE") or cls.mariadb_base),
            matomo_version=matomo_version,
            mariadb_version=mariadb_version,
            image=environment.get("IMAGE") or None,
            port=_number(environment, "MATOMO_PORT", cls.port, PORTS),
            http_port=_number(environment, "MATOMO_HTTP_PORT", cls.http_port, PORTS),
            archive_seconds=_number(environment, "ARCHIVE_SECONDS", cls.archive_seconds, PERIODS),
        )

    @property
    def chooses_base(self) -> bool:
        """Whether the harness chooses the base, by `matomo_version`, and not the user."""
        return not self.image and self.matomo_base in ("auto", SUBSTITUTE)


def base_choice(text: str) -> str:
    """Return a choice of base image; the former word for `substitute` is valid for one release."""
    return SUBSTITUTE if text == "stand-in" else text


def every_version(environment: Mapping[str, str] = os.environ) -> list[RunSettings]:
    """Return the settings for each version to test; where no version matters, the first serves.

    There is only one where the user chose an image, a base or a version.
    """
    settings = RunSettings.from_environment(environment)
    if environment.get("MATOMO_VERSION") or not settings.chooses_base:
        return [settings]
    return [dataclasses.replace(settings, matomo_version=version) for version in versions.NAMES]


def other_databases() -> list[RunSettings]:
    """Return the settings for each other version of MariaDB that a test may choose.

    There is none where the user chose a base.
    """
    settings = RunSettings.from_environment()
    if settings.mariadb_base not in ("auto", SUBSTITUTE):
        return []
    return [
        dataclasses.replace(settings, mariadb_version=name)
        for name in database_versions.NAMES
        if name != settings.mariadb_version
    ]


PORTS = range(1, 65536)
PERIODS = range(10, 86401)


def _named(
    environment: Mapping[str, str], variable: str, names: Sequence[str], official: str
) -> str:
    """Return the version that is chosen; the first where none is."""
    version = environment.get(variable) or names[0]
    if version not in names:
        raise WrongInputError(
            expected=f"{variable} to be one of {', '.join(names)}",
            seen=f"{variable}={version}",
            next_command=f"{official.format(version)} make up   (an official image)",
        )
    return version


def _number(environment: Mapping[str, str], variable: str, default: int, choice: range) -> int:
    text = environment.get(variable) or str(default)
    if not text.isdecimal() or int(text) not in choice:
        raise WrongInputError(
            expected=f"{variable} to be a number from {choice[0]} to {choice[-1]}",
            seen=f"{variable}={text}",
            next_command=f"{variable}={default} make up",
        )
    return int(text)


def project_name(root: Path = ROOT) -> str:
    """Return the Compose project name of this checkout: two checkouts never share a container."""
    return f"matomo-{hashlib.sha256(str(root).encode()).hexdigest()[:8]}"
