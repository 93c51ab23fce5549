"""Each recipe on a running stack: what it says one sees is seen, and is gone once it is healed."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from matomo_harness.errors import ExitCode, WrongInputError
from matomo_harness.gate import remote
from matomo_harness.gate.catalogue import read_policy
from matomo_harness.gate.core import runner
from matomo_harness.gate.probes.preflight import PREFLIGHT
from matomo_harness.matomo.ini import HEADER
from matomo_harness.operate import gate, gate_container, local, recipes
from matomo_harness.operate.recipes import RECIPES, Page, Recipe, RedCheck, Scene, Sight
from matomo_harness.operate.stack import Stack
from matomo_harness.runtime import faults
from matomo_harness.runtime.containers import wait_for_database
from matomo_harness.runtime.engine import engine, execute
from matomo_harness.runtime.shell import OWN_CONFIG, wait_for_web
from tests.checkout import Checkout, copied
from tests.programs import Answer

IN_EVERY_RUN: Final = "database-gone"
every_recipe = pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(
            recipe,
            id=recipe.name,
            marks=()
            if recipe.name == IN_EVERY_RUN
            else pytest.mark.nightly(reason="a fault and its way back, as for the other recipes"),
        )
        for recipe in RECIPES
    ],
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A local stack that is up."""
    with copied(tmp_path_factory.mktemp("recipes")) as copy:
        assert (answer := copy.harness("up")).code == 0, answer.text
        yield copy


@pytest.fixture(scope="module")
def scene(stack: Checkout) -> Scene:
    """The same, as recipes see it."""
    return Scene(Stack(stack.root))


@pytest.fixture(scope="module")
def token(stack: Checkout, scene: Scene) -> str:
    return local.token(stack.settings, scene.stack)


@pytest.fixture
def healthy(scene: Scene) -> Iterator[None]:
    """Heals whatever a test that failed has left."""
    yield
    if name := recipes.under_way(scene.stack):
        recipes.heal(name, scene.stack)


class Eyes:
    """Looks at a stack by what a recipe says."""

    def __init__(self, stack: Checkout, scene: Scene, token: str) -> None:
        self.stack, self.scene, self.token = stack, scene, token

    def see(self, sight: Sight) -> bool:
        """Whether one sees what a recipe says."""
        match sight:
            case Page():
                before = self._withheld_seconds()
                answer = self.scene.web.ask(sight.path)
                withheld = self._withheld_seconds() - before
                return (
                    answer.status_code == sight.status
                    and sight.says in answer.text
                    and answer.elapsed.total_seconds() > sight.slower_than
                    # A busy machine makes a healthy one as slow, and keeps nothing from it.
                    and withheld >= sight.slower_than / 4
                )
            case RedCheck():
                return self._status(sight) == "fail"
            case _:
                verb = self.stack.harness(*sight.arguments)
                return bool(verb.code) and sight.says in verb.text

    def _withheld_seconds(self) -> float:
        """Return for how long the web container was kept from the processor, for its limit."""
        web = str(self.scene.container("matomo").id)
        said: Any = engine().api.stats(web, stream=False, one_shot=True)
        return float(said["cpu_stats"]["throttling_data"]["throttled_time"]) / 1e9

    def _status(self, sight: RedCheck) -> str:
        """Return what the gate's runner says, as for `gate --container`."""
        name = str(self.scene.container("matomo").name)
        container, matomo = gate_container.entered(name)
        database, _ = gate_container.database(container, matomo, self.scene.url)
        target = remote.target(
            self.scene.url,
            read_policy(),
            authority=self.scene.stack.authority_file,
            allow_hits=sight.hits,
            environment={"HARNESS_TOKEN": self.token} if sight.hits else {},
            container=matomo,
            database=database,
        )
        (result,) = runner.run(
            target, gate.chosen(sight.check), lambda _: None, at_once=1, preflight=PREFLIGHT
        )
        assert result.status in ("pass", "fail"), result
        return str(result.status)


@pytest.fixture(scope="module")
def eyes(stack: Checkout, scene: Scene, token: str) -> Eyes:
    return Eyes(stack, scene, token)


def is_of_an_archiver(table: str) -> bool:
    """Whether an archiver that ran meanwhile may have made it."""
    return "_archive_" in table and recipes.OF_LONG_AGO not in table


