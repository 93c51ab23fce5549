"""Retention: visits and reports are deleted or kept as promised; an erased visitor is nowhere."""

import secrets
from typing import Final

from matomo_harness.gate.core.check import CannotTellError, Finding, Group, Severity, holds, nothing
from matomo_harness.gate.core.promise import Promise
from matomo_harness.gate.core.target import Services
from matomo_harness.gate.probes import leak_scan
from matomo_harness.gate.probes.leak_scan import StoredTables
from matomo_harness.gate.probes.reports import SecondArchiverRun
from matomo_harness.gate.promises.retention.policy import FOR_EVER, Retention
from matomo_harness.gate.promises.retention.steps import (
    Erasure,
    OldReports,
    OldVisit,
    ReportOfDeletedVisits,
    Visitor,
)
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.image import BACKUP

PROMISE: Final = Promise(
    "retention",
    "Visits and reports are stored as long as promised, and an erased visitor is nowhere.",
    Retention,
)


class TablesAfterwards(StoredTables):
    """Everything in the database once visitors were erased and the archiver ran again."""

    def __init__(self, database: Database, _erased: Erasure, _again: SecondArchiverRun) -> None:
        self._database = database

    def reports_with(self, visitor: Visitor) -> list[str]:
        """Return the archive tables that hold the visitor's page."""
        return [
            table
            for table, text in self.contents.items()
            if table.startswith("archive_") and visitor.word.encode() in text
        ]


@PROMISE.check(
    "old_visits",
    proves="visits_days",
    severity=Severity.HIGH,
    remedy="Switch the deletion on and shorten it, in [Deletelogs] of config.ini.php or under"
    " Administration, Privacy, Anonymize data; the days between two deletions count.",
    failure_mode="P9",
)
def old_visits(retention: Retention, visit: OldVisit) -> Finding:
    """Visits are deleted before they are older than promised, or kept as promised."""
    if retention.visits_days == FOR_EVER:
        seen = "it is there" if visit.is_there else "it is gone"
        return holds(visit.is_there, f"a visit of {visit.days} days ago to be there", seen)
    seen = "it is still there" if visit.is_there else "it is gone"
    return holds(not visit.is_there, f"no visit that is {visit.days} days old", seen)


@PROMISE.check(
    "old_reports",
    proves="reports_months",
    severity=Severity.HIGH,
    remedy="Set delete_reports_enable and delete_reports_older_than in [Deletereports] of"
    " config.ini.php as promised, and take back what was clicked under Anonymize data.",
    failure_mode="P9",
)
def old_reports(retention: Retention, reports: OldReports) -> Finding:
    """Reports are deleted before they are older than promised, or kept as promised."""
    before, after = reports.count_before, reports.count_after
    seen = f"{after} of {before} rows of {reports.month.replace('_', '-')}"
    if retention.reports_months == FOR_EVER:
        return holds(after == before > 0, "every report to be there", seen)
    return holds(after == 0 < before, "no report that is older", seen)


@PROMISE.check(
    "reports_outlive_their_visits",
    proves="reports_months",
    severity=Severity.HIGH,
    remedy="Have Matomo delete visits itself, and have delete_logs_older_than of [Deletelogs] say"
    " no more days than there are visits of: it protects the reports of days before that alone.",
    failure_mode="R13",
)
def reports_outlive_their_visits(
    retention: Retention, report: ReportOfDeletedVisits, _again: SecondArchiverRun
) -> Finding:
    """A report whose visits were deleted is not made anew from none, when it is invalidated."""
    if not isinstance(retention.visits_days, int):
        raise CannotTellError("no visits are promised to be deleted")
    seen = report.visits()
    return holds(seen == report.before, f"{report.before} visits on {report.day}", f"{seen} visits")


@PROMISE.check(
    "erased_visitor_is_in_no_table",
    proves="erasure",
    severity=Severity.CRITICAL,
    remedy="Look which plugin stores the visitor's id in the named table, and have it follow the"
    " event PrivacyManager.deleteDataSubjects; a refused hit goes with Matomo's daily task.",
    failure_mode="P13",
)
def erased_visitor_is_in_no_table(erased: Erasure, tables: TablesAfterwards) -> Finding:
    """An erased visitor's id is in no table of the database."""
    needles = {**erased.among_others.needles, **erased.alone.needles}
    return nothing("table with an erased visitor", tables.with_any(needles))


@PROMISE.check(
    "erased_visitor_is_in_no_report",
    proves="erasure",
    severity=Severity.HIGH,
    remedy="Archive the day again: ./console core:invalidate-report-data --dates=… --sites=…, then"
    " the archiver; and see why it did not do so by itself.",
    failure_mode="P13",
)
def erased_visitor_is_in_no_report(erased: Erasure, tables: TablesAfterwards) -> Finding:
    """An erased visitor's page is in no report once the archiver ran again."""
    return nothing("report with an erased visitor", _reports(erased, tables, erased.among_others))


@PROMISE.check(
    "erased_lone_visitor_is_in_no_report",
    proves="erasure_of_lone_visits",
    severity=Severity.HIGH,
    remedy="Update Matomo to 5.8, which archives a day without visits again.",
    failure_mode="P13",
)
def erased_lone_visitor_is_in_no_report(erased: Erasure, tables: TablesAfterwards) -> Finding:
    """An erased visitor's page is in no report where his was the day's only visit."""
    return nothing("report with an erased visitor", _reports(erased, tables, erased.alone))


def _reports(erased: Erasure, tables: TablesAfterwards, visitor: Visitor) -> list[str]:
    shown = [f"the report of pages of {erased.day}"] if erased.is_reported(visitor) else []
    return [*shown, *tables.reports_with(visitor)]


@PROMISE.check(
    "erased_visitor_is_in_no_file",
    proves="erasure",
    severity=Severity.HIGH,
    remedy="Have nothing write visitors' ids or pages into files: the named one is in the next"
    " backup too.",
    failure_mode="P13",
    group=Group.TRAFFIC,
)
def erased_visitor_is_in_no_file(
    erased: Erasure, container: MatomoContainer, services: Services | None
) -> Finding:
    """An erased visitor is in no file, in no log and in no backup that is made afterwards."""
    needles: dict[str, tuple[bytes, ...]] = {}
    for visitor in (erased.among_others, erased.alone):
        needles |= {**visitor.needles, visitor.word: (visitor.word.encode(),)}
    place = f"/tmp/gate-{secrets.token_hex(6)}"  # noqa: S108  in the container; it is searched
    container.run("mkdir", place, user="root")
    try:
        if BACKUP in container.profile.programs:
            container.run(BACKUP, place, user="root")
        found = leak_scan.in_files(container, needles)
    finally:
        container.run("rm", "-rf", place, user="root")
    logs = leak_scan.in_logs(services, needles) if services else []
    return nothing("file or log with an erased visitor", [*found, *logs])
