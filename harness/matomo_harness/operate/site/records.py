"""What a browser saw of one page: what was sent, what was loaded, and what was refused."""

from dataclasses import dataclass, field

from matomo_harness.operate.site.hits import Hit


@dataclass
class SentRequest:
    """A request with hits.

    Args:
        hits: in it.
        by_click: whether it was sent after the click that gives consent.
        status: of Matomo's answer; 0 where there was none.
        failure: why there was none.
        said: the beginning of an answer that is not a good one.
    """

    hits: tuple[Hit, ...]
    by_click: bool = False
    status: int = 0
    failure: str = ""
    said: str = ""


@dataclass(frozen=True)
class Refusal:
    """Something that the page's Content-Security-Policy refused.

    Args:
        directive: that refused it.
        blocked: its address, or `inline`, `eval` …
        sample: its beginning, where the policy reports one.
    """

    directive: str
    blocked: str
    sample: str = ""


@dataclass
class PageRecord:
    """One page.

    Args:
        address: as the browser has it when the page is left; it may name a person.
        requests: those with hits.
        unread: addresses of trackers that were sent something which is no hit.
        scripts: addresses of Matomo's scripts that were asked for.
        not_loaded: those of them that did not come, with the reason.
        refusals: by the Content-Security-Policy, of all that it refused.
        has_inline_code: whether tracking code is in the page itself.
        cookies: names of Matomo's cookies before anybody agreed to them.
        untrusted: origins of Matomo whose certificate the given authority did not sign.
    """

    address: str
    requests: list[SentRequest] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    not_loaded: dict[str, str] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    has_inline_code: bool = False
    cookies: tuple[str, ...] = ()
    untrusted: tuple[str, ...] = ()

    def has_begun(self, *, by_click: bool) -> bool:
        """Whether there was a first hit, or something that explains why there is none.

        What the page's policy refuses explains nothing: on most pages it is something else.

        Args:
            by_click: whether it is a hit after the click that gives consent.
        """
        has_sent = any(request.by_click == by_click for request in self.requests)
        return bool(has_sent or self.unread or self.not_loaded)

    @property
    def hits(self) -> tuple[Hit, ...]:
        """All hits of the page."""
        return tuple(hit for request in self.requests for hit in request.hits)
