"""Administration, Diagnostic, System check."""

from dataclasses import dataclass

from playwright.sync_api import Page, expect

from tests.e2e.pages import admin


@dataclass(frozen=True)
class SystemCheck:
    page: Page

    def open(self) -> None:
        admin.open_page(self.page, "Installation", "systemCheckPage")
        expect(admin.heading(self.page, "System Check")).to_be_visible()
        expect(self.page.get_by_role("row").first).to_be_visible()

    def errors(self) -> list[str]:
        return self._names("icon-error")

    def warnings(self) -> list[str]:
        return self._names("icon-warning")

    def _names(self, icon: str) -> list[str]:
        # Only the icon shows it, which has neither a role nor a text.
        rows = self.page.get_by_role("row").filter(has=self.page.locator(f".{icon}"))
        return [row.get_by_role("cell").first.inner_text().strip() for row in rows.all()]
