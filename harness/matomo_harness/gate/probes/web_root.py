"""The files below the web root and in the image, and which of them are Matomo's or a plugin's."""

import posixpath
import re
from collections.abc import Sequence
from typing import Final

from matomo_harness.gate.core.check import CannotTellError
from matomo_harness.gate.core.once import once
from matomo_harness.matomo.container import MatomoContainer, plugin_places

OF_THE_BASE: Final = "/usr/src/matomo.sha256"
"""A file of the image with the sums of Matomo's code as the base has it (image/Dockerfile)."""
MANIFEST: Final = "config/manifest.inc.php"
"""The same in a release of Matomo's own; a distribution's package has none."""
OF_MATOMO: Final = re.compile(
    r"favicon\.ico|(.+/)?\.htaccess|config/([^/]+\.)?config\.ini\.php|js/container_\w+\.js"
    r"|misc/user/([\w-]+/)?(index\.html|(logo|logo-header|favicon)\.(png|svg|gif|ico|jpe?g))"
)
"""What Matomo makes itself: its configuration, a tag manager's containers, an uploaded logo
(plugins/CoreAdminHome/CustomLogo.php), rules of its own that disclose nothing."""
LEFT_OVER: Final = re.compile(
    r"(.*:Zone\.Identifier|.*~|.*\.(sw[nop]|save(\.\d+)?|orig|rej|bak|old)|\.#.*|#.*#"
    r"|\.DS_Store|\._.*|Thumbs\.db|desktop\.ini)"
)
"""Names that editors, merges and desktops leave beside the file that was meant."""


def is_left_over(path: str) -> bool:
    """Whether an editor, a merge or a desktop leaves files of such a name."""
    return bool(LEFT_OVER.fullmatch(posixpath.basename(path)))


class WebRoot:
    """What lies below the web root, but for tmp/, and in the image beside it.

    Args:
        container: it must have the web root to itself, or other instances' files are found too.
    """

    def __init__(self, container: MatomoContainer) -> None:
        self._container = container

    def _listed(self, directory: str) -> list[str]:
        """Return paths below a directory; nothing where there is none."""
        script = (
            # A directory may be a link to a volume.
            f"cd {directory} 2>/dev/null && find -L . -path ./tmp -prune"
            " -o '(' -type f -o -type l ')' -print 2>/dev/null || true"
        )
        listed = self._container.run("sh", "-c", script).splitlines()
        return [path.removeprefix("./") for path in listed]

    @once
    def files(self) -> list[str]:
        """The paths of all files, without tmp/."""
        return self._listed(".")

    @once
    def of_matomo(self) -> frozenset[str]:
        """The paths of Matomo's own files, before a build or a volume added any.

        Raises:
            CannotTellError: the image tells by none of the ways that are known.
        """
        run = self._container.run
        sums = run("sh", "-c", f"cat {OF_THE_BASE} 2>/dev/null || true")
        listed = {line.partition("  ./")[2] for line in sums.splitlines()}
        manifest = run("sh", "-c", f"cat {MANIFEST} 2>/dev/null || true")
        listed.update(re.findall(r'"([^"]+)"\s*=>\s*(?:array\(|\[)', manifest))
        profile = self._container.profile
        beside = self._listed(profile.code) if profile.code != profile.web_root else []
        known = (listed - {""}) or set(beside)
        if not known:
            raise CannotTellError("nothing says which files are Matomo's own")
        return frozenset(known)

    @once
    def unknown(self) -> list[str]:
        """The paths below the web root that are neither Matomo's nor of a plugin that was added."""
        known = self.of_matomo
        root = f"{self._container.profile.web_root}/"
        places = [place.removeprefix(root) for place in plugin_places(self._container)]
        bundled = {"/".join(path.split("/")[:2]) for path in known if path.startswith("plugins/")}
        added = {folder for path in self.files if (folder := _plugin_of(path, places))} - bundled
        return [
            path
            for path in self.files
            if path not in known
            and not OF_MATOMO.fullmatch(path)
            and (is_left_over(path) or not path.startswith(tuple(f"{folder}/" for folder in added)))
        ]

    @once
    def left_over(self) -> list[str]:
        """What editors and desktops left in the web root or in the image beside it."""
        profile = self._container.profile
        beside = filter(None, (profile.code, posixpath.dirname(profile.seed)))
        places = {".": self.files, **{place: self._listed(place) for place in beside}}
        return sorted(
            posixpath.normpath(f"{place}/{path}")
            for place, paths in places.items()
            for path in paths
            if is_left_over(path) and path not in self.of_matomo
        )


def _plugin_of(path: str, places: Sequence[str]) -> str | None:
    """Return the folder of the plugin whose main file or description this is.

    Args:
        path: below the web root.
        places: the directories that plugins are in.
    """
    match = re.fullmatch(r"(.+)/(\w+)/(?:plugin\.json|(\w+)\.php)", path)
    if not match or match[1] not in places or match[3] not in (None, match[2]):
        return None
    return f"{match[1]}/{match[2]}"
