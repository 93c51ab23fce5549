"""The gate's report: the verdict, what was not examined, promises, and failures by cause."""

import dataclasses
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from xml.etree import ElementTree

import pytest

from matomo_harness.cli.gate import gate
from matomo_harness.errors import BrokenPromiseError, WrongInputError
from matomo_harness.gate import report
from matomo_harness.gate.catalogue import ALL, PROMISES
from matomo_harness.gate.core.check import Check, Finding, Severity, Status, holds
from matomo_harness.gate.core.context import Preflight, Step
from matomo_harness.gate.core.runner import Result, Runner
from matomo_harness.gate.core.target import Http, Target
from matomo_harness.gate.core.verdict import Verdict, verdict
from matomo_harness.gate.probes.preflight import ArchiverHasProcesses
from matomo_harness.gate.report.outline import State
from matomo_harness.policy import Policy, Waiver

NOT_CHOSEN = "not chosen"


def of(check: Check, status: Status = Status.PASSED, **more: Any) -> Result:
    return dataclasses.replace(Result(check, status, "expected", "seen", 0.1), **more)


def written(directory: Path, *results: Result, problems: Any = None) -> dict[str, Any]:
    verdict = Verdict(results, problems or {})
    return report.write(verdict, {"image": "matomo:1"}, directory, (), PROMISES)


def row(document: dict[str, Any], promise: str) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in document["promises"] if row["name"] == promise)
    return found


# -- the verdict ----------------------------------------------------------------------------------


def test_all_that_is_promised_and_passed_is_proven(tmp_path: Path) -> None:
    document = written(tmp_path, *map(of, ALL))
    assert document["verdict"]["state"] == State.PROVEN
    assert document["not_examined"] == {}
    assert (
        "Everything that the policy promises was examined" in (tmp_path / "index.html").read_text()
    )


def test_a_part_of_the_checks_is_no_proof(tmp_path: Path) -> None:
    document = written(tmp_path, *map(of, ALL[:37]))
    assert document["verdict"]["state"] == State.PARTLY_EXAMINED
    assert document["not_examined"] == {NOT_CHOSEN: len(ALL) - 37}
    page = (tmp_path / "index.html").read_text()
    assert f"Not examined: {len(ALL) - 37} of {len(ALL)} checks" in page
    assert 'class="verdict part"' in page


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (Status.PASSED, State.PROVEN),
        (Status.FAILED, State.BROKEN),
        (Status.ERROR, State.BROKEN),
        (Status.SKIPPED, State.PARTLY_EXAMINED),
        (Status.WAIVED, State.PARTLY_EXAMINED),
        (Status.NOT_PROMISED, State.PROVEN),
    ],
)
def test_one_check_decides_the_state_of_its_promise(
    tmp_path: Path, status: Status, state: State
) -> None:
    document = written(tmp_path, of(ALL[0], status), *map(of, ALL[1:]))
    assert row(document, ALL[0].promise)["state"] == state
    assert row(document, ALL[-1].promise)["state"] == State.PROVEN


def test_a_promise_that_nobody_makes_or_nobody_could_examine_says_so(tmp_path: Path) -> None:
    statuses = {"masking": Status.NOT_PROMISED, "archiving": Status.SKIPPED}
    document = written(
        tmp_path, *(of(check, statuses.get(check.promise, Status.PASSED)) for check in ALL)
    )
    assert row(document, "masking")["state"] == State.NOT_PROMISED
    assert row(document, "archiving")["state"] == State.NOT_EXAMINED
    assert document["verdict"]["state"] == State.PARTLY_EXAMINED


def test_a_waiver_that_does_not_hold_breaks_the_verdict(tmp_path: Path) -> None:
    document = written(tmp_path, *map(of, ALL), problems={ALL[0].id: "expired"})
    assert document["verdict"]["state"] == State.BROKEN
    assert f"- `{ALL[0].id}`: expired. **Edit waivers.toml" in report.markdown(document)
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()  # noqa: S314  our own
    assert [failure.get("message") for failure in suite.iter("failure")] == ["expired"]
    assert suite.get("failures") == "1"


