"""Pages, as a first-time visitor and as a superuser see them."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import requests

from matomo_harness.gate.core.once import once
from matomo_harness.gate.core.target import Http
from matomo_harness.gate.probes import browser
from matomo_harness.matomo import twofactor
from matomo_harness.matomo.twofactor import Account
from matomo_harness.matomo.web import IN_ENGLISH, Page, Parameters, Web

TODAY: Final[Parameters] = {"idSite": 1, "period": "day", "date": "today"}


class PublicPages:
    """The pages that everybody is shown, each fetched once."""

    def __init__(self, http: Http) -> None:
        self._http = http

    @once
    def login_page(self) -> requests.Response:
        """What a first-time visitor sees, after following redirects."""
        return self._http.web.get()


class SuperuserPages:
    """The pages that a superuser is shown; all checks share one login."""

    def __init__(self, http: Http, account: Account) -> None:
        self._http = http
        self._account = account

    @once
    def session(self) -> Web:
        """A conversation of the superuser, who has logged in with both factors.

        Raises:
            BrokenPromiseError: the login is refused.
        """
        web = self._http.web
        twofactor.sign_in(web, self._account)
        web.session.cookies.update(IN_ENGLISH)
        return web

    @once
    def without_a_code(self) -> Web:
        """A conversation of the superuser, who has given name and password but no code.

        Raises:
            BrokenPromiseError: name or password is refused.
        """
        web = self._http.web
        twofactor.log_in(web, self._account.login, self._account.password)
        return web

    def page(self, module: str, action: str, **more: str | int) -> Page:
        """Return a page as the superuser sees it."""
        query: Parameters = {"module": module, "action": action, **more}
        return Page(self.session.get(query))

    def attribute(self, module: str, action: str, component: str, name: str) -> Any:
        """Return what a page hands to one of its components, decoded.

        Raises:
            BrokenPromiseError: the page has no such component.
        """
        return json.loads(self.page(module, action).attribute(component, name))

    @once
    def plugins(self) -> dict[str, Any]:
        """Every plugin by name, as the page Administration, Plugins shows it."""
        component = "CorePluginsAdmin.PluginsTable"
        found: dict[str, Any] = self.attribute(
            "CorePluginsAdmin", "plugins", component, "plugins-info"
        )
        return found

    @once
    def anonymize_data(self) -> Page:
        """The page Administration, Privacy, Anonymize data."""
        return self.page("PrivacyManager", "privacySettings")

    @once
    def system_check(self) -> list[dict[str, Any]]:
        """All results of the page Administration, System check."""
        component = "Installation.SystemCheckPage"
        page = self.page("Installation", "systemCheckPage")
        kinds = ("mandatory-results", "optional-results", "informational-results")
        return [result for kind in kinds for result in json.loads(page.attribute(component, kind))]

    @once
    def in_a_browser(self) -> browser.BrowserEvidence:
        """What the superuser sees in a browser.

        Raises:
            CannotTellError: there is no browser here.
            BrokenPromiseError: the login is refused, or the page is not shown.
        """
        session = self.session.session.cookies.get_dict()
        where = (self._http.url, self._account, session, self._http.authority)
        # This needs its own thread: pytest-playwright may run the browser's loop in this one.
        with ThreadPoolExecutor(1) as aside:
            return aside.submit(browser.see, *where).result()
