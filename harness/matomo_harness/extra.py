"""The extras: libraries that a gate at a URL does without, and how to install them."""

import json
import shlex
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from matomo_harness import __version__
from matomo_harness.errors import UnsupportedEnvironmentError

DISTRIBUTION: Final = "matomo-harness"
"""The package's name on an index."""
LIBRARIES: Final = ("docker", "filelock", "testcontainers", "trustme")
"""Modules that only the extra `docker` brings; pyproject.toml has their versions."""
DOCKER: Final = "docker"
BROWSER: Final = "browser"
DELIVERY: Final = "delivery"


def is_installed() -> bool:
    """Whether all libraries of the extra `docker` are installed."""
    return not _missing()


def require_engine_libraries() -> None:
    """Refuse to go on without the extra `docker`.

    Raises:
        UnsupportedEnvironmentError: a library is missing; `next_command` installs it.
    """
    if missing := _missing():
        raise UnsupportedEnvironmentError(
            expected="the libraries of the container engine, which the extra `docker` brings",
            seen=f"no {', '.join(missing)}",
            next_command=install_command(),
        )


# -- where this harness came from -----------------------------------------------------------------


def install_command(extra: str = DOCKER) -> str:
    """Return the command that adds an extra to this very harness."""
    return f"pip install {shlex.quote(requirement(extra))}"


def requirement(extra: str = DOCKER) -> str:
    """Return what pip installs this very harness by, with an extra.

    That is its version where it came from an index, and otherwise the folder, the file or the
    commit that pip took it from: an index may have no such version.
    """
    named, origin = f"{DISTRIBUTION}[{extra}]", _origin()
    if not origin:
        return f"{named}=={__version__}"
    url, commit = origin["url"], origin.get("vcs_info", {}).get("commit_id")
    if commit:
        return f"{named} @ git+{url}@{commit}"
    # A folder needs no name, and an editable one is read as a name only.
    return f"{place}[{extra}]" if (place := folder()) else f"{named} @ {url}"


def folder() -> Path | None:
    """Return the folder that pip took this harness from, as a checkout is; None for all else."""
    origin = _origin()
    return Path(unquote(urlsplit(origin["url"]).path)) if "dir_info" in origin else None


def _origin() -> dict[str, Any]:
    """Return what pip wrote into direct_url.json (PEP 610); nothing where it used an index."""
    try:
        written = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except metadata.PackageNotFoundError:  # found by PYTHONPATH
        written = None
    said: dict[str, Any] = json.loads(written or "{}")
    return said


def _missing() -> list[str]:
    return [library for library in LIBRARIES if not _is_importable(library)]


def _is_importable(library: str) -> bool:
    # A folder of this name in the user's project is found as well, but has no origin.
    spec = find_spec(library)
    return spec is not None and spec.origin is not None
