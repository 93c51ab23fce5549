"""Words, names and days by which single checks decide."""

import re
from datetime import date

import pytest

from matomo_harness.gate.core.check import CannotTellError
from matomo_harness.gate.probes.reports import END_OF_A_YEAR, first_day
from matomo_harness.gate.promises.environment.checks import _is_of_a_service
from matomo_harness.gate.promises.user_ids.checks import MAIL_ADDRESS, NAMES_A_USER


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("Account of jane.doe@people.example", True),
        ("/reset?for=jane%40people.example", True),
        ("jane@js.example", True),
        ("https://one.example/covers/cover@2x.jpg", False),
        ("unpkg.com/vue@next.js", False),
        ("npm.example/matomo@5.3.1/index", False),
    ],
)
def test_a_picture_or_a_package_is_no_mail_address(text: str, is_found: bool) -> None:
    assert bool(re.search(MAIL_ADDRESS, text)) is is_found


@pytest.mark.parametrize(
    ("name", "is_found"),
    [
        ("Login", True),
        ("User name", True),
        ("E-Mail", True),
        ("emailAddress", True),
        ("Login status", False),
        ("E-Mail link clicked", False),
        ("User type", False),
    ],
)
def test_a_dimension_of_users_is_known_by_its_name(name: str, is_found: bool) -> None:
    assert bool(re.search(NAMES_A_USER, name)) is is_found


@pytest.mark.parametrize(
    ("name", "value", "is_of_one"),
    [
        ("MATOMO_SERVICE_HOST", "10.0.0.1", True),
        ("MATOMO_SERVICE_PORT_HTTP", "80", True),
        ("MATOMO_PORT", "tcp://10.0.0.1:80", True),
        ("MATOMO_DB_PORT_3306_TCP_ADDR", "10.0.0.2", True),
        ("MATOMO_DATABSE_PORT", "3306", False),
        ("MATOMO_GENERAL_SALT", "x", False),
    ],
)
def test_variables_that_kubernetes_makes_of_a_service_are_known(
    name: str, value: str, is_of_one: bool
) -> None:
    assert _is_of_a_service(name, value) is is_of_one


@pytest.mark.parametrize(
    ("oldest", "today", "expected"),
    [
        (date(2024, 1, 1), date(2026, 11, 30), END_OF_A_YEAR),
        (date(2026, 9, 1), date(2026, 11, 30), date(2026, 10, 31)),
        (date(2026, 9, 1), date(2026, 12, 1), date(2026, 10, 31)),
        (date(2026, 9, 1), date(2026, 12, 3), date(2026, 11, 30)),
        (date(2027, 1, 1), date(2027, 3, 2), date(2027, 1, 31)),
    ],
)
def test_counted_visits_are_of_a_months_end_that_matomo_takes_hits_of(
    oldest: date, today: date, expected: date
) -> None:
    assert first_day(oldest, today) == expected


def test_where_visits_are_deleted_within_weeks_none_can_be_counted() -> None:
    with pytest.raises(CannotTellError, match="deleted so early"):
        first_day(date(2026, 11, 10), date(2026, 11, 30))
