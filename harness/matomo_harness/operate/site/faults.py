"""Judges what pages have sent: each fault by its name, where it was seen, and what mends it."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from matomo_harness.gate.core.check import Severity
from matomo_harness.operate.site import values
from matomo_harness.operate.site.hits import Hit, Matomo
from matomo_harness.operate.site.records import PageRecord, Refusal, SentRequest
from matomo_harness.operate.site.values import Trace

GUIDE: Final = "https://developer.matomo.org/guides/tracking-javascript-guide"
REFERENCE: Final = "https://developer.matomo.org/api-reference/tracking-javascript"
CODE: Final = "https://github.com/matomo-org/matomo/blob/5.x-dev/js/piwik.js"
APPLICATIONS: Final = "https://developer.matomo.org/guides/spa-tracking"
API: Final = "https://developer.matomo.org/api-reference/tracking-api"
CONSENT: Final = "https://developer.matomo.org/guides/tracking-consent"
POLICY: Final = "https://matomo.org/faq/general/faq_20904/"

WRONG_SITE: Final = "wrong-site"
OTHER_MATOMO: Final = "other-matomo"
COOKIES: Final = "cookies-before-consent"
REFUSED: Final = "refused-by-policy"
NOT_LOADED: Final = "script-not-loaded"
NOT_ARRIVED: Final = "hit-not-arrived"
NO_HIT: Final = "no-hit"
USER_ID: Final = "user-id"
WHOLE_ADDRESS: Final = "whole-address"
MATOMO_TOKEN: Final = "token-of-matomo"  # noqa: S105  a kind of finding
UNREAD: Final = "unread-request"

SEVERITIES: Final = MappingProxyType(
    {
        values.MAIL: Severity.CRITICAL,
        values.TOKEN: Severity.CRITICAL,
        values.FORBIDDEN: Severity.CRITICAL,
        MATOMO_TOKEN: Severity.CRITICAL,
        values.NAME: Severity.HIGH,
        USER_ID: Severity.HIGH,
        WHOLE_ADDRESS: Severity.HIGH,
        values.ADDRESS: Severity.HIGH,
        WRONG_SITE: Severity.HIGH,
        OTHER_MATOMO: Severity.HIGH,
        COOKIES: Severity.MEDIUM,
        REFUSED: Severity.MEDIUM,
        NOT_LOADED: Severity.MEDIUM,
        NOT_ARRIVED: Severity.MEDIUM,
        NO_HIT: Severity.MEDIUM,
        UNREAD: Severity.MEDIUM,
    }
)
"""Every fault by its name, and what it costs."""

_WORDS: Final = MappingProxyType(
    {
        values.MAIL: "a mail address",
        values.TOKEN: "a token",
        values.NAME: "what names a person",
        values.ADDRESS: "a whole network address",
        values.FORBIDDEN: "a value that must be nowhere",
    }
)
_TECHNICAL: Final = re.compile(
    r"_id(?:n|ts|vc)?|_viewts|_refts|_ects|apiv|ca|cdt|cid|cookie|cs|e_v|gt_ms|h|idgoal|idsite|lang"
    r"|m|new_visit|pf_\w+|ping|pv_id|r|rand|rec|res|revenue|s|send_image|token_auth|ua|uadata"
)
"""Parameters that say nothing about a person in words: numbers, times, what a browser is."""
_COOKIE: Final = re.compile(
    r"(?:^_pk_|(?:id|ses|ref|cvar|hsr)\.[^.]+\.[0-9a-f]{4}$|^MATOMO_SESSID$)"
)
"""Those of matomo.js, whatever their prefix, and Matomo's session; none that remembers a choice."""


@dataclass(frozen=True)
class Fault:
    """A fault, as it was found.

    Args:
        name: of its kind.
        severity: what it costs.
        where: the parameter and its part, the directive, or what else the place is.
        seen: in words, without what was found.
        remedy: the line that mends it.
        source: where Matomo's documentation says so.
        pages: addresses of the pages that have it, without values.
    """

    name: str
    severity: Severity
    where: str
    seen: str
    remedy: str
    source: str
    pages: tuple[str, ...]


@dataclass(frozen=True)
class Expectation:
    """What is expected of all pages.

    Args:
        matomo: whose requests they are.
        site: the idsite; 0 where any will do.
        forbidden: values that must be nowhere in what is sent.
    """

    matomo: Matomo
    site: int = 0
    forbidden: tuple[str, ...] = ()


def found_in(pages: Iterable[PageRecord], expected: Expectation) -> tuple[Fault, ...]:
    """Return what is wrong with the pages, the worst first, once for all pages that have it."""
    found: dict[tuple[str, str, str], Fault] = {}
    for page in pages:
        for fault in _of_page(page, expected):
            key = (fault.name, fault.where, fault.seen)
            before = found.get(key)
            if before is None:
                found[key] = fault
            else:
                together = dict.fromkeys((*before.pages, *fault.pages))
                found[key] = replace(before, pages=tuple(together))
    return tuple(sorted(found.values(), key=lambda fault: (-fault.severity, fault.name)))


