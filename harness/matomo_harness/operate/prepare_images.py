"""Build the images that tests start from before they start, so that no test waits for one.

Without this the first test on a version waits minutes for the base of that version, and the other
workers wait with it. The jobs of a workflow hand these images on.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from matomo_harness.progress import console
from matomo_harness.runtime import images, reaper
from matomo_harness.runtime.description import SERVICES_DIRECTORY
from matomo_harness.runtime.golden import golden
from matomo_harness.runtime.images import BaseUnavailableError
from matomo_harness.settings import RunSettings

SERVICES: Final = tuple(sorted(folder.name for folder in SERVICES_DIRECTORY.iterdir()))
"""The emulated services whose images are built here."""


def prepare_images(versions: Sequence[RunSettings], databases: Sequence[RunSettings] = ()) -> None:
    """Build what is missing, the versions side by side.

    Args:
        versions: the choices for each version; the first is needed, another may be out of reach.
        databases: the choices for other versions of MariaDB, which may be out of reach as well.

    Raises:
        HarnessError: an image of the first version, or of a service, cannot be built.
    """
    first, *others = versions
    reaper.this_process()  # once, before there are threads that would each begin a run
    images.mariadb_base(first)  # with the Debian image below all others, which the threads share
    with ThreadPoolExecutor() as pool:
        services = pool.map(images.service_image, SERVICES)
        further = pool.map(_prepare_further, others)
        servers = pool.map(_prepare_database, databases)
        _prepare(first)
        for results in (services, further, servers):
            list(results)  # raises what one of them raised


def _prepare(settings: RunSettings) -> None:
    golden(images.deployed_image(settings), images.mariadb_base(settings))


def _prepare_further(settings: RunSettings) -> None:
    """Prepare one that may have no base: then its tests are skipped, and say so."""
    try:
        _prepare(settings)
    except BaseUnavailableError as error:
        console.print(f"No base for Matomo {settings.matomo_version}: {error.seen}")


def _prepare_database(settings: RunSettings) -> None:
    """Prepare one that may have no base: then its tests fail, and say so."""
    try:
        images.mariadb_base(settings)
    except BaseUnavailableError as error:
        console.print(f"No base for MariaDB {settings.mariadb_version}: {error.seen}")
