"""What the gate sees in a browser of its own (harness/gate/gui.py)."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.gate import gui
from harness.gate.gui import Seen
from harness.matomo.twofactor import Account
from harness.pytest_plugin import MatomoByTls
from harness.stack.instance import Instance
from tests.e2e.changes import set_masking
from tests.e2e.people import enrolled
from tests.e2e.sessions import NEXT_STEPS


def test_the_gate_sees_the_code_asked_for_and_the_bytes_masked(matomo_by_tls: MatomoByTls) -> None:
    instance = matomo_by_tls.instance
    seen = _see(instance, instance.account)
    assert (seen.code_asked, seen.masked_bytes, seen.complaints) == (True, 2, ())
    assert list(seen.pictures) == ["login.png", "second-factor.png", "anonymize-data.png"]
    assert all(it.startswith(b"\x89PNG") for it in seen.pictures.values())


@pytest.mark.parametrize(("enabled", "masked_bytes"), [(True, 3), (False, 0)])
def test_the_gate_sees_other_bytes_masked(
    matomo_by_tls: MatomoByTls, enabled: bool, masked_bytes: int
) -> None:
    set_masking(matomo_by_tls, enabled=enabled, masked_bytes=masked_bytes or 2)
    instance = matomo_by_tls.instance
    assert _see(instance, enrolled(instance, "superuser")).masked_bytes == masked_bytes


def _see(instance: Instance, account: Account) -> Seen:
    # In a thread of its own: in this one pytest-playwright has its loop running.
    with ThreadPoolExecutor(1) as beside:
        return beside.submit(
            gui.see, instance.url, account, instance.authority, steps=NEXT_STEPS
        ).result()
