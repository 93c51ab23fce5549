"""What pages send to a real Matomo: each fault is named, and what is right stays green."""

import json
import re
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import trustme

from matomo_harness.errors import ExitCode, WrongInputError
from matomo_harness.matomo import traffic
from matomo_harness.operate import site as operation
from matomo_harness.operate.site import report
from matomo_harness.operate.site.faults import SEVERITIES
from matomo_harness.operate.site.hits import Hit, harmless
from matomo_harness.pytest_plugin import SharedServers
from matomo_harness.runtime.instance import Instance
from tests.checkout import Checkout
from tests.site_pages import CLOSED, PAGES, filled_in, served

MAIL: Final = "jane.doe@people.example"
FAULTS: Final[dict[str, set[tuple[str, str]]]] = {
    "mail-in-address.html?email=jane.doe@people.example": {("mail-address", "url (query: email)")},
    "mail-in-path.html": {("mail-address", "url (path)")},
    "mail-encoded-twice.html?next=%2Faccount%3Fof%3Djane.doe%2540people.example": {
        ("mail-address", "url (query: next)")
    },
    "mail-in-title.html": {("mail-address", "action_name")},
    "mail-in-event.html": {("mail-address", "e_n")},
    "mail-in-search.html": {("mail-address", "search")},
    "mail-in-dimension.html": {("mail-address", "dimension3")},
    "mail-in-variable.html": {("mail-address", "cvar")},
    "mail-in-content.html": {("mail-address", "c_p")},
    "mail-in-order.html": {("mail-address", "ec_items")},
    "mail-in-post.html": {("mail-address", "action_name")},
    "mail-in-image.html": {("mail-address", "action_name")},
    "token-in-address.html?reset_password_token=bq2k7x4f0c1d9e8b7a6f": {
        ("token", "url (query: reset_password_token)")
    },
    "token-in-path.html": {("token", "url (path)")},
    "token-in-fragment.html#access_token=bq2k7x4f0c1d9e8b7a6f&state=1": {
        ("token", "url (fragment: access_token)")
    },
    "session-in-path.html": {("token", "url (path: jsessionid)")},
    "name-in-address.html?first_name=Jane": {("person-name", "url (query: first_name)")},
    "name-in-title.html": {("forbidden-value", "action_name")},
    "user-id.html": {("user-id", "uid")},
    "whole-address.html": {("whole-address", "cip")},
    "network-address.html?from=198.51.100.7": {("network-address", "url (query: from)")},
    "token-of-matomo.html": {("token-of-matomo", "token_auth")},
    "wrong-site.html": {("wrong-site", "idsite")},
    "unknown-site.html": {("wrong-site", "idsite"), ("hit-not-arrived", "MATOMO/matomo.php")},
    "cookies.html": {("cookies-before-consent", "cookies")},
    "policy-refuses-code.html": {("refused-by-policy", "script-src-elem")},
    "policy-refuses-script.html": {("refused-by-policy", "script-src-elem")},
    "policy-refuses-hits.html": {("refused-by-policy", "connect-src")},
    "script-not-found.html": {("script-not-loaded", "HERE/piwik.js")},
    "script-out-of-reach.html": {("script-not-loaded", f"{CLOSED}/matomo.js")},
    "tracker-broken.html": {("hit-not-arrived", "HERE/broken/matomo.php")},
    "tracker-out-of-reach.html": {("hit-not-arrived", f"{CLOSED}/matomo.php")},
    "tracker-moved.html": {("hit-not-arrived", "HERE/moved/matomo.php")},
    "no-page-view.html": {("no-hit", "page")},
    "no-matomo.html": {("no-hit", "page")},
    "unread.html": {("unread-request", "HERE/other/matomo.php")},
    "two-faults.html": {("mail-address", "action_name"), ("user-id", "uid")},
}
"""What is found on each page of tests/site_pages/faults: the fault, and where it is."""
CLEAN: Final = ("plain", "single-page", "strict-policy", "tag-manager")
"""Kinds of websites that are right as they are; another one asks for consent first."""


