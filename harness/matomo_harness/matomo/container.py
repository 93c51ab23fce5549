"""What can be done with a Matomo from the inside of its container; runtime/ implements it."""

from typing import Final, Protocol

WEB_ROOT: Final = "/var/www/html"
CODE: Final = "/usr/src/matomo"
"""Of the image; every task copies it to the web root."""
SEED: Final = "/usr/src/matomo-config/config.ini.php"
"""Of the image; the first task of a new volume copies it to config/."""
ADDED: Final = "/golden/added.ini"
"""Of the harness's own images: what it added to config.ini.php; there is none anywhere else."""


class MatomoContainer(Protocol):
    """Console, files and health check of one Matomo."""

    @property
    def name(self) -> str:
        """Of the container, as the engine calls it."""

    @property
    def instance(self) -> str | None:
        """Instance id of one of several that share the container; None where it has its own."""

    @property
    def config(self) -> str:
        """Its config.ini.php, below the web root."""

    @property
    def tmp(self) -> str:
        """Where its caches, assets and templates are, below the web root."""

    @property
    def uploads(self) -> str:
        """Where what a person uploads is, below the web root."""

    @property
    def started_at(self) -> int:
        """When the container was started, in seconds since 1970, by the engine's clock."""

    def run(self, *command: str, user: str = "www-data") -> str:
        """Run `command` in the container and return its standard output.

        Raises:
            BrokenPromiseError: it exits non-zero.
        """

    def console(self, *arguments: str) -> str:
        """Run Matomo's console as the web server's user.

        Raises:
            BrokenPromiseError: it exits non-zero.
        """

    def health(self) -> str | None:
        """Return None when the image's own health check is content, else its reason."""

    def read(self, path: str) -> str:
        """Return the text of a file below the web root.

        Raises:
            BrokenPromiseError: there is none.
        """

    def write(self, path: str, text: str, user: str = "www-data") -> None:
        """Write a file below the web root.

        Raises:
            BrokenPromiseError: `user` may not write there.
            WrongInputError: the file is not this instance's alone.
        """