def test_who_signs_sees_what_is_waived_and_who_answers(tmp_path: Path) -> None:
    day = date(2026, 3, 1)
    waiver = Waiver(check=ALL[0].id, reason="in March", owner="Ada Byron", until=day)
    judged = verdict([of(ALL[0], Status.FAILED), *map(of, ALL[1:])], Policy(), [waiver], today=day)
    document = report.write(judged, {"image": "matomo:1"}, tmp_path, (), PROMISES)
    first_screens, _, _ = (tmp_path / "index.html").read_text().partition('id="all"')
    assert "Waived: 1 of the checks fails today" in first_screens
    assert "seen (waived by Ada Byron until 2026-03-01: in March)" in first_screens
    assert f"- `{ALL[0].id}`" in report.markdown(document)
    assert "waived by Ada Byron" in report.markdown(document)


def test_without_a_waiver_nothing_is_said_of_one(tmp_path: Path) -> None:
    document = written(tmp_path, *map(of, ALL))
    assert "is waived" not in (tmp_path / "index.html").read_text()
    assert "is waived" not in report.markdown(document)


def test_the_strongest_evidence_is_a_failure_and_then_the_most_severe(tmp_path: Path) -> None:
    promise = PROMISES[0]
    mild = next(check for check in promise.checks if check.severity < Severity.CRITICAL)
    results = [of(check) for check in promise.checks]
    worst = max(promise.checks, key=lambda check: check.severity)
    document = written(tmp_path, *results)
    assert (
        Severity[
            next(
                check["severity"]
                for check in document["checks"]
                if check["id"] == row(document, promise.name)["check"]
            ).upper()
        ]
        == worst.severity
    )
    failed = [
        of(check, Status.FAILED if check is mild else Status.PASSED) for check in promise.checks
    ]
    assert row(written(tmp_path, *failed), promise.name)["check"] == mild.id


# -- causes ---------------------------------------------------------------------------------------


def test_errors_of_one_cause_are_one_entry(tmp_path: Path) -> None:
    cause = {"cause": "Matomo reaches its database", "seen": "HTTP 500: SQLSTATE[HY000] [2002]"}
    results = [of(check, Status.ERROR, **cause) for check in ALL[:141]]
    document = written(tmp_path, *results, of(ALL[141], Status.FAILED), *map(of, ALL[142:]))
    assert document["verdict"]["state"] == State.BROKEN, "by the failure beside it"
    (found,) = document["causes"]
    assert (found["cause"], len(found["checks"])) == (cause["cause"], 141)
    page = (tmp_path / "index.html").read_text()
    assert page.count('<section class="failure">') == 2, "the cause, and the failure beside it"
    assert "141 checks, because this failed before them" in page
    with pytest.raises(BrokenPromiseError, match="Matomo reaches its database"):
        report.require_passed(document, tmp_path)


def test_what_could_not_be_run_is_no_broken_promise(tmp_path: Path) -> None:
    document = written(
        tmp_path,
        *(of(check, Status.ERROR, cause="Matomo answers", seen="refused") for check in ALL[:5]),
        *map(of, ALL[5:]),
    )
    assert row(document, ALL[0].promise)["state"] == State.PARTLY_EXAMINED
    assert document["verdict"]["state"] == State.NOT_EXAMINED
    assert document["verdict"]["sentence"].startswith("Not proven: 'Matomo answers' failed")
    assert 'class="verdict bad"' in (tmp_path / "index.html").read_text()


class LampIsLit(Preflight, blocks=(Http,)):
    """The lamp is lit."""

    asked = 0

    def __init__(self) -> None:
        type(self).asked += 1
        raise BrokenPromiseError(expected="a lit lamp", seen="a dark one", next_command="light it")


class WordIsKnown(Preflight, blocks=(Http,), is_fatal=False):
    """The word is known."""

    def __init__(self) -> None:
        raise BrokenPromiseError(expected="a word", seen="none", next_command="say")

    @classmethod
    def explains(cls, seen: str) -> bool:
        """Whether the finding asks for a word."""
        return "what word" in seen


def _check(name: str, run: Any) -> Check:
    return Check(f"test.{name}", f"{name}.", run)


def _target() -> Target:
    return Target(http=Http("http://localhost:1"), policy=Policy({}, "digest"))


def test_a_failed_preflight_is_the_cause_and_later_checks_are_not_run() -> None:
    runs: list[str] = []

    def fails(http: Http) -> Finding:
        runs.append(http.url)
        return holds(False, "an answer", "none")

    def needs_nothing() -> Finding:
        return holds(True, "this", "this")

    LampIsLit.asked = 0
    runner = Runner(_target(), [], preflight=(LampIsLit,))
    results = [runner.run(_check(name, fails)) for name in ("first", "second", "third")]
    assert [result.status for result in results] == [Status.ERROR] * 3
    assert {result.cause for result in results} == {"The lamp is lit"}
    assert {result.seen for result in results} == {"a dark one"}
    assert {result.next_command for result in results} == {"light it"}
    assert (len(runs), LampIsLit.asked) == (1, 1)
    assert runner.run(_check("other", needs_nothing)).status is Status.PASSED


