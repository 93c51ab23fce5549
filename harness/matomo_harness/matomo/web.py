"""HTTP to one Matomo, with time limits everywhere."""

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests
import urllib3
from requests import PreparedRequest
from requests.adapters import HTTPAdapter

from matomo_harness.errors import BrokenPromiseError, UnsupportedEnvironmentError
from matomo_harness.time_limit import require_time_left, seconds_left

if TYPE_CHECKING:
    from bs4 import BeautifulSoup

TIME_LIMIT: Final = (5.0, 120.0)
"""Seconds to connect, seconds between two bytes of the answer."""

Parameters = Mapping[str, str | int]


class _Loopback(HTTPAdapter):
    """Leads *.localhost to this machine, as browsers do (RFC 6761) and glibc does not.

    Over TLS the certificate is checked for 127.0.0.1.
    """

    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, *arguments: Any
    ) -> tuple[Any, Any]:
        host, pool = super().build_connection_pool_key_attributes(request, *arguments)
        if str(host["host"]).endswith(".localhost"):
            host["host"] = "127.0.0.1"
        return host, pool

    def add_headers(self, request: PreparedRequest, **_: Any) -> None:
        netloc = urlsplit(request.url or "").netloc
        if ".localhost" in netloc:
            request.headers["Host"] = netloc


class _BehindTls(_Loopback):
    """Brings an https address to a server as a load balancer does that has terminated TLS."""

    def send(self, request: PreparedRequest, *arguments: Any, **named: Any) -> requests.Response:
        onward = request.copy()
        onward.url = urlsplit(request.url or "")._replace(scheme="http").geturl()
        onward.headers["X-Forwarded-Proto"] = "https"
        answer = super().send(onward, *arguments, **named)
        answer.request, answer.url = request, request.url or ""
        return answer


