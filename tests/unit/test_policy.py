"""image/policy.toml is read strictly, and image/config keeps to its list of plugins."""

import re
from pathlib import Path

import pytest

from matomo_harness import policy
from matomo_harness.errors import WrongInputError
from matomo_harness.settings import ROOT

TEXT = policy.POLICY_FILE.read_text()


def written(directory: Path, text: str) -> Path:
    path = directory / "policy.toml"
    path.write_text(text)
    return path


def test_the_repository_s_policy_promises_two_masked_bytes() -> None:
    assert policy.read().privacy.masked_bytes == 2


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("masked_bytes = 2", "maskd_bytes = 2", "unknown: maskd_bytes"),
        ("masked_bytes = 2", "masked_bytes = 5", "masked_bytes = 5"),
        ("masked_bytes = 2", "masked_bytes = true", "privacy.masked_bytes to be a whole number"),
        ("masked_bytes = 2", "masked_bytes = 'two'", "'two'"),
        ("user_ids_stored = false", "", "user_ids_stored"),
        ("user_ids_stored = false", "user_ids_stored = 0", "true or false"),
        ("referrers = 5000", "referrers = -1", "archiving.maximum_rows"),
        ("[privacy]", "[privacy", "readable TOML"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, before: str, after: str, complaint: str) -> None:
    assert before in TEXT
    with pytest.raises(WrongInputError, match=re.escape(complaint)):
        policy.read(written(tmp_path, TEXT.replace(before, after, 1)))


def test_the_configuration_lists_the_plugins_of_the_policy() -> None:
    config = (ROOT / "image/config/config.ini.php").read_text()
    required = re.findall(r'(?m)^Plugins\[\] = "(\w+)"$', config)
    optional = re.findall(r'(?m)^Plugins\[\] = "(\w+)" ; optional$', config)
    promised = policy.read().plugins
    assert sorted(required) == sorted(promised.active)
    assert sorted(optional) == sorted(promised.where_present)
    assert "UserId" not in required + optional
