"""Images as other institutions build them: each comes to a verdict in which every red is true.

tests/layouts has a folder for each habit. A draft is made of what the image does, and the gate
judges the image by it, as a person does with `init` and `gate`.
"""

from dataclasses import dataclass
from pathlib import Path

LAYOUTS = Path(__file__).parents[1] / "layouts"
STOCK = {
    "operation.half_saved_file_opens_no_installer",
    "accounts.updater_is_closed",
    "masking.nowhere_in_the_database",
}


@dataclass(frozen=True)
class Layout:
    """A habit of others, and what is true of an image that has it.

    Args:
        name: its folder.
        red: ids of the checks that are red, and rightly so.
        causes: parts of the causes that are named.
        on: what it is built on: `own`, the reference image, or `base`.
        version: Matomo's; the first tested one where empty.
    """

    name: str
    red: frozenset[str] = frozenset()
    causes: tuple[str, ...] = ()
    on: str = "own"
    version: str = ""


SHORT: tuple[Layout, ...] = ()
LONG: tuple[Layout, ...] = ()
