"""What a request says to Matomo's tracker: the parameters of each hit in it.

The names are those of Matomo's Tracking HTTP API, https://developer.matomo.org/api-reference/tracking-api.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

TRACKER: Final = re.compile(r"/(?:matomo|piwik)\.php$")
"""The path that hits are sent to."""
EITHER: Final = re.compile(r"/js/(?:index\.php|tracker\.php)?$")
"""With parameters it is the tracker, without them it answers with matomo.js."""
ENTRANCE: Final = re.compile(r"/(?:index|matomo|piwik)\.php$")
"""What a Matomo's address ends with where people copy it from the browser or from a page."""
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
SCRIPT: Final = re.compile(r"/(?:matomo|piwik)(?:\.min)?\.js$|/js/container_\w+\.js$")
"""The path of matomo.js, and of a container of the Tag Manager, which brings matomo.js with it."""


@dataclass(frozen=True)
class Hit:
    """One hit, as the page sends it.

    Args:
        tracker: the address it goes to, without a query.
        parameters: of the Tracking HTTP API, decoded.
    """

    tracker: str
    parameters: Mapping[str, str] = field(repr=False)

    @property
    def site(self) -> str:
        """The idsite; empty where there is none."""
        return self.parameters.get("idsite", "")


@dataclass(frozen=True)
class Matomo:
    """How requests to Matomo are recognised.

    Args:
        url: of the Matomo whose requests they are, with whatever names its files have; empty for
            any that has the names of Matomo's own files.
    """

    url: str = ""

    def is_named(self, address: str) -> bool:
        """Whether `address` is below the Matomo that was named."""
        return bool(self.url) and _place(address).startswith(_place(self.url))

    def may_be_tracker(self, address: str) -> bool:
        """Whether hits may go to `address`."""
        path = urlsplit(address).path
        return bool(self.is_named(address) or TRACKER.search(path) or EITHER.search(path))

    def is_script(self, address: str) -> bool:
        """Whether `address` is one of Matomo's scripts."""
        path = urlsplit(address).path
        return bool(SCRIPT.search(path) or (EITHER.search(path) and not urlsplit(address).query))

    def concerns(self, address: str) -> bool:
        """Whether `address` is of a Matomo at all."""
        return self.may_be_tracker(address) or self.is_script(address)


def _place(address: str) -> str:
    """Return scheme, host and path, as any spelling of the address has them; `/` where it has none.

    An address of which no host can be read is no place.
    """
    split = urlsplit(address)
    try:
        port = split.port
    except ValueError:
        return "/"
    folder = ENTRANCE.sub("", split.path).rstrip("/")
    if port in (None, DEFAULT_PORTS.get(split.scheme)):
        return f"{split.scheme}://{split.hostname}{folder}/"
    return f"{split.scheme}://{split.hostname}:{port}{folder}/"


def decoded(address: str, body: bytes) -> tuple[Hit, ...]:
    """Return the hits in a request; none where it is something else, or cannot be read.

    Args:
        address: of the request, with its query.
        body: what a POST has sent: a form, or the JSON of a bulk request.
    """
    tracker = address.partition("#")[0].partition("?")[0]
    query = _pairs(urlsplit(address).query)
    text = body.decode(errors="replace").strip()
    sent = list(_of_bulk(text)) if text.startswith("{") else [_pairs(text)]
    return tuple(
        Hit(tracker, parameters)
        for each in sent
        if {"idsite", "rec"} <= (parameters := {**query, **each}).keys()
    )


def harmless(hit: Hit) -> str:
    """Return the address to which a hit's request goes instead, of which Matomo stores nothing.

    It is a heartbeat (`ping`) of a visit that is not there (`new_visit`): Matomo judges its site
    and answers as it would answer the hit, and aborts (Heartbeat's PingRequestProcessor).
    """
    asked = {"idsite": hit.site, "rec": "1", "ping": "1", "new_visit": "1"}
    asked["send_image"] = hit.parameters.get("send_image", "1")
    return f"{hit.tracker}?{urlencode(asked)}"


def _of_bulk(text: str) -> Iterator[dict[str, str]]:
    try:
        document = json.loads(text)
    except ValueError:
        return
    more = {"token_auth": str(document["token_auth"])} if document.get("token_auth") else {}
    for request in document.get("requests") or ():
        if isinstance(request, str):
            yield {**more, **_pairs(request.lstrip("?"))}
        elif isinstance(request, dict):
            yield {**more, **{str(name): _text(value) for name, value in request.items()}}


def _pairs(text: str) -> dict[str, str]:
    return dict(parse_qsl(text, keep_blank_values=True))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
