"""The versions of MariaDB whose image the harness chooses, or builds a substitute of.

Any other is named by its image. This module imports nothing of the package: the settings take the
list of versions from here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class DatabaseVersion:
    """A version of MariaDB that a stack can run on.

    Args:
        name: what MARIADB_VERSION and the tag of the substitute base call it: a release series.
        debian_release: code name of the release of Debian whose packages have it.
    """

    name: str
    debian_release: str

    @property
    def official_image(self) -> str:
        """Its image in the registry."""
        return f"mariadb:{self.name}"


DATABASES: Final[Mapping[str, DatabaseVersion]] = {
    version.name: version
    for version in (
        DatabaseVersion("11.8", "trixie"),
        DatabaseVersion("10.11", "bookworm"),
    )
}
"""The versions by name; the first serves where nobody chooses. What the substitute of another does
differently is in a folder of its name below image/bases/mariadb."""
NAMES: Final = tuple(DATABASES)
