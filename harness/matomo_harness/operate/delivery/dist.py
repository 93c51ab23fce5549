"""Build the image that is delivered: for the service's machines, named by its commit."""

import contextlib
from pathlib import Path

from matomo_harness.errors import WrongInputError
from matomo_harness.operate.delivery.commit import current
from matomo_harness.operate.delivery.stages import Delivery
from matomo_harness.runtime import images
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.images import Image
from matomo_harness.settings import ROOT, RunSettings

PLATFORM = "linux/amd64"
"""What Fargate runs here."""
ON_A_SUBSTITUTE = (
    "it is built on a substitute of the official image, which is for tests: name what production"
    " runs, as in MATOMO_BASE=matomo:5.10.0-apache make dist-dev"
)
"""What whoever builds or publishes such an image is told."""


def dist(tag: str, settings: RunSettings) -> tuple[Image, list[str]]:
    """Build image/ on its base; return it, with all its names.

    Args:
        tag: its first name. Others are its commit, and its name in the registry of dev where
            delivery.toml has one.
        settings: which base.

    Raises:
        HarnessError: the name is none, or the image cannot be built.
    """
    images.require_name(tag)
    built = images.build_deployed(images.matomo_base(settings), tag, platform=PLATFORM)
    names = [tag, *_names_of_commit(ROOT)]
    for name in names[1:]:
        repository, _, version = name.rpartition(":")
        engine().images.get(built.id).tag(repository, version)
    return built, names


def _names_of_commit(directory: Path) -> list[str]:
    """Return what an image of the commit that is checked out is called; none without a commit."""
    names = []
    with contextlib.suppress(WrongInputError):  # no commit, or placeholders in delivery.toml
        commit = current(directory)
        names.append(f"matomo:{commit}")
        names.append(f"{Delivery.read().stage('dev').stage.name}:{commit}")
    return names
