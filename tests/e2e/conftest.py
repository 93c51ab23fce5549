"""A browser that is on this machine, without calls of its own to the world."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserType

from harness.operate.deaf import deaf
from harness.operate.prepare import system_chromium


@pytest.fixture(scope="session")
def browser_type_launch_args(
    browser_type_launch_args: dict[str, Any], browser_type: BrowserType
) -> dict[str, Any]:
    quiet = ["--disable-background-networking", "--disable-component-update", "--no-first-run"]
    own = Path(browser_type.executable_path)
    path = own if own.exists() else system_chromium()
    assert path is not None, "expected a Chromium; next: make test-local installs one"
    return {**browser_type_launch_args, "args": quiet, "executable_path": str(deaf(path))}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    """Trusts every certificate; that the load balancer's is good is tested with requests."""
    return {**browser_context_args, "ignore_https_errors": True}
