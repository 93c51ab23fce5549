"""DATABASE_URL: what is read of it, what is refused, and which servers and users are recognised."""

from pathlib import Path

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.matomo import read_only
from matomo_harness.matomo.database import privileges

PASSWORD = "p@ss:w/rd#?%"
QUOTED = "p%40ss%3Aw%2Frd%23%3F%25"


def test_every_part_is_read_and_decoded() -> None:
    address = read_only.parsed(f"mysql://read%40er:{QUOTED}@db.example:3307/web%20stats?prefix=")
    database = address.database
    assert (database.host, database.port, database.name) == ("db.example", 3307, "web stats")
    assert (database.user, database.password) == ("read@er", PASSWORD)
    assert address.prefix == ""
    assert database.tls is None


def test_the_usual_port_and_a_prefix_to_be_found() -> None:
    address = read_only.parsed("mariadb://reader:secret@[::1]/matomo")
    assert (address.database.host, address.database.port) == ("::1", 3306)
    assert address.prefix is None


def test_tls_is_by_a_public_or_a_named_authority(tmp_path: Path) -> None:
    assert read_only.parsed("mysql://u:p@h/s?ssl=true").database.tls
    path = tmp_path / "authority.pem"
    path.write_text("no certificate")
    for name in (path, tmp_path / "missing.pem"):
        with pytest.raises(WrongInputError, match="ssl-ca"):
            read_only.parsed(f"mysql://u:p@h/s?ssl-ca={name}")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("analytics", "no mysql://"),
        ("postgres://u:hidden@h/s", "no mysql://"),
        ("mysql://u@h/s", "no password"),
        ("mysql://:hidden@h/s", "no user"),
        ("mysql://u:hidden@h", "no schema"),
        ("mysql://u:hidden@h/", "no schema"),
        ("mysql://u:hidden@/s", "no host"),
        ("mysql://u:hidden@h:port/s", "host or port"),
        ("mysql://u:hidden@h:99999/s", "host or port"),
        ("mysql://u:hi#dden@h/s", "host or port"),
        ("mysql://u:hi/dden@h/s", "host or port"),
        ("mysql://u:hidden@h/s/t", "%2F"),
        ("mysql://u:hidden@h/s#t", "%23"),
        ("mysql://u:hidden@h/s?charset=utf8", "charset"),
    ],
)
def test_what_is_no_address_is_refused_without_the_password(text: str, seen: str) -> None:
    with pytest.raises(WrongInputError, match=seen) as refused:
        read_only.parsed(text)
    assert "hidden" not in str(refused.value)
    assert "dden" not in str(refused.value)


def test_a_file_is_read_that_nobody_else_may_read(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_text("mysql://reader:secret@db/matomo\n")
    path.chmod(0o600)
    address = read_only.given({"DATABASE_URL_FILE": str(path)})
    assert address
    assert address.database.name == "matomo"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o700])
def test_a_file_of_another_mode_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "url"
    path.write_text("mysql://reader:secret@db/matomo")
    path.chmod(mode)
    with pytest.raises(WrongInputError, match=f"mode 0{mode:o}") as refused:
        read_only.given({"DATABASE_URL_FILE": str(path)})
    assert refused.value.next_command == f"chmod 600 {path}"


def test_a_missing_file_and_two_addresses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongInputError, match="No such file"):
        read_only.given({"DATABASE_URL_FILE": str(tmp_path / "none")})
    with pytest.raises(WrongInputError, match="both"):
        read_only.given({"DATABASE_URL_FILE": "x", "DATABASE_URL": "mysql://u:p@h/s"})


def test_nothing_is_given_by_nothing() -> None:
    assert read_only.given({}) is None
    assert read_only.given({"DATABASE_URL": ""}) is None


# -- servers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "comment"),
    [
        ("8.0.36", "MySQL Community Server - GPL"),
        ("8.4.3", "Source distribution"),
        ("8.0.39-0ubuntu0.24.04.2", "(Ubuntu)"),
        ("8.0.mysql_aurora.3.08.0", "Source distribution"),
        ("8.0.35-27", "Percona Server (GPL), Release 27, Revision 2f8eeab"),
    ],
)
def test_mysql_is_refused_by_name(version: str, comment: str) -> None:
    with pytest.raises(WrongInputError) as refused:
        read_only.require_mariadb(version, comment)
    assert f"MySQL {version}" in refused.value.seen
    assert "MariaDB" in refused.value.expected


@pytest.mark.parametrize(
    ("version", "comment", "name"),
    [
        ("10.11.14-MariaDB-0+deb12u2", "Debian 12", "MariaDB 10.11.14"),
        ("11.8.3-MariaDB-log", "managed by https://aws.amazon.com/rds/", "MariaDB 11.8.3"),
        ("10.6.21", "mariadb.org binary distribution", "MariaDB 10.6.21"),
    ],
)
def test_mariadb_is_taken(version: str, comment: str, name: str) -> None:
    assert read_only.require_mariadb(version, comment) == name


# -- users ----------------------------------------------------------------------------------------


def test_a_reader_may_not_write() -> None:
    assert not read_only.writing_privileges(
        [
            "GRANT USAGE ON *.* TO `reader`@`%` IDENTIFIED BY PASSWORD '*0'",
            "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON `matomo`.* TO `reader`@`%`",
            "GRANT SELECT (name, idsite) ON `matomo`.`site` TO `reader`@`%`",
            "GRANT `readers` TO `reader`@`%`",
        ]
    )


def test_what_a_user_may_write_is_named() -> None:
    grants = [
        "GRANT SELECT, INSERT, UPDATE (a, b) ON `matomo`.* TO `app`@`%`",
        "GRANT ALL PRIVILEGES ON `other`.* TO `app`@`%` WITH GRANT OPTION",
    ]
    assert read_only.writing_privileges(grants) == [
        "INSERT, UPDATE on `matomo`.*",
        "ALL PRIVILEGES on `other`.*",
    ]


@pytest.mark.parametrize(
    ("granted_on", "is_granted"),
    [
        ("*.*", True),
        ("`my_matomo`.*", True),
        ("`my\\_matomo`.*", True),
        ("`my\\%`.*", False),
        ("`my%`.*", True),
        ("`my.matomo`.*", False),
        ("`other`.*", False),
        ("`my_matomo`.`site`", False),
    ],
)
def test_a_privilege_is_on_a_whole_schema(granted_on: str, is_granted: bool) -> None:
    grants = [f"GRANT SELECT, TRIGGER ON {granted_on} TO `reader`@`%`"]
    assert ("TRIGGER" in privileges(grants, "my_matomo")) is is_granted
