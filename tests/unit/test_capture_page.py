"""The file that Matomo's page Config file shows, and what that page does not show."""

from typing import Any, Final

from matomo_harness.matomo import ini
from matomo_harness.operate.capture_page import MASKED, as_file

SEED: Final = ini.read(
    '[database]\nhost = "db"\n[General]\nsalt = "of the image"\nfirst = 1\n'
    '[Plugins]\nPlugins[] = "Login"\n'
).settings
DEFAULTS: Final = ini.read("[General]\nsecond = 2\n[Login]\nattempts = 20\n").settings
PLUGINS: Final = {"Plugins": {"value": ["Login", "Forms"], "isCustomValue": True}}


def entry(value: Any, *, custom: bool = True) -> dict[str, Any]:
    return {"value": value, "isCustomValue": custom, "description": "", "defaultValue": None}


def file_of(**sections: Any) -> tuple[ini.Settings, str]:
    shown = as_file({"Plugins": PLUGINS, **sections}, SEED, DEFAULTS)
    return ini.read(shown.text).settings, " ".join(shown.unseen)


def text(settings: ini.Settings, section: str, name: str) -> str | None:
    found = settings.get(section, {}).get(name)
    assert not isinstance(found, dict)
    return getattr(found, "text", None)


def test_only_what_the_file_sets_is_in_it() -> None:
    settings, _ = file_of(
        General={"first": entry(0), "second": entry("2", custom=False)}, mail=[], Tracker={}
    )
    assert text(settings, "General", "first") == "0"
    assert text(settings, "General", "second") is None
    plugins = settings["Plugins"]["Plugins"]
    assert not isinstance(plugins, ini.Entry)
    assert [item.text for item in plugins.values()] == ["Login", "Forms"]


def test_lists_words_and_signs_of_html_are_as_matomo_writes_them() -> None:
    settings, _ = file_of(
        General={
            "named": entry({"a": "x", "b": "y"}),
            "quoted": entry('say "<b>"'),
            "empty": entry(None),
            "switch": entry(True),
        }
    )
    named = settings["General"]["named"]
    assert not isinstance(named, ini.Entry)
    assert {key: item.text for key, item in named.items()} == {"a": "x", "b": "y"}
    assert text(settings, "General", "quoted") == "say &quot;&lt;b&gt;&quot;"
    assert text(settings, "General", "empty") == ""
    assert text(settings, "General", "switch") == "1"


def test_what_the_page_hides_is_as_in_the_image_and_named() -> None:
    settings, said = file_of(General={"salt": entry(MASKED), "admin_password": entry(MASKED)})
    assert text(settings, "database", "host") == "db"
    assert text(settings, "General", "salt") == "of the image"
    assert text(settings, "General", "admin_password") is None
    assert "[General] salt, [General] admin_password" in said
    assert MASKED not in said


def test_a_plugins_key_that_may_be_clicked_is_not_taken_for_the_files() -> None:
    settings, said = file_of(
        Forms={"limit": entry(5)}, Login={"attempts": entry(3)}, Nobodys={"key": entry(1)}
    )
    assert "Forms" not in settings
    assert "[Forms] limit" in said
    assert text(settings, "Login", "attempts") == "3"
    assert text(settings, "Nobodys", "key") == "1"
