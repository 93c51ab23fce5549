"""Mutants of plugins: one is missing, extra, incomplete, for another Matomo, or decides."""

from typing import Final

from matomo_harness.gate.mutants import Location, Mutants, Topology
from matomo_harness.gate.mutants.changes import (
    code,
    file,
    in_web,
    no_plugin,
    plugin,
    renamed,
    sql,
    without_key,
)
from matomo_harness.matomo import versions

MUTANTS: Final = Mutants("plugins")

DRIFT: Final = "settings.file_is_of_the_image"
FIRST_METHOD: Final = "    public function isTrackerPlugin()"
ON_CAMPUS: Final = """    public function registerEvents()
    {
        return ['TwoFactorAuth.requiresTwoFactorAuthentication' => 'onCampus'];
    }

    public function onCampus(&$required)
    {
        $from = \\Matomo\\Network\\IP::fromStringIP(\\Piwik\\IP::getIpFromHeader());
        $required = $required && !$from->isInRanges(['18.0.0.0/11', '128.30.0.0/15']);
    }

"""


# -- which are active -----------------------------------------------------------------------------

MUTANTS.add(
    "one_missing",
    "a promised plugin is not in the list",
    Location.FILE,
    ("promised_are_active", "each_answers", DRIFT),
    no_plugin("Live"),
    "C14",
)
MUTANTS.add(
    "one_extra",
    "a plugin is active that the policy does not name",
    Location.FILE,
    ("nothing_else_is_active", DRIFT),
    plugin("DBStats"),
    "C10",
)
MUTANTS.add(
    "misspelt",
    "a plugin's name is misspelt in the list",
    Location.FILE,
    ("promised_are_active", DRIFT),
    file(renamed('"SegmentEditor"', '"SegmentEditer"')),
    "C14",
)
MUTANTS.add(
    "list_lost",
    "there is no list: Matomo's own applies",
    Location.FILE,
    ("promised_are_active", "nothing_else_is_active", DRIFT),
    file(without_key("Plugins", "Plugins[]")),
    "C14",
)

# -- whether they are complete --------------------------------------------------------------------

MUTANTS.add(
    "table_gone",
    "a plugin's table was never made",
    Location.DATABASE,
    "have_their_tables",
    sql("DROP TABLE {prefix}segment"),
    "G1",
)
MUTANTS.add(
    "half_installed",
    "a plugin is listed as installed, and has no tables",
    Location.DATABASE,
    "have_their_tables",
    sql("DROP TABLE {prefix}custom_dimensions"),
    "G1",
)
MUTANTS.add(
    "column_gone",
    "an update left a plugin's column out",
    Location.DATABASE,
    "have_their_columns",
    sql("ALTER TABLE {prefix}log_visit DROP COLUMN config_device_brand"),
    "U3",
)
MUTANTS.add(
    "code_gone",
    "a plugin's folder is empty",
    Location.IMAGE,
    "have_their_code",
    in_web("rm -rf plugins/Feedback && mkdir plugins/Feedback"),
    "G7",
    Topology.DEDICATED,
)

# -- whether they fit and do their work -----------------------------------------------------------

MUTANTS.add(
    "incompatible",
    "a plugin is for an older Matomo",
    Location.IMAGE,
    ("fit_this_version", "requirements_are_met"),
    in_web(
        f"sed -i 's/<[0-9][^\"]*/<{versions.OF_LONG_AGO}/' plugins/NoUserIds/plugin.json"
        " && rm -rf tmp/cache/*"
    ),
    "M6",
    Topology.DEDICATED,
)
MUTANTS.add(
    "table_of_an_older_version",
    "a dump brought back the table of ScheduledReports as an older version had it",
    Location.DATABASE,
    "take_what_is_made",
    sql("ALTER TABLE {prefix}report DROP COLUMN evolution_graph_period_n"),
    "U3",
)
MUTANTS.add(
    "no_pictures",
    "the web server's PHP draws no pictures: overviews have no curves, mails no graphs",
    Location.IMAGE,
    "pictures_are_drawn",
    code(
        "core/SettingsServer.php",
        "public static function isGdExtensionEnabled()\n    {",
        "public static function isGdExtensionEnabled()\n    { return false;",
    ),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "no_code_on_campus",
    "a plugin of ours asks for no second factor on the institution's own networks",
    Location.IMAGE,
    "nobody_else_decides",
    code("plugins/NoUserIds/NoUserIds.php", FIRST_METHOD, f"{ON_CAMPUS}{FIRST_METHOD}"),
    "A1",
    Topology.DEDICATED,
)
