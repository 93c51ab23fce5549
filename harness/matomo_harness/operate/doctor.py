"""Say what this machine has and lacks for the work ahead."""

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from matomo_harness import process
from matomo_harness.errors import HarnessError
from matomo_harness.gate.probes.chromium import system_chromium
from matomo_harness.operate.prepare import (
    INSTALL_COMPOSE,
    REPLACES_LISTS,
    compose_version,
    playwrights_chromium,
)
from matomo_harness.runtime.address import chosen
from matomo_harness.runtime.engine import NO_CGROUPS, EngineSilentError, connect
from matomo_harness.settings import ROOT

DISK_GIB: Final = 6
"""All images of both Matomo versions take 2 GiB; building and the volumes need the rest."""

MEMORY_GIB: Final = 2
"""A pair of containers takes 165 MiB; two test workers, a browser and the builder need the rest."""


CLOSES_LOOPBACK: Final = 28
"""The Docker from which on only this machine reaches what is published on loopback (moby, issue
45610)."""


@dataclass(frozen=True)
class Requirement:
    """One thing that the harness needs.

    Args:
        name: what it is.
        seen: what this machine has.
        lacking: the one thing to do about it; None where all is well.
    """

    name: str
    seen: str
    lacking: str | None = None


def examine() -> list[Requirement]:
    """Examine engine, Compose, browser, disk and memory; this changes nothing."""
    return [container_engine(), _compose(), _browser(), *_disks(), _memory()]


def container_engine() -> Requirement:
    """Say whether an engine answers, and which one; this changes nothing."""
    try:
        client = connect()
        version, driver = client.version(), client.info().get("CgroupDriver")
    except EngineSilentError as error:
        # `make up` installs and starts the machine's own engine, and no other that somebody chose.
        installs = process.is_root_on_debian() and not chosen().chosen_by
        mend = f"make up   (or: {error.next_command})" if installs else error.next_command
        return Requirement("container engine", error.seen, mend)
    except HarnessError as error:  # there is one, and installing another would not help
        return Requirement("container engine", error.seen, error.next_command)
    seen = f"{version['Version']}, API {version['ApiVersion']}"
    if driver == NO_CGROUPS:
        seen += ", which limits neither memory nor processors"
    major = str(version["Version"]).partition(".")[0]
    if major.isdecimal() and int(major) < CLOSES_LOOPBACK:
        seen += "; a machine on the same network segment can reach its ports on loopback"
    return Requirement("container engine", seen)


def _compose() -> Requirement:
    version = compose_version()
    if version is None:
        mend = "make up   (installs it)" if process.is_root_on_debian() else INSTALL_COMPOSE
        return Requirement("docker compose", "none", mend)
    seen = ".".join(map(str, version))
    if version < REPLACES_LISTS:
        seen += (
            f", too old for an image of your own by make up ({'.'.join(map(str, REPLACES_LISTS))})"
        )
    return Requirement("docker compose", seen)


def _browser() -> Requirement:
    try:
        path = playwrights_chromium() or system_chromium()
    except HarnessError as error:
        return Requirement("browser", error.seen, "matomo-harness prepare --browser")
    if path is None:
        return Requirement("browser", "none", "matomo-harness prepare --browser   (installs one)")
    return Requirement("browser", str(path))


def _disks() -> list[Requirement]:
    """Say how much is free here, and where the engine has its images, if that is another disk."""
    places = {"disk": ROOT}
    with contextlib.suppress(HarnessError):
        engines = Path(connect().info().get("DockerRootDir") or ROOT)
        # That of an engine elsewhere, or in a virtual machine, cannot be seen from here.
        if os.path.isdir(engines) and engines.stat().st_dev != ROOT.stat().st_dev:
            places["engine's disk"] = engines
    return [_disk(name, place) for name, place in places.items()]


def _disk(name: str, place: Path) -> Requirement:
    free = shutil.disk_usage(place).free / 2**30
    short = f"free {DISK_GIB} GiB: docker system df" if free < DISK_GIB else None
    return Requirement(name, f"{free:.0f} GiB free in {place}", short)


def _memory() -> Requirement:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    short = f"give it {MEMORY_GIB} GiB or more" if total < MEMORY_GIB else None
    return Requirement("memory", f"{total:.0f} GiB, {os.cpu_count()} cores", short)
