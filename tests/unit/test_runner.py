"""Whatever a check does, the runner goes on; steps are done once, and failures are named."""

import ast
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from matomo_harness import gate
from matomo_harness.errors import BrokenPromiseError
from matomo_harness.gate.catalogue import ALL, read_policy
from matomo_harness.gate.core import runner as run
from matomo_harness.gate.core.check import (
    CannotTellError,
    Capability,
    Check,
    Finding,
    Group,
    NothingPromisedError,
    Status,
    holds,
)
from matomo_harness.gate.core.context import Context, Step, needs_of
from matomo_harness.gate.core.once import once
from matomo_harness.gate.core.runner import Result, Runner, lanes
from matomo_harness.gate.core.target import Http, Permissions, Target
from matomo_harness.gate.probes import reports
from matomo_harness.gate.probes.reports import ArchiverRun, Scheduler
from matomo_harness.gate.probes.traffic import TestSite, Traffic
from matomo_harness.matomo.container import OutOfReachError
from matomo_harness.matomo.database import Database
from matomo_harness.policy import Policy, Section
from matomo_harness.time_limit import TimeLimitError, seconds_left, within

PROMISED = read_policy()
GATE = Path(gate.__file__).parent


def healthy() -> Finding:
    return holds(True, "this", "this")


def check(name: str, function: Callable[..., Finding] = healthy, **more: object) -> Check:
    needed = needs_of(function)
    declared = {"capabilities": needed.capabilities, "steps": needed.steps, **more}
    return Check(f"test.{name}", "It is so.", function, **declared)  # type: ignore[arg-type]


def raising(error: BaseException) -> Callable[[], Finding]:
    def failing() -> Finding:
        raise error

    return failing


def target(*, policy: Policy | None = None, **capabilities: object) -> Target:
    http = Http("http://127.0.0.1:9")
    return Target(http, policy or PROMISED, **capabilities)  # type: ignore[arg-type]


def run_on(subject: Target, *checks: Check, at_once: int = 1) -> dict[str, Result]:
    return {result.check.id: result for result in run.run(subject, checks, at_once=at_once)}


# -- its end --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_it_with_the_check_that_runs() -> None:
    begun: list[int] = []

    def slow() -> Finding:
        begun.append(len(begun))
        if len(begun) == 1:
            # To the thread that waits: what is only noted does not wake it.
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        time.sleep(0.1)
        return healthy()

    with pytest.raises(KeyboardInterrupt):
        run.run(target(), [check(str(number), slow) for number in range(30)])
    assert len(begun) < 10


# -- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        *(OSError("refused"), AssertionError("so"), RuntimeError("so"), TimeoutError("late")),
        *(LookupError("none"), ZeroDivisionError("so"), MemoryError("so"), RecursionError("so")),
        *(SystemExit(3), KeyboardInterrupt("so"), pytest.fail.Exception("so")),
    ],
    ids=lambda error: type(error).__name__,
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
    assert "in failing" in str(text), "the traceback leads to the check"
    assert results["test.good"].status is Status.PASSED


def _failing_in_a_pool() -> Finding:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(raising(RuntimeError("aside"))).result()


def _failing_in_a_thread_without_a_caller() -> Finding:
    thread = threading.Thread(target=raising(RuntimeError("aside")))
    thread.start()
    thread.join()
    return holds(True, "this", "this")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("failing", [_failing_in_a_pool, _failing_in_a_thread_without_a_caller])
def test_an_error_in_a_thread_of_a_check_is_its_error(
    failing: Callable[[], Finding],
) -> None:
    results = run_on(target(), check("bad", failing), check("good"))
    assert results["test.bad"].status is Status.ERROR
    assert "RuntimeError: aside" in results["test.bad"].seen
    assert results["test.good"].status is Status.PASSED


def test_a_check_that_hangs_is_an_error_and_the_next_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "CLEAN_UP_SECONDS", 0.1)
    forever = threading.Event()

    def hanging() -> Finding:
        forever.wait(60)
        return holds(True, "", "")

    runner = Runner(target(), [], seconds=0.1)
    begun = time.monotonic()
    hung = runner.run(check("hangs", hanging))
    assert hung.status is Status.ERROR
    assert "could not be ended" in hung.seen
    assert time.monotonic() - begun < 30, "the runner does not wait for it"
    assert runner.run(check("good")).status is Status.PASSED
    forever.set()


# -- limits ---------------------------------------------------------------------------------------


def test_after_the_limit_there_is_time_to_clean_up() -> None:
    with within(0.0, "the work"):
        with pytest.raises(TimeLimitError, match="the work to end within 0 s"):
            seconds_left(60)
        assert 0 < seconds_left(60) <= 15


def test_an_operation_gets_no_more_than_the_time_left() -> None:
    assert seconds_left(60) == 60
    with within(5, "the work"):
        assert seconds_left(60) <= 5
        assert seconds_left(2) == 2


# -- steps and parameters -------------------------------------------------------------------------

DONE: list[str] = []
"""What the steps of these tests did, in their order."""


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    DONE.clear()