def _of_page(page: PageRecord, expected: Expectation) -> Iterator[Fault]:
    shown = values.shown_address(page.address, expected.forbidden)

    def fault(name: str, where: str, seen: str, remedy: str, source: str) -> Fault:
        return Fault(name, SEVERITIES[name], where, seen, remedy, source, (shown,))

    for said in (
        *_what_hits_say(page.hits, expected),
        *_where_hits_go(page.hits, expected),
        *_whether_they_arrive(page, expected),
        *_cookies(page),
    ):
        yield fault(*said)


_Said = tuple[str, str, str, str, str]
"""A fault's name, where, seen, remedy and source."""


# -- what hits say --------------------------------------------------------------------------------


def _what_hits_say(hits: Iterable[Hit], expected: Expectation) -> Iterator[_Said]:
    for hit in hits:
        for parameter, value in hit.parameters.items():
            is_referrer_again = parameter == "_ref" and value == hit.parameters.get("urlref")
            if _TECHNICAL.fullmatch(parameter) or is_referrer_again or not value:
                continue
            found = values.traces(value, expected.forbidden)
            if parameter == "cip":
                found = ()
            for trace in found:
                where = f"{parameter} ({trace.part})" if trace.part else parameter
                seen = f"{_WORDS[trace.kind]}: {trace.shown}"
                remedy, source = remedy_of(parameter, trace)
                yield trace.kind, where, seen, remedy, source
            if parameter == "uid" and values.MAIL not in {trace.kind for trace in found}:
                remedy, source = remedy_of(parameter, None)
                yield USER_ID, parameter, "a user id: (redacted)", remedy, source
        if values.is_whole(hit.parameters.get("cip", "")):
            yield (
                *(WHOLE_ADDRESS, "cip", "the whole network address of a visitor: (redacted)"),
                "take cip out: Matomo sees the address itself, and masks it before it is stored",
                API,
            )
        if hit.parameters.get("token_auth"):
            yield (
                *(MATOMO_TOKEN, "token_auth", "an API token of Matomo, for everybody to read"),
                "take token_auth out of the page, and delete the token in Personal, Security",
                API,
            )


_PLACES: Final[Sequence[tuple[str, str, str]]] = (
    (r"action_name", "_paq.push(['setDocumentTitle', 'Account']);  // before trackPageView", GUIDE),
    (
        r"e_[can]",
        "_paq.push(['trackEvent', 'Form', 'Sent']);  // what happened, and not who or whose",
        GUIDE,
    ),
    (
        r"search(?:_cat)?",
        "_paq.push(['trackSiteSearch', keyword.replace(/\\S+(@|%40)\\S+/g, ''), false, false]);"
        "  // instead of trackPageView",
        GUIDE,
    ),
    (
        r"uid",
        "take setUserId out, and _paq.push(['resetUserId']);  // before trackPageView",
        REFERENCE,
    ),
    (
        r"dimension\d+",
        "_paq.push(['deleteCustomDimension', {number}]);  // before trackPageView",
        REFERENCE,
    ),
    (
        r"_?cvar|e_cvar",
        "_paq.push(['deleteCustomVariables', 'page']);  // before trackPageView; or 'visit'",
        APPLICATIONS,
    ),
    (
        r"c_[npti]",
        "set data-content-name, data-content-piece and data-content-target: no text is taken then",
        "https://developer.matomo.org/guides/content-tracking",
    ),
    (
        r"link|download",
        "<a class=\"no-tracking\"> with _paq.push(['setIgnoreClasses', 'no-tracking']);",
        REFERENCE,
    ),
    (
        r"ec_\w+|_pk[cpsn]",
        "give addEcommerceItem and trackEcommerceOrder numbers and products only",
        REFERENCE,
    ),
)


def remedy_of(parameter: str, trace: Trace | None) -> tuple[str, str]:
    """Return the line that takes something out of a parameter, and where it is documented."""
    if parameter in ("url", "urlref", "_ref"):
        return _remedy_of_address(parameter, trace)
    for pattern, remedy, source in _PLACES:
        if re.fullmatch(pattern, parameter):
            return remedy.replace("{number}", parameter.removeprefix("dimension")), source
    return f"take {parameter} out of setCustomRequestProcessing or appendToTrackingUrl", REFERENCE


def _remedy_of_address(parameter: str, trace: Trace | None) -> tuple[str, str]:
    if trace and trace.part.startswith("query") and trace.name:
        # It is taken out of the referrer as well, and out of links (matomo.js: purify).
        name = values.masked(trace.name)
        return (
            f"_paq.push(['setExcludedQueryParams', ['{name}']]);  // before trackPageView; and the"
            " same name in the site's Excluded parameters",
            CODE,
        )
    if parameter != "url":
        return (
            "_paq.push(['setReferrerUrl', '']);  // before trackPageView; or on the page before:"
            " Referrer-Policy: strict-origin",
            GUIDE,
        )
    if trace and trace.part.startswith("fragment"):
        return "_paq.push(['discardHashTag', true]);  // before trackPageView", REFERENCE
    return (
        "_paq.push(['setCustomUrl', location.origin + '/account']);  // before trackPageView: an"
        " address without it",
        GUIDE,
    )


