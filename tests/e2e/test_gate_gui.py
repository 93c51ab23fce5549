"""What the gate sees in a browser of its own (harness/gate/gui.py)."""

from harness import policy
from harness.gate import target
from harness.gate.gui import Seen
from harness.gate.look import Look
from harness.pytest_plugin import MatomoByTls
from harness.stack.instance import Instance
from tests.e2e.changes import set_masking


def test_the_gate_sees_the_code_asked_for_and_the_bytes_masked(matomo_by_tls: MatomoByTls) -> None:
    instance = matomo_by_tls.instance
    seen = _see(instance)
    assert (seen.code_asked, seen.masked_bytes, seen.complaints) == (True, 2, ())
    assert list(seen.pictures) == ["login.png", "second-factor.png", "anonymize-data.png"]
    assert all(it.startswith(b"\x89PNG") for it in seen.pictures.values())


def test_the_gate_sees_other_bytes_masked(matomo_by_tls: MatomoByTls) -> None:
    set_masking(matomo_by_tls, masked_bytes=3)
    instance = matomo_by_tls.instance
    assert _see(instance).masked_bytes == 3


def _see(instance: Instance) -> Seen:
    look = Look(target.of_instance(instance, policy.read()))
    return look.browsed
