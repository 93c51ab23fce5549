"""Administration: what its pages share."""

import re
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
    """The menu at the left; a user sees only the entries that are open to them."""

    page: Page

    def entry(self, name: str) -> Locator:
        menu = self.page.get_by_role("menu", name="Main navigation")
        return menu.locator("a").filter(has_text=re.compile(rf"^\s*{name}(\s+Menu)?\s*$"))


def confirm_with_password(page: Page, password: str) -> None:
    """Give the password again; Matomo asks neither for everything nor in every version."""
    dialog = page.locator(".confirm-password-modal.open")
    type_in(dialog.get_by_role("textbox"), password)
    dialog.get_by_role("link", name="Confirm").click()


def type_in(field: Locator, text: str) -> None:
    """Type as a person does: a field takes its value 50 ms after the last key went down."""
    field.fill(text[:-1])
    field.press_sequentially(text[-1], delay=100)
