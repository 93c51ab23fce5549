"""compose.yml, the one description of what is around the image, read as Compose reads it.

Read here and not by `docker compose config`: whoever has the wheel and an engine need not have
Compose, and it takes 5 ms and not 200. tests/integration/test_description.py holds the two beside
each other.
"""

import functools
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from matomo_harness.errors import WrongInputError
from matomo_harness.policy import deployment
from matomo_harness.settings import COMPOSE_FILE

VARIABLE: Final = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
PORT: Final = re.compile(r"(?:.*:)?(\d+)")
"""The last of `address:published:target`."""
SERVICES_DIRECTORY: Final = Path(__file__).with_name("services")
"""A folder for each emulated service: its Dockerfile, and a README that says what it leaves out."""
TLS_DIRECTORY: Final = "TLS_DIRECTORY"
"""The variable that says where certificates are; what is mounted from there is put in by tests."""


@dataclass(frozen=True)
class Service:
    """A service of compose.yml.

    Args:
        name: by which the others reach it.
        image: as a variable or a text says.
        command: empty where the image's own runs.
        environment: its variables.
        files: paths in the container of what is mounted from the certificates' folder, and the
            names there: cert.pem, key.pem, authority.pem.
        volumes: paths in the container, and the volumes that are mounted there.
        tmpfs: paths in memory.
        ports: that are published, as the container has them.
        profiles: without one of these it is not started with the others.
        keys: of its entry, as they are written.
    """

    name: str
    image: str
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
    tmpfs: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    profiles: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    def variables(self, *prefixes: str) -> dict[str, str]:
        """Return the variables whose names begin with one of `prefixes`."""
        return {
            name: value for name, value in self.environment.items() if name.startswith(prefixes)
        }


@dataclass(frozen=True)
class Description:
    """What is around an image.

    Args:
        services: by name, in the file's order.
        certificate_names: whom the clients of those that end TLS ask for.
    """

    services: Mapping[str, Service]
    certificate_names: tuple[str, ...]


def read(values: Mapping[str, str], path: Path = COMPOSE_FILE) -> Description:
    """Read the description with `values` in the place of its variables.

    Args:
        values: by the variables' names, over those of deployment.toml; one that is missing stays
            `${NAME}`, for whoever does not ask.
        path: of compose.yml.

    Raises:
        WrongInputError: it cannot be read.
    """
    document = _document(path)
    known = {**deployment.read().variables, **values}
    try:
        services = {
            name: _service(name, _filled(service, known))
            for name, service in document["services"].items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error
    return Description(services, tuple(document.get("x-certificate-names", ())))


@functools.cache
def _document(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = yaml.safe_load(path.read_text())
        document["services"].items()
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise _unreadable(path, str(error)) from error
    return document


def _unreadable(path: Path, seen: str) -> WrongInputError:
    return WrongInputError(
        expected=f"{path.name} to describe services",
        seen=seen,
        next_command=f"docker compose --file {path} config",
    )


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        filled = VARIABLE.sub(lambda found: _value(found, values), value)
        return filled.replace("$$", "$")
    if isinstance(value, list):
        return [_filled(one, values) for one in value]
    if isinstance(value, dict):
        return {key: _filled(one, values) for key, one in value.items()}
    return value


def _value(found: re.Match[str], values: Mapping[str, str]) -> str:
    if given := values.get(found[1]):
        return given
    return found[0] if found[2] is None else found[2]


def _text(value: Any) -> str:
    """Return a scalar as Compose hands it on."""
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _variables(said: Any) -> dict[str, str]:
    if isinstance(said, list):
        pairs = (str(one).partition("=") for one in said)
        return {name: value for name, _, value in pairs}
    return {name: _text(value) for name, value in (said or {}).items()}


def _service(name: str, said: Mapping[str, Any]) -> Service:
    command = said.get("command") or []
    mounts = list(_mounts(said.get("volumes", [])))
    certificates = f"${{{TLS_DIRECTORY}}}/"
    return Service(
        name=name,
        image=str(said["image"]),
        command=tuple(shlex.split(command) if isinstance(command, str) else map(str, command)),
        environment=_variables(said.get("environment")),
        files={
            target: source.removeprefix(certificates)
            for source, target in mounts
            if source.startswith(certificates)
        },
        volumes={target: source for source, target in mounts if re.fullmatch(r"\w[\w-]*", source)},
        tmpfs=tuple(str(one).partition(":")[0] for one in _list(said.get("tmpfs"))),
        ports=tuple(_port(one) for one in said.get("ports", [])),
        profiles=tuple(said.get("profiles", ())),
        keys=tuple(said),
    )


def _list(said: Any) -> list[Any]:
    return said if isinstance(said, list) else [said] if said else []


def _mounts(said: list[Any]) -> Iterator[tuple[str, str]]:
    for one in said:
        if isinstance(one, dict):
            yield str(one["source"]), str(one["target"])
        else:
            source, target, *_ = str(one).split(":")
            yield source, target


def _port(said: Any) -> int:
    if isinstance(said, dict):
        return int(said["target"])
    found = PORT.fullmatch(str(said).removesuffix("/tcp"))
    if not found:
        raise ValueError(f"a port that is no single one: {said}")
    return int(found[1])


SUPPORTED: Final = (
    *("image", "labels", "command", "environment", "volumes", "tmpfs", "ports", "profiles"),
    *("depends_on", "mem_limit", "memswap_limit", "cpus", "stop_grace_period", "restart"),
)
"""Keys of an entry that tests start as Compose does, or that make no difference to them."""


def require_supported(service: Service) -> None:
    """Require that tests start `service` as its entry says.

    Raises:
        WrongInputError: its entry has a key, or a volume, that they would pass over.
    """
    others = [key for key in service.keys if key not in SUPPORTED]
    others += [f"volumes: {name}" for name in service.volumes.values()]
    if others:
        raise WrongInputError(
            expected=f"the entry of {service.name} in compose.yml to say what tests can start too",
            seen=", ".join(others),
            next_command="have its Dockerfile say it, or give it code in runtime/ (WITH_CODE)",
        )


def emulated(service: Service) -> str | None:
    """Return the folder below runtime/services that the image of `service` is built from.

    None where it is not ours: the deployed image, or the database's.
    """
    found = VARIABLE.fullmatch(service.image)
    name = found[1].removesuffix("_IMAGE").lower().replace("_", "-") if found else ""
    return name if name and (SERVICES_DIRECTORY / name).is_dir() else None


def image_variable(name: str) -> str:
    """Return the variable that says which image the emulated service `name` has."""
    return f"{name.upper().replace('-', '_')}_IMAGE"


def variables(path: Path = COMPOSE_FILE) -> list[str]:
    """Return the names of all variables that the description asks for."""
    return sorted({found[1] for found in VARIABLE.finditer(path.read_text())})
