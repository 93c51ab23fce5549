"""The gate on a running container, which is only looked at."""

import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from docker.errors import APIError, NotFound
from docker.models.containers import Container

from matomo_harness.errors import HarnessError, WrongInputError
from matomo_harness.gate.core.target import PATIENCE, Http
from matomo_harness.gate.probes.php import Php
from matomo_harness.matomo import inside
from matomo_harness.matomo.inside import ReadOnlyContainer
from matomo_harness.matomo.read_only import PORT, Address, ReadOnlyDatabase
from matomo_harness.matomo.web import Web
from matomo_harness.runtime.certificates import speaks_tls
from matomo_harness.runtime.engine import engine, execute
from matomo_harness.runtime.inspection import networks

WEB_PORTS: Final = ("80/tcp", "8080/tcp", "8000/tcp")
"""The usual ports of a web server in a container, the likeliest first."""
REACHED_SECONDS: Final = 3.0


def entered(name: str) -> tuple[Container, ReadOnlyContainer]:
    """Return the running container `name`, and the Matomo in it.

    Raises:
        WrongInputError: there is no such container, it does not run, or it holds no Matomo.
    """
    try:
        container = engine().containers.get(name)
    except (NotFound, APIError) as error:
        running = ", ".join(
            str(one.name) for one in engine().containers.list(ignore_removed=True)[:8]
        )
        raise _wrong(
            f"a running container {name}", f"none of that name; running: {running or 'none'}"
        ) from error
    if container.status != "running":
        raise _wrong(f"the container {name} to run", container.status)

    def shell(script: str, seconds: float) -> tuple[str, str]:
        done = execute(container, ["sh", "-c", script], "root", seconds=seconds)
        return done.out, f"exit {done.code}: {done.err.strip()[-200:]}"

    return container, inside.entered(shell, name)


def address(container: Container, matomo: ReadOnlyContainer) -> str:
    """Return the address by which the web server in `container` is reached from here.

    Raises:
        WrongInputError: it neither publishes a port nor is on a network that is reached from here;
            or Matomo does not take the host in such an address for its own.
    """
    ports: Mapping[str, Any] = container.attrs["NetworkSettings"]["Ports"] or {}
    known = sorted(ports, key=lambda port: (_rank(port), port))
    published = [
        (host, int(found["HostPort"]))
        for port in known
        for found in ports[port] or ()
        for host in (_of_this_machine(found["HostIp"]), "localhost")
    ]
    own = [
        (address, int(port.partition("/")[0]))
        for address in _addresses(container)
        for port in dict.fromkeys((*known, *WEB_PORTS))
    ]
    by_tls = {way: _answers_by_tls(*way) for way in (*published, *own)}
    reached = [way for way, is_tls in by_tls.items() if is_tls is False]
    expected, command = f"an address of the container {container.name}", "make gate CONTAINER="
    if not reached and True in by_tls.values():
        raise _wrong(
            f"{expected} that answers in clear text",
            "a web server that ends TLS itself",
            f"{command}{container.name} URL=https://… AUTHORITY=certificate.pem",
        )
    if not reached:
        raise _wrong(
            expected,
            f"no published port, and nothing at {', '.join(known or WEB_PORTS)} of its networks",
            f"{command}{container.name} URL=http://…",
        )
    host, port = _own_host(matomo, reached)
    return _without_a_proxy(container, f"http://{host}:{port}")


def _own_host(matomo: ReadOnlyContainer, ways: Sequence[tuple[str, int]]) -> tuple[str, int]:
    """Return the way by which Matomo is called as it knows itself.

    To the first superuser's request Matomo saves the request's host as trusted_hosts[] where it has
    none (seen with 5.3.1), and it moves its own address, the option piwikUrl, to any host that it
    does not distrust. To a host that it distrusts it shows a warning in place of the login form.

    Raises:
        WrongInputError: there is no such way.
    """
    host, port = ways[0]
    try:
        general = Php(matomo, Http(f"http://{host}:{port}")).settings.get("General", {})
    except HarnessError:  # where it does not start, it saves nothing
        return host, port
    trusted = [str(name) for name in general.get("trusted_hosts") or ()]
    if not trusted or str(general.get("enable_trusted_host_check")) == "0":
        raise _wrong(
            "a Matomo that knows its host names (trusted_hosts[] in [General])",
            f"one that takes any, and would take {host}:{port} for its own",
            f"make gate CONTAINER={matomo.name} URL=https://…, as people call it",
        )
    for host, port in ways:
        if {f"{host}:{port}", host} & {*trusted}:
            return host, port
    raise _wrong(
        "an address of the container by which Matomo knows itself (trusted_hosts[] in [General])",
        f"{', '.join(trusted[:3])}; the container is reached by {host}:{port}",
        f"make gate CONTAINER={matomo.name} URL=https://{trusted[0]}",
    )


