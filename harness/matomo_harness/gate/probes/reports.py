"""Visits whose numbers are known, the archiver, and Matomo's reports before and after it runs."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.gate.core.check import CannotTellError, Capability, Group
from matomo_harness.gate.core.context import Context, Step, StepFailedError
from matomo_harness.gate.core.once import once
from matomo_harness.gate.core.target import Services, Task
from matomo_harness.gate.probes.php import Php, in_force
from matomo_harness.gate.probes.queue import Queue
from matomo_harness.gate.probes.traffic import RefusedHits, Sender, TestSite, Traffic, new_site
from matomo_harness.matomo import tracker, traffic
from matomo_harness.matomo.api import Api, ApiError
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.traffic import Site, Visit
from matomo_harness.matomo.web import Parameters

END_OF_A_YEAR: Final = date(2025, 12, 31)
"""The last day of a year and of a month, in the middle of a week."""
DAYS: Final = 2
ZONES: Final = ("America/New_York", "Pacific/Auckland")
SEGMENT: Final = "browserCode==FF"
OPEN_SEGMENT: Final = "actions>=1"
"""A segment that nobody saved: only a request could have it archived."""
BROWSER_ARCHIVES: Final = "if browser triggered archiving is disabled"
"""Part of the refusal to have a segment archived ahead, where any request archives
(plugins/SegmentEditor/API.php)."""
MAILED: Final = ("VisitsSummary_get", "Actions_getPageUrls", "UserCountry_getCountry")
DUE: Final = "Piwik\\Plugins\\CoreAdminHome\\Tasks.cleanupTrackingFailures"
"""One of Matomo's own tasks, which deletes refused hits after two days."""
TASK: Final = r's:\d+:"([^"]+)";i:(\d+);'
"""An entry of the timetable, which PHP serializes: a name and a moment in seconds since 1970."""
OLD_SITE: Final = 8_999_999
"""The site of a refused hit that is due to be deleted; no such site exists."""

Figures = dict[str, Any]
Reports = Mapping[tuple[str, str, str], Figures]
"""Figures by the site's time zone, the period and its date."""


class Scheduler:
    """Runs the scheduled task in its own container, or by the console without services."""

    def __init__(self, services: Services | None, container: MatomoContainer | None) -> None:
        self._services = services
        self._container = container
        self.containers: list[list[Task]] = []
        """The containers that each run started; stays empty where the target has no services."""

    def archive(self) -> int:
        """Archive all that is due; return the exit code.

        Raises:
            LookupError: the target has neither a scheduler nor a console.
        """
        if services := self._services:
            with services.tasks_started() as tasks:
                code = services.archive()
            self.containers.append(tasks)
            return code
        if not self._container:
            raise LookupError("neither a scheduler nor a console")
        try:
            self._container.console("core:archive")
        except BrokenPromiseError:
            return 1
        return 0


class CountedVisits(Step, needs={Capability.CHANGE}, group=Group.TRAFFIC):
    """Visits are sent whose reports are known.

    They go to two sites in time zones on either side of UTC, and to one that began yesterday: the
    archiver makes a new segment's reports from a site's first day on. The test site is made before
    them: test traffic goes to every site that exists then, and these must receive none of it.

    Args:
        api: of a superuser.
        queue: runs before anything is read, where hits wait in one.
        php: what Matomo reads of its configuration: where visits are deleted early, it refuses
            hits of long ago.
        database: likewise.
    """

    def __init__(
        self, api: Api, _site: TestSite, queue: Queue, php: Php | None, database: Database | None
    ) -> None:
        self._api = api
        oldest = _oldest_accepted(php, database) if php and database else END_OF_A_YEAR
        self._first = first_day(oldest, datetime.now(UTC).date())
        self.sites = [
            Site(new_site(api, f"counted {zone}", zone), "https://discovery.example", zone)
            for zone in ZONES
        ]
        self._yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
        segmented = new_site(api, "counted by segment", "UTC", str(self._yesterday))
        self.segmented = Site(segmented, "https://discovery.example", "UTC")
        self.visits: list[Visit] = traffic.visits(self.sites, self._first, DAYS)
        self.visits += traffic.visits([self.segmented], self._yesterday, 1)
        tracker.send(api, traffic.hits(self.visits))
        queue.run()
        _save_segment(api, self.segmented)
        self.before = {segment: self.reported(segment) for segment in ("", SEGMENT, OPEN_SEGMENT)}
        """Reports before anything was archived: of all visits, of the segment, of the open one."""

    def moments(self, site: Site) -> list[tuple[str, str]]:
        """Return period and date of every report of `site` that is compared."""
        if site == self.segmented:
            return [(period, str(self._yesterday)) for period in ("day", "week", "month")]
        first, last = self._first, self._first + timedelta(days=DAYS - 1)
        days = [("day", str(first)), ("day", str(last)), ("week", str(first))]
        more = [("month", str(first)), ("month", str(last)), ("year", str(last))]
        return [*days, *more, ("range", f"{first},{last}")]

    def expected(self, site: Site, period: str, moment: str, *, firefox: bool = False) -> Figures:
        """Return what must be reported, with unique visitors whether or not Matomo counts them."""
        if period == "range":
            first, last = (date.fromisoformat(day) for day in moment.split(","))
        else:
            first, last = traffic.bounds(period, date.fromisoformat(moment))  # type: ignore[arg-type]
        counted = [
            visit for visit in self.visits if not firefox or "Firefox" in visit.hits[0].user_agent
        ]
        figures = traffic.expected_between(counted, site, first, last)
        return {
            "visits": figures.visits,
            "actions": figures.actions,
            "unique": figures.unique_visitors,
        }

    def reported(self, segment: str = "") -> dict[tuple[str, str, str], Figures]:
        """Return what Matomo reports now for every counted site and moment.

        Unique visitors are None where Matomo counts none for the period ([General]).

        Raises:
            ApiError: Matomo answers with an error.
        """
        sites = [self.segmented] if segment else self.sites
        keys = [(site, period, day) for site in sites for period, day in self.moments(site)]
        calls: list[Parameters] = [
            {
                "method": "VisitsSummary.get",
                "idSite": site.id,
                "period": period,
                "date": day,
                "segment": segment,
            }
            for site, period, day in keys
        ]
        answers = self._api.call_many(calls)
        return {
            (site.timezone, period, day): _figures(answer)
            for (site, period, day), answer in zip(keys, answers, strict=True)
        }


