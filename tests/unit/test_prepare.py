"""What the start of an engine leaves and finds: pid files, and the weight of all containers."""

import os
import subprocess
from pathlib import Path

import pytest

from matomo_harness.operate import doctor
from matomo_harness.operate.prepare import remove_stale_pid_file, weigh_containers
from matomo_harness.runtime.engine import EngineSilentError
from matomo_harness.settings import ROOT

PYTHON = """#!/bin/sh
[ "$2" != venv ] || { mkdir -p .venv/bin && cp "$0" .venv/bin/python; }
"""
"""Takes the place of Python where an environment is made: it makes one, and installs nothing."""


@pytest.fixture
def ended() -> int:
    """The number of a process that has ended."""
    program = subprocess.Popen(["true"])
    program.wait()
    return program.pid


@pytest.mark.parametrize("may_install", [True, False])
def test_only_who_may_install_is_sent_to_make_up(
    monkeypatch: pytest.MonkeyPatch, may_install: bool
) -> None:
    def silent() -> None:
        raise EngineSilentError("an engine", "no answer", "sudo systemctl start docker")

    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", "/nowhere")
    monkeypatch.setattr("matomo_harness.process.is_root_on_debian", lambda: may_install)
    monkeypatch.setattr(doctor, "connect", silent)
    monkeypatch.setattr(doctor, "compose_version", lambda: None)
    for found in (doctor.container_engine(), doctor._compose()):
        assert str(found.lacking).startswith("make up") is may_install, found


def test_the_file_of_a_dead_process_is_removed(tmp_path: Path, ended: int) -> None:
    pid_file = tmp_path / "docker.pid"
    pid_file.write_text(str(ended))
    remove_stale_pid_file(pid_file, "dockerd")
    assert not pid_file.exists()


def test_the_file_of_a_zombie_is_removed(tmp_path: Path) -> None:
    pid_file = tmp_path / "docker.pid"
    with subprocess.Popen(["sleep", "60"]) as program:
        program.kill()
        os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)  # dead, and still a zombie
        pid_file.write_text(str(program.pid))
        remove_stale_pid_file(pid_file, "sleep")
    assert not pid_file.exists()


def test_a_file_with_the_number_of_another_program_is_removed(tmp_path: Path) -> None:
    pid_file = tmp_path / "docker.pid"
    pid_file.write_text(str(os.getpid()))
    remove_stale_pid_file(pid_file, "dockerd")
    assert not pid_file.exists()


def test_the_file_of_a_running_engine_stays(tmp_path: Path) -> None:
    pid_file = tmp_path / "docker.pid"
    pid_file.write_text(f"{os.getpid()}\n")
    this_program = Path("/proc/self/comm").read_text().strip()
    remove_stale_pid_file(pid_file, this_program)
    assert pid_file.exists()


def test_a_file_without_a_number_is_removed(tmp_path: Path) -> None:
    pid_file = tmp_path / "docker.pid"
    pid_file.write_text("")
    remove_stale_pid_file(pid_file, "dockerd")
    assert not pid_file.exists()


@pytest.mark.parametrize(
    ("marker", "file", "weight"),
    [
        ("cpu/tasks", "cpu/docker/cpu.shares", "10240"),
        ("cgroup.controllers", "docker/cpu.weight", "1000"),
    ],
)
def test_containers_weigh_as_ten_processes(
    tmp_path: Path, marker: str, file: str, weight: str
) -> None:
    for path in (tmp_path / marker, tmp_path / file):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("as it was")
    weigh_containers(tmp_path)
    assert (tmp_path / file).read_text() == weight


def test_a_machine_without_such_groups_is_left_alone(tmp_path: Path) -> None:
    weigh_containers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_making_of_the_environment_says_nothing_on_standard_output(tmp_path: Path) -> None:
    """`HARNESS_TOKEN=$(make token)` may be what finds it outdated."""
    for folder in ("harness", "bin"):
        (tmp_path / folder).mkdir()
    script = tmp_path / "harness/prepare.sh"
    script.write_text((ROOT / "harness/prepare.sh").read_text())
    (tmp_path / "requirements.lock").touch()
    (tmp_path / "bin/python3").write_text(PYTHON)
    (tmp_path / "bin/python3").chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    ended = subprocess.run(
        ["sh", script], env={"PATH": path}, capture_output=True, text=True, check=True
    )
    assert not ended.stdout
    assert "Installing the Python packages" in ended.stderr
    assert (tmp_path / ".venv/requirements.lock").exists()
