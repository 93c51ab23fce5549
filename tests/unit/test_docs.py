"""The documents name only commands that exist, and every command is documented."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from matomo_harness.cli import app
from matomo_harness.settings import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"(?m)^([a-z][a-z0-9-]*):", MAKEFILE))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("image/**/*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_target_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text()
    named = set(re.findall(r"`make ([a-z0-9-]+)|(?m:^    make ([a-z0-9-]+))", text))
    assert {name for pair in named for name in pair if name} <= TARGETS


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_inside_the_repository_leads_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if "://" not in link:
            assert (document.parent / link).exists(), link


def test_make_help_explains_every_target() -> None:
    explained = set(re.findall(r"(?m)^([a-z][a-z0-9-]*):.*## ", MAKEFILE))
    assert explained >= TARGETS - {"test"}


def test_every_verb_has_help() -> None:
    command = get_command(app)
    verbs = getattr(command, "commands", {})
    assert verbs
    assert not [name for name, verb in verbs.items() if not verb.help]


def test_the_readme_begins_with_the_two_commands() -> None:
    commands = re.findall(r"(?m)^    (make [a-z-]+)", (ROOT / "README.md").read_text())
    assert commands[:2] == ["make up", "make test-local"]
