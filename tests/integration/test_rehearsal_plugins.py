"""A plugin is added, updated and removed on a copy: tables, configuration, the tracker's script."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from matomo_harness.errors import ExitCode
from matomo_harness.operate.rehearsal import stages
from matomo_harness.runtime import images
from matomo_harness.runtime.images import Image
from tests.checkout import Checkout
from tests.plugins import NOTES, NOTES_TABLE, SPEED, SPEED_COLUMN, plugin
from tests.rehearsed import REPORTS, reasons, rehearsed, small_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A local stack of 5.3.1 that is up."""
    with small_stack(tmp_path_factory.mktemp("rehearsal"), visits=0) as started:
        yield started


@pytest.fixture(scope="module")
def with_notes(stack: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """An image that has the first version of HarnessNotes on from the beginning."""
    context = tmp_path_factory.mktemp("with-notes")
    plugin(context, NOTES, "1.0.0")
    own = images.deployed_image(stack.settings)
    (context / "Dockerfile").write_text(
        f"FROM {own.reference}\n"
        f"COPY {NOTES}/ /usr/src/matomo/plugins/{NOTES}/\n"
        f"RUN sed -i '/NoUserIds/a Plugins[] = \"{NOTES}\"' /usr/src/matomo-config/config.ini.php\n"
    )
    return images.build(context, f"{images.REPOSITORY}/test-with-notes:{own.digest}", {}, {})


def changed(stack: Checkout, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Rehearse the change of a plugin; return the exit code and what rehearsal.json holds."""
    return rehearsed(stack, "rehearse-plugin", *arguments, "--visits", "20")


def said(found: dict[str, Any], weight: str) -> str:
    return "\n".join(reasons(found, weight))


def is_added(stack: Checkout, found: dict[str, Any]) -> None:
    """Assert what an added HarnessSpeed leads to, however it was switched on."""
    assert found["tables"]["new columns"] == [f"log_visit.{SPEED_COLUMN}"]
    assert said(found, "no") == ""
    assert f"active now, and not before: {SPEED}" in said(found, "step")
    assert "matomo.js has the script of a plugin" in said(found, "step")
    patch = (stack.root / REPORTS / "config.patch").read_text()
    assert f'+Plugins[] = "{SPEED}"' in patch
    assert (found["back_at_once"], found["back_restored"]) == ([], [])


@pytest.mark.nightly(reason="a whole rehearsal, as an upgrade's in every run")
@pytest.mark.timeout(900)
def test_a_plugin_is_added_by_the_console(stack: Checkout, tmp_path: Path) -> None:
    folder = plugin(tmp_path, SPEED, "1.0.0")
    code, found = changed(stack, "add", str(folder))
    is_added(stack, found)
    assert found["question"] == f"Can {SPEED} 1.0.0 be added to the local stack?"
    assert code == 0
    assert {each["name"] for each in found["stages"]} >= {stages.UPDATE, stages.NEXT}
    # What runs has heard nothing of it.
    assert SPEED not in stack.web.get(path="matomo.js").text
    columns = stack.database.query("SHOW COLUMNS FROM {prefix}log_visit")
    assert SPEED_COLUMN not in {row["Field"] for row in columns}


@pytest.mark.nightly(reason="a rehearsal for each way")
@pytest.mark.timeout(900)
def test_a_plugin_is_added_by_the_list_of_the_file(stack: Checkout, tmp_path: Path) -> None:
    archive = shutil.make_archive(
        str(tmp_path / "plugin"), "zip", plugin(tmp_path / "x", SPEED, "1.0.0").parent
    )
    code, found = changed(stack, "add", archive, "--route", "list")
    is_added(stack, found)
    assert code == 0


@pytest.mark.nightly(reason="a rehearsal for each")
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("version", "columns"), [("1.1.0", [f"{NOTES_TABLE}.author"]), ("1.2.0", None)]
)
def test_an_update_of_a_plugin_changes_its_tables_once(
    stack: Checkout, with_notes: Image, tmp_path: Path, version: str, columns: list[str] | None
) -> None:
    folder = plugin(tmp_path, NOTES, version)
    code, found = changed(stack, "update", str(folder), "--from", with_notes.reference)
    assert (code, said(found, "no")) == (0, "")
    assert found["tables"]["new columns"] == (columns or [f"{NOTES_TABLE}.author"])
    assert found["after"]["plugins"][NOTES] == version


@pytest.mark.nightly(reason="a rehearsal for each")
@pytest.mark.timeout(900)
def test_a_plugin_is_removed_and_its_table_stays(stack: Checkout, with_notes: Image) -> None:
    code, found = changed(stack, "remove", NOTES, "--from", with_notes.reference)
    assert (code, said(found, "no")) == (0, "")
    assert NOTES not in found["after"]["plugins"]
    assert found["tables"]["gone tables"] == []
    assert f"tables and settings of {NOTES} stay" in said(found, "note")
    assert stages.SWITCHED_OFF in {each["name"] for each in found["stages"]}


@pytest.mark.nightly(reason="a rehearsal for each")
@pytest.mark.timeout(900)
def test_a_plugin_for_another_matomo_is_refused_by_matomo(stack: Checkout, tmp_path: Path) -> None:
    code, found = changed(stack, "add", str(plugin(tmp_path, SPEED, "1.2.0")))
    assert code == 1
    assert SPEED in said(found, "no")
    # It stays off, and the rest goes on.
    assert SPEED not in found["after"]["plugins"]
    assert found["back_restored"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("add", "nowhere"), ("a plugin: a folder or a zip file", "nothing at nowhere")),
        (("add", "docs"), ("no plugin.json in docs",)),
        (("add", "README.md"), ("a file that is no zip at README.md",)),
        (("remove", "../Live"), ("a plugin", "../Live")),
        (("move", "Live"), ("one of add, update, remove", "move")),
        (
            ("add", "image/plugins/NoUserIds", "--route", "click"),
            ("--route to be one of console, list", "click"),
        ),
        (("add", "image/plugins/NoUserIds"), ("an image without NoUserIds",)),
        (("remove", "HarnessNotes"), ("an image with HarnessNotes",)),
    ],
    ids=lambda words: " ".join(words),
)
def test_wrong_input_is_refused_by_name(
    checkout: Checkout, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    own = images.deployed_image(checkout.settings).reference
    answer = checkout.harness("rehearse-plugin", *arguments, "--from", own)
    answer.refuses(ExitCode.WRONG_INPUT, *words)