def _is_near(url: str) -> bool:
    """Whether an address is on this machine or in a private network, where no proxy leads to."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _session() -> requests.Session:
    session = requests.Session()
    # A proxy of this machine's environment has no part in a conversation over loopback; for an
    # address elsewhere it is asked for by name (Web).
    session.trust_env = False
    # A connection that is kept alive may be closed by the server just as it is used again, and
    # holds up the server's graceful stop for 5 s.
    session.headers["Connection"] = "close"
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Loopback())
    return session


@dataclass
class Exchanges:
    """What all conversations with one instance had as answers, for the report of a failed test.

    Args:
        last: the last answer, with its request.
        server_errors: the answers with a status of 500 or more, each as its status.
    """

    last: requests.Response | None = field(default=None, repr=False)
    server_errors: list[int] = field(default_factory=list)

    def add(self, answer: requests.Response) -> None:
        """Remember an answer; from any thread."""
        self.last = answer
        if answer.status_code >= 500:
            self.server_errors.append(answer.status_code)


IN_ENGLISH: Final = {"matomo_lang": "language=" + base64.b64encode(b"en").decode()}
"""A cookie that overrides a user's own language, for code that reads words on pages
(LanguagesManager::getLanguageForSession, Cookie::loadContentFromCookie)."""


@dataclass
class Web:
    """The conversation of one visitor or user with Matomo, with its cookies.

    Args:
        url: address of the instance, without a slash at its end.
        session: cookies and headers.
        exchanges: holds the last exchange of all conversations with one instance.
        authority: file with whoever signed the server's certificate; None means a public authority.
        time_limit: seconds to connect, seconds between two bytes of the answer.
        forwarded: whether it is spoken to as a load balancer does that has terminated TLS: an
            image's web server may send whoever comes otherwise to https.
        self_signed: whether the server's certificate is its own and is not checked, as a load
            balancer does not check its target's.
    """

    url: str
    session: requests.Session = field(default_factory=_session, repr=False)
    exchanges: Exchanges = field(default_factory=Exchanges)
    authority: Path | None = None
    time_limit: tuple[float, float] = TIME_LIMIT
    forwarded: bool = False
    self_signed: bool = False

    def __post_init__(self) -> None:
        """Have the session speak as the arguments say."""
        if self.authority:
            self.session.verify = str(self.authority)
        if not _is_near(self.url):
            proxies = requests.utils.get_environ_proxies(self.url)
            self.session.proxies.update(proxies)
        if self.forwarded:
            self.session.mount("https://", _BehindTls())
        if self.self_signed:
            self.session.verify = False  # over loopback, to a container of ours
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    def get(self, query: Parameters | None = None, path: str = "index.php") -> requests.Response:
        """GET `path` with `query`; redirects are followed.

        Raises:
            UnsupportedEnvironmentError: no answer within TIME_LIMIT.
        """
        return self._request("GET", path, params=query)

    def ask(self, path: str) -> requests.Response:
        """GET `path`; a redirect is returned, not followed.

        Raises:
            UnsupportedEnvironmentError: no answer within TIME_LIMIT.
        """
        return self._request("GET", path, allow_redirects=False)

    def request(self, method: str, path: str) -> requests.Response:
        """Send a request of another method; a redirect is returned, not followed.

        Raises:
            UnsupportedEnvironmentError: no answer within the time limit.
        """
        return self._request(method, path, allow_redirects=False)

    def post(self, query: Parameters, form: Parameters) -> requests.Response:
        """POST `form` to index.php; a redirect is returned, not followed: it is Matomo's "yes".

        Raises:
            UnsupportedEnvironmentError: no answer within TIME_LIMIT.
        """
        return self._request("POST", "index.php", params=query, data=form, allow_redirects=False)

    def post_form(
        self, path: str, form: Parameters, cookies: Mapping[str, str] | None = None
    ) -> requests.Response:
        """POST `form` to `path`.

        Args:
            path: below the web root.
            form: the fields that are sent.
            cookies: sent this once, besides the session's.

        Raises:
            UnsupportedEnvironmentError: no answer within the time limit.
        """
        return self._request("POST", path, data=form, cookies=cookies)

    def post_json(self, path: str, document: object) -> requests.Response:
        """POST `document` as JSON.

        Raises:
            UnsupportedEnvironmentError: no answer within TIME_LIMIT.
        """
        return self._request("POST", path, json=document)

    def _request(self, method: str, path: str, **arguments: Any) -> requests.Response:
        connect, read = self.time_limit
        limit = seconds_left(connect), seconds_left(read)
        address = self.url.replace("http:", "https:", 1) if self.forwarded else self.url
        try:
            answer = self.session.request(method, f"{address}/{path}", timeout=limit, **arguments)
        except requests.RequestException as error:
            require_time_left()
            raise UnsupportedEnvironmentError(
                expected=f"an answer from {self.url}",
                seen=_cause(error, self.time_limit),
                next_command=f"curl -v {self.url}/",
            ) from error
        self.exchanges.add(answer)
        return answer


@dataclass(frozen=True)
class Page:
    """A page of Matomo, read for the data that it gives to its scripts.

    Args:
        response: the answer that holds it.
    """

    response: requests.Response

    @property
    def document(self) -> "BeautifulSoup":
        """The parsed page."""
        # Imported only here: it takes a tenth of the time that a command needs to begin.
        from bs4 import BeautifulSoup

        return BeautifulSoup(self.response.text, "html.parser")

    @property
    def excerpt(self) -> str:
        """The page's visible text, shortened: what a person would read of it."""
        document = self.document
        for unseen in document(["script", "style", "head"]):
            unseen.decompose()
        return " ".join(document.get_text(" ").split())[:300]

    @property
    def component(self) -> str | None:
        """The name of the first Vue component, such as `TwoFactorAuth.SetupTwoFactorAuth`.

        Titles and status codes do not tell Matomo's pages apart; the component does.
        """
        found = self.document.select_one("[vue-entry]")
        return str(found["vue-entry"]) if found else None

    def attribute(self, component: str, name: str) -> str:
        """Return the attribute `name` of `component`, as the page carries it.

        Raises:
            BrokenPromiseError: the page does not hold that component.
        """
        found = self.document.select_one(f'[vue-entry="{component}"]')
        if not found or not found.has_attr(name):
            raise BrokenPromiseError(
                expected=f"the page {component} with its {name}",
                seen=f"status {self.response.status_code}: {self.excerpt}",
                next_command=f"open {self.response.url}",
            )
        return str(found[name])

    def form_value(self, name: str) -> str:
        """Return the value of the input field `name`, a form's nonce for instance.

        Raises:
            BrokenPromiseError: the page has no such field.
        """
        found = self.document.select_one(f'input[name="{name}"]')
        if not found:
            raise BrokenPromiseError(
                expected=f"a form with the field {name}",
                seen=f"status {self.response.status_code}: {self.excerpt}",
                next_command=f"open {self.response.url}",
            )
        return str(found.get("value", ""))


def _cause(error: requests.RequestException, limit: tuple[float, float]) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return f"a certificate that is not trusted; --authority FILE names who signed it ({error})"
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection for {limit[0]:.0f} s"
    if isinstance(error, requests.Timeout):
        return f"a connection, and nothing on it for {limit[1]:.0f} s"
    if isinstance(error, requests.ConnectionError):
        return "no connection: nothing listens there, or it hung up"
    return str(error)
