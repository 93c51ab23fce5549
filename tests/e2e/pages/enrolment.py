"""The setup of a second factor, as it is forced on whoever has none."""

from dataclasses import dataclass
from io import BytesIO
from urllib.parse import parse_qs, urlsplit

import zxingcpp
from PIL import Image
from playwright.sync_api import Download, Locator, Page

from tests.e2e.pages import admin


@dataclass(frozen=True)
class Enrolment:
    page: Page

    @property
    def heading(self) -> Locator:
        return self.page.get_by_role("heading", name="set up two-factor authentication")

    @property
    def recovery_codes(self) -> list[str]:
        return (
            self.page.get_by_role("list")
            .filter(has_text="-")
            .get_by_role("listitem")
            .all_inner_texts()
        )

    def download_recovery_codes(self) -> Download:
        with self.page.expect_download() as download:
            self.page.get_by_role("button", name="Download").click()
        return download.value

    def go_on(self) -> None:
        self.page.get_by_role("button", name="Next").click()
        self._wait_until_scrolled_to(step=2)

    def show_secret(self) -> None:
        self.page.get_by_role("button", name="Show codes").click()

    @property
    def secret(self) -> str:
        return self._dialog.locator("pre").inner_text().strip()

    def secret_of_picture(self) -> str:
        """Return what a phone reads from the QR code."""
        # The library draws a canvas and shows an image of it.
        picture = self._dialog.get_by_role("img").first
        # Read as bar codes of any format, 4 of 1500 such pictures say something more by chance.
        shot = Image.open(BytesIO(picture.screenshot()))
        wanted = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
        (found,) = zxingcpp.read_barcodes(shot, formats=wanted)
        assert urlsplit(found.text).scheme == "otpauth", found.text
        return parse_qs(urlsplit(found.text).query)["secret"][0]

    def close_secret(self) -> None:
        self._dialog.get_by_role("link", name="Continue").click()
        self._wait_until_scrolled_to(step=3)

    def confirm(self, code: str) -> None:
        admin.type_in(self.page.get_by_label("Authentication code"), code)
        self.page.get_by_role("button", name="Confirm").click()

    def _wait_until_scrolled_to(self, step: int) -> None:
        """Wait for the page, which scrolls to each step a moment later, away under a click."""
        self.page.wait_for_function(
            """id => Math.abs(document.getElementById(id).getBoundingClientRect().top) < 1
                || scrollY + innerHeight >= document.documentElement.scrollHeight - 1""",
            arg=f"twoFactorStep{step}",
        )

    @property
    def _dialog(self) -> Locator:
        return self.page.locator(".modal.open")
