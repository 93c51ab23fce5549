"""Visits that grow old, reports that do, and visitors who are erased on request.

What is old is moved back in the database: the clock of a server is everybody's who runs on it, and
Matomo refuses hits that are older than what it keeps.
"""

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as dt_time
from typing import Any, Final

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.gate.core.check import CannotTellError, Capability, Group
from matomo_harness.gate.core.context import Step
from matomo_harness.gate.core.target import Http
from matomo_harness.gate.probes.leak_scan import Needles
from matomo_harness.gate.probes.php import Php, in_force
from matomo_harness.gate.probes.queue import Queue
from matomo_harness.gate.probes.reports import ArchiverRun, Archives, SecondArchiverRun
from matomo_harness.gate.probes.traffic import TestSite, new_site
from matomo_harness.gate.promises.retention.policy import FOR_EVER, Retention
from matomo_harness.matomo import tracker
from matomo_harness.matomo.api import Api, ApiError
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.tracker import Hit
from matomo_harness.matomo.traffic import USER_AGENTS
from matomo_harness.matomo.web import Parameters

DAYS_AGO: Final = 3
"""Of the visits that are erased: today and yesterday are archived anew anyway."""
TEN_YEARS: Final = 3650
"""Days; what is promised to be kept is that old."""
NOON: Final = dt_time(12)
LONG_AGO: Final = "2010-01-01"
"""The first day of a site that has reports of long ago."""
TASK: Final = "Piwik\\Plugins\\PrivacyManager\\Tasks."
LAST_RUN: Final = {
    "deleteLogData": "lastDelete_piwik_logs",
    "deleteReportData": "lastDelete_piwik_reports",
}
"""Row of the table option in which each task notes its last run (PrivacyManager::OPTION_…)."""
FIRST_RUN: Final = "lastDelete_piwik_logs_initial"
"""Without this row the first run of either task only notes that it was there."""
MOVED_BACK: Final = {
    "log_visit": ("visit_first_action_time", "visit_last_action_time"),
    "log_link_visit_action": ("server_time",),
}
"""Columns with the time of a visit."""


@dataclass(frozen=True)
class Visitor:
    """Somebody who visits a site once.

    Args:
        id: 16 hex digits, as browsers send it.
        word: part of the address of the page; no other page has it.
        site: idsite.
    """

    id: str
    word: str
    site: int

    @classmethod
    def new(cls, site: int) -> "Visitor":
        """Return a visitor whom no other run has."""
        return cls(secrets.token_hex(8), f"page-{secrets.token_hex(8)}", site)

    def hit(self, moment: datetime, number: int) -> Hit:
        """Return a page view; visitors of one moment and site differ by `number`."""
        return Hit(
            site=self.site,
            visitor=self.id,
            address=f"198.51.{100 + number}.7",
            user_agent=USER_AGENTS[number % len(USER_AGENTS)],
            at=moment,
            url=f"https://discovery.example/{self.word}",
            title=self.word,
        )

    @property
    def needles(self) -> Needles:
        """The id, in every form that it could be stored in."""
        forms = (self.id.encode(), self.id.upper().encode(), bytes.fromhex(self.id))
        return {f"visitor {self.id}": forms}


# -- erasure --------------------------------------------------------------------------------------


class VisitorsToErase(Step, needs={Capability.CHANGE}, group=Group.TRAFFIC, precedes=ArchiverRun):
    """Visits are sent whose visitors will be erased.

    The test site is made before: test traffic goes to every site that is there then.

    Args:
        api: a superuser's.
        http: where a hit is sent that must be refused.
        database: in which the refused hit is made three days old.
        queue: runs before, where hits wait in one.
    """

    def __init__(
        self, api: Api, http: Http, database: Database, queue: Queue, _site: TestSite
    ) -> None:
        moment = datetime.now(UTC).replace(hour=12) - timedelta(days=DAYS_AGO)
        self.day = moment.date()
        crowded = new_site(api, "erased among others", "UTC")
        lonely = new_site(api, "erased alone", "UTC")
        self.among_others, self.alone = Visitor.new(crowded), Visitor.new(lonely)
        visitors = (Visitor.new(crowded), self.among_others, self.alone)
        tracker.send(api, [each.hit(moment, at) for at, each in enumerate(visitors)])
        # A past time takes a token: without one Matomo lists the whole request as a failure.
        http.web.post_form("matomo.php", _refused(self.among_others, moment - timedelta(days=1)))
        queue.run()
        database.query(
            "UPDATE {prefix}tracking_failure SET date_first_occurred = NOW() - INTERVAL 3 DAY"
            " WHERE idsite = %s",
            crowded,
        )