def state(scene: Scene) -> dict[str, Any]:
    """Return what recipes change, of a stack that runs."""
    database = local.database_of(scene.stack)
    sequence = [row["name"] for row in database.query("SELECT name FROM {prefix}sequence")]
    options = "SELECT * FROM {prefix}option WHERE option_name LIKE 'PrivacyManager%'"
    return {
        "configuration": scene.shell.read(OWN_CONFIG),
        "tables": {name for name in database.all_tables() if not is_of_an_archiver(name)},
        "triggers": database.query("SHOW TRIGGERS"),
        "options": database.query(options),
        "sequence": {name for name in sequence if not is_of_an_archiver(name)},
        "files": scene.shell.run(
            *("sh", "-c"),
            "ls -A js plugins/Feedback /etc/apache2/conf-enabled;"
            " find . -maxdepth 1 -name '.matomo-harness*'; find tmp -user root",
        ),
        "processors": faults.cpus_of(scene.container("matomo")),
        "relay": execute(scene.container("mail"), ["md5sum", recipes.RELAY]).out,
    }


@every_recipe
@pytest.mark.usefixtures("healthy")
@pytest.mark.slow(reason="a fault and its way back")
def test_what_it_says_is_seen_until_it_is_healed(recipe: Recipe, scene: Scene, eyes: Eyes) -> None:
    before = state(scene)
    recipes.run(recipe.name, scene.stack)
    assert recipes.under_way(scene.stack) == recipe.name
    assert [sight for sight in recipe.sights if not eyes.see(sight)] == []
    recipes.heal(recipe.name, scene.stack)
    assert not scene.stack.recipe_file.exists()
    assert [sight for sight in recipe.sights if eyes.see(sight)] == []
    assert state(scene) == before


@pytest.mark.nightly(reason="what heals by hand, beside what heals by command")
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
@pytest.mark.usefixtures("healthy")
@pytest.mark.slow(reason="a fault and its way back")
def test_the_commands_that_it_names_heal_it_by_hand(
    recipe: Recipe, stack: Checkout, scene: Scene, eyes: Eyes
) -> None:
    before = state(scene)
    shown = recipes.run(recipe.name, scene.stack)
    for command in shown.heal_by_hand:
        assert (answer := typed(stack, command)).code == 0, answer.text
    wait_for_database(local.database_of(scene.stack), scene.container("db"))
    wait_for_web(scene.web, scene.container("matomo"))
    assert [sight for sight in recipe.sights if eyes.see(sight)] == []
    recipes.heal(recipe.name, scene.stack)
    assert state(scene) == before


def typed(stack: Checkout, command: str) -> Answer:
    """Run a command as it is printed, in a shell in the copy."""
    ours = shlex.join([sys.executable, "-m", "matomo_harness"])
    ended = subprocess.run(
        ["sh", "-c", command.replace("matomo-harness ", f"{ours} ")],
        cwd=stack.root,
        env=stack.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return Answer(ended.returncode, ended.stdout + ended.stderr)


@pytest.mark.usefixtures("healthy")
@pytest.mark.nightly(reason="five commands, and the gate twice")
def test_the_command_says_how_to_see_and_heal_it_and_no_other_begins(
    stack: Checkout, tmp_path: Path
) -> None:
    begun = stack.harness("recipe", "run", "guard-lost")
    assert begun.code == 0, begun.text
    (command,) = (line for line in begun.text.splitlines() if " gate --container " in line)
    red = typed(stack, command)
    assert red.code == ExitCode.BROKEN_PROMISE, red.text
    assert "exposure.configuration_guards_itself" in red.text
    assert "guard-lost (under way)" in stack.harness("recipe", "list").text
    for name in ("guard-lost", "database-gone"):
        again = stack.harness("recipe", "run", name)
        again.refuses(
            ExitCode.WRONG_INPUT, "seen: guard-lost", "matomo-harness recipe heal guard-lost"
        )
    other = stack.harness("recipe", "heal", "database-gone")
    other.refuses(ExitCode.WRONG_INPUT, "seen: guard-lost", "recipe heal guard-lost")
    ticket = str(tmp_path / "ticket.zip")
    bundle = stack.harness("bundle", "--to", ticket)
    assert bundle.code == 0, bundle.text
    assert "there: make up, then make recipe NAME=guard-lost" in bundle.text
    stack.harness("repro", "new", ticket).refuses(
        ExitCode.WRONG_INPUT, "make recipe NAME=guard-lost"
    )
    healed = stack.harness("recipe", "heal", "guard-lost")
    assert healed.code == 0, healed.text
    assert typed(stack, command).code == 0
    again = stack.harness("recipe", "heal", "guard-lost")
    again.refuses(ExitCode.WRONG_INPUT, "guard-lost to be under way", "seen: none is")


KILLED: Final = """
import dataclasses, os, signal, sys
from matomo_harness.operate import recipes

recipe = recipes.named("guard-lost")


def begin(scene):
    if sys.argv[1] == "after":
        recipe.fault.begin(scene)
    os.kill(os.getpid(), signal.SIGKILL)


killed = dataclasses.replace(recipe, fault=dataclasses.replace(recipe.fault, begin=begin))
recipes.named = lambda name: killed
recipes.run("guard-lost")
"""
"""Runs a recipe that is killed before or after its change, and never comes to its end."""


@pytest.mark.nightly(reason="the record of a recipe, beside the whole way in every run")
@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize("moment", ["before", "after"])
def test_of_a_killed_one_the_record_is_there_to_heal_by(
    stack: Checkout, scene: Scene, moment: str
) -> None:
    text = scene.shell.read(OWN_CONFIG)
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, moment],
        cwd=stack.root,
        env=stack.environment(),
        check=False,
    )
    assert ended.returncode < 0
    assert (scene.shell.read(OWN_CONFIG) != text) == (moment == "after")
    assert scene.stack.recipe_file.stat().st_mode & 0o777 == 0o600
    assert recipes.under_way(scene.stack) == "guard-lost"
    recipes.heal("guard-lost", scene.stack)
    assert scene.shell.read(OWN_CONFIG) == text
    assert not recipes.under_way(scene.stack)


