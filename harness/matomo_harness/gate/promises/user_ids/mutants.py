"""Mutants of user ids: a user's name is stored, reported or written down, as a user id or otherwise."""

import zlib
from typing import Final

from matomo_harness.gate.mutants import Deployment, Location, Mutants, Topology
from matomo_harness.gate.mutants.changes import (
    api,
    code,
    every,
    in_web,
    no_plugin,
    option,
    plugin,
    sql,
    visit_of_before,
)

MUTANTS: Final = Mutants("user_ids")

STORED: Final = (
    *("none_by_form", "none_in_bulk", "none_of_the_past", "none_of_a_returning_visitor"),
    "none_of_a_browser",
)
"""Checks that go red where user ids are stored, whatever the hit."""
FAILURES: Final = "plugins/NoUserIds/Tracker/Failures.php"
PROCESSOR: Final = "plugins/NoUserIds/Tracker/RequestProcessor.php"
EMPTIED: Final = "$request->setParam('uid', '');"
BY_SALT: Final = (
    "if ($request->getParam('uid') !== '') { $request->setParam('_id', substr(hash_hmac('sha256',"
    " $request->getParam('uid'), \\Piwik\\SettingsPiwik::getSalt()), 0, 16)); }"
)
REPORT: Final = (
    b'a:1:{i:0;a:3:{i:0;a:1:{s:5:"label";s:20:"alice@people.example";}i:1;a:0:{}i:3;N;}}'
)
"""As Matomo stores it: rows, serialized, then packed (ArchiveWriter's gzcompress)."""


# -- what is stored of a hit ----------------------------------------------------------------------

MUTANTS.add(
    "kept",
    "NoUserIds is not in the list of plugins",
    Location.FILE,
    (
        *STORED,
        "none_in_the_visitor_id",
        "nowhere_in_the_database",
        "plugins.promised_are_active",
    ),
    no_plugin("NoUserIds"),
    "P3",
)
MUTANTS.add(
    "anonymized_only",
    "user ids are stored as hashes",
    Location.DATABASE,
    STORED,
    every(no_plugin("NoUserIds"), option("PrivacyManager.anonymizeUserId", 1)),
    "P4",
)
MUTANTS.add(
    "code_gone",
    "NoUserIds is listed, and its code is not in the image",
    Location.IMAGE,
    (*STORED, "plugins.have_their_code"),
    in_web("rm -rf plugins/NoUserIds/*"),
    "G7",
    Topology.DEDICATED,
)
MUTANTS.add(
    "another_word",
    "NoUserIds empties another parameter",
    Location.IMAGE,
    STORED,
    code(PROCESSOR, "'uid'", "'_uid'"),
    "P3",
    Topology.DEDICATED,
)
MUTANTS.add(
    "no_tracker_plugin",
    "NoUserIds is not loaded by the tracker",
    Location.IMAGE,
    STORED,
    code("plugins/NoUserIds/NoUserIds.php", "return true", "return false"),
    "P3",
    Topology.DEDICATED,
)
MUTANTS.add(
    "plugin_folder_renamed",
    "the folder of NoUserIds has another name on this volume",
    Location.VOLUME,
    STORED,
    in_web("mv plugins/NoUserIds plugins/nouserids"),
    "G7",
    Topology.DEDICATED,
)
MUTANTS.add(
    "of_downloads",
    "NoUserIds takes the user id from all hits but downloads",
    Location.IMAGE,
    "none_of_other_hits",
    code(PROCESSOR, EMPTIED, f"if ($request->getParam('download') === '') {{ {EMPTIED} }}"),
    "P3",
    Topology.DEDICATED,
)
MUTANTS.add(
    "visitor_by_salted_hash",
    "the visitor id is made of the user id and the salt",
    Location.IMAGE,
    "none_in_the_visitor_id",
    code(PROCESSOR, EMPTIED, f"{BY_SALT} {EMPTIED}"),
    "P4",
    Topology.DEDICATED,
)


# -- refused hits ---------------------------------------------------------------------------------

