"""A reproduction of what does not work, and its own account beside the people of production."""

from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

import pytest
import requests

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.matomo.web import Web
from matomo_harness.operate import adoption, repro, stack_files

STEPS = ("require_healthy", "ensure_second_factor", "require_tracking")


def refused(*_: Any) -> None:
    raise BrokenPromiseError(
        expected="the tracker to answer a ping with 200 or 204",
        seen="HTTP 500: every hit would be lost",
        next_command="docker logs matomo",
    )


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps that were taken; none of them needs a container."""
    steps: list[str] = []

    def taking(name: str) -> Callable[..., None]:
        return lambda *_: steps.append(name)

    for name in STEPS:
        monkeypatch.setattr(repro, name, taking(name))
    monkeypatch.setattr(adoption, "ensure_superuser", taking("ensure_superuser"))
    return steps


def test_a_production_that_works_is_said_to(taken: list[str]) -> None:
    assert repro._with_account(MagicMock()) == ""
    assert "ensure_superuser" in taken


def test_one_that_loses_every_hit_has_its_account_and_says_so(
    taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repro, "require_tracking", refused)
    assert "every hit would be lost" in repro._with_account(MagicMock())
    assert {"ensure_superuser", "ensure_second_factor"} <= set(taken)


def test_one_without_a_login_page_is_left_as_it_is(
    taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repro, "require_healthy", refused)
    said = repro._with_account(MagicMock())
    assert said.endswith("every hit would be lost; so the harness has no account in it yet")
    assert taken == []


def test_one_that_leads_from_page_to_page_for_ever_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As force_ssl does, where Matomo does not believe the proxy that it comes by https."""

    def lead_on(*_: Any, **__: Any) -> None:
        raise requests.TooManyRedirects("Exceeded 30 redirects.")

    web = Web("https://localhost:1")
    monkeypatch.setattr(web.session, "request", lead_on)
    said = repro._with_account(MagicMock(web=web))
    assert "Exceeded 30 redirects" in said
    assert said.endswith("no account in it yet")


def test_a_login_of_nobody_is_another_each_time_and_no_name_of_a_person() -> None:
    first, second = stack_files.login_of_nobody(), stack_files.login_of_nobody()
    assert first.startswith("harness-")
    assert first != second
