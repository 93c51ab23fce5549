"""Administration, System, Users."""

from dataclasses import dataclass

from playwright.sync_api import Locator, Page

from tests.e2e.pages import admin


@dataclass(frozen=True)
class Users:
    page: Page

    def open(self) -> None:
        admin.open_page(self.page, "UsersManager")

    @property
    def heading(self) -> Locator:
        return admin.heading(self.page, "Manage Users")

    def invite(self, login: str, email: str, *, confirmed_by: str) -> None:
        """Invite somebody who gets View on the first site.

        Args:
            confirmed_by: password of whoever invites.
        """
        self.page.get_by_text("Invite a new user").first.click()
        admin.type_in(self.page.get_by_label("Username"), login)
        admin.type_in(self.page.get_by_label("Email"), email)
        self.page.get_by_role("button", name="Invite user").click()
        admin.confirm_with_password(self.page, confirmed_by)

    def row(self, login: str) -> Locator:
        return self.page.get_by_role("row").filter(
            has=self.page.get_by_role("cell", name=login, exact=True)
        )

    def role_of(self, login: str) -> Locator:
        return self.row(login).get_by_role("combobox").first
