"""Administration, System, General settings."""

from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect

from tests.e2e.pages import admin


@dataclass(frozen=True)
class GeneralSettings:
    page: Page

    def open(self) -> None:
        admin.open_page(self.page, "CoreAdminHome", "generalSettings")
        # This section has a request of its own: once it is there, so is all before it.
        expect(self.page.get_by_role("heading", name="TwoFactorAuth")).to_be_visible()

    def section(self, name: str) -> Locator:
        return admin.heading(self.page, name)

    @property
    def archiving_from_browser(self) -> Locator:
        """The choice under "Archive reports when viewed from the browser"."""
        return self.page.locator("[name=enableBrowserTriggerArchiving]:checked")

    def field(self, label: str) -> Locator:
        return self.page.get_by_label(label, exact=True)
