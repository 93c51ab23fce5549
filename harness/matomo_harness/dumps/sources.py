"""Opens a dump, however it is wrapped, as a stream: nothing of it is written to a disk.

What a file is, its first bytes say, never its name. Memory does not grow with the size of the dump.
"""

import lzma
import os
import re
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO, RawIOBase
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final

from matomo_harness import extra
from matomo_harness.dumps import mydumper
from matomo_harness.errors import UnsupportedEnvironmentError, WrongInputError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK: Final = 2**20
"""Bytes that are read or handed on together."""
COMPRESSED: Final = 2 * 1024
"""Bytes of a .zst that are unpacked together: no limit can be set to what comes of them."""
LARGEST_WINDOW: Final = 2**27
"""Bytes that zstd and xz may look back: the limit of zstd itself without --long."""
WRAPPINGS: Final = 4
"""So many times a dump may be wrapped, as in a .gz in a .tar in a .xz."""
PASSWORD_VARIABLE: Final = "DUMP_PASSWORD"  # noqa: S105

BUNDLE_MANIFEST: Final = "manifest.json"
"""A zip with this file is a bundle (operate/bundle.py), in which one file alone is a dump."""
BUNDLED_DUMP: Final = "data.sql.zst"

HEAD: Final = 512
"""Bytes that say what a file is: a block of a tar."""

_TAR_MAGIC_AT: Final = 257
_GZIP: Final = b"\x1f\x8b"
_XZ: Final = b"\xfd7zXZ\0"
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
UTF_8_MARK: Final = b"\xef\xbb\xbf"
"""What editors and PowerShell put before a text."""
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_NOT_UNPACKED: Final = {
    b"BZh": ("bzip2", "bunzip2 --keep"),
    b"7z\xbc\xaf\x27\x1c": ("7-Zip", "7z x"),
    b"\x04\x22\x4d\x18": ("lz4", "lz4 -d"),
    b"Rar!": ("RAR", "unrar x"),
    b"-----BEGIN PGP": ("a file that GnuPG has encrypted", "gpg --decrypt"),
    b"Salted__": ("a file that openssl has encrypted", "openssl enc -d"),
}
"""Beginnings of files that have to be unpacked first: what they are, and what unpacks them."""
_SKIPPABLE: Final = range(0x184D2A50, 0x184D2A60)
"""Frames that zstd passes over, as pzstd writes them (RFC 8878, 3.1.2)."""


@dataclass(frozen=True)
class Part:
    """A piece of a dump that begins with a statement, or one table's rows.

    Args:
        name: how errors name it.
        chunks: its bytes, to be read before the next part is asked for.
        table: where it is a file of `mariadb-dump --tab` or `--dir` without statements, the table.
    """

    name: str
    chunks: Iterator[bytes]
    table: str | None = None


class UnreadableDumpError(WrongInputError):
    """The dump may be whole, and cannot be read here: its password or a permission is lacking."""


