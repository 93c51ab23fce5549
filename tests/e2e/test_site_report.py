"""The page that `matomo-harness site` leaves, in a real browser."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from matomo_harness.operate import site
from matomo_harness.operate.site import report
from matomo_harness.operate.site.hits import decoded
from matomo_harness.operate.site.records import PageRecord, SentRequest
from tests.e2e.test_report_page import barriers


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("title", ["Account", "Account of jane.doe@people.example"])
def test_the_report_has_no_barrier_and_shows_no_value(
    page: Page, tmp_path: Path, title: str, scheme: str
) -> None:
    address = f"https://matomo.example/matomo.php?idsite=2&rec=1&action_name={title}&uid=<b>jdoe"
    request = SentRequest(decoded(address, b""), status=204)
    records = [PageRecord("https://www.example/<i>?name=Jane", [request])]
    report.write(site.judged(records, site.Choices(allowed=("user-id",))), tmp_path)
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto((tmp_path / report.PAGE).as_uri())
    assert barriers(page) == []
    is_clean = "@" not in title
    expect(page.get_by_role("status")).to_contain_text("Clean" if is_clean else "1 fault in 1 page")
    expect(page.locator(".failure")).to_have_count(1 if is_clean else 2)
    for value in ("jane.doe", "jdoe", "Jane"):
        assert value not in page.content()
