"""Mutants of drift: what runs is not what the repository says."""

from typing import Final

from matomo_harness.gate.mutation.changes import (
    apache,
    every,
    file,
    image_file,
    in_web,
    key,
    no_key,
    option,
    renamed,
    sql,
    with_key,
)
from matomo_harness.gate.mutation.mutant import Deployment, Mutant, Place, Stage
from matomo_harness.gate.probes.day import DUE


def _delete_reports(deployment: Deployment) -> None:
    deployment.instance.api.call(
        "PrivacyManager.setDeleteReportsSettings",
        enableDeleteReports=1,
        deleteReportsOlderThan=1,
        passwordConfirmation=deployment.instance.account.password,
    )


MUTANTS: Final = (
    Mutant(
        "drift.key_added",
        "somebody added a key on the volume",
        Place.VOLUME,
        ("drift.file_is_the_image_s",),
        key("General", "show_multisites_sparklines", 0),
        "C9",
    ),
    Mutant(
        "drift.installer_left_open",
        "an installation by hand has not closed the installer again",
        Place.FILE,
        ("drift.file_is_the_image_s",),
        key("General", "enable_installer", 1),
    ),
    Mutant(
        "drift.by_a_variable",
        "a variable of the task definition has the tracker tell everybody what it does",
        Place.ENVIRONMENT,
        ("drift.variables_are_the_policy_s",),
        environment={"MATOMO_TRACKER_DEBUG_ON_DEMAND": "1"},
        seen="C9",
        stage=Stage.PAIR,
    ),
    Mutant(
        "drift.program_added",
        "somebody put a tool for the database into the web root",
        Place.VOLUME,
        ("drift.web_root_is_the_image_s",),
        in_web("echo '<?php echo 1;' > adminer.php"),
        stage=Stage.PAIR,
    ),
    Mutant(
        "drift.services_overruled",
        "config.php on the volume overrules Matomo's own services",
        Place.VOLUME,
        ("drift.web_root_is_the_image_s",),
        in_web("echo '<?php return [];' > config/config.php"),
        stage=Stage.PAIR,
    ),
    Mutant(
        "drift.file_of_another_host",
        "the volume has a config.ini.php for one host name alone",
        Place.VOLUME,
        ("drift.web_root_is_the_image_s",),
        in_web("cp config/config.ini.php config/analytics.example.config.ini.php"),
        stage=Stage.PAIR,
    ),
    Mutant(
        "drift.hotfix",
        "somebody mended a file in production by hand",
        Place.VOLUME,
        ("drift.web_root_is_the_image_s",),
        in_web("echo '// a hotfix' >> core/Tracker/Visit.php"),
        stage=Stage.PAIR,
    ),
    Mutant(
        "drift.tracker_s_debug_output",
        "the tracker tells everybody what it does, left over from a search for an error",
        Place.FILE,
        ("drift.file_is_the_image_s",),
        key("Tracker", "debug", 1),
        "C9",
    ),
    Mutant(
        "drift.countries",
        "somebody chose another way to tell countries",
        Place.CLICK,
        ("drift.options_are_the_policy_s",),
        option("usercountry.location_provider", "disabled"),
        "C10",
    ),
    Mutant(
        "drift.key_misspelt",
        "a key is misspelt, and Matomo's default holds",
        Place.FILE,
        ("drift.file_is_the_image_s",),
        file(renamed("archive_failure_recovery_timeout", "archive_failure_recovery_timout")),
        "C9",
    ),
    Mutant(
        "drift.plugin_setting",
        "somebody chose beta releases",
        Place.CLICK,
        ("drift.plugin_settings_are_the_policy_s",),
        lambda it: it.database.query(
            "INSERT INTO {prefix}plugin_setting (plugin_name, setting_name, setting_value, user_login)"
            " VALUES ('CoreUpdater', 'release_channel', 'latest_beta', '')"
        ),
        "C10",
    ),
    Mutant(
        "drift.option",
        "somebody excluded parameters from every site's pages",
        Place.CLICK,
        ("drift.options_are_the_policy_s",),
        option("SitesManager_ExcludedQueryParameters", "q,search"),
        "C10",
    ),
    Mutant(
        "drift.branding",
        "somebody allowed a logo of one's own",
        Place.CLICK,
        ("drift.options_are_the_policy_s",),
        option("branding_use_custom_logo", "1"),
        "C10",
    ),
    Mutant(
        "drift.reports_deleted",
        "old reports are deleted, by a click on Anonymize data",
        Place.CLICK,
        ("drift.options_are_the_policy_s",),
        _delete_reports,
        "P9",
    ),
    Mutant(
        "drift.visits_deleted",
        "visits are deleted after a day",
        Place.DATABASE,
        ("drift.options_are_the_policy_s",),
        every(option("delete_logs_enable", 1), option("delete_logs_older_than", 1)),
        "P9",
    ),
    Mutant(
        "drift.scheme_headers_lost",
        "config.ini.php names no header of the scheme",
        Place.FILE,
        ("drift.file_is_the_image_s",),
        no_key("General", "proxy_scheme_headers[]"),
        "M1",
        Stage.PRODUCTION,
    ),
    Mutant(
        "drift.matomo_patched",
        "the build patches a file of Matomo's own",
        Place.IMAGE,
        ("drift.matomo_is_the_base_s",),
        in_web("echo '// mended' >> /usr/src/matomo/core/Access.php"),
        stage=Stage.PAIR,
    ),
    Mutant(
        "drift.file_in_a_plugin_of_matomo_s",
        "the build adds a file to a plugin of Matomo's own, which overrules its services",
        Place.IMAGE,
        ("drift.matomo_is_the_base_s",),
        in_web("echo '<?php return [];' > /usr/src/matomo/plugins/TwoFactorAuth/config/config.php"),
        stage=Stage.PAIR,
    ),
    Mutant(
        "drift.trigger",
        "somebody's trigger writes down what is deleted",
        Place.DATABASE,
        ("drift.database_does_nothing_of_its_own",),
        sql(
            "CREATE TRIGGER kept AFTER DELETE ON {prefix}site FOR EACH ROW"
            " INSERT INTO {prefix}option (option_name, option_value) VALUES (OLD.name, OLD.main_url)"
        ),
    ),
    Mutant(
        "drift.tasks_put_off",
        "a clock that once was wrong has put Matomo's own tasks off until 2100: nothing is forgotten",
        Place.DATABASE,
        ("drift.no_task_is_put_off",),
        option("TaskScheduler.timetable", f'a:1:{{s:{len(DUE)}:"{DUE}";i:4102444800;}}'),
        "P9",
    ),
    Mutant(
        "drift.visits_log_off_for_one_site",
        "somebody switched the visits log off in the settings of site 1",
        Place.CLICK,
        ("drift.site_settings_are_the_policy_s",),
        sql(
            "INSERT INTO {prefix}site_setting (idsite, plugin_name, setting_name, setting_value,"
            " json_encoded) VALUES (1, 'Live', 'disable_visitor_log', '1', 0)"
        ),
        "C10",
    ),
    Mutant(
        "drift.section_of_one_site",
        "25 rows of events are kept for site 1, by a section of its own since a pull request",
        Place.IMAGE,
        ("drift.no_site_has_its_own_section",),
        image_file(with_key("General_1", "datatable_archiving_maximum_rows_events", 25)),
        "R11",
        Stage.PAIR,
    ),
    Mutant(
        "drift.compiled_page",
        "a compiled page in tmp/ has a line more, which notes who logs in",
        Place.VOLUME,
        ("drift.compiled_pages_only_show",),
        in_web(
            "mkdir -p tmp/templates_c/aa; chmod 755 tmp/templates_c/aa;"
            " echo '<?php error_log($_POST[\"form_login\"]);' > tmp/templates_c/aa/aabb.php"
        ),
        stage=Stage.PAIR,
    ),
    Mutant(
        "drift.agent_before_each_page",
        "a monitoring agent is loaded before each page, and tells its daemon whom a hit came from",
        Place.IMAGE,
        ("drift.nothing_runs_beside_matomo",),
        every(
            in_web("echo '<?php $seen = $_SERVER;' > /usr/local/lib/agent.php"),
            apache("php_admin_value auto_prepend_file /usr/local/lib/agent.php"),
        ),
        "O6",
        Stage.PAIR,
    ),
    Mutant(
        "drift.history_is_kept",
        "the database keeps the history of a table, deleted and masked rows as they were",
        Place.DATABASE,
        ("drift.database_does_nothing_of_its_own",),
        sql("ALTER TABLE {prefix}log_visit ADD SYSTEM VERSIONING"),
        "P9",
    ),
    Mutant(
        "drift.unknown_pages_left_out",
        "somebody had site 1 leave out pages of unknown addresses: hits are dropped in silence",
        Place.CLICK,
        ("drift.site_settings_are_the_policy_s",),
        sql("UPDATE {prefix}site SET exclude_unknown_urls = 1 WHERE idsite = 1"),
        "C10",
    ),
)
