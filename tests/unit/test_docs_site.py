"""The documents as a site: every link leads somewhere, and nobody else is asked for anything."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from matomo_harness.settings import ROOT
from tests.docs_site import ABOVE

OF_THE_SITE: Final = ("mkdocs.yml", "tests/docs_site.py", *ABOVE)
ASKED_FOR: Final = re.compile(
    r"<(?:script|img|link rel=\"(?:stylesheet|icon)[^>]*)\b[^>]*https?://"
)


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site with warnings as errors."""
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
    ]  # --quiet hides the warnings from --strict
    return subprocess.run(
        [*command, "--site-dir", str(site)], cwd=root, capture_output=True, text=True, check=False
    )


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    ended = build(ROOT, tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    pages = {
        path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.html")
    }
    assert {"index.html", "gate/index.html", "howto/add-a-check/index.html"} <= pages.keys()
    assert {
        "contributing/index.html",
        "changelog/index.html",
        "commands/index.html",
    } <= pages.keys()
    assert 'href="gate/"' in pages["index.html"]
    assert "/blob/main/image/policy.toml" in pages["gate/index.html"]
    assert (tmp_path / "pictures/report-red.png").is_file()
    assert [name for name, text in pages.items() if ASKED_FOR.search(text)] == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the site is made of, to change."""
    root = tmp_path / "checkout"
    shutil.copytree(ROOT / "docs", root / "docs")
    for name in OF_THE_SITE:
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, root / name)
    for name in ("image", "harness", "compose", ".github", "tests/layouts"):  # links lead there
        (root / name).symlink_to(ROOT / name)
    return root


def with_link(copy: Path, link: str) -> subprocess.CompletedProcess[str]:
    page = copy / "docs/e2e.md"
    page.write_text(page.read_text() + f"\n{link}\n")
    return build(copy, copy / "site")


def test_a_link_that_leads_somewhere_is_none(copy: Path) -> None:
    ended = with_link(copy, "[there](gate.md#the-report)")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("link", "warning"),
    [
        ("[gone](nowhere.md)", "'nowhere.md'"),
        ("[gone](gate.md#no-such-heading)", "no-such-heading"),
        ("[gone](../nowhere.toml)", "'../nowhere.toml'"),
    ],
)
def test_a_link_that_leads_nowhere_is_an_error(copy: Path, link: str, warning: str) -> None:
    ended = with_link(copy, link)
    assert ended.returncode != 0
    assert warning in ended.stderr
    assert "e2e.md" in ended.stderr