MUTANTS.add(
    "in_refused_hits",
    "Matomo's own list of refused hits stores them as they came",
    Location.IMAGE,
    ("nowhere_in_the_database", "masking.nowhere_in_the_database"),
    in_web("rm plugins/NoUserIds/config/config.php"),
    "P3",
    Topology.DEDICATED,
)
MUTANTS.add(
    "refused_hits_with_user",
    "the list of refused hits names their users",
    Location.IMAGE,
    "nowhere_in_the_database",
    code(FAILURES, "'uid'", "'_uid'"),
    "P3",
    Topology.DEDICATED,
)


# -- reports and dimensions of users --------------------------------------------------------------

MUTANTS.add(
    "report_on",
    "the UserId plugin is active",
    Location.FILE,
    ("no_report_of_users", "plugins.user_id_is_off", "plugins.nothing_else_is_active"),
    plugin("UserId"),
    "P11",
)
MUTANTS.add(
    "in_a_dimension",
    "somebody made a custom dimension User ID, and the site's pages send who is logged in",
    Location.CLICK,
    "no_mail_address_is_stored",
    sql(
        "INSERT INTO {prefix}log_visit (idsite, idvisitor, visit_first_action_time,"
        " visit_last_action_time, visit_total_time, config_id, location_ip, custom_dimension_1)"
        " VALUES (1, UNHEX('00112233445566bb'), NOW() - INTERVAL 1 DAY, NOW() - INTERVAL 1 DAY,"
        " 10, UNHEX('bb66554433221100'), INET6_ATON('198.51.0.0'), 'alice@people.example')"
    ),
    "P3",
)
MUTANTS.add(
    "dimension_of_users",
    "somebody made a dimension User ID, taken from a parameter of each page's address",
    Location.CLICK,
    "no_dimension_is_of_users",
    api(
        "CustomDimensions.configureNewCustomDimension",
        idSite=1,
        name="User ID",
        scope="action",
        active=1,
        **{"extractions[0][dimension]": "urlparam", "extractions[0][pattern]": "user"},
    ),
    "P3",
)


# -- what a dump brings back ----------------------------------------------------------------------

MUTANTS.add(
    "visits_of_before",
    "a dump brought back a visit with a user id",
    Location.DATABASE,
    "no_visit_has_one",
    visit_of_before("198.51.0.0", "alice@people.example"),
    "P12",
)
MUTANTS.add(
    "refused_hits_of_before",
    "a dump brought back a refused hit with its user id and its whole address",
    Location.DATABASE,
    "no_refused_hit_names_anybody",
    sql(
        "INSERT INTO {prefix}tracking_failure (idsite, idfailure, date_first_occurred,"
        " request_url) VALUES (1, 2, NOW(), 'idsite=1&rec=1&cip=198.51.100.99&uid=alice')"
    ),
    "P12",
)
MUTANTS.add(
    "reports_of_before",
    "a report from when the UserId plugin was active is still in an archive",
    Location.DATABASE,
    "no_archive_names_users",
    sql(
        "CREATE TABLE {prefix}archive_blob_2024_01"
        " SELECT 1 AS idarchive, 'UserId_users' AS name, 1 AS idsite, 'alice' AS value"
    ),
    "P12",
)


@MUTANTS.mutant(
    "report_of_before_names_people",
    Location.DATABASE,
    "no_archive_has_a_mail_address",
    "P12",
)
def _report_of_before(deployment: Deployment) -> None:
    """A dump brought back a report from a time when events were named after who is logged in."""
    table = "{prefix}archive_blob_2024_01"
    deployment.instance.database.query(
        f"CREATE TABLE {table} (idarchive INT UNSIGNED NOT NULL, name VARCHAR(190) NOT NULL,"
        " idsite INT UNSIGNED, date1 DATE, date2 DATE, period TINYINT UNSIGNED,"
        " ts_archived DATETIME, value MEDIUMBLOB, PRIMARY KEY (idarchive, name))"
    )
    deployment.instance.database.query(
        f"INSERT INTO {table} VALUES (1, 'Events_name_action', 1, '2024-01-08', '2024-01-08', 1,"  # noqa: S608
        " '2024-01-09 01:00:00', %s)",
        zlib.compress(REPORT),
    )
