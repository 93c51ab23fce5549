"""Programs that the tests start end with the tests, whatever kills those."""

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import docker
import pytest

from matomo_harness.operate.prepare import wait_for_engine
from matomo_harness.runtime.reaper import PARENT_VARIABLE, this_process
from tests.checkout import Checkout, copied

MIB = 2**20


@pytest.fixture(scope="session", autouse=True)
def _one_run() -> None:
    os.environ[PARENT_VARIABLE] = this_process().as_parent


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A copy of this checkout, with nothing running."""
    with copied(tmp_path) as copy:
        yield copy


@pytest.fixture
def small_engine(tmp_path: Path) -> Iterator[str]:
    """Start a second, real engine on a disk of 24 MiB, without a network; yield its address.

    It runs in a network namespace of its own, or it would destroy the first engine's bridge.
    """
    if os.geteuid() != 0 or not shutil.which("dockerd") or not shutil.which("unshare"):
        pytest.skip("a second engine on a small disk needs root, dockerd and unshare")
    disk = tmp_path / "disk"
    disk.mkdir()
    run = Path(tempfile.mkdtemp(prefix="engine-"))  # a socket's path has at most 107 characters
    address = f"unix://{run}/engine.sock"
    # Whatever kills this run ends the engine, and with its namespaces the disk.
    command = ["setpriv", "--pdeathsig", "TERM", "unshare", "--net", "--mount"]
    command += ["sh", "-c", 'mount -t tmpfs -o size=24m disk "$0" && exec dockerd "$@"', str(disk)]
    command += ["--host", address, "--data-root", str(disk), "--bridge=none", "--iptables=false"]
    command += ["--exec-root", str(run / "exec"), "--pidfile", str(run / "pid")]
    with (run / "log").open("wb") as log:
        program = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for_engine(address)
        filler = tmp_path / "filler.tar"
        _archive(filler, 6 * MIB)
        with closing(docker.DockerClient(base_url=address)) as client:
            client.api.import_image_from_file(str(filler), repository="tiny", tag="base")
        yield address
    finally:
        program.terminate()
        program.wait(timeout=20)
        shutil.rmtree(run, ignore_errors=True)


def _archive(path: Path, size: int) -> None:
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo("filler")
        entry.size = size
        archive.addfile(entry, io.BytesIO(os.urandom(size)))
