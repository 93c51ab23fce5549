"""The runner: whatever a check does, the others go on; steps are done once, and failures named."""

import ast
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from matomo_harness import gate, policy
from matomo_harness.errors import BrokenPromiseError
from matomo_harness.gate.core import runner as run
from matomo_harness.gate.core.check import (
    Capability,
    Check,
    Finding,
    Group,
    Status,
    Step,
    holds,
    with_needed,
)
from matomo_harness.gate.core.once import once, result_of
from matomo_harness.gate.core.runner import Result, Runner, lanes
from matomo_harness.gate.core.target import Target
from matomo_harness.gate.probes import look as looks
from matomo_harness.gate.probes.look import Look
from matomo_harness.gate.promises import ALL
from matomo_harness.time_limit import TimeLimitError, seconds_left, within

PROMISED = policy.read()
GATE = Path(gate.__file__).parent


def healthy(_: Look) -> Finding:
    return holds(True, "this", "this")


def check(name: str, looking: Callable[[Look], Finding] = healthy, **more: object) -> Check:
    capabilities: frozenset[Capability] = frozenset()
    return Check(f"test.{name}", "It is so.", capabilities, looking, **more)  # type: ignore[arg-type]


def raising(error: BaseException) -> Callable[[Look], Finding]:
    def looking(_: Look) -> Finding:
        raise error

    return looking


def target(**capabilities: object) -> Target:
    return Target("http://127.0.0.1:9", PROMISED, **capabilities)  # type: ignore[arg-type]


def run_on(looked_at: Target, *checks: Check, at_once: int = 1) -> dict[str, Result]:
    return {it.check.id: it for it in run.run(looked_at, checks, at_once=at_once)}


# -- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        *(OSError("refused"), AssertionError("so"), RuntimeError("so"), TimeoutError("late")),
        *(LookupError("none"), ZeroDivisionError("so"), MemoryError("so"), RecursionError("so")),
        *(SystemExit(3), KeyboardInterrupt("so"), pytest.fail.Exception("so")),
    ],
    ids=lambda it: type(it).__name__,
)
@pytest.mark.parametrize("at_once", [1, 3])
def test_whatever_a_check_raises_is_its_own_error_with_a_traceback(
    error: BaseException, at_once: int
) -> None:
    results = run_on(target(), check("bad", raising(error)), check("good"), at_once=at_once)
    bad = results["test.bad"]
    assert bad.status is Status.ERROR
    assert type(error).__name__ in bad.seen
    ((name, text),) = bad.files
    assert name == run.TRACEBACK
    assert "in looking" in str(text), "the traceback leads to the check"
    assert results["test.good"].status is Status.PASS


def _in_a_pool(look: Look) -> Finding:
    with ThreadPoolExecutor(1) as aside:
        return aside.submit(raising(RuntimeError("aside")), look).result()


def _in_a_thread_that_nobody_asks(look: Look) -> Finding:
    thread = threading.Thread(target=raising(RuntimeError("aside")), args=[look])
    thread.start()
    thread.join()
    return holds(True, "this", "this")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("looking", [_in_a_pool, _in_a_thread_that_nobody_asks])
def test_an_error_in_a_thread_of_a_check_is_its_error(
    looking: Callable[[Look], Finding],
) -> None:
    results = run_on(target(), check("bad", looking), check("good"))
    assert results["test.bad"].status is Status.ERROR
    assert "RuntimeError: aside" in results["test.bad"].seen
    assert results["test.good"].status is Status.PASS


def test_a_check_that_hangs_is_an_error_and_the_next_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "CLEAN_UP_SECONDS", 0.1)
    forever = threading.Event()

    def looking(_: Look) -> Finding:
        forever.wait(60)
        return holds(True, "", "")

    runner = Runner(target(), [], seconds=0.1)
    begun = time.monotonic()
    hung = runner.run(check("hangs", looking))
    assert hung.status is Status.ERROR
    assert "could not be ended" in hung.seen
    assert time.monotonic() - begun < 30, "it is not waited for"
    assert runner.run(check("good")).status is Status.PASS
    forever.set()


# -- limits ---------------------------------------------------------------------------------------


def test_what_comes_after_the_end_of_the_time_is_the_clean_up() -> None:
    with within(0.0, "the work"):
        with pytest.raises(TimeLimitError, match="the work to end within 0 s"):
            seconds_left(60)
        assert 0 < seconds_left(60) <= 15


def test_an_operation_gets_no_more_than_is_left() -> None:
    assert seconds_left(60) == 60
    with within(5, "the work"):
        assert seconds_left(60) <= 5
        assert seconds_left(2) == 2


# -- steps ----------------------------------------------------------------------------------------

ABLE = {"token": "a", "may_hit": True, "may_change": True}


