"""Administration, Plugins."""

from dataclasses import dataclass

from playwright.sync_api import Page, expect

from tests.e2e.pages import admin

NAME, STATUS = 0, 2
"""Numbers of the columns."""


@dataclass(frozen=True)
class Plugins:
    page: Page

    def open(self) -> None:
        admin.open_page(self.page, "CorePluginsAdmin", "plugins")
        expect(admin.heading(self.page, "Installed plugins")).to_be_visible()

    def statuses(self) -> dict[str, str]:
        """Return the status that is shown of each plugin, by its name."""
        rows = self.page.get_by_role("row").filter(has=self.page.get_by_role("cell"))
        cells = [row.split("\t") for row in rows.all_inner_texts()]
        return {row[NAME].split()[0]: row[STATUS].strip() for row in cells}
