"""A backup of Matomo's file system, as it is: what is in it, and how it is put back.

Nothing of it is unpacked here but into a file without a name, which ends with this process.
"""

import errno
import hashlib
import io
import lzma
import shutil
import tarfile
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Final

from docker.models.containers import Container

from matomo_harness.errors import UnsupportedEnvironmentError, WrongInputError
from matomo_harness.matomo import ini
from matomo_harness.operate import production_files
from matomo_harness.operate.production_files import CHUNK, CONFIG, IN_MEMORY, below_web_root

PARTS: Final = (*production_files.DIRECTORIES, "plugins")
RESTORED: Final = production_files.DIRECTORIES
"""Plugins are code, and that is the image's to bring."""
TRACKERS: Final = ("matomo.js", "piwik.js")
MANIFEST: Final = "backup-manifest.txt"
"""What image/bin/backup-data.sh writes beside the parts."""
LOGO: Final = "misc/user/logo"
CONTAINERS: Final = "js/container_"
MOST_OF_A_TEXT: Final = 2**24
NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


class DamagedFilesError(WrongInputError):
    """The archive cannot be read to its end, or has nothing of Matomo."""


@dataclass(frozen=True)
class Manifest:
    """What the program that made the backup wrote of it.

    Args:
        made: when, in UTC.
        matomo: version of the code.
        lacks: what it says that the backup does not hold.
        sums: SHA-256 of each file.
        is_whole: whether no line of it is cut.
    """

    made: datetime | None
    matomo: str
    lacks: tuple[str, ...]
    sums: Mapping[str, str] = field(repr=False)
    is_whole: bool = True


@dataclass(frozen=True)
class BackupFiles:
    """What is in a backup of the file system.

    Args:
        config: the text of config.ini.php; None where there is none.
        sums: SHA-256 of each file, by its path below the web root.
        newest: when the youngest of them was changed.
        manifest: None where the program that made the backup writes none.
        archive: what is restored, as a tar.
    """

    config: str | None = field(repr=False)
    sums: Mapping[str, str] = field(repr=False)
    newest: datetime | None
    manifest: Manifest | None
    archive: IO[bytes] = field(repr=False)

    @property
    def has_config(self) -> bool:
        """Whether config.ini.php is there and can be read."""
        return readable(self.config) is not None

    @property
    def counts(self) -> dict[str, int]:
        """How many files are in each part."""
        parts = Counter(name.partition("/")[0] for name in self.sums if "/" in name)
        return {part: parts[part] for part in PARTS if parts[part]}

    @property
    def plugins(self) -> set[str]:
        """The plugins whose code is in it."""
        return {PurePosixPath(name).parts[1] for name in self.sums if name.startswith("plugins/")}

    @property
    def damaged(self) -> list[str]:
        """Name the files that are not as the manifest says, or not there; a cut one itself."""
        said = self.manifest.sums if self.manifest else {}
        names = sorted(name for name, digest in said.items() if self.sums.get(name) != digest)
        is_cut = self.manifest is not None and not self.manifest.is_whole
        return [*([MANIFEST] if is_cut else []), *map(_printable, names)]

    def has(self, beginning: str) -> bool:
        """Whether there is a file whose path begins so."""
        return any(name.startswith(beginning) for name in self.sums)

    def put_into(
        self, container: Container, directory: str, owner: int, config: str, without: frozenset[str]
    ) -> None:
        """Write the files below a directory of a container.

        Args:
            container: it has a volume there.
            directory: where.
            owner: number of the user to whom they shall belong.
            config: the text of config.ini.php that is written.
            without: files that are left out, as they are code of the image's.
        """
        with tempfile.TemporaryFile() as owned:
            self.archive.seek(0)
            with (
                tarfile.open(fileobj=self.archive) as read,
                tarfile.open(fileobj=owned, mode="w") as written,
            ):
                for member in read:
                    if member.name in without:
                        continue
                    member.uid = member.gid = owner
                    file = read.extractfile(member)
                    if member.name == CONFIG:
                        file = io.BytesIO(config.encode())
                        member.size = len(config.encode())
                    written.addfile(member, file)
            owned.seek(0)
            container.put_archive(directory, owned)


