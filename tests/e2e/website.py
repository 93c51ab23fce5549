"""A library's website on this machine, with the tracking code that a Matomo hands out."""

import html
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from matomo_harness.runtime.instance import Instance

PAGE: Final = """<!doctype html>
<html lang="en">
<head><title>{title}</title>{head}</head>
<body>
<h1>{title}</h1>
<a href="/record/1">A record</a>
<a href="/search?q=quark">Search</a>
<a href="/paper.pdf" download>The paper</a>
<a href="{elsewhere}" target="_blank">Elsewhere</a>
<button id="renew">Renew</button>
<button id="shelf">Shelf</button>
<div id="matomo-opt-out"></div>{end}
</body>
</html>
"""
BEHAVIOUR: Final = """
addEventListener('DOMContentLoaded', () => {
  document.getElementById('renew').onclick =
    () => _paq.push(['trackEvent', 'Loan', 'Renew', 'book']);
  // A single-page application's navigation, as Matomo's guide for them has it.
  document.getElementById('shelf').onclick = () => {
    history.pushState({}, '', '/shelf');
    _paq.push(['setReferrerUrl', location.origin + '/']);
    _paq.push(['setCustomUrl', location.href]);
    _paq.push(['setDocumentTitle', 'Shelf']);
    _paq.push(['trackPageView']);
  };
});
"""


@dataclass(frozen=True)
class Website:
    """A running website.

    Args:
        url: without a slash at its end.
        elsewhere: address of another website, which its pages link to.
        site: its idsite.
    """

    url: str
    elsewhere: str
    site: int


@contextmanager
def website(
    instance: Instance,
    *,
    before: str = "",
    end: str = "",
    headers: Mapping[str, str] = MappingProxyType({}),
    **options: str | int,
) -> Iterator[Website]:
    """Serve a website on this machine, and make it a site of `instance`.

    Args:
        instance: whose tracking code is on every page, in a file of its own.
        before: JavaScript before the tracking code.
        end: HTML at every page's end.
        headers: headers of every answer.
        options: arguments of SitesManager.getJavascriptTag.
    """
    files: dict[str, tuple[str, str]] = {}
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(files, headers)) as server:
        port = server.server_port
        made = Website(f"http://localhost:{port}", f"http://127.0.0.1:{port}/elsewhere", 0)
        site = instance.api.add_site("Library", made.url, "UTC", since="2026-01-01")
        tag = instance.api.call("SitesManager.getJavascriptTag", idSite=site, **options)["value"]
        files["/tracking.js"] = ("text/javascript", before + script_of(tag) + BEHAVIOUR)
        files["/paper.pdf"] = ("application/pdf", "%PDF-1.4")
        files["/favicon.ico"] = ("image/x-icon", "")
        for path, title in {
            "/": "Library",
            "/record/1": "A record",
            "/search": "Search",
            "/elsewhere": "Elsewhere",
        }.items():
            # Another website is on another host, and not ours to track.
            head = "" if path == "/elsewhere" else '<script src="/tracking.js"></script>'
            page = PAGE.format(title=title, head=head, elsewhere=made.elsewhere, end=end)
            files[path] = ("text/html; charset=utf-8", page)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Website(made.url, made.elsewhere, site)
        finally:
            server.shutdown()


def script_of(tag: str) -> str:
    """Return what is between the script elements of Matomo's tracking code."""
    found = re.search(r"<script[^>]*>(.*?)</script>", html.unescape(tag), re.DOTALL)
    assert found, tag
    return found[1]


def _handler(
    files: Mapping[str, tuple[str, str]], headers: Mapping[str, str]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, content = files[urlsplit(self.path).path]
            self.send_response(200)
            for name, value in {**headers, "Content-Type": kind}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Say nothing."""

    return Handler