# -- where they go, and whether they arrive -------------------------------------------------------


def _where_hits_go(hits: Iterable[Hit], expected: Expectation) -> Iterator[_Said]:
    for hit in hits:
        if expected.matomo.url and not expected.matomo.is_named(hit.tracker):
            yield (
                *(OTHER_MATOMO, hit.tracker, f"hits go to {hit.tracker}, too"),
                f"take the code of {urlsplit(hit.tracker).netloc} out, or say --matomo of that one",
                GUIDE,
            )
        elif expected.site and hit.site != str(expected.site):
            yield (
                *(
                    WRONG_SITE,
                    "idsite",
                    f"site {values.masked(hit.site)} instead of {expected.site}",
                ),
                f"_paq.push(['setSiteId', '{expected.site}']);",
                GUIDE,
            )


def _whether_they_arrive(page: PageRecord, expected: Expectation) -> Iterator[_Said]:
    causes = [
        *_refused(page, expected.matomo),
        *_not_loaded(page),
        *(said for request in page.requests for said in _not_arrived(request)),
        *(_untrusted(origin) for origin in page.untrusted),
    ]
    yield from causes
    for address in page.unread:
        yield (
            *(UNREAD, address, f"something was sent to {address} that reads as no hit"),
            "see in the browser's developer tools what it is; it was not judged",
            API,
        )
    if not (causes or page.hits or page.unread):
        code = "its scripts were loaded" if page.scripts else "nothing of a Matomo is on the page"
        yield (
            *(NO_HIT, "page", f"no hit left the page; {code}"),
            "_paq.push(['trackPageView']); in the tracking code; where consent is asked for first,"
            " --click SELECTOR of the button",
            GUIDE,
        )


def _refused(page: PageRecord, matomo: Matomo) -> Iterator[_Said]:
    for refusal in page.refusals:
        if refusal.blocked == "inline":
            if page.has_inline_code and refusal.directive.startswith("script-src"):
                seen = f"{refusal.directive} refuses the tracking code, which is in the page itself"
                remedy = 'the code in a file of its own: <script src="/tracking.js"></script>'
                yield REFUSED, refusal.directive, seen, remedy, POLICY
        elif address := _of_matomo(refusal, matomo):
            split = urlsplit(address)
            origin = f"{split.scheme}://{split.netloc}"
            remedy = (
                f"Content-Security-Policy: script-src 'self' {origin}; connect-src 'self' {origin};"
                f" img-src 'self' {origin}"
            )
            seen = f"{refusal.directive} refuses {address.partition('?')[0]}"
            yield REFUSED, refusal.directive, seen, remedy, POLICY


def _of_matomo(refusal: Refusal, matomo: Matomo) -> str:
    """Return the address that was refused, where it is of Matomo."""
    # Trusted Types report `trusted-types-sink`, and the address in the sample.
    addresses = (refusal.blocked, refusal.sample.rpartition("|")[2])
    return next((address for address in addresses if matomo.concerns(address)), "")


def _not_loaded(page: PageRecord) -> Iterator[_Said]:
    for address, reason in page.not_loaded.items():
        yield (
            *(NOT_LOADED, address, f"{address} was not loaded: {reason}"),
            f"open {address} in a browser: the tracking code needs its right address, by https",
            GUIDE,
        )


def _not_arrived(request: SentRequest) -> Iterator[_Said]:
    tracker = request.hits[0].tracker
    if request.failure:
        seen = f"no answer from {tracker}: {request.failure}"
        remedy = (
            f"_paq.push(['setTrackerUrl', …]) must name an address that answers: open {tracker}"
        )
    elif request.status and not 200 <= request.status < 300:
        said = f", '{values.masked(request.said)}'" if request.said else ""
        seen = f"{tracker} answered HTTP {request.status}{said}"
        remedy = (
            f"is there a site {values.masked(request.hits[0].site)}, and does {tracker} take hits?"
        )
    else:
        return
    yield NOT_ARRIVED, tracker, seen, remedy, API


def _untrusted(origin: str) -> _Said:
    return (
        *(NOT_ARRIVED, origin, f"the certificate of {origin} is not trusted"),
        "a certificate that visitors' browsers trust; of your own authority: --authority FILE",
        GUIDE,
    )


# -- cookies --------------------------------------------------------------------------------------


def is_cookie_of_matomo(name: str) -> bool:
    """Whether a cookie is one by which Matomo knows a visitor again."""
    return bool(_COOKIE.search(name))


def _cookies(page: PageRecord) -> Iterator[_Said]:
    if page.cookies:
        kinds = sorted({name.partition(".")[0] for name in page.cookies})
        yield (
            *(COOKIES, "cookies", f"cookies before anybody agreed: {', '.join(kinds)}"),
            "_paq.push(['requireCookieConsent']); or _paq.push(['disableCookies']);"
            "  // before trackPageView",
            CONSENT,
        )
