"""A browser that is on this machine, without calls of its own to the world."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserType

from harness.stack.browser import launch_options


@pytest.fixture(scope="session")
def browser_type_launch_args(
    browser_type_launch_args: dict[str, Any], browser_type: BrowserType
) -> dict[str, Any]:
    return {**browser_type_launch_args, **launch_options(Path(browser_type.executable_path))}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    """Trusts every certificate; that the load balancer's is good is tested with requests."""
    return {**browser_context_args, "ignore_https_errors": True}