class DumpSource:
    """The files of a dump.

    Args:
        paths: files in their order, or one directory that mydumper, or `mariadb-dump --dir` or
            `--tab` wrote.
        password: of an encrypted zip; what DUMP_PASSWORD is set to by default.

    Raises:
        WrongInputError: there is no such file, or nothing in it.
    """

    def __init__(self, paths: Sequence[Path], password: str | None = None) -> None:
        self._password = os.environ.get(PASSWORD_VARIABLE) if password is None else password
        self.is_finished_by_mydumper = False
        """Whether it has what mydumper writes at its end; known of an archive when all was read."""
        self._files: list[tuple[Path, str | None]] = []
        for path in paths:
            with _readable(path):
                self.is_finished_by_mydumper |= mydumper.is_directory(path)
                self._files += _files(path)
        self.total = sum(path.stat().st_size for path, _ in self._files)
        """Bytes of all files, as they are on the disk; 0 where that cannot be known (a pipe)."""
        self.read = 0
        """Bytes of `total` that were read so far, for rate and time left."""
        self._read_before = 0  # of the files before the one that is read
        if not all(path.is_file() for path, _ in self._files):
            self.total = 0

    def parts(self) -> Iterator[Part]:
        """Yield what the dump consists of, from the beginning.

        Raises:
            WrongInputError: a file is truncated, corrupt, empty or of an unknown kind, or its
                password is wrong or missing.
        """
        self.read = 0
        for paths, table in self._groups():
            self._read_before = self.read
            name, chunks = paths[0].name, chain.from_iterable(map(self._read, paths))
            if table is not None:
                yield Part(name, chunks, table)
            else:
                yield from self._unwrapped(name, chunks, paths[0], WRAPPINGS)

    def _groups(self) -> Iterator[tuple[list[Path], str | None]]:
        """Yield the files, those together that `split` made of one."""
        group: list[Path] = []
        for path, table in self._files:
            with _readable(path):
                is_more = bool(group) and table is None and _continues(path, group[0])
            if is_more:
                group.append(path)
                continue
            if group:
                yield group, None
            group = []
            if table is None:
                group = [path]
            else:
                yield [path], table
        if group:
            yield group, None

    def _read(self, path: Path) -> Iterator[bytes]:
        with _readable(path), path.open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK):
                self.read += len(chunk)
                yield chunk

    def _unwrapped(
        self, name: str, chunks: Iterator[bytes], path: Path | None, left: int
    ) -> Iterator[Part]:
        """Yield the parts of what may be packed; `path` where it can be read in any order."""
        first, rest = _first(chunks, HEAD), chunks
        chunks = chain([first], rest)
        if not left:
            raise WrongInputError(
                expected=f"a dump that is packed at most {WRAPPINGS} times",
                seen=f"another packed file in {name}",
                next_command="unpack it, and give the file that is in it",
            )
        if not first:
            raise _unusable(name, "nothing in it")
        if first.startswith(_GZIP):
            yield from self._unwrapped(name, _gunzipped(name, chunks), None, left - 1)
        elif first.startswith(_XZ):
            yield from self._unwrapped(name, _unxz(name, chunks), None, left - 1)
        elif _is_zstd(first):
            yield from self._unwrapped(name, _large(_unzstd(name, chunks)), None, left - 1)
        elif first.startswith(_ZIP):
            yield from self._members_of_zip(name, path, left - 1)
        elif first[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar":
            yield from self._members_of_tar(name, chunks, left - 1)
        elif kind := next((kind for kind in _NOT_UNPACKED if first.startswith(kind)), None):
            raise _not_unpacked(name, *_NOT_UNPACKED[kind])
        elif problem := _is_no_text(first):
            raise _unusable(name, problem)
        else:
            yield Part(name, chain([first.removeprefix(UTF_8_MARK)], rest))

    def _members_of_tar(self, name: str, chunks: Iterator[bytes], left: int) -> Iterator[Part]:
        seen = set[str]()
        with _errors_of(name), tarfile.open(fileobj=_Reader(chunks), mode="r|") as archive:
            for member in archive:
                if member.isdir() or _is_of_macos(member.name):
                    continue
                inner = f"{name}:{member.name}"
                file = archive.extractfile(member) if member.isreg() else None
                if file is None:
                    raise _unusable(inner, "a link or a device")
                yield from self._member(inner, _chunks_of(name, file), left, seen)
        if not seen:
            raise _unusable(name, "no file in it")

    def _members_of_zip(self, name: str, path: Path | None, left: int) -> Iterator[Part]:
        if path is None:
            raise WrongInputError(
                expected="a zip that is not packed itself: its directory is at its end",
                seen=f"one within {name}",
                next_command="unpack it, and give the zip that is in it",
            )
        try:
            from pyzipper.zipfile_aes import AESZipFile
        except ImportError as error:
            raise _no_library("pyzipper") from error
        seen = set[str]()
        password = self._password.encode() if self._password else None
        archive: Any
        counted = _CountedFile(path, self._count)
        with _errors_of(name), counted, AESZipFile(counted) as archive:
            self.read = self._read_before
            is_bundle = BUNDLE_MANIFEST in archive.namelist()
            for entry in archive.infolist():
                if (
                    entry.is_dir()
                    or _is_of_macos(entry.filename)
                    or (is_bundle and entry.filename != BUNDLED_DUMP)
                ):
                    continue
                chunks = _entry(name, archive, entry, password)
                yield from self._member(f"{name}:{entry.filename}", chunks, left, seen)
        self.read = self._read_before + path.stat().st_size
        if not seen:
            raise _unusable(name, "no file in it")

    def _count(self, size: int) -> None:
        self.read = min(self.read + size, self.total)

    def _member(
        self, name: str, chunks: Iterator[bytes], left: int, seen: set[str]
    ) -> Iterator[Part]:
        """Yield a file of an archive; the rows of a table have to come after its statements."""
        stem, _, suffix = name.rpartition(".")
        if suffix == "txt":
            if f"{stem}.sql" not in seen:
                raise WrongInputError(
                    expected=f"in an archive before {name}, as rows, the .sql of its table",
                    seen="none",
                    next_command="give the dump alone, without other files; or unpack the"
                    " archive of mariadb-dump --dir, and give the directory",
                )
            yield Part(name, chunks, _table_of(Path(stem).name.rpartition(":")[2]))
        elif mydumper.is_metadata(Path(name.rpartition(":")[2])):
            mydumper.require_end(name, b"".join(chunks).decode(errors="replace"))
            self.is_finished_by_mydumper = True
        else:
            seen.add(name)
            yield from self._unwrapped(name, chunks, None, left)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Name the path in what the system refuses.

    Raises:
        UnreadableDumpError: this user may not look at it.
        WrongInputError: it cannot be read for another reason.
    """
    try:
        yield
    except OSError as error:
        kind = UnreadableDumpError if isinstance(error, PermissionError) else WrongInputError
        raise kind(
            expected=f"a readable dump in {path.name}",
            seen=error.strerror or str(error),
            next_command=f"ls -ld {path.parent} {path}",
        ) from error


def _is_of_macos(name: str) -> bool:
    """Whether a member of an archive is beside the files: what macOS knows of them."""
    path = PurePosixPath(name)
    return "__MACOSX" in path.parts or path.name.startswith("._") or path.name == ".DS_Store"


# -- directories -----------------------------------------------------------------------------------


def _files(path: Path) -> list[tuple[Path, str | None]]:
    """Return the files of a path in the order in which they are read, and the tables of rows."""
    if not path.exists():
        raise WrongInputError(
            expected=f"a dump at {path}", seen="no such file", next_command=f"ls -l {path.parent}"
        )
    if not path.is_dir():
        return [(path, None)]
    if mydumper.is_directory(path):
        return [(file, None) for file in mydumper.files(path)]
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir())
    schemas = [folder for folder in folders if any(folder.glob("*.sql"))]
    if len(schemas) > 1:
        raise WrongInputError(
            expected=f"one schema in {path.name}, as mariadb-dump --dir writes them",
            seen=", ".join(folder.name for folder in schemas),
            next_command=f"give the folder of Matomo's alone, e.g. {schemas[0]}",
        )
    own = sorted(file for file in path.glob("*.sql") if not _is_of_macos(file.name))
    if own and schemas:
        raise WrongInputError(
            expected=f"one dump in {path.name}",
            seen=f"{own[0].name} beside the folder {schemas[0].name}, which has .sql as well",
            next_command=f"give one of them: {own[0]}, or {schemas[0]}",
        )
    folder = schemas[0] if schemas else path
    tables = sorted(file for file in folder.glob("*.sql") if not _is_of_macos(file.name))
    if not tables:
        raise WrongInputError(
            expected=f"in {path.name} a directory of mydumper or mariadb-dump --dir or --tab",
            seen="no .sql in it",
            next_command=f"ls {path}",
        )
    if others := sorted(file.name for file in folder.iterdir() if _OTHER_ROWS.search(file.name)):
        raise WrongInputError(
            expected=f"in {folder.name} .sql and .txt files, as of mariadb-dump --dir and --tab",
            seen=f"others, that are not read: {', '.join(others[:5])}",
            next_command="unpack them (gunzip), or name the files themselves, in their order; or"
            " dump again: mariadb-dump --single-transaction SCHEMA",
        )
    files: list[tuple[Path, str | None]] = []
    for table in tables:
        files.append((table, None))
        rows = table.with_suffix(".txt")
        if rows.exists() and rows.stat().st_size:
            files.append((rows, _table_of(table.stem)))
    if alone := {file for file in folder.glob("*.txt") if not file.with_suffix(".sql").exists()}:
        raise WrongInputError(
            expected=f"a table's statements (.sql) beside its rows in {folder.name}",
            seen=f"rows alone: {', '.join(sorted(file.name for file in alone))}",
            next_command="copy the directory anew, as a whole",
        )
    return files


_OTHER_ROWS: Final = re.compile(
    r"\.(txt\.\w+|sql\.(gz|xz|zst|zip|bz2|lz4|7z)|tsv(\.\w+)?|csv(\.\w+)?|dat(\.\w+)?)$|^@\.json$"
)
"""Files of rows that other tools write beside .sql: MySQL Shell, say, or a packed --tab; and packed
dumps."""

_ENCODED: Final = re.compile(r"@([0-9a-f]{4})")


def _table_of(stem: str) -> str:
    """Return the table that a file is named after, in which the server writes some signs as @0024.

    See MariaDB's manual, "Identifier to File Name Mapping".
    """
    return _ENCODED.sub(lambda match: chr(int(match[1], 16)), stem)


# -- pieces that `split` made ----------------------------------------------------------------------

_BEGINNING: Final = re.compile(
    rb"\s*(?:--|/\*|#|(?:ALTER|BEGIN|COMMIT|CREATE|DELIMITER|DROP|INSERT|LOCK|REPLACE|SET|START"
    rb"|TRUNCATE|UNLOCK|USE)\b)",
    re.I,
)


def _continues(path: Path, first: Path) -> bool:
    """Whether a file is a further piece of the one that begins in `first`, by its first bytes.

    A piece of a packed file is no text, and begins as no packed file does; one of a plain file
    begins as no dump does. Where a cut fell before a statement, the rest is a dump as well. `split`
    makes no empty pieces: an empty file is a dump that failed.
    """
    if not path.is_file() or not first.is_file():
        return False
    with path.open("rb") as file, first.open("rb") as before:
        head, head_before = file.read(HEAD), before.read(HEAD)
    if not head or _is_packed(head) or head.startswith(_UTF_16):
        return False
    if _is_packed(head_before):
        return not _is_utf_8(head)
    return b"\0" not in head and not _BEGINNING.match(head.removeprefix(UTF_8_MARK))


def _is_utf_8(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4  # cut within a sign
    return b"\0" not in head


def _is_packed(head: bytes) -> bool:
    is_tar = head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar"
    return is_tar or _is_zstd(head) or head.startswith((_GZIP, _XZ, *_ZIP))


# -- packed files ----------------------------------------------------------------------------------


def _first(chunks: Iterator[bytes], size: int) -> bytes:
    """Return at least `size` bytes, or all there are."""
    first = b""
    while len(first) < size and (chunk := next(chunks, b"")):
        first += chunk
    return first


def _small(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), COMPRESSED):
            yield chunk[start : start + COMPRESSED]


def _large(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Put chunks together, up to `CHUNK` or more."""
    parts, size = list[bytes](), 0
    for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size >= CHUNK:
            yield b"".join(parts)
            parts, size = [], 0
    if parts:
        yield b"".join(parts)


def _gunzipped(name: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack gzip, of several members too (pigz, cat)."""
    unpacker = None
    for chunk in chunks:
        left = chunk
        while left:
            if unpacker is None:
                left = left.lstrip(b"\0")  # padding of a tape
                if not left:
                    break
                unpacker = zlib.decompressobj(wbits=31)
            try:
                if data := unpacker.decompress(left, CHUNK):
                    yield data
            except zlib.error as error:
                raise _corrupt(name, error) from error
            left = unpacker.unconsumed_tail
            if unpacker.eof:
                left, unpacker = unpacker.unused_data, None
    if unpacker is not None:
        raise _truncated(name)


def _unxz(name: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack xz, of several streams too."""
    unpacker = None
    for chunk in chunks:
        left = chunk
        while left or (unpacker is not None and not unpacker.needs_input):
            if unpacker is None:
                left = left.lstrip(b"\0")  # padding between streams
                if not left:
                    break
                unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=LARGEST_WINDOW)
            try:
                if data := unpacker.decompress(left, CHUNK):
                    yield data
            except lzma.LZMAError as error:
                raise _corrupt(name, error) from error
            left = b""
            if unpacker.eof:
                left, unpacker = unpacker.unused_data, None
    if unpacker is not None:
        raise _truncated(name)


def _unzstd(name: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack zstd, of several frames too (pzstd, cat)."""
    try:
        import zstandard
    except ImportError as error:
        raise _no_library("zstandard") from error
    unpackers = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
    unpacker = None
    for chunk in _small(chunks):
        left = chunk
        while left:
            if unpacker is None:
                unpacker = unpackers.decompressobj()
            try:
                if data := unpacker.decompress(left):
                    yield data
            except zstandard.ZstdError as error:
                raise _corrupt(name, error) from error
            left = b""
            if unpacker.eof:
                left, unpacker = unpacker.unused_data, None
    if unpacker is not None:
        raise _truncated(name)


def _is_zstd(first: bytes) -> bool:
    magic = int.from_bytes(first[:4], "little")
    return magic == 0xFD2FB528 or magic in _SKIPPABLE


def _is_no_text(first: bytes) -> str | None:
    """Return what the first bytes say that a file is, where they are no text."""
    if first.startswith(_UTF_16):
        return "UTF-16, as PowerShell's > writes it (dump with --result-file instead)"
    if first.lstrip().startswith(b"<"):
        return "XML or HTML"
    if b"\0" in first:
        return "bytes of an unknown kind"
    return None


def _chunks_of(name: str, file: IO[bytes]) -> Iterator[bytes]:
    with _errors_of(name), file:
        while chunk := file.read(CHUNK):
            yield chunk


_ARCHIVE_ERRORS: Final = (
    *(tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, NotImplementedError, OSError),
)


def _entry(name: str, archive: Any, entry: Any, password: bytes | None) -> Iterator[bytes]:
    """Yield a file of a zip; of an encrypted one, whose first bytes may fit a wrong password."""
    is_encrypted, is_out = bool(entry.flag_bits & 1), False
    if is_encrypted and not password:
        raise _no_password(name, "no password")
    try:
        with archive.open(entry, pwd=password) as file:
            for chunk in _chunks_of(name, file):
                is_out = True
                yield chunk
    except NotImplementedError as error:
        raise _not_unpacked(name, str(error), f"unzip {name}") from error
    except RuntimeError as error:
        raise _no_password(name, "another one") from error
    except WrongInputError as error:
        if is_encrypted:
            # One of 256 wrong passwords fits the one byte that zip's older encryption checks; of
            # what it opens nothing can be unpacked. AES is sure: what breaks off is damaged.
            is_damaged = is_out or bool(entry.wz_aes_version)
            kind = WrongInputError if is_damaged else UnreadableDumpError
            raise _no_password(name, f"another one, or {error.seen}", kind) from error
        raise


@contextmanager
def _errors_of(name: str) -> Iterator[None]:
    """Name the file in what goes wrong with an archive."""
    try:
        yield
    except _ARCHIVE_ERRORS as error:
        raise _corrupt(name, error) from error
    except Exception as error:
        # pyzipper has a BadZipFile of its own, and need not be installed here.
        if type(error).__name__ != "BadZipFile":
            raise
        raise _corrupt(name, error) from error


class _CountedFile(FileIO):
    """A file that reports how many bytes are read of it."""

    def __init__(self, path: Path, on_read: Callable[[int], None]) -> None:
        super().__init__(path)
        self._on_read = on_read

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(-1 if size is None else size)
        self._on_read(len(data))
        return data


class _Reader(RawIOBase):
    """Chunks as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        if not self._left:
            self._left = memoryview(next(self._chunks, b""))
        target = memoryview(buffer).cast("B")
        size = min(len(target), len(self._left))
        target[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


# -- errors ----------------------------------------------------------------------------------------


def _unusable(name: str, seen: str) -> WrongInputError:
    return WrongInputError(
        expected=f"in {name} a dump of mysqldump, mariadb-dump, mydumper or phpMyAdmin, plain or"
        " packed (gz, zst, xz, zip, tar)",
        seen=seen,
        next_command="dump again: mariadb-dump --single-transaction SCHEMA > dump.sql",
    )


def _truncated(name: str) -> WrongInputError:
    return WrongInputError(
        expected=f"{name} to be whole",
        seen="its end before the end of what is packed in it: it is truncated",
        next_command="copy it anew; compare its size with the original's",
    )


def _not_unpacked(name: str, seen: str, unpack: str) -> WrongInputError:
    return WrongInputError(
        expected=f"{name} to be packed as gz, zst, xz, zip (deflated or stored) or tar",
        seen=seen,
        next_command=f"{unpack}   (and give the file that was in it)",
    )


def _corrupt(name: str, error: Any) -> WrongInputError:
    """Return the error for what cannot be unpacked, by the words of the library that failed."""
    if "memory" in str(error).lower():
        return WrongInputError(
            expected=f"{name} to need at most {LARGEST_WINDOW // 2**20} MiB to be unpacked",
            seen=f"more: {error}",
            next_command=f"unpack it first: zstd -d --long=31 {name}, or xz -d {name}",
        )
    return WrongInputError(
        expected=f"{name} to be whole",
        seen=f"it is truncated or corrupt: {error}",
        next_command="copy it anew; compare its checksum with the original's",
    )


def _no_password(
    name: str, seen: str, kind: type[WrongInputError] = UnreadableDumpError
) -> WrongInputError:
    return kind(
        expected=f"the password of {name} in the environment variable {PASSWORD_VARIABLE}",
        seen=seen,
        next_command=f"read -rs {PASSWORD_VARIABLE}; export {PASSWORD_VARIABLE}; the same again",
    )


def require_zstd() -> None:
    """Require the library that reads and writes .zst, before work is done for it.

    Raises:
        UnsupportedEnvironmentError: it is not installed; `next_command` installs it.
    """
    try:
        import zstandard  # noqa: F401
    except ImportError as error:
        raise _no_library("zstandard") from error


def _no_library(name: str) -> UnsupportedEnvironmentError:
    return UnsupportedEnvironmentError(
        expected="the libraries for packed dumps, which the extra `repro` brings",
        seen=f"no {name}",
        next_command=extra.install_command("repro"),
    )
