"""The how-tos about a production's state: every command on them is run, in its order."""

import dataclasses
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final

import pytest

from matomo_harness.matomo import tracker, traffic, twofactor
from matomo_harness.matomo.traffic import Site
from matomo_harness.runtime import images
from matomo_harness.runtime.images import BaseUnavailableError
from matomo_harness.runtime.instance import Instance
from matomo_harness.settings import ROOT, RunSettings
from tests.checkout import Checkout, copied
from tests.dumped import dump_of

HOWTO: Final = ROOT / "docs" / "howto"
COMMAND: Final = re.compile(r"(?m)^    ((?:make|matomo-harness|mariadb-dump|tar) .+)$")
BEFORE: Final = {
    "states-by-name.md": ("make up", "make repro DUMP=prod.sql.gz NAME=prod"),
}
"""What a page takes for granted."""
IN_SMALL: Final = {"SAMPLE=1%": "SAMPLE=90%"}
"""What would leave nothing of a test's few visits."""


@pytest.fixture
def production(fresh_matomo: Instance) -> Instance:
    """A Matomo with three sites, and visits before and after the day that the pages name."""
    urls = ("https://one.example", "https://two.example", "https://three.example")
    sites = [Site(1, urls[0], "UTC")]
    sites += [
        Site(fresh_matomo.api.add_site(url, url, "UTC", since="2026-01-01"), url, "UTC")
        for url in urls[1:]
    ]
    hits = list(traffic.hits(traffic.visits(sites, date(2026, 1, 30), 3)))
    assert tracker.send(fresh_matomo.api, hits) == len(hits)
    return fresh_matomo


@pytest.fixture
def handed_over(
    tmp_path: Path, production: Instance, matomo_settings: RunSettings
) -> Iterator[Checkout]:
    """A checkout beside production's dump and files, as the pages call them."""
    with copied(tmp_path, matomo_settings) as checkout:
        for name in ("prod.sql.gz", "backup.sql.gz"):
            dump_of(production, checkout.root / name)
        config = production.shell.read(production.shell.config)
        for path, text in {
            "config.ini.php": config,
            "config/config.ini.php": config,
            "js/container_abcdefgh.js": "/* of production */",
            "misc/user/logo.png": "a picture",
        }.items():
            (checkout.root / path).parent.mkdir(parents=True, exist_ok=True)
            (checkout.root / path).write_text(text)
        yield checkout
        assert checkout.harness("clean").code == 0


def run(checkout: Checkout, line: str) -> None:
    """Run a line of a page in a checkout, by its real Makefile where it is a target's."""
    program, *words = shlex.split(line)
    if program == "mariadb-dump":  # the fixture has made it, by the same command
        assert (checkout.root / shlex.split(line)[-1]).exists()
        return
    if program == "matomo-harness":
        answer = checkout.harness(*words)
        assert answer.code == 0, answer.text
        return
    if program == "make":  # with this test's Python, as the copy has no environment
        harness = f"HARNESS={sys.executable} -m matomo_harness"
        words = ["-o", ".venv/requirements.lock", harness, *words]
    ended = subprocess.run(
        [program, *words],
        cwd=checkout.root,
        env=checkout.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    said = ended.stdout + ended.stderr
    if "gate" in words:  # which may be red: what it judges is a production's
        assert "Next: open" in said, said
        return
    assert ended.returncode == 0, said


PAGES: Final = (
    "reproduce-a-bug.md",
    "states-by-name.md",
    "restore-from-a-backup.md",
    "migrate-from-another-host.md",
)


OF_THE_STACK: Final = (
    "roll-back.md",
    "lost-second-factor.md",
    "archiving-late-or-failing.md",
)
"""Pages that begin with `make up`. tests/integration/test_drill.py follows restore-drill.md."""
NEWER: Final = "IMAGE=registry.example/matomo:5.10.0"
PORT: Final = "localhost:8443"


def commands_of(name: str) -> list[str]:
    """Return the commands of a page, in its order."""
    return COMMAND.findall((HOWTO / name).read_text())


@pytest.mark.parametrize("name", [*PAGES, *OF_THE_STACK, "restore-drill.md"])
def test_a_page_ends_with_the_way_back(name: str) -> None:
    commands = commands_of(name)
    assert len(commands) >= 5
    made = set(re.findall(r"\bNAME=(\w+)", "\n".join(commands))) - {"small", "theirs"}
    for reproduction in made:
        assert f"matomo-harness repro remove {reproduction}" in commands
    if name in OF_THE_STACK:
        assert commands[-1] == "make down"


@pytest.mark.nightly(reason="a stack or more for each page")
@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_the_page_runs_in_its_order(handed_over: Checkout, name: str) -> None:
    for line in (*BEFORE.get(name, ()), *commands_of(name)):
        for said, meant in IN_SMALL.items():
            line = line.replace(said, meant)
        run(handed_over, line)


@pytest.mark.nightly(reason="a stack for each page, which is updated on one")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", OF_THE_STACK)
def test_every_command_on_the_local_stack_runs_in_its_order(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = commands_of(name)
    if any(NEWER in line for line in commands):
        settings = dataclasses.replace(
            RunSettings.from_environment(), matomo_version="next", image=None
        )
        try:
            images.deployed_image(settings)
        except BaseUnavailableError as error:
            pytest.skip(f"no base for Matomo `next` today: {error.seen}")
    with copied(tmp_path) as checkout:
        for line in commands:
            if "gate" in line:
                # Each code is good for one token, and `make up` may have used this one.
                time.sleep(twofactor.seconds_left() + 1)
                answer = checkout.harness("token")
                assert answer.code == 0, answer.text
                monkeypatch.setenv("HARNESS_TOKEN", answer.text.split()[0])
            line = line.replace(NEWER, "MATOMO_VERSION=next")
            run(checkout, line.replace(PORT, f"localhost:{checkout.settings.port}"))
