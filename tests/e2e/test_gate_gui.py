"""What the gate sees in a browser of its own (harness/matomo_harness/gate/probes/browser.py)."""

import pytest
from playwright.sync_api import Page

from matomo_harness.gate.catalogue import read_policy
from matomo_harness.gate.core.context import Context
from matomo_harness.gate.probes.browser import AnonymizeDataPage, BrowserEvidence
from matomo_harness.gate.probes.pages import SuperuserPages
from matomo_harness.pytest_plugin import MatomoByTls
from matomo_harness.runtime import targets
from matomo_harness.runtime.instance import Instance
from tests.e2e.changes import set_masking

pytestmark = pytest.mark.all_versions(reason="the gate finds its way on the version's pages")


@pytest.mark.parametrize(("enabled", "masked_bytes"), [(True, 1), (False, 0)])
def test_the_gate_reads_from_the_page_how_many_bytes_are_masked(
    superuser: Page, matomo_by_tls: MatomoByTls, enabled: bool, masked_bytes: int
) -> None:
    set_masking(matomo_by_tls, enabled=enabled, masked_bytes=masked_bytes or 2)
    privacy = AnonymizeDataPage(superuser)
    privacy.open()
    assert privacy.masked_bytes() == masked_bytes


@pytest.mark.slow(reason="a second browser is started")
def test_the_gate_sees_the_code_asked_for_and_the_bytes_masked(matomo_by_tls: MatomoByTls) -> None:
    instance = matomo_by_tls.instance
    seen = _see(instance)
    assert (seen.code_asked, seen.masked_bytes, seen.complaints) == (True, 2, ())
    assert list(seen.pictures) == ["login.png", "second-factor.png", "anonymize-data.png"]
    assert all(picture.startswith(b"\x89PNG") for picture in seen.pictures.values())


@pytest.mark.parametrize(
    ("enabled", "masked_bytes"),
    [
        (True, 3),
        pytest.param(False, 0, marks=pytest.mark.nightly(reason="seen as three bytes are")),
    ],
)
@pytest.mark.slow(reason="a second browser is started")
def test_the_gate_sees_other_bytes_masked(
    matomo_by_tls: MatomoByTls, enabled: bool, masked_bytes: int
) -> None:
    set_masking(matomo_by_tls, enabled=enabled, masked_bytes=masked_bytes or 2)
    instance = matomo_by_tls.instance
    seen = _see(instance)
    assert (seen.masked_bytes, seen.complaints) == (masked_bytes, ())


def _see(instance: Instance) -> BrowserEvidence:
    context = Context(targets.of_instance(instance, read_policy()))
    return context.get(SuperuserPages).in_a_browser
