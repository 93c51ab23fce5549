"""'Lost your password?' on the login page, and the page that its mail links to."""

import re
from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect


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
        # Since 5.8 it does not say whether there is such an account.
        said = "Open the confirmation link|you will receive an email to confirm"
        return self.page.get_by_text(re.compile(said))

    def confirm(self, new_password: str) -> None:
        """On the page that the mail links to."""
        self.page.get_by_label("New password").fill(new_password)
        self.page.get_by_role("button", name="Confirm").click()

    @property
    def _change(self) -> Locator:
        return self.page.get_by_role("button", name="Change password", exact=False)
