"""What only a browser shows: a person's login with a second factor, and the Anonymize data page.

Playwright is not a dependency of the harness: a check that needs it and does not find it is skipped
and says so. Nothing on the instance is changed; a login uses up one code.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from matomo_harness.errors import BrokenPromiseError, UnsupportedEnvironmentError
from matomo_harness.extra import BROWSER, install_command
from matomo_harness.gate.core.check import CannotTellError
from matomo_harness.gate.probes.chromium import launch_options
from matomo_harness.matomo.twofactor import Account
from matomo_harness.matomo.web import IN_ENGLISH

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page

ALL_BYTES: Final = 4
"""All bytes of an IPv4 address: the page calls this "Fully mask IP address"."""


@dataclass(frozen=True)
class BrowserEvidence:
    """What a superuser saw in the browser.

    Args:
        code_asked: whether the login asked for a second factor after name and password.
        masked_bytes: how many bytes of an IPv4 address Anonymize data shows as masked; 0 where
            masking is off.
        complaints: the errors that pages raised.
        pictures: PNG images by file name; none shows a secret.
    """

    code_asked: bool
    masked_bytes: int
    complaints: tuple[str, ...]
    pictures: Mapping[str, bytes] = field(repr=False)


def see(
    url: str, account: Account, session: Mapping[str, str], authority: Path | None = None
) -> BrowserEvidence:
    """Give name and password in a browser, then open Anonymize data with an existing session.

    No code is given: each can be used once, and only Matomo knows which ones are used.

    Args:
        url: the instance's address, without a slash at its end.
        account: of a superuser.
        session: cookies of a user who has logged in with both factors.
        authority: file with the authority that signed the instance's certificate. Chromium reads
            no such file: where one is given, the browser accepts any certificate, and it is the
            requests library that verifies it.

    Raises:
        CannotTellError: Playwright or a browser is missing.
        BrokenPromiseError: a page is not shown.
    """
    with _browser() as browser:
        complaints: list[str] = []
        options = {"ignore_https_errors": authority is not None, "locale": "en-US"}
        context = browser.new_context(**options)  # type: ignore[arg-type]
        _add_cookies(context, url, IN_ENGLISH)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        try:
            asked, pictures = _log_in(page, url, account)
            _add_cookies(context, url, session)
            privacy = AnonymizeDataPage(page)
            privacy.open(url)
            pictures["anonymize-data.png"] = page.screenshot(full_page=True)
            return BrowserEvidence(asked, privacy.masked_bytes(), tuple(complaints), pictures)
        except _playwright_errors() as error:
            raise BrokenPromiseError(
                expected="the login, the code's form and Anonymize data as Matomo shows them",
                seen=f"'{page.title()}': {str(error).splitlines()[0]}",
                next_command=f"open {url}/",
            ) from error


def _add_cookies(context: "BrowserContext", url: str, cookies: Mapping[str, str]) -> None:
    context.add_cookies(
        [{"name": name, "value": value, "url": url} for name, value in cookies.items()]
    )


def _log_in(page: "Page", url: str, account: Account) -> tuple[bool, dict[str, bytes]]:
    """Give name and password; return whether a code is asked for then, and pictures."""
    login, form = LoginPage(page), CodePage(page)
    page.goto(f"{url}/index.php")
    login.name.wait_for()
    pictures = {"login.png": page.screenshot()}
    login.log_in(account.login, account.password)
    form.code.or_(Menu(page).sign_out).first.wait_for()
    asked = form.code.is_visible()
    if asked:
        pictures["second-factor.png"] = page.screenshot()
    return asked, pictures


@contextmanager
def _browser() -> Iterator["Browser"]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise CannotTellError(f"Playwright is not installed: {install_command(BROWSER)}") from error
    with sync_playwright() as playwright:
        chromium = playwright.chromium
        try:
            options = launch_options(Path(chromium.executable_path))
        except UnsupportedEnvironmentError as error:
            raise CannotTellError(f"no browser here: {error.next_command}") from error
        browser = chromium.launch(**options)
        try:
            yield browser
        finally:
            browser.close()


def _playwright_errors() -> type[Exception]:
    from playwright.sync_api import Error

    return Error


# -- page objects, which tests/e2e uses too -------------------------------------------------------


@dataclass(frozen=True)
class LoginPage:
    """The form for name and password.

    Args:
        page: of the browser.
    """

    page: "Page"

    @property
    def name(self) -> "Locator":
        """The field for the login or the e-mail address."""
        return self._form.get_by_label(re.compile("Username or e-?mail"))

    def log_in(self, login: str, password: str) -> None:
        """Fill the form and send it."""
        self.name.fill(login)
        self._form.get_by_label("Password").fill(password)
        self._submit.click()

    @property
    def _submit(self) -> "Locator":
        return self.page.get_by_role("button", name="Sign in")

    @property
    def _form(self) -> "Locator":
        # The page also holds the hidden form for a lost password, whose labels have the same names.
        return self.page.locator("form").filter(has=self._submit)


@dataclass(frozen=True)
class CodePage:
    """The second factor's form.

    Args:
        page: of the browser.
    """

    page: "Page"

    @property
    def code(self) -> "Locator":
        """The field for the code."""
        return self.page.get_by_label("Authentication code")

    @property
    def refused(self) -> "Locator":
        """The message for a code that is refused."""
        return self.page.get_by_text(re.compile(r"(Wrong|Incorrect).* authentication code"))

    def give(self, code: str) -> None:
        """Fill in a code from the device or a recovery code, and send it."""
        self.code.fill(code)
        self.page.get_by_role("button", name="Verify").click()


@dataclass(frozen=True)
class Menu:
    """The menu at the top of every page, for a user who has logged in.

    Args:
        page: of the browser.
    """

    page: "Page"

    @property
    def sign_out(self) -> "Locator":
        """The item that ends the session; the code's form has such a link too, but in no menu."""
        return self.page.get_by_role("menuitem", name="Sign out")


@dataclass(frozen=True)
class AnonymizeDataPage:
    """Administration, Privacy, Anonymize data.

    Args:
        page: of the browser.
    """

    page: "Page"

    def open(self, url: str = "") -> None:
        """Open the page and wait until its form is there.

        Args:
            url: the instance's address; not needed where the browser knows it.
        """
        path = "index.php?module=PrivacyManager&action=privacySettings"
        self.page.goto(f"{url}/{path}" if urlsplit(url).scheme else path)
        self.masking.wait_for(state="attached")

    @property
    def masking(self) -> "Locator":
        """The switch that turns masking on and off."""
        return self.page.get_by_role("checkbox", name="Anonymize Visitors' IP addresses")

    def choice(self, masked_bytes: int) -> "Locator":
        """Return the radio button for masking this many bytes, 1 to 4."""
        return self.page.get_by_role("radio", name=_label(masked_bytes))

    def choose(self, masked_bytes: int) -> None:
        """Choose how many bytes are masked, and save."""
        self.page.get_by_text(_label(masked_bytes)).click()
        self.page.get_by_role("button", name="Save").first.click()

    def masked_bytes(self) -> int:
        """Return how many bytes the page shows as masked; 0 where masking is off."""
        if not self.masking.is_checked():
            return 0
        lengths = range(1, ALL_BYTES + 1)
        return next((length for length in lengths if self.choice(length).is_checked()), 0)


def _label(masked_bytes: int) -> re.Pattern[str]:
    if masked_bytes == ALL_BYTES:
        return re.compile("Fully mask IP address")
    return re.compile(rf"^{masked_bytes} byte")
