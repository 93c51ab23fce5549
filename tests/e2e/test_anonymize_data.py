"""Administration, Privacy, Anonymize data: what a person inspects before a promotion."""

import pytest
from playwright.sync_api import Page, expect

from matomo_harness.gate.catalogue import ALL, read_policy
from matomo_harness.gate.core.check import Status
from matomo_harness.gate.core.runner import run
from matomo_harness.gate.probes.browser import AnonymizeDataPage
from matomo_harness.pytest_plugin import MatomoByTls
from matomo_harness.runtime.targets import of_instance
from tests.e2e.evidence import Evidence
from tests.e2e.promises import expect_two_bytes_masked

pytestmark = pytest.mark.all_versions(reason="the page is the version's")

CHECK = "masking.ipv4_of_a_new_visitor"


def test_the_page_shows_two_bytes_masked(superuser: Page, evidence: Evidence) -> None:
    AnonymizeDataPage(superuser).open()
    expect_two_bytes_masked(superuser)
    evidence.keep(superuser, "Two bytes of every address are masked")


@pytest.mark.slow(reason="the gate runs as well")
@pytest.mark.nightly(reason="the gate runs as well")
def test_one_byte_chosen_on_the_page_turns_the_gate_red(
    superuser: Page, matomo_by_tls: MatomoByTls
) -> None:
    privacy = AnonymizeDataPage(superuser)
    privacy.open()
    privacy.choose(1)
    expect(superuser.get_by_text("Settings updated.")).to_be_visible()
    superuser.reload()
    expect(privacy.choice(1)).to_be_checked()

    target = of_instance(matomo_by_tls.instance, read_policy())
    (result,) = run(target, [check for check in ALL if check.id == CHECK])
    assert result.status is Status.FAILED, result
