"""Who refuses old TLS, and who is not even reached."""

import socket

import pytest

from matomo_harness.gate.core.check import CannotTellError
from matomo_harness.gate.core.target import Http
from matomo_harness.gate.promises.transport.checks import old_tls_is_refused


def test_a_server_that_is_not_reached_refuses_no_old_tls() -> None:
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(CannotTellError, match="no connection to "):
            old_tls_is_refused(Http(url))
