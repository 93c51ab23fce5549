"""What is read of an image's files without an engine."""

import pytest

from matomo_harness.matomo.image import ImageProfile
from matomo_harness.matomo.look import with_names, with_placeholders

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
        "{{ .Env.DB_HOST }}",
        '"{{ getenv "DB_HOST" }}"',
        '{{ DB_HOST | default("mariadb") }}',
        '<%= ENV["DB_HOST"] %>',
        "<?= getenv('DB_HOST') ?>",
        "'<?php echo getenv(\"DB_HOST\"); ?>'",
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


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("DB_HOST", "database.host"),
        ("MATOMO_MYSQL_USER", "database.username"),
        ("MYSQL_DATABASE", "database.dbname"),
        ("MATOMO_DATABASE_PORT_NUMBER", "database.port"),
        ("RDS_HOSTNAME", "database.host"),
        ("DB_PASS", "database.password"),
        ("MATOMO_SALT", "General.salt"),
    ],
)
def test_a_name_says_for_which_setting_it_stands(name: str, key: str) -> None:
    assert with_names(ImageProfile(), [name, name]).named == ((key, name),)


@pytest.mark.parametrize(
    "name",
    [
        "MYSQL_ROOT_PASSWORD",
        "MATOMO_PASSWORD",
        "DATABASE_URL",
        "DB_PASSWORD_FILE",
        "DBNAME",
        "MATOMO_DATABASE_HOST",  # every image is given it
    ],
)
def test_other_names_say_nothing(name: str) -> None:
    assert not with_names(ImageProfile(), [name]).named


def test_a_name_is_given_what_a_template_is_given_and_a_template_knows_better() -> None:
    named = with_names(ImageProfile(), ["DB_HOST", "DB_NAME_SALT"])
    assert named.environment(KNOWN) == {"DB_HOST": "db", "DB_NAME_SALT": "s"}
    profile = with_placeholders(named, '[General]\nsalt = "$DB_HOST"\n')
    assert profile.environment(KNOWN) == {"DB_HOST": "s", "DB_NAME_SALT": "s"}
