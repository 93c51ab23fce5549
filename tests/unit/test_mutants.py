"""Mutants as data: every promise and place has some, every check has one; matrices are judged."""

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

CHECKS = {it.id for it in ALL}
PROMISES = {it.promise for it in ALL}


def row(mutant: Mutant, *red: str) -> Row:
    statuses = {it: Status.FAILED if it in red else Status.PASSED for it in CHECKS}
    return Row(mutant, statuses, dict.fromkeys(red, "seen"), 1.0)


def killed(mutant: Mutant) -> Row:
    return row(mutant, *mutant.kills)


def test_there_are_mutants_and_controls_enough() -> None:
    assert len(WRITTEN) >= 80
    assert len(CONTROLS) >= 20
    made: list[Subject] = [*WRITTEN, *CONTROLS, *generated.generated(read_policy())]
    assert [it for it, count in Counter(it.id for it in made).items() if count > 1] == []


def test_every_promise_and_every_place_has_mutants() -> None:
    assert {it.promise for it in WRITTEN} == PROMISES
    assert {it.location for it in WRITTEN} == set(Location)


def test_a_mutant_names_checks_that_there_are_one_of_its_own_promise_at_least() -> None:
    assert {kill for it in WRITTEN for kill in it.kills} <= CHECKS
    own = [
        it.id for it in WRITTEN if not any(kill.startswith(f"{it.promise}.") for kill in it.kills)
    ]
    assert own == []


def test_a_mutant_names_a_row_of_the_failure_modes_or_none() -> None:
    assert [it.id for it in WRITTEN if not re.fullmatch(r"([A-Z]\d+)?", it.failure_mode)] == []


@pytest.mark.parametrize("check", sorted(CHECKS))
def test_without_a_check_the_mutants_that_name_it_survive(check: str) -> None:
    naming = [it for it in WRITTEN if check in it.kills]
    assert naming, f"no mutant names {check}"
    verdict = runner.judge([killed(it).without(check) for it in naming], whole=False)
    assert verdict.survivors == tuple(it.id for it in naming)
    assert not verdict.proven


def test_a_whole_matrix_without_a_flaw_proves_the_gate() -> None:
    rows = [*(killed(it) for it in WRITTEN), *(Row(it, {}, {}, 1.0) for it in CONTROLS)]
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


def test_a_kill_by_another_promise_s_check_alone_is_named() -> None:
    mutant = Mutant("masking.x", "x", Location.FILE, ("settings.file_is_of_the_image",))
    verdict = runner.judge([killed(mutant)], whole=False)
    assert verdict.of_another_promise == ("masking.x",)
    assert not verdict.proven


def test_what_could_not_be_made_counts_as_survived() -> None:
    rows = [Row(WRITTEN[0], {}, {}, 1.0, not_made="no such line")]
    verdict = runner.judge(rows, whole=False)
    assert not verdict.proven
    assert runner.last_line(rows, verdict).startswith("1 mutants, 0 killed, 1 survived;")


def test_what_does_not_start_is_red() -> None:
    made = generated.generated(read_policy())[0]
    assert runner.is_killed(Row(made, {runner.STARTS: Status.ERROR}, {runner.STARTS: "x"}, 1.0))
    assert not runner.is_killed(row(made))


def test_the_quick_matrix_runs_what_a_mutant_names_and_the_full_one_everything() -> None:
    mutant = next(it for it in WRITTEN if it.id == "masking.off")
    quick = {it.id for it in batches.checks_for(mutant, full=False)}
    assert set(mutant.kills) <= quick < CHECKS
    assert {it.id for it in batches.checks_for(mutant, full=True)} == CHECKS
    assert {it.id for it in batches.checks_for(CONTROLS[0], full=False)} == CHECKS


def test_the_report_names_every_row_and_has_the_picture(tmp_path: Path) -> None:
    rows = [killed(it) for it in WRITTEN[:3]] + [row(WRITTEN[3])]
    document = report.write(
        rows, runner.judge(rows, whole=False), {"image": "a:1", "Matomo": "5.3.1"}, tmp_path
    )
    assert json.loads((tmp_path / "mutants.json").read_text()) == document
    assert document["survivors"] == [WRITTEN[3].id]
    page = (tmp_path / "mutants.html").read_text()
    assert page.count("<rect") == len(rows) * len(CHECKS)
    assert [it.id for it in WRITTEN[:4] if it.id not in page] == []


