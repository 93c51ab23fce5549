"""What of a repository does not fit another version of Matomo, by its files alone."""

import json
from pathlib import Path

import pytest

from matomo_harness.errors import BrokenPromiseError, WrongInputError
from matomo_harness.matomo.version_changes import takes
from matomo_harness.operate import fit as operation
from matomo_harness.operate.fit import Fit, fit

PLUGINS = "[Plugins]\nPlugins[] = CoreHome\nPlugins[] = SEO\nPlugins[] = Licensed\n"
FORCED = "[General]\nforce_ssl = 1\n"


def of(
    directory: Path, config: str, before: str = "5.3.1", after: str = "6.0.0", **require: str
) -> Fit:
    """Return what fits of a file and of plugins that ask for these versions."""
    (directory / "config.ini.php").write_text(config)
    for name, asked in require.items():
        (directory / "plugins" / name).mkdir(parents=True)
        said = {"name": name, "require": {"matomo": asked}}
        (directory / "plugins" / name / "plugin.json").write_text(json.dumps(said))
    return fit(before, after, directory / "config.ini.php", directory / "plugins")


def test_what_was_read_of_the_reference_image_is_said(tmp_path: Path) -> None:
    """A verdict on ours looked like one on the image of whoever asked."""
    (note, *_) = fit("5.3.1", "5.10.0").notes
    assert "without --config and --plugins" in note
    assert not [note for note in of(tmp_path, PLUGINS).notes if "reference image" in note]


def named(found: Fit, *, breaks: bool) -> list[str]:
    return [misfit.what for misfit in found.misfits if misfit.breaks is breaks]


@pytest.mark.parametrize(
    ("requirement", "version", "is_taken"),
    [
        (">=5.0.0-b1,<6.0.0-b1", "5.10.0", True),
        (">=5.0.0-b1,<6.0.0-b1", "6.0.0", False),
        (">=5.0.0-b1,<6.0.0-b1", "6.0.0-b2", False),
        (">=5.4.0,<6.0.0-b1", "5.3.1", False),
        (">=5.1.0-stable,<6.0.0-b1", "5.3.1", True),  # as Matomo's own generator writes it
        (">=5.4.0-stable,<6.0.0-b1", "5.3.1", False),
        ("5.0.0", "5.10.0", True),
        (">=5.0.0", "6.0.0", False),  # Matomo gives it an upper limit
        ("<5.8", "5.7.1", True),
        ("<5.8", "4.16.0", False),  # and a lower one
        ("^5.2", "5.10.0", True),
        ("^5.2", "6.0.0", False),
        ("~5.2,<9", "5.10.0", True),
        ("!=5.4.0,>=5.0.0", "5.4.0", False),
        ("5", "5.0.0", True),
        ("5", "5.8.0", False),  # without a dot it is that version alone
        ("", "5.8.0", False),  # which is for Matomo 4
    ],
)
def test_a_plugin_takes_the_versions_that_its_file_asks_for(
    requirement: str, version: str, is_taken: bool
) -> None:
    assert takes(requirement, version) is is_taken


def test_plugins_that_are_gone_or_too_old_are_named(tmp_path: Path) -> None:
    found = of(
        tmp_path, PLUGINS, Old=">=5.0.0-b1,<6.0.0-b1", New=">=6.0.0-b1,<7.0.0-b1", Odd="5||6"
    )
    assert named(found, breaks=True) == ["plugin Odd", "plugin Old", "plugin SEO"]
    assert "`5||6` is no constraint" in next(m.why for m in found.misfits if m.what == "plugin Odd")
    assert found.plugins == ("New", "Odd", "Old")
    assert found.unknown == ("Licensed",)
    assert "Licensed" in found.notes[0]
    with pytest.raises(
        BrokenPromiseError, match="3 that do not: plugin Odd, plugin Old, plugin SEO"
    ):
        operation.require_fits(found)