def _oldest_accepted(php: Php, database: Database) -> date:
    """Return the first day of which Matomo takes hits (core/Tracker/Request.php)."""
    enabled, older_than, interval = (
        in_force(php, database, "Deletelogs", f"delete_logs_{name}")
        for name in ("enable", "older_than", "schedule_lowest_interval")
    )
    if not (enabled and older_than):
        return END_OF_A_YEAR
    # The first day has an hour that is too old by now.
    return datetime.now(UTC).date() - timedelta(days=older_than + interval - 1)


def first_day(oldest: date, today: date) -> date:
    """Return the last day of a month that Matomo takes hits of, and of which all is over.

    Args:
        oldest: the first day of which it takes hits.
        today: in UTC.

    Raises:
        CannotTellError: it refuses hits of every such day.
    """
    if oldest <= END_OF_A_YEAR:
        return END_OF_A_YEAR
    ended = today.replace(day=1) - timedelta(days=1)
    if today.day <= DAYS:  # the day after has to be over in every time zone
        ended = ended.replace(day=1) - timedelta(days=1)
    if ended < oldest:
        raise CannotTellError(f"Matomo refuses hits before {oldest}: visits are deleted so early")
    return ended


def _save_segment(api: Api, site: Site) -> None:
    """Save a segment, for the archiver where Matomo leaves all archives to it."""
    segment: Parameters = {
        "name": "Firefox",
        "definition": SEGMENT,
        "idSite": site.id,
        "enabledAllUsers": 1,
    }
    try:
        api.call("SegmentEditor.add", **segment, autoArchive=1)
    except ApiError as error:
        # Matomo archives it on request then, as it does everything.
        if BROWSER_ARCHIVES not in error.seen:
            raise
        api.call("SegmentEditor.add", **segment, autoArchive=0)


def _figures(answer: Any) -> Figures:
    if isinstance(answer, dict) and answer.get("result") == "error":
        raise ApiError(
            expected="a report",
            seen=str(answer.get("message")),
            next_command="see the message of Matomo",
        )
    if not answer:
        return {"visits": 0, "actions": 0, "unique": 0}
    return {
        "visits": answer["nb_visits"],
        "actions": answer["nb_actions"],
        "unique": answer.get("nb_uniq_visitors"),
    }


SENT_BEFORE: Final = (Traffic, RefusedHits, CountedVisits)


class ArchiverRun(Step, needs={Capability.CHANGE}, group=Group.TRAFFIC):
    """The archiver runs.

    It runs once, for all that any check asks for: no other step takes longer.

    Args:
        context: its steps that send what is to be archived are performed first.
        scheduler: starts the archiver.
        database: where the target has one, one of Matomo's tasks is made due.
    """

    def __init__(self, context: Context, scheduler: Scheduler, database: Database | None) -> None:
        for step in SENT_BEFORE:
            if step in context.wanted:
                _try(context, step)
        if database:
            _make_a_task_due(database)
        self.exit_code = scheduler.archive()
        self.containers = scheduler.containers[0] if scheduler.containers else []


def _try(context: Context, step: type[Step]) -> Step | None:
    """Perform `step`; where it cannot be done, return None: the checks that need it say why."""
    try:
        return context.get(step)
    except (StepFailedError, CannotTellError):
        return None