def test_every_key_and_variable_has_generated_mutants_or_a_reason() -> None:
    names = promised(read_policy().section(Environment).variables)
    made = {it.id for it in (*generated.of_the_file(), *generated.of_the_environment(names))}
    assert {it for it in generated.EQUIVALENT if it not in made} == set()
    assert {f"variable.{name}.dropped" for name in names} <= made
    assert len(list(generated.keys())) > 80


def test_words_choose_and_a_word_that_chooses_nothing_is_refused() -> None:
    privacy = {it.id.partition(".")[0] for it in operation.chosen("privacy", with_generated=False)}
    assert privacy == {"masking", "user_ids"}
    assert len(operation.chosen("", with_generated=False)) == len(WRITTEN) + len(CONTROLS)
    with pytest.raises(WrongInputError, match="no-such"):
        operation.chosen("no-such", with_generated=False)


def test_what_is_equivalent_may_be_so_before_a_version_alone() -> None:
    (early, *_) = generated.EQUIVALENT_BEFORE
    assert early in generated.equivalent("5.3.1")
    assert early in generated.equivalent("5.6.99-rc1")
    assert early not in generated.equivalent("5.7.0")
    assert early in {it.id for it in generated.generated(read_policy())}


# -- turns: groups, shards ------------------------------------------------------------------------

SUBJECTS: list[Subject] = [*WRITTEN, *CONTROLS]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_shards_have_each_subject_once(count: int, full: bool) -> None:
    parts = [batches.part_of(Shard(it + 1, count), SUBJECTS, full=full) for it in range(count)]
    assert Counter(it.id for part in parts for it in part) == Counter(it.id for it in SUBJECTS)


@pytest.mark.parametrize("full", [False, True])
def test_shards_cost_about_the_same(full: bool) -> None:
    parts = [batches.part_of(Shard(it + 1, 4), SUBJECTS, full=full) for it in range(4)]
    costs = [
        sum(batches.seconds(it.subject, full=full) for it in batches.batches_of(part, full=full))
        for part in parts
    ]
    assert max(costs) / min(costs) < 1.1


def test_a_shard_is_the_same_whatever_the_order_of_the_subjects() -> None:
    mutants: list[Subject] = [*WRITTEN]
    part = batches.part_of(Shard(2, 4), mutants, full=False)
    again = batches.part_of(Shard(2, 4), mutants[::-1], full=False)
    assert {it.id for it in part} == {it.id for it in again}


def test_a_shard_has_whole_groups_as_they_are_in_all() -> None:
    def groups(subjects: list[Subject]) -> set[tuple[str, ...]]:
        every = batches.batches_of(subjects, full=False)
        return {tuple(it.id for it in batch.members) for batch in every if batch.members}

    parts = [batches.part_of(Shard(it + 1, 4), SUBJECTS, full=False) for it in range(4)]
    assert set[tuple[str, ...]]().union(*map(groups, parts)) == groups(SUBJECTS)


def test_turns_have_each_subject_once_and_groups_of_controls_alone() -> None:
    every = batches.batches_of(SUBJECTS, full=False)
    assert Counter(it.id for batch in every for it in batch.subjects) == Counter(
        it.id for it in SUBJECTS
    )
    assert sum(len(batch.members) for batch in every) >= 20
    for batch in every:
        parts = [part for it in batch.members for part in it.alters]
        assert len(parts) == len(set(parts)), batch
        assert len({it.topology for it in batch.members}) <= 1


def test_a_control_that_names_no_part_is_played_alone_and_with_full_every_one() -> None:
    alone = {it.subject.id for it in batches.batches_of(SUBJECTS, full=False) if not it.members}
    assert {"control.as_it_is", "control.pair_as_it_is", "control.all_stands"} <= alone
    assert not any(it.members for it in batches.batches_of(SUBJECTS, full=True))


def test_a_group_makes_the_change_of_each_member() -> None:
    made: list[str] = []
    pair = [
        Control("control.a", "a", lambda _: made.append("a"), alters=(Part.MASK,)),
        Control("control.b", "b", lambda _: made.append("b"), alters=(Part.GOALS,)),
    ]
    (batch,) = batches.batches_of(pair, full=False)
    batch.subject.change(Deployment(read_policy()))
    assert made == ["a", "b"]


def test_the_longest_turns_come_first() -> None:
    ordered = batches.longest_first(batches.batches_of(SUBJECTS, full=False), full=False)
    costs = [batches.seconds(it.subject, full=False) for it in ordered]
    assert costs == sorted(costs, reverse=True)
    assert isinstance(ordered[0].subject, Control)


def test_a_cheap_check_whose_step_no_named_check_needs_is_left_out() -> None:
    mutant = Mutant("masking.x", "x", Location.FILE, ("masking.nothing_is_known_yet",))
    assert [it.id for it in batches.checks_for(mutant, full=False) if it.steps] == []


