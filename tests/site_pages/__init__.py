"""Websites on this machine whose pages send to a Matomo what they should, or should not.

A page is a file of `clean/` or `faults/`. Comments at its beginning are headers of its answer:

    <!-- Content-Security-Policy: default-src 'self' -->

In pages and headers MATOMO stands for the address of the Matomo, SITE for the site's number, CLOSED
for an address where nobody listens.
"""

import re
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

PAGES: Final = Path(__file__).parent
HEADER: Final = re.compile(r"<!-- ([A-Z][\w-]+): (.+) -->\n")
TRACKING: Final = """
var _paq = window._paq = window._paq || [];
_paq.push(['disableCookies']);
_paq.push(['trackPageView']);
_paq.push(['enableLinkTracking']);
_paq.push(['setTrackerUrl', 'MATOMO/matomo.php']);
if (!window.otherSite) _paq.push(['setSiteId', 'SITE']);
(() => {
  const script = document.createElement('script');
  script.async = true;
  script.src = 'MATOMO/matomo.js';
  document.head.append(script);
})();
"""
"""Matomo's own tracking code, in a file, without cookies."""
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".pdf": "application/pdf",
}
CLOSED: Final = "http://127.0.0.1:6"
"""A port that belongs to no service, and that browsers do not refuse."""
ANSWERS: Final = {
    "/broken/matomo.php": 500,
    "/other/matomo.php": 204,
    "/moved/matomo.php": 301,
}
"""Trackers that are none of a Matomo's."""


@contextmanager
def served(
    matomo: str,
    number: int,
    tls: ssl.SSLContext | None = None,
    more: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[str]:
    """Serve the pages; yield their address, without a slash at its end.

    Args:
        matomo: address of the Matomo, without a slash at its end.
        number: the site's, in Matomo.
        tls: with the certificate, where the pages are served by https.
        more: texts of further files, or of others, by their paths.
    """
    words = {"MATOMO": matomo, "SITE": str(number), "CLOSED": CLOSED}
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(words, more)) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"{'https' if tls else 'http'}://localhost:{server.server_port}"
        finally:
            server.shutdown()


def filled_in(text: str, words: Mapping[str, str]) -> str:
    """Return a text with a value for each of its words."""
    for word, value in words.items():
        text = re.sub(rf"\b{word}\b", value, text)
    return text


def _handler(words: Mapping[str, str], more: Mapping[str, str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path in ANSWERS:
                self._answer(ANSWERS[path], "image/gif", "")
            elif path in more:
                kind = TYPES.get(Path(path).suffix, TYPES[".html"])
                self._answer(200, kind, more[path], dict(HEADER.findall(more[path])))
            elif path == "/tracking.js":
                self._answer(200, TYPES[".js"], filled_in(TRACKING, words))
            elif path == "/paper.pdf":
                self._answer(200, TYPES[".pdf"], "%PDF-1.4")
            else:
                self._file(path)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer(ANSWERS.get(urlsplit(self.path).path, 404), "image/gif", "")

        def _file(self, path: str) -> None:
            # What follows a page's name is an address of the page itself.
            name = re.sub(r"(\.html).*", r"\1", path.removeprefix("/")) or "clean/plain.html"
            file = PAGES / name
            # Of a single-page application the server has one page.
            is_within = path.startswith("/clean/single-page.html/")
            if is_within or file.suffix not in TYPES or not file.is_file():
                self._answer(404, TYPES[".html"], "<title>Not found</title>")
                return
            text = filled_in(file.read_text(), words)
            self._answer(200, TYPES[file.suffix], text, dict(HEADER.findall(text)))

        def _answer(
            self, status: int, kind: str, text: str, headers: dict[str, str] | None = None
        ) -> None:
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Type": kind}.items():
                self.send_header(name, value)
            if status == 301:
                self.send_header("Location", "/other/matomo.php")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Say nothing."""

    return Handler
