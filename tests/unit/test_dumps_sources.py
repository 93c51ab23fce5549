"""A dump is opened however it is wrapped; what cannot be opened is named."""

import bz2
import gzip
import io
import lzma
import random
import re
import shutil
import sys
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import pyzipper
import zstandard

from matomo_harness.dumps.sources import CHUNK, DumpSource, UnreadableDumpError
from matomo_harness.errors import UnsupportedEnvironmentError, WrongInputError
from matomo_harness.operate import bundle, bundled
from matomo_harness.operate.pseudonymise import pseudonymise
from matomo_harness.operate.stack import Stack
from matomo_harness.runtime import images
from matomo_harness.settings import RunSettings

DUMPS = Path(__file__).parents[1] / "dumps"
TEXT = (DUMPS / "matomo-4.2-mysql-5.7.sql").read_bytes() * 50  # 2.6 MB, of several chunks
PASSWORD = "correct horse"


def zipped(text: bytes, *beside: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/", b"")
        for name in beside:
            archive.writestr(name, b"\0\5\x16\7")
        archive.writestr("dump.sql", text)
    return file.getvalue()


def encrypted(text: bytes) -> bytes:
    file = io.BytesIO()
    with pyzipper.AESZipFile(
        file, "w", compression=pyzipper.ZIP_DEFLATED, encryption=pyzipper.WZ_AES
    ) as archive:
        archive.setpassword(PASSWORD.encode())
        archive.writestr("dump.sql", text)
    return file.getvalue()


def tarred(text: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, part in (("folder/a.sql", text[:1000]), ("folder/b.sql", text[1000:])):
            entry = tarfile.TarInfo(name)
            entry.size = len(part)
            archive.addfile(entry, io.BytesIO(part))
    return file.getvalue()


def compressed(text: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(text)


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gz": lambda text: gzip.compress(text, compresslevel=1),
    "zst": compressed,
    "xz": lambda text: lzma.compress(text, preset=0),
    "zip": zipped,
    "zip of macOS": lambda text: zipped(text, "__MACOSX/._dump.sql", "._dump.sql", ".DS_Store"),
    "with a mark": lambda text: b"\xef\xbb\xbf" + text,
    "gz, with a mark": lambda text: gzip.compress(b"\xef\xbb\xbf" + text, compresslevel=1),
    "tar": tarred,
    "tar.gz": lambda text: gzip.compress(tarred(text), compresslevel=1),
    "tar.xz": lambda text: lzma.compress(tarred(text), preset=0),
    "gz in tar": lambda text: tarred_one(gzip.compress(text)),
    "zst of gz": lambda text: compressed(gzip.compress(text)),
    "gz, of two members": lambda text: gzip.compress(text[:999]) + gzip.compress(text[999:]),
    "gz, padded": lambda text: gzip.compress(text) + bytes(1024),
    "zst, of two frames": lambda text: compressed(text[:999]) + compressed(text[999:]),
    "zst, with a frame to skip": lambda text: b"\x50\x2a\x4d\x18\4\0\0\0abcd" + compressed(text),
    "xz, of two streams": lambda text: lzma.compress(text[:999]) + lzma.compress(text[999:]),
}


def tarred_one(content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("dump")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def opened(*paths: Path, password: str | None = None) -> bytes:
    source = DumpSource(paths, password)
    return b"".join(chunk for part in source.parts() for chunk in part.chunks)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a dump is put; its name says nothing about it."""
    return tmp_path / "backup.old"


@pytest.mark.parametrize("packing", PACKED)
def test_a_dump_is_known_by_its_first_bytes_whatever_its_name(packing: str, file: Path) -> None:
    file.write_bytes(PACKED[packing](TEXT))
    source = DumpSource([file])

    assert b"".join(chunk for part in source.parts() for chunk in part.chunks) == TEXT
    assert source.total == file.stat().st_size
    assert source.read == source.total


def test_several_files_are_read_in_the_order_given(tmp_path: Path) -> None:
    first, second = tmp_path / "z.sql", tmp_path / "a.sql.gz"
    first.write_bytes(TEXT[:5000])
    second.write_bytes(gzip.compress(TEXT[5000:]))

    assert opened(first, second) == TEXT


@pytest.mark.parametrize("packing", ["plain", "gz", "xz", "zst", "tar.gz"])
@pytest.mark.parametrize("size", [30_001, 1_000_003])
def test_pieces_that_split_made_are_put_together(packing: str, size: int, tmp_path: Path) -> None:
    chance = random.Random(0)  # noqa: S311
    rows = (chance.randbytes(200).hex() for _ in range(6000))
    text = b"-- MySQL dump\nINSERT INTO a VALUES ('" + "'),('".join(rows).encode() + b"');\n"
    whole = PACKED[packing](text)
    paths = []
    for number, start in enumerate(range(0, len(whole), size)):
        paths.append(tmp_path / f"piece.{number:03}")
        paths[-1].write_bytes(whole[start : start + size])

    assert len(paths) > 1
    assert opened(*paths) == text
    if packing != "plain":  # whose end its statements show
        with pytest.raises(WrongInputError):
            opened(*paths[:-1])


def test_a_zip_is_opened_by_the_password_in_the_environment(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(encrypted(TEXT))
    monkeypatch.setenv("DUMP_PASSWORD", PASSWORD)
    assert opened(file) == TEXT

    monkeypatch.delenv("DUMP_PASSWORD")
    with pytest.raises(WrongInputError, match="DUMP_PASSWORD\n  seen: no password"):
        opened(file)

    monkeypatch.setenv("DUMP_PASSWORD", "a wrong one")
    with pytest.raises(WrongInputError, match="DUMP_PASSWORD\n  seen: another one") as error:
        opened(file)
    assert "a wrong one" not in str(error.value)


def test_the_older_encryption_of_zip_is_read_too() -> None:
    path = DUMPS / "zip-crypto.zip"
    assert opened(path, password=PASSWORD) == (DUMPS / "mariadb-dump.sql").read_bytes()
    for wrong in range(600):  # one of 256 fits the check at the beginning
        with pytest.raises(UnreadableDumpError, match="another one"):
            opened(path, password=f"wrong {wrong}")


@pytest.mark.parametrize("password", [None, PASSWORD])
def test_a_damaged_zip_of_7_zip_is_no_matter_of_the_password(
    file: Path, password: str | None
) -> None:
    packed = io.BytesIO()
    with pyzipper.AESZipFile(
        packed,
        "w",
        compression=pyzipper.ZIP_LZMA,
        encryption=pyzipper.WZ_AES if password else None,
    ) as archive:
        archive.setpassword(password.encode() if password else None)
        archive.writestr("dump.sql", TEXT[:CHUNK])
    whole = bytearray(packed.getvalue())
    file.write_bytes(whole)
    assert opened(file, password=password) == TEXT[:CHUNK]
    whole[200] ^= 0xFF
    file.write_bytes(whole)
    with pytest.raises(WrongInputError, match="corrupt") as error:
        opened(file, password=password)
    assert not isinstance(error.value, UnreadableDumpError)


TRUNCATED = ("gz", "zst", "xz", "zip", "tar", "tar.gz", "zst of gz", "gz, of two members")


@pytest.mark.parametrize("packing", TRUNCATED)
def test_a_truncated_file_is_refused_by_name(packing: str, file: Path) -> None:
    whole = PACKED[packing](TEXT)
    for size in (len(whole) // 2, len(whole) - 5 if "tar" not in packing else len(whole) // 3):
        file.write_bytes(whole[:size])
        with pytest.raises(WrongInputError, match=r"backup\.old.* to be whole\n.*truncated"):
            opened(file)


@pytest.mark.parametrize("packing", ["gz", "zst", "xz", "zip"])
def test_a_corrupt_file_is_refused_by_name(packing: str, file: Path) -> None:
    whole = bytearray(PACKED[packing](TEXT))
    whole[len(whole) // 2] ^= 0xFF
    file.write_bytes(whole)
    with pytest.raises(WrongInputError, match=r"backup\.old.* to be whole\n.*corrupt"):
        opened(file)


def test_what_needs_too_much_memory_is_refused_with_the_way_out(file: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    file.write_bytes(packer.compress(TEXT) + packer.flush())
    with pytest.raises(WrongInputError, match=r"at most 128 MiB(.|\n)*--long=31 backup\.old"):
        opened(file)


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"", "nothing in it"),
        (gzip.compress(b"", mtime=0), "nothing in it"),
        ("-- MySQL dump".encode("utf-16"), "UTF-16"),
        (b'<?xml version="1.0"?>\n<mysqldump>', "XML"),
        (b"\x7fELF\0\0\0", "unknown kind"),
        (tarred_one(b""), "nothing in it"),
    ],
)
def test_what_is_no_dump_is_refused(content: bytes, seen: str, file: Path) -> None:
    file.write_bytes(content)
    with pytest.raises(WrongInputError, match=seen):
        opened(file)


def test_an_empty_file_behind_another_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "archives.sql").write_bytes(b"")
    with pytest.raises(WrongInputError, match=r"in archives\.sql a dump(.|\n)*nothing in it"):
        opened(DUMPS / "mariadb-dump.sql", tmp_path / "archives.sql")


def test_what_has_to_be_unpacked_first_is_named(file: Path) -> None:
    file.write_bytes(bz2.compress(TEXT))
    with pytest.raises(WrongInputError, match=r"bzip2\n(.|\n)*bunzip2 --keep"):
        opened(file)


def test_a_zip_of_windows_explorer_over_2_gb_asks_for_no_password(file: Path) -> None:
    """It is packed by Deflate64, method 9, which Python does not know."""
    packed = bytearray(zipped(TEXT))
    for mark, method in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        at = packed.rfind(mark) + method
        packed[at : at + 2] = b"\x09\0"
    file.write_bytes(packed)
    with pytest.raises(WrongInputError) as error:
        opened(file)
    assert "unzip backup.old" in error.value.next_command
    assert "password" not in str(error.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongInputError, match="no such file"):
        DumpSource([tmp_path / "dump.sql"])


def test_a_zip_within_a_tar_is_refused_with_the_way_out(file: Path) -> None:
    file.write_bytes(tarred_one(zipped(TEXT)))
    with pytest.raises(WrongInputError, match="unpack it"):
        opened(file)


def test_what_is_packed_again_and_again_is_refused(file: Path) -> None:
    content = TEXT[:100]
    for _ in range(6):
        content = gzip.compress(content)
    file.write_bytes(content)
    with pytest.raises(WrongInputError, match="at most 4 times"):
        opened(file)


def test_a_link_in_a_tar_is_refused(file: Path) -> None:
    with tarfile.open(file, "w") as archive:
        link = tarfile.TarInfo("dump.sql")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(WrongInputError, match=r"dump\.sql.*\n.*a link"):
        opened(file)


# -- directories of mariadb-dump --dir -------------------------------------------------------------


def test_a_directory_has_each_table_before_its_rows() -> None:
    parts = [(part.name, part.table) for part in DumpSource([DUMPS / "mariadb-dump-dir"]).parts()]

    assert parts[:2] == [
        ("matomo_log_action.sql", None),
        ("matomo_log_action.txt", "matomo_log_action"),
    ]
    assert len(parts) == 12


def test_the_folder_of_one_schema_is_a_directory_too() -> None:
    assert opened(DUMPS / "mariadb-dump-dir" / "matomo") == opened(DUMPS / "mariadb-dump-dir")


def test_two_schemas_in_a_directory_are_refused_by_name(tmp_path: Path) -> None:
    shutil.copytree(DUMPS / "mariadb-dump-dir", tmp_path, dirs_exist_ok=True)
    shutil.copytree(tmp_path / "matomo", tmp_path / "other")
    with pytest.raises(WrongInputError, match="matomo, other"):
        DumpSource([tmp_path])


def test_rows_without_their_table_are_refused(tmp_path: Path) -> None:
    shutil.copytree(DUMPS / "mariadb-dump-dir", tmp_path, dirs_exist_ok=True)
    (tmp_path / "matomo" / "matomo_site.sql").unlink()
    with pytest.raises(WrongInputError, match=r"rows alone: matomo_site\.txt"):
        DumpSource([tmp_path])


@pytest.mark.parametrize("name", ["matomo_site.txt.gz", "matomo@matomo_site@@0.tsv.zst", "@.json"])
def test_rows_that_another_tool_wrote_are_refused(name: str, tmp_path: Path) -> None:
    # They would be passed over: a dump without a row, and no error.
    shutil.copytree(DUMPS / "mariadb-dump-dir", tmp_path, dirs_exist_ok=True)
    (tmp_path / "matomo" / name).write_bytes(b"1")
    with pytest.raises(WrongInputError, match=f"not read: {re.escape(name)}"):
        DumpSource([tmp_path])


def test_a_text_beside_a_dump_in_an_archive_is_named(file: Path) -> None:
    with tarfile.open(file, "w") as archive:
        about = tarfile.TarInfo("backup/README.txt")
        about.size = len(TEXT)
        archive.addfile(about, io.BytesIO(TEXT))
    with pytest.raises(WrongInputError, match=r"(?s)README\.txt.*without other files"):
        opened(file)


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongInputError, match=r"no \.sql in it"):
        DumpSource([tmp_path])


def test_a_tar_of_a_directory_is_read_in_its_order(file: Path) -> None:
    folder = DUMPS / "mariadb-dump-dir" / "matomo"
    with tarfile.open(file, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, f"matomo/{path.name}")
    tables = [part.table for part in DumpSource([file]).parts() if [*part.chunks]]
    assert tables.count(None) == 6
    assert "matomo_odd" in tables

    with tarfile.open(file, "w") as archive:
        for path in sorted(folder.iterdir(), reverse=True):
            archive.add(path, f"matomo/{path.name}")
    with pytest.raises(WrongInputError, match="give the directory"):
        opened(file)


@pytest.mark.parametrize(("library", "packing"), [("zstandard", "zst"), ("pyzipper", "zip")])
def test_a_missing_library_is_named_with_the_extra_that_brings_it(
    library: str, packing: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(PACKED[packing](TEXT))
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UnsupportedEnvironmentError, match=f"no {library}\n.*\\[repro\\]"):
        opened(file)


@pytest.mark.parametrize(
    "write",
    [
        lambda to: pseudonymise(
            [to.parent / "prod.sql"], to / "safe.sql.zst", RunSettings.from_environment({})
        ),
        lambda to: bundle.write(to / "ticket.zip", Stack(), bundle.Wish(with_data=True)),
    ],
    ids=["pseudonymise", "bundle"],
)
def test_a_missing_library_is_named_before_the_work_begins(
    write: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("the work has begun")

    monkeypatch.setattr(images, "mariadb_base", work)
    monkeypatch.setattr(bundle, "_Inventory", work)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(UnsupportedEnvironmentError, match=r"no zstandard\n.*\[repro\]"):
        write(tmp_path)


# -- memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("packing", ["plain", "gz", "zst", "xz", "zip", "tar.gz"])
def test_memory_does_not_grow_with_the_dump(packing: str, file: Path) -> None:
    chance = random.Random(0)  # noqa: S311
    content = b"".join(TEXT[:1500] + chance.randbytes(250).hex().encode() for _ in range(13_000))
    file.write_bytes(PACKED[packing](content))
    tracemalloc.start()
    try:
        size = sum(len(chunk) for part in DumpSource([file]).parts() for chunk in part.chunks)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert size == len(content)
    assert peak < 16 * CHUNK < size


# -- mydumper --------------------------------------------------------------------------------------


@pytest.fixture
def of_mydumper(tmp_path: Path) -> Path:
    """A directory that mydumper wrote."""
    return shutil.copytree(DUMPS / "mydumper", tmp_path / "export-20261129-091127")


def test_packed_files_of_mydumper_are_read_too(of_mydumper: Path) -> None:
    (of_mydumper / "matomo.a.00001.sql").write_text("COMMIT;")
    (of_mydumper / "matomo.a-schema.sql").write_text("BEGIN;")
    whole = [b"".join(part.chunks) for part in DumpSource([of_mydumper]).parts()]
    assert whole.index(b"BEGIN;") < whole.index(b"COMMIT;")
    for file in of_mydumper.glob("*.sql"):
        packed = file.with_name(f"{file.name}.gz")
        packed.write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    assert [b"".join(part.chunks) for part in DumpSource([of_mydumper]).parts()] == whole


@pytest.mark.parametrize("is_partial", [True, False])
def test_a_dump_that_mydumper_did_not_end_is_refused(of_mydumper: Path, is_partial: bool) -> None:
    metadata = of_mydumper / "metadata"
    metadata.write_text("Started dump at: 2026-11-29 09:11:27\n")
    if is_partial:
        metadata.rename(of_mydumper / "metadata.partial")
    with pytest.raises(WrongInputError, match="truncated"):
        DumpSource([of_mydumper])


def test_the_end_of_mydumper_is_found_in_a_tar(of_mydumper: Path, file: Path) -> None:
    names = sorted(of_mydumper.iterdir(), key=lambda path: ("schema" not in path.name, path.name))
    with tarfile.open(file, "w") as archive:
        for path in names:
            archive.add(path, f"export/{path.name}")
    source = DumpSource([file])
    assert len([list(part.chunks) for part in source.parts()]) == len(names) - 1
    assert source.is_finished_by_mydumper


def test_a_dump_beside_a_folder_with_another_is_refused(tmp_path: Path) -> None:
    (tmp_path / "matomo.sql").write_text("SELECT 1;")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "2023.sql").write_text("SELECT 1;")
    with pytest.raises(WrongInputError, match=r"matomo\.sql beside the folder old"):
        DumpSource([tmp_path])


@pytest.mark.parametrize(("name", "is_read"), [("rows.sql.gz", False), ("schema.sql.md5", True)])
def test_a_packed_dump_beside_a_plain_one_is_refused(
    tmp_path: Path, name: str, is_read: bool
) -> None:
    (tmp_path / "schema.sql").write_text("SELECT 1;")
    (tmp_path / name).write_text("x")
    if is_read:
        DumpSource([tmp_path])
        return
    with pytest.raises(WrongInputError, match=name):
        DumpSource([tmp_path])


def test_a_dump_that_may_not_be_looked_at_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **_more: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "dump.sql"
    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(UnreadableDumpError) as refusal:
        DumpSource([path])
    assert refusal.value.seen == "Permission denied"
    assert bundled.read([path]) is None