def _refused(visitor: Visitor, moment: datetime) -> Parameters:
    return {
        "idsite": visitor.site,
        "rec": 1,
        "_id": visitor.id,
        "cdt": f"{moment:%Y-%m-%d %H:%M:%S}",
        "url": f"https://discovery.example/{visitor.word}",
    }


class Erasure(Step, needs={Capability.CHANGE}, group=Group.TRAFFIC, precedes=SecondArchiverRun):
    """Visitors are erased by Matomo's GDPR tools.

    Args:
        visitors: who.
        _archives: by then their pages are in reports.
        api: a superuser's.
        database: in which their reports are made a day old: the archiver leaves alone what is
            younger than `time_before_today_archive_considered_outdated`.

    Raises:
        BrokenPromiseError: one was in no report before, or the tools do not find him.
    """

    def __init__(
        self, visitors: VisitorsToErase, _archives: Archives, api: Api, database: Database
    ) -> None:
        self.among_others, self.alone = visitors.among_others, visitors.alone
        self.day = visitors.day
        self._api = api
        for visitor in (self.among_others, self.alone):
            if not self.is_reported(visitor):
                raise BrokenPromiseError(
                    expected="the page of a visitor in the day's report before he is erased",
                    seen=f"no {visitor.word} in the report of {self.day}",
                    next_command="run the archiver by hand, and read what it says",
                )
            self._erase(visitor)
        sites = f"{self.among_others.site}, {self.alone.site}"
        for table in database.tables():
            if table.startswith("archive_numeric_"):
                database.query(
                    f"UPDATE {{prefix}}{table} SET ts_archived = ts_archived - INTERVAL 1 DAY"  # noqa: S608
                    f" WHERE idsite IN ({sites})"
                )

    def _erase(self, visitor: Visitor) -> None:
        found = self._api.call(
            "PrivacyManager.findDataSubjects",
            idSite=visitor.site,
            segment=f"visitorId=={visitor.id}",
        )
        if not found and not self._has_profiles(visitor.site):
            raise CannotTellError("visitor profiles are switched off: the GDPR tools find nobody")
        if not found:
            raise BrokenPromiseError(
                expected=f"the GDPR tools to find the visitor {visitor.id}",
                seen="no visit",
                next_command="open Administration, Privacy, GDPR tools",
            )
        visits: Parameters = {
            f"visits[{number}][{name}]": visit[key]
            for number, visit in enumerate(found)
            for name, key in (("idsite", "idSite"), ("idvisit", "idVisit"))
        }
        self._api.call("PrivacyManager.deleteDataSubjects", **visits)

    def _has_profiles(self, site: int) -> bool:
        try:
            answer: Any = self._api.call("Live.isVisitorProfileEnabled", idSite=site)
        except ApiError:  # the plugin Live is not active
            return False
        return bool(answer["value"] if isinstance(answer, dict) else answer)

    def is_reported(self, visitor: Visitor) -> bool:
        """Whether the day's report of pages has the visitor's page."""
        pages = self._api.call(
            "Actions.getPageUrls", idSite=visitor.site, period="day", date=str(self.day), flat=1
        )
        return any(visitor.word in str(page["label"]) for page in pages)


# -- what grows old -------------------------------------------------------------------------------


