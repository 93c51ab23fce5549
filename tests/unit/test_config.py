"""Changing one key of a config.ini.php leaves the rest as it was."""

import pytest

from matomo_harness.matomo import config

TEXT = """; <?php exit; ?> DO NOT REMOVE THIS LINE
; a comment
[General]
salt = ""
trusted_hosts[] = "one:80"
trusted_hosts[] = "two"

[Plugins]
Plugins[] = "CoreVue"
"""


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [("General", "salt", ""), ("Plugins", "salt", None), ("database", "host", None)],
)
def test_a_key_is_read_in_its_own_section(section: str, key: str, value: str | None) -> None:
    assert config.get(TEXT, section, key) == value


def test_a_key_is_replaced() -> None:
    assert config.with_key(TEXT, "General", "salt", "x") == TEXT.replace('""', '"x"')


def test_a_number_is_written_without_quotes() -> None:
    changed = config.with_key(TEXT, "Plugins", "a", 1)
    assert changed == TEXT.replace("[Plugins]\n", "[Plugins]\na = 1\n")


def test_a_section_is_made() -> None:
    assert config.with_key(TEXT, "database", "dbname", "m") == f'{TEXT}\n[database]\ndbname = "m"\n'


def test_a_list_grows_and_goes() -> None:
    assert config.with_key(TEXT, "General", "trusted_hosts[]", "x").count("trusted_hosts[]") == 3
    assert "trusted_hosts" not in config.without_key(TEXT, "General", "trusted_hosts[]")


def test_a_section_goes_with_its_keys_alone() -> None:
    assert (
        config.without_section(TEXT, "General")
        == TEXT[: TEXT.index("[G")] + TEXT[TEXT.index("[P") :]
    )
