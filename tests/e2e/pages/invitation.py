"""Where an invited user chooses a password."""

from dataclasses import dataclass

from playwright.sync_api import Locator, Page


@dataclass(frozen=True)
class Invitation:
    page: Page

    @property
    def heading(self) -> Locator:
        return self.page.get_by_role("heading", name="Set password")

    def accept(self, password: str) -> None:
        self.page.get_by_label("Password", exact=True).fill(password)
        self.page.get_by_label("Password confirmation").fill(password)
        self.page.get_by_role("button").last.click()
