"""docs/howto/promote-a-build.md: its commands are run, in their order, by make."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from matomo_harness.operate.delivery.copying import require_skopeo
from matomo_harness.operate.delivery.promote import promote
from matomo_harness.operate.delivery.publish import publish
from matomo_harness.operate.delivery.service import service_of
from matomo_harness.settings import ROOT
from tests.delivery.rehearsal import Rehearsal, rehearsal, surroundings

PAGE: Final = (ROOT / "docs/howto/promote-a-build.md").read_text()
WAY: Final = re.findall(
    r"(?m)^    (?:MATOMO_BASE=\S+ )?((?:make|matomo-harness) .+)$",
    PAGE[PAGE.index("## From a pull") : PAGE.index("## What is refused")],
)
BACK: Final = re.findall(r"(?m)^    (make .+)$", PAGE[PAGE.index("## The way back") :])
OTHERS: Final = ("make dist-dev", "make gate IMAGE=matomo:latest")
"""What test_delivery_walk.py and others prove: here an image is small, and its verdict written."""


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rehearsal]:
    """A delivery whose work tree is a copy of this checkout."""
    require_skopeo()
    around = tmp_path / "around"
    around.mkdir()
    with (
        surroundings(around) as (aws, front),
        rehearsal(tmp_path, aws, front, monkeypatch) as new,
    ):
        for name in ("harness", "image", "compose"):
            shutil.copytree(ROOT / name, new.root / name)
        for name in ("Makefile", "pyproject.toml"):
            shutil.copyfile(ROOT / name, new.root / name)
        (new.root / ".gitignore").write_text("reports/\n__pycache__/\n")
        monkeypatch.setenv("PYTHONPATH", str(new.root / "harness"))
        yield new


def follow(begun: Rehearsal, line: str, image: str) -> str:
    """Run a command of the page, and return what it says."""
    words = shlex.split(line)
    if words[0] == "make":
        harness = f"HARNESS={sys.executable} -m matomo_harness"
        words[1:1] = ["-o", ".venv/requirements.lock", harness]
        words += [f"IMAGE={image}"] if "publish" in line else []
    else:
        words[:1] = [sys.executable, "-m", "matomo_harness"]
    ended = subprocess.run(words, cwd=begun.root, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{line}: {ended.stdout}{ended.stderr}"
    return ended.stdout


def test_the_page_has_the_whole_way() -> None:
    assert [line.split()[1] for line in WAY] == [
        *("dist-dev", "publish-dev", "redeploy-dev", "gate", "publish-stage", "redeploy-stage"),
        *("promote-prod", "promote-prod", "redeploy-prod", "verify"),
    ]
    assert BACK == ["make rollback-prod"]


@pytest.mark.nightly(reason="a program for each command; test_delivery.py calls what is behind")
def test_every_command_of_the_page_runs_in_its_order(begun: Rehearsal) -> None:
    begun.commit()
    image = begun.image()
    begun.judge(image)
    # Whoever follows the page has released before.
    publish(begun.delivery, "stage", image.reference, gate=begun.gate)
    first = promote(begun.delivery).digest
    begun.commit()
    image = begun.image()
    said = ""
    for line in WAY:
        if line in OTHERS:
            begun.judge(image)
        else:
            said = follow(begun, line, image.reference)
    assert "is vouched for by release@example.org" in said
    production = service_of(begun.delivery.stage("production"))
    assert production.running() != [first]
    for line in BACK:
        follow(begun, line, "")
    assert production.running() == [first]
