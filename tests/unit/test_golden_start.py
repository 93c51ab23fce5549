"""What a golden image's start reads, and what is understood of one that ends."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from matomo_harness.matomo.image import OFFICIAL
from matomo_harness.runtime import golden, images
from matomo_harness.runtime.golden import replaces
from matomo_harness.runtime.images import Image


@pytest.mark.parametrize(
    ("said", "is_in_the_way"),
    [
        ("rm: cannot remove '/opt/bitnami/matomo': Device or resource busy", True),
        ("mv: can't rename '/opt/bitnami/matomo': Resource busy", True),
        ("rm: cannot remove '/opt/bitnami/matomo/tmp': Device or resource busy", False),
        ("Trying to connect to the database server | Could not connect", False),
    ],
)
def test_a_start_that_replaces_its_web_root_is_understood(said: str, is_in_the_way: bool) -> None:
    assert replaces(said, "/opt/bitnami/matomo") is is_in_the_way


@pytest.mark.parametrize(("found", "user"), [("daemon", "daemon"), ("", "www-data")])
def test_whose_code_it_is_is_seen_once_its_web_server_runs(
    monkeypatch: pytest.MonkeyPatch, found: str, user: str
) -> None:
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(golden, "web_user_in", lambda _: found)
    matomo: Any = SimpleNamespace(
        profile=OFFICIAL,
        get_wrapped_container=lambda: None,
        shell=SimpleNamespace(run=lambda *command, **_: commands.append(command)),
    )
    assert golden.with_its_user(matomo).web_user == matomo.profile.web_user == user
    assert commands == ([("chown", "daemon", golden.COMPILED)] if found else [])


def test_whoever_starts_a_golden_image_may_read_what_its_start_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    modes: dict[str, int] = {}

    def build(context: Path, *_: object) -> None:
        modes.update({path.name: path.stat().st_mode for path in context.iterdir()})
        raise InterruptedError

    monkeypatch.setattr(images, "build", build)
    image = Image("matomo:5", "sha256:0", "given")
    before = os.umask(0o077)
    try:
        with pytest.raises(InterruptedError):
            golden._build(image, image, "key", OFFICIAL, {})
    finally:
        os.umask(before)
    read = ("start-matomo", "php.ini", "web-command", "web-root")
    assert [name for name in read if not modes[name] & 0o004] == []