@dataclass(frozen=True)
class Website:
    """Pages that a Matomo is on.

    Args:
        url: where they are served, without a slash at its end.
        instance: the Matomo.
        number: the site's, in it.
    """

    url: str
    instance: Instance
    number: int

    def look(self, *paths: str, **choices: Any) -> dict[str, Any]:
        """Go through pages, and return what site.json holds."""
        return self.look_at(*(f"{self.url}/{path}" for path in paths), **choices)

    def look_at(self, *urls: str, **choices: Any) -> dict[str, Any]:
        """Go through pages by their whole addresses."""
        chosen = operation.Choices(**{"site": self.number, "seconds": 3.0, **choices})
        # In another thread: pytest-playwright may run a browser's loop in this one.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(operation.site, urls, chosen, None).result()

    def faults(self, said: dict[str, Any], path: str = "") -> set[tuple[str, str]]:
        """Return the faults of a page: their names, and where they are."""
        words = {self.instance.url: "MATOMO", self.url: "HERE"}
        found = set()
        for fault in said["faults"]:
            where = fault["where"]
            for address, word in words.items():
                where = where.replace(address, word)
            # A page may have another address than it was opened by, below its own.
            if any(page.startswith(f"{self.url}/{path}") for page in fault["pages"]):
                found.add((fault["name"], where))
        return found

    @property
    def stored(self) -> list[dict[str, Any]]:
        """What the Matomo has stored of visits and of refused hits."""
        return self.instance.database.query("SELECT idvisit FROM {prefix}log_visit")


@pytest.fixture(scope="module")
def website(matomo_servers: SharedServers) -> Iterator[Website]:
    servers, instance = matomo_servers.fresh()
    number = instance.api.add_site("Library", "http://localhost", "UTC", since="2026-01-01")
    with served(instance.url, number) as url:
        yield Website(url, instance, number)
    servers.drop(instance)


