"""An image for another machine is refused by its architecture, before anything waits for it."""

import hashlib
import io
import json
import struct
import tarfile
import uuid
from collections.abc import Iterator

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.runtime import images, reaper
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.images import Image

IBM = 22
"""Machine number of IBM's S/390 in an ELF header; no desktop engine emulates it unasked."""


def program_of(machine: int) -> bytes:
    """Return the header of an ELF program for `machine`, which is all that a kernel looks at."""
    kind = b"\x7fELF" + bytes([2, 2, 1]) + bytes(9)  # 64 bits, the highest byte first
    return kind + struct.pack(">HHIQQQIHHHHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, 0, 0, 0, 0)


def saved(tag: str, architecture: str, shell: bytes) -> bytes:
    """Return an image as `docker save` writes it, with one program, /bin/sh."""
    layer = archive({"bin/sh": shell})
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Labels": reaper.this_process().labels},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]
    return archive(
        {
            "config.json": json.dumps(config).encode(),
            "manifest.json": json.dumps(manifest).encode(),
            "layer.tar": layer,
        }
    )


def archive(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as entries:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            entries.addfile(entry, io.BytesIO(content))
    return written.getvalue()


@pytest.fixture
def foreign() -> Iterator[Image]:
    """An image for S/390 on this engine."""
    tag = f"matomo-harness/test-foreign:{uuid.uuid4().hex}"
    (loaded,) = engine().images.load(saved(tag, "s390x", program_of(IBM)))
    yield Image(tag, str(loaded.id), "given")
    engine().images.remove(tag, force=True)


def test_an_image_of_another_architecture_is_named(foreign: Image) -> None:
    with pytest.raises(WrongInputError, match="s390x") as refused:
        images.require_runnable(foreign)
    assert "--platform" in refused.value.next_command


def test_an_image_of_this_architecture_is_taken(any_base: Image) -> None:
    images.require_runnable(any_base)
