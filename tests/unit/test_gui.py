"""The gate's browser on a machine that has none: said, and no failure of the instance's."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from matomo_harness.gate.core.check import CannotTellError
from matomo_harness.gate.probes import browser as gui
from matomo_harness.gate.probes import chromium
from matomo_harness.matomo.twofactor import Account

SOMEBODY = Account("admin", "password", "")


def test_without_playwright_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    with pytest.raises(CannotTellError, match="pip install playwright"):
        gui.see("https://localhost:1", SOMEBODY, {})


def test_without_a_browser_it_says_what_to_prepare(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(chromium, "system_chromium", lambda: None)
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    # As the gate does it: pytest-playwright may have a browser's loop in this thread.
    with (
        ThreadPoolExecutor(1) as aside,
        pytest.raises(CannotTellError, match="matomo-harness prepare --browser"),
    ):
        aside.submit(gui.see, "https://localhost:1", SOMEBODY, {}).result()
