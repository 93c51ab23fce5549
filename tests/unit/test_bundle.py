"""What a bundle says of itself, how others' are read, and what may not leave in one."""

import io
import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import zstandard

from matomo_harness.dumps.sources import DumpSource
from matomo_harness.errors import BrokenPromiseError, WrongInputError
from matomo_harness.operate import bundle, bundled, production_config
from matomo_harness.operate.new_file import new_file, require_new
from matomo_harness.personal_data import texts

MANIFEST: Mapping[str, Any] = {
    "kind": "matomo-harness bundle",
    "format": 1,
    "harness": "0.1.0",
    "made": "2026-11-29 05:18:57",
    "of": "the reproduction prod",
    "matomo": "5.3.1",
    "code": "5.3.1",
    "php": "8.4.28",
    "mariadb": "11.8.9-MariaDB",
    "starts": "yes",
    "images": {"matomo": {"reference": "matomo:latest", "id": "sha256:1", "digests": []}},
    "plugins": [{"name": "Actions", "active": True, "code": None, "tables": "5.3.1"}],
    "person_data": False,
    "certificate": "90 canaries in 8 forms, 0 found",
    "left_out": [],
}
SQL = b"CREATE TABLE matomo_site (idsite INT);\n"


def written(path: Path | io.BytesIO, files: Mapping[str, str | bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def ticket(path: Path, manifest: object = MANIFEST, **more: str | bytes) -> Path:
    data = zstandard.compress(SQL)
    written(path, {"manifest.json": json.dumps(manifest), "data.sql.zst": data, **more})
    return path


# -- read -----------------------------------------------------------------------------------------


def test_a_bundle_is_known_by_its_manifest_whatever_its_name(tmp_path: Path) -> None:
    found = bundled.read([ticket(tmp_path / "prod.sql.gz")])
    assert found is not None
    assert found.manifest.mariadb == "11.8.9-MariaDB"
    assert found.manifest.plugins[0].name == "Actions"
    assert found.has_data
    found.require_data()


def test_what_a_newer_harness_adds_to_the_format_is_passed_over(tmp_path: Path) -> None:
    found = bundled.read([ticket(tmp_path / "t.zip", {**MANIFEST, "weather": "fine"})])
    assert found is not None


def test_a_dump_is_no_bundle(tmp_path: Path) -> None:
    zipped = tmp_path / "dump.zip"
    written(zipped, {"dump.sql": SQL})
    plain = tmp_path / "dump.sql"
    plain.write_bytes(SQL)
    one = ticket(tmp_path / "t.zip")
    for paths in ([zipped], [plain], [tmp_path], [tmp_path / "none"], [one, plain]):
        assert bundled.read(paths) is None


def test_a_zip_that_breaks_off_is_refused(tmp_path: Path) -> None:
    path = ticket(tmp_path / "t.zip")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(WrongInputError, match=r"t\.zip to be a whole zip(.|\n)*truncated"):
        bundled.read([path])


@pytest.mark.parametrize(
    ("manifest", "seen"),
    [
        ({"name": "an extension", "manifest_version": 3}, "not of matomo-harness"),
        (["a list"], "not of matomo-harness"),
        ({"kind": "matomo-harness bundle", "format": 1}, "harness in its manifest"),
        ({**MANIFEST, "images": "none"}, "images in its manifest"),
        ({**MANIFEST, "format": "first"}, "format in its manifest"),
        ({**MANIFEST, "more": "x" * bundled.MOST}, "more than"),
    ],
)
def test_another_manifest_is_refused(tmp_path: Path, manifest: object, seen: str) -> None:
    with pytest.raises(WrongInputError) as refused:
        bundled.read([ticket(tmp_path / "t.zip", manifest)])
    assert seen in refused.value.seen


def test_a_bundle_of_a_newer_format_names_the_harness_that_wrote_it(tmp_path: Path) -> None:
    newer = {"kind": "matomo-harness bundle", "format": 2, "harness": "9.1\x1b[2J"}
    with pytest.raises(WrongInputError) as refused:
        bundled.read([ticket(tmp_path / "t.zip", newer)])
    assert "format 2, written by matomo-harness 9.1?[2J" in refused.value.seen


def test_a_bundle_without_data_says_what_is_there(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "manifest.json": json.dumps(MANIFEST),
        "logs/db-1.log": "",
        "schema.sql": "",
    }
    written(tmp_path / "t.zip", files)
    found = bundled.read([tmp_path / "t.zip"])
    assert found is not None
    with pytest.raises(WrongInputError) as refused:
        found.require_data()
    assert "logs/db-1.log, schema.sql" in refused.value.seen


def test_a_bundle_without_data_names_the_recipe_that_brings_its_state_about(tmp_path: Path) -> None:
    manifest = {**MANIFEST, "recipe": "guard-lost"}
    written(tmp_path / "t.zip", {"manifest.json": json.dumps(manifest)})
    found = bundled.read([tmp_path / "t.zip"])
    assert found is not None
    with pytest.raises(WrongInputError) as refused:
        found.require_data()
    assert refused.value.next_command == "make up, then make recipe NAME=guard-lost"


def test_of_a_bundle_the_data_alone_is_a_dump(tmp_path: Path) -> None:
    path = ticket(tmp_path / "t.zip", **{"schema.sql": b"DROP TABLE matomo_site;\n"})
    parts = [(part.name, b"".join(part.chunks)) for part in DumpSource([path]).parts()]
    assert parts == [("t.zip:data.sql.zst", SQL)]


def test_configuration_and_rules_are_unpacked_as_far_as_they_are_there(tmp_path: Path) -> None:
    found = bundled.read([ticket(tmp_path / "t.zip", **{"config.ini.php": "[General]\n"})])
    assert found is not None
    with found.unpacked() as files:
        assert files["config.ini.php"].read_text() == "[General]\n"
        assert "rules.toml" not in files
    assert not files["config.ini.php"].exists()


# -- searched -------------------------------------------------------------------------------------

SALT = "5f0c1d7e9a2b4c6d8e0f1a2b3c4d5e6f"
PASSWORD = "Kq7-zW_p2LmX"


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("plain", f"salt = {SALT}"),
        ("upper case", SALT.upper()),
        ("base64", "eHg6S3E3LXpXX3AyTG1Y"),  # of `xx:` and the password
        ("percent-encoded", "".join(f"%{byte:02x}" for byte in PASSWORD.encode())),
        ("hexadecimal", f"0x{PASSWORD.encode().hex().upper()}"),
    ],
)
def test_a_secret_is_found_in_any_form(form: str, text: str) -> None:
    kinds: tuple[dict[str, str | bytes], ...] = (
        {"logs/db-1.log": f"before {text} after"},
        # Enough of it that the packed bytes hold no word of it.
        {"data.sql.zst": zstandard.compress(f"{[*range(5000)]} {text} after".encode())},
    )
    for files in kinds:
        file = io.BytesIO()
        written(file, files)
        with pytest.raises(BrokenPromiseError) as refused:
            bundle.require_no_secret(file, [SALT, PASSWORD], "t.zip")
        (name,) = files
        assert f"{name} ({form})" in refused.value.seen
        assert text not in str(refused.value)


