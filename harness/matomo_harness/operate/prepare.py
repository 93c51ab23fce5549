"""Turn a bare machine into one that can run containers, Compose and a browser.

What already works is used as it is. Only root on Debian or Ubuntu gets something installed; anybody
else reads the one thing to do.
"""

import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from matomo_harness import extra, process
from matomo_harness.errors import UnsupportedEnvironmentError
from matomo_harness.gate.probes.chromium import HEADLESS, system_chromium
from matomo_harness.progress import step
from matomo_harness.runtime.address import chosen
from matomo_harness.runtime.engine import EngineSilentError, connect

ENGINE_LOG: Final = Path("/var/log/matomo-harness-dockerd.log")
PID_FILES: Final = (
    (Path("/var/run/docker.pid"), "dockerd"),
    (Path("/var/run/docker/containerd/containerd.pid"), "containerd"),
)
CGROUPS: Final = Path("/sys/fs/cgroup")
PLUGINS: Final = Path.home() / ".docker/cli-plugins"
PLAYWRIGHT: Final = (sys.executable, "-m", "playwright")
COMPOSE_PLUGIN: Final = Path("usr/libexec/docker/cli-plugins/docker-compose")


def prepare(*, browser: bool = False) -> None:
    """Make sure that an engine and Compose (and a browser) are here.

    Raises:
        UnsupportedEnvironmentError: one is missing and cannot be installed from here.
    """
    ensure_engine()
    ensure_compose()
    if browser:
        ensure_browser()


# -- engine ---------------------------------------------------------------------------------------


def ensure_engine() -> None:
    """Use the engine that answers, else install and start one.

    Raises:
        UnsupportedEnvironmentError: none answers and this is not root on Debian or Ubuntu.
    """
    with contextlib.suppress(EngineSilentError):
        connect()
        return
    if chosen().chosen_by or not process.is_root_on_debian():
        connect()  # says what is wrong
    process.install_packages("docker.io", "iptables", "ca-certificates")
    if not shutil.which("docker"):  # since trixie a package of its own
        process.install_packages("docker-cli")
    with step("Starting the container engine"):
        _start_engine()


