"""Find the images that a run uses, and build those that are missing.

The tag of every image that is built here is a hash of what went into it, so that nothing is built
twice and a change of any input causes a new build.
"""

import contextlib
import hashlib
import io
import os
import re
import shutil
import ssl
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal
from urllib.parse import urlsplit, urlunsplit

import requests
from docker.credentials.errors import StoreError
from docker.errors import APIError, BuildError, DockerException, ImageNotFound
from docker.models.images import Image as EngineImage
from filelock import FileLock
from rich.text import Text

from matomo_harness import process
from matomo_harness.errors import HarnessError, UnsupportedEnvironmentError, WrongInputError
from matomo_harness.matomo import versions
from matomo_harness.matomo.database_versions import DATABASES
from matomo_harness.matomo.image import HEALTH
from matomo_harness.progress import ProgressStep, step
from matomo_harness.runtime import reaper
from matomo_harness.runtime.description import SERVICES_DIRECTORY
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.inspection import inspected
from matomo_harness.settings import IMAGE_DIRECTORY, OWNER_LABEL, ROOT, SUBSTITUTE, RunSettings

BASES_DIRECTORY: Final = IMAGE_DIRECTORY / "bases"
"""Substitutes for the base images of Matomo and MariaDB, each built on Debian."""
MACHINE_AUTHORITIES: Final = "machine-authorities.crt"
"""File in the build context of an emulated service: the authorities that this machine trusts, for
package managers behind its proxy."""
SUBSTITUTE_LABEL: Final = "org.matomo-harness.substitute"
"""Marks a substitute, and whatever is built on one."""
REPOSITORY: Final = "matomo-harness"
"""Prefix of every image that is built here."""

RELEASE: Final = "trixie"
"""The release of Debian that all images are built on, but the substitute of an older MariaDB."""

Origin = Literal["given", "local", "registry", "substitute"]


@dataclass(frozen=True)
class Image:
    """An image on this engine.

    Args:
        reference: name and tag to start it by.
        id: the engine's content digest, `sha256:…`.
        origin: where it came from; every report says it.
    """

    reference: str
    id: str
    origin: Origin

    @property
    def digest(self) -> str:
        """The first 12 hex digits of the id, for people to read."""
        return self.id.removeprefix("sha256:")[:12]

    def __str__(self) -> str:
        return f"{self.reference} ({self.origin}, {self.digest})"


class BaseUnavailableError(UnsupportedEnvironmentError):
    """A base image can neither be pulled nor built on this machine today."""


def matomo_base(settings: RunSettings) -> Image:
    """Return the Matomo base that `settings` ask for; a substitute is built if it is missing.

    Raises:
        WrongInputError: a given reference does not exist.
        BaseUnavailableError: the substitute cannot be built, for example because Debian moved on.
    """
    tested = versions.TESTED[settings.matomo_version]
    substitute = _Substitute("matomo", tested.name, tested.build_arguments)
    return _base(settings.matomo_base, "MATOMO_BASE", tested.official_image, substitute)


def mariadb_base(settings: RunSettings) -> Image:
    """Return the MariaDB image that `settings` ask for; a substitute is built if it is missing.

    Raises:
        WrongInputError: a given reference does not exist.
        BaseUnavailableError: the substitute cannot be built.
    """
    version = DATABASES[settings.mariadb_version]
    substitute = _Substitute("mariadb", version.name, {}, version.debian_release, tuple(DATABASES))
    return _base(settings.mariadb_base, "MARIADB_BASE", version.official_image, substitute)


def deployed_image(settings: RunSettings) -> Image:
    """Return the image under test: the given one, or image/ built on its base.

    Raises:
        WrongInputError: a given reference does not exist, or image/ has a mistake.
        UnsupportedEnvironmentError: there is no disk space, or no base.
    """
    if settings.image:
        return given(settings.image, "IMAGE")
    base = matomo_base(settings)
    key = content_hash(tree(IMAGE_DIRECTORY, BASES_DIRECTORY), base.id, *ABOUT.values())
    tag = f"{REPOSITORY}/matomo:{key}"
    return _built_once(tag, "local", lambda: build_deployed(base, tag))


