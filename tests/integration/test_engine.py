"""Nothing that a command in a container says is lost."""

import contextlib
import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import docker
import pytest
from docker.errors import APIError
from docker.models.containers import Container
from docker.transport import UnixHTTPAdapter

from matomo_harness.errors import UnsupportedEnvironmentError
from matomo_harness.runtime.containers import WebContainer, network
from matomo_harness.runtime.engine import connect, engine, execute, execute_stream
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.shell import MatomoShell

STARTS_A_COMMAND: Final = b"/start HTTP"
"""Ends the first line of the request that starts a command in a container (Engine API)."""


@pytest.fixture(scope="module")
def container(any_image: Image) -> Iterator[Container]:
    with network() as own_network, WebContainer(any_image.reference, own_network, {}) as running:
        yield running.get_wrapped_container()


def test_a_command_returns_both_streams_and_its_exit_code(container: Container) -> None:
    done = execute(container, ["sh", "-c", "echo of; echo it >&2; echo all; exit 7"])
    assert (done.code, done.out, done.err) == (7, "of\nall\n", "it\n")


def test_a_command_runs_as_the_given_user(container: Container) -> None:
    assert execute(container, ["whoami"], user="www-data").out == "www-data\n"


def test_a_long_output_is_complete_to_its_last_byte(container: Container) -> None:
    done = execute(container, ["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo end"])
    assert (len(done.out), done.out[-5:]) == (3_000_004, "xend\n")


def test_a_stream_is_complete_and_comes_while_the_command_runs(container: Container) -> None:
    script = "head -c 300000 /dev/zero | tr '\\0' x; while [ ! -e /tmp/seen ]; do sleep 0.05; done"
    parts = execute_stream(container, ["sh", "-c", f"{script}; echo to stderr >&2; echo end"])
    first = next(parts)
    execute(container, ["touch", "/tmp/seen"])
    assert first + b"".join(parts) == b"x" * 300_000 + b"end\n"


def test_a_stream_of_a_command_that_fails_is_an_error(container: Container) -> None:
    parts = execute_stream(container, ["sh", "-c", "echo half; exit 3"])
    assert next(parts) == b"half\n"
    with pytest.raises(UnsupportedEnvironmentError, match="exit 3"):
        next(parts)


@pytest.mark.parametrize(
    "text",
    ["", "no line end", "a point.", "\nlines\n\n\n", "'\"$(id)`\\ %s\n", "Prüfung €\n" * 20_000],
    ids=["nothing", "no line end", "a point", "lines", "a shell's signs", "long"],
)
def test_a_text_is_written_as_it_is(container: Container, text: str) -> None:
    shell = MatomoShell(container)
    shell.write("tmp/text", "of before, and longer")
    shell.write("tmp/text", text)
    assert shell.read("tmp/text") == text


def test_a_missing_container_is_an_error_of_the_engine(container: Container) -> None:
    missing = Container(attrs={"Id": "0" * 64}, client=container.client)
    with pytest.raises(APIError, match="No such container"):
        execute(missing, ["true"])


def test_no_output_is_lost_where_it_comes_with_the_head(
    container: Container, tmp_path: Path
) -> None:
    with late(tmp_path / "engine.sock") as client:
        same = client.containers.get(str(container.id))
        assert execute(same, ["echo", "all of it"]).out == "all of it\n"
        assert b"".join(execute_stream(same, ["echo", "all of it"])) == b"all of it\n"
        # This shows that docker-py's own way, through the bare socket, does lose it.
        assert same.exec_run(["echo", "all of it"]).output != b"all of it\n"


@contextmanager
def late(path: Path) -> Iterator[docker.DockerClient]:
    """Yield a client of the real engine that gets all of a command's output at once, at its end."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        threading.Thread(target=_serve, args=[listening], daemon=True).start()
        client = connect(f"unix://{path}")
        yield client
        client.close()
        listening.shutdown(socket.SHUT_RDWR)


def _serve(listening: socket.socket) -> None:
    while True:
        try:
            client, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_relay, args=[client], daemon=True).start()


def _relay(client: socket.socket) -> None:
    address = cast(UnixHTTPAdapter, engine().api.get_adapter("http+docker://")).socket_path
    hung_up = contextlib.suppress(OSError)
    with hung_up, client, socket.socket(socket.AF_UNIX) as real:
        real.connect(address)
        is_held, output = False, b""
        while True:
            for source in select.select([client, real], [], [])[0]:
                part = os.read(source.fileno(), 65536)
                if not part:  # the engine closes the connection of a command that has ended
                    client.sendall(output)
                    return
                if source is client:
                    is_held = is_held or STARTS_A_COMMAND in part
                    real.sendall(part)
                elif is_held:
                    output += part
                else:
                    client.sendall(part)
