"""A bundle as it is read: what its manifest says, and what else is in it.

It comes from somebody else. Its data goes through the quarantine as any dump does (dumps/sources.py
takes it out of the zip), its configuration through the filter of production's; nothing
here reads the rest, which is for people.
"""

import contextlib
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from matomo_harness.dumps.sources import BUNDLE_MANIFEST, BUNDLED_DUMP
from matomo_harness.errors import WrongInputError

KIND: Final = "matomo-harness bundle"
FORMAT: Final = 1
"""Of the bundles that this harness writes; it reads these and older ones."""
CONFIG: Final = "config.ini.php"
RULES: Final = "rules.toml"
MOST: Final = 2**22
"""Bytes of a manifest, a configuration or rules: more is none of ours."""
_DAMAGED: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,  # of zipfile, for an encrypted file
)


class BundledImage(BaseModel):
    """An image that a container of the stack ran.

    Args:
        reference: name and tag.
        id: the engine's content digest.
        digests: by which registries know it.
    """

    model_config = ConfigDict(frozen=True)

    reference: str
    id: str
    digests: tuple[str, ...] = ()


class BundledPlugin(BaseModel):
    """A plugin of the stack.

    Args:
        name: its name.
        active: whether Matomo loads it; None where that could not be known.
        code: version in its plugin.json; None for one of Matomo's own, or without code.
        tables: version that its tables are of (option version_*); None where it has none.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    active: bool | None = None
    code: str | None = None
    tables: str | None = None


class Manifest(BaseModel):
    """What a bundle says of itself; what a newer harness adds to the format is passed over.

    Args:
        kind: that it is one of ours.
        format: of the bundle.
        harness: version of the harness that wrote it.
        made: when, in UTC.
        of: what it is of, in words.
        matomo: version of the tables.
        code: version of the code that ran.
        php: version of PHP.
        mariadb: version of the database server.
        starts: `yes`, or what Matomo said instead when it was started.
        images: by service.
        plugins: all that are known of: by code, by tables or by configuration.
        person_data: whether the data is as production's people left it.
        certificate: what is known of person data in the data; None where there is no data.
        left_out: what is not in the bundle, and why.
        recipe: the name of the recipe that was under way in it; empty where none was.
    """

    model_config = ConfigDict(frozen=True)

    kind: str
    format: int
    harness: str
    made: str
    of: str
    matomo: str
    code: str
    php: str
    mariadb: str
    starts: str
    images: dict[str, BundledImage]
    plugins: tuple[BundledPlugin, ...]
    person_data: bool
    certificate: str | None
    left_out: tuple[str, ...]
    recipe: str = ""


@dataclass(frozen=True)
class Bundle:
    """A bundle that was opened.

    Args:
        path: its file.
        manifest: what it says of itself.
        names: of all files in it.
    """

    path: Path
    manifest: Manifest
    names: tuple[str, ...]

    @property
    def has_data(self) -> bool:
        """Whether a dump is in it."""
        return BUNDLED_DUMP in self.names

    def require_data(self) -> None:
        """Require a dump in it.

        Raises:
            WrongInputError: there is none.
        """
        if not self.has_data:
            there = ", ".join(printable(name) for name in self.names)
            recipe = printable(self.manifest.recipe)
            raise WrongInputError(
                expected=f"data ({BUNDLED_DUMP}) in {self.path.name}",
                seen=f"none; there are: {there}"
                + (f"; the recipe {recipe} was under way" if recipe else ""),
                next_command=f"make up, then make recipe NAME={recipe}"
                if recipe
                else f"unzip -p {self.path} {CONFIG}   (to read it), or ask for one that"
                " was made by: matomo-harness bundle --with-data --to ticket.zip",
            )

    @contextmanager
    def unpacked(self) -> Iterator[dict[str, Path]]:
        """Yield the files of configuration and rules, by name, as far as they are in it."""
        with tempfile.TemporaryDirectory() as directory:
            found: dict[str, Path] = {}
            for name in (CONFIG, RULES):
                if name in self.names:
                    found[name] = Path(directory) / name
                    found[name].write_bytes(_member(self.path, name))
            yield found


def read(paths: Sequence[Path]) -> Bundle | None:
    """Return the bundle at `paths`; None where they are a dump, or nothing.

    Raises:
        WrongInputError: it is a zip that breaks off, one with another manifest, or a bundle of a
            newer harness.
    """
    # Of a path that this user may not look at, dumps/sources.py says so.
    if len(paths) != 1 or not os.path.isfile(paths[0]) or not _begins_a_zip(paths[0]):
        return None
    (path,) = paths
    names = _names(path)
    if BUNDLE_MANIFEST not in names:
        return None
    try:
        found = json.loads(_member(path, BUNDLE_MANIFEST))
        if not isinstance(found, dict) or found.get("kind") != KIND:
            raise ValueError(f"a {BUNDLE_MANIFEST} that is not of matomo-harness")
    except ValueError as error:
        raise _no_bundle(path, str(error)) from error
    _require_known_format(path, found)
    try:
        return Bundle(path, Manifest.model_validate(found), names)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise _no_bundle(path, f"{where} in its manifest: {first['msg']}") from error


def printable(text: str) -> str:
    """Return words of somebody else's as they may go to a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:200])


def _require_known_format(path: Path, manifest: dict[str, object]) -> None:
    known = manifest.get("format")
    if isinstance(known, int) and known > FORMAT:
        raise WrongInputError(
            expected=f"{path.name} to be a bundle of format {FORMAT} or older",
            seen=f"format {known}, written by matomo-harness"
            f" {printable(str(manifest.get('harness')))}",
            next_command="the same command of that version of matomo-harness, or a newer one",
        )


def _begins_a_zip(path: Path) -> bool:
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(2) == b"PK"
    return False


def _names(path: Path) -> tuple[str, ...]:
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(archive.namelist())
    except _DAMAGED as error:
        raise _damaged(path, error) from error


def _member(path: Path, name: str) -> bytes:
    """Return a small file of the zip, whatever size it says that it has."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name) as file:
            data = file.read(MOST + 1)
    except _DAMAGED as error:
        raise _damaged(path, error) from error
    if len(data) > MOST:
        raise _no_bundle(path, f"more than {MOST} bytes in {name}")
    return data


def _damaged(path: Path, error: Exception) -> WrongInputError:
    return WrongInputError(
        expected=f"{path.name} to be a whole zip",
        seen=f"it is truncated or corrupt: {error}",
        next_command="copy it anew; compare its size with the original's",
    )


def _no_bundle(path: Path, seen: str) -> WrongInputError:
    return WrongInputError(
        expected=f"{path.name} to be a dump, or a bundle of matomo-harness bundle",
        seen=printable(seen),
        next_command=f"unzip -l {path}",
    )
