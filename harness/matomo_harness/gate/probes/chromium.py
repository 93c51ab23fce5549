"""The browser of tests and of the gate: this machine's, without calls of its own to the world."""

import os
import shutil
from pathlib import Path
from typing import Any, Final

from matomo_harness.errors import UnsupportedEnvironmentError
from matomo_harness.gate.probes.deaf import deaf

QUIET: Final = (
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
HEADLESS: Final = "chromium-headless-shell"
"""Debian's package, and its program: what Playwright takes too where no window is asked for."""


def system_chromium() -> Path | None:
    """Return the machine's own Chromium, or a browser of its family.

    Without a window to draw it takes half of the processor's time for a page (measured).
    """
    names = (HEADLESS, "chromium", "chromium-browser", "google-chrome")
    return next((Path(found) for name in names if (found := shutil.which(name))), None)


def launch_options(playwrights: Path) -> dict[str, Any]:
    """Return what Playwright's `launch` is given.

    Args:
        playwrights: where Playwright's own Chromium would be; taken where it is there.

    Raises:
        UnsupportedEnvironmentError: neither that one nor the machine's own is there.
    """
    path = playwrights if playwrights.exists() else system_chromium()
    if not path:
        raise UnsupportedEnvironmentError(
            expected="a Chromium on this machine",
            seen="none",
            next_command="matomo-harness prepare --browser",
        )
    return {"args": list(QUIET), "executable_path": str(deaf(path))}


def playwrights_ffmpeg() -> Path | None:
    """Return Playwright's own ffmpeg, which it takes videos with; None where there is none."""
    place = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    directory = Path(place) if place else Path.home() / ".cache/ms-playwright"
    return next(directory.glob("ffmpeg-*/ffmpeg-*"), None)
