"""Goes through pages in a browser as a visitor does: opens one, agrees, follows links."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests

from matomo_harness import progress
from matomo_harness.errors import UnsupportedEnvironmentError, WrongInputError
from matomo_harness.extra import BROWSER, install_command
from matomo_harness.gate.probes.chromium import launch_options
from matomo_harness.operate.site import faults, values
from matomo_harness.operate.site.hits import Matomo
from matomo_harness.operate.site.records import PageRecord
from matomo_harness.operate.site.watch import Watch

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Response

QUIET_SECONDS: Final = 1.0
"""matomo.js holds back for 0.8 s what it is given after the first hit of a page."""
FLUSH_SECONDS: Final = 0.3
ANSWER_SECONDS: Final = 10.0
"""How long an answer of Matomo's is waited for."""
FLUSH: Final = "() => { dispatchEvent(new Event('beforeunload')); }"
"""Has matomo.js send what it collects: by itself it does so after 2.5 s, or when a page is left."""
LOAD_MS: Final = 30_000
CLICK_MS: Final = 5_000
LEADS_ON: Final = 5
"""How many pages may follow one another by themselves."""
HTML: Final = ("text/html", "application/xhtml+xml")
_FILE: Final = re.compile(r"\.(?!html?$|xhtml$|php\d?$|aspx?$|jspx?$|cgi$|do$)[A-Za-z0-9]{1,5}$")
"""The end of a path that is no page's: of a PDF, a picture, an archive."""
_CODE: Final = re.compile(r"net::ERR_\w+")
_LINKS: Final = """() => [...document.links]
  .filter(link => !link.hasAttribute('download') && link.getClientRects().length)
  .map(link => link.href)"""
_CLICK: Final = """href => {
  const link = [...document.links].find(each => each.href === href);
  if (link) { link.removeAttribute('target'); setTimeout(() => link.click()); }
  return Boolean(link);
}"""
_INLINE_CODE: Final = """() => [...document.querySelectorAll('script:not([src])')]
  .some(script => /\\b_paq\\b|\\b_mtm\\b|matomo\\.js|piwik\\.js/.test(script.textContent))"""


@dataclass(frozen=True)
class Way:
    """How pages are gone through.

    Args:
        matomo: whose requests are looked at.
        pages: how many pages of a host at most, the first included.
        click: a selector of what a visitor clicks who agrees; empty for nobody.
        seconds: how long a page's first hit is waited for.
        authority: file with the authority that signed the certificates.
        forbidden: values that no message may repeat.
    """

    matomo: Matomo
    pages: int = 3
    click: str = ""
    seconds: float = 5.0
    authority: Path | None = None
    forbidden: tuple[str, ...] = ()

    def shown(self, url: str) -> str:
        """Return an address for a message."""
        return values.shown_address(url, self.forbidden)


def walk(urls: tuple[str, ...], way: Way) -> Iterator[PageRecord]:
    """Yield what each page has sent; each of `urls` is opened by a visitor who was never there.

    Raises:
        WrongInputError: an address is none, cannot be opened, or is no page; there is nothing to
            click.
        UnsupportedEnvironmentError: Playwright or a browser is missing.
    """
    for url in urls:
        _require_address(url)
    with _browser() as browser:
        for url in urls:
            context = browser.new_context(
                accept_downloads=False,
                ignore_https_errors=way.authority is not None,
                service_workers="block",
            )
            watch = Watch(way.matomo)
            watch.attach(context)
            yield from _Visitor(context, watch, way).pages_from(url)
            context.close()


# -- one visitor ----------------------------------------------------------------------------------


