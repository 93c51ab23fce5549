"""Waivers and required checks: which checks may fail, and which may not be skipped."""

from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from matomo_harness.errors import BrokenPromiseError, WrongInputError
from matomo_harness.gate import report
from matomo_harness.gate.catalogue import ALL, FORMER_IDS
from matomo_harness.gate.core.check import Check, Status
from matomo_harness.gate.core.runner import Result
from matomo_harness.gate.core.verdict import Verdict, require_known, verdict
from matomo_harness.policy import Gate, Policy, Waiver, waivers_beside
from matomo_harness.pytest_plugin.gate import BrokenCheckError, require_passed

TODAY = date(2026, 11, 28)
CHECK = ALL[0]
WAIVER = """
[[waiver]]
check = "{check}"
reason = "the vendor's fix is due"
owner = "library systems"
until = 2026-12-31
"""


def waiver(check: str = CHECK.id, until: date = date(2026, 12, 31)) -> Waiver:
    return Waiver(check=check, reason="the vendor's fix is due", owner="systems", until=until)


def judged(status: Status, *waivers: Waiver, policy: Policy | None = None) -> Verdict:
    result = Result(CHECK, status, "this", "that", 0.1)
    return verdict([result], policy or Policy(), waivers, today=TODAY)


def test_a_waived_failure_is_shown_and_does_not_fail_the_gate(tmp_path: Path) -> None:
    found = judged(Status.FAILED, waiver())
    assert [result.status for result in found.results] == [Status.WAIVED]
    assert "waived by systems until 2026-12-31: the vendor's fix is due" in found.results[0].seen
    document = report.write(found, {}, tmp_path)
    assert document["counts"]["waived"] == 1
    assert "waived by systems" in (tmp_path / "index.html").read_text()
    report.require_passed(document, tmp_path)


@pytest.mark.parametrize(
    ("status", "until", "problem"),
    [
        (Status.FAILED, date(2026, 11, 27), "expired on 2026-11-27"),
        (Status.PASSED, date(2026, 12, 31), "is not used"),
        (Status.PASSED, date(2026, 11, 27), "expired on 2026-11-27"),
    ],
)
def test_an_expired_or_unused_waiver_fails_the_gate(
    tmp_path: Path, status: Status, until: date, problem: str
) -> None:
    found = judged(status, waiver(until=until))
    assert [result.status for result in found.results] == [status]
    assert problem in found.problems[CHECK.id]
    document = report.write(found, {}, tmp_path)
    with pytest.raises(BrokenPromiseError):
        report.require_passed(document, tmp_path)


def test_a_waiver_holds_to_the_end_of_its_last_day() -> None:
    assert judged(Status.FAILED, waiver(until=TODAY)).results[0].status is Status.WAIVED


@pytest.mark.parametrize("status", [Status.ERROR, Status.SKIPPED, Status.NOT_PROMISED])
def test_a_waiver_covers_failures_alone(status: Status) -> None:
    found = judged(status, waiver())
    assert [result.status for result in found.results] == [status]
    assert found.problems == {}


@pytest.mark.parametrize("status", [Status.SKIPPED, Status.NOT_PROMISED])
@pytest.mark.parametrize("pattern", [CHECK.id, f"{CHECK.promise}.*"])
def test_a_required_check_may_not_be_skipped(status: Status, pattern: str) -> None:
    found = judged(status, policy=Policy({Gate: Gate(required=(pattern,))}))
    assert found.results[0].status is Status.ERROR
    assert "required" in found.results[0].expected


def renamed() -> Check:
    return next(check for check in ALL if check.formerly)


def test_waivers_are_read_from_the_file_beside_the_policy(tmp_path: Path) -> None:
    assert waivers_beside(tmp_path / "policy.toml") == ()
    former = renamed().formerly[0]
    (tmp_path / "waivers.toml").write_text(WAIVER.format(check=former))
    waivers = require_known(waivers_beside(tmp_path / "policy.toml"), ALL, FORMER_IDS)
    assert [entry.check for entry in waivers] == [renamed().id], "by the id of today"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[waiver]]\ncheck = 'x'\n", "waiver.0.reason: field required"),
        (WAIVER.format(check="x").replace("2026-12-31", "'soon'"), "waiver.0.until"),
        (WAIVER.format(check="x") + "because = 1\n", "waiver.0.because: extra inputs"),
        (WAIVER.format(check="x") * 2, "two for x"),
        (WAIVER.format(check="x").replace("[[waiver]]", "[waiver]"), "valid list"),
        ("[[waiver", "readable TOML"),
    ],
)
def test_a_mistake_in_a_waiver_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "waivers.toml").write_text(text)
    with pytest.raises(WrongInputError, match=complaint):
        waivers_beside(tmp_path / "policy.toml")


def test_a_waiver_of_an_unknown_check_is_refused() -> None:
    with pytest.raises(WrongInputError, match=r"no\.such"):
        require_known([waiver("no.such")], ALL, FORMER_IDS)


def test_two_waivers_of_one_check_are_refused_by_any_id(tmp_path: Path) -> None:
    former, today = renamed().formerly[0], renamed().id
    text = WAIVER.format(check=former) + WAIVER.format(check=today)
    (tmp_path / "waivers.toml").write_text(text)
    with pytest.raises(WrongInputError, match=f"two for {today}"):
        require_known(waivers_beside(tmp_path / "policy.toml"), ALL, FORMER_IDS)


def test_every_problem_of_a_waiver_is_reported(tmp_path: Path) -> None:
    problems = {"a.b": "the waiver of x expired", "c.d": "the waiver of y is not used"}
    document = report.write(Verdict((), problems), {}, tmp_path)
    with pytest.raises(BrokenPromiseError, match=r"a\.b.*expired; c\.d.*not used"):
        report.require_passed(document, tmp_path)


# -- as a test's message --------------------------------------------------------------------------


def message_of(status: Status, seen: str, *waivers: Waiver) -> str:
    """Return the message of pytest about the check of these tests."""
    found = verdict([Result(CHECK, status, "this", seen, 0.1)], Policy(), waivers, today=TODAY)
    made: Any = SimpleNamespace(verdict=lambda _: found, secrets=("a-secret",))
    with pytest.raises((BrokenCheckError, pytest.skip.Exception)) as raised:
        require_passed(made, CHECK, SimpleNamespace())  # type: ignore[arg-type]
    return str(raised.value)


def test_the_skip_of_a_waived_failure_shows_no_secret() -> None:
    message = message_of(Status.FAILED, "it has a-secret in it", waiver())
    assert "a-secret" not in message
    assert "waived by systems" in message


def test_an_expired_waiver_hides_no_finding() -> None:
    message = message_of(Status.FAILED, "that", waiver(until=date(2020, 1, 1)))
    assert "seen: that" in message
    assert "expired on 2020-01-01" in message
    assert CHECK.remedy in message


def test_an_unused_waiver_fails_the_test() -> None:
    assert "is not used" in message_of(Status.PASSED, "this", waiver())