@pytest.mark.parametrize("before", range(2**20 - 12, 2**20 + 1))
def test_a_secret_is_found_over_the_end_of_what_is_read_at_once(before: int) -> None:
    file = io.BytesIO()
    written(file, {"schema.sql": "x" * before + PASSWORD})
    with pytest.raises(BrokenPromiseError):
        bundle.require_no_secret(file, [PASSWORD], "t.zip")


def test_what_is_no_secret_or_too_short_to_be_known_passes() -> None:
    file = io.BytesIO()
    written(file, {"manifest.json": f"test, {PASSWORD[:-1]}"})
    bundle.require_no_secret(file, [PASSWORD, "test"], "t.zip")


# -- what leaves ----------------------------------------------------------------------------------


def test_the_configuration_for_a_ticket_has_no_secret_no_comment_and_no_address() -> None:
    text, left_out = production_config.for_ticket(
        "; <?php exit; ?> DO NOT REMOVE THIS LINE\n"
        "[database]\nhost = rds.example\ncharset = utf8\n; password = before-the-move\n"
        '[General]\nsalt = "abc"\nproxy_ips[] = "10.1.2.3"\nlogin_allowlist_ip[] = "2001:db8::7"\n'
        'noreply_email_address = "ada@library.edu"\nversion = "5.3.1"\nrange = 1 ; of Ada\n'
        '[Plugins]\nPlugins[] = "CoreHome"\nPlugins[] = "Actions"\n'
    )
    assert text == (
        "; <?php exit; ?> DO NOT REMOVE THIS LINE\n"
        '[database]\ncharset = utf8\n\n[General]\nversion = "5.3.1"\nrange = 1\n\n'
        '[Plugins]\nPlugins[] = "CoreHome"\nPlugins[] = "Actions"\n\n'
    )
    assert {
        "database.host",
        "General.salt",
        "General.proxy_ips",
        "General.login_allowlist_ip",
        "General.noreply_email_address",
    } == {*left_out}


