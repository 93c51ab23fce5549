"""A browser that is on this machine, without calls of its own to the world."""

from typing import Any

import pytest

from harness.operate.prepare import playwrights_chromium, system_chromium


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    quiet = ["--disable-background-networking", "--disable-component-update", "--no-first-run"]
    arguments = {**browser_type_launch_args, "args": quiet}
    if playwrights_chromium() is None:
        path = system_chromium()
        assert path is not None, "expected a Chromium; next: make test-local installs one"
        arguments["executable_path"] = str(path)
    return arguments
