"""A browser's context that reads what goes to Matomo, and has none of it stored.

A hit is read and goes on as a heartbeat of a visit that is not there (`hits.harmless`): its way
through the browser's network, TLS and the page's policy is the real one, and so is Matomo's
answer. What pages send while they are left gets past Playwright: that is held back in the page.
"""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from matomo_harness.operate.site.hits import Matomo, decoded, harmless
from matomo_harness.operate.site.records import PageRecord, Refusal, SentRequest

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Request, Response, Route

LEFT: Final = "net::ERR_ABORTED"
"""The failure of a request that was under way when its page was left."""
BINDING: Final = "matomoHarnessReport"
SCRIPT: Final = """(() => {
  const report = window.%s;
  document.addEventListener('securitypolicyviolation', event => {
    if (event.disposition === 'enforce')
      report({
        directive: event.effectiveDirective, blocked: event.blockedURI, sample: event.sample,
      });
  });
  // Nobody sees what is sent while the page is left: it must not be sent.
  let isLeaving = false;
  for (const name of ['beforeunload', 'pagehide'])
    addEventListener(name, event => { isLeaving ||= event.isTrusted; }, true);
  addEventListener('pageshow', () => { isLeaving = false; }, true);
  const sendBeacon = Navigator.prototype.sendBeacon;
  Navigator.prototype.sendBeacon = function (...given) {
    return isLeaving || sendBeacon.apply(this, given);
  };
  const fetch = window.fetch;
  window.fetch = function (...given) {
    return isLeaving ? new Promise(() => {}) : fetch.apply(this, given);
  };
})()"""
EXCERPT: Final = 120


@dataclass
class Watch:
    """What goes to Matomo, page by page.

    Args:
        matomo: whose requests they are.
        page: the record of the page that is open.
        has_agreed: whether the click that gives consent was made.
        last: when something of Matomo happened last, by the monotonic clock.
    """

    matomo: Matomo
    page: PageRecord = field(default_factory=lambda: PageRecord(""))
    has_agreed: bool = False
    last: float = field(default_factory=time.monotonic)
    _sent: "dict[Request, SentRequest]" = field(default_factory=dict)
    _pending: "set[Request]" = field(default_factory=set)

    def attach(self, context: "BrowserContext") -> None:
        """Read, and change, what the pages of `context` send to Matomo."""
        context.expose_binding(BINDING, self._refused)
        context.add_init_script(SCRIPT % BINDING)
        context.route(lambda address: self.matomo.may_be_tracker(address), self._route)
        context.on("request", self._asked)
        context.on("response", self._answered)
        context.on("requestfinished", self._ended)
        context.on("requestfailed", self._failed)

    @property
    def is_busy(self) -> bool:
        """Whether an answer of Matomo is awaited."""
        return bool(self._pending)

    @property
    def quiet_seconds(self) -> float:
        """For how long nothing has gone to Matomo, or come from it."""
        return time.monotonic() - self.last

    def give_up(self, reason: str) -> None:
        """Wait for no answer any more.

        Args:
            reason: why there is none.
        """
        for request in self._pending:
            if sent := self._sent.get(request):
                sent.failure = sent.failure or ("" if sent.status else reason)
            elif self.matomo.is_script(request.url):
                self.page.not_loaded.setdefault(_without_query(request.url), reason)
        self._pending.clear()

    def _route(self, route: "Route", request: "Request") -> None:
        hits = decoded(request.url, request.post_data_buffer or b"")
        if hits:
            self._sent[request] = sent = SentRequest(hits, self.has_agreed)
            self.page.requests.append(sent)
            route.continue_(url=harmless(hits[0]), post_data=b"")
        elif self.matomo.is_script(request.url) or not _is_statement(request):
            route.continue_()
        else:
            self.page.unread.append(_without_query(request.url))
            route.fulfill(status=204)

    def _asked(self, request: "Request") -> None:
        if self.matomo.concerns(request.url) and not request.is_navigation_request():
            self._touch()
            self._pending.add(request)
            if self.matomo.is_script(request.url):
                self.page.scripts.append(_without_query(request.url))

    def _answered(self, response: "Response") -> None:
        request = response.request
        if sent := self._sent.get(request):
            sent.status = response.status
            if response.status >= 300:
                sent.said = _excerpt(response)
        elif self.matomo.is_script(request.url) and response.status >= 400:
            self.page.not_loaded[_without_query(request.url)] = f"HTTP {response.status}"

    def _ended(self, request: "Request") -> None:
        if request in self._pending:
            self._touch()
            self._pending.discard(request)

    def _failed(self, request: "Request") -> None:
        self._ended(request)
        failure = request.failure or ""
        if failure in (LEFT, "csp") or not failure:
            return  # the page's policy has its own report
        if sent := self._sent.get(request):
            sent.failure = sent.failure or ("" if sent.status else failure)
        elif self.matomo.is_script(request.url):
            self.page.not_loaded[_without_query(request.url)] = failure

    def _refused(self, _source: dict[str, Any], said: dict[str, str]) -> None:
        self._touch()
        self.page.refusals.append(
            Refusal(said["directive"], said["blocked"], said.get("sample") or "")
        )

    def _touch(self) -> None:
        self.last = time.monotonic()


def _is_statement(request: "Request") -> bool:
    """Whether a request tells its server something, and does not only ask for a file."""
    return request.method != "GET" or "rec=" in urlsplit(request.url).query


def _excerpt(response: "Response") -> str:
    from playwright.sync_api import Error

    if response.headers.get("content-type", "").startswith("image/"):
        return ""
    try:
        return " ".join(response.text().split())[:EXCERPT]
    except Error:  # an answer to a beacon is for nobody to read
        return ""


def _without_query(address: str) -> str:
    return address.partition("#")[0].partition("?")[0]
