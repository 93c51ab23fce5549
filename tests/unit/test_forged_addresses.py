"""Whose address is stored of a hit that forges one."""

from types import SimpleNamespace
from typing import Any

import pytest

from matomo_harness.gate.promises.masking.checks import (
    NOBODY,
    Masking,
    through_the_load_balancer,
)


@pytest.mark.parametrize(
    ("promised", "stored", "passed"),
    [
        (2, "172.18.0.0", True),
        (4, NOBODY, True),
        (2, NOBODY, True),
        (2, "203.0.0.0", False),
        (2, "172.18.0.9", False),
    ],
)
def test_with_all_bytes_masked_nobodys_address_is_forged(
    promised: int, stored: str, passed: bool
) -> None:
    web = SimpleNamespace(session=SimpleNamespace(headers={}), get=lambda *_: None)
    http: Any = SimpleNamespace(web=web)
    site: Any = SimpleNamespace(id=1)
    database: Any = SimpleNamespace(query=lambda *_: [{"address": stored}])
    others: Any = SimpleNamespace(run=lambda: None)
    masking = Masking(bytes=promised)
    found = through_the_load_balancer(masking, http, site, database, others, others)
    assert found.passed is passed