def _start_engine() -> None:
    if Path("/run/systemd/system").is_dir():
        process.run(["systemctl", "start", "docker"])
    # A second dockerd in one network namespace destroys the first one's bridge: never start two.
    elif not _runs("dockerd"):
        for pid_file, program in PID_FILES:
            remove_stale_pid_file(pid_file, program)
        weigh_containers()
        with ENGINE_LOG.open("ab") as log:
            subprocess.Popen(
                ["dockerd", "--ip", "127.0.0.1"],  # published ports on loopback, whoever asks
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
    try:
        wait_for_engine()
    except EngineSilentError as error:
        raise UnsupportedEnvironmentError(
            expected="dockerd to answer within 30 s of its start",
            seen=_tail(ENGINE_LOG),
            next_command=f"tail {ENGINE_LOG}",
        ) from error


def weigh_containers(cgroups: Path = CGROUPS) -> None:
    """Let all containers together weigh as ten processes, in the control group that dockerd uses.

    Without systemd they weigh as much as one process of this machine: a busy one takes half of a
    core from all of them, and Matomo's archiver gives up where a process of its own does not begin
    within 8 s (docs/failure-modes.md, R14).

    Args:
        cgroups: where the kernel's control groups are.
    """
    is_one_tree = (cgroups / "cgroup.controllers").exists()  # the second version of them
    group = cgroups / "docker" if is_one_tree else cgroups / "cpu/docker"
    name, one_process = ("cpu.weight", 100) if is_one_tree else ("cpu.shares", 1024)
    with contextlib.suppress(OSError):  # it is only slower without
        group.mkdir(exist_ok=True)
        if (group / name).exists():
            (group / name).write_text(str(10 * one_process))


@retry(
    retry=retry_if_exception_type(EngineSilentError),
    wait=wait_fixed(0.1),
    stop=stop_after_delay(30),
    reraise=True,
)
def wait_for_engine(address: str | None = None) -> None:
    """Wait up to 30 s until an engine answers (see `connect`).

    Raises:
        EngineSilentError: none did.
    """
    connect(address).close()


def remove_stale_pid_file(pid_file: Path, program: str) -> None:
    """Remove `pid_file` where its process is gone, or its number now belongs to another program.

    A killed dockerd leaves the file, and the next one refuses to start when the number is in use
    again, which after a reboot of a container it always is.
    """
    with contextlib.suppress(FileNotFoundError, ValueError):
        pid = int(pid_file.read_text())
        if _program_of(pid) == program:
            return
    pid_file.unlink(missing_ok=True)


def _program_of(pid: int) -> str | None:
    """Return the name of process `pid`; None for a zombie, which a container's init may keep."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return None if fields["State"].startswith("Z") else fields["Name"]


def _runs(program: str) -> bool:
    return any(
        _program_of(int(entry.name)) == program
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit()
    )


def _tail(path: Path) -> str:
    with contextlib.suppress(OSError):
        return " | ".join(path.read_text(errors="replace").splitlines()[-2:])
    return f"nothing in {path}"


# -- Compose --------------------------------------------------------------------------------------


REPLACES_LISTS: Final = (2, 24, 4)
"""The first Compose whose second file can replace a list of the first one (`!override`)."""


INSTALL_COMPOSE: Final = "install Docker Desktop, or the package docker-compose-plugin"
"""What only a person can do, where this is not root on Debian or Ubuntu."""


def compose_version() -> tuple[int, ...] | None:
    """Return the version of `docker compose`, None where the plugin is missing."""
    if not shutil.which("docker"):
        return None
    answer = subprocess.run(
        ["docker", "compose", "version", "--short"], capture_output=True, text=True, check=False
    )
    numbers = re.match(r"v?(\d+)\.(\d+)\.(\d+)", answer.stdout.strip())
    return tuple(map(int, numbers.groups())) if answer.returncode == 0 and numbers else None


def ensure_compose() -> None:
    """Make sure that `docker compose` works; where it is missing, it becomes a plugin of the user.

    Raises:
        UnsupportedEnvironmentError: it is missing and cannot be installed from here.
    """
    if compose_version():
        return
    if not process.is_root_on_debian():
        raise UnsupportedEnvironmentError(
            expected="Docker Compose v2 (`docker compose version`)",
            seen="the docker command does not know `compose`",
            next_command=INSTALL_COMPOSE,
        )
    with step("Installing Docker Compose") as running:
        if not _compose_from_this_release():
            with tempfile.TemporaryDirectory() as directory:
                package = _download_from_trixie("docker-compose", Path(directory))
                unpacked = Path(directory) / "unpacked"
                process.run(["dpkg-deb", "--extract", str(package), str(unpacked)], running)
                PLUGINS.mkdir(parents=True, exist_ok=True)
                shutil.copy2(unpacked / COMPOSE_PLUGIN, PLUGINS / "docker-compose")
    if not compose_version():
        raise UnsupportedEnvironmentError(
            expected="`docker compose version` to answer once it is installed",
            seen="it does not",
            next_command="docker compose version",
        )


def _compose_from_this_release() -> bool:
    """Install Compose 2 from the machine's own release: Ubuntu, and Debian from trixie on."""
    for package in ("docker-compose-v2", "docker-compose"):
        policy = process.run(["apt-cache", "policy", package])
        if re.search(r"Candidate: (?:\d+:)?2\.", policy):
            process.install_packages(package)
            return True
    return False


def _download_from_trixie(package: str, directory: Path) -> Path:
    """Fetch one of trixie's packages through this machine's own mirror.

    bookworm has only Compose 1, in Python and at its end of life; trixie's plugin needs nothing
    but libc6 >= 2.34, which bookworm has. The private lists leave the machine's apt untouched.
    """
    lists = directory / "lists"
    (lists / "partial").mkdir(parents=True)
    sources = directory / "trixie.list"
    sources.write_text(f"deb {_debian_mirror()} trixie main\n")
    options = [
        f"Dir::Etc::sourcelist={sources}",
        "Dir::Etc::sourceparts=/dev/null",
        f"Dir::State::lists={lists}",
        f"Dir::Cache={directory}",
        "APT::Get::List-Cleanup=0",
        "APT::Sandbox::User=root",  # the directory is ours alone
    ]
    apt = ["apt-get", "-q", *(word for option in options for word in ("-o", option))]
    process.run([*apt, "update"])
    process.run(["env", "-C", str(directory), *apt, "download", package])
    return next(directory.glob(f"{package}_*.deb"))


def _debian_mirror() -> str:
    """Return the address that this machine already takes Debian's main archive from."""
    process.run(["apt-get", "-q", "update"])
    targets = process.run(
        ["apt-get", "indextargets", "--format", "$(LABEL) $(COMPONENT) $(REPO_URI)"]
    )
    for line in targets.splitlines():
        label, component, address = line.split(" ", 2)
        if (label, component) == ("Debian", "main"):
            return address
    raise UnsupportedEnvironmentError(
        expected="a Debian mirror in this machine's apt sources",
        seen="none of them is Debian's main archive",
        next_command="install the package docker-compose-plugin",
    )


# -- browser --------------------------------------------------------------------------------------


def playwrights_chromium() -> Path | None:
    """Return where Playwright's own Chromium lies, None where it was not installed."""
    if not find_spec("playwright"):
        return None
    plan = process.run([*PLAYWRIGHT, "install", "--dry-run", "chromium"])
    place = re.search(r"Install location:\s+(.+)", plan)
    return Path(place[1]) if place and Path(place[1]).exists() else None


def ensure_browser() -> None:
    """Make sure that a Chromium is here.

    Raises:
        UnsupportedEnvironmentError: none is here and none can be had.
    """
    if process.is_root_on_debian():
        process.install_packages("libatomic1")  # of Playwright's own Node; a bare Debian lacks it
    if shutil.which(HEADLESS) or playwrights_chromium():
        return
    if process.is_root_on_debian():
        with contextlib.suppress(UnsupportedEnvironmentError):  # not every release has it
            process.install_packages(HEADLESS)
            return
    if system_chromium():
        return
    if process.is_root_on_debian():
        process.install_packages("chromium")
        return
    if not find_spec("playwright"):
        raise UnsupportedEnvironmentError(
            expected="a browser, or Playwright, which fetches one",
            seen="neither",
            next_command=extra.install_command(extra.BROWSER),
        )
    with step("Fetching Playwright's Chromium") as running:
        process.run([*PLAYWRIGHT, "install", "chromium"], running)