def build_deployed(
    base: Image,
    tag: str,
    *,
    directory: Path = IMAGE_DIRECTORY,
    is_cached: bool = True,
    platform: str | None = None,
) -> Image:
    """Build `directory` on `base`, with OCI labels that say what it is.

    Args:
        base: the base image.
        tag: the name of the result.
        directory: image/, or a copy of it with a change to try.
        is_cached: as for `build`.
        platform: the machine that it is for; the engine's own by default.

    Raises:
        WrongInputError: image/ has a mistake (a broken config.ini.php, a missing plugin).
        UnsupportedEnvironmentError: there is no disk space.
    """
    arguments = {"MATOMO_BASE": base.reference}
    with readable(directory) as context:
        return build(
            context,
            tag,
            arguments,
            _oci_labels(base),
            is_cached=is_cached,
            platform=platform,
        )


def is_reference(image: Image) -> bool:
    """Whether `image` was built by image/Dockerfile and by nothing on top of it."""
    for layer in engine().images.get(image.id).history():
        instruction = str(layer.get("CreatedBy", ""))
        if "HEALTHCHECK" in instruction:  # the Dockerfile's last line
            return HEALTH in instruction
        if "LABEL" not in instruction:
            break
    return False


def is_on_substitute(image: Image) -> bool:
    """Whether `image` is a substitute, or built on one: such an image is for tests alone."""
    return SUBSTITUTE_LABEL in engine().images.get(image.id).labels


def require_name(tag: str) -> None:
    """Ask the engine whether an image can have this name, before anything is built.

    Raises:
        WrongInputError: no image can have this name.
    """
    try:
        engine().images.get(tag)
    except ImageNotFound:
        return
    except APIError as error:
        if error.status_code != 400:
            raise
        raise WrongInputError(
            expected="a name that an image can have, such as matomo:latest",
            seen=f"invalid tag '{tag}'",
            next_command="matomo-harness dist matomo:latest",
        ) from error


def code_version(reference: str) -> str:
    """Return the Matomo version of an image's code, from core/Version.php in it.

    The image's own variable MATOMO_VERSION may be absent (a substitute) or stale (a derived image).
    """
    code = 'require "/usr/src/matomo/core/Version.php"; echo Piwik\\Version::VERSION;'
    # A PHP that misses an extension says so first, on the stream that `run_once` returns as well.
    return _last_line(run_once(reference, ["php", "-r", code]))


def run_once(
    reference: str,
    command: list[str],
    *,
    user: str | None = None,
    volumes: Mapping[str, dict[str, str]] = MappingProxyType({}),
) -> str:
    """Run `command` in a throw-away container without network and return its output.

    Args:
        reference: the image.
        command: program and arguments; the image's entrypoint does not run.
        user: the user that it runs as; the image's own where None.
        volumes: what is mounted: `bind` (a path) and `mode`, by the volume's name.

    Raises:
        UnsupportedEnvironmentError: the command failed.
    """
    try:
        container = engine().containers.create(
            reference,
            command,
            entrypoint=[],
            network_mode="none",
            user=user,
            volumes=dict(volumes),
            labels=reaper.this_process().labels,
        )
        try:
            container.start()
            code = container.wait()["StatusCode"]
            # Read at the end: to follow the log of a short-lived container may yield nothing.
            output = bytes(container.logs()).decode(errors="replace")
        finally:
            container.remove(force=True, v=True)
    except DockerException as error:
        raise _cannot_run(command, reference, str(error)) from error
    if code != 0:
        raise _cannot_run(command, reference, f"exit {code}: {_last_line(output)}")
    return output


def _cannot_run(command: list[str], reference: str, seen: str) -> UnsupportedEnvironmentError:
    return UnsupportedEnvironmentError(
        expected=f"{command[0]} to run in {reference}",
        seen=_last_line(seen),
        next_command=f"docker run --rm -it --entrypoint sh {reference}",
    )


SAME_MACHINE: Final = {"x86_64": "amd64", "aarch64": "arm64"}
"""The kernel's names of architectures, as some engines say them, and Go's, which images have."""


