"""What a stack must know of the image that it runs, where that is not the reference image.

compose.yml says what the reference image needs. Any other image is looked at once; what differs is
added to compose.yml by a file of the stack's own, or refused by name.
"""

import dataclasses
import functools
import json
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from docker.models.containers import Container

from matomo_harness import process
from matomo_harness.errors import UnsupportedEnvironmentError, WrongInputError
from matomo_harness.matomo import ini
from matomo_harness.matomo.image import OFFICIAL, PROCESS_MANAGER, ImageProfile, profile_of
from matomo_harness.operate import compose, prepare
from matomo_harness.operate.stack import LOCAL, Stack
from matomo_harness.policy import POLICY_FILE, deployment
from matomo_harness.policy.deployment import DeploymentFile
from matomo_harness.progress import step
from matomo_harness.runtime import images
from matomo_harness.runtime.archiver import Job, jobs, reference_job
from matomo_harness.runtime.containers import web_root_options
from matomo_harness.runtime.golden import (
    as_matomo_sees,
    close_configuration,
    code_hash,
    open_configuration,
)
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.inspection import inspected
from matomo_harness.runtime.load_balancer import TO_TLS
from matomo_harness.runtime.profiles import look
from matomo_harness.runtime.shell import MatomoShell
from matomo_harness.settings import ROOT

POLICY: Final = "POLICY"
"""The variable that names the policy: what an image needs lies beside it, as for the gate."""
PROFILES: Final = ROOT / ".local" / "images"
"""What was seen of images, by a hash of the image and of the code that looked."""
MOUNTED: Final = ("config", "misc", "js")
"""Directories below the web root that compose.yml has a volume for."""
SECTIONS: Final = {"DATABASE": "database", "MAIL": "mail", "GENERAL": "General"}
"""Sections of config.ini.php, as the variables in compose.yml name them."""
SALT: Final = ("General", "salt")
SCHEME: Final = ("assume_secure_protocol", "proxy_scheme_headers", "proxy_scheme_headers[]")
"""Either has Matomo know that a load balancer was reached by https."""


@dataclass(frozen=True)
class StackImage:
    """The image of a stack.

    Args:
        profile: what was seen of it.
        declared: its deployment.toml; the defaults where it has none.
        is_reference: whether it is the image that compose.yml is written for.
    """

    profile: ImageProfile
    declared: DeploymentFile
    is_reference: bool

    @property
    def jobs(self) -> list[Job]:
        """What the schedule starts beside its web container."""
        if self.is_reference:
            return [reference_job()]
        return jobs(self.profile, self.declared.archiver.limits)

    @property
    def archiver_command(self) -> str:
        """The command that archives, as a person types it."""
        return shlex.join(self.declared.archiver.command or self.profile.archiver)

    @property
    def variables(self) -> dict[str, str]:
        """The variables that compose.yml takes for its tasks."""
        found = self.declared.variables
        if self.is_reference:
            return found
        # The schedule starts the archiver itself (operate/schedule.py).
        target = TO_TLS if self.profile.speaks_tls else ""
        port = str(self.profile.port)
        return {**found, "WEB_PORT": port, "TARGET_OPTIONS": target, "ARCHIVER_COMMAND": "true"}

    def added(self, known: Mapping[str, str]) -> dict[str, Any]:
        """Return what is added to compose.yml for it; empty for the reference image.

        Args:
            known: the variables that compose.yml sets for the reference image.
        """
        if self.is_reference:
            return {}
        variables = {
            name: text.replace("$", "$$") for name, text in self.profile.environment(known).items()
        }
        web: dict[str, Any] = {"environment": variables}
        root = self.profile.web_root
        if not self.profile.has_web_root_files:
            web |= {"tmpfs": _Instead([f"{root}:{web_root_options(self.profile)},size=512m"])}
        else:
            # Memory would hide what the image has there; a volume begins with it.
            volumes = [{"type": "volume", "target": root}]
            volumes += [
                {"type": "volume", "source": part, "target": f"{root}/{part}"} for part in MOUNTED
            ]
            web |= {"tmpfs": _Instead(), "volumes": volumes}
        return {"services": {"efs": {"user": "0:0"}, "matomo": web}}


def of(image: Image) -> StackImage:
    """Return what a stack must know of `image`, which is looked at once.

    Raises:
        WrongInputError: it is no Matomo, its deployment.toml has a mistake, or the local stack
            cannot run it.
        UnsupportedEnvironmentError: it does not start.
    """
    return _of(image.id, image.reference, declared())


def of_container(container: Container) -> StackImage:
    """Return the same of the image that a web container runs."""
    image, named = inspected(container, "Image"), inspected(container, "Config", "Image")
    return _of(str(image), str(named), declared())


def declared() -> Path | None:
    """Return the deployment.toml beside the policy that POLICY names, or in this directory."""
    return deployment.beside(Path(os.environ.get(POLICY) or POLICY_FILE.name))


@contextmanager
def declared_beside(policy: Path | None) -> Iterator[None]:
    """Go by the deployment.toml beside a policy for the block, where one is named."""
    with process.variable(POLICY, str(policy or os.environ.get(POLICY, ""))):
        yield


def shell_of(stack: Stack = LOCAL) -> MatomoShell:
    """Return the shell of a stack's running Matomo.

    Raises:
        WrongInputError: the stack is not up.
    """
    container = compose.running("matomo", stack)
    return MatomoShell(container, profile=of_container(container).profile)


@functools.cache
def _of(image_id: str, reference: str, said: Path | None) -> StackImage:
    image = Image(reference, image_id, "local")
    if images.is_reference(image):
        return StackImage(OFFICIAL, deployment.read(), is_reference=True)
    needs = deployment.read(said) if said else DeploymentFile()
    profile = _seen(image, needs)
    require_supported(profile, reference)
    return StackImage(profile, needs, is_reference=False)