class OldVisit(Step, needs={Capability.CHANGE}, group=Group.TRAFFIC):
    """A visit grows old, and Matomo's own task runs.

    Where visits are promised to be gone after N days, it is N days old, and the task ran last when
    it was a day too young: with a longer pause between two runs it is still there.

    Args:
        retention: what is promised.
        api: a superuser's.
        php: what Matomo reads of its configuration.
        database: in which the visit is moved back.
        container: where the task runs.
        queue: runs after the hit, where hits wait in one.
        _site: made before, see VisitorsToErase.
    """

    def __init__(
        self,
        retention: Retention,
        api: Api,
        php: Php,
        database: Database,
        container: MatomoContainer,
        queue: Queue,
        _site: TestSite,
    ) -> None:
        promised = retention.visits_days
        days = promised if isinstance(promised, int) else TEN_YEARS
        site = new_site(api, "grows old", "UTC")
        tracker.send(api, [Visitor.new(site).hit(datetime.now(UTC), 0)])
        queue.run()
        for table, columns in MOVED_BACK.items():
            moved = ", ".join(f"{column} = {column} - INTERVAL {days} DAY" for column in columns)
            database.query(f"UPDATE {{prefix}}{table} SET {moved} WHERE idsite = %s", site)  # noqa: S608
        older_than = in_force(php, database, "Deletelogs", "delete_logs_older_than")
        pause = max(days - older_than + 1, 1) if promised != FOR_EVER else TEN_YEARS
        _run(container, database, "deleteLogData", pause)
        left = database.query("SELECT idvisit FROM {prefix}log_visit WHERE idsite = %s", site)
        self.is_there = bool(left)
        self.days = days


class OldReports(Step, needs={Capability.CHANGE}, group=Group.TRAFFIC):
    """Reports grow old, and Matomo's own task runs.

    Args:
        retention: what is promised.
        database: to which the reports of a day are added as of long ago.
        container: where the task runs.
        _again: what others archive is read before anything is deleted.
    """

    def __init__(
        self,
        retention: Retention,
        database: Database,
        container: MatomoContainer,
        _again: SecondArchiverRun,
    ) -> None:
        promised = retention.reports_months
        months = promised + 1 if isinstance(promised, int) else TEN_YEARS // 30
        first = datetime.now(UTC).date().replace(day=1)
        for _ in range(months):
            first = (first - timedelta(days=1)).replace(day=1)
        self.month = f"{first:%Y_%m}"
        recent = last_month_with_reports(database)
        which = f"idarchive IN (SELECT idarchive FROM {{prefix}}archive_blob_{recent})"  # noqa: S608
        _make_old(database, recent, first, which)
        self.count_before = self._count(database)
        _run(container, database, "deleteReportData", TEN_YEARS)
        self.count_after = self._count(database)

    def _count(self, database: Database) -> int:
        if f"archive_blob_{self.month}" not in database.tables():
            return 0
        rows = database.query(f"SELECT COUNT(*) AS n FROM {{prefix}}archive_blob_{self.month}")  # noqa: S608
        return int(rows[0]["n"])


def last_month_with_reports(database: Database) -> str:
    """Return the last month (YYYY_MM) that has a report.

    The last table may be empty: Matomo makes those of the next month as soon as it begins in the
    time zone of one site.

    Raises:
        BrokenPromiseError: no month has one.
    """
    names = [name for name in database.tables() if name.startswith("archive_blob_2")]
    for name in sorted(names, reverse=True):
        if database.query(f"SELECT 1 FROM {{prefix}}{name} LIMIT 1"):  # noqa: S608
            return name[-7:]
    raise BrokenPromiseError(
        expected="reports in a table archive_blob_YYYY_MM after the archiver ran",
        seen=", ".join(f"{name}: no row" for name in sorted(names)) or "no such table",
        next_command="run the archiver by hand, and read what it says",
    )