def test_the_configuration_for_a_ticket_names_no_machine_and_no_account() -> None:
    text, left_out = production_config.for_ticket(
        '[LoginLdap]\nuse_webserver_auth = 1\n[LoginLdap_srv]\nhostname = "ad1.library.edu"\n'
        'port = 389\nbase_dn = "DC=library,DC=edu"\nadmin_user = "CN=Ada Lovelace,DC=library"\n'
        'ldap_user_filter = "(memberOf=cn=stats,dc=library,dc=edu)"\n'
        '[General]\nnoreply_email_name = "Ada Lovelace"\n'
        '[Redis]\nnodes = "redis.library.edu:6379, other.library.edu"\n'
        '[GeoIp]\nfile = "DBIP-City.mmdb"\n'
    )
    assert not [word for word in ("library", "Ada") if word in text]
    assert {"LoginLdap_srv.admin_user", "Redis.nodes"} <= {*left_out}
    left = ("use_webserver_auth = 1", "port = 389", 'file = "DBIP-City.mmdb"')
    assert not [line for line in left if line not in text]


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ('203.0.113.77 - - "GET /"', '(redacted) - - "GET /"'),
        ("::ffff:203.0.113.77 x", "::ffff:(redacted) x"),
        ("[2001:db8::7]:443", "[(redacted)]:443"),
        ("fe80::1 fe80::1:2", "(redacted) (redacted)"),
        ("to ada.l+x@library.edu and ada%40library.edu", "to (redacted) and (redacted)"),
    ],
)
def test_addresses_are_taken_out_of_a_log(line: str, masked: str) -> None:
    assert texts.without_addresses(line) == masked
    assert texts.names_a_person(line)


@pytest.mark.parametrize(
    "line",
    [
        "127.0.0.1 ::1 0.0.0.0:80",
        "2026-11-29T05:18:45.047 [29/Nov/2026:05:18:46 +0000] 300.1.2.3 v1.2.3.4.5",
        "Piwik\\Plugin\\Manager::getInstance() Db::fetchOne",
        "11.8.9-MariaDB matomo@localhost `matomo`@`%`",
    ],
)
def test_what_is_no_address_stays_in_a_log(line: str) -> None:
    assert not texts.names_a_person(line)


def test_of_a_query_the_names_stay_and_what_says_what_was_asked() -> None:
    line = '"GET /matomo.php?idsite=1&rec=1&uid=ada&e_c=a%20b&cvar[1]=x HTTP/1.1" 204 a=b'
    assert texts.without_queries(line) == (
        '"GET /matomo.php?idsite=1&rec=1&uid=(redacted)&e_c=(redacted)&cvar[1]=(redacted)'
        ' HTTP/1.1" 204 a=b'
    )


# -- its file -------------------------------------------------------------------------------------


def test_a_file_appears_at_the_end_for_its_owner_alone(tmp_path: Path) -> None:
    to = tmp_path / "t.zip"
    with new_file(to) as file:
        file.write(b"whole")
        assert not to.exists()
    assert to.read_bytes() == b"whole"
    assert to.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [to]


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    def half(to: Path) -> None:
        with new_file(to) as file:
            file.write(b"half")
            raise BrokenPromiseError(expected="", seen="", next_command="")

    with pytest.raises(BrokenPromiseError):
        half(tmp_path / "t.zip")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_came_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    to = tmp_path / "t.zip"
    with pytest.raises(WrongInputError, match="a file of that name"), new_file(to):
        to.write_text("another's")
    assert to.read_text() == "another's"
    assert list(tmp_path.iterdir()) == [to]


@pytest.mark.parametrize(
    ("name", "seen"),
    [("t.tar", "t.tar"), ("no/t.zip", "no such directory"), ("there.zip", "of that name")],
)
def test_where_no_file_can_be_made_nothing_is_begun(tmp_path: Path, name: str, seen: str) -> None:
    (tmp_path / "there.zip").symlink_to("nowhere")
    with pytest.raises(WrongInputError) as refused:
        require_new(tmp_path / name, (".zip",), "matomo-harness bundle --to ticket.zip")
    assert seen in refused.value.seen


def test_a_bundle_without_data_needs_no_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    file = tmp_path / "t.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("logs/web.log", "nothing")
    with file.open("rb") as written:
        bundle.require_no_secret(written, ["a-secret-of-ours"], "t.zip")
