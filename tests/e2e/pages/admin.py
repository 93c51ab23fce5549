"""Administration: what its pages share."""

from dataclasses import dataclass
from typing import Final

from playwright.sync_api import Locator, Page

ADDRESS: Final = "index.php?module={module}&action={action}"


def open_page(page: Page, module: str, action: str = "index") -> None:
    page.goto(ADDRESS.format(module=module, action=action))


def heading(page: Page, name: str) -> Locator:
    return page.get_by_role("heading", name=name, exact=True)


@dataclass(frozen=True)
class AdminMenu:
    """The menu at the left, of which a person sees what is open to them."""

    page: Page

    def entry(self, name: str) -> Locator:
        return self.page.get_by_role("menu", name="Main navigation").get_by_role(
            "menuitem", name=name, exact=True
        )


def confirm_with_password(page: Page, password: str) -> None:
    """Where Matomo asks again who it is; it does not for everything, nor in every version."""
    dialog = page.locator(".confirm-password-modal.open")
    dialog.get_by_role("textbox").fill(password)
    dialog.get_by_role("link", name="Confirm").click()
