"""What could be mended in an image today: newer packages, those of a security suite above all."""

import re
from dataclasses import dataclass
from typing import Final

from docker.errors import DockerException

from matomo_harness.errors import BrokenPromiseError, UnsupportedEnvironmentError
from matomo_harness.progress import step
from matomo_harness.runtime import reaper
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.images import Image

# An error of the network is an error of apt's; it goes on with old lists otherwise.
ASK: Final = (
    "command -v apt-get > /dev/null || { echo 'no apt-get in the image'; exit 3; };"
    " apt-get -q -o APT::Update::Error-Mode=any update > /tmp/said 2>&1"
    " || { grep -E '^(E|W|Err)' /tmp/said | head -n 1; exit 3; };"
    " apt-get -q -s dist-upgrade"
)
NEWER: Final = re.compile(
    r"(?m)^Inst (?P<name>\S+) \[(?P<installed>[^\]]+)\] \((?P<newer>\S+) (?P<suites>[^)\[]*)"
)
SECURITY: Final = re.compile(r"(?i)security")


@dataclass(frozen=True)
class Update:
    """A package that its distribution has a newer version of.

    Args:
        name: of the package.
        installed: the version in the image.
        newer: the version in the suites.
        suites: where it is: `Debian-Security:13/stable-security`.
        is_of_security: whether one of them is a security suite.
    """

    name: str
    installed: str
    newer: str
    suites: str
    is_of_security: bool


def waiting(image: Image) -> list[Update]:
    """Ask the suites that the image names what is newer in them; security's come first.

    Nothing of the image itself is started.

    Raises:
        UnsupportedEnvironmentError: the image has no apt, or its suites cannot be reached.
    """
    with step(f"Asking {image.reference}'s suites for updates"):
        code, said = _asked(image)
    if code:
        raise UnsupportedEnvironmentError(
            expected="apt in the image, and its suites in reach: without them nothing is known",
            seen=said.strip().splitlines()[-1] if said.strip() else f"exit {code}",
            next_command="the same command again, once the network is back; for another package"
            " manager, its own",
        )
    found = (
        Update(
            **{name: text.strip() for name, text in each.groupdict().items()},
            is_of_security=bool(SECURITY.search(each["suites"])),
        )
        for each in NEWER.finditer(said)
    )
    return sorted(found, key=lambda update: (not update.is_of_security, update.name))


def require_no_security_update(image: Image, updates: list[Update]) -> None:
    """Refuse an image that lacks what its distribution has mended.

    Raises:
        BrokenPromiseError: names the packages.
    """
    if names := [update.name for update in updates if update.is_of_security]:
        raise BrokenPromiseError(
            expected=f"{image.reference} to have all security updates of its distribution",
            seen=f"{len(names)} are missing: {', '.join(names)}",
            next_command="build it anew from a newer base: docker build --pull --no-cache",
        )


def _asked(image: Image) -> tuple[int, str]:
    try:
        container = engine().containers.create(
            image.reference,
            ["-c", ASK],
            entrypoint=["/bin/sh"],
            user="root",
            labels=reaper.this_process().labels,
        )
        try:
            container.start()
            code = int(container.wait()["StatusCode"])
            return code, bytes(container.logs()).decode(errors="replace")
        finally:
            container.remove(force=True, v=True)
    except DockerException as error:
        return 1, str(error)
