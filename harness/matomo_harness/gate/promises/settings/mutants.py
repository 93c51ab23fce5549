"""Mutants of settings: something is set otherwise, in the file, the database or for one site."""

from typing import Final

from matomo_harness.gate.mutants import Deployment, Location, Mutants, Topology
from matomo_harness.gate.mutants.changes import (
    every,
    file,
    image_file,
    in_web,
    key,
    no_key,
    option,
    plugin_setting,
    renamed,
    sql,
    with_key,
)

MUTANTS: Final = Mutants("settings")


MUTANTS.add(
    "third_party_cookie",
    "since a pull request, the tracker knows a visitor on every site by one cookie",
    Location.IMAGE,
    "no_safeguard_is_off",
    image_file(with_key("Tracker", "use_third_party_id_cookie", 1)),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "session_of_a_week",
    "since a pull request, an idle session lasts a week",
    Location.IMAGE,
    "no_safeguard_is_off",
    image_file(with_key("General", "login_session_not_remembered_idle_timeout", 604800)),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "any_certificate_of_the_relay",
    "whatever certificate the mail relay shows is accepted",
    Location.VOLUME,
    "no_safeguard_is_off",
    in_web("printf '\n[mail]\nssl_verify_peer = 0\n' >> config/common.config.ini.php"),
    "E3",
    Topology.DEDICATED,
)
MUTANTS.add(
    "long_visits_divided",
    "a visit ends after 25 actions, against robots: whoever reads much is counted several times",
    Location.FILE,
    "no_safeguard_is_off",
    key("Tracker", "create_new_visit_after_x_actions", 25),
)
MUTANTS.add(
    "key_added",
    "somebody added a key on the volume",
    Location.VOLUME,
    "file_is_of_the_image",
    key("General", "show_multisites_sparklines", 0),
    "C9",
)
MUTANTS.add(
    "installer_left_open",
    "an installation by hand left the installer open",
    Location.FILE,
    "file_is_of_the_image",
    key("General", "enable_installer", 1),
)
MUTANTS.add(
    "tracker_debug_output",
    "the tracker shows everybody its debug output, left over from a search for an error",
    Location.FILE,
    "file_is_of_the_image",
    key("Tracker", "debug", 1),
    "C9",
)
MUTANTS.add(
    "countries",
    "somebody chose another way to find out countries",
    Location.CLICK,
    "options",
    option("usercountry.location_provider", "disabled"),
    "C10",
)
MUTANTS.add(
    "key_misspelt",
    "a key is misspelt, and Matomo's default applies",
    Location.FILE,
    "file_is_of_the_image",
    file(renamed("archive_failure_recovery_timeout", "archive_failure_recovery_timout")),
    "C9",
)
MUTANTS.add(
    "plugin_setting",
    "somebody chose beta releases",
    Location.CLICK,
    "plugin_settings",
    plugin_setting("CoreUpdater", "release_channel", "latest_beta"),
    "C10",
)
MUTANTS.add(
    "option",
    "somebody excluded parameters from every site's pages",
    Location.CLICK,
    "options",
    option("SitesManager_ExcludedQueryParameters", "q,search"),
    "C10",
)
MUTANTS.add(
    "branding",
    "somebody allowed a custom logo",
    Location.CLICK,
    "options",
    option("branding_use_custom_logo", "1"),
    "C10",
)


@MUTANTS.mutant("reports_deleted", Location.CLICK, "options", "P9")
def _delete_reports(deployment: Deployment) -> None:
    """Old reports are deleted, by a click on Anonymize data."""
    deployment.instance.api.call(
        "PrivacyManager.setDeleteReportsSettings",
        enableDeleteReports=1,
        deleteReportsOlderThan=1,
        passwordConfirmation=deployment.instance.account.password,
    )


MUTANTS.add(
    "visits_deleted",
    "visits are deleted after a day",
    Location.DATABASE,
    "options",
    every(option("delete_logs_enable", 1), option("delete_logs_older_than", 1)),
    "P9",
)
MUTANTS.add(
    "scheme_headers_lost",
    "config.ini.php names no scheme header",
    Location.FILE,
    "file_is_of_the_image",
    no_key("General", "proxy_scheme_headers[]"),
    "M1",
    Topology.FULL_STACK,
)
MUTANTS.add(
    "visits_log_off_for_one_site",
    "somebody switched the visits log off in the settings of site 1",
    Location.CLICK,
    "site_settings",
    sql(
        "INSERT INTO {prefix}site_setting (idsite, plugin_name, setting_name, setting_value,"
        " json_encoded) VALUES (1, 'Live', 'disable_visitor_log', '1', 0)"
    ),
    "C10",
)
MUTANTS.add(
    "section_of_one_site",
    "since a pull request, a section of its own limits site 1 to 25 rows of events",
    Location.IMAGE,
    "no_site_has_its_own_section",
    image_file(with_key("General_1", "datatable_archiving_maximum_rows_events", 25)),
    "R11",
    Topology.DEDICATED,
)
MUTANTS.add(
    "unknown_pages_left_out",
    "somebody had site 1 exclude pages of unknown addresses: hits are silently dropped",
    Location.CLICK,
    "site_settings",
    sql("UPDATE {prefix}site SET exclude_unknown_urls = 1 WHERE idsite = 1"),
    "C10",
)
