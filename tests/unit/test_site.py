"""What a hit says, what in it names a person, and what a report shows; no browser is needed."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests

from matomo_harness.errors import BrokenPromiseError, UnsupportedEnvironmentError
from matomo_harness.gate.probes import chromium
from matomo_harness.operate import site
from matomo_harness.operate.site import faults, values
from matomo_harness.operate.site.faults import Expectation
from matomo_harness.operate.site.hits import Matomo, decoded, harmless
from matomo_harness.operate.site.records import PageRecord, Refusal, SentRequest
from matomo_harness.operate.site.walk import Way, _untrusted_origins, _Visitor
from matomo_harness.operate.site.watch import Watch

TRACKER = "https://matomo.example/matomo.php"
MAIL = "jane.doe@people.example"


# -- decoding -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "body"),
    [
        (f"{TRACKER}?idsite=2&rec=1&action_name=A%20page", b""),
        (f"{TRACKER}?idsite=2&rec=1&action_name=A+page", b""),
        (TRACKER, b"idsite=2&rec=1&action_name=A%20page"),
        (f"{TRACKER}?idsite=2", b"rec=1&action_name=A+page"),
        (TRACKER, b'{"requests":["?idsite=2&rec=1&action_name=A%20page"]}'),
        (TRACKER, b'{"requests":["idsite=2&rec=1&action_name=A%20page"]}'),
        (TRACKER, b' {"requests":[{"idsite":2,"rec":1,"action_name":"A page"}]}'),
    ],
    ids=["image", "beacon", "form", "both", "bulk", "bulk without ?", "bulk of objects"],
)
def test_a_hit_is_read_however_it_is_sent(address: str, body: bytes) -> None:
    (hit,) = decoded(address, body)
    assert (hit.tracker, hit.site) == (TRACKER, "2")
    assert hit.parameters["action_name"] == "A page"


def test_each_hit_of_a_bulk_request_has_its_token() -> None:
    requests = [f"?idsite=2&rec=1&c_n={number}" for number in range(3)]
    body = json.dumps({"requests": requests, "token_auth": "t" * 32}).encode()
    hits = decoded(TRACKER, body)
    assert [hit.parameters["c_n"] for hit in hits] == ["0", "1", "2"]
    assert {hit.parameters["token_auth"] for hit in hits} == {"t" * 32}


@pytest.mark.parametrize(
    ("address", "body"),
    [
        (TRACKER, b""),
        (f"{TRACKER}?action=opt-out", b""),
        (TRACKER, b"{not json"),
        (TRACKER, b'{"requests":"none"}'),
        (TRACKER, b"[]"),
        (TRACKER, b'--boundary\r\nContent-Disposition: form-data; name="idsite"\r\n\r\n1\r\n'),
        (TRACKER, bytes(range(256))),
    ],
)
def test_what_is_no_hit_is_none(address: str, body: bytes) -> None:
    assert decoded(address, body) == ()


def test_the_heartbeat_in_its_place_says_nothing_of_the_page() -> None:
    (hit,) = decoded(f"{TRACKER}?idsite=2&rec=1&url={MAIL}&uid=jdoe&send_image=0", b"")
    expected = f"{TRACKER}?idsite=2&rec=1&ping=1&new_visit=1&send_image=0"
    assert harmless(hit) == expected


@pytest.mark.parametrize(
    ("address", "is_tracker", "is_script"),
    [
        (f"{TRACKER}?rec=1", True, False),
        ("https://one.example/stats/piwik.php", True, False),
        ("https://one.example/js/?idsite=1&rec=1", True, False),
        ("https://one.example/js/", True, True),
        ("https://one.example/matomo.js", False, True),
        ("https://one.example/js/container_Ab3dEf9h.js", False, True),
        ("https://one.example/js/container_Ab3dEf9h_preview.js?x=1", False, True),
        ("https://one.example/js/app.js", False, False),
        ("https://one.example/automatomo.php5", False, False),
    ],
)
def test_matomo_is_recognised_by_its_files(address: str, is_tracker: bool, is_script: bool) -> None:
    assert Matomo().may_be_tracker(address) is is_tracker
    assert Matomo().is_script(address) is is_script


def test_a_named_matomo_may_call_its_tracker_what_it_likes() -> None:
    named = Matomo("https://www.example/stats/")
    assert named.may_be_tracker("https://www.example/stats/count?rec=1")
    assert not named.may_be_tracker("https://www.example/statistics?rec=1")
    assert not named.is_named("https://www.example.org/stats/")
    assert Matomo("https://WWW.example:443/stats").is_named("https://www.example/stats/count?rec=1")
    assert not named.is_named("https://www.example:port/stats/")


@pytest.mark.parametrize(
    "end", ["", "/", "/index.php", "/index.php?module=CoreHome&idSite=2#?category=a", "/matomo.php"]
)
def test_a_matomo_is_named_as_its_address_is_copied(end: str) -> None:
    named = Matomo(f"https://matomo.example/stats{end}")
    assert named.is_named("https://matomo.example/stats/matomo.php?idsite=1&rec=1")
    assert not named.is_named("https://matomo.example/matomo.php?idsite=1&rec=1")


# -- what names a person --------------------------------------------------------------------------

HEX = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("value", "kind", "part"),
    [
        (f"Account of {MAIL}", values.MAIL, ""),
        (f"https://a.example/?to={MAIL}", values.MAIL, "query: to"),
        (
            "https://a.example/?next=%2Fa%3Fto%3Djane%25252540people.example",
            values.MAIL,
            "query: next",
        ),
        (f"https://a.example/people/{MAIL}/loans", values.MAIL, "path"),
        (f"https://{MAIL}/", values.MAIL, "host"),
        (f"https://a.example/#{MAIL}", values.MAIL, "fragment"),
        (f"https://a.example/#/search?by={MAIL}", values.MAIL, "fragment: by"),
        (f"https://a.example/#/user/{MAIL}?tab=1", values.MAIL, "fragment"),
        ("https://a.example/#/reset-password/AbCdEf0123456789xyz", values.TOKEN, "fragment"),
        (f"/relative?to={MAIL}", values.MAIL, "query: to"),
        (f"https://a.example/?{MAIL}", values.MAIL, "query: j…@people.example"),
        ("https://a.example/?access_token=abcd", values.TOKEN, "query: access_token"),
        ("https://a.example/?user%5Bpassword%5D=abcd", values.TOKEN, "query: user[password]"),
        ("https://a.example/?ticket=ST-1-abcd", values.TOKEN, "query: ticket"),
        (f"https://a.example/?x={HEX}", values.TOKEN, "query: x"),
        ("https://a.example/?code=4f0AbCdEfGh1JkLmN0", values.TOKEN, "query: code"),
        (f"eyJhbGciOiJI.eyJzdWIiOiIx.{HEX}", values.TOKEN, ""),
        ("https://a.example/?lastname=Doe", values.NAME, "query: lastname"),
        ("https://a.example/?login=10", values.NAME, "query: login"),
        ("https://a.example/?user_id=1", values.NAME, "query: user_id"),
        ("https://a.example/?name=Jane+Doe", values.NAME, "query: name"),
        ("https://a.example/?ip=198.51.100.7", values.ADDRESS, "query: ip"),
        ("2001:db8:1:2:3:4:5:6", values.ADDRESS, ""),
    ],
)
def test_what_names_a_person_or_opens_something_is_found(value: str, kind: str, part: str) -> None:
    assert [(trace.kind, trace.part) for trace in values.traces(value)] == [(kind, part)]


@pytest.mark.parametrize(
    "value",
    [
        "Library",
        "At 10:45:30, version 5.3.1",
        "https://a.example/record/0123456789abcdef0123456789abcdef",
        "https://a.example/?q=quark&code=HIST101&key=title&page=2",
        "https://a.example/?name=quarks&sort=author&authors=Doe",
        "https://a.example/@handle/post",
        "https://a.example/?token=&session=true",
        "https://a.example/?mobile=1&login=success&phone=no",
        "https://198.51.100.7/page",
        "https://a.example/?from=198.51.0.0",
        "https://a.example/login/account-settings-of-a-library",
        "https://a.example/?utm_campaign=autumn&gclid=",
        "https://[broken/",
    ],
)
def test_what_is_harmless_is_not_found(value: str) -> None:
    assert values.traces(value) == ()


@pytest.mark.parametrize(
    "value", ["Account of jane doe", "SmFuZSBEb2U=", "Jane%2520Doe", "4a616e6520446f65"]
)
def test_a_forbidden_value_is_found_in_other_forms(value: str) -> None:
    (trace,) = values.traces(value, ("Jane Doe",))
    assert trace.kind == values.FORBIDDEN


@pytest.mark.parametrize(
    "where",
    ["host.{}.example/", "a.example/?{}", "a.example/?{}=1", "a.example/#/{}?tab=1"],
)
def test_a_forbidden_value_is_found_in_every_part_of_an_address(where: str) -> None:
    value = "janedoe4711"
    found = values.traces(f"https://{where.format(value)}", (value,))
    assert {trace.kind for trace in found} == {values.FORBIDDEN}
    assert value not in str(found[0].part + found[0].shown)


@pytest.mark.parametrize(
    ("address", "is_whole"),
    [
        ("198.51.100.7", True),
        ("198.51.100.0", True),
        ("198.51.0.0", False),
        ("2001:db8:1:2:3:4:5:6", True),
        ("2001:db8:1::", False),
        ("", False),
        ("none", False),
    ],
)
def test_an_address_is_whole_where_matomo_would_mask_more(address: str, is_whole: bool) -> None:
    assert values.is_whole(address) is is_whole


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (
            f"https://a.example/{MAIL}?to={MAIL}&page=2",
            "https://a.example/j…@people.example?to=(redacted)&page=(redacted)",
        ),
        (
            "https://a.example/a;jsessionid=1?name=Jane%20Doe%26x&Jane#Jane",
            "https://a.example/a;jsessionid=(redacted)?name=(redacted)&(redacted)#(redacted)",
        ),
        ("https://a.example/#/loans?of=Jane", "https://a.example/#/loans"),
        ("https://jane:S3cret@a.example:8000/", "https://(redacted)@a.example:8000/"),
        ("https://a.example/reset/1a2b3c4d5e6f7g8h9", "https://a.example/reset/(redacted)"),
    ],
)
def test_an_address_is_shown_without_values(address: str, shown: str) -> None:
    assert values.shown_address(address) == shown


# -- judging --------------------------------------------------------------------------------------


def page_with(**parameters: str) -> PageRecord:
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    hits = decoded(f"{TRACKER}?idsite=2&rec=1&{query}", b"")
    return PageRecord("https://a.example/", [SentRequest(hits, status=204)])


def test_the_same_fault_of_two_pages_is_one() -> None:
    pages = [page_with(action_name=MAIL), page_with(action_name=MAIL)]
    pages[1].address = "https://a.example/two"
    (fault,) = faults.found_in(pages, Expectation(Matomo()))
    assert fault.pages == ("https://a.example/", "https://a.example/two")


def test_the_worst_fault_comes_first() -> None:
    found = faults.found_in([page_with(uid="jdoe", e_n=MAIL)], Expectation(Matomo(), site=3))
    assert [fault.name for fault in found] == ["mail-address", "user-id", "wrong-site"]


def test_a_user_id_that_is_a_mail_address_is_one_fault() -> None:
    found = faults.found_in([page_with(uid=MAIL)], Expectation(Matomo()))
    assert [(fault.name, fault.where) for fault in found] == [("mail-address", "uid")]


def test_numbers_and_times_of_a_hit_are_no_faults() -> None:
    page = page_with(
        _id="0123456789abcdef", cid="0" * 16, uadata="10.0.0.1", pf_net="1", r="2" * 32
    )
    assert faults.found_in([page], Expectation(Matomo())) == ()


@pytest.mark.parametrize(
    ("name", "is_of_matomo"),
    [
        ("_pk_id.1.1fff", True),
        ("_pk_ses.2.a0b1", True),
        ("libid.3.0a1b", True),
        ("MATOMO_SESSID", True),
        ("mtm_consent", False),
        ("mtm_consent_removed", False),
        ("PHPSESSID", False),
        ("video.1.0", False),
    ],
)
def test_the_cookies_of_matomo_are_known_by_their_form(name: str, is_of_matomo: bool) -> None:
    assert faults.is_cookie_of_matomo(name) is is_of_matomo


def test_a_remedy_is_the_line_for_the_parameter() -> None:
    for parameter, line in {
        "url": "setCustomUrl",
        "urlref": "setReferrerUrl",
        "action_name": "setDocumentTitle",
        "e_c": "trackEvent",
        "search": "trackSiteSearch",
        "uid": "resetUserId",
        "dimension7": "'deleteCustomDimension', 7",
        "_cvar": "deleteCustomVariables",
        "c_p": "data-content-piece",
        "download": "setIgnoreClasses",
        "ec_items": "addEcommerceItem",
        "other": "appendToTrackingUrl",
    }.items():
        assert line in faults.remedy_of(parameter, None)[0]


def test_what_is_allowed_is_listed_and_does_not_count() -> None:
    pages = [page_with(action_name=MAIL)]
    said = site.judged(pages, site.Choices(allowed=("mail-address",)))
    site.require_clean(said)
    assert said["verdict"]["sentence"] == "Clean: 1 page, 1 hit. 1 fault allowed."
    with pytest.raises(BrokenPromiseError, match="mail-address"):
        site.require_clean(site.judged(pages, site.Choices()))
    assert MAIL not in json.dumps(said, ensure_ascii=False)


@pytest.mark.parametrize(
    ("refusal", "is_fault"),
    [
        (Refusal("connect-src", f"{TRACKER}?idsite=2&url=secret"), True),
        (Refusal("require-trusted-types-for", "trusted-types-sink", f"Script src|{TRACKER}"), True),
        (Refusal("script-src-elem", "inline"), True),
        (Refusal("style-src-elem", "inline"), False),
        (Refusal("img-src", "https://www.example/logo.png"), False),
        (Refusal("script-src", "eval"), False),
    ],
)
def test_a_refusal_counts_where_it_is_of_matomo(refusal: Refusal, is_fault: bool) -> None:
    page = page_with(action_name="A")
    page.refusals, page.has_inline_code = [refusal], True
    found = faults.found_in([page], Expectation(Matomo()))
    assert [fault.name for fault in found] == ["refused-by-policy"] * is_fault
    assert "secret" not in str(found)


# -- waiting --------------------------------------------------------------------------------------


class SlowPage:
    """A page with a clock of its own, which sends a hit two seconds after it was opened or clicked.

    Args:
        watching: what reads the hit.
        by_click: whether a click is what it waits for.
    """

    url = "https://a.example/"

    def __init__(self, watching: Watch, *, by_click: bool) -> None:
        self.now = 100.0
        self._watching, self._by_click = watching, by_click
        self._due = 0.0 if by_click else self.now + 2
        self.first = self

    def wait_for_timeout(self, milliseconds: int) -> None:
        """Have the time pass, and the hit sent that is due."""
        self.now += milliseconds / 1000
        if self._due and self.now >= self._due:
            hits = page_with(e_n=MAIL).hits
            sent = SentRequest(hits, self._watching.has_agreed, 204)
            self._watching.page.requests.append(sent)
            self._watching.last = self.now
            self._due = 0.0

    def locator(self, _selector: str) -> "SlowPage":
        """Return what is clicked."""
        return self

    def click(self, **_options: object) -> None:
        """Agree."""
        self._due = self.now + 2 if self._by_click else self._due

    def evaluate(self, _script: str) -> None:
        """Find nothing."""

    def on(self, *_event: object) -> None:
        """Hear nothing."""


@pytest.mark.parametrize(
    ("before", "click", "by_click", "seen"),
    [
        (PageRecord("https://a.example/"), "", False, [False]),
        (PageRecord("https://a.example/"), "#accept", False, [False]),
        (PageRecord("https://a.example/"), "#accept", True, [True]),
        (page_with(action_name="A"), "#accept", True, [False, True]),
    ],
    ids=["no click", "not by the click", "by the click", "before the click as well"],
)
@pytest.mark.parametrize("refusals", [(), (Refusal("font-src", "https://a.example/a.woff2"),)])
def test_a_late_hit_is_seen_whatever_came_before_it(
    monkeypatch: pytest.MonkeyPatch,
    before: PageRecord,
    click: str,
    by_click: bool,
    seen: list[bool],
    refusals: tuple[Refusal, ...],
) -> None:
    record = replace(before, requests=[*before.requests], refusals=[*refusals])
    watching = Watch(Matomo(), record)
    page = SlowPage(watching, by_click=by_click)
    monkeypatch.setattr(time, "monotonic", lambda: page.now)
    watching.last = page.now - 9  # while the page was loading, nothing was heard of Matomo
    context = cast(Any, SimpleNamespace(new_page=lambda: page, cookies=list))
    _Visitor(context, watching, Way(Matomo(), click=click))._record(is_first=True)
    assert [request.by_click for request in record.requests] == seen


# -- machines without a browser -------------------------------------------------------------------


def test_without_playwright_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    with pytest.raises(UnsupportedEnvironmentError, match=r"pip install .*\[browser\]"):
        site.site(("http://localhost:6/",), site.Choices(), None)


def test_without_a_browser_the_command_says_what_to_prepare(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(chromium, "system_chromium", lambda: None)
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    # In another thread: pytest-playwright may run a browser's loop in this one.
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(UnsupportedEnvironmentError, match="matomo-harness prepare --browser"),
    ):
        pool.submit(site.site, ("http://localhost:6/",), site.Choices(), None).result()


@pytest.mark.parametrize(
    ("by_the_machine", "untrusted"), [(True, []), (False, ["https://m.example"])]
)
def test_a_matomo_whose_certificate_the_machine_trusts_needs_no_other_authority(
    monkeypatch: pytest.MonkeyPatch, by_the_machine: bool, untrusted: list[str]
) -> None:
    def head(_url: str, *, verify: object, **_more: object) -> None:
        if verify is not True or not by_the_machine:
            raise requests.exceptions.SSLError

    monkeypatch.setattr(requests, "head", head)
    page = cast(Any, SimpleNamespace(scripts=["https://m.example/matomo.js"], hits=[]))
    assert list(_untrusted_origins(page, Path("authority.pem"))) == untrusted
