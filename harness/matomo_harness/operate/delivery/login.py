"""How one logs into a registry: never by an argument, and by a file for no longer than needed."""

import base64
import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from matomo_harness import extra
from matomo_harness.errors import WrongInputError

USER: Final = "REGISTRY_USER"
PASSWORD: Final = "REGISTRY_PASSWORD"  # noqa: S105  a variable's name


@dataclass(frozen=True)
class Login:
    """Who logs into a registry.

    Args:
        user: the name.
        password: a password or a token.
    """

    user: str
    password: str = field(repr=False)

    @property
    def pair(self) -> str:
        """Both, as Basic authentication and docker's configuration write them."""
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def of_this_machine(host: str, environment: Mapping[str, str] = os.environ) -> Login | None:
    """Return the login for a registry that is not ECR: the environment's, or that of docker.

    Args:
        host: the registry.
        environment: with REGISTRY_USER and REGISTRY_PASSWORD, if any.

    Raises:
        WrongInputError: docker keeps its logins with a program that does not answer.
    """
    if environment.get(USER) and environment.get(PASSWORD):
        return Login(environment[USER], environment[PASSWORD])
    extra.require_engine_libraries()
    from docker import auth, errors  # reads ~/.docker/config.json, with the helpers that it names

    try:
        found = auth.load_config().resolve_authconfig(host) or {}
    except errors.DockerException as error:
        raise WrongInputError(
            expected=f"docker's login for {host}, from the helper that ~/.docker/config.json names",
            seen=str(error),
            next_command=f"{USER} and {PASSWORD} in the environment; or docker login {host}",
        ) from error
    user, password = found.get("username") or found.get("Username"), found.get("password")
    password = password or found.get("Password") or found.get("Secret")
    return Login(user, password) if user and password else None


@contextlib.contextmanager
def authfile(host: str, login: Login | None) -> Iterator[Path]:
    """Yield a file, for this user alone, by which a program logs in; it is removed afterwards.

    Args:
        host: the registry.
        login: who logs in; None writes a file without a login, so that no other is taken.
    """
    auths = {host: {"auth": login.pair}} if login else {}
    with _directory() as directory:
        path = directory / "auth.json"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"auths": auths}, file)
        yield path


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    """Yield a directory of mode 0700; with the engine's libraries it goes with a killed process."""
    if extra.is_installed():
        from matomo_harness.runtime import reaper

        with reaper.directory("login") as made:
            yield made
    else:
        with tempfile.TemporaryDirectory(prefix="matomo-harness-login-") as name:
            yield Path(name)
