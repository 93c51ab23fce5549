"""The dashboard, where a login ends."""

from dataclasses import dataclass

from playwright.sync_api import Locator, Page


@dataclass(frozen=True)
class Dashboard:
    page: Page

    @property
    def widgets(self) -> Locator:
        return self.page.locator("#dashboardWidgetsArea .widget")

    def widget(self, title: str) -> Locator:
        return self.widgets.filter(has=self.page.get_by_role("heading", name=title))