class _Visitor:
    def __init__(self, context: "BrowserContext", watch: Watch, way: Way) -> None:
        self._context = context
        self._watch = watch
        self._way = way
        self._page = context.new_page()
        self._answer: Response | None = None
        self._page.on("response", self._remember)

    def pages_from(self, url: str) -> Iterator[PageRecord]:
        """Yield the page at `url`, and those of its host that links lead to."""
        self._open(url)
        yield self._record(is_first=True)
        host = urlsplit(self._page.url).netloc
        visited = {_document(url), _document(self._page.url)}
        waiting: list[str] = []
        count = 1
        while count < self._way.pages:
            waiting += self._links(host, {*visited, *map(_document, waiting)})
            if not waiting:
                return
            link = waiting.pop(0)
            visited.add(_document(link))
            if self._follow(link) and urlsplit(self._page.url).netloc == host:
                visited.add(_document(self._page.url))
                count += 1
                yield self._record()

    def _open(self, url: str) -> None:
        from playwright.sync_api import Error
        from playwright.sync_api import TimeoutError as LateError

        self._watch.page = PageRecord(url)
        if self._way.authority:
            _require_trusted(url, self._way)
        try:
            self._page.goto(url, wait_until="load", timeout=LOAD_MS)
        except LateError:
            if self._answer is None:
                raise _unreachable(
                    self._way.shown(url), f"no answer in {LOAD_MS // 1000} s"
                ) from None
        except Error as error:
            if self._answer is None or not _is_file(self._answer):
                raise _unreachable(self._way.shown(url), _code(error)) from None
        self._require_page(url)

    def _require_page(self, url: str) -> None:
        answer = self._answer
        if answer is None:
            return
        if not answer.ok:
            seen = f"HTTP {answer.status}"
        elif _is_file(answer):
            seen = _type(answer) or "an answer without a Content-Type"
        else:
            return
        raise WrongInputError(
            expected=f"a page of a website (text/html) at {self._way.shown(url)}",
            seen=seen,
            next_command="matomo-harness site with the address of a page, as a visitor opens it",
        )

    def _follow(self, link: str) -> bool:
        """Go where a link of the open page leads, by a click on it; whether there is a page."""
        from playwright.sync_api import Error

        before = self._page.url
        self._watch.page = PageRecord(link)
        self._answer = None
        try:
            with self._page.expect_navigation(wait_until="load", timeout=CLICK_MS):
                if not self._page.evaluate(_CLICK, link):
                    self._page.goto(link, referer=before, timeout=LOAD_MS)
        except Error as error:
            progress.console.print(
                f"passed over: {self._way.shown(link)}, {_code(error)}", markup=False
            )
            return False
        # A single-page application answers without its server.
        return self._answer is None or (self._answer.ok and not _is_file(self._answer))

    def _record(self, *, is_first: bool = False) -> PageRecord:
        record = self._watch.page
        record.address = self._page.url
        progress.console.print(f"{self._way.shown(record.address)} ...", markup=False)
        self._wait()
        record.has_inline_code = bool(self._evaluate(_INLINE_CODE))
        if not self._watch.has_agreed:
            cookies = (str(cookie.get("name")) for cookie in self._context.cookies())
            record.cookies = tuple(filter(faults.is_cookie_of_matomo, cookies))
        if is_first and self._way.click:
            self._agree()
            self._wait()
        record.address = self._page.url
        if self._way.authority:
            record.untrusted = tuple(_untrusted_origins(record, self._way.authority))
        return record

    def _agree(self) -> None:
        from playwright.sync_api import Error

        self._watch.has_agreed = True
        try:
            self._page.locator(self._way.click).first.click(timeout=CLICK_MS)
        except Error as error:
            raise WrongInputError(
                expected=f"something to click at --click '{self._way.click}'"
                f" on {self._way.shown(self._page.url)}",
                seen=str(error).splitlines()[0],
                next_command="--click 'text=Accept', or another selector of the button",
            ) from None
        self._watch.last = time.monotonic()  # what follows from it comes a moment later

    def _wait(self) -> None:
        """Wait until the page has sent what it has to send, and Matomo has answered."""
        watch = self._watch
        self._wait_until(lambda: watch.page.has_begun(by_click=watch.has_agreed), self._way.seconds)
        self._wait_until(lambda: self._watch.quiet_seconds > QUIET_SECONDS, LOAD_MS / 1000)
        self._evaluate(FLUSH)
        self._wait_until(lambda: self._watch.quiet_seconds > FLUSH_SECONDS, LOAD_MS / 1000)
        self._wait_until(lambda: not self._watch.is_busy, ANSWER_SECONDS)
        self._watch.give_up(f"no answer in {ANSWER_SECONDS:g} s; a redirect of a POST has none")

    def _wait_until(self, is_reached: Callable[[], object], seconds: float) -> None:
        begun = time.monotonic()
        while not is_reached() and time.monotonic() - begun < seconds:
            self._page.wait_for_timeout(50)

    def _evaluate(self, script: str) -> Any:
        """Return what a script says in the page; where it leads on meanwhile, in the next one."""
        from playwright.sync_api import Error

        for _ in range(LEADS_ON):
            try:
                return self._page.evaluate(script)
            except Error:
                self._page.wait_for_load_state("load")
        raise WrongInputError(
            expected=f"a page that stays at {self._way.shown(self._watch.page.address)}",
            seen="one that leads on to others",
            next_command="matomo-harness site with the address that it leads to",
        )

    def _links(self, host: str, known: set[str]) -> list[str]:
        found: dict[str, str] = {}
        for link in self._evaluate(_LINKS):
            split = urlsplit(link)
            is_page = split.scheme in ("http", "https") and not _FILE.search(split.path)
            if split.netloc == host and is_page and _document(link) not in known:
                found.setdefault(_document(link), link)
        return list(found.values())

    def _remember(self, response: "Response") -> None:
        request = response.request
        if request.is_navigation_request() and request.frame == self._page.main_frame:
            self._answer = response


