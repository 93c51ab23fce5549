"""The browser of tests and of the gate: this machine's Chromium, making no calls of its own."""

import os
import shutil
from pathlib import Path
from typing import Any, Final

from matomo_harness.errors import UnsupportedEnvironmentError
from matomo_harness.gate.probes.deaf import without_netlink

QUIET: Final = (
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
HEADLESS: Final = "chromium-headless-shell"
"""Debian's package and its program; Playwright too uses it where no window is asked for."""


def system_chromium() -> Path | None:
    """Return the machine's own Chromium, or a browser of its family.

    The headless one comes first: it takes half the processor time for a page (measured).
    """
    names = (HEADLESS, "chromium", "chromium-browser", "google-chrome")
    return next((Path(found) for name in names if (found := shutil.which(name))), None)


def launch_options(playwright_chromium: Path) -> dict[str, Any]:
    """Return the options for Playwright's `launch`.

    Args:
        playwright_chromium: where Playwright's own Chromium would be; it is used where it exists.

    Raises:
        UnsupportedEnvironmentError: neither Playwright's nor the machine's own Chromium exists.
    """
    path = playwright_chromium if playwright_chromium.exists() else system_chromium()
    if not path:
        raise UnsupportedEnvironmentError(
            expected="a Chromium on this machine",
            seen="none",
            next_command="matomo-harness prepare --browser",
        )
    return {"args": list(QUIET), "executable_path": str(without_netlink(path))}


def playwrights_ffmpeg() -> Path | None:
    """Return Playwright's own ffmpeg, which records its videos; None where there is none."""
    place = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    directory = Path(place) if place else Path.home() / ".cache/ms-playwright"
    return next(directory.glob("ffmpeg-*/ffmpeg-*"), None)
