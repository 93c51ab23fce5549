"""What of production's file system a reproduction takes over.

Pictures that administrators uploaded, scripts below `js/`, databases of locations, and
config.ini.php. The first two are served to everybody, and the third is no visitor's; nothing else
leaves the archive, as nobody has looked for person data in it.
"""

import lzma
import os
import re
import tarfile
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Final

from docker.models.containers import Container

from matomo_harness.errors import WrongInputError

DIRECTORIES: Final = ("config", "misc", "js")
CONFIG: Final = "config/config.ini.php"
TAKEN: Final = re.compile(
    r"misc/user/.+\.(png|svg|jpe?g|gif|ico)|misc/.+\.mmdb|js/.+\.js", re.IGNORECASE
)
OF_CODE: Final = frozenset({"core", "libs", "node_modules", "plugins", "tests", "vendor"})
"""Directories of the code, which have a `js` or a `config` of their own in an archive of all of the
web root."""
MOST: Final = 2**30
"""Bytes that are taken over at most; a database of cities has 2**27."""
IN_MEMORY: Final = 2**24
MOST_OF_CONFIG: Final = 2**20
CHUNK: Final = 2**20


@dataclass(frozen=True)
class ProductionFiles:
    """What was found in an archive of production's file system.

    Args:
        config: the text of config.ini.php; None where there is none.
        names: files that are taken over, below the web root.
        left_out: how many others there are, by directory.
        archive: those that are taken over, as a tar.
    """

    config: str | None
    names: tuple[str, ...]
    left_out: dict[str, int]
    archive: IO[bytes] = field(repr=False)

    def put_into(self, container: Container, web_root: str, owner: int) -> None:
        """Write the files below the web root of a container, as its web server's user.

        Args:
            container: it has volumes on `misc` and `js`.
            web_root: where.
            owner: number of the user.
        """
        with tempfile.TemporaryFile() as owned:
            self.archive.seek(0)
            with (
                tarfile.open(fileobj=self.archive) as read,
                tarfile.open(fileobj=owned, mode="w") as written,
            ):
                for member in read:
                    member.uid = member.gid = owner
                    written.addfile(member, read.extractfile(member))
            owned.seek(0)
            container.put_archive(web_root, owned)

    def __str__(self) -> str:
        said = f"{len(self.names)} of production's files taken over"
        if self.left_out:
            others = ", ".join(f"{count} in {name}" for name, count in self.left_out.items())
            said += f"; left out: {others}"
        return said


@contextmanager
def read(path: Path) -> Iterator[ProductionFiles]:
    """Read a tar of production's file system, packed by gzip, bzip2, xz or not at all.

    Args:
        path: the archive. Files are known by the directory `config`, `misc` or `js` that they are
            in, whatever that is in.

    Raises:
        WrongInputError: it is no such tar, nothing in it is of Matomo, or two copies of it are.
    """
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as archive:
        try:
            with tarfile.open(path) as tar:
                config, names, left_out = _sorted(tar, archive)
        except (OSError, EOFError, tarfile.TarError, zlib.error, lzma.LZMAError) as error:
            raise wrong(path, getattr(error, "strerror", None) or str(error)) from error
        if config is None and not names:
            others = ", ".join(f"{count} in {name}" for name, count in left_out.items())
            raise wrong(path, f"none of them; there are {others or 'no files'}")
        yield ProductionFiles(config, tuple(names), left_out, archive)


def _sorted(
    tar: tarfile.TarFile, archive: IO[bytes]
) -> tuple[str | None, list[str], dict[str, int]]:
    config, names, left_out, size = None, [], Counter[str](), 0
    configs: list[str] = []
    with tarfile.open(fileobj=archive, mode="w") as taken:
        for member in tar:
            file = _content(tar, member)
            if file is None:
                continue
            name = below_web_root(member.name)
            configs += [member.name] if name == CONFIG else []
            length = file.seek(0, os.SEEK_END)
            file.seek(0)
            if name == CONFIG and length <= MOST_OF_CONFIG:
                config = file.read().decode(errors="replace")
            elif _is_taken(name) and size + length <= MOST:
                size += length
                names.append(name)
                plain = tarfile.TarInfo(name)
                plain.size, plain.mtime = length, member.mtime
                taken.addfile(plain, file)
            else:
                left_out[str(PurePosixPath(name).parent)] += 1
    read_to_the_end(tar)
    require_one_copy(configs, tar)
    return config, names, dict(left_out)


def require_one_copy(configs: Iterable[str], tar: tarfile.TarFile) -> None:
    """Require that an archive has one config.ini.php, and not that of another file system as well.

    A whole EFS has what runs and its backup: of a mixture nobody could say what it proves.

    Args:
        configs: names of those in the archive.
        tar: the archive.

    Raises:
        WrongInputError: it has several.
    """
    found = sorted({str(PurePosixPath(name)) for name in configs})
    if len(found) > 1:
        raise WrongInputError(
            expected=f"one copy of config, misc and js in {PurePosixPath(str(tar.name)).name}",
            seen=", ".join(found),
            next_command="tar -C DIRECTORY -cf efs.tar .   (DIRECTORY: the one of these to take)",
        )


def read_to_the_end(tar: tarfile.TarFile) -> None:
    """Read what is behind the end of a tar: the checksum of what is packed comes last."""
    while tar.fileobj and tar.fileobj.read(CHUNK):
        pass


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes] | None:
    """Return what a file has; None for a directory, a symbolic link or a device.

    A second name of a file (a hard link) has what the file before it has; one that leads out of the
    archive is refused.
    """
    if not (member.isfile() or member.islnk()):
        return None
    try:
        return tar.extractfile(member)
    except KeyError as error:
        raise tarfile.ReadError(
            f"{member.name} is a link to {member.linkname}, which is not in it"
        ) from error


def _is_taken(name: str) -> bool:
    return bool(TAKEN.fullmatch(name)) and ".." not in PurePosixPath(name).parts


def below_web_root(name: str, directories: Sequence[str] = DIRECTORIES) -> str:
    """Return the path from the first of Matomo's directories on; other paths as they are.

    Args:
        name: a path in an archive.
        directories: which ones, of the web root.
    """
    parts = [part for part in PurePosixPath(name).parts if part not in (".", "/")]
    for at, part in enumerate(parts[:-1]):
        if part in directories:
            return "/".join(parts[at:])
        if part in OF_CODE:
            break
    return "/".join(parts)


def wrong(path: Path, seen: str) -> WrongInputError:
    """Return the error for an archive that is not what it should be."""
    return WrongInputError(
        expected=f"a tar of production's config, misc and js directories in {path}",
        seen=seen,
        next_command="tar -czf efs.tar.gz config misc js   (in the directory that holds them)",
    )
