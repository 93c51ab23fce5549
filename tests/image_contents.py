"""What is in an image: its files, those of each layer, and what of it looks like a secret."""

import hashlib
import json
import re
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from matomo_harness.runtime import reaper
from matomo_harness.runtime.engine import engine

SECRETS: Final = (
    re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/=]{16}"),
    re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    re.compile(rb"\bgh[pousr]_[A-Za-z0-9]{36}\b"),
)
"""Of any file. A key's head alone is in programs and libraries that read keys."""
OF_SETTINGS: Final = re.compile(
    rb"(?im)^[ \t]*(?:[\w.]*(?:password|passwd|salt|token_auth|secret|api_?key))[ \t]*="
    rb"[ \t]*[\"']?(?!\$\{)[^\s\"';#]{6,}"
)
"""Of files of settings: a value that is neither empty nor a variable's name."""
SETTINGS: Final = re.compile(r"(?:^|/)(?:[^/]*\.ini(?:\.php)?|\.env|[^/]*\.env|\.netrc|\.npmrc)$")
DEFAULTS: Final = re.compile(r"config/global\.ini\.php$|manifest|/php\.ini|php\.ini-")
"""Matomo's and PHP's own defaults, the same everywhere."""
HISTORY: Final = re.compile(
    r"(?i)\b[\w-]*(?:password|passwd|secret|token|salt|api_?key)[\w-]*=(?!\$)[^\s|]{6,}"
)
LARGEST: Final = 2**20
"""Bytes of a file that are searched: what is larger is no text of a person."""


@dataclass(frozen=True)
class FoundFile:
    """A file of an image.

    Args:
        path: without a leading slash.
        mode: its type and permissions.
        digest: of its content, or of where a link leads.
    """

    path: str
    mode: int
    digest: str

    @property
    def is_open_to_all(self) -> bool:
        """Whether everybody may write to it, or replace what is in it."""
        if stat.S_ISLNK(self.mode):
            return False
        return bool(self.mode & stat.S_IWOTH) and not (
            stat.S_ISDIR(self.mode) and self.mode & stat.S_ISVTX
        )


def files(reference: str) -> dict[str, FoundFile]:
    """Return all files of an image, by path; nothing of it is run."""
    labels = reaper.this_process().labels
    container = engine().containers.create(reference, ["never", "started"], labels=labels)
    try:
        with tempfile.TemporaryFile() as written:
            for chunk in engine().api.export(str(container.id)):
                written.write(chunk)
            written.seek(0)
            with tarfile.open(fileobj=written) as archive:
                return {each.path: each for each in _files(archive)}
    finally:
        container.remove(force=True, v=True)


def _files(archive: tarfile.TarFile) -> Iterator[FoundFile]:
    kinds = {tarfile.DIRTYPE: stat.S_IFDIR, tarfile.SYMTYPE: stat.S_IFLNK}
    for entry in archive:
        content = entry.linkname.encode()
        if entry.isfile() and (opened := archive.extractfile(entry)):
            with closing(opened):
                content = opened.read()
        mode = entry.mode | kinds.get(entry.type, stat.S_IFREG)
        yield FoundFile(entry.name, mode, hashlib.sha256(content).hexdigest())


# -- secrets --------------------------------------------------------------------------------------


def secrets(reference: str) -> list[str]:
    """Return where something in an image looks like a secret: in any layer, or in its history."""
    image = engine().images.get(reference)
    found = [f"history: {_named(line)}" for line in _history(image)]
    with tempfile.TemporaryFile() as written:
        for chunk in engine().api.get_image(str(image.id)):
            written.write(chunk)
        written.seek(0)
        with tarfile.open(fileobj=written) as saved:
            for number, layer in enumerate(_layers(saved)):
                found += [f"layer {number}: {path}" for path in _in_layer(layer)]
    return found


def _history(image: Any) -> Iterator[str]:
    config = image.attrs["Config"]
    texts = [str(layer.get("CreatedBy", "")) for layer in image.history()]
    for text in [*texts, *(config["Env"] or ()), *map(str, (config["Labels"] or {}).items())]:
        yield from HISTORY.findall(text)


def _named(text: str) -> str:
    return text.partition("=")[0]  # not the value


def _layers(saved: tarfile.TarFile) -> Iterator[IO[bytes]]:
    """Yield the layers of `docker save`, the lowest first: a file that a later one removes too."""
    manifest = saved.extractfile("manifest.json")
    assert manifest
    for path in json.load(manifest)[0]["Layers"]:
        layer = saved.extractfile(path)
        assert layer, Path(path)
        yield layer


def _in_layer(layer: IO[bytes]) -> Iterator[str]:
    with tarfile.open(fileobj=layer) as archive:
        for entry in archive:
            if not entry.isfile() or entry.size > LARGEST:
                continue
            opened = archive.extractfile(entry)
            assert opened
            content = opened.read()
            is_of_settings = SETTINGS.search(entry.name) and not DEFAULTS.search(entry.name)
            patterns = (*SECRETS, OF_SETTINGS) if is_of_settings else SECRETS
            if any(pattern.search(content) for pattern in patterns):
                yield entry.name