# -- the mutation runner --------------------------------------------------------------------------

A, B = (
    Control(f"control.{it}", it, alters=(part,))
    for it, part in (("a", Part.MASK), ("b", Part.GOALS))
)
ALARM = {"masking.x": Status.FAILED}


def played(*red: str) -> tuple[dict[str, Row], list[str]]:
    """Play the group of A and B, where the alarm is raised on these ids; who was played, too."""
    order: list[str] = []

    def play(subject: Subject) -> Row:
        order.append(subject.id)
        return Row(subject, ALARM if subject.id in red else {}, {}, 4.0)

    def on_red_group(row: Row) -> None:
        order.append(f"{row.subject.id} is red")

    every = batches.batches_of([A, B], full=False)
    rows = runner.run_batches(every, play, at_once=1, on_red_group=on_red_group)
    return rows, order


def test_a_green_group_gives_each_member_its_row() -> None:
    rows, order = played()
    assert order == ["control.a+1"]
    assert [(it, row.seconds, row.together) for it, row in rows.items()] == [
        ("control.a", 2.0, ("control.a", "control.b")),
        ("control.b", 2.0, ("control.a", "control.b")),
    ]


def test_a_red_group_is_played_apart_so_that_the_false_alarm_is_named() -> None:
    rows, order = played("control.a+1", "control.b")
    assert order == ["control.a+1", "control.a+1 is red", "control.a", "control.b"]
    assert runner.judge(rows.values(), whole=False).false_alarms == ("control.b",)


def test_a_group_that_is_red_only_together_is_a_false_alarm_of_its_own() -> None:
    rows, _ = played("control.a+1")
    assert runner.judge(rows.values(), whole=False).false_alarms == ("control.a+1",)
    assert rows["control.a+1"].together == ("control.a", "control.b")


class OnNothing(MutationRunner):
    """Runs on a deployment without a Matomo."""

    @contextmanager
    def deployment(self, subject: Subject) -> Iterator[Deployment]:  # noqa: ARG002
        """Yield one that is made of nothing."""
        yield Deployment(self.policy)


def on_nothing(seconds: float = 5.0) -> MutationRunner:
    absent: Any = None
    return OnNothing(absent, absent, read_policy(), seconds)


def wrong(change: Callable[[Deployment], object]) -> Mutant:
    return Mutant("masking.wrong", "wrong", Location.FILE, ("masking.x",), change)


@pytest.mark.parametrize(
    "error", [OSError, AssertionError, RuntimeError, TimeoutError, KeyError, SystemExit]
)
def test_a_change_that_raises_is_not_made_and_the_rest_goes_on(
    error: type[BaseException],
) -> None:
    def change(_: Deployment) -> None:
        raise error("no such thing")

    mutants = [wrong(change), Mutant("masking.next", "x", Location.FILE, ("masking.x",))]
    rows = on_nothing().run_all(mutants, full=False, at_once=1)
    assert [row.subject.id for row in rows] == ["masking.wrong", "masking.next"]
    assert f"{error.__name__}: " in rows[0].not_made
    assert "no such thing" in rows[0].traceback
    assert runner.judge(rows[:1], whole=False).not_made == ("masking.wrong",)


def test_a_deployment_that_cannot_be_made_is_its_rows_and_the_rest_goes_on() -> None:
    class Broken(OnNothing):
        @contextmanager
        def deployment(self, subject: Subject) -> Iterator[Deployment]:
            if subject.id == "masking.wrong":
                raise OSError("no space left on device")
            with super().deployment(subject) as made:
                yield made

    absent: Any = None
    mutants = [wrong(lambda _: None), Mutant("masking.next", "x", Location.FILE, ("masking.x",))]
    rows = Broken(absent, absent, read_policy()).run_all(mutants, full=False, at_once=1)
    assert rows[0].not_made == "OSError: no space left on device"
    assert len(rows) == 2


def test_a_change_has_a_time_limit() -> None:
    def change(_: Deployment) -> None:
        while True:
            time.sleep(seconds_left(0.05))

    row = on_nothing(0.2).run(wrong(change), [])
    assert "the change of masking.wrong to end within 0 s" in row.not_made


def test_a_change_that_does_not_heed_its_limit_is_left_to_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "CLEAN_UP_SECONDS", 0.1)
    ended = threading.Event()
    row = on_nothing(0.1).run(wrong(lambda _: ended.wait(20)), [])
    ended.set()
    assert row.not_made.startswith("TimeoutError")
    assert row.seconds < 10
