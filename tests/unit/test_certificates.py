"""One process has one authority, whoever asks for it first."""

import contextlib
import os
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from matomo_harness.runtime import certificates


def test_threads_that_ask_at_once_get_the_same_authority() -> None:
    certificates._authority.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        authorities = list(pool.map(lambda _: certificates.authority(), range(8)))
    assert len({id(authority) for authority in authorities}) == 1


def test_the_users_of_containers_may_read_an_authority_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        made = certificates.Authority(tmp_path / "authority.pem")
    finally:
        os.umask(before)
    assert made.file.stat().st_mode & 0o777 == 0o644


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Yield a port of loopback whose every connection is answered by `answer`."""

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(serve)
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def by_tls(connection: socket.socket) -> None:
    certificate = certificates.authority().issue("another.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as pem:
        pem.write(certificate.key + certificate.chain)
        pem.flush()
        context.load_cert_chain(pem.name)
    context.wrap_socket(connection, server_side=True).close()


def in_clear_text(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


def test_a_server_that_ends_tls_is_known_from_one_that_does_not() -> None:
    with listening(by_tls) as port:
        assert certificates.speaks_tls("127.0.0.1", port)
    with listening(in_clear_text) as port:
        assert not certificates.speaks_tls("127.0.0.1", port)


def test_a_port_where_nobody_answers_is_neither() -> None:
    with listening(lambda _: None) as port, pytest.raises(ConnectionError):
        certificates.speaks_tls("127.0.0.1", port)
    with pytest.raises(ConnectionRefusedError):
        certificates.speaks_tls("127.0.0.1", port)
