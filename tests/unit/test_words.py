"""The word list: what it refuses, and what it leaves alone."""

from pathlib import Path

import pytest

from tests import words


def complaints(text: str, name: str = "module.py") -> list[str]:
    return [line.split(": ", 1)[1] for line in words.complaints(Path(name), text)]


@pytest.mark.parametrize(
    "code",
    [
        "for it in rows: pass",
        "found = [its.name for its in rows]",
        "run = lambda it: it",
        "def test_the_image_s_files(): pass",
        "class Started: pass",
        "class _Seen: pass",
        "def is_told(kept): pass",
        "THEATRE = 1",
        "class OpenDoor: pass",
    ],
)
def test_a_refused_name_is_named_with_what_to_say(code: str) -> None:
    assert complaints(code) != []
    assert all("name" in complaint for complaint in complaints(code))


@pytest.mark.parametrize(
    "code",
    [
        "for item in rows: pass",
        "waited = [row for row in rows]",
        "class StartedStack: pass",
        "def is_enrolled(site): pass",
        "rows_sent = 1",
        "def test_its_files_are_there(): pass",
    ],
)
def test_other_names_are_left_alone(code: str) -> None:
    assert complaints(code) == []


@pytest.mark.parametrize(
    "text", ["a stand-in for the base", "a machine cannot do it", "the mutants and variants"]
)
def test_an_old_word_in_a_text_is_named_with_its_line(text: str) -> None:
    (complaint,) = words.complaints(Path("page.md"), f"fine\n{text}\n")
    assert complaint.startswith("page.md:2: ")
    assert "say" in complaint


def test_a_path_narrows_and_nothing_refused_is_committed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert words.main(["docs"]) == 0
    assert words.main([]) == 0
    assert capsys.readouterr().out == ""