class Site(Step, needs={Capability.HITS}):
    """A site is made."""

    def __init__(self) -> None:
        DONE.append("site")


class SentHits(Step, needs={Capability.HITS}, group=Group.TRAFFIC):
    """Hits are sent."""

    def __init__(self, site: Site) -> None:
        DONE.append("sent")
        self.site = site


class BrokenArchiver(Step, needs={Capability.CHANGE}):
    """The archiver runs."""

    def __init__(self, _sent: SentHits) -> None:
        DONE.append("archived")
        raise BrokenPromiseError(expected="an end", seen="exit code 127", next_command="look")


class ArchivedReports(Step):
    """The archiver makes reports."""

    def __init__(self, _archived: BrokenArchiver) -> None:
        DONE.append("reported")


class Probe:
    """Searches for what was sent."""

    def __init__(self, sent: SentHits, database: Database | None) -> None:
        DONE.append("probe")
        self.sent, self.database = sent, database


ABLE = Permissions(may_hit=True, may_change=True)


def of_sent(sent: SentHits) -> Finding:
    return holds(isinstance(sent.site, Site), "this", "this")


def of_probe(probe: Probe) -> Finding:
    return holds(probe.database is None, "no database", probe.database)


def of_reported(_reported: ArchivedReports) -> Finding:
    return holds(True, "this", "this")


def of_a_database(database: Database) -> Finding:
    return holds(bool(database), "one", "one")


def test_a_step_is_done_once_and_before_the_check() -> None:
    results = run_on(target(permissions=ABLE), check("a", of_sent), check("b", of_sent), at_once=2)
    assert [result.status for result in results.values()] == [Status.PASSED, Status.PASSED]
    assert DONE == ["site", "sent"]


def test_a_check_needs_what_its_probe_needs_except_what_may_be_none() -> None:
    results = run_on(target(permissions=ABLE), check("a", of_probe), check("b", of_probe))
    assert [result.status for result in results.values()] == [Status.PASSED, Status.PASSED]
    assert DONE == ["site", "sent", "probe"]
    assert run_on(target(), check("a", of_probe))["test.a"].status is Status.SKIPPED


def test_a_failed_step_is_named_and_not_tried_again() -> None:
    results = run_on(
        target(permissions=ABLE),
        *(check("a", of_reported), check("b", of_reported), check("good")),
    )
    for name in ("test.a", "test.b"):
        assert results[name].status is Status.ERROR
        assert "the step 'The archiver runs'" in results[name].expected
        assert "exit code 127" in results[name].seen
    assert results["test.good"].status is Status.PASSED
    assert DONE.count("archived") == 1
    assert "reported" not in DONE


class TooLong(Step):
    """What is stored is read."""

    def __init__(self) -> None:
        raise OutOfReachError(expected="an answer", seen="none in 20 s", next_command="a replica")


def of_too_long(_read: TooLong) -> Finding:
    return healthy()


def test_a_check_is_skipped_where_its_step_would_need_more_of_the_target() -> None:
    result = run_on(target(), check("a", of_too_long))["test.a"]
    assert result.status is Status.SKIPPED
    assert result.seen == "none in 20 s; next: a replica"


def test_a_check_is_skipped_where_the_target_lacks_what_its_steps_need() -> None:
    result = run_on(target(), check("a", of_sent))["test.a"]
    assert result.status is Status.SKIPPED
    assert Capability.HITS.value in result.seen


def test_a_parameter_names_a_capability_that_is_needed() -> None:
    assert needs_of(of_a_database).capabilities == {Capability.DATABASE}
    assert run_on(target(), check("a", of_a_database))["test.a"].status is Status.SKIPPED


def test_a_parameter_without_a_class_is_refused() -> None:
    def of_anything(sent) -> Finding:  # type: ignore[no-untyped-def]
        return holds(bool(sent), "", "")

    with pytest.raises(TypeError, match="sent: expected a class"):
        needs_of(of_anything)


class Late(Step):
    """The hits that a later check wants archived are sent."""

    def __init__(self) -> None:
        DONE.append("late")


class _Archiver(Scheduler):
    def __init__(self) -> None:
        super().__init__(None, None)

    def archive(self) -> int:
        DONE.append("archived")
        return 0


class TooOld(Step):
    """Visits are counted of a day of which Matomo takes no hits."""

    def __init__(self) -> None:
        raise CannotTellError("visits are deleted so early")


def test_the_archiver_runs_also_where_some_hits_cannot_be_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reports, "SENT_BEFORE", (TooOld, Late))
    context = Context(target(permissions=ABLE), {TooOld, Late})
    assert ArchiverRun(context, _Archiver(), None).exit_code == 0
    assert DONE == ["late", "archived"]


def test_the_hits_of_every_check_are_sent_before_the_archiver_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reports, "SENT_BEFORE", (Late, Traffic))
    context = Context(target(permissions=ABLE), {Late})
    assert ArchiverRun(context, _Archiver(), None).exit_code == 0
    assert DONE == ["late", "archived"], "and what no check wants is not sent"


