"""Mutants as data: every promise, fault location and check has some; a matrix is judged."""

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.gate.catalogue import ALL, read_policy
from matomo_harness.gate.core.check import Status
from matomo_harness.gate.mutants import Control, Deployment, Location, Mutant, Part, Subject
from matomo_harness.gate.mutation import CONTROLS, WRITTEN, batches, generated, report, runner
from matomo_harness.gate.mutation.runner import MutationRunner, Row
from matomo_harness.gate.promises.environment.checks import Environment
from matomo_harness.operate import mutants as operation
from matomo_harness.policy import promised
from matomo_harness.shard import Shard
from matomo_harness.time_limit import seconds_left

CHECKS = {check.id for check in ALL}
PROMISES = {check.promise for check in ALL}


def row(mutant: Mutant, *red: str) -> Row:
    statuses = {check: Status.FAILED if check in red else Status.PASSED for check in CHECKS}
    return Row(mutant, statuses, dict.fromkeys(red, "seen"), 1.0)


def killed(mutant: Mutant) -> Row:
    return row(mutant, *mutant.kills)


def test_there_are_enough_mutants_and_controls_with_unique_ids() -> None:
    assert len(WRITTEN) >= 80
    assert len(CONTROLS) >= 20
    made: list[Subject] = [*WRITTEN, *CONTROLS, *generated.generated(read_policy())]
    assert [
        name for name, count in Counter(subject.id for subject in made).items() if count > 1
    ] == []


def test_every_promise_and_fault_location_has_mutants() -> None:
    assert {mutant.promise for mutant in WRITTEN} == PROMISES
    assert {mutant.location for mutant in WRITTEN} == set(Location)


def test_a_mutant_names_known_checks_and_one_of_its_own_promise() -> None:
    assert {kill for mutant in WRITTEN for kill in mutant.kills} <= CHECKS
    without_own = [
        mutant.id
        for mutant in WRITTEN
        if not any(kill.startswith(f"{mutant.promise}.") for kill in mutant.kills)
    ]
    assert without_own == []


def test_a_mutant_names_a_row_of_the_failure_modes_or_none() -> None:
    for mutant in WRITTEN:
        assert re.fullmatch(r"([A-Z]\d+)?", mutant.failure_mode), mutant.id


@pytest.mark.parametrize("check", sorted(CHECKS))
def test_without_its_check_a_mutant_survives(check: str) -> None:
    naming = [mutant for mutant in WRITTEN if check in mutant.kills]
    assert naming, f"no mutant names {check}"
    verdict = runner.judge([killed(mutant).without(check) for mutant in naming], whole=False)
    assert verdict.survivors == tuple(mutant.id for mutant in naming)
    assert not verdict.proven


def test_a_whole_matrix_without_a_flaw_proves_the_gate() -> None:
    rows = [killed(mutant) for mutant in WRITTEN]
    rows += [Row(control, {}, {}, 1.0) for control in CONTROLS]
    verdict = runner.judge(rows, whole=True)
    assert verdict.proven, verdict
    assert runner.last_line(rows, verdict) == (
        f"{len(WRITTEN)} mutants, {len(WRITTEN)} killed, 0 survived;"
        f" {len(CONTROLS)} controls, 0 false alarms"
    )


def test_a_survivor_a_false_alarm_and_an_idle_check_are_named() -> None:
    mutant, control, check = WRITTEN[0], CONTROLS[0], ALL[-1].id
    alarm = Row(control, {check: Status.FAILED}, {check: "seen"}, 1.0)
    verdict = runner.judge([row(mutant), alarm], whole=True)
    assert verdict.survivors == (mutant.id,)
    assert verdict.false_alarms == (control.id,)
    assert check in verdict.idle
    assert runner.last_line([row(mutant), alarm], verdict) == (
        "1 mutants, 0 killed, 1 survived; 1 controls, 1 false alarms"
    )