def require_runnable(image: Image) -> None:
    """Refuse an image that is for another machine than the engine's.

    An engine may run such an image all the same, slowly, by an emulator (Docker Desktop on Apple's
    processors does); so one of another architecture is refused where no program of it runs.

    Raises:
        WrongInputError: it is for another operating system or architecture, and does not run.
    """
    found = engine().images.get(image.reference)
    version = engine().version()
    of_image = _platform(inspected(found, "Os"), inspected(found, "Architecture"))
    of_engine = _platform(version.get("Os"), version.get("Arch"))
    if of_image == of_engine:
        return
    try:
        run_once(image.reference, ["/bin/sh", "-c", "exit 0"])
    except UnsupportedEnvironmentError as error:
        raise WrongInputError(
            expected=f"{image.reference} to be for {of_engine}, as this engine is",
            seen=f"an image for {of_image}, of which no program runs here: {error.seen}",
            next_command=f"docker pull --platform {of_engine} {image.reference}"
            f"   (or build it with --platform {of_engine})",
        ) from error


def _platform(system: str | None, architecture: str | None) -> str:
    named = architecture or "an architecture that is not said"
    return f"{system or 'linux'}/{SAME_MACHINE.get(named, named)}"


def file_in(reference: str, path: str) -> bytes:
    """Return the content of a file in an image, without running anything.

    Args:
        reference: the image.
        path: path of a file that exists.
    """
    labels = reaper.this_process().labels
    container = engine().containers.create(reference, ["never", "started"], labels=labels)
    try:
        chunks, _ = container.get_archive(path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            member = archive.extractfile(Path(path).name)
            assert member is not None  # noqa: S101  the path is a file's, not a directory's
            return member.read()
    finally:
        container.remove(force=True, v=True)


# -- where a base comes from ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Substitute:
    """A base image that image/bases/ builds.

    Args:
        name: its directory.
        version: version of the official image that it replaces.
        arguments: its build arguments.
        release: of Debian, that it is built on.
        versions: all that there are of it, where one may have a folder of its own in the directory,
            with another Dockerfile.
    """

    name: str
    version: str
    arguments: Mapping[str, str]
    release: str = RELEASE
    versions: tuple[str, ...] = ()

    @property
    def directory(self) -> Path:
        """The build context."""
        return BASES_DIRECTORY / self.name

    @property
    def dockerfile(self) -> str:
        """Its Dockerfile, below the directory."""
        own = f"{self.version}/Dockerfile"
        return own if (self.directory / own).exists() else "Dockerfile"

    @property
    def of_others(self) -> list[Path]:
        """The folders of the other versions: what changes in them changes nothing here."""
        return [self.directory / other for other in self.versions if other != self.version]


def _base(choice: str, variable: str, official: str, substitute: _Substitute) -> Image:
    if choice == SUBSTITUTE:
        return _build_substitute(substitute)
    if choice == "auto":
        here = local(official, "local") or _local_substitute(substitute)
        return here or _pulled(official) or _build_substitute(substitute)
    return given(choice, variable)


def given(reference: str, named_by: str) -> Image:
    """Return the image that a user named.

    Args:
        reference: name and tag, or an id.
        named_by: what the user named it by, for the error.

    Raises:
        WrongInputError: it is neither here nor in a registry.
    """
    image = local(reference, "given") or _pulled(reference)
    if image is None:
        raise WrongInputError(
            expected=f"{named_by} to name an image that is on this machine or in a registry",
            seen=f"{reference}, which is neither",
            next_command=f"docker images, or docker pull {reference} for the registry's own words",
        )
    return image


def local(reference: str, origin: Origin) -> Image | None:
    """Return the image of this name on the engine; None where there is none.

    Args:
        reference: name and tag.
        origin: where to say that it came from.
    """
    reaper.hold_images()  # the caller is about to use what is found
    try:
        found = engine().images.get(reference)
    except ImageNotFound:
        return None
    except APIError as error:
        if error.status_code == 400:  # the reference is not valid at all
            return None
        raise
    return Image(reference, str(found.id), origin)


def listed(label: str | None = None) -> list[EngineImage]:
    """Return the engine's images, without those that somebody removes meanwhile.

    Args:
        label: return only the images that carry it.
    """
    found = []
    for summary in engine().api.images(filters={"label": label} if label else None):
        with contextlib.suppress(ImageNotFound):  # the client's own list would fail with it
            found.append(engine().images.get(summary["Id"]))
    return found


def _pulled(reference: str) -> Image | None:
    """Pull `reference`; return None where there is no registry, or no such image in it."""
    try:
        with step(f"Looking for {reference} in the registry"):
            engine().images.pull(reference)
    except (APIError, requests.RequestException, ValueError):
        return None
    except (DockerException, StoreError) as error:
        raise _helper_failed(error) from error
    return local(reference, "registry")


def _helper_failed(error: Exception) -> UnsupportedEnvironmentError:
    return UnsupportedEnvironmentError(
        expected="the credential helper of ~/.docker/config.json to answer",
        seen=str(error)[:300],
        next_command="docker login, or take credsStore and credHelpers out of that file",
    )


# -- substitutes ----------------------------------------------------------------------------------


def _local_substitute(substitute: _Substitute) -> Image | None:
    debian = _local_debian(substitute.release)
    return local(_substitute_tag(substitute, debian), "substitute") if debian else None


def _build_substitute(substitute: _Substitute) -> Image:
    debian = _debian(substitute.release)
    tag = _substitute_tag(substitute, debian)
    return _built_once(tag, "substitute", lambda: _build_on_debian(substitute, debian, tag))


def _build_on_debian(substitute: _Substitute, debian: Image, tag: str) -> Image:
    directory, dockerfile = substitute.directory, substitute.dockerfile
    arguments = {"DEBIAN_BASE": debian.reference, **substitute.arguments}
    try:
        with readable(directory) as context:
            built = build(context, tag, arguments, {}, dockerfile=dockerfile)
    except WrongInputError as error:
        raise BaseUnavailableError(
            expected=f"to build the substitute {substitute.name} {substitute.version} from Debian",
            seen=error.seen,
            next_command=f"docker build -f {os.path.relpath(directory / dockerfile)}"
            f" {os.path.relpath(directory)}   (to see the whole log)",
        ) from error
    return Image(tag, built.id, "substitute")


def service_image(name: str) -> Image:
    """Return the image of the emulated service in services/`name`; build it if it is missing.

    Raises:
        BaseUnavailableError: Debian's archive or the package registry cannot be reached.
    """
    directory, debian = SERVICES_DIRECTORY / name, _debian()
    files = tree(directory, directory / "README.md")
    tag = f"{REPOSITORY}/{name}:{content_hash(files, debian.id)}"
    return _built_once(tag, "local", lambda: _build_service(directory, debian, tag))


def _build_service(directory: Path, debian: Image, tag: str) -> Image:
    with readable(directory) as context:
        shutil.copyfile(_machine_authorities(), context / MACHINE_AUTHORITIES)
        try:
            return build(context, tag, {"DEBIAN_BASE": debian.reference}, {})
        except WrongInputError as error:
            raise BaseUnavailableError(
                expected=f"to build {directory.name} from Debian's packages",
                seen=error.seen,
                next_command="the same command again, once the network or registry is back",
            ) from error


def _machine_authorities() -> Path:
    candidates = (ssl.get_default_verify_paths().cafile, "/etc/ssl/certs/ca-certificates.crt")
    found = [Path(path) for path in candidates if path and Path(path).is_file()]
    return found[0] if found else Path(requests.utils.DEFAULT_CA_BUNDLE_PATH)


def _substitute_tag(substitute: _Substitute, debian: Image) -> str:
    files = tree(substitute.directory, *substitute.of_others)
    key = content_hash(files, debian.id, *substitute.arguments.values())
    return f"{REPOSITORY}/{substitute.name}-base:{substitute.version}-{key}"


def _local_debian(release: str) -> Image | None:
    return local(debian_tag(release), "substitute") or local(f"debian:{release}-slim", "local")


def debian_tag(release: str = RELEASE) -> str:
    """Return the name of the plain Debian that substitutes and services are built on."""
    return f"{REPOSITORY}/debian:{release}"


def _debian(release: str = RELEASE) -> Image:
    """Return a plain Debian; mmdebstrap makes it where no registry has one."""
    return _built_once(
        debian_tag(release),
        "substitute",
        lambda: (
            _local_debian(release) or _pulled(f"debian:{release}-slim") or _debootstrap(release)
        ),
    )


_LEFT_OUT: Final = tuple(
    f"--dpkgopt=path-exclude=/usr/share/{directory}/*" for directory in ("doc", "man", "locale")
)
"""These are 40 MB that nobody reads in a container."""


def _debootstrap(release: str) -> Image:
    process.install_packages("mmdebstrap")
    with (
        step(f"Making a base of Debian {release} with mmdebstrap") as running,
        reaper.directory("debian") as directory,
    ):
        archive = directory / "debian.tar"
        process.run(["mmdebstrap", "--variant=minbase", *_LEFT_OUT, release, str(archive)], running)
        repository, _, version = debian_tag(release).partition(":")
        engine().api.import_image_from_file(
            str(archive),
            repository=repository,
            tag=version,
            changes=[f"LABEL {OWNER_LABEL}={REPOSITORY}"],
        )
    image = local(debian_tag(release), "substitute")
    assert image is not None  # noqa: S101  the import above did not fail
    return image


# -- building -------------------------------------------------------------------------------------


def build_lock(name: str) -> FileLock:
    """Return the lock that a process holds while it builds `name` and others wait.

    Each user has one of their own, as nobody may open another user's file there.
    """
    file = f"{name.replace('/', '-')}-{os.getuid()}.lock"
    return FileLock(Path(tempfile.gettempdir()) / file)


@contextmanager
def readable(directory: Path) -> Iterator[Path]:
    """Yield a copy of a directory of which everybody may read all, to build an image from."""
    with tempfile.TemporaryDirectory() as temporary:
        context = Path(temporary) / directory.name
        shutil.copytree(directory, context, symlinks=True)
        let_everybody_read(context)
        yield context


def let_everybody_read(directory: Path) -> None:
    """Open what is in a directory of ours to the users of containers, who are others here.

    COPY and a mount keep the modes that a checkout has, and it has what its owner's umask left.
    """
    for path in directory.rglob("*"):
        if not path.is_symlink():
            mode = path.stat().st_mode
            open_to_all = mode | 0o444 | (0o111 if mode & 0o100 else 0)
            if mode != open_to_all:  # of an installed harness root may be the owner
                path.chmod(open_to_all)


def _built_once(tag: str, origin: Origin, make: Callable[[], Image]) -> Image:
    """Return the image `tag`; of several processes that need it, one builds and the others wait."""
    if here := local(tag, origin):
        return here
    with build_lock(tag):
        return local(tag, origin) or make()


def build(
    directory: Path,
    tag: str,
    arguments: Mapping[str, str],
    labels: Mapping[str, str],
    *,
    dockerfile: str = "Dockerfile",
    is_cached: bool = True,
    platform: str | None = None,
) -> Image:
    """Build the Dockerfile in `directory` as `tag`.

    Args:
        directory: the build context.
        tag: the name of the result.
        arguments: build arguments.
        labels: labels of the result, besides the harness's own.
        dockerfile: the Dockerfile, below `directory`.
        is_cached: take layers of earlier builds, where nothing of them changed.
        platform: the machine that it is for; the engine's own by default.

    Raises:
        WrongInputError: the Dockerfile or a file that it copies has a mistake.
        UnsupportedEnvironmentError: there is no disk space.
    """
    with step(f"Building {tag}") as running:
        try:
            stream = engine().api.build(
                path=str(directory),
                dockerfile=dockerfile,
                tag=tag,
                buildargs=dict(arguments),
                labels={OWNER_LABEL: REPOSITORY, **labels},
                nocache=not is_cached,
                rm=True,
                platform=platform,
                forcerm=True,  # an interrupted build leaves no container
                decode=True,
            )
            _follow(stream, running)
        except StoreError as error:
            raise _helper_failed(error) from error
        except APIError as error:
            raise _build_failure(tag, error.explanation or str(error)) from error
        except DockerException as error:  # the build itself failed, or the name is not valid
            raise _build_failure(tag, str(error)) from error
    image = local(tag, "local")
    assert image is not None  # noqa: S101  _follow raised otherwise
    return image


def _follow(stream: Iterable[dict[str, Any]], running: ProgressStep) -> None:
    last_line = ""
    for event in stream:
        if "error" in event:
            error = event["error"]
            # The command's own last line says more than "returned a non-zero code".
            raise BuildError(f"{last_line}\n{error}" if last_line else error, iter(()))
        # The legacy builder adds colours to a command's error stream.
        if line := Text.from_ansi(str(event.get("stream", ""))).plain.strip():
            running.say(line)
            if not line.startswith(("--->", "Removing", "Step")):
                last_line = line.splitlines()[-1]


def _build_failure(tag: str, message: str) -> HarnessError:
    if "no space left on device" in message.lower():
        return UnsupportedEnvironmentError(
            expected=f"disk space to build {tag}",
            seen=_last_line(message),
            next_command="docker system df   (then make clean, or free some disk)",
        )
    first = message.strip().splitlines()[0]
    return WrongInputError(
        expected=f"{tag} to build", seen=first, next_command="fix what is named, then try again"
    )


ABOUT: Final = MappingProxyType(
    {
        "title": "Matomo as deployed",
        "description": "Matomo with its configuration, plugins and programs, judged by"
        " matomo-harness",
        "licenses": "GPL-3.0-or-later",
    }
)
"""What an image of image/ says of itself, whatever it is built of."""


def _oci_labels(base: Image) -> dict[str, str]:
    """Return labels with the pre-defined annotation keys of the OCI image-spec."""
    said = {
        **ABOUT,
        "version": code_version(base.reference),
        # With the commit where a tag names it too: what is published has to be of its commit.
        "revision": revision("--long"),
        "base.name": base.reference,
        "base.digest": base.id,
        **({"created": day} if (day := _git("log", "-1", "--format=%cI")) else {}),
        **({"source": page} if (page := page_of(_git("remote", "get-url", "origin"))) else {}),
    }
    return {f"org.opencontainers.image.{name}": text for name, text in said.items()}


def page_of(remote: str) -> str:
    """Return the page of a repository, without what opens it; empty where it has none.

    Args:
        remote: what it is cloned from.
    """
    remote = re.sub(r"^[\w.-]+@([\w.-]+):(?!/)", r"ssh://\1/", remote)  # scp's form
    address = urlsplit(remote)
    if address.scheme not in ("https", "ssh") or not address.hostname:
        return ""
    return urlunsplit(("https", address.hostname, address.path.removesuffix(".git"), "", ""))


def revision(*options: str) -> str:
    """Return the checkout's commit as `git describe` prints it; `unknown` outside git.

    Args:
        options: further ones of `git describe`.
    """
    return _git("describe", "--always", "--dirty", "--abbrev=12", *options) or "unknown"


def commit_in(folder: Path) -> str:
    """Return the commit that is checked out in a folder; `COMMIT` where it is none of git's."""
    return _git("-C", str(folder), "rev-parse", "--verify", "HEAD") or "COMMIT"


def _git(*arguments: str) -> str:
    """Return what git says of the checkout; empty where it says nothing."""
    ended = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return ended.stdout.strip()


# -- content hashes -------------------------------------------------------------------------------


def tree(directory: Path, *without: Path) -> str:
    """Return a hash of the path, execute bit and content of every file below `directory`."""
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not any(path.is_relative_to(left_out) for left_out in without):
            executable = os.access(path, os.X_OK)
            digest.update(f"{path.relative_to(directory)}\0{executable}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def content_hash(*parts: str) -> str:
    """Return 12 hex digits that change with every one of `parts`."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else text