def _without_a_proxy(container: Container, url: str) -> str:
    """Return `url`, unless Matomo sends it on to https, which somebody else ends.

    Raises:
        WrongInputError: it does.
    """
    try:
        answer = Web(url, time_limit=PATIENCE).ask("index.php")
    except HarnessError:  # which the gate will see
        return url
    leads_to = answer.headers.get("Location", "")
    if answer.is_redirect and leads_to.startswith("https:"):
        raise _wrong(
            f"a Matomo at {url}, the address of the container {container.name}",
            f"it sends everybody on to {leads_to}, so a proxy before it ends TLS",
            f"make gate CONTAINER={container.name} URL=https://…, the proxy's address",
        )
    return url


def _rank(port: str) -> int:
    return WEB_PORTS.index(port) if port in WEB_PORTS else len(WEB_PORTS)


def _of_this_machine(host: str) -> str:
    return "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104  as the engine says it


def _addresses(container: Container) -> list[str]:
    if container.attrs["HostConfig"]["NetworkMode"] == "host":
        return ["127.0.0.1"]
    joined = networks(container).values()
    return [str(network["IPAddress"]) for network in joined if network.get("IPAddress")]


def _is_reached(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=REACHED_SECONDS):
        return True
    return False


def _answers_by_tls(host: str, port: int) -> bool | None:
    """Return whether an address answers by TLS; None where nothing answers there."""
    with suppress(OSError):
        return speaks_tls(host, port, seconds=REACHED_SECONDS)
    return None


# -- its database ---------------------------------------------------------------------------------


def database(
    container: Container, matomo: ReadOnlyContainer, url: str
) -> tuple[Address | None, str]:
    """Return the database that Matomo is configured with where it is reached from here.

    Args:
        container: the one that Matomo runs in.
        matomo: the same from inside.
        url: Matomo's address.

    Returns:
        the database, or None; and why there is none.
    """
    try:
        # What config.ini.php and the environment say together, as Matomo itself reads it.
        settings = Php(matomo, Http(url)).settings.get("database", {})
    except HarnessError as error:
        return None, f"Matomo's settings cannot be read: {error.seen}"
    host, port = str(settings.get("host", "")), _number(settings.get("port"))
    for reached_host, reached_port in _ways(container, host, port):
        if _is_reached(reached_host, reached_port):
            found = ReadOnlyDatabase(
                host=reached_host,
                port=reached_port,
                user=str(settings.get("username", "")),
                password=str(settings.get("password", "")),
                name=str(settings.get("dbname", "")),
                tls=_tls(matomo, settings),
            )
            return Address(found, str(settings.get("tables_prefix", ""))), ""
    return None, f"{host}:{port} is not reached from here"


def _number(port: object) -> int:
    text = str(port or "")
    return int(text) if text.isdecimal() and text != "0" else PORT


def _neighbours(container: Container) -> Iterator[Container]:
    """Yield what is in the networks of a container; what ends meanwhile is passed over.

    A network of Swarm has more in it than containers.
    """
    for network in networks(container):
        with suppress(NotFound):
            for identity in engine().networks.get(network).attrs.get("Containers") or {}:
                with suppress(NotFound):
                    yield engine().containers.get(identity)


def _ways(container: Container, host: str, port: int) -> Iterator[tuple[str, int]]:
    """Yield the addresses by which what the container calls `host` may be reached from here."""
    if host in ("localhost", "127.0.0.1", "::1"):
        for own in _addresses(container):
            yield own, port
        return
    is_here = False
    for neighbour in _neighbours(container):
        for network in networks(neighbour).values():
            names = {*(network.get("Aliases") or ()), *(network.get("DNSNames") or ())}
            if host not in (names | {neighbour.name, network.get("IPAddress")}):
                continue
            is_here = True
            ports = neighbour.attrs["NetworkSettings"]["Ports"] or {}
            for published in ports.get(f"{port}/tcp") or ():
                yield _of_this_machine(published["HostIp"]), int(published["HostPort"])
            if network.get("IPAddress"):
                yield network["IPAddress"], port
    if not is_here:
        yield host, port


def _tls(matomo: ReadOnlyContainer, settings: Mapping[str, Any]) -> ssl.SSLContext | None:
    if str(settings.get("enable_ssl", "0")) != "1":
        return None
    authority = str(settings.get("ssl_ca") or "")
    context = ssl.create_default_context(cadata=matomo.read(authority) if authority else None)
    # The engine names the address, and the certificate another one: the name in the network.
    context.check_hostname = False
    if not authority:
        context.verify_mode = ssl.CERT_NONE
    return context


def _wrong(expected: str, seen: str, next_command: str = "docker ps -a") -> WrongInputError:
    return WrongInputError(expected=expected, seen=seen, next_command=next_command)
