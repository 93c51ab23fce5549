"""The harness works with another Docker, and refuses any other engine by its name."""

import json
import os
import shutil
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final

import docker
import pytest
from docker.models.containers import Container

from matomo_harness import process
from matomo_harness.errors import ExitCode, UnsupportedEnvironmentError
from matomo_harness.operate.prepare import wait_for_engine
from matomo_harness.operate.prepare_images import SERVICES
from matomo_harness.runtime import faults, images
from matomo_harness.runtime.engine import connect, engine
from matomo_harness.settings import RunSettings
from tests.checkout import Checkout
from tests.programs import Answer
from tests.unit.test_engine_choice import DEBIAN, PODMAN, contexts

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
def answering(version: dict[str, Any], info: dict[str, Any] | None = None) -> Iterator[str]:
    """Yield the address of an engine that says this of itself and has nothing else."""
    answers = {"version": version, "info": info or {}}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.path.rpartition("/")[2]
            body = json.dumps(answers.get(asked, {})).encode()
            self.send_response(200 if asked in answers else 404)
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


def test_slow_is_refused_where_docker_cannot_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(DEBIAN, {"CgroupDriver": "none", "NCPU": 2}) as address:  # rootless, recorded
        monkeypatch.setattr(faults, "engine", lambda: connect(address))
        with pytest.raises(UnsupportedEnvironmentError) as refused:
            faults.limit(Container(attrs={"Id": "0" * 64}), 0.5)
    assert "without cgroups" in refused.value.seen
    assert "cgroup_hierarchy=1" in refused.value.next_command


@dataclass(frozen=True)
class OtherDocker:
    """A Docker beside the machine's own.

    Args:
        address: where it answers.
        beside: a command's first words, with which it runs in the network namespace of this Docker.
    """

    address: str
    beside: tuple[str, ...]


TRIXIE: Final = """
mount --bind "$0/usr" /usr
ip link set lo up
exec dockerd "$@"
"""
"""Starts the dockerd of another Debian, in a mount namespace of its own: what needs a newer libc is
all below /usr. The rest of the machine stays in its place, and so do the files that are mounted."""


@pytest.fixture
def docker_of_trixie(tmp_path: Path) -> Iterator[OtherDocker]:
    """Start Debian 13's Docker in namespaces of its own, with the images of this machine's."""
    if not process.is_root_on_debian():
        pytest.skip("a second Docker in namespaces of its own needs root on Debian")
    process.install_packages("mmdebstrap")
    trixie, run = tmp_path / "trixie", Path(tempfile.mkdtemp(prefix="engine-"))
    packages = "docker.io,iptables,iproute2"
    process.run(
        ["mmdebstrap", "--variant=essential", f"--include={packages}", "trixie", str(trixie)]
    )
    address = f"unix://{run}/engine.sock"
    command = ["setpriv", "--pdeathsig", "TERM", "unshare", "--net", "--mount"]
    command += ["sh", "-c", TRIXIE, str(trixie), "--host", address, "--ip", "127.0.0.1"]
    command += ["--data-root", str(tmp_path / "data"), "--exec-root", str(run / "exec")]
    # No nameserver can be reached: without this, each unknown name is waited for.
    command += ["--pidfile", str(run / "pid"), "--dns", "127.0.0.1"]
    with (run / "log").open("wb") as log:
        program = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for_engine(address)
        load(images_of_a_gate(), address)
        yield OtherDocker(address, ("nsenter", f"--net=/proc/{program.pid}/ns/net"))
    finally:
        program.terminate()
        program.wait(timeout=60)
        shutil.rmtree(run, ignore_errors=True)
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        shutil.rmtree(trixie, ignore_errors=True)


def images_of_a_gate() -> list[str]:
    settings = RunSettings.from_environment()
    needed = [images.mariadb_base(settings), images.deployed_image(settings)]
    needed += [] if settings.image else [images.matomo_base(settings)]
    needed += map(images.service_image, SERVICES)
    return [images.debian_tag(), *(image.reference for image in needed)]


def load(references: Sequence[str], address: str) -> None:
    """Copy images from this machine's Docker to another."""
    with subprocess.Popen(["docker", "save", *references], stdout=subprocess.PIPE) as save:
        subprocess.run(["docker", "--host", address, "load", "-q"], stdin=save.stdout, check=True)
    assert save.returncode == 0


@pytest.mark.nightly(reason="makes a Debian 13 and copies every image to its Docker")
@pytest.mark.slow(reason="a second Docker, a local stack and a gate")
@pytest.mark.timeout(1200)
def test_docker_of_debian_13_has_a_stack_and_a_gate(
    docker_of_trixie: OtherDocker, checkout: Checkout
) -> None:
    def harness(*arguments: str) -> Answer:
        return checkout.harness(
            *arguments, prefix=docker_of_trixie.beside, DOCKER_HOST=docker_of_trixie.address
        )

    with closing(docker.DockerClient(base_url=docker_of_trixie.address)) as client:
        assert client.version()["Version"] != engine().version()["Version"]
        try:
            up = harness("up", "--json")
            assert up.code == ExitCode.OK, up.text
            gate = harness("gate", "--only", "masking")
            assert gate.code == ExitCode.OK, gate.text
        finally:
            clean = harness("clean")
        assert clean.code == ExitCode.OK, clean.text
        assert client.containers.list(all=True) == []
        assert client.volumes.list() == []
        assert [net.name for net in client.networks.list(filters={"type": "custom"})] == []
