"""Who refuses old TLS, and who is not even reached; whose cookies are judged."""

import socket
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from matomo_harness.gate.core.check import CannotTellError
from matomo_harness.gate.core.target import Http
from matomo_harness.gate.promises.transport.checks import (
    cookies_are_not_for_scripts,
    cookies_are_secure,
    old_tls_is_refused,
)


def test_a_server_that_is_not_reached_refuses_no_old_tls() -> None:
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(CannotTellError, match="no connection to "):
            old_tls_is_refused(Http(url))


@pytest.mark.parametrize(
    ("name", "is_judged"),
    [
        ("AWSALB", False),
        ("AWSALBCORS", False),
        ("BIGipServerpool_matomo", False),
        ("__cf_bm", False),
        ("MATOMO_SESSID", True),
        ("of_a_plugin", True),
    ],
)
def test_a_cookie_of_a_proxy_is_no_cookie_of_matomos(name: str, is_judged: bool) -> None:
    session = requests.Session()
    session.cookies.set(
        "MATOMO_SESSID2", "x", secure=True, rest={"HttpOnly": None, "SameSite": "Lax"}
    )
    session.cookies.set(name, "x")
    web = SimpleNamespace(get=lambda _: None, session=session)
    http: Any = SimpleNamespace(web=web, url="https://analytics.example")
    for check in (cookies_are_secure, cookies_are_not_for_scripts):
        assert check(http).passed is not is_judged
        assert (name in check(http).seen) is is_judged