def test_a_kill_by_checks_of_another_promise_alone_is_named() -> None:
    mutant = Mutant("masking.x", "x", Location.FILE, ("settings.file_is_of_the_image",))
    verdict = runner.judge([killed(mutant)], whole=False)
    assert verdict.of_another_promise == ("masking.x",)
    assert not verdict.proven


def test_a_mutant_that_could_not_be_made_counts_as_survived() -> None:
    rows = [Row(WRITTEN[0], {}, {}, 1.0, not_made="no such line")]
    verdict = runner.judge(rows, whole=False)
    assert not verdict.proven
    assert runner.last_line(rows, verdict).startswith("1 mutants, 0 killed, 1 survived;")


def test_a_mutant_that_does_not_start_is_killed() -> None:
    made = generated.generated(read_policy())[0]
    assert runner.is_killed(Row(made, {runner.STARTS: Status.ERROR}, {runner.STARTS: "x"}, 1.0))
    assert not runner.is_killed(row(made))


def test_the_quick_matrix_runs_the_named_checks_and_the_full_one_all() -> None:
    mutant = next(mutant for mutant in WRITTEN if mutant.id == "masking.off")
    quick = {check.id for check in batches.checks_for(mutant, full=False)}
    assert set(mutant.kills) <= quick < CHECKS
    assert {check.id for check in batches.checks_for(mutant, full=True)} == CHECKS
    assert {check.id for check in batches.checks_for(CONTROLS[0], full=False)} == CHECKS


def test_the_report_names_every_row_and_has_the_picture(tmp_path: Path) -> None:
    rows = [killed(mutant) for mutant in WRITTEN[:3]] + [row(WRITTEN[3])]
    document = report.write(
        rows, runner.judge(rows, whole=False), {"image": "a:1", "Matomo": "5.3.1"}, tmp_path
    )
    assert json.loads((tmp_path / "mutants.json").read_text()) == document
    assert document["survivors"] == [WRITTEN[3].id]
    page = (tmp_path / "mutants.html").read_text()
    assert page.count("<rect") == len(rows) * len(CHECKS)
    assert [mutant.id for mutant in WRITTEN[:4] if mutant.id not in page] == []


def test_every_key_and_variable_has_generated_mutants_or_a_reason() -> None:
    names = promised(read_policy().section(Environment).variables)
    mutants = (*generated.of_the_file(), *generated.of_the_environment(names))
    made = {mutant.id for mutant in mutants}
    assert {name for name in generated.EQUIVALENT if name not in made} == set()
    assert {f"variable.{name}.dropped" for name in names} <= made
    assert len(list(generated.keys())) > 80


def test_words_choose_mutants_and_an_unknown_word_is_refused() -> None:
    chosen = operation.chosen("privacy", with_generated=False)
    assert {subject.id.partition(".")[0] for subject in chosen} == {"masking", "user_ids"}
    assert len(operation.chosen("", with_generated=False)) == len(WRITTEN) + len(CONTROLS)
    with pytest.raises(WrongInputError, match="no-such"):
        operation.chosen("no-such", with_generated=False)


def test_a_mutant_may_be_equivalent_before_a_version_alone() -> None:
    (early, *_) = generated.EQUIVALENT_BEFORE
    assert early in generated.equivalent("5.3.1")
    assert early in generated.equivalent("5.6.99-rc1")
    assert early not in generated.equivalent("5.7.0")
    assert early in {mutant.id for mutant in generated.generated(read_policy())}


# -- batches and shards ---------------------------------------------------------------------------

SUBJECTS: list[Subject] = [*WRITTEN, *CONTROLS]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_shards_have_each_subject_once(count: int, full: bool) -> None:
    parts = [batches.part_of(Shard(k, count), SUBJECTS, full=full) for k in range(1, count + 1)]
    sharded = Counter(subject.id for part in parts for subject in part)
    assert sharded == Counter(subject.id for subject in SUBJECTS)


