"""Administration, Websites: the sites, and the code that tracks them."""

from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect

from tests.e2e.pages import admin


@dataclass(frozen=True)
class Sites:
    page: Page

    def open(self) -> None:
        admin.open_page(self.page, "SitesManager")
        # Who adds a site before the list has come loses the form to it (SitesManagement.vue).
        expect(self.page.locator(".site").first).to_be_visible()

    def add(self, name: str, url: str) -> None:
        self.page.get_by_text("Add a new measurable").first.click()
        self.page.get_by_role("button", name="Website", exact=True).click()
        self.page.get_by_role("textbox", name="Name", exact=True).fill(name)
        admin.type_in(self.page.get_by_placeholder("http://example.com/"), url)
        self.page.get_by_role("button", name="Save").click()

    def site(self, name: str) -> Locator:
        return self.page.locator(".site").filter(has=admin.heading(self.page, name))

    def tracking_code(self, name: str) -> "TrackingCode":
        self.site(name).get_by_role("link", name="View Tracking code").click()
        return TrackingCode(self.page)


@dataclass(frozen=True)
class TrackingCode:
    page: Page

    @property
    def code(self) -> Locator:
        return self.page.locator("pre").filter(has_text="setSiteId").first

    def copy(self) -> str:
        """Return the clipboard after a click on "Copy"; the context must let it be read."""
        self.code.locator("xpath=..").get_by_role("button", name="Copy").click()
        text: str = self.page.evaluate("navigator.clipboard.readText()")
        return text
