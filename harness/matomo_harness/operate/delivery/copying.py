"""Copy images by skopeo: byte for byte, so that the digest stays."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from matomo_harness import process
from matomo_harness.errors import HarnessError, UnsupportedEnvironmentError
from matomo_harness.operate.delivery.login import authfile
from matomo_harness.operate.delivery.registry import Registry, TagTakenError, login_refused
from matomo_harness.progress import step

SKOPEO: Final = "skopeo"
REFUSED: Final = ("unauthorized", "authentication required", "no basic auth credentials", "denied")
TAKEN: Final = ("TagAlreadyExists", "tag invalid", "immutable", "cannot be overwritten")


def require_skopeo() -> None:
    """Refuse to go on without skopeo; root on Debian gets it installed.

    Raises:
        UnsupportedEnvironmentError: it is not here; `next_command` installs it.
    """
    if not shutil.which(SKOPEO):
        process.install_packages(SKOPEO)


def push(archive: Path, target: Registry, tag: str) -> None:
    """Push the image in an archive of `docker save`.

    Args:
        archive: with one image.
        target: where it goes.
        tag: its name there.

    Raises:
        HarnessError: the login is refused, the tag is taken, or the push was cut.
    """
    with _access("dest", target) as options:
        _copy(options, f"docker-archive:{archive}", f"docker://{target.name}:{tag}", target)


def copy(source: Registry, digest: str, target: Registry) -> None:
    """Copy an image by its digest; it has no tag in the target yet.

    Raises:
        HarnessError: a login is refused, or the copy was cut.
    """
    with _access("src", source) as reading, _access("dest", target) as writing:
        _copy(
            ["--preserve-digests", *reading, *writing],
            f"docker://{source.by_digest(digest)}",
            f"docker://{target.by_digest(digest)}",
            target,
        )


@contextlib.contextmanager
def _access(side: str, registry: Registry) -> Iterator[list[str]]:
    """Yield the options for one side of a copy: files with login and authority."""
    with (
        authfile(registry.host, registry.login) as login,
        tempfile.TemporaryDirectory() as directory,
    ):
        options = [f"--{side}-authfile={login}"]
        if registry.authority:
            shutil.copyfile(registry.authority, Path(directory) / "ca.crt")
            options.append(f"--{side}-cert-dir={directory}")
        yield options


def _copy(options: list[str], source: str, target: str, registry: Registry) -> None:
    command = [SKOPEO, "--insecure-policy", "copy", *options, source, target]
    environment = {name: value for name, value in os.environ.items() if "PASSWORD" not in name}
    try:
        with step(f"Copying to {target.removeprefix('docker://')}") as running:
            process.run(command, running, environment=environment)
    except UnsupportedEnvironmentError as error:
        raise _named(error, registry, target) from error


def _named(error: UnsupportedEnvironmentError, registry: Registry, target: str) -> HarnessError:
    """Return what skopeo's last lines mean."""
    if any(word in error.seen for word in TAKEN):
        return TagTakenError(
            expected=f"{target} to be free",
            seen=error.seen,
            next_command=f"skopeo inspect {target}",
        )
    if any(word in error.seen for word in REFUSED):
        return login_refused(registry.name, error.seen)
    return UnsupportedEnvironmentError(
        expected=f"the whole image to arrive at {registry.name}",
        seen=error.seen,
        next_command="the same command again: what has arrived is not sent twice, and no tag"
        " names half an image",
    )