@pytest.mark.parametrize("full", [False, True])
def test_shards_cost_about_the_same(full: bool) -> None:
    parts = [batches.part_of(Shard(k, 4), SUBJECTS, full=full) for k in range(1, 5)]
    costs = [
        sum(
            batches.seconds(batch.subject, full=full)
            for batch in batches.batches_of(part, full=full)
        )
        for part in parts
    ]
    assert max(costs) / min(costs) < 1.1


def test_the_order_of_the_subjects_changes_no_shard() -> None:
    mutants: list[Subject] = [*WRITTEN]
    part = batches.part_of(Shard(2, 4), mutants, full=False)
    again = batches.part_of(Shard(2, 4), mutants[::-1], full=False)
    assert {subject.id for subject in part} == {subject.id for subject in again}


def test_a_shard_has_whole_groups() -> None:
    def groups(subjects: list[Subject]) -> set[tuple[str, ...]]:
        made = batches.batches_of(subjects, full=False)
        return {tuple(control.id for control in batch.members) for batch in made if batch.members}

    parts = [batches.part_of(Shard(k, 4), SUBJECTS, full=False) for k in range(1, 5)]
    assert set[tuple[str, ...]]().union(*map(groups, parts)) == groups(SUBJECTS)


def test_batches_have_each_subject_once_and_group_only_what_agrees() -> None:
    made = batches.batches_of(SUBJECTS, full=False)
    assert Counter(subject.id for batch in made for subject in batch.subjects) == Counter(
        subject.id for subject in SUBJECTS
    )
    assert sum(len(batch.members) for batch in made) >= 20
    for batch in made:
        parts = [part for control in batch.members for part in control.alters]
        assert len(parts) == len(set(parts)), batch
        assert len({control.topology for control in batch.members}) <= 1


def test_a_control_without_a_part_runs_alone_as_all_do_in_the_full_matrix() -> None:
    made = batches.batches_of(SUBJECTS, full=False)
    alone = {batch.subject.id for batch in made if not batch.members}
    assert {"control.as_it_is", "control.pair_as_it_is", "control.all_stands"} <= alone
    assert not any(batch.members for batch in batches.batches_of(SUBJECTS, full=True))


def test_a_group_makes_the_change_of_each_member() -> None:
    made: list[str] = []
    pair = [
        Control("control.a", "a", lambda _: made.append("a"), alters=(Part.MASK,)),
        Control("control.b", "b", lambda _: made.append("b"), alters=(Part.GOALS,)),
    ]
    (batch,) = batches.batches_of(pair, full=False)
    batch.subject.change(Deployment(read_policy()))
    assert made == ["a", "b"]


def test_the_longest_batches_come_first() -> None:
    ordered = batches.longest_first(batches.batches_of(SUBJECTS, full=False), full=False)
    costs = [batches.seconds(batch.subject, full=False) for batch in ordered]
    assert costs == sorted(costs, reverse=True)
    assert isinstance(ordered[0].subject, Control)


def test_a_cheap_check_that_needs_another_step_is_left_out() -> None:
    mutant = Mutant("masking.x", "x", Location.FILE, ("masking.nothing_is_known_yet",))
    assert [check.id for check in batches.checks_for(mutant, full=False) if check.steps] == []


# -- the mutation runner --------------------------------------------------------------------------

A, B = (
    Control(f"control.{name}", name, alters=(part,))
    for name, part in (("a", Part.MASK), ("b", Part.GOALS))
)
ALARM = {"masking.x": Status.FAILED}


def run_group(*red: str) -> tuple[dict[str, Row], list[str]]:
    """Run the group of A and B with an alarm on the ids `red`; return the rows and what ran."""
    order: list[str] = []

    def run(subject: Subject) -> Row:
        order.append(subject.id)
        return Row(subject, ALARM if subject.id in red else {}, {}, 4.0)

    def on_red_group(row: Row) -> None:
        order.append(f"{row.subject.id} is red")

    made = batches.batches_of([A, B], full=False)
    rows = runner.run_batches(made, run, at_once=1, on_red_group=on_red_group)
    return rows, order


