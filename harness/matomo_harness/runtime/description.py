"""Read compose.yml, the one description of what is around the image, as Compose reads it.

We do not call `docker compose config`: users of the wheel need an engine but not Compose, and
reading the file here takes 5 ms instead of 200. tests/integration/test_description.py compares
the results of both.
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

VARIABLE: Final = re.compile(r"\$\{(\w+)(?:(:?)-([^}]*))?\}")
"""Its default, behind `-`, is for a variable that is not set; behind `:-` for an empty one, too."""
PORT: Final = re.compile(r"(?:.*:)?(\d+)")
"""Finds the last part of `address:published:target`."""
SERVICES_DIRECTORY: Final = Path(__file__).with_name("services")
"""Has a folder for each emulated service: a Dockerfile, and a README of what it leaves out."""
TLS_DIRECTORY: Final = "TLS_DIRECTORY"
"""The variable for the certificates' folder; tests copy in what Compose mounts from there."""


@dataclass(frozen=True)
class Service:
    """A service of compose.yml.

    Args:
        name: the name by which the other services reach it.
        image: a reference, or a variable in the form `${NAME}`.
        command: the command that it runs; empty where it is the image's own.
        environment: its variables.
        files: what is mounted from the certificates' folder: the name there (cert.pem, key.pem,
            authority.pem), by path in the container.
        volumes: the volumes that are mounted, by path in the container.
        tmpfs: paths that are in memory.
        ports: the container's ports that are published.
        profiles: where it has any, it starts with the others only if one of these is chosen.
        keys: the keys of its entry, as they are written.
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
        """Return the variables whose names start with one of `prefixes`."""
        return {
            name: value for name, value in self.environment.items() if name.startswith(prefixes)
        }


@dataclass(frozen=True)
class Description:
    """What is around an image.

    Args:
        services: all services by name, in the file's order.
        certificate_names: the host names that clients use for the services that terminate TLS.
    """

    services: Mapping[str, Service]
    certificate_names: tuple[str, ...]


def read(values: Mapping[str, str], path: Path = COMPOSE_FILE) -> Description:
    """Read the description and replace its variables by `values`.

    Args:
        values: values by the variables' names; they win over those of deployment.toml. A variable
            without a value stays `${NAME}`, for callers that do not need it.
        path: where compose.yml is.

    Raises:
        WrongInputError: the file cannot be read.
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
        return [_filled(item, values) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, values) for key, item in value.items()}
    return value


def _value(found: re.Match[str], values: Mapping[str, str]) -> str:
    name, colon, default = found.groups()
    given = values.get(name)
    if given or (given is not None and colon == ""):
        return given
    return found[0] if default is None else default


def _text(value: Any) -> str:
    """Return a scalar as Compose passes it on."""
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _variables(entry: Any) -> dict[str, str]:
    if isinstance(entry, list):
        pairs = (str(pair).partition("=") for pair in entry)
        return {name: value for name, _, value in pairs}
    return {name: _text(value) for name, value in (entry or {}).items()}


def _service(name: str, entry: Mapping[str, Any]) -> Service:
    command = entry.get("command") or []
    mounts = list(_mounts(entry.get("volumes", [])))
    certificates = f"${{{TLS_DIRECTORY}}}/"
    return Service(
        name=name,
        image=str(entry["image"]),
        command=tuple(shlex.split(command) if isinstance(command, str) else map(str, command)),
        environment=_variables(entry.get("environment")),
        files={
            target: source.removeprefix(certificates)
            for source, target in mounts
            if source.startswith(certificates)
        },
        volumes={target: source for source, target in mounts if re.fullmatch(r"\w[\w-]*", source)},
        tmpfs=tuple(str(path).partition(":")[0] for path in _list(entry.get("tmpfs"))),
        ports=tuple(_port(port) for port in entry.get("ports", [])),
        profiles=tuple(entry.get("profiles", ())),
        keys=tuple(entry),
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def _mounts(volumes: list[Any]) -> Iterator[tuple[str, str]]:
    for volume in volumes:
        if isinstance(volume, dict):
            yield str(volume["source"]), str(volume["target"])
        else:
            source, target, *_ = str(volume).split(":")
            yield source, target


def _port(entry: Any) -> int:
    if isinstance(entry, dict):
        return int(entry["target"])
    found = PORT.fullmatch(str(entry).removesuffix("/tcp"))
    if not found:
        raise ValueError(f"a port that is not a single one: {entry}")
    return int(found[1])


SUPPORTED: Final = (
    *("image", "labels", "command", "environment", "volumes", "tmpfs", "ports", "profiles"),
    *("depends_on", "mem_limit", "memswap_limit", "cpus", "stop_grace_period", "restart"),
)
"""Keys of an entry that tests treat as Compose does, or that make no difference to them."""


def require_supported(service: Service) -> None:
    """Require that tests can start `service` as its entry says.

    Raises:
        WrongInputError: its entry has a key or a volume that tests would ignore.
    """
    others = [key for key in service.keys if key not in SUPPORTED]
    others += [f"volumes: {name}" for name in service.volumes.values()]
    if others:
        raise WrongInputError(
            expected=f"the entry of {service.name} in compose.yml to have only what tests support",
            seen=", ".join(others),
            next_command="put it into its Dockerfile, or give it code in runtime/ (WITH_CODE)",
        )


def emulated(service: Service) -> str | None:
    """Return the folder below runtime/services that the image of `service` is built from.

    It is None for an image that is not built there: the deployed image, or the database's.
    """
    found = VARIABLE.fullmatch(service.image)
    name = found[1].removesuffix("_IMAGE").lower().replace("_", "-") if found else ""
    return name if name and (SERVICES_DIRECTORY / name).is_dir() else None


def image_variable(name: str) -> str:
    """Return the variable that names the image of the emulated service `name`."""
    return f"{name.upper().replace('-', '_')}_IMAGE"


def variables(path: Path = COMPOSE_FILE) -> list[str]:
    """Return the names of all variables that the description uses."""
    return sorted({found[1] for found in VARIABLE.finditer(path.read_text())})