def _make_old(database: Database, recent: str, day: date, which: str) -> None:
    """Copy archives of the month `recent` (YYYY_MM) that are `which` (SQL) to a day of long ago."""
    month = f"{day:%Y_%m}"
    for kind in ("numeric", "blob"):
        old = f"{{prefix}}archive_{kind}_{month}"
        new = f"{{prefix}}archive_{kind}_{recent}"
        database.query(f"CREATE TABLE IF NOT EXISTS {old} LIKE {new}")
        database.query(f"INSERT IGNORE INTO {old} SELECT * FROM {new} WHERE {which}")  # noqa: S608
        database.query(
            f"UPDATE {old} SET date1 = %s, date2 = %s WHERE {which}",  # noqa: S608
            str(day),
            str(day),
        )
    database.query(
        "REPLACE INTO {prefix}sequence (name, value)"  # noqa: S608
        f" SELECT %s, MAX(idarchive) FROM {{prefix}}archive_numeric_{month}",
        f"{database.tables_prefix}archive_numeric_{month}",
    )


class VisitsOfOneDay(Step, needs={Capability.CHANGE}, group=Group.TRAFFIC, precedes=ArchiverRun):
    """Visits are sent whose day will be taken for one whose visits were deleted long ago.

    Args:
        api: a superuser's.
        queue: runs after them, where hits wait in one.
        _site: made before, see VisitorsToErase.
    """

    def __init__(self, api: Api, queue: Queue, _site: TestSite) -> None:
        moment = datetime.now(UTC).replace(hour=12) - timedelta(days=DAYS_AGO)
        self.day = moment.date()
        self.site = new_site(api, "visits of long ago", "UTC", LONG_AGO)
        tracker.send(api, [Visitor.new(self.site).hit(moment, at) for at in range(3)])
        queue.run()


class ReportOfDeletedVisits(
    Step, needs={Capability.CHANGE}, group=Group.TRAFFIC, precedes=SecondArchiverRun
):
    """The report of a day whose visits were deleted is invalidated, by hand and by a late hit.

    Args:
        retention: what is promised.
        visits: of a day of this week, which is archived; its archive becomes one of long ago.
        _archives: by then it is archived.
        api: a superuser's.
        database: in which it is made old.
        container: where Matomo's command runs.
        queue: runs after the late hit, where hits wait in one.

    Raises:
        BrokenPromiseError: the day has no report.
    """

    def __init__(
        self,
        retention: Retention,
        visits: VisitsOfOneDay,
        _archives: Archives,
        api: Api,
        database: Database,
        container: MatomoContainer,
        queue: Queue,
    ) -> None:
        stored = retention.visits_days
        days = stored + 40 if isinstance(stored, int) else TEN_YEARS
        self._api, self._site = api, visits.site
        self.day = datetime.now(UTC).date() - timedelta(days=days)
        which = f"idsite = {visits.site} AND period = 1"
        _make_old(database, f"{visits.day:%Y_%m}", self.day, which)
        self.before = self.visits()
        if not self.before:
            raise BrokenPromiseError(
                expected=f"a report of {self.day}",
                seen="none",
                next_command="run the archiver by hand, and read what it says",
            )
        container.console(
            "core:invalidate-report-data",
            f"--dates={self.day}",
            f"--sites={visits.site}",
            "--periods=day",
        )
        # Matomo 5.3 leaves a day without visits alone: a server sends one of them late.
        late = Visitor.new(visits.site).hit(datetime.combine(self.day, NOON, UTC), 0)
        form = {**late.parameters(), "token_auth": api.token}
        api.web.post_form("matomo.php", form)
        queue.run()

    def visits(self) -> int:
        """Return how many visits are reported of the day."""
        answer: Any = self._api.call(
            "VisitsSummary.getVisits", idSite=self._site, period="day", date=str(self.day)
        )
        return int(answer["value"] if isinstance(answer, dict) else answer)


def _run(container: MatomoContainer, database: Database, task: str, days_ago: int) -> None:
    """Run a task of Matomo's that ran last so many days ago."""
    last = int(time.time()) - days_ago * 86400
    for name, value in ((FIRST_RUN, 1), (LAST_RUN[task], last)):
        database.query(
            "REPLACE INTO {prefix}option (option_name, option_value, autoload) VALUES (%s, %s, 0)",
            name,
            value,
        )
    container.console("core:run-scheduled-tasks", f"{TASK}{task}")
