"""A mail is waited for as long as it is said, and no longer."""

import time
from collections.abc import Iterator

import pytest

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.matomo.mail import POLL_SECONDS, Mailbox, MailMessage
from tests.clock import Clock

RESET = MailMessage("1", "noreply@matomo.example", ("jane@people.example",), "Reset", "", "")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made.monotonic)
    monkeypatch.setattr(time, "sleep", made.sleep)
    return made


def test_one_that_does_not_come_is_given_up_in_time(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mailbox, "mails", lambda _: [])
    with pytest.raises(BrokenPromiseError, match="within 5 s"):
        Mailbox("http://127.0.0.1:9").wait_for("jane@people.example", "Reset", seconds=5)
    assert 5 <= clock.now <= 5 + POLL_SECONDS


def test_one_that_comes_is_not_waited_for_any_longer(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: Iterator[list[MailMessage]] = iter([[], [], [RESET]])
    monkeypatch.setattr(Mailbox, "mails", lambda _: next(looks))
    assert Mailbox("http://127.0.0.1:9").wait_for("jane@people.example", "Reset") == RESET
    assert clock.now == pytest.approx(2 * POLL_SECONDS)
