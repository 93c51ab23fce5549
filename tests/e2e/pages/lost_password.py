"""'Lost your password?' on the login page, and the page that its mail links to."""

import re
from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect

from matomo_harness.matomo.versions import RESET_WAS_ASKED_FOR


@dataclass(frozen=True)
class LostPassword:
    page: Page

    def ask(self, login: str, new_password: str) -> None:
        self.page.get_by_role("link", name="Lost your password?").click()
        form = self.page.locator("form").filter(has=self._change)
        name = form.get_by_label(re.compile("Username or e-?mail"))
        # The form fades in and then takes the focus there: what is typed before may go elsewhere.
        expect(name).to_be_focused()
        name.fill(login)
        form.get_by_label("New password", exact=True).fill(new_password)
        form.get_by_label("New password (repeat)").fill(new_password)
        self._change.click()

    @property
    def sent(self) -> Locator:
        return self.page.get_by_text(re.compile(RESET_WAS_ASKED_FOR))

    def confirm(self, new_password: str) -> None:
        """Confirm the password on the page that the mail links to."""
        self.page.get_by_label("New password").fill(new_password)
        self.page.get_by_role("button", name="Confirm").click()

    @property
    def _change(self) -> Locator:
        return self.page.get_by_role("button", name="Change password", exact=False)
