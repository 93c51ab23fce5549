"""The extra `docker`: the libraries of the container engine, which a gate at a URL does without."""

from importlib.util import find_spec
from typing import Final

from matomo_harness.errors import UnsupportedEnvironmentError

LIBRARIES: Final = ("docker", "filelock", "testcontainers", "trustme")
"""Modules that only the extra brings; pyproject.toml has their versions."""
INSTALL: Final = "pip install 'matomo-harness[docker]'"


def is_installed() -> bool:
    """Whether all libraries of the extra are installed."""
    return not _missing()


def require_engine_libraries() -> None:
    """Refuse to go on without the extra.

    Raises:
        UnsupportedEnvironmentError: a library is missing; `next_command` installs it.
    """
    if missing := _missing():
        raise UnsupportedEnvironmentError(
            expected="the libraries of the container engine, which the extra `docker` brings",
            seen=f"no {', '.join(missing)}",
            next_command=INSTALL,
        )


def _missing() -> list[str]:
    return [library for library in LIBRARIES if not _is_importable(library)]


def _is_importable(library: str) -> bool:
    # A folder of this name in the user's project is found as well, but has no origin.
    spec = find_spec(library)
    return spec is not None and spec.origin is not None