# -- addresses and answers ------------------------------------------------------------------------


def _document(url: str) -> str:
    """Return an address without a fragment, but for one by which an application has pages."""
    document, _, fragment = url.partition("#")
    return f"{document}#{fragment}" if fragment[:1] in ("/", "!") else document


def _require_address(url: str) -> None:
    try:
        split = urlsplit(url)
        is_address = split.scheme in ("http", "https") and bool(split.hostname)
    except ValueError:
        is_address = False
    if not is_address:
        raise WrongInputError(
            expected="the address of a page: https://www.example.org/",
            seen=values.shown_address(url) or "an empty one",
            next_command="matomo-harness site https://www.example.org/",
        )


def _type(answer: "Response") -> str:
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


def _is_file(answer: "Response") -> bool:
    return _type(answer) not in HTML


def _code(error: Exception) -> str:
    found = _CODE.search(str(error))
    return found[0] if found else str(error).splitlines()[0].partition(" at http")[0]


def _unreachable(shown: str, seen: str) -> WrongInputError:
    is_certificate = "ERR_CERT" in seen
    return WrongInputError(
        expected=f"a certificate that is trusted at {shown}"
        if is_certificate
        else f"{shown} to open",
        seen=seen,
        next_command="--authority FILE of who signed it, a PEM file"
        if is_certificate
        else f"curl -I '{shown}'",
    )


def _require_trusted(url: str, way: Way) -> None:
    """Require the authority's signature; the browser reads no such file, and trusts everything."""
    try:
        _require_signed(url, way.authority)
    except requests.exceptions.SSLError:
        raise _unreachable(way.shown(url), "net::ERR_CERT_AUTHORITY_INVALID") from None
    except OSError as error:
        if isinstance(error, requests.exceptions.RequestException):
            return  # the browser says why, in a word
        raise WrongInputError(
            expected=f"--authority to name a PEM file, {way.authority}",
            seen=str(error),
            next_command=f"ls {way.authority}",
        ) from None


def _require_signed(url: str, authority: Path | None) -> None:
    """Require the authority's signature, or that of one that the machine trusts, as browsers do.

    Raises:
        RequestException: there is neither, or nothing answers.
        OSError: the authority's file cannot be read.
    """
    try:
        requests.head(url, verify=str(authority), timeout=LOAD_MS / 1000)
    except requests.exceptions.SSLError:
        requests.head(url, verify=True, timeout=LOAD_MS / 1000)


def _untrusted_origins(record: PageRecord, authority: Path) -> Iterator[str]:
    addresses = (*record.scripts, *(hit.tracker for hit in record.hits))
    split = (urlsplit(address) for address in addresses)
    for origin in {f"https://{each.netloc}" for each in split if each.scheme == "https"}:
        try:
            _require_signed(origin, authority)
        except requests.exceptions.SSLError:
            yield origin
        except requests.exceptions.RequestException:
            pass  # the browser has seen what there is


# -- the browser ----------------------------------------------------------------------------------


@contextmanager
def _browser() -> Iterator["Browser"]:
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise UnsupportedEnvironmentError(
            expected="Playwright, which drives the browser",
            seen="it is not installed",
            next_command=install_command(BROWSER),
        ) from error
    with sync_playwright() as playwright:
        chromium = playwright.chromium
        options = launch_options(Path(chromium.executable_path))
        try:
            browser = chromium.launch(**options)
        except Error as error:
            raise UnsupportedEnvironmentError(
                expected=f"{options['executable_path']} to start",
                seen=str(error).splitlines()[0],
                next_command="matomo-harness prepare --browser",
            ) from error
        try:
            yield browser
        finally:
            browser.close()
