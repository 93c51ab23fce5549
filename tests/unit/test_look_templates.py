"""What is read of an image's files without an engine."""

import pytest

from matomo_harness.matomo.image import ImageProfile
from matomo_harness.matomo.look import with_placeholders

KNOWN = {"MATOMO_DATABASE_HOST": "db", "MATOMO_GENERAL_SALT": "s"}


@pytest.mark.parametrize(
    "written",
    [
        '"${DB_HOST}"',
        "${DB_HOST:-mariadb}",
        '"$DB_HOST"',
        "{DB_HOST}",
        "'{{ .DB_HOST }}'",
        "{{DB_HOST}}",
        "@DB_HOST@",
        "%DB_HOST%",
        "__DB_HOST__",
        "<DB_HOST>",
    ],
)
def test_a_placeholder_names_a_variable(written: str) -> None:
    profile = with_placeholders(ImageProfile(), f"[database]\nhost = {written}\n")
    assert profile.variables == (("database.host", "DB_HOST"),)
    assert profile.environment(KNOWN) == {"DB_HOST": "db"}


@pytest.mark.parametrize("written", ['"DB_HOST"', "db", '"$host"', "${A}:${B}", ""])
def test_what_is_written_out_names_none(written: str) -> None:
    assert not with_placeholders(ImageProfile(), f"[database]\nhost = {written}\n").variables


def test_a_text_within_a_script_is_read_and_what_is_known_stays() -> None:
    script = (
        "#!/bin/sh\nhost = $NOT_IN_A_SECTION\ncat << EOF > config/config.ini.php\n"
        '[database]\nhost = "$DB_HOST"\n\n[General]\nsalt = "$SALT"\nEOF\n'
    )
    known = ImageProfile(variables=(("database.host", "OTHER"),))
    assert with_placeholders(known, script).variables == (
        ("database.host", "OTHER"),
        ("General.salt", "SALT"),
    )


def test_the_port_of_the_database_is_its_usual_one() -> None:
    profile = with_placeholders(ImageProfile(), '[database]\nport = "${DB_PORT}"\n')
    assert profile.environment(KNOWN) == {"DB_PORT": "3306"}