def certificate_for_localhost(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """Return the file of a new authority, and a server's context that it has signed."""
    directory.mkdir(exist_ok=True)
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    path = directory / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path, context


# -- faults ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def faulty(website: Website) -> dict[str, Any]:
    """All pages with a fault, each opened by a visitor of its own."""
    paths = [f"faults/{path}" for path in FAULTS]
    return website.look(*paths, pages=1, forbidden=("Jane Doe",))


@pytest.mark.slow(reason="the first of them waits for forty pages")
@pytest.mark.parametrize("path", FAULTS, ids=lambda path: path.partition(".")[0])
def test_a_fault_is_named_and_nothing_else(
    website: Website, faulty: dict[str, Any], path: str
) -> None:
    name = path.partition(".html")[0]
    assert website.faults(faulty, f"faults/{name}.html") == FAULTS[path]


@pytest.mark.slow(reason="as above")
def test_every_fault_has_a_page_a_remedy_and_a_source(faulty: dict[str, Any]) -> None:
    named = {fault["name"] for fault in faulty["faults"]}
    assert named == SEVERITIES.keys() - {"other-matomo"}
    for fault in faulty["faults"]:
        assert fault["remedy"], fault
        assert fault["source"].startswith("https://"), fault


@pytest.mark.slow(reason="as above")
def test_no_page_of_them_leaves_a_visit_behind(website: Website, faulty: dict[str, Any]) -> None:
    assert faulty["matomo"]
    assert not website.stored


@pytest.mark.slow(reason="as above")
def test_what_was_found_is_nowhere_in_the_report(faulty: dict[str, Any], tmp_path: Path) -> None:
    report.write(faulty, tmp_path)
    text = "".join(path.read_text() for path in tmp_path.iterdir())
    assert "j…@people.example" in text
    for value in ("jane.doe", "Jane Doe", "Jane", "jdoe", "198.51.100", "bq2k7x", "0F4E3D2C1B"):
        assert value not in text, value


REMEDIED: Final = (
    *("mail-in-address", "mail-in-path", "mail-encoded-twice", "mail-in-title"),
    *("mail-in-dimension", "mail-in-variable", "token-in-path", "token-in-fragment"),
    *("session-in-path", "name-in-address", "network-address", "user-id", "cookies"),
)
"""Pages that one line mends."""


@pytest.mark.slow(reason="a page for each remedy")
@pytest.mark.nightly(reason="a page for each remedy")
def test_the_remedy_mends_the_page(website: Website, faulty: dict[str, Any]) -> None:
    pages, paths = {}, []
    for path in FAULTS:
        name, _, query = path.partition(".html")
        if name in REMEDIED:
            (fault,) = (
                fault
                for fault in faulty["faults"]
                for page in fault["pages"]
                if page.startswith(f"{website.url}/faults/{name}.html")
            )
            (line,) = re.findall(r"_paq\.push\(\[.+?\]\);", fault["remedy"])[:1]
            pages[f"/{name}.html"] = mended((PAGES / f"faults/{name}.html").read_text(), line)
            paths.append(f"{name}.html{query}")
    assert len(paths) == len(REMEDIED)
    words = {"MATOMO": website.instance.url, "SITE": str(website.number)}
    filled = {path: filled_in(text, words) for path, text in pages.items()}
    with served(website.instance.url, website.number, more=filled) as url:
        said = website.look_at(*(f"{url}/{path}" for path in paths), pages=1)
    assert said["verdict"]["clean"], [(fault["name"], fault["pages"]) for fault in said["faults"]]
    assert all(page["arrived"] for page in said["pages"])


def mended(page: str, line: str) -> str:
    """Return a page with a line before its page view is tracked."""
    before = "_paq.push(['trackPageView']);"
    if before in page:
        return page.replace(before, f"{line}\n{before}")
    code = '<script src="/tracking.js">'
    return page.replace(code, f"<script>window._paq = window._paq || []; {line}</script>\n{code}")


def test_a_mail_address_in_the_referrer_is_named_on_the_next_page(website: Website) -> None:
    said = website.look(f"faults/mail-in-referrer.html?email={MAIL}", pages=2)
    assert website.faults(said, "clean/next.html") == {("mail-address", "urlref (query: email)")}
    assert website.faults(said) == website.faults(said, "clean/next.html")
    (fault,) = said["faults"]
    assert "setExcludedQueryParams', ['email']" in fault["remedy"]


def test_hits_to_another_matomo_are_named(website: Website) -> None:
    said = website.look("faults/other-matomo.html", pages=1, matomo=website.instance.url)
    assert website.faults(said) == {("other-matomo", "HERE/other/matomo.php")}


# -- clean websites -------------------------------------------------------------------------------


@pytest.mark.all_versions(reason="matomo.js and its answers are the version's")
@pytest.mark.slow(reason="four websites of up to three pages")
def test_clean_kinds_of_websites_are_green(website: Website) -> None:
    said = website.look(*(f"clean/{kind}.html" for kind in CLEAN))
    assert said["verdict"]["clean"], said["faults"]
    seen = {page["address"].removeprefix(website.url): page for page in said["pages"]}
    assert {
        "/clean/plain.html",
        "/clean/next.html",
        "/clean/single-page.html/record/1",
        "/clean/single-page.html/shelf",
        "/clean/strict-policy.html/next",
        "/clean/tag-manager.html",
    } <= seen.keys()
    assert all(page["hits"] == page["arrived"] > 0 for page in seen.values())
    (search,) = (page for address, page in seen.items() if "search" in address)
    # A heartbeat comes after a second, and the page may be gone before.
    kinds = set(search["kinds"]) - {"heartbeat"}
    assert kinds == {"content", "event", "page view", "site search"}
    assert not website.stored


def test_where_consent_comes_first_hits_are_counted_after_the_click(website: Website) -> None:
    said = website.look("clean/consent-first.html", click="#accept", pages=2)
    assert said["verdict"]["clean"], said["faults"]
    assert [page["before_click"] for page in said["pages"]] == [0, 0]
    assert all(page["arrived"] for page in said["pages"])


def test_where_nobody_agrees_there_is_no_hit_and_the_remedy_names_the_click(
    website: Website,
) -> None:
    said = website.look("clean/consent-first.html", pages=1)
    assert website.faults(said) == {("no-hit", "page")}
    assert "--click" in said["faults"][0]["remedy"]


def test_what_a_page_sends_while_it_is_left_reaches_nobody(website: Website) -> None:
    """It would be stored: `bots=1` has Matomo count a browser without a window."""
    said = website.look("clean/search.html", pages=2)
    assert said["verdict"]["clean"], said["faults"]
    assert len(said["pages"]) == 2
    assert not website.stored


def test_a_page_that_leads_on_is_judged_with_the_one_it_leads_to(website: Website) -> None:
    said = website.look("clean/leads-on.html", pages=1)
    assert said["verdict"]["clean"], said["faults"]
    (page,) = said["pages"]
    assert page["address"] == f"{website.url}/clean/next.html"
    assert page["arrived"] == 1


# -- the heartbeat that a hit is turned into ------------------------------------------------------


@pytest.mark.all_versions(reason="that it stores nothing is Matomo's doing")
def test_matomo_judges_a_heartbeat_as_a_hit_and_stores_nothing(fresh_matomo: Instance) -> None:
    """Even of a browser with a window that has a visit already, which stays as it is."""
    web, database = fresh_matomo.web, fresh_matomo.database
    web.session.headers["User-Agent"] = traffic.USER_AGENTS[0]
    assert web.ask("matomo.php?idsite=1&rec=1&action_name=before").ok
    database.query(
        "UPDATE {prefix}log_visit"
        " SET visit_last_action_time = visit_last_action_time - INTERVAL 60 SECOND"
    )
    stored = "SELECT idvisit, visit_last_action_time, visit_total_time FROM {prefix}log_visit"
    before = database.query(stored)
    assert len(before) == 1

    def ask(site: int) -> int:
        hit = Hit(f"{fresh_matomo.url}/matomo.php", {"idsite": str(site), "rec": "1"})
        return web.ask(harmless(hit).removeprefix(f"{fresh_matomo.url}/")).status_code

    assert ask(1) == 200
    assert ask(4711) == 400
    assert database.query(stored) == before


# -- wrong input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("HERE/paper.pdf", ("text/html", "application/pdf")),
        ("HERE/tracking.js", ("text/html", "text/javascript")),
        ("HERE/no/such/page", ("text/html", "HTTP 404")),
        (f"{CLOSED}/", ("ERR_",)),
        ("http://no.such.host.invalid/", ("ERR_NAME_NOT_RESOLVED",)),
        ("www.example.org", ("https://www.example.org/",)),
        ("file:///etc/passwd", ("https://www.example.org/",)),
    ],
    ids=["pdf", "script", "not found", "nobody listens", "no host", "no scheme", "file"],
)
def test_what_is_no_page_is_wrong_input(
    website: Website, address: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(WrongInputError) as refused:
        website.look_at(address.replace("HERE", website.url))
    for word in words:
        assert word in str(refused.value)


def test_a_button_that_is_not_there_is_wrong_input(website: Website) -> None:
    with pytest.raises(WrongInputError, match="#no-such"):
        website.look("clean/next.html", click="#no-such")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--allow", "mail"), "mail-address"),
        (("--never", "J"), "four characters"),
        (("--authority", "no-such.pem"), "no-such.pem"),
        (("localhost/page",), "https://www.example.org/"),
    ],
    ids=["fault", "short value", "authority", "no scheme"],
)
def test_options_that_cannot_be_are_refused_by_the_command(
    checkout: Checkout, options: tuple[str, ...], word: str
) -> None:
    answer = checkout.harness("site", "http://localhost:6/", *options)
    answer.refuses(ExitCode.WRONG_INPUT, word)


