"""The catalogue of recipes: rows that exist, commands that exist, and words for people."""

import json
import re
from pathlib import Path
from typing import Final

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from matomo_harness.cli import app
from matomo_harness.errors import WrongInputError
from matomo_harness.gate.catalogue import ALL
from matomo_harness.gate.core.check import Capability
from matomo_harness.operate import recipes
from matomo_harness.operate.recipes import RECIPES, Recipe, RedCheck
from matomo_harness.operate.stack import Stack
from matomo_harness.settings import ROOT, RunSettings

ROWS: Final = set(
    re.findall(r"(?m)^\| ([A-Z]+\d+) \|", (ROOT / "docs" / "failure-modes.md").read_text())
)
REACHED: Final = {Capability.CONTAINER, Capability.WEB_ROOT, Capability.DATABASE}
"""What `gate --container` has without a token."""

each = pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)


def test_there_are_ten_of_as_many_rows() -> None:
    assert len({recipe.failure_mode for recipe in RECIPES}) == len(RECIPES) >= 10
    assert {recipe.failure_mode for recipe in RECIPES} <= ROWS


def test_the_page_names_all_with_their_rows() -> None:
    page = (ROOT / "docs" / "howto" / "see-a-failure-on-purpose.md").read_text()
    listed = re.findall(r"(?m)^\| `([a-z-]+)` \| ([A-Z]\d+) \|", page)
    assert listed == [(recipe.name, recipe.failure_mode) for recipe in RECIPES]


def test_the_recipe_that_the_page_adds_is_one() -> None:
    page = (ROOT / "docs" / "howto" / "see-a-failure-on-purpose.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (recipe,) = eval(f"({block})", vars(recipes))  # noqa: S307  our own page
    assert isinstance(recipe, Recipe)
    assert recipe.failure_mode in ROWS - {each.failure_mode for each in RECIPES}
    test_it_says_in_a_sentence_what_happens(recipe)
    test_it_names_checks_that_see_it_without_more_than_it_says(recipe)


def test_every_name_is_given_once_and_easy_to_type() -> None:
    names = [recipe.name for recipe in RECIPES]
    assert len(names) == len(set(names))
    assert [name for name in names if not re.fullmatch(r"[a-z]+(-[a-z]+)*", name)] == []


@each
def test_it_says_in_a_sentence_what_happens(recipe: Recipe) -> None:
    assert recipe.happens[0].islower() or recipe.happens.startswith("Matomo ")
    assert recipe.happens[-1].isalpha()
    assert recipe.sights
    assert recipe.by_hand


@each
def test_it_names_checks_that_see_it_without_more_than_it_says(recipe: Recipe) -> None:
    checks = {check.id: check for check in ALL}
    for sight in recipe.sights:
        if isinstance(sight, RedCheck):
            token = {Capability.API, Capability.HITS} if sight.hits else set()
            assert checks[sight.check].capabilities <= REACHED | token


@each
def test_its_commands_are_whole_and_our_own_exist(recipe: Recipe, tmp_path: Path) -> None:
    shown = recipes.directions(recipe, RunSettings(), Stack(tmp_path))
    commands = [command for command, _ in shown.see] + list(shown.heal_by_hand)
    assert not [command for command in commands if re.search(r"\{[a-z]+\}", command)]
    command = get_command(app)
    for words in re.findall(
        r"matomo-harness ((?:[^)\s;]|\s)+)", "\n".join([*commands, shown.heal])
    ):
        first, *rest = words.split()
        verbs = getattr(command, "commands", {})[first]
        assert not hasattr(verbs, "commands") or rest[0] in verbs.commands


def test_the_list_is_json_without_what_is_inside() -> None:
    answer = CliRunner().invoke(app, ["recipe", "list", "--json"])
    listed = json.loads(answer.stdout)
    assert [one["name"] for one in listed] == [recipe.name for recipe in RECIPES]
    assert set(listed[0]) == {
        "name",
        "failure_mode",
        "happens",
        "see",
        "heal_by_hand",
        "heal",
        "is_under_way",
    }
    assert listed[0]["heal"] == f"matomo-harness recipe heal {RECIPES[0].name}"


def test_an_unknown_name_is_answered_by_the_nearest(tmp_path: Path) -> None:
    for verb in (recipes.run, recipes.heal):
        with pytest.raises(WrongInputError, match="nearest: database-gone") as refused:
            verb("databse-gone", Stack(tmp_path))
        assert refused.value.next_command == "matomo-harness recipe list"
    assert not list(tmp_path.iterdir())


def test_a_record_that_is_none_is_named(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    stack.directory.mkdir()
    for text in ("", "[]", '{"recipe": "guard-lost"}'):
        stack.recipe_file.write_text(text)
        with pytest.raises(WrongInputError, match=r"recipe\.json to be the record of a recipe"):
            recipes.heal("guard-lost", stack)


class Tables:
    """A database of which one sees what tables there are, and what is done to them."""

    tables_prefix = "matomo_"

    def __init__(self, *segments: str) -> None:
        self.segments = segments
        self.done: list[str] = []

    def all_tables(self) -> set[str]:
        """Return both: Matomo has made the one anew that was put aside."""
        return {"matomo_segment", recipes.PUT_ASIDE}

    def query(self, statement: str) -> list[str]:
        """Note a statement, and answer a question with the segments."""
        if statement.startswith("SELECT"):
            return list(self.segments)
        self.done.append(statement)
        return []


def of_table_missing(found: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matomo_harness.operate.local.database_of", lambda _: found)
    monkeypatch.setattr(recipes, "sql", lambda *statements: lambda _: found.done.extend(statements))
    monkeypatch.setattr(recipes.Scene, "deployment", None)
    recipes.named("table-missing").fault.heal(recipes.Scene(Stack(Path())), {})


def test_a_table_that_was_made_anew_meanwhile_makes_place_for_the_old_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = Tables()
    of_table_missing(found, monkeypatch)
    assert found.done == [
        "DROP TABLE {prefix}segment",
        f"RENAME TABLE {recipes.PUT_ASIDE} TO {{prefix}}segment",
    ]


def test_a_table_that_was_made_anew_and_has_rows_is_not_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = Tables("a segment")
    with pytest.raises(WrongInputError, match="no segments in matomo_segment"):
        of_table_missing(found, monkeypatch)
    assert found.done == []
