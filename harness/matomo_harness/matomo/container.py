"""What can be done with a Matomo from the inside of its container; runtime/ implements it."""

from typing import Final, Protocol

from matomo_harness.errors import HarnessError
from matomo_harness.matomo.image import ImageProfile

WEB_ROOT: Final = "/var/www/html"
SEED: Final = "/usr/src/matomo-config/config.ini.php"
"""The image's config.ini.php; the first task of a new volume copies it to config/."""
ADDED: Final = "/golden/added.ini"
"""What the harness added to config.ini.php; only its own images have this file."""


class OutOfReachError(HarnessError):
    """What was given of a Matomo that is not ours does not suffice to see this."""


class MatomoContainer(Protocol):
    """Console, files and health check of one Matomo."""

    @property
    def name(self) -> str:
        """The container's name, as the engine calls it."""

    @property
    def instance(self) -> str | None:
        """The id of an instance that shares its container with others; None where it does not."""

    @property
    def profile(self) -> ImageProfile:
        """What its image is."""

    @property
    def config(self) -> str:
        """The path of its config.ini.php, below the web root."""

    @property
    def tmp(self) -> str:
        """The directory of its caches, assets and templates, below the web root."""

    @property
    def uploads(self) -> str:
        """The directory of uploaded files, below the web root."""

    @property
    def started_at(self) -> int:
        """When the container was started, in seconds since 1970, by the engine's clock."""

    def run(self, *command: str, user: str = "") -> str:
        """Run `command` in the web root and return its standard output.

        Args:
            command: program and arguments.
            user: the user that it runs as; the web server's by default.

        Raises:
            BrokenPromiseError: the command exits non-zero.
        """

    def console(self, *arguments: str) -> str:
        """Run Matomo's console as the web server's user.

        Raises:
            BrokenPromiseError: the command exits non-zero.
        """

    def health(self) -> str | None:
        """Return None when the image's own health check passes, else its reason."""

    def read(self, path: str) -> str:
        """Return the text of a file below the web root.

        Raises:
            BrokenPromiseError: there is no such file.
        """

    def write(self, path: str, text: str, user: str = "") -> None:
        """Write a file below the web root.

        Raises:
            BrokenPromiseError: `user` may not write there.
            WrongInputError: the file is not this instance's alone.
        """


PLUGIN_PLACES: Final = 'printf %s "${MATOMO_PLUGIN_DIRS:-}"'
"""Prints where plugins are besides plugins/, as `directory;address:directory;address`
(Plugin\\Manager::initPluginDirectories)."""


def plugin_places(container: MatomoContainer) -> tuple[str, ...]:
    """Return the directories that Matomo loads plugins from, below the web root or whole."""
    said = container.run("sh", "-c", PLUGIN_PLACES)
    others = (pair.partition(";")[0].rstrip("/") for pair in said.split(":"))
    return ("plugins", *filter(None, others))


def plugin_folders(container: MatomoContainer) -> frozenset[str]:
    """Return the names of the plugins that Matomo can load."""
    script = 'for place; do ls "$place" 2>/dev/null; done; true'
    return frozenset(container.run("sh", "-c", script, "sh", *plugin_places(container)).split())
