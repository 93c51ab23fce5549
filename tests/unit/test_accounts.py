"""Test accounts, as Matomo sees them."""

from typing import Any, cast

import pytest

from matomo_harness.gate.probes import accounts
from matomo_harness.matomo.twofactor import Account
from matomo_harness.matomo.web import IN_ENGLISH, Web


def test_a_new_user_reads_english_whatever_the_institution_speaks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    web = Web("http://127.0.0.1:9")
    monkeypatch.setattr(accounts, "_enrolled", lambda *_: (Account("view", "", ""), web))
    nothing = cast(Any, None)
    enrolled = accounts.EnrolledAccount(nothing, nothing, nothing)
    assert enrolled.web.session.cookies.get_dict() == IN_ENGLISH
