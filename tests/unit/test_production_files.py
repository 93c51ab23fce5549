"""What leaves an archive of production's file system, and what does not."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.operate.drill import backup_files
from matomo_harness.operate.production_files import read


def archive(path: Path, *names: str, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
        link = tarfile.TarInfo("misc/user/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
        tar.addfile(link)
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_what_is_served_or_configures_is_taken_wherever_it_is(tmp_path: Path, mode: str) -> None:
    path = archive(
        tmp_path / "efs.tar",
        "./efs/misc/user/logo.PNG",
        "var/www/html/js/container_x.js",
        "misc/DBIP-City.mmdb",
        "config/config.ini.php",
        "misc/user/people.csv",
        "js/old.zip",
        "js/../../etc/passwd.js",
        "var/www/html/plugins/A/js/a.js",
        "plugins/A/config/config.ini.php",
        "html/node_modules/jquery/js/jquery.js",
        "backup.sql",
        mode=mode,
    )
    with read(path) as found:
        assert found.config == "config/config.ini.php"
        assert set(found.names) == {
            "misc/user/logo.PNG",
            "js/container_x.js",
            "misc/DBIP-City.mmdb",
        }
        assert "people.csv" not in str(found)
        assert found.left_out["misc/user"] == found.left_out["."] == 1
        found.archive.seek(0)
        with tarfile.open(fileobj=found.archive) as taken:
            assert tuple(taken.getnames()) == found.names
            assert not [member for member in taken if not member.isfile()]


def test_what_runs_and_its_backup_in_one_archive_are_refused(tmp_path: Path) -> None:
    """As in a tar of all of EFS: a logo that the backup lacks would be that of what runs."""
    both = ("backup/config/config.ini.php", "config/config.ini.php", "misc/user/logo.png")
    path = archive(tmp_path / "efs.tar", *(f"./{name}" for name in both))
    for reading in (read, backup_files.read):
        with pytest.raises(WrongInputError) as error, reading(path):
            pass
        assert not isinstance(error.value, backup_files.DamagedFilesError)
        assert error.value.seen == "backup/config/config.ini.php, config/config.ini.php"
    # `tar -r` puts a newer one behind the one of before.
    with read(archive(path, "./config/config.ini.php", "config/config.ini.php")) as found:
        assert found.config == "config/config.ini.php"


@pytest.mark.parametrize(
    ("content", "seen"),
    [(b"no tar", "could not be opened"), (b"", "empty"), (None, "No such file")],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes | None, seen: str) -> None:
    path = tmp_path / "efs.tar"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WrongInputError) as refused, read(path):
        pass
    assert seen in refused.value.seen


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "other.tar", "home/me/notes.txt")
    with pytest.raises(WrongInputError) as refused, read(path):
        pass
    assert "1 in home/me" in refused.value.seen


@pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w:bz2"])
def test_an_archive_with_damage_in_the_middle_is_refused(tmp_path: Path, mode: str) -> None:
    names = [f"js/{hashlib.sha256(bytes([number])).hexdigest()}.js" for number in range(200)]
    path = archive(tmp_path / "efs.tar", *names, mode=mode)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 60] = bytes(60)
    path.write_bytes(content)
    with pytest.raises(WrongInputError), read(path):
        pass


def test_an_archive_that_breaks_off_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "efs.tar.gz", *(f"js/{number}.js" for number in range(900)))
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(WrongInputError), read(path):
        pass


def linked(path: Path, to: str) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo("misc/user/logo.png")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"logo"))
        link = tarfile.TarInfo("config/config.ini.php")
        link.type, link.linkname = tarfile.LNKTYPE, to
        tar.addfile(link)
    return path


def test_a_second_name_of_a_file_has_what_the_first_one_has(tmp_path: Path) -> None:
    with read(linked(tmp_path / "efs.tar.gz", "misc/user/logo.png")) as found:
        assert (found.config, found.names) == ("logo", ("misc/user/logo.png",))


def test_a_second_name_of_what_is_not_there_is_refused(tmp_path: Path) -> None:
    path = linked(tmp_path / "efs.tar.gz", "../elsewhere.php")
    with pytest.raises(WrongInputError) as refusal, read(path):
        pass
    assert "a link to ../elsewhere.php, which is not in it" in refusal.value.seen
