"""Mutants of plugins: one is missing, extra, half there, or for another Matomo."""

from typing import Final

from matomo_harness.gate.mutation.changes import (
    apache,
    at_the_load_balancer,
    code,
    file,
    in_web,
    key,
    no_plugin,
    plugin,
    renamed,
    sql,
    without_key,
)
from matomo_harness.gate.mutation.mutant import Mutant, Place, Stage

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
FIRST_METHOD: Final = "    public function isTrackerPlugin()"

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
    Mutant(
        "plugins.tracker_for_its_own_site_alone",
        "a header has browsers keep the tracker from every site's pages but Matomo's own",
        Place.IMAGE,
        ("plugins.tracker_is_served",),
        apache("Header always set Cross-Origin-Resource-Policy same-origin"),
        "M4",
        Stage.PAIR,
    ),
    Mutant(
        "plugins.opt_out_refused",
        "a rule closes the administration's module to whoever has no session: no visitor can opt out",
        Place.IMAGE,
        ("plugins.opt_out_is_served",),
        apache(
            '<If "%{QUERY_STRING} =~ /module=CoreAdminHome/ && %{HTTP_COOKIE} !~ /MATOMO_SESSID=/">',
            "Require all denied",
            "</If>",
        ),
        stage=Stage.PAIR,
    ),
    Mutant(
        "plugins.tracker_as_text",
        "the tracker is served as text, which with nosniff no browser runs",
        Place.IMAGE,
        ("plugins.tracker_is_served",),
        apache('<FilesMatch "^(matomo|piwik)\\.js$">', "ForceType text/plain", "</FilesMatch>"),
        "M4",
        Stage.PAIR,
    ),
    Mutant(
        "plugins.key_lost",
        "a restore by CREATE TABLE AS SELECT lost the key of the segments' table: all are number 0",
        Place.DATABASE,
        ("plugins.tables_have_their_keys",),
        sql("ALTER TABLE {prefix}segment MODIFY idsegment INT NOT NULL, DROP PRIMARY KEY"),
        "G1",
    ),
    Mutant(
        "plugins.table_of_an_older_version",
        "a dump brought back the table of ScheduledReports as an older version had it",
        Place.DATABASE,
        ("plugins.take_what_is_made",),
        sql("ALTER TABLE {prefix}report DROP COLUMN evolution_graph_period_n"),
        "U3",
    ),
    Mutant(
        "plugins.no_pictures",
        "the web server's PHP draws no pictures: overviews have no curves, mails no graphs",
        Place.IMAGE,
        ("plugins.pictures_are_drawn",),
        code(
            "core/SettingsServer.php",
            "public static function isGdExtensionEnabled()\n    {",
            "public static function isGdExtensionEnabled()\n    { return false;",
        ),
        stage=Stage.PAIR,
    ),
    Mutant(
        "plugins.no_code_on_campus",
        "a plugin of ours takes the second factor from who comes from the institution's networks",
        Place.IMAGE,
        ("plugins.nobody_else_decides",),
        code("plugins/NoUserIds/NoUserIds.php", FIRST_METHOD, f"{ON_CAMPUS}{FIRST_METHOD}"),
        "A1",
        Stage.PAIR,
    ),
    Mutant(
        "plugins.opt_out_renamed",
        "the cookie of who opted out has another name: all who did are counted again",
        Place.FILE,
        ("plugins.opt_outs_are_kept", DRIFT),
        key("Tracker", "ignore_visits_cookie_name", "opted_out"),
    ),
    Mutant(
        "plugins.opt_out_dropped",
        "the load balancer passes no cookie on to the tracker, to cache: who opted out is counted",
        Place.PROXY,
        ("plugins.opt_outs_are_kept",),
        at_the_load_balancer("http-request del-header Cookie if { path /matomo.php }"),
        stage=Stage.PRODUCTION,
    ),
    Mutant(
        "plugins.opt_out_in_no_frame",
        "the web server has every page refuse frames, the one of opting out as well",
        Place.IMAGE,
        ("plugins.opt_out_may_be_framed",),
        apache("Header set X-Frame-Options SAMEORIGIN"),
        stage=Stage.PAIR,
    ),
)
