"""--only, --list and explain need no engine, and an unknown name is answered by the nearest."""

import json
import os
import subprocess
import sys

import pytest

from matomo_harness.errors import ExitCode, WrongInputError
from matomo_harness.gate.catalogue import ALL
from matomo_harness.gate.mutation import WRITTEN
from matomo_harness.operate import gate
from tests.programs import Answer


def harness(*arguments: str) -> Answer:
    nowhere = {**os.environ, "DOCKER_HOST": "unix:///nowhere"}
    command = [sys.executable, "-m", "matomo_harness", *arguments]
    ended = subprocess.run(command, env=nowhere, capture_output=True, text=True, check=False)
    return Answer(ended.returncode, ended.stdout + ended.stderr)


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("", len(ALL)),
        ("masking", sum(check.promise == "masking" for check in ALL)),
        ("masking.ipv4_in_bulk", 1),
        ("ipv4_in_bulk", 1),
        ("masking.ipv?_in_bulk mail", 2 + sum(check.promise == "mail" for check in ALL)),
    ],
)
def test_a_pattern_chooses_checks(pattern: str, count: int) -> None:
    assert len(gate.chosen(pattern)) == count


@pytest.mark.parametrize("pattern", ["maskin.ipv4_in_bulk", "masking ipv4_in_bulc"])
def test_a_word_that_matches_nothing_is_wrong_input(pattern: str) -> None:
    with pytest.raises(WrongInputError, match=r"the nearest: .*masking\.ipv4_in_bulk"):
        gate.chosen(pattern)


@pytest.mark.parametrize("verb", [("gate", "--only"), ("explain",)])
def test_an_unknown_check_is_wrong_input(verb: tuple[str, ...]) -> None:
    answer = harness(*verb, "masking.ipv4_in_bulc")
    answer.refuses(
        ExitCode.WRONG_INPUT, "nearest: masking.ipv4_in_bulk", "matomo-harness gate --list"
    )


def test_the_list_has_every_check_with_what_it_needs() -> None:
    answer = harness("gate", "--list", "--json")
    assert answer.code == 0
    listed = json.loads(answer.text)
    assert [row["id"] for row in listed] == [check.id for check in ALL]
    assert {row["id"]: row["promise"] for row in listed} == {
        check.id: check.sentence for check in ALL
    }
    assert all({"capabilities", "steps", "seconds"} <= row.keys() for row in listed)


def test_an_explanation_names_the_mutants_that_prove_a_check() -> None:
    answer = harness("explain", "masking.ipv4_in_bulk", "--json")
    assert answer.code == 0
    (explained,) = json.loads(answer.text)
    proving = [mutant for mutant in WRITTEN if "masking.ipv4_in_bulk" in mutant.kills]
    assert explained["mutants"] == {mutant.id: mutant.breaks for mutant in proving}
    assert "Test traffic is sent and stored" in explained["steps"]
    assert any("HARNESS_TOKEN" in need for need in explained["needs"])


@pytest.mark.parametrize(
    ("word", "today"),
    [
        ("drift.options_are_the_policy_s", {"settings.options"}),
        ("options_are_the_policy_s", {"settings.options"}),
        (
            "gui",
            {
                "operation.pages_say_words",
                "operation.pages_run_without_errors",
                "masking.browser_shows_the_mask",
                "second_factors.browser_is_asked_for_a_code",
            },
        ),
    ],
)
def test_a_former_name_chooses_the_checks_of_today(word: str, today: set[str]) -> None:
    assert {check.id for check in gate.chosen(word)} == today


def test_a_former_area_chooses_all_of_its_checks() -> None:
    assert len(gate.chosen("drift.*")) == len(gate.chosen("drift")) == 12
    assert len(gate.chosen("configuration")) == 39
