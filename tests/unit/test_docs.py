"""The documents name only commands, options and files that exist, and every command has help."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from typer.main import get_command

from matomo_harness.cli import app
from matomo_harness.gate.catalogue import ALL, read_policy
from matomo_harness.gate.core.runner import is_promised
from matomo_harness.gate.mutation import WRITTEN
from matomo_harness.gate.promises import NAMES
from matomo_harness.settings import ROOT

MAKEFILE: Final = (ROOT / "Makefile").read_text()
TARGETS: Final = set(re.findall(r"(?m)^([a-z][a-z0-9-]*):", MAKEFILE))
DOCUMENTS: Final = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("image/**/*.md")]
)
README: Final = (ROOT / "README.md").read_text()
CHANGELOG: Final = ROOT / "CHANGELOG.md"
"""It names what there was."""
COMMAND: Final = r"(?:[A-Z_]+=\S+ )*((?:make|matomo-harness) [^`\n]+)"
"""A command of ours, without the variables before it."""
IN_A_BLOCK: Final = re.compile(rf"(?m)^(?:    |\$ ){COMMAND}$")
IN_A_SENTENCE: Final = re.compile(rf"`{COMMAND}`")

every_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


def _commands(text: str, pattern: re.Pattern[str]) -> Iterator[list[str]]:
    """Yield the words of each command, without a comment or where its output goes."""
    for command in pattern.findall(text):
        yield shlex.split(re.split(r"  +| [>|] |; ", command)[0], comments=True)


def _verb(words: list[str]) -> tuple[Any, list[str]]:
    """Return the verb that a command calls, and the words that follow it."""
    command, rest = get_command(app), words[1:]
    while verbs := getattr(command, "commands", None):
        assert rest, words
        assert rest[0] in verbs, words
        command, rest = verbs[rest[0]], rest[1:]
    return command, rest


# -- make -----------------------------------------------------------------------------------------


def test_the_name_of_a_windows_machine_is_no_reproduction() -> None:
    """WSL puts it into NAME; what is given to make counts."""
    environment = {**os.environ, "WSL_DISTRO_NAME": "Debian", "NAME": "DESKTOP"}
    command = ["make", "--dry-run", "-o", ".venv/requirements.lock", "shell"]
    for given, shown in (((), False), (("NAME=prod",), True)):
        ended = subprocess.run(
            [*command, *given],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert ("--repro" in ended.stdout) is shown, ended.stdout


@every_document
def test_every_make_target_and_variable_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text()
    for words in [*_commands(text, IN_A_BLOCK), *_commands(text, IN_A_SENTENCE)]:
        if words[0] == "make" and "…" not in words[1]:
            assert words[1] in TARGETS, words
            for variable in re.findall(r"(?m)^([A-Z_]+)=", "\n".join(words[2:])):
                assert re.search(rf"\b{variable}\b", MAKEFILE), words


def test_make_help_explains_every_target() -> None:
    explained = set(re.findall(r"(?m)^([a-z][a-z0-9-]*):.*## ", MAKEFILE))
    assert explained >= TARGETS - {"test"}


def test_what_a_target_hands_on_is_one_word_to_the_shell() -> None:
    """An address with a `&` in it ended the command: make was green before the gate had begun."""
    assert re.findall(r"(?m)--[a-z-]+ \$\([A-Z_]+\)", MAKEFILE) == []


# -- matomo-harness -------------------------------------------------------------------------------


@every_document
def test_every_verb_and_option_that_a_document_names_exists(document: Path) -> None:
    if document == CHANGELOG:
        return
    text = document.read_text()
    for words in [*_commands(text, IN_A_BLOCK), *_commands(text, IN_A_SENTENCE)]:
        if words[0] == "matomo-harness":
            verb, rest = _verb(words)
            options = {name for parameter in verb.params for name in parameter.opts}
            assert {word for word in rest if word.startswith("--")} <= options, words


def test_the_command_line_takes_the_commands_of_the_readme() -> None:
    ours = [words for words in _commands(README, IN_A_BLOCK) if words[0] == "matomo-harness"]
    fault = re.search(r'(?m)^    make fault F="(.+)"$', README)
    assert ours
    assert fault
    for words in [*ours, ["matomo-harness", "fault", *shlex.split(fault[1])]]:
        verb, rest = _verb(words)
        verb.make_context(words[1], rest)  # parses, and runs nothing


def test_every_verb_has_help() -> None:
    command = get_command(app)
    verbs = getattr(command, "commands", {})
    assert verbs
    assert not [name for name, verb in verbs.items() if not verb.help]


# -- links ----------------------------------------------------------------------------------------


@every_document
def test_every_link_inside_the_repository_leads_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            file = document.parent / path if path else document
            assert file.exists(), link
            assert not anchor or anchor in _anchors(file), link


def _anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    heads = re.findall(r"(?m)^#+ (.+)$", document.read_text())
    return {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads}


# -- the README -----------------------------------------------------------------------------------


def test_the_readme_begins_with_the_two_commands() -> None:
    commands = re.findall(r"(?m)^    (make [a-z-]+)", README)
    assert commands[:2] == ["make up", "make gate"]


def test_the_readme_shows_fixtures_by_an_example_that_is_run() -> None:
    """test_pytest_plugin.py runs the example of docs/fixtures.md."""
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert example in (ROOT / "docs/fixtures.md").read_text()


def test_the_readme_names_promises_that_exist() -> None:
    named = re.findall(r"(?m)^\| `(\w+)` \| .+ \|$", README)
    assert len(named) == len(set(named)) >= 18
    assert set(named) <= set(NAMES)


def test_the_numbers_of_the_readme_are_those_of_the_catalogue() -> None:
    promised = sum(is_promised(check, read_policy()) for check in ALL)
    assert f"all {len(NAMES)} promises. {len(ALL)} checks: {promised} passed" in README
    assert f"{len(ALL) - promised} not promised" in README
    assert f"in {len(WRITTEN)} ways" in README