def test_counted_sites_are_made_after_the_test_site() -> None:
    """`gate --only archiving` counted the canaries of a site that was made too early."""
    assert needs_of(reports.CountedVisits).steps == (TestSite, reports.CountedVisits)


# -- what the policy promises ---------------------------------------------------------------------


class Promise(Section, table="test"):
    """A section for these tests."""

    flag: bool | None = None
    bytes: int | None = None
    least: int = 7


@pytest.mark.parametrize(
    ("section", "proves", "status"),
    [
        (Promise(), ("test.flag",), Status.NOT_PROMISED),
        (Promise(flag=False), ("test.flag",), Status.NOT_PROMISED),
        (Promise(flag=True), ("test.flag",), Status.PASSED),
        (Promise(bytes=0), ("test.bytes",), Status.PASSED),
        (Promise(), ("test.least",), Status.PASSED),
        (Promise(bytes=1), ("test.flag", "test.bytes"), Status.PASSED),
        (Promise(), ("other.key",), Status.NOT_PROMISED),
        (Promise(), (), Status.PASSED),
    ],
)
def test_a_check_of_what_is_not_promised_is_not_run(
    section: Promise, proves: tuple[str, ...], status: Status
) -> None:
    subject = target(policy=Policy({Promise: section}))
    assert run_on(subject, check("a", proves=proves))["test.a"].status is status


def test_a_check_of_which_a_list_names_nothing_is_not_promised() -> None:
    nothing_named = check("a", raising(NothingPromisedError("no such path is named")))
    result = run_on(target(), nothing_named)["test.a"]
    assert result.status is Status.NOT_PROMISED
    assert result.seen == "not promised: no such path is named"


def test_the_gate_has_no_assertions() -> None:
    """`python -O` skips assertions: nothing would be archived, and the leak scans would pass."""
    files = [path for path in GATE.rglob("*.py") if "mut" not in str(path.relative_to(GATE))]
    assert len(files) > 20
    for path in files:
        nodes = ast.walk(ast.parse(path.read_text()))
        assert not [node.lineno for node in nodes if isinstance(node, ast.Assert)], path


@pytest.mark.parametrize(
    "check_id",
    ["code.nothing_runs_beside_matomo", "backup.is_whole"],
    ids=["writes code", "all config/"],
)
def test_a_check_of_what_instances_share_needs_a_web_root_of_its_own(check_id: str) -> None:
    (reaching,) = (candidate for candidate in ALL if candidate.id == check_id)
    assert Capability.WEB_ROOT in reaching.capabilities


# -- side by side ---------------------------------------------------------------------------------


def test_every_check_is_in_one_lane_or_alone() -> None:
    side_by_side, alone = lanes(ALL)
    placed = [member.id for lane in (*side_by_side, alone) for member in lane]
    assert sorted(placed) == sorted(member.id for member in ALL)
    assert {member.group for member in alone} == {Group.ALONE}
    for lane in side_by_side:
        assert len(lane) == 1 or len({member.group for member in lane}) == 1


def test_nothing_runs_beside_a_check_that_is_alone() -> None:
    at_work: set[str] = set()
    beside: list[set[str]] = []

    def working(name: str) -> Callable[[], Finding]:
        def work() -> Finding:
            at_work.add(name)
            time.sleep(0.02)
            if name.startswith("alone"):
                beside.append(at_work - {name})
            at_work.discard(name)
            return holds(True, "", "")

        return work

    checks = [check(f"free{n}", working(f"free{n}")) for n in range(6)]
    checks += [check(f"alone{n}", working(f"alone{n}"), group=Group.ALONE) for n in range(2)]
    results = run.run(target(), checks, at_once=3)
    assert [result.check for result in results] == checks, "results come in the order of the checks"
    assert beside == [set(), set()]


class _Counter:
    made = 0

    @once
    def value(self) -> int:
        time.sleep(0.05)
        self.made += 1
        return self.made


def test_several_threads_get_one_value() -> None:
    counter = _Counter()
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: counter.value, range(4))) == {1}


def test_instances_do_not_wait_for_each_other() -> None:
    """With functools.cached_property of Python 3.11 they do: archiving went one by one."""
    meeting = threading.Barrier(2)

    class Waiting:
        @once
        def value(self) -> int:
            return meeting.wait(10)

    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(lambda waiting: waiting.value, [Waiting(), Waiting()])) == {0, 1}


def test_ctrl_c_in_a_step_is_no_error_of_a_check() -> None:
    class Interruption(Step):
        """Somebody ends the run."""

        def __init__(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Context(target()).get(Interruption)


def test_no_step_is_performed_for_a_parameter_that_will_be_none() -> None:
    def of_no_probe(_probe: Probe | None) -> Finding:
        return holds(_probe is None, "none", _probe)

    assert run_on(target(), check("a", of_no_probe))["test.a"].status is Status.PASSED
    assert DONE == []


def test_keyword_only_parameters_are_refused() -> None:
    def by_keyword(*, sent: SentHits) -> Finding:
        return holds(bool(sent), "", "")

    with pytest.raises(TypeError, match="by position"):
        needs_of(by_keyword)