def last_due(now: datetime) -> float:
    """Return the last moment for which Matomo schedules a task, in seconds since 1970.

    A monthly one is due at any day of the next month, whatever today is
    (core/Scheduler/Schedule/Monthly.php): the first of a month may wait for the last of the next.
    The hour and the time zone that it is set to are another day.

    Args:
        now: in UTC.
    """
    after_next = (now.replace(day=1) + timedelta(days=62)).replace(day=1, hour=0, minute=0)
    return (after_next + timedelta(days=1)).timestamp()


def _make_a_task_due(database: Database) -> None:
    """Store a refused hit older than Matomo keeps them, and make the task that deletes it due."""
    database.query(
        "REPLACE INTO {prefix}tracking_failure"
        " (idsite, idfailure, date_first_occurred, request_url)"
        " VALUES (%s, 1, UTC_TIMESTAMP() - INTERVAL 3 DAY, 'idsite=0')",
        OLD_SITE,
    )
    rows = database.query(
        "SELECT option_value AS value FROM {prefix}option"
        " WHERE option_name = 'TaskScheduler.timetable'"
    )
    tasks = dict(re.findall(TASK, "".join(str(row["value"]) for row in rows)))
    # A task that is put off stays so: another check must see that, and it may run later.
    if int(tasks.get(DUE, 0)) <= last_due(datetime.now(UTC)):
        tasks[DUE] = "1"
    entries = "".join(f's:{len(name)}:"{name}";i:{moment};' for name, moment in tasks.items())
    database.query(
        "REPLACE INTO {prefix}option (option_name, option_value, autoload)"
        " VALUES ('TaskScheduler.timetable', %s, 0)",
        f"a:{len(tasks)}:{{{entries}}}",
    )


class Archives(Step, needs={Capability.CHANGE}, group=Group.TRAFFIC):
    """The archiver makes reports.

    Args:
        run: the archiver's run.
        context: what its steps sent must be in the reports.
        api: of a superuser.

    Raises:
        BrokenPromiseError: the archiver failed, or no report has anything that was sent.
    """

    def __init__(self, run: ArchiverRun, context: Context, api: Api) -> None:
        if code := run.exit_code:
            raise BrokenPromiseError(
                expected="the archiver to end with exit code 0",
                seen=f"exit code {code}",
                next_command="run the archiver by hand, and read what it says",
            )
        counted = _sent(context, CountedVisits)
        self.reports: Mapping[str, Reports] = (
            {segment: counted.reported(segment) for segment in ("", SEGMENT)} if counted else {}
        )
        """Reports of the counted visits, all and by segment; empty where none were sent."""
        is_counted = any(report["visits"] for report in self.reports.get("", {}).values())
        is_looked_for = not context.wanted.isdisjoint({Traffic, CountedVisits})
        if is_looked_for and not is_counted and not _has_visits(api, _sent(context, Traffic)):
            raise BrokenPromiseError(
                expected="the archiver to make reports of the hits that were sent",
                seen="exit code 0, and no visit in any report",
                next_command="run the archiver by hand, and read what it says",
            )


def _sent(context: Context, step: type[Any]) -> Any:
    return _try(context, step) if step in context.wanted else None


def _has_visits(api: Api, sent: Traffic | None) -> bool:
    """Return whether the test site's report has visits for the day of the hits or the day after."""
    if not sent:
        return False
    where: Parameters = {"idSite": sent.site.id, "period": "day", "date": "last2"}
    visits: dict[str, int] = api.call("VisitsSummary.getVisits", **where)
    return any(visits.values())


class SecondArchiverRun(Step, needs={Capability.CHANGE}, group=Group.TRAFFIC):
    """The archiver runs again.

    Args:
        archives: of the first run.
        counted: the visits of the first run.
        scheduler: starts the archiver.
    """

    def __init__(self, archives: Archives, counted: CountedVisits, scheduler: Scheduler) -> None:
        self.before: Reports = archives.reports[""]
        self.exit_code = scheduler.archive()
        self.has_run = all(scheduler.containers)
        self._counted = counted

    @once
    def after(self) -> Reports:
        """The reports of the counted visits after the second run."""
        return self._counted.reported()


class MailedReport(Step, needs={Capability.CHANGE}, group=Group.TRAFFIC):
    """A report of the test site is mailed.

    Args:
        sender: of the traffic that is reported.
        traffic: the hits.
        api: of a superuser.
    """

    def __init__(self, sender: Sender, traffic: Traffic, _archives: Archives, api: Api) -> None:
        self.address = f"report-{sender.run}@people.example"
        report: Parameters = {
            **{"idSite": traffic.site.id, "description": "canaries", "period": "day", "hour": 0},
            **{"reportType": "email", "reportFormat": "html"},
            **{f"reports[{at}]": name for at, name in enumerate(MAILED)},
            **{"parameters[displayFormat]": 1, "parameters[emailMe]": "false"},
            "parameters[additionalEmails][0]": self.address,
        }
        made = api.call("ScheduledReports.addReport", **report)
        # By today, one of the minutes after midnight would have nothing of the hits in it.
        which: Parameters = {"idReport": made["value"], "period": "day", "date": f"{traffic.day}"}
        api.call("ScheduledReports.sendReport", **which, force=1)
