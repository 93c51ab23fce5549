"""An engine that the harness does not work with is refused by its name, whatever the command."""

import json
import os
import shutil
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final

import pytest

from matomo_harness.errors import ExitCode
from tests.checkout import Answer, Checkout
from tests.unit.test_engine_choice import PODMAN, contexts

QUICK: Final = (("doctor",), ("up",))
OTHERS: Final = (
    ("prepare",),
    ("images",),
    ("dist", "any:name"),
    ("down",),
    ("clean",),
    ("clean", "--all"),
    ("console", "core:version"),
    ("logs",),
    ("archive",),
    ("token",),
    ("totp",),
    ("fault", "cut", "matomo"),
    ("gate",),
    ("mutants", "--only", "masking"),
    ("bench",),
)


@contextmanager
def answering(version: dict[str, Any]) -> Iterator[str]:
    """Yield the address of an engine that says `version` of itself and has nothing else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(version if self.path.endswith("/version") else {}).encode()
            self.send_response(200 if self.path.endswith("/version") else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return "a client"  # one of a Unix socket has no address

        def log_message(self, *_: object) -> None:
            return

    with tempfile.TemporaryDirectory(prefix="engine-") as directory:
        path = f"{directory}/engine.sock"
        with socketserver.ThreadingUnixStreamServer(path, Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"unix://{path}"
            server.shutdown()


def refuses(answer: Answer, *arguments: str) -> None:
    assert answer.code == ExitCode.UNSUPPORTED_ENVIRONMENT, answer.text
    assert "Traceback" not in answer.text
    named = ("Podman",) if "doctor" in arguments else ("expected", "seen: Podman Engine", "next:")
    for part in named:
        assert part in answer.text, answer.text


@pytest.mark.parametrize("arguments", QUICK, ids=" ".join)
def test_podman_is_refused_by_name(arguments: tuple[str, ...], checkout: Checkout) -> None:
    with answering(PODMAN) as address:
        refuses(checkout.harness(*arguments, DOCKER_HOST=address), *arguments)


@pytest.mark.nightly(reason="a program for each command")
@pytest.mark.slow(reason="every command, each a program")
def test_podman_is_refused_by_name_by_every_command(checkout: Checkout) -> None:
    with answering(PODMAN) as address:
        for arguments in OTHERS:
            refuses(checkout.harness(*arguments, DOCKER_HOST=address), *arguments)


def test_the_engine_of_the_docker_context_is_the_one_that_is_used(checkout: Checkout) -> None:
    with answering(PODMAN) as address:
        directory = contexts(checkout.root, "other", other=address)["DOCKER_CONFIG"]
        answer = checkout.harness(
            "images", DOCKER_HOST="", DOCKER_CONTEXT="", DOCKER_CONFIG=directory
        )
    answer.refuses(
        ExitCode.UNSUPPORTED_ENVIRONMENT, "Podman", "context other", "docker context use default"
    )


def test_an_engine_on_another_machine_is_refused(checkout: Checkout) -> None:
    answer = checkout.harness("up", DOCKER_HOST="tcp://192.0.2.7:2375")
    answer.refuses(ExitCode.UNSUPPORTED_ENVIRONMENT, "tcp://192.0.2.7:2375", "unset DOCKER_HOST")


@pytest.fixture
def podman(tmp_path: Path) -> Iterator[str]:
    """Yield the address of a real Podman, in a network namespace of its own."""
    if os.geteuid() != 0 or not shutil.which("podman") or not shutil.which("unshare"):
        pytest.skip("a Podman of one's own needs root, podman and unshare")
    run = Path(tempfile.mkdtemp(prefix="engine-"))
    address = f"unix://{run}/engine.sock"
    command = ["setpriv", "--pdeathsig", "TERM", "unshare", "--net", "podman"]
    command += ["--root", str(tmp_path / "root"), "--runroot", str(run / "run")]
    command += ["--storage-driver", "vfs", "system", "service", "--time=0", address]
    with (run / "log").open("wb") as log:
        program = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(100):
            if (run / "engine.sock").exists() or program.poll() is not None:
                break
            threading.Event().wait(0.1)
        yield address
    finally:
        program.terminate()
        program.wait(timeout=20)
        shutil.rmtree(run, ignore_errors=True)


@pytest.mark.nightly(reason="needs Podman on this machine")
def test_a_real_podman_is_refused_by_name(podman: str, checkout: Checkout) -> None:
    for arguments in (*QUICK, ("dist", "any:name"), ("gate",), ("clean",)):
        refuses(checkout.harness(*arguments, DOCKER_HOST=podman), *arguments)
