"""Mutants of plugins: one is missing, extra, half there, or for another Matomo."""

from typing import Final

from harness.gate.mutants.changes import file, in_web, no_plugin, plugin, renamed, sql, without_key
from harness.gate.mutants.mutant import Mutant, Place, Stage

DRIFT: Final = "drift.file_is_the_image_s"

MUTANTS: Final = (
    Mutant(
        "plugins.one_missing",
        "a promised plugin is not in the list",
        Place.FILE,
        ("plugins.promised_are_active", "plugins.answer", DRIFT),
        no_plugin("Live"),
        "C14",
    ),
    Mutant(
        "plugins.one_extra",
        "a plugin is active that nobody promised",
        Place.FILE,
        ("plugins.nothing_else_is_active", DRIFT),
        plugin("DBStats"),
        "C10",
    ),
    Mutant(
        "plugins.misspelt",
        "a plugin's name is misspelt in the list",
        Place.FILE,
        ("plugins.promised_are_active", DRIFT),
        file(renamed('"SegmentEditor"', '"SegmentEditer"')),
        "C14",
    ),
    Mutant(
        "plugins.list_lost",
        "there is no list: Matomo's own holds",
        Place.FILE,
        ("plugins.promised_are_active", "plugins.nothing_else_is_active", DRIFT),
        file(without_key("Plugins", "Plugins[]")),
        "C14",
    ),
    Mutant(
        "plugins.table_gone",
        "a plugin's table was never made",
        Place.DATABASE,
        ("plugins.have_their_tables",),
        sql("DROP TABLE {prefix}segment"),
        "G1",
    ),
    Mutant(
        "plugins.half_installed",
        "a plugin is listed as installed, and has no tables",
        Place.DATABASE,
        ("plugins.have_their_tables",),
        sql("DROP TABLE {prefix}custom_dimensions"),
        "G1",
    ),
    Mutant(
        "plugins.column_gone",
        "an update left a plugin's column out",
        Place.DATABASE,
        ("plugins.have_their_columns",),
        sql("ALTER TABLE {prefix}log_visit DROP COLUMN config_device_brand"),
        "U3",
    ),
    Mutant(
        "plugins.core_table_gone",
        "a table of Matomo's own is not in the dump",
        Place.DATABASE,
        ("plugins.core_has_its_tables",),
        sql("DROP TABLE {prefix}tracking_failure"),
        "U3",
    ),
    Mutant(
        "plugins.code_gone",
        "a plugin's folder is empty",
        Place.IMAGE,
        ("plugins.have_their_code",),
        in_web("rm -rf plugins/Feedback && mkdir plugins/Feedback"),
        "G7",
        Stage.PAIR,
    ),
    Mutant(
        "plugins.incompatible",
        "a plugin is for an older Matomo",
        Place.IMAGE,
        ("plugins.fit_this_version", "plugins.requirements_are_met"),
        in_web("sed -i 's/<6.0.0-b1/<5.0.0/' plugins/NoUserIds/plugin.json && rm -rf tmp/cache/*"),
        "M6",
        Stage.PAIR,
    ),
    Mutant(
        "plugins.tracker_cut",
        "the tracker JavaScript was cut off",
        Place.VOLUME,
        ("plugins.tracker_is_whole", "plugins.tracker_is_served"),
        in_web("head -c 50000 piwik.js > matomo.js"),
        "M4",
        Stage.PAIR,
    ),
    Mutant(
        "plugins.tracker_unreadable",
        "the web server may not read the tracker",
        Place.VOLUME,
        ("plugins.tracker_is_served",),
        in_web("chown root matomo.js && chmod 600 matomo.js"),
        "F4",
        Stage.PAIR,
    ),
    Mutant(
        "plugins.tracker_of_another",
        "matomo.js is an older version's",
        Place.VOLUME,
        ("plugins.tracker_is_whole",),
        in_web("sed -i 's/Matomo - free/Matomo - Free/' matomo.js && cp matomo.js piwik.js"),
        "M4",
        Stage.PAIR,
    ),
)
