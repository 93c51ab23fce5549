"""Mutants as data: every promise and place has some, every check has one; matrices are judged."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from harness import policy
from harness.errors import WrongInputError
from harness.gate.check import Status
from harness.gate.checks import ALL
from harness.gate.mutants import WRITTEN, generated, matrix, report, turns
from harness.gate.mutants.matrix import Row
from harness.gate.mutants.mutant import Mutant, Place, Subject
from harness.gate.mutants.variants import VARIANTS
from harness.operate import mutants as operation

CHECKS = {it.id for it in ALL}
LACKING = list(generated.of_the_policy())
PROMISES = {it.area for it in ALL}


def row(mutant: Mutant, *red: str) -> Row:
    statuses = {it: Status.FAIL if it in red else Status.PASS for it in CHECKS}
    return Row(mutant, statuses, dict.fromkeys(red, "seen"), 1.0)


def killed(mutant: Mutant) -> Row:
    return row(mutant, *mutant.kills)


def test_there_are_eighty_mutants_and_twenty_variants() -> None:
    assert len(WRITTEN) >= 80
    assert len(VARIANTS) >= 20
    made: list[Subject] = [*WRITTEN, *VARIANTS, *generated.generated(policy.read())]
    assert [it for it, count in Counter(it.id for it in made).items() if count > 1] == []


def test_every_promise_and_every_place_has_mutants() -> None:
    assert {it.promise for it in WRITTEN} == PROMISES
    assert {it.place for it in WRITTEN} == set(Place)


def test_a_mutant_names_checks_that_there_are_one_of_its_own_promise_at_least() -> None:
    assert {kill for it in WRITTEN for kill in it.kills} <= CHECKS
    own = [
        it.id for it in WRITTEN if not any(kill.startswith(f"{it.promise}.") for kill in it.kills)
    ]
    assert own == []


def test_a_mutant_names_a_row_of_the_failure_modes_or_none() -> None:
    assert [it.id for it in WRITTEN if not re.fullmatch(r"([A-Z]\d+)?", it.seen)] == []


@pytest.mark.parametrize("check", sorted(CHECKS))
def test_without_a_check_the_mutants_that_name_it_survive(check: str) -> None:
    naming = [it for it in WRITTEN if check in it.kills]
    assert naming, f"no mutant names {check}"
    verdict = matrix.judge([killed(it).without(check) for it in naming], whole=False)
    assert verdict.survivors == tuple(it.id for it in naming)
    assert not verdict.proven


def test_a_whole_matrix_without_a_flaw_proves_the_gate() -> None:
    rows = [*(killed(it) for it in WRITTEN), *(Row(it, {}, {}, 1.0) for it in VARIANTS)]
    verdict = matrix.judge(rows, whole=True)
    assert verdict.proven, verdict
    assert matrix.last_line(rows, verdict) == (
        f"{len(WRITTEN)} mutants, {len(WRITTEN)} killed, 0 survived;"
        f" {len(VARIANTS)} variants, 0 false alarms"
    )


def test_a_survivor_a_false_alarm_and_an_idle_check_are_named() -> None:
    mutant, variant, check = WRITTEN[0], VARIANTS[0], ALL[-1].id
    alarm = Row(variant, {check: Status.FAIL}, {check: "seen"}, 1.0)
    verdict = matrix.judge([row(mutant), alarm], whole=True)
    assert verdict.survivors == (mutant.id,)
    assert verdict.false_alarms == (variant.id,)
    assert check in verdict.idle
    assert matrix.last_line([row(mutant), alarm], verdict) == (
        "1 mutants, 0 killed, 1 survived; 1 variants, 1 false alarms"
    )


def test_a_kill_by_another_promise_s_check_alone_is_named() -> None:
    mutant = Mutant("masking.x", "x", Place.FILE, ("drift.file_is_the_image_s",))
    verdict = matrix.judge([killed(mutant)], whole=False)
    assert verdict.of_another_promise == ("masking.x",)
    assert not verdict.proven


def test_what_could_not_be_made_counts_as_survived() -> None:
    rows = [Row(WRITTEN[0], {}, {}, 1.0, not_made="no such line")]
    verdict = matrix.judge(rows, whole=False)
    assert not verdict.proven
    assert matrix.last_line(rows, verdict).startswith("1 mutants, 0 killed, 1 survived;")


def test_what_does_not_start_is_red() -> None:
    made = generated.generated(policy.read())[0]
    assert matrix.is_killed(Row(made, {matrix.STARTS: Status.ERROR}, {matrix.STARTS: "x"}, 1.0))
    assert not matrix.is_killed(row(made))


def test_the_quick_matrix_runs_what_a_mutant_names_and_the_full_one_everything() -> None:
    mutant = next(it for it in WRITTEN if it.id == "masking.off")
    quick = {it.id for it in turns.checks_for(mutant, full=False)}
    assert set(mutant.kills) <= quick < CHECKS
    assert {it.id for it in turns.checks_for(mutant, full=True)} == CHECKS
    assert {it.id for it in turns.checks_for(VARIANTS[0], full=False)} == CHECKS


def test_the_report_names_every_row_and_has_the_picture(tmp_path: Path) -> None:
    rows = [killed(it) for it in WRITTEN[:3]] + [row(WRITTEN[3])]
    document = report.write(
        rows, matrix.judge(rows, whole=False), {"image": "a:1", "Matomo": "5.3.1"}, tmp_path
    )
    assert json.loads((tmp_path / "mutants.json").read_text()) == document
    assert document["survivors"] == [WRITTEN[3].id]
    page = (tmp_path / "mutants.html").read_text()
    assert page.count("<rect") == len(rows) * len(CHECKS)
    assert [it.id for it in WRITTEN[:4] if it.id not in page] == []


def test_every_key_and_variable_has_generated_mutants_or_a_reason() -> None:
    names = policy.read().environment.variables
    made = {it.id for it in (*generated.of_the_file(), *generated.of_the_environment(names))}
    made |= {name for name, _ in generated.of_the_policy()}
    assert {it for it in generated.EQUIVALENT if it not in made} == set()
    assert {f"variable.{name}.dropped" for name in names} <= made
    assert len(list(generated.keys())) > 80


@pytest.mark.parametrize(("name", "text"), LACKING, ids=[it[0] for it in LACKING])
def test_a_policy_without_one_of_its_keys_is_refused(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(text)
    if name in generated.EQUIVALENT:
        policy.read(file)
        return
    with pytest.raises(WrongInputError):
        policy.read(file)


def test_words_choose_and_a_word_that_chooses_nothing_is_refused() -> None:
    privacy = {it.id.partition(".")[0] for it in operation.chosen("privacy", with_generated=False)}
    assert privacy == {"masking", "user_ids"}
    assert len(operation.chosen("", with_generated=False)) == len(WRITTEN) + len(VARIANTS)
    with pytest.raises(WrongInputError, match="no-such"):
        operation.chosen("no-such", with_generated=False)


def test_what_is_equivalent_may_be_so_before_a_version_alone() -> None:
    (early, *_) = generated.EQUIVALENT_BEFORE
    assert early in generated.equivalent("5.3.1")
    assert early in generated.equivalent("5.6.99-rc1")
    assert early not in generated.equivalent("5.7.0")
    assert early in {it.id for it in generated.generated(policy.read())}