def test_no_preflight_is_asked_while_all_passes() -> None:
    def passes(http: Http) -> Finding:
        return holds(bool(http.url), "this", "this")

    LampIsLit.asked = 0
    runner = Runner(_target(), [], preflight=(LampIsLit,))
    assert runner.run(_check("fine", passes)).status is Status.PASSED
    assert LampIsLit.asked == 0


def test_a_preflight_that_explains_some_findings_leaves_the_others_alone() -> None:
    def asks(http: Http) -> Finding:
        return holds(not http.url, "a word", "what word?")

    def fails(http: Http) -> Finding:
        return holds(not http.url, "an answer", "none")

    runner = Runner(_target(), [], preflight=(WordIsKnown,))
    assert runner.run(_check("asks", asks)).cause == "The word is known"
    other = runner.run(_check("fails", fails))
    assert (other.status, other.cause) == (Status.FAILED, "")


@pytest.mark.parametrize(
    ("seen", "is_explained"),
    [
        ("255", True),
        ("exit code 1", True),
        ("exit 1: no archiver was seen", True),
        ("exit code 0, and no visit in any report", False),
        ("root", False),
    ],
)
def test_an_archiver_without_processes_explains_that_it_fails(
    seen: str, is_explained: bool
) -> None:
    ArchiverHasProcesses(cast(Any, SimpleNamespace(facts={"has_processes": True})))
    with pytest.raises(BrokenPromiseError, match="public address") as error:
        ArchiverHasProcesses(cast(Any, SimpleNamespace(facts={"has_processes": False})))
    assert "procps" in error.value.next_command
    assert ArchiverHasProcesses.explains(seen) is is_explained


def test_the_step_that_failed_first_is_the_cause() -> None:
    class HitsAreSent(Step):
        """Hits are sent."""

        def __init__(self) -> None:
            raise OSError("no route")

    class ReportsAreMade(Step):
        """Reports are made."""

        def __init__(self, _hits: HitsAreSent) -> None:
            raise AssertionError("never run")

    def reads(_reports: ReportsAreMade) -> Finding:
        return holds(True, "this", "this")

    check = dataclasses.replace(_check("reads", reads), steps=(HitsAreSent, ReportsAreMade))
    result = Runner(_target(), [check]).run(check)
    assert (result.status, result.cause) == (Status.ERROR, "Hits are sent")


# -- Markdown -------------------------------------------------------------------------------------


def test_what_xml_has_no_place_for_does_not_break_the_report(tmp_path: Path) -> None:
    seen = "\x1b[38;5;6mmatomo \x1b[0m GIF89a\x01\x00, and a half: \ud800"
    written(tmp_path, of(ALL[0], Status.FAILED, seen=seen))
    (failure,) = ElementTree.parse(tmp_path / "junit.xml").iter("failure")  # noqa: S314  our own
    assert "[38;5;6mmatomo" in str(failure.text)


def test_markdown_says_verdict_gaps_causes_and_failures_as_plain_text(tmp_path: Path) -> None:
    broken = of(ALL[0], Status.FAILED, expected="no *star*", seen="<b>|\nsecond line")
    caused = of(ALL[1], Status.ERROR, cause="Matomo answers", seen="refused")
    text = report.markdown(written(tmp_path, broken, caused))
    assert text.startswith("## Broken: ")
    assert "**Not examined:**" in text
    assert "**Matomo answers** failed: refused (1 checks could not be run)" in text
    assert r"expected no \*star\*; seen: \<b\>\| second line" in text


def test_markdown_of_many_failures_names_how_many_more(tmp_path: Path) -> None:
    text = report.markdown(written(tmp_path, *(of(check, Status.FAILED) for check in ALL)))
    assert f"and {len(ALL) - report.FAILURES_SHOWN} more" in text


def test_a_summary_that_cannot_be_written_is_refused_before_the_gate_runs() -> None:
    with pytest.raises(WrongInputError, match="--summary to name a file"):
        gate(summary=Path("/no/such/directory/summary.md"))
