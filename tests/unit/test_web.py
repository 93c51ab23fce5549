"""A conversation with a web server that answers load balancers alone, or ends TLS itself."""

import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import trustme

from matomo_harness.errors import UnsupportedEnvironmentError
from matomo_harness.matomo.web import Web


class _OnlyByHttps(BaseHTTPRequestHandler):
    """Leads to https whoever no load balancer let in by it, and then once more for a cookie."""

    def do_GET(self) -> None:
        here = f"https://{self.headers['Host']}{self.path}"
        if self.headers.get("X-Forwarded-Proto") != "https":
            self.send_response(301)
            self.send_header("Location", here)
        elif "seen=1" not in self.headers.get("Cookie", ""):
            self.send_response(302)
            self.send_header("Location", here)
            self.send_header("Set-Cookie", "seen=1; Secure; HttpOnly")
        else:
            self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _OnlyByHttps) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


def test_who_comes_by_clear_text_is_led_away(url: str) -> None:
    assert Web(url).ask("matomo.js").status_code == 301


def test_as_a_load_balancer_one_is_let_in_with_secure_cookies(url: str) -> None:
    web = Web(url, forwarded=True)
    assert web.ask("matomo.js").status_code == 302
    answer = web.get(path="matomo.js")
    assert answer.status_code == 200
    assert answer.url == f"{url.replace('http', 'https')}/matomo.js"


@pytest.fixture
def url_by_tls() -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("matomo").configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), _OnlyByHttps) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://localhost:{server.server_port}"
        server.shutdown()


@pytest.mark.filterwarnings("error")
def test_a_servers_own_certificate_is_not_checked_where_that_is_said(url_by_tls: str) -> None:
    assert Web(url_by_tls, self_signed=True).ask("matomo.js").status_code == 301
    with pytest.raises(UnsupportedEnvironmentError, match="not trusted; --authority FILE"):
        Web(url_by_tls).ask("matomo.js")


def test_the_proxy_of_the_environment_leads_elsewhere_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = "http://proxy.example:3128"
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", "inside.example")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert Web("https://www.example/stats").session.proxies["https"] == proxy
    for near in ("localhost:8443", "a.localhost", "127.0.0.1", "172.18.0.4", "inside.example"):
        assert not Web(f"https://{near}/").session.proxies
