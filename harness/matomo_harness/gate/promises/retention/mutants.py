"""Mutants of retention: what is promised to go stays, and what is promised to stay goes."""

from typing import Final

from matomo_harness.gate.mutants import Deployment, Location, Mutants, Topology
from matomo_harness.gate.mutants.changes import code, every, option
from matomo_harness.gate.probes.reports import DUE
from matomo_harness.gate.promises.retention.policy import Retention

MUTANTS: Final = Mutants("retention")

MUTANTS.add(
    "deletion_off",
    "somebody switched the deletion of old visits off on Anonymize data",
    Location.CLICK,
    "old_visits",
    option("delete_logs_enable", 0),
    "P9",
)
MUTANTS.add(
    "stored_for_three_years",
    "somebody had visits stored for three years",
    Location.CLICK,
    "old_visits",
    option("delete_logs_older_than", 1095),
    "P9",
)
MUTANTS.add(
    "deleted_every_ten_years",
    "so long a pause between two deletions that none comes, in silence",
    Location.CLICK,
    "old_visits",
    option("delete_logs_schedule_lowest_interval", 3650),
    "P9",
)
MUTANTS.add(
    "reports_deleted",
    "somebody had reports deleted after a year",
    Location.CLICK,
    "old_reports",
    every(option("delete_reports_enable", 1), option("delete_reports_older_than", 12)),
    "P9",
)


@MUTANTS.mutant("reports_stored_for_ever", Location.FILE, "old_reports", "P9")
def _no_report_is_deleted(deployment: Deployment) -> None:
    """Reports are promised to go after two years, and nothing deletes them."""
    deployment.policy = deployment.policy.with_section(Retention(reports_months=24))


@MUTANTS.mutant("visits_deleted", Location.FILE, "old_visits", "P9")
def _visits_are_deleted(deployment: Deployment) -> None:
    """Visits are promised to be kept, and are deleted after two years."""
    deployment.policy = deployment.policy.with_section(Retention(visits_days="kept"))


MUTANTS.add(
    "deleted_days_unprotected",
    "somebody had visits stored for ten years from now on: Matomo forgets of which days they are gone",
    Location.CLICK,
    "reports_outlive_their_visits",
    option("delete_logs_older_than", 3650),
    "R13",
)
MUTANTS.add(
    "erasure_forgets_the_logs",
    "the GDPR tools say that a visitor is erased, and his rows stay",
    Location.IMAGE,
    "erased_visitor_is_in_no_table",
    code(
        "plugins/PrivacyManager/Model/DataSubjects.php",
        "$deleteCounts = $this->deleteDataSubjectsWithoutInvalidatingArchives($visits);",
        "$deleteCounts = [];",
    ),
    "P13",
    Topology.DEDICATED,
)
MUTANTS.add(
    "refused_hits_keep_the_visitor",
    "Matomo's daily tasks are put off until 2100: a refused hit of an erased visitor is kept",
    Location.DATABASE,
    "erased_visitor_is_in_no_table",
    option("TaskScheduler.timetable", f'a:1:{{s:{len(DUE)}:"{DUE}";i:4102444800;}}'),
    "P13",
)
NOT_ARCHIVED_AGAIN: Final = code(
    "plugins/PrivacyManager/Model/DataSubjects.php",
    "$this->invalidateArchives($datesToInvalidateByIdSite);",
    "",
)
MUTANTS.add(
    "archives_kept",
    "the day of an erased visitor is not archived again",
    Location.IMAGE,
    "erased_visitor_is_in_no_report",
    NOT_ARCHIVED_AGAIN,
    "P13",
    Topology.DEDICATED,
)


@MUTANTS.mutant(
    "archives_of_a_lone_visit_kept",
    Location.IMAGE,
    "erased_lone_visitor_is_in_no_report",
    "P13",
    Topology.DEDICATED,
)
def _the_lone_day_is_not_archived_again(deployment: Deployment) -> None:
    """The day whose only visitor was erased is not archived again."""
    promised = Retention(erasure=True, erasure_of_lone_visits=True)
    deployment.policy = deployment.policy.with_section(promised)
    NOT_ARCHIVED_AGAIN(deployment)


MUTANTS.add(
    "backup_keeps_the_visitor",
    "a debugging line notes every hit in misc/, and each backup has it",
    Location.IMAGE,
    "erased_visitor_is_in_no_file",
    code(
        "core/Tracker/Request.php",
        "public function getIdSite()\n    {",
        "public function getIdSite()\n    {\n        file_put_contents(PIWIK_INCLUDE_PATH ."
        " '/misc/hits.log', json_encode($this->params), FILE_APPEND);",
    ),
    "P13",
    Topology.DEDICATED,
)
