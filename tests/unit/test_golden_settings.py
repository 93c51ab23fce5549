"""What a golden image's config.ini.php has otherwise while Matomo is installed by clear text."""

import pytest

from matomo_harness.matomo import ini
from matomo_harness.runtime.golden import _settings, https_elsewhere
from matomo_harness.runtime.servers import without_https

INSTALLED = f'{ini.HEADER}[General]\nsalt = "s"\nforce_ssl = 0\ntrusted_hosts[] = "localhost:1"\n'


@pytest.mark.parametrize(
    ("seen", "elsewhere"),
    [
        ({("General", "force_ssl"): "1", ("database", "host"): "db"}, ("force_ssl",)),
        ({("General", "force_ssl"): "0", ("General", "assume_secure_protocol"): ""}, ()),
        ({}, ()),
    ],
)
def test_https_that_another_file_wants_is_seen(
    seen: dict[tuple[str, str], str], elsewhere: tuple[str, ...]
) -> None:
    assert https_elsewhere(seen) == elsewhere


def test_https_that_another_file_wants_is_off_for_clear_text_alone() -> None:
    text = without_https(ini.HEADER, ("force_ssl",))
    assert ini.read(text).text("General", "force_ssl") == "0"
    assert ini.read(text).text("General", "assume_secure_protocol") is None
    assert without_https(ini.HEADER) == ini.HEADER


@pytest.mark.parametrize(("own", "after"), [("", None), ("[General]\nforce_ssl = 1\n", "1")])
def test_afterwards_the_file_says_of_https_what_it_said_in_the_image(
    own: str, after: str | None
) -> None:
    settings = _settings(INSTALLED, own, written=True)
    assert ini.read(settings).text("General", "force_ssl") == after