@pytest.mark.parametrize(
    ("require", "fits"),
    [
        ({}, True),
        ({"Matomo": ">=4.0.0,<5.0.0"}, False),
        ({"matomo": ">=5.0.0,<6.0.0", "piwik": ">=3.0.0,<4.0.0"}, False),
        ({"matomo": ">=5.0.0,<6.0.0", "php": ">=8.1"}, True),
    ],
)
def test_whatever_a_plugin_calls_matomo_is_what_it_asks_for(
    tmp_path: Path, require: dict[str, str], fits: bool
) -> None:
    (tmp_path / "plugins/One").mkdir(parents=True)
    (tmp_path / "plugins/One/plugin.json").write_text(json.dumps({"require": require}))
    found = of(tmp_path, FORCED + "assume_secure_protocol = 1\n", after="5.8.0")
    assert named(found, breaks=True) == ([] if fits else ["plugin One"])


def test_new_plugins_are_named_where_the_file_has_its_own_list(tmp_path: Path) -> None:
    assert "plugin BotTracking" in named(of(tmp_path, PLUGINS), breaks=False)
    assert not [m for m in of(tmp_path, FORCED).misfits if "BotTracking" in m.what]


@pytest.mark.parametrize(
    ("config", "breaks"),
    [
        (FORCED, True),
        (FORCED + "assume_secure_protocol = 1\n", False),
        ("[General]\nforce_ssl = 0\n", False),
    ],
)
def test_a_missing_scheme_header_breaks_where_https_is_forced(
    tmp_path: Path, config: str, breaks: bool
) -> None:
    found = of(tmp_path, config, after="5.8.0")
    assert ("[General] proxy_scheme_headers" in named(found, breaks=True)) is breaks
    listed = of(
        tmp_path, config + "proxy_scheme_headers[] = HTTP_X_FORWARDED_PROTO\n", after="5.8.0"
    )
    assert "[General] proxy_scheme_headers" not in [misfit.what for misfit in listed.misfits]


def test_only_options_between_the_two_versions_that_the_file_sets_are_named(tmp_path: Path) -> None:
    config = "[Tracker]\nurl_query_parameter_to_exclude_from_url = a\n[APISettings]\nkey = 1\n"
    names = named(of(tmp_path, config), breaks=False)
    assert "[Tracker] url_query_parameter_to_exclude_from_url" in names
    assert "[APISettings]" in names
    assert "[General] datatable_archiving_maximum_rows_actions" not in names
    later = named(of(tmp_path, config, before="5.8.0", after="5.10.0"), breaks=False)
    assert later == []


def test_what_core_update_writes_is_to_be_captured(tmp_path: Path) -> None:
    (misfit,) = (m for m in of(tmp_path, FORCED).misfits if m.what.endswith("_actions_flat"))
    assert "capture what core:update writes" in misfit.why


def test_the_repository_fits_what_its_tests_run_on() -> None:
    found = fit("5.3.1", "5.8.0")
    operation.require_fits(found)
    assert found.plugins == ("EnvironmentVariables", "NoUserIds")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("5.3.1", "5.2.0", "Matomo has no way down"),
        ("5.3.1", "newest", "a version of Matomo with --to"),
        ("?", "5.8.0", "a version of Matomo with --from"),
    ],
)
def test_a_way_that_is_none_is_refused(tmp_path: Path, before: str, after: str, words: str) -> None:
    with pytest.raises(WrongInputError, match=words):
        of(tmp_path, FORCED, before, after)


def test_files_that_are_none_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(WrongInputError, match="No such file"):
        fit("5.3.1", "5.8.0", tmp_path / "missing", tmp_path)
    (tmp_path / "plugins" / "Broken").mkdir(parents=True)
    with pytest.raises(WrongInputError, match="the plugin Broken to have"):
        of(tmp_path, FORCED)
    (tmp_path / "plugins" / "Broken" / "plugin.json").write_text('{"require": []}')
    with pytest.raises(WrongInputError, match="`require` is no object"):
        of(tmp_path, FORCED)
    (tmp_path / "plugins" / "Broken" / "plugin.json").write_text("{}")
    with pytest.raises(WrongInputError, match="config"):
        of(tmp_path, "[General\n")
