"""Installations of Matomo are recognised by the names of their tables."""

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.matomo import found
from matomo_harness.matomo.found import FoundInstallation

TABLES = ("access", "log_action", "log_link_visit_action", "log_visit", "option", "site", "user")
OURS = FoundInstallation("matomo_", "5.3.1", ("admin",), people=1, sites=1)
THEIRS = FoundInstallation("", "5.8.0", ("director", "head"), people=9, sites=4, has_visits=True)


@pytest.mark.parametrize("prefix", ["matomo_", "piwik_", "", "wp_matomo_", "a1_"])
def test_any_prefix_is_found(prefix: str) -> None:
    others = ["wp_options", "wp_user", "orders", f"{prefix}log_visit_before", "before_log_visit"]
    tables = [*(prefix + name for name in TABLES), *others]
    assert found.whole(tables) == found.in_part(tables) == [prefix]


def test_a_part_is_found_by_what_only_matomo_has() -> None:
    tables = ["piwik_access", "piwik_archive_invalidations", "piwik_brute_force_log"]
    assert found.whole(tables) == []
    assert found.in_part(tables) == ["piwik_"]
    assert found.in_part(["app_access", "app_option", "app_site", "app_user"]) == []


def test_a_table_of_a_strange_name_is_no_prefix() -> None:
    assert found.in_part([f"x`; DROP TABLE {name}" for name in TABLES]) == []


def test_the_one_installation_is_found_whatever_its_prefix() -> None:
    assert found.only_one([], "matomo_", "matomo") is None
    assert found.only_one([THEIRS], "matomo_", "matomo") == THEIRS
    left_over = FoundInstallation("old_", version=None)
    assert found.only_one([OURS, left_over], "matomo_", "matomo") == OURS
    broken_off = FoundInstallation("matomo_", version=None)
    assert found.only_one([broken_off], "matomo_", "matomo") == broken_off


@pytest.mark.parametrize(
    ("installations", "seen"),
    [
        (
            [OURS, THEIRS],
            r"`matomo_` .* and no prefix \(Matomo 5\.8\.0, superusers: director, head",
        ),
        ([FoundInstallation("piwik_", "4.14.2")], r"`piwik_` \(Matomo 4\.14\.2"),
        ([FoundInstallation("piwik_", "none")], r"`piwik_` \(Matomo none"),
        ([FoundInstallation("piwik_", version=None)], r"a part of one: `piwik_`"),
    ],
)
def test_what_cannot_be_taken_is_refused_by_name(
    installations: list[FoundInstallation], seen: str
) -> None:
    with pytest.raises(WrongInputError, match=seen):
        found.only_one(installations, "matomo_", "matomo")


def test_only_what_an_installer_leaves_may_be_dropped() -> None:
    assert OURS.is_left_by_an_installer("admin")
    assert not OURS.is_left_by_an_installer("director")
    assert not THEIRS.is_left_by_an_installer("director")
    assert FoundInstallation("matomo_", version=None).is_left_by_an_installer("admin")
