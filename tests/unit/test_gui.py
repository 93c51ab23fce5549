"""The gate on a machine without a browser: it says so, and the instance does not fail."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from matomo_harness.gate.core.check import CannotTellError
from matomo_harness.gate.probes import browser as gui
from matomo_harness.gate.probes import chromium
from matomo_harness.matomo.twofactor import Account

SOMEBODY = Account("admin", "password", "")


def test_without_playwright_the_gate_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    with pytest.raises(CannotTellError, match=r"pip install .*\[browser\]"):
        gui.see("https://localhost:1", SOMEBODY, {})


def test_without_a_browser_the_gate_says_what_to_prepare(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(chromium, "system_chromium", lambda: None)
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    # In another thread, as in the gate: pytest-playwright may run a browser's loop in this one.
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(CannotTellError, match="matomo-harness prepare --browser"),
    ):
        pool.submit(gui.see, "https://localhost:1", SOMEBODY, {}).result()
