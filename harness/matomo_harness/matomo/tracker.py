"""Send hits, many to a request."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final
from urllib.parse import urlencode

from requests import Response

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.matomo.api import Api

BATCH: Final = 100
"""Hits in one bulk request; more gain nothing (measured: 383 hits/s with one client)."""


@dataclass(frozen=True)
class Hit:
    """One page view.

    Args:
        site: idsite.
        visitor: 16 hex digits.
        address: the visitor's IP address, before any masking.
        user_agent: the User-Agent of the browser.
        at: when, with a time zone.
        url: the page's address.
        title: the page's title.
        more: further parameters of the tracking request: what else is known of the visitor, or what
            makes it something else than a page view.
    """

    site: int
    visitor: str
    address: str
    user_agent: str
    at: datetime
    url: str
    title: str
    more: Mapping[str, str | int] = field(default_factory=dict, hash=False)

    def query(self) -> str:
        """Return the tracking request as a query, without a token."""
        return "?" + urlencode(self.parameters())

    def parameters(self) -> dict[str, str | int]:
        """Return the tracking request (Matomo's Tracking HTTP API) without a token."""
        moment = self.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        return {
            "idsite": self.site,
            "rec": 1,
            "_id": self.visitor,
            "cip": self.address,
            "ua": self.user_agent,
            "cdt": moment,
            "url": self.url,
            "action_name": self.title,
            **self.more,
        }


def is_token_refused_in_bulk(answer: Response) -> bool:
    """Whether Matomo has refused all of a bulk request, whose status says nothing of that.

    Where its hits are stored one by one, it is because of the token: Matomo 5.3 takes one that is
    "secure only" in no bulk request, and counts each hit as a failed login of the sender's.
    """
    said = _json(answer)
    return said.get("tracked") == 0 and bool(said.get("invalid"))


def send(api: Api, hits: Iterable[Hit]) -> int:
    """Send `hits` by the bulk API, in their order, and return how many were stored.

    Where Matomo does not take the token in bulk, they are sent one by one.

    Args:
        api: of a user who may write to the sites: foreign addresses and past times need a token.
        hits: in time order for each visitor, as Matomo joins them to visits as they come.

    Raises:
        BrokenPromiseError: Matomo refused one, which its answer says and its status does not.
    """
    waiting = iter(hits)
    first = next(waiting, None)
    if first is None:
        return 0
    # Alone: Matomo counts a failed login for each hit of a bulk request, and blocks at 20.
    if is_token_refused_in_bulk(_in_bulk(api, [first])):
        every = (first, *waiting)
        for hit in every:
            form = {**hit.parameters(), "token_auth": api.token}
            answer = api.web.post_form("matomo.php", form)
            if not answer.ok:
                raise _not_stored(1, answer)
        return len(every)
    sent = 1
    for batch in _batches(waiting):
        _in_bulk(api, batch, must_be_stored=True)
        sent += len(batch)
    return sent


def _in_bulk(api: Api, batch: list[Hit], *, must_be_stored: bool = False) -> Response:
    document = {"requests": [hit.query() for hit in batch], "token_auth": api.token}
    answer = api.web.post_json("matomo.php", document)
    expected = {"status": "success", "tracked": len(batch), "invalid": 0}
    seen = _json(answer)
    is_stored = {key: seen.get(key) for key in expected} == expected
    if not is_stored and (must_be_stored or not is_token_refused_in_bulk(answer)):
        raise _not_stored(len(batch), answer)
    return answer


def _json(answer: Response) -> dict[str, Any]:
    if not answer.headers.get("Content-Type", "").startswith("application/json"):
        return {}
    said = answer.json()
    return said if isinstance(said, dict) else {}


def _not_stored(count: int, answer: Response) -> BrokenPromiseError:
    return BrokenPromiseError(
        expected=f"{count} hits to be stored",
        seen=f"HTTP {answer.status_code}: {answer.text[:300]}",
        next_command="make logs",
    )


def _batches(hits: Iterable[Hit]) -> Iterator[list[Hit]]:
    iterator = iter(hits)
    while batch := list(islice(iterator, BATCH)):
        yield batch
