"""Where the leak scan looks for what was sent."""

import os
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from matomo_harness.gate.probes import leak_scan

BUSYBOX = """#!/bin/sh
case "$*" in *-newer*) echo "find: unrecognized: -newerct" >&2; exit 1 ;; esac
echo "$*" >> "$ASKED"
"""
"""Its find, which is that of `matomo:fpm-alpine`."""


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


def test_busybox_searches_every_file_as_well_and_memory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    # What is searched is this machine's: no file of it is read.
    for name, text in (("find", BUSYBOX), ("grep", "#!/bin/sh\nexit 1\n")):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    asked = tmp_path / "asked"
    path = f"{tmp_path}/bin:{os.environ['PATH']}"

    def run(*command: str, **_: object) -> str:
        variables = {"PATH": path, "ASKED": str(asked)}
        done = subprocess.run(command, env=variables, check=True, capture_output=True, text=True)
        return done.stdout

    own: Any = SimpleNamespace(run=run, tmp=str(tmp_path), started_at=0)
    since = int(time.time()) - 90
    assert leak_scan.in_files(own, {"an address": (b"67.250.1.2",)}, since=since) == []
    searched = asked.read_text().splitlines()[-1]
    assert searched.startswith("/ ( -path /proc -o -path /sys ) -prune -o -type f -mmin -3 -exec ")