@pytest.mark.slow(reason="three browsers, one after the other")
def test_a_certificate_that_is_not_trusted_is_refused_and_an_authority_opens(
    website: Website, checkout: Checkout, tmp_path: Path
) -> None:
    authority, tls = certificate_for_localhost(tmp_path)
    with served(website.instance.url, website.number, tls) as url:
        page = f"{url}/faults/no-matomo.html"
        refused = checkout.harness("site", page)
        refused.refuses(ExitCode.WRONG_INPUT, "ERR_CERT_AUTHORITY_INVALID", "--authority")
        other = certificate_for_localhost(tmp_path / "other")[0]
        refused = checkout.harness("site", page, "--authority", str(other))
        refused.refuses(ExitCode.WRONG_INPUT, "ERR_CERT_AUTHORITY_INVALID")
        opened = checkout.harness("site", page, "--authority", str(authority), "--seconds", "1")
        opened.refuses(ExitCode.BROKEN_PROMISE, "no-hit")


def test_a_matomo_whose_certificate_is_not_trusted_is_named(
    website: Website, tmp_path: Path
) -> None:
    authority, tls = certificate_for_localhost(tmp_path)
    _, foreign = certificate_for_localhost(tmp_path / "foreign")
    with (
        served(website.instance.url, website.number, foreign) as matomo,
        served(matomo, website.number, tls) as url,
    ):
        said = website.look_at(f"{url}/clean/next.html", pages=1, authority=authority)
    (named, _) = said["faults"]
    assert (named["name"], named["where"]) == ("hit-not-arrived", matomo)
    assert "certificate" in named["seen"]


# -- the command ----------------------------------------------------------------------------------


@pytest.mark.slow(reason="two browsers, one after the other")
def test_the_command_ends_with_1_by_name_and_with_0_where_the_fault_is_allowed(
    website: Website, checkout: Checkout
) -> None:
    command = ("site", f"{website.url}/faults/mail-in-title.html", "--pages", "1")
    red = checkout.harness(*command)
    red.refuses(ExitCode.BROKEN_PROMISE, "mail-address", "action_name", "setDocumentTitle")
    assert "j…@people.example" in red.text
    assert "jane.doe" not in red.text
    page = (checkout.root / "reports/site/index.html").read_text()
    assert "mail-address" in page
    assert "jane.doe" not in page

    allowed = checkout.harness(*command, "--allow", "mail-address", "--json")
    assert allowed.code == ExitCode.OK, allowed.text
    document = json.loads((checkout.root / "reports/site/site.json").read_text())
    assert document["verdict"]["clean"]
    assert [fault["allowed"] for fault in document["faults"]] == [True]
