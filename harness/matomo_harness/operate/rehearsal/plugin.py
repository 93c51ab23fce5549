"""A plugin that is added, updated or removed: the image with its files, and how it is on."""

import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from matomo_harness.errors import WrongInputError
from matomo_harness.operate import stack_image
from matomo_harness.runtime import images
from matomo_harness.runtime.images import Image

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
DESCRIPTION: Final = "plugin.json"


class Kind(StrEnum):
    """What becomes of a plugin."""

    ADD = "add"
    UPDATE = "update"
    REMOVE = "remove"


class Route(StrEnum):
    """How a plugin is switched on."""

    CONSOLE = "console"
    LIST = "list"


@dataclass(frozen=True)
class PluginChange:
    """A plugin that is added, updated or removed.

    Args:
        kind: which of these.
        name: of the plugin, as its folder is called.
        version: of the files; empty where they go.
        route: how it is switched on: by plugin:activate, or by a line in [Plugins] of the file.
    """

    kind: Kind
    name: str
    version: str = ""
    route: Route = Route.CONSOLE


def change_of(kind: Kind, what: str, way: Route = Route.CONSOLE) -> PluginChange:
    """Return the change of a plugin.

    Args:
        kind: what becomes of it.
        what: its folder or the zip file of it; its name where it is removed.
        way: how it is switched on.

    Raises:
        WrongInputError: there is no such folder or file, or it is not a plugin's.
    """
    if kind is Kind.REMOVE:
        if not NAME.fullmatch(what):
            raise _none(f"the name of a plugin, not {what}")
        return PluginChange(kind, what)
    with _folder(Path(what)) as folder:
        described = _described(folder)
    return PluginChange(kind, described["name"], str(described.get("version", "")), way)


def build(change: PluginChange, what: str, image: Image) -> Image:
    """Build an image with the plugin's files, or without them, on another one.

    Args:
        change: of the plugin.
        what: its folder or the zip file of it; not read where it is removed.
        image: what runs today.

    Raises:
        WrongInputError: the image has the plugin already, or has none to update or to remove.
    """
    # Where its code is: the official entrypoint copies it from there.
    plugins = f"{stack_image.of(image).profile.code}/plugins"
    present = images.run_once(image.reference, ["ls", plugins]).split()
    target = f"{plugins}/{change.name}"
    if (change.name in present) is (change.kind is Kind.ADD):
        other = Kind.UPDATE if change.kind is Kind.ADD else Kind.ADD
        raise WrongInputError(
            expected=f"an image {'without' if change.kind is Kind.ADD else 'with'} {change.name}",
            seen=f"{target} in {image}" if change.kind is Kind.ADD else f"no {target} in {image}",
            next_command=f"matomo-harness rehearse-plugin {other} {what}",
        )
    with tempfile.TemporaryDirectory() as directory:
        context = Path(directory)
        lines = [f"FROM {image.reference}"]
        if change.kind is not Kind.ADD:
            lines.append(f"RUN rm -r {target}")
        if change.kind is not Kind.REMOVE:
            with _folder(Path(what)) as folder:
                shutil.copytree(folder, context / "plugin")
            images.let_everybody_read(context)
            lines.append(f"COPY plugin/ {target}/")
        (context / "Dockerfile").write_text("\n".join(lines) + "\n")
        files = images.tree(context)
        tag = f"{images.REPOSITORY}/rehearsal:{images.content_hash(files, image.id)}"
        return images.local(tag, "local") or images.build(context, tag, {}, {})


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    """Yield the folder of a plugin; that of a zip file is there for the block.

    Raises:
        WrongInputError: there is none.
    """
    if path.is_dir():
        yield path
        return
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise _none(f"{'a file that is no zip' if path.exists() else 'nothing'} at {path}")
    with tempfile.TemporaryDirectory() as directory:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(directory)  # it leaves out `..` and absolute paths
        found = sorted(Path(directory).glob(f"*/{DESCRIPTION}"))
        if len(found) != 1:
            raise _none(f"{len(found)} folders with a {DESCRIPTION} in {path}")
        yield found[0].parent


def _described(folder: Path) -> dict[str, Any]:
    file = folder / DESCRIPTION
    try:
        read = json.loads(file.read_text())
    except OSError:
        raise _none(f"no {DESCRIPTION} in {folder}") from None
    except ValueError as error:
        raise _none(f"{file}: {error}") from None
    described: dict[str, Any] = read if isinstance(read, dict) else {}
    name = described.get("name", "")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise _none(f"no name in {file}")
    if not (folder / f"{name}.php").is_file() and not (folder / "API.php").is_file():
        raise _none(f"neither {name}.php nor API.php in {folder}")
    return described


def _none(seen: str) -> WrongInputError:
    return WrongInputError(
        expected=f"a plugin: a folder or a zip file of one, with {DESCRIPTION} and its code",
        seen=seen,
        next_command="matomo-harness rehearse-plugin add ./MyPlugin",
    )
