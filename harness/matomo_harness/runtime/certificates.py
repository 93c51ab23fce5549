"""Certificates of our own authority: for the load balancer, the database and the mail relay."""

import functools
import os
import socket
import ssl
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from matomo_harness.runtime.reaper import Run, this_process


def speaks_tls(host: str, port: int, *, seconds: float = 10) -> bool:
    """Return whether what listens at an address ends TLS, by whatever certificate.

    Args:
        host: its name or number.
        port: its port.
        seconds: how long each step may take.

    Raises:
        OSError: nothing listens there, or it hangs up at once, as the engine does for a container
            that does not listen yet.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, port), timeout=seconds) as connection:
        try:
            context.wrap_socket(connection, server_hostname=host).close()
        except ssl.SSLEOFError as error:
            raise ConnectionResetError(f"{host}:{port} hangs up") from error
        except ssl.SSLError:  # it answers, and by something else
            return False
    return True


@dataclass(frozen=True)
class Certificate:
    """A server's certificate and its key, as PEM.

    Args:
        chain: the certificate, then the intermediate ones up to the authority.
        key: the private key.
        authority: file of the authority that signed it.
    """

    chain: bytes
    key: bytes = field(repr=False)
    authority: Path


class Authority:
    """Signs the certificates of one stack; clients that trust `certificate` trust them.

    Args:
        file: the file for its own certificate, as PEM, for clients that are to trust it.
    """

    def __init__(self, file: Path) -> None:
        self._authority = trustme.CA(organization_name="matomo-harness")
        self.file = file
        file.write_bytes(self.certificate)
        file.chmod(0o644)  # users of containers, who are others here, read it whatever the umask

    @property
    def certificate(self) -> bytes:
        """Its own certificate, as PEM."""
        return self._authority.cert_pem.bytes()

    def issue(self, *names: str, expired: bool = False) -> Certificate:
        """Issue a certificate.

        Args:
            names: host names and addresses that it is valid for.
            expired: whether it ended yesterday.
        """
        now = datetime.now(UTC)
        end = now - timedelta(days=1) if expired else None
        start = now - timedelta(days=30)
        leaf = self._authority.issue_cert(*names, not_before=start, not_after=end)
        chain = b"".join(part.bytes() for part in leaf.cert_chain_pems)
        return Certificate(chain, leaf.private_key_pem.bytes(), self.file)


@dataclass(frozen=True)
class KnownAuthority:
    """An authority of which we have only the certificate: another process signs.

    Args:
        file: the file with its certificate.
    """

    file: Path

    def issue(self, *_names: str) -> Certificate:
        """Return what we know of a certificate that the other process issued: who signed it."""
        return Certificate(b"", b"", self.file)


_one_at_a_time = threading.Lock()


def authority(run: Run | None = None) -> Authority:
    """Return the authority of this process's test stacks; its file is removed with the run.

    Args:
        run: the run that owns the stacks; this process's own by default.
    """
    # Two threads that ask at once would make two authorities, with only one of them in the file.
    with _one_at_a_time:
        return _authority(run or this_process())


@functools.cache
def _authority(run: Run) -> Authority:
    return Authority(run.file(f"authority-{os.getpid()}.pem"))


@functools.cache
def loopback_tls() -> ssl.SSLContext:
    """Return how the harness itself speaks TLS with a server that it started on this machine.

    It verifies no certificate: in tests, Matomo decides whether one is valid.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