def _seen(image: Image, declared: DeploymentFile) -> ImageProfile:
    path = PROFILES / f"{images.content_hash(code_hash(), image.id, declared.digest)}.json"
    if path.exists():
        return profile_of(json.loads(path.read_text()))
    with step(f"Looking at {image.reference}"):
        profile = look(image, declared)
    # What deployment.toml declares may be a secret.
    for directory in (PROFILES.parent, PROFILES):
        directory.mkdir(mode=0o700, exist_ok=True)
    partly = path.with_suffix(".new")
    partly.write_text(json.dumps(dataclasses.asdict(profile)))
    partly.replace(path)
    return profile


def require_supported(profile: ImageProfile, reference: str) -> None:
    """Refuse what the local stack has nothing for; a gate may judge it all the same.

    Raises:
        WrongInputError: the image is one of those.
    """
    if profile.web_root != OFFICIAL.web_root:
        seen = f"it serves {profile.web_root}"
    elif profile.web_server == PROCESS_MANAGER:
        seen = f"{PROCESS_MANAGER} alone, without a web server"
    elif profile.starts_by_entrypoint:
        # Beside the web container its archiver would start a web server instead.
        seen = "an ENTRYPOINT that starts the web server whatever command it is given"
    else:
        return
    raise WrongInputError(
        expected=f"{reference} to serve {OFFICIAL.web_root} by HTTP and to run a command beside it,"
        " for a stack on this machine",
        seen=seen,
        next_command=f"make gate IMAGE={reference}   (starts what such an image needs)",
    )


# -- the file beside compose.yml ------------------------------------------------------------------


class _Instead(list[str]):
    """A list that takes the place of compose.yml's (Compose 2.24.4 and newer)."""


class _Dumper(yaml.SafeDumper):
    pass


OVERRIDE: Final = "!override"
_Dumper.add_representer(_Instead, lambda dumper, items: dumper.represent_sequence(OVERRIDE, items))


def write(image: StackImage, known: Mapping[str, str], stack: Stack) -> None:
    """Write what is added to compose.yml for the image of `stack`, or remove what was.

    Args:
        image: the image.
        known: see StackImage.added.
        stack: whose it is.

    Raises:
        UnsupportedEnvironmentError: this machine's Compose is too old for it.
    """
    path = compose.file_of_the_image(stack)
    added = image.added(known)
    if not added:
        path.unlink(missing_ok=True)
        return
    text = as_text(added)
    if OVERRIDE in text:
        _require_override()
    path.touch(mode=0o600)  # it has the database's password
    path.write_text(text)


def _require_override() -> None:
    version = prepare.compose_version()
    if version is not None and version < prepare.REPLACES_LISTS:
        raise UnsupportedEnvironmentError(
            expected="Compose 2.24.4 or newer, which an image of your own needs here",
            seen=".".join(map(str, version)),
            next_command="install a newer docker-compose-plugin, or judge the image without a"
            " stack: make gate IMAGE=…",
        )


def as_text(added: Mapping[str, Any]) -> str:
    """Return what is added as a Compose file."""
    return str(yaml.dump(dict(added), Dumper=_Dumper))


# -- config.ini.php -------------------------------------------------------------------------------


@contextmanager
def writable_configuration(shell: MatomoShell) -> Iterator[None]:
    """Have Matomo save its config.ini.php meanwhile, where the image's start closes it."""
    closed = open_configuration(shell)
    try:
        yield
    finally:
        if closed:
            close_configuration(shell, *closed)


def settle(shell: MatomoShell, known: Mapping[str, str]) -> None:
    """Have Matomo use this stack's database, mail relay and salt.

    An image that takes them from its environment has them already. Into any other's config.ini.php
    they are written, as production's own would lead to production.

    Args:
        shell: of the web container, whose Matomo need not be installed.
        known: the variables that compose.yml sets for the reference image.

    Raises:
        WrongInputError: each start of the image writes its own file, which leads elsewhere; or its
            code cannot be started.
    """
    wanted = {
        (SECTIONS[section], key.lower()): text
        for name, text in known.items()
        for _, _, rest in [name.partition("MATOMO_")]
        for section, _, key in [rest.partition("_")]
        if section in SECTIONS
    }
    own = shell.run("sh", "-c", f"cat {shell.config} 2>/dev/null || true", user="root")
    seen = as_matomo_sees(shell) if own else {}
    decided = {key: text for key, text in wanted.items() if key == SALT or key[0] == "database"}
    lacking = sorted(key for key, text in decided.items() if seen.get(key) != text)
    if not lacking:
        return
    if shell.profile.configuration == "rendered":
        names = ", ".join(f"[{section}] {key}" for section, key in lacking)
        raise WrongInputError(
            expected="an image that renders config.ini.php to render what leads to the database",
            seen=f"nothing by which to say {names}",
            next_command="give its template a placeholder for each, or name the variables in"
            " [web] variables of deployment.toml",
        )
    text = own or ini.HEADER
    if not ini.read(text).text("database", "charset"):
        # As Matomo's installer writes it where the server can.
        text = ini.with_key(text, "database", "charset", "utf8mb4")
    general = ini.read(text).settings.get("General", {})
    if not any(key.removesuffix("[]") in general for key in SCHEME):
        text = ini.with_key(text, "General", SCHEME[0], 1)
    for (section, key), value in wanted.items():
        text = ini.with_key(text, section, key, value)
    shell.write(shell.config, text, user="root")
    shell.run("chown", shell.profile.web_user, shell.config, user="root")