@pytest.fixture
def performed(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """What the runner did, in its order; no step does anything."""
    done: list[Step] = []

    def act(step: Step) -> Callable[[Look], object]:
        return lambda _: done.append(step)

    monkeypatch.setattr(looks, "ACTIONS", {it: act(it) for it in Step})
    return done


def test_a_step_is_done_once_and_before_the_check(performed: list[Step]) -> None:
    steps = with_needed([Step.TRAFFIC])
    results = run_on(target(**ABLE), check("a", steps=steps), check("b", steps=steps), at_once=2)
    assert [it.status for it in results.values()] == [Status.PASS, Status.PASS]
    assert performed == [Step.SITE, Step.TRAFFIC]


def test_what_any_check_wants_archived_is_sent_before_the_archiver_runs(
    performed: list[Step],
) -> None:
    run_on(
        target(**ABLE),
        check("archived", steps=with_needed([Step.TRAFFIC, Step.ARCHIVES])),
        check("counted", steps=with_needed([Step.COUNTED_VISITS])),
        check("skipped", steps=with_needed([Step.SECOND_ARCHIVER_RUN])),
    )
    before = performed.index(Step.ARCHIVER_RUN)
    assert {Step.TRAFFIC, Step.COUNTED_VISITS} <= set(performed[:before])


def test_a_step_that_failed_is_an_error_that_names_it_and_is_not_tried_again(
    performed: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def fail(_: Look) -> None:
        tried.append(1)
        raise BrokenPromiseError(expected="it", seen="exit code 127", next_command="look")

    monkeypatch.setitem(looks.ACTIONS, Step.ARCHIVER_RUN, fail)
    steps = with_needed([Step.ARCHIVES])
    results = run_on(
        target(**ABLE), check("a", steps=steps), check("b", steps=steps), check("good")
    )
    for name in ("test.a", "test.b"):
        assert results[name].status is Status.ERROR
        assert str(Step.ARCHIVER_RUN) in results[name].expected
        assert "exit code 127" in results[name].seen
    assert results["test.good"].status is Status.PASS
    assert len(tried) == 1
    assert Step.ARCHIVES not in performed


def test_a_check_that_reads_a_step_it_does_not_declare_is_an_error(performed: list[Step]) -> None:
    del performed
    reading = check("reads", lambda look: holds(bool(look.day.archived), "", ""))
    result = run_on(target(**ABLE), reading)["test.reads"]
    assert result.status is Status.ERROR
    assert "Step.ARCHIVER_RUN" in result.seen


def test_a_check_is_skipped_where_the_target_lacks_what_its_steps_need() -> None:
    result = run_on(target(token="a"), check("a", steps=(Step.TRAFFIC,)))["test.a"]
    assert result.status is Status.SKIP
    assert Capability.HITS.value in result.seen


def test_no_work_is_in_an_assertion() -> None:
    """`python -O` leaves assertions out: nothing would be archived, and the leak scans pass."""
    files = [it for it in GATE.rglob("*.py") if "mut" not in str(it.relative_to(GATE))]
    assert len(files) > 20
    trees = {it.name: ast.walk(ast.parse(it.read_text())) for it in files}
    assert [name for name, tree in trees.items() for it in tree if isinstance(it, ast.Assert)] == []


def test_a_shared_web_root_is_no_web_root_of_its_own() -> None:
    (writing,) = (it for it in ALL if it.id == "drift.nothing_runs_beside_matomo")
    assert Capability.WEB_ROOT in writing.capabilities


# -- side by side ---------------------------------------------------------------------------------


def test_every_check_is_in_one_lane_or_alone() -> None:
    side_by_side, alone = lanes(ALL)
    assert sorted(it.id for lane in (*side_by_side, alone) for it in lane) == sorted(
        it.id for it in ALL
    )
    assert {it.group for it in alone} == {Group.ALONE}
    for lane in side_by_side:
        assert len(lane) == 1 or len({it.group for it in lane}) == 1


def test_nothing_looks_while_a_check_is_alone() -> None:
    at_work: set[str] = set()
    beside: list[set[str]] = []

    def looking(name: str) -> Callable[[Look], Finding]:
        def work(_: Look) -> Finding:
            at_work.add(name)
            time.sleep(0.02)
            if name.startswith("alone"):
                beside.append(at_work - {name})
            at_work.discard(name)
            return holds(True, "", "")

        return work

    every = [check(f"free{it}", looking(f"free{it}")) for it in range(6)]
    every += [check(f"alone{it}", looking(f"alone{it}"), group=Group.ALONE) for it in range(2)]
    results = run.run(target(), every, at_once=3)
    assert [it.check for it in results] == every, "results come in the order of the checks"
    assert beside == [set(), set()]


class _Thing:
    made = 0

    @once
    def value(self) -> int:
        time.sleep(0.05)
        self.made += 1
        return self.made

    @result_of(Step.TRAFFIC)
    def result(self) -> str:
        return "sent"


def test_several_threads_get_one_value() -> None:
    thing = _Thing()
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: thing.value, range(4))) == {1}


def test_instances_do_not_wait_for_each_other() -> None:
    """As functools.cached_property has them do in Python 3.11: archiving went one by one."""
    meeting = threading.Barrier(2)

    class Waiting:
        @once
        def value(self) -> int:
            return meeting.wait(10)

    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(lambda it: it.value, [Waiting(), Waiting()])) == {0, 1}