@contextmanager
def read(path: Path) -> Iterator[BackupFiles]:
    """Read a tar of config, misc and js, packed by gzip, bzip2, xz or not at all.

    Args:
        path: the archive; see production_files.read.

    Raises:
        DamagedFilesError: it cannot be read to its end, or nothing in it is of Matomo.
        WrongInputError: this user may not read it, or there are two copies in it.
        UnsupportedEnvironmentError: there is no room for what is in it.
    """
    with tempfile.TemporaryFile() as archive:
        try:
            with tarfile.open(path) as tar:
                found = _sorted(tar, archive)
        except PermissionError as error:
            raise WrongInputError(
                expected=f"to be allowed to read {path}",
                seen=error.strerror or f"{error}",
                next_command=f"ls -l {path}",
            ) from error
        except (OSError, EOFError, tarfile.TarError, zlib.error, lzma.LZMAError) as error:
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise _no_room(path, error) from error
            raise _damaged(f"{path.name} cannot be read to its end: {error}") from error
        if not found.sums:
            raise _damaged(f"nothing in {path.name} is in config, misc or js")
        yield found


def _sorted(tar: tarfile.TarFile, archive: IO[bytes]) -> BackupFiles:
    config, manifest, sums, newest = None, None, dict[str, str](), 0.0
    configs: list[str] = []
    with tarfile.open(fileobj=archive, mode="w") as restored:
        for member in tar:
            name = below_web_root(member.name, PARTS)
            base = PurePosixPath(name).name
            if base in TRACKERS and name.partition("/")[0] not in PARTS:
                name = base
            elif name.partition("/")[0] not in PARTS and base != MANIFEST:
                continue
            file = None if ".." in PurePosixPath(name).parts else _opened(tar, member)
            if file is None:
                continue
            if base == MANIFEST:
                # Names are in any encoding, and compared with the tar's, which are read so.
                text = file.read(MOST_OF_A_TEXT).decode(errors="surrogateescape")
                manifest = _manifest(text)
                continue
            changed = member.mtime if _moment(member.mtime) else 0
            newest = max(newest, changed)
            # Whoever goes back in a packed tar unpacks it from the beginning again.
            with tempfile.SpooledTemporaryFile(IN_MEMORY) as copy:
                shutil.copyfileobj(file, copy, CHUNK)
                size = copy.tell()  # a hard link's own is 0
                copy.seek(0)
                sums[name] = hashlib.file_digest(copy, "sha256").hexdigest()
                copy.seek(0)
                if name == CONFIG:
                    configs.append(member.name)
                    config = copy.read(MOST_OF_A_TEXT).decode(errors="replace")
                    copy.seek(0)
                if name.partition("/")[0] in RESTORED:
                    plain = tarfile.TarInfo(name)
                    plain.size, plain.mtime = size, changed
                    restored.addfile(plain, copy)
    production_files.read_to_the_end(tar)
    production_files.require_one_copy(configs, tar)
    return BackupFiles(config, sums, _moment(newest), manifest, archive)


def _opened(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes] | None:
    """Return what a file holds, or the one that a hard link is another name of; None for others.

    Raises:
        TarError: the hard link's is not in the archive.
    """
    try:
        named = tar.getmember(member.linkname) if member.islnk() else member
    except KeyError as error:
        name = _printable(member.name)
        raise tarfile.TarError(f"the file of the hard link {name} is not in it") from error
    return tar.extractfile(named) if named.isfile() else None


def _moment(seconds: float) -> datetime | None:
    """Return a time in UTC; None for no time at all, or one that no calendar has."""
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (ValueError, OverflowError, OSError):
        return None


def _printable(name: str) -> str:
    r"""Return a name whose bytes that are no text are written as `\xe9`."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _manifest(text: str) -> Manifest:
    lines = [(word, rest) for word, _, rest in (line.partition(" ") for line in text.splitlines())]
    of = dict(lines)
    try:
        made = datetime.fromisoformat(of.get("made", ""))
    except ValueError:
        made = None
    files = [rest.split(maxsplit=1) for word, rest in lines if word == "file"]
    return Manifest(
        made=made,
        matomo=_printable(of.get("matomo", "")),
        lacks=tuple(_printable(rest) for word, rest in lines if word == "lacks"),
        sums={pair[1]: pair[0] for pair in files if len(pair) == 2},
        is_whole=all(len(pair) == 2 for pair in files),
    )


def _damaged(seen: str) -> DamagedFilesError:
    return DamagedFilesError(
        expected="a whole tar of Matomo's directories config, misc and js",
        seen=seen,
        next_command="tar -czf efs.tar.gz config misc js   (in the directory that holds them)",
    )


def _no_room(path: Path, error: OSError) -> UnsupportedEnvironmentError:
    return UnsupportedEnvironmentError(
        expected=f"room in {tempfile.gettempdir()} for what is in {path.name}",
        seen=error.strerror or f"{error}",
        next_command="TMPDIR=a directory with room for it, then the same command",
    )


def readable(config: str | None) -> ini.Ini | None:
    """Return what a config.ini.php says; None where there is none, or it is not INI."""
    try:
        return ini.read(config) if config is not None else None
    except WrongInputError:
        return None
