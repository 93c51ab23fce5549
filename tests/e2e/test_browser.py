"""The browser itself: what else happens on this machine does not disturb a page."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from playwright.sync_api import Page

from matomo_harness.runtime.containers import network

REQUESTS = 60


class SlowHandler(BaseHTTPRequestHandler):
    """Takes its time, so that most of a page's requests wait for a connection."""

    def do_GET(self) -> None:
        """Answer with nothing."""
        time.sleep(0.3)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), SlowHandler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://localhost:{running.server_port}/"
        running.shutdown()


@contextmanager
def networks_that_come_and_go() -> Iterator[None]:
    ended = threading.Event()

    def churn() -> None:
        while not ended.is_set():
            with network():
                pass

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_containers_that_start_meanwhile_break_no_page(page: Page) -> None:
    with server() as url:
        page.goto(url)
        with networks_that_come_and_go():
            failed = page.evaluate(
                """count => Promise.allSettled(
                        [...Array(count).keys()].map(number => fetch(`/${number}`)))
                    .then(all => all.filter(result => result.status !== "fulfilled").length)""",
                REQUESTS,
            )
    assert failed == 0