def test_a_green_group_gives_each_member_its_row() -> None:
    rows, order = run_group()
    assert order == ["control.a+1"]
    assert [(name, row.seconds, row.together) for name, row in rows.items()] == [
        ("control.a", 2.0, ("control.a", "control.b")),
        ("control.b", 2.0, ("control.a", "control.b")),
    ]


def test_a_red_group_is_run_apart_to_name_the_false_alarm() -> None:
    rows, order = run_group("control.a+1", "control.b")
    assert order == ["control.a+1", "control.a+1 is red", "control.a", "control.b"]
    assert runner.judge(rows.values(), whole=False).false_alarms == ("control.b",)


def test_a_group_that_is_red_only_together_is_a_false_alarm() -> None:
    rows, _ = run_group("control.a+1")
    assert runner.judge(rows.values(), whole=False).false_alarms == ("control.a+1",)
    assert rows["control.a+1"].together == ("control.a", "control.b")


class EmptyRunner(MutationRunner):
    """A runner whose deployment has no Matomo."""

    @contextmanager
    def deployment(self, subject: Subject) -> Iterator[Deployment]:  # noqa: ARG002
        """Yield an empty deployment."""
        yield Deployment(self.policy)


def empty_runner(seconds: float = 5.0) -> MutationRunner:
    absent: Any = None
    return EmptyRunner(absent, absent, read_policy(), seconds)


def wrong_mutant(change: Callable[[Deployment], object]) -> Mutant:
    return Mutant("masking.wrong", "wrong", Location.FILE, ("masking.x",), change)


@pytest.mark.parametrize(
    "error", [OSError, AssertionError, RuntimeError, TimeoutError, KeyError, SystemExit]
)
def test_a_change_that_raises_is_not_made_and_the_rest_goes_on(
    error: type[BaseException],
) -> None:
    def change(_: Deployment) -> None:
        raise error("no such thing")

    mutants = [wrong_mutant(change), Mutant("masking.next", "x", Location.FILE, ("masking.x",))]
    rows = empty_runner().run_all(mutants, full=False, at_once=1)
    assert [row.subject.id for row in rows] == ["masking.wrong", "masking.next"]
    assert f"{error.__name__}: " in rows[0].not_made
    assert "no such thing" in rows[0].traceback
    assert runner.judge(rows[:1], whole=False).not_made == ("masking.wrong",)


def test_a_deployment_that_cannot_be_made_fails_its_row_alone() -> None:
    class FailingRunner(EmptyRunner):
        @contextmanager
        def deployment(self, subject: Subject) -> Iterator[Deployment]:
            if subject.id == "masking.wrong":
                raise OSError("no space left on device")
            with super().deployment(subject) as made:
                yield made

    absent: Any = None
    mutants = [
        wrong_mutant(lambda _: None),
        Mutant("masking.next", "x", Location.FILE, ("masking.x",)),
    ]
    rows = FailingRunner(absent, absent, read_policy()).run_all(mutants, full=False, at_once=1)
    assert rows[0].not_made == "OSError: no space left on device"
    assert len(rows) == 2


def test_a_change_has_a_time_limit() -> None:
    def change(_: Deployment) -> None:
        while True:
            time.sleep(seconds_left(0.05))

    row = empty_runner(0.2).run(wrong_mutant(change), [])
    assert "the change of masking.wrong to end within 0 s" in row.not_made


def test_a_change_that_ignores_its_limit_is_abandoned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "CLEAN_UP_SECONDS", 0.1)
    ended = threading.Event()
    row = empty_runner(0.1).run(wrong_mutant(lambda _: ended.wait(20)), [])
    ended.set()
    assert row.not_made.startswith("TimeoutError")
    assert row.seconds < 10
