"""What could be mended in an image: a real apt asks a suite that is in the image itself."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from matomo_harness.errors import BrokenPromiseError, ExitCode, UnsupportedEnvironmentError
from matomo_harness.operate import updates
from matomo_harness.runtime import images
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.images import Image
from tests.checkout import Checkout

SUITE = """\
Package: base-files
Version: 9999
Architecture: all
Maintainer: nobody <nobody@example.org>
Filename: ./base-files_9999_all.deb
Size: 1
SHA256: {digest}
Description: newer than any

"""
NO_OTHER = "rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*"


@pytest.fixture
def made() -> Iterator[list[Image]]:
    """The images of a test, which are removed afterwards."""
    built: list[Image] = []
    yield built
    for image in built:
        engine().images.remove(image.reference, force=True)


def with_suite(
    label: str, on: Image, directory: Path, made: list[Image], source: str = ""
) -> Image:
    """Build an image whose only suite has this label, or leads to `source`."""
    (directory / "Packages").write_text(SUITE.format(digest="0" * 64))
    (directory / "Release").write_text(f"Origin: Debian\nLabel: {label}\nSuite: stable\n")
    line = source or "deb [trusted=yes] file:/suite ./"
    (directory / "Dockerfile").write_text(
        f"FROM {on.id}\nCOPY Packages Release /suite/\n"
        f"RUN {NO_OTHER} && echo '{line}' > /etc/apt/sources.list\n"
    )
    made.append(images.build(directory, f"matomo-harness/test-updates:{uuid.uuid4().hex}", {}, {}))
    return made[-1]


def test_a_security_update_is_named_and_refused(
    any_image: Image, tmp_path: Path, made: list[Image]
) -> None:
    image = with_suite("Debian-Security", any_image, tmp_path, made)
    (found,) = updates.waiting(image)
    assert (found.name, found.newer, found.is_of_security) == ("base-files", "9999", True)
    assert found.installed
    with pytest.raises(BrokenPromiseError, match="1 are missing: base-files"):
        updates.require_no_security_update(image, [found])


def test_another_update_is_named_and_not_refused(
    any_image: Image, tmp_path: Path, made: list[Image]
) -> None:
    image = with_suite("Debian", any_image, tmp_path, made)
    (found,) = updates.waiting(image)
    assert not found.is_of_security
    updates.require_no_security_update(image, [found])


def test_a_suite_out_of_reach_is_no_green(
    any_image: Image, tmp_path: Path, made: list[Image]
) -> None:
    nowhere = "deb http://127.0.0.1:1/debian stable main"
    image = with_suite("Debian", any_image, tmp_path, made, nowhere)
    with pytest.raises(UnsupportedEnvironmentError, match=r"seen: .*127\.0\.0\.1"):
        updates.waiting(image)


def test_an_image_without_apt_is_no_green(
    any_image: Image, tmp_path: Path, made: list[Image]
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {any_image.id}\nRUN rm /usr/bin/apt-get\n")
    made.append(images.build(tmp_path, f"matomo-harness/test-updates:{uuid.uuid4().hex}", {}, {}))
    with pytest.raises(UnsupportedEnvironmentError, match="seen: no apt-get in the image"):
        updates.waiting(made[-1])


def test_security_comes_first(checkout: Checkout) -> None:
    assert updates.NEWER.findall(
        "Inst libc6 [2.41-12] (2.41-12+deb13u1 Debian-Security:13/stable-security [amd64])\n"
        "Conf libc6 (2.41-12+deb13u1 Debian-Security:13/stable-security [amd64])\n"
        "Inst tzdata [2025a] (2025b Debian:13.1/stable, Debian:13-updates [all]) []\n"
    ) == [
        ("libc6", "2.41-12", "2.41-12+deb13u1", "Debian-Security:13/stable-security "),
        ("tzdata", "2025a", "2025b", "Debian:13.1/stable, Debian:13-updates "),
    ]
    refused = checkout.harness("updates", "matomo-harness/nowhere:1")
    refused.refuses(ExitCode.WRONG_INPUT, "matomo-harness/nowhere:1")
