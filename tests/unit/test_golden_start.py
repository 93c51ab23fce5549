"""What is understood of a start that ends while an image is installed."""

import pytest

from matomo_harness.runtime.golden import replaces


@pytest.mark.parametrize(
    ("said", "is_in_the_way"),
    [
        ("rm: cannot remove '/opt/bitnami/matomo': Device or resource busy", True),
        ("mv: can't rename '/opt/bitnami/matomo': Resource busy", True),
        ("rm: cannot remove '/opt/bitnami/matomo/tmp': Device or resource busy", False),
        ("Trying to connect to the database server | Could not connect", False),
    ],
)
def test_a_start_that_replaces_its_web_root_is_understood(said: str, is_in_the_way: bool) -> None:
    assert replaces(said, "/opt/bitnami/matomo") is is_in_the_way
