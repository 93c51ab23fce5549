"""Say what an image is, as the harness sees it."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from docker.errors import APIError, NotFound
from docker.models.containers import Container

from matomo_harness.matomo.image import ImageProfile
from matomo_harness.policy import deployment
from matomo_harness.progress import step
from matomo_harness.runtime import compose_model, compose_project, images, profiles
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.inspection import inspected

SOURCES: Final = {
    "file": "a file of the image, which its start puts in place",
    "web root": "a file of the image below the web root",
    "rendered": "written by its start",
    "wizard": "none: the installation wizard makes it",
}


def image_of(what: str, service: str) -> Image:
    """Return the image that `what` names.

    Args:
        what: an image, a container, or a Compose file, or several with a colon between them.
        service: the service of a Compose file.

    Raises:
        WrongInputError: there is no such image, container or service.
    """
    if files := compose_files(what):
        what = _image_of_service(files, what, service)
    else:
        with suppress(NotFound, APIError):
            container = engine().containers.get(what)
            return _image_of_container(container)
    return images.given(what, "the argument")


def compose_files(what: str) -> list[Path]:
    """Return the Compose files that `what` names; none where it names an image or a container."""
    files = [Path(part) for part in what.split(os.pathsep) if part]
    return files if all(file.suffix in (".yml", ".yaml") for file in files) else []


def beyond_the_image(what: str, service: str) -> list[str]:
    """Return what a service of a Compose file has besides its image, of which nothing is seen here.

    Args:
        what: as in `image_of`; an image or a container has nothing besides.
        service: the service of a Compose file.
    """
    if not (files := compose_files(what)):
        return []
    one = compose_model.service(compose_project.resolved(files), service, what)
    # Names alone: a value may be a password.
    names = ", ".join(one.get("environment") or ())
    mounts = ", ".join(str(mount["target"]) for mount in one.get("volumes") or ())
    found = [f"variables ({names})"] if names else []
    found += [f"mounts ({mounts})"] if mounts else []
    return found + [key for key in ("command", "entrypoint", "user", "ports") if one.get(key)]


def _image_of_container(container: Container) -> Image:
    """Return its image, by name as long as the name is still that image's."""
    identity = str(inspected(container, "Image"))
    named = images.local(str(inspected(container, "Config", "Image")), "given")
    return named if named and named.id == identity else Image(identity, identity, "given")


def _image_of_service(files: Sequence[Path], what: str, service: str) -> str:
    """Return the image of a service, as Compose itself reads the files."""
    model = compose_project.resolved(files)
    entry = compose_model.service(model, service, what)
    compose_model.require_image(model, service, what)
    return str(entry["image"])


def profile_of(image: Image, directory: Path) -> ImageProfile:
    """Look at `image`, as the harness does before it installs Matomo in it.

    Args:
        image: the image.
        directory: where its deployment.toml is, if it has one.
    """
    path = deployment.beside(directory / "policy.toml")
    declared = deployment.read(path) if path else None
    with step(f"Looking at {image.reference}"):
        return profiles.look(image, declared)


def described(profile: ImageProfile) -> Iterator[tuple[str, str]]:
    """Yield what there is to say of an image, as a name and a text."""
    yield "Matomo", f"{profile.matomo}, in {profile.code}"
    yield "PHP", profile.php
    files = "with files of the image in it" if profile.has_web_root_files else "empty in the image"
    yield "web root", f"{profile.web_root}, {files}"
    alone = "" if profile.starts_alone else " (declared: it does not start without a database)"
    if profile.redirects:
        alone += ", which leads to https where X-Forwarded-Proto does not say it"
    if profile.speaks_tls:
        alone += ", by TLS"
    yield "web server", f"{profile.web_server} on port {profile.port}{alone}, as {profile.web_user}"
    yield "starts as", profile.user or "root"
    yield "entrypoint", " ".join(profile.entrypoint) or "none"
    yield "command", " ".join(profile.command) or "none: the entrypoint starts the server"
    yield "volumes", ", ".join(profile.volumes) or "none"
    seed = f": {profile.seed}" if profile.seed else ""
    yield "config.ini.php", SOURCES[profile.configuration] + seed
    if profile.templates:
        yield "templates", ", ".join(profile.templates)
    if profile.variables:
        pairs = (f"{key} from {name}" for key, name in profile.variables)
        yield "from the environment", ", ".join(pairs)
    if profile.lists_installed_plugins:
        yield "[PluginsInstalled]", "is in it: it would keep the installer from making their tables"
    if guessed := [pair for pair in profile.named if pair not in profile.variables]:
        pairs = (f"{key} from {name}" for key, name in guessed)
        yield "by their names", ", ".join(pairs)
    yield "table prefix", "not said" if profile.prefix is None else repr(profile.prefix)
    yield "plugins", f"{len(profile.plugins)} folders"
    own = "" if profile.has_archiver else " (Matomo's own: the image has none)"
    yield "archiver", " ".join(profile.archiver) + own
    if profile.tasks:
        yield "scheduled tasks", " ".join(profile.tasks)
    if profile.queue:
        yield "queue", " ".join(profile.queue)
    if profile.cron:
        yield "cron", "; ".join(profile.cron)
    yield "programs with our contract", ", ".join(profile.programs) or "none"