@pytest.mark.nightly(reason="a rare state, beside the whole way in every run")
@pytest.mark.usefixtures("healthy")
def test_of_a_stack_on_another_state_nothing_is_taken_back(scene: Scene) -> None:
    recipes.run("guard-lost", scene.stack)
    record = scene.stack.recipe_file
    record.write_text(record.read_text().replace('"generation": ""', '"generation": "-other"'))
    text = scene.shell.read(OWN_CONFIG)
    recipes.heal("guard-lost", scene.stack)
    assert scene.shell.read(OWN_CONFIG) == text
    assert not record.exists()
    scene.shell.write(OWN_CONFIG, f"{HEADER}{text}")


@pytest.mark.nightly(reason="a rare state, beside the whole way in every run")
@pytest.mark.usefixtures("healthy")
def test_a_table_that_was_made_anew_gives_way_to_the_one_of_before(scene: Scene) -> None:
    database = local.database_of(scene.stack)
    (before,) = database.query("CHECKSUM TABLE {prefix}segment")
    recipes.run("table-missing", scene.stack)
    database.query(f"CREATE TABLE {{prefix}}segment LIKE {recipes.PUT_ASIDE}")
    recipes.heal("table-missing", scene.stack)
    assert database.query("CHECKSUM TABLE {prefix}segment") == [before]
    assert recipes.PUT_ASIDE not in database.all_tables()


@pytest.mark.nightly(reason="a rare state, beside the whole way in every run")
@pytest.mark.usefixtures("healthy")
def test_a_stack_without_what_it_breaks_is_named_and_untouched(scene: Scene) -> None:
    text = scene.shell.read(OWN_CONFIG)
    line = 'Plugins[] = "Live"\n'
    assert line in text
    scene.shell.write(OWN_CONFIG, text.replace(line, ""))
    try:
        with pytest.raises(WrongInputError, match="a stack that has what plugin-not-listed breaks"):
            recipes.run("plugin-not-listed", scene.stack)
        assert not recipes.under_way(scene.stack)
        assert scene.shell.read(OWN_CONFIG) == text.replace(line, "")
    finally:
        scene.shell.write(OWN_CONFIG, text)


@pytest.mark.nightly(reason="a stack is started anew, twice")
@pytest.mark.usefixtures("healthy")
@pytest.mark.slow(reason="a stack is started anew, twice")
def test_a_stack_that_went_down_and_up_is_healed_as_well(stack: Checkout, scene: Scene) -> None:
    before = state(scene)
    for name in ("broken-line", "tmp-full"):
        recipes.run(name, scene.stack)
        assert stack.harness("down").code == 0
        stack.harness("recipe", "heal", name).refuses(ExitCode.WRONG_INPUT, "make up")
        up = stack.harness("up")
        assert up.code == 0, up.text
        assert "A recipe is under way" in up.text
        recipes.heal(name, scene.stack)
        assert state(scene) == before


def test_a_stack_that_is_not_up_is_named(tmp_path: Path) -> None:
    with copied(tmp_path) as copy:
        answer = copy.harness("recipe", "run", "guard-lost")
        answer.refuses(ExitCode.WRONG_INPUT, "the local stack to be up", "make up")
        assert not (copy.root / ".local/recipe.json").exists()
