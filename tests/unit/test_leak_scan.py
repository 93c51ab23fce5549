"""Where the leak scan looks for what was sent."""

from types import SimpleNamespace
from typing import Any

import pytest

from matomo_harness.gate.probes import leak_scan


@pytest.mark.parametrize(
    ("since", "searched"),
    [(1_000, "find / \\( -path /proc"), (None, f"find -H {leak_scan.SEARCHED_DIRECTORIES}")],
)
def test_what_was_sent_is_searched_in_every_file_that_changed_since(
    since: int | None, searched: str
) -> None:
    scripts = []

    def run(*command: str, **_: object) -> str:
        scripts.append(command[2])
        return ""

    own: Any = SimpleNamespace(run=run, tmp="tmp", started_at=500)
    assert leak_scan.in_files(own, {"an address": (b"67.250.1.2",)}, since=since) == []
    assert searched in scripts[-1]
    assert f"-newerct @{since or 500}" in scripts[-1]
