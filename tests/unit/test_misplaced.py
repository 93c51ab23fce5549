"""What is said of an image that runs and does not serve Matomo."""

from types import SimpleNamespace
from typing import Any

import pytest

from matomo_harness.matomo.image import OFFICIAL
from matomo_harness.runtime import containers
from matomo_harness.runtime.containers import _misplaced


@pytest.mark.parametrize(("status", "seen"), [(None, ""), (404, "no matomo.php in it")])
def test_of_a_start_that_still_waits_nothing_is_misplaced(
    monkeypatch: pytest.MonkeyPatch, status: int | None, seen: str
) -> None:
    monkeypatch.setattr(containers, "is_alive", lambda _: True)
    monkeypatch.setattr(containers, "execute", lambda *_: SimpleNamespace(code=1))
    monkeypatch.setattr(containers, "_status", lambda *_: status)
    waiting: Any = SimpleNamespace(get_wrapped_container=lambda: None, profile=OFFICIAL)
    found = _misplaced(waiting)
    assert bool(found) is bool(seen)
    assert seen in (found.seen if found else "")
