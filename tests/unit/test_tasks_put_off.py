"""How long Matomo's own tasks may wait."""

from datetime import UTC, datetime

import pytest

from matomo_harness.gate.probes.reports import last_due


@pytest.mark.parametrize(
    ("today", "last"),
    [
        (datetime(2026, 1, 1, 9, 30, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)),
        (datetime(2026, 1, 31, 9, 30, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)),
        (datetime(2026, 7, 31, tzinfo=UTC), datetime(2026, 9, 2, tzinfo=UTC)),
        (datetime(2026, 12, 3, tzinfo=UTC), datetime(2027, 2, 2, tzinfo=UTC)),
    ],
)
def test_a_monthly_task_may_wait_to_the_end_of_the_next_month(
    today: datetime, last: datetime
) -> None:
    assert 0 <= last_due(today) - last.timestamp() < 60
