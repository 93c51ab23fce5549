"""Archiving: reports are made by schedule only, and are exact to the last visit."""

import re
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from pydantic import Field, PositiveInt

from matomo_harness.gate.core.check import (
    CannotTellError,
    Capability,
    Finding,
    Severity,
    holds,
    nothing,
    same,
)
from matomo_harness.gate.core.promise import ALWAYS, Promise
from matomo_harness.gate.core.target import Services
from matomo_harness.gate.probes.pages import SuperuserPages
from matomo_harness.gate.probes.php import Php, require_program
from matomo_harness.gate.probes.reports import (
    OLD_SITE,
    OPEN_SEGMENT,
    SEGMENT,
    TASK,
    ZONES,
    ArchiverRun,
    Archives,
    CountedVisits,
    Figures,
    Reports,
    SecondArchiverRun,
    last_due,
)
from matomo_harness.gate.probes.traffic import Traffic
from matomo_harness.matomo.api import Api
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.web import Parameters
from matomo_harness.policy import Names, Section, promised


class Archiving(Section, table="archiving"):
    """When reports are made, and how long they are."""

    only_by_schedule: bool | None = Field(
        default=None, description="Nobody who looks at a report has Matomo make one."
    )
    today_outdated_after_seconds: int | None = Field(
        default=None,
        ge=0,
        description="Today's archive is made anew once it is so old, or sooner.",
    )
    killed_taken_up_after_seconds: int | None = Field(
        default=None,
        ge=0,
        description="What a killed archiver had begun is begun again after so long, or sooner.",
    )
    maximum_rows: dict[str, PositiveInt] | None = Field(
        default=None,
        description="Of each report at least so many rows are kept; the rest is summed up as"
        ' "Others".',
    )
    unique_visitors_of: Names = Field(
        default=("day", "week", "month"),
        description="Periods of which unique visitors are counted, and exact: day, week, month or"
        " year.",
    )


PROMISE: Final = Promise(
    "archiving", "Reports are made by schedule only, and are exact to the last visit.", Archiving
)

AGES: Final = ("today", "week", "month", "year")
"""The archives whose age a key of [General] limits, as the key's name has them."""
BY_SCHEDULE: Final = (
    "Set enable_browser_archiving_triggering = 0, browser_archiving_disabled_enforce = 1 and"
    " enable_general_settings_admin = 0 in [General]."
)
BY_HAND: Final = "Run console core:archive by hand, and fix what its last lines complain about."
COUNTED: Final = (
    "Make sure that the schedule starts the archiver, and set enable_processing_unique_visitors_week,"
    " _month or _year = 1 in [General] for the periods whose unique visitors the policy promises."
)


@PROMISE.check(
    "no_task_is_put_off",
    formerly="drift.no_task_is_put_off",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Set the clock right and delete the row TaskScheduler.timetable of the table option:"
    " Matomo makes it anew.",
    failure_mode="P9",
)
def no_task_is_put_off(database: Database) -> Finding:
    """None of Matomo's own tasks is due after the next month, as a wrong clock can leave it."""
    rows = database.query(
        "SELECT option_value AS value FROM {prefix}option"
        " WHERE option_name = 'TaskScheduler.timetable'"
    )
    last = last_due(datetime.now(UTC))
    tasks = re.findall(TASK, "".join(str(row["value"]) for row in rows))
    return nothing("task put off", [name for name, when in tasks if int(when) > last])


# -- no request archives --------------------------------------------------------------------------


def _empty(reports: Reports, *periods: str) -> Finding:
    found = [
        f"{zone} {period} {moment}: {figures['visits']} visits"
        for (zone, period, moment), figures in reports.items()
        if period in periods and figures["visits"]
    ]
    return nothing("visit in a report", found)


def _empty_before(*periods: str) -> Callable[..., Finding]:
    def check(counted: CountedVisits) -> Finding:
        return _empty(counted.before[""], *periods)

    return check


for _name, _sentence, *_periods in (
    (
        "no_request_archives_a_day",
        "Before the archiver has run, a request for a day finds no visits and archives nothing.",
        "day",
    ),
    (
        "no_request_archives_a_period",
        "Before the archiver has run, a request for a week, month or year finds no visits.",
        *("week", "month", "year"),
    ),
    (
        "no_request_archives_a_range",
        "Before the archiver has run, a request for a range of dates finds no visits.",
        "range",
    ),
):
    PROMISE.check(
        _name,
        sentence=_sentence,
        proves="only_by_schedule",
        severity=Severity.MEDIUM,
        remedy=BY_SCHEDULE,
        failure_mode="R1",
        needs=[Capability.CHANGE],
    )(_empty_before(*_periods))


@PROMISE.check(
    "no_request_archives_a_segment",
    proves="only_by_schedule",
    severity=Severity.MEDIUM,
    remedy=BY_SCHEDULE,
    failure_mode="R1",
    needs=[Capability.CHANGE],
)
def no_request_archives_a_segment(counted: CountedVisits) -> Finding:
    """Before the archiver has run, a request for a segment finds no visits, saved or not."""
    both = [
        _empty(counted.before[segment], "day", "week", "month", "year")
        for segment in (SEGMENT, OPEN_SEGMENT)
    ]
    return next((finding for finding in both if not finding.passed), both[0])


# -- the archiver does its work -------------------------------------------------------------------


@PROMISE.check(
    "archiver_ends_well",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy=BY_HAND,
    failure_mode="R8",
    needs=[Capability.CHANGE],
)
def archiver_ends_well(_traffic: Traffic, _counted: CountedVisits, run: ArchiverRun) -> Finding:
    """The archiver ends with exit code 0."""
    return same(0, run.exit_code)


@PROMISE.check(
    "archiver_is_as_the_web_task",
    formerly="archiving.archiver_is_as_the_web_s_task",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Give the archiver a task definition with the web task's image, variables and mounts.",
    failure_mode="R10",
    needs=[Capability.CHANGE],
)
def archiver_is_as_the_web_task(
    services: Services, _traffic: Traffic, _counted: CountedVisits, run: ArchiverRun
) -> Finding:
    """The archiver runs in its own container, with the web task's image, variables and mounts."""
    if not run.containers:
        return holds(False, "a container that archives", "none")
    web = services.web_task()
    found = [difference for task in run.containers for difference in web.differences(task)]
    return nothing("difference", found)


@PROMISE.check(
    "what_is_due_is_done",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Remove --disable-scheduled-tasks from the scheduled command, or run console"
    " scheduled-tasks:run by schedule too.",
    failure_mode="P9",
    needs=[Capability.CHANGE],
)
def what_is_due_is_done(database: Database, _traffic: Traffic, _archives: Archives) -> Finding:
    """The archiver also runs Matomo's daily tasks: a refused hit is deleted after two days."""
    rows = database.query(
        "SELECT date_first_occurred AS since FROM {prefix}tracking_failure WHERE idsite = %s",
        OLD_SITE,
    )
    return nothing("refused hit older than two days", [row["since"] for row in rows])


# -- the numbers are exact ------------------------------------------------------------------------


def _compared(archiving: Archiving, period: str, figures: Figures) -> Figures:
    """Return the promised `figures`: unique visitors are costly, and not every policy has them."""
    are_unique_promised = period in archiving.unique_visitors_of
    return {
        name: figure for name, figure in figures.items() if name != "unique" or are_unique_promised
    }


def _exact(
    archiving: Archiving,
    counted: CountedVisits,
    archives: Archives,
    *periods: str,
    zone: str = "",
    firefox: bool = False,
) -> Finding:
    reports = archives.reports[SEGMENT if firefox else ""]
    sites = [counted.segmented] if firefox else counted.sites
    site_of_zone = {site.timezone: site for site in sites}
    wrong = []
    for (timezone, period, moment), figures in reports.items():
        if period not in periods or (zone and timezone != zone):
            continue
        known = counted.expected(site_of_zone[timezone], period, moment, firefox=firefox)
        seen = _compared(archiving, period, figures)
        wanted = _compared(archiving, period, known)
        if seen != wanted:
            wrong.append(f"{timezone} {period} {moment}: {seen}, wanted {wanted}")
    return nothing("wrong number", wrong)


def _exact_of(period: str) -> Callable[..., Finding]:
    def check(archiving: Archiving, counted: CountedVisits, archives: Archives) -> Finding:
        return _exact(archiving, counted, archives, period)

    return check


for _name, _period, _sentence in (
    (
        "days_are_exact",
        "day",
        "After the archiver has run, the visits, actions and promised unique visitors of each day"
        " are exact.",
    ),
    (
        "weeks_are_exact",
        "week",
        "After the archiver has run, the visits, actions and promised unique visitors of the week"
        " are exact.",
    ),
    (
        "months_are_exact",
        "month",
        "After the archiver has run, the visits, actions and promised unique visitors of two"
        " consecutive months are exact.",
    ),
    (
        "years_are_exact",
        "year",
        "After the archiver has run, the visits, actions and promised unique visitors of the year"
        " are exact.",
    ),
):
    PROMISE.check(
        _name,
        sentence=_sentence,
        proves="unique_visitors_of",
        severity=Severity.HIGH,
        remedy=COUNTED,
        failure_mode="R1",
        needs=[Capability.CHANGE],
    )(_exact_of(_period))


@PROMISE.check(
    "day_ends_in_the_site_zone",
    formerly="archiving.day_ends_where_the_site_s_does",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Set the site's time zone under Administration, Websites, and find out what else writes"
    " to the table site.",
    failure_mode="O4",
    needs=[Capability.CHANGE],
)
def day_ends_in_the_site_zone(
    archiving: Archiving, counted: CountedVisits, archives: Archives
) -> Finding:
    """A visit in the last second of a day counts for that day, in the site's own time zone."""
    both = [_exact(archiving, counted, archives, "day", zone=zone) for zone in ZONES]
    return next((finding for finding in both if not finding.passed), both[0])


@PROMISE.check(
    "segments_are_exact",
    proves="unique_visitors_of",
    severity=Severity.HIGH,
    remedy='Set process_new_segments_from = "beginning_of_time" in [General], and make sure that the'
    " schedule starts the archiver.",
    failure_mode="R2",
    needs=[Capability.CHANGE],
)
def segments_are_exact(archiving: Archiving, counted: CountedVisits, archives: Archives) -> Finding:
    """After the archiver has run, the numbers of a saved segment are exact."""
    return _exact(archiving, counted, archives, "day", "week", "month", firefox=True)


@PROMISE.check(
    "ranges_sum_up_days",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Run console core:invalidate-report-data for the days of the range, then the archiver,"
    " and find out which plugin counts differently from Matomo.",
    needs=[Capability.CHANGE],
)
def ranges_sum_up_days(counted: CountedVisits, archives: Archives) -> Finding:
    """A range that nobody asked for before is the sum of the archived days, or empty."""
    site_of_zone = {site.timezone: site for site in counted.sites}
    wrong = [
        f"{zone} {moment}: {figures}"
        for (zone, period, moment), figures in archives.reports[""].items()
        if period == "range"
        and figures["visits"]
        not in (0, counted.expected(site_of_zone[zone], period, moment)["visits"])
    ]
    return nothing("wrong number", wrong)


@PROMISE.check(
    "second_run_changes_nothing",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Make sure that the schedule fires more than once, and find out what else writes to the"
    " tables archive_numeric_*.",
    failure_mode="R3",
    needs=[Capability.CHANGE],
)
def second_run_changes_nothing(archiving: Archiving, run: SecondArchiverRun) -> Finding:
    """The archiver runs a second time, and that run changes no number."""
    if code := run.exit_code:
        return same(0, code)
    if not run.has_run:
        return holds(False, "a second run", "none: no container was started")
    changed = []
    for key, figures in run.after.items():
        _, period, _ = key
        before = _compared(archiving, period, run.before[key])
        now = _compared(archiving, period, figures)
        if period != "range" and now != before:
            changed.append(f"{key}: {before} to {now}")
    return nothing("changed number", changed)


# -- the scheduled task ---------------------------------------------------------------------------


@PROMISE.check(
    "stop_is_passed_on",
    formerly="archiving.a_stop_is_passed_on",
    proves=ALWAYS,
    severity=Severity.MEDIUM,
    remedy="Have the command of [archiver] in deployment.toml pass SIGTERM on to the whole process"
    " group of the archiver.",
    failure_mode="R7",
    needs=[Capability.CHANGE],
)
def stop_is_passed_on(
    container: MatomoContainer, counted: CountedVisits, _archives: Archives
) -> Finding:
    """Stopping the scheduled task stops the archiver and all of its processes."""
    # The archiver is frozen as if it hung: it lasts only a moment, and might have ended already.
    left = _at_work(
        container,
        counted,
        "kill -STOP $pids",
        f'kill -TERM $task; wait $task; [ -z "$({_pids("core:archiv[e]|climult[i]")})" ]'
        " || echo an archiver",
    )
    return nothing("process that is left", left)


@PROMISE.check(
    "archiver_is_not_root",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Run core:archive as the web server's user, and make that user the owner of tmp/ again.",
    failure_mode="R5",
    needs=[Capability.CHANGE],
)
def archiver_is_not_root(
    container: MatomoContainer, counted: CountedVisits, _archives: Archives
) -> Finding:
    """The scheduled task archives as the web server's user: root's files make pages answer 500."""
    owners = _at_work(
        container,
        counted,
        "owners=$(for pid in $pids; do stat -c %U /proc/$pid; done)",
        'kill -TERM $task; wait $task; echo "$owners"',
    )
    return holds("root" not in owners, "the web server's user", ", ".join(sorted(set(owners))))


def _own_archiver(container: MatomoContainer) -> tuple[str, ...]:
    """Return the command of the image that archives.

    Raises:
        CannotTellError: there is none; Matomo's own console archives, whose user nobody chose yet.
    """
    if not container.profile.has_archiver:
        raise CannotTellError("the image has no command of its own that archives")
    return container.profile.archiver


def _scheduled_as(container: MatomoContainer) -> str:
    """Return the user that a scheduled task begins as: the one that the image starts as."""
    return container.profile.user or "root"


def _pids(pattern: str) -> str:
    # A letter in brackets keeps the pattern from matching the script's own command line.
    return f"grep -lsaE '{pattern}' /proc/[0-9]*/cmdline | cut -d/ -f3"


def _at_work(container: MatomoContainer, counted: CountedVisits, done: str, then: str) -> list[str]:
    """Run the scheduled task; once it archives, run `done` with its $pids; then run `then`."""
    command = _own_archiver(container)
    require_program(container, command[0])
    site = counted.segmented
    period, yesterday = counted.moments(site)[0]
    # A day with visits: see versions.PROCESS_WITHOUT_VISITS.
    what = (f"--sites={site.id}", f"--dates={yesterday}", f"--periods={period}")
    container.console("core:invalidate-report-data", *what)
    script = (
        f"{shlex.join(command)} >/dev/null 2>&1 & task=$!;"
        f' until pids=$({_pids("climult[i]")}) && [ -n "$pids" ] && {done} 2>/dev/null; do'
        " kill -0 $task 2>/dev/null || { echo no archiver was seen >&2; exit 1; }; done;"
        f" {then}"
    )
    return container.run(
        *("timeout", "60", "sh", "-c", script), user=_scheduled_as(container)
    ).splitlines()


# -- the settings ---------------------------------------------------------------------------------


def is_at_least(least: int, limit: object) -> bool:
    """Return whether a limit is a number that is large enough, or no limit at all.

    A missing limit or a list is no number. With 0 and below Matomo keeps every row
    (core/DataTable/Filter/Truncate.php).
    """
    text = str(limit)
    if not text.removeprefix("-").isdecimal():
        return False
    return int(text) <= 0 or int(text) >= least


def _is_at_most(most: int, setting: object) -> bool:
    """Return whether a setting is a number, at most `most`; missing or a list it is no number."""
    return str(setting).isdecimal() and int(str(setting)) <= most


@PROMISE.check(
    "row_limits",
    formerly="archiving.row_limits_are_the_policy_s",
    proves="maximum_rows",
    severity=Severity.MEDIUM,
    remedy="Set datatable_archiving_maximum_rows_… of the report in [General] to the policy's"
    " number or more.",
    failure_mode="R11",
)
def row_limits(archiving: Archiving, php: Php) -> Finding:
    """Each report stores at least as many rows as the policy says before it sums up the rest."""
    general = php.settings["General"]
    limits = {
        report: general.get(f"datatable_archiving_maximum_rows_{report}")
        for report in promised(archiving.maximum_rows)
    }
    wrong = [
        f"{report}: {limits[report]}, wanted {rows} or more"
        for report, rows in promised(archiving.maximum_rows).items()
        if not is_at_least(rows, limits[report])
    ]
    return nothing("limit below the policy's", wrong)


@PROMISE.check(
    "today_is_archived_anew",
    proves="today_outdated_after_seconds",
    severity=Severity.LOW,
    remedy="Set time_before_today_archive_considered_outdated in [General] to the policy's seconds"
    " or fewer, and leave the week's, the month's and the year's at -1.",
    failure_mode="R12",
)
def today_is_archived_anew(archiving: Archiving, php: Php) -> Finding:
    """Today's archive, and its week's, month's and year's, is outdated within the policy's seconds."""
    most = promised(archiving.today_outdated_after_seconds)
    general = php.settings["General"]
    seen = {age: str(general.get(f"time_before_{age}_archive_considered_outdated")) for age in AGES}
    # -1 means: as soon as today's is (core/ArchiveProcessor/Rules.php).
    wrong = [
        f"{age}: {seconds}"
        for age, seconds in seen.items()
        if not _is_at_most(most, seconds) and (age == "today" or seconds != "-1")
    ]
    found = "; ".join(wrong or [f"today: {seen['today']}"])
    return holds(not wrong, f"today: {most} or less", found)


@PROMISE.check(
    "killed_is_taken_up_again",
    proves="killed_taken_up_after_seconds",
    severity=Severity.MEDIUM,
    remedy="Set archive_failure_recovery_timeout in [General] to the policy's seconds or fewer.",
    failure_mode="R7",
)
def killed_is_taken_up_again(archiving: Archiving, php: Php) -> Finding:
    """What a killed archiver had begun is started again within the policy's seconds."""
    most = promised(archiving.killed_taken_up_after_seconds)
    seen = php.settings["General"].get("archive_failure_recovery_timeout")
    return holds(_is_at_most(most, seen), f"{most} or less", seen)


ENDED: Final = "gate: it ended with"
"""Goes before the exit code: a job may print numbers of its own."""
UNKNOWN_OPTION: Final = "no-such-option"


@PROMISE.check(
    "failure_is_told",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Have the command of [archiver] in deployment.toml end with the exit code of"
    " core:archive.",
    failure_mode="R8",
    # A command that does not know the option, and does not mind, archives.
    needs=[Capability.CHANGE],
)
def failure_is_reported(container: MatomoContainer) -> Finding:
    """The scheduled task ends with an exit code other than 0 when the archiver does."""
    command = _own_archiver(container)
    script = (
        f"command -v {command[0]} >/dev/null || exit 0;"
        f' {shlex.join(command)} --{UNKNOWN_OPTION} 2>&1; echo "{ENDED} $?"'
    )
    said = container.run("sh", "-c", script, user=_scheduled_as(container))
    text, has_run, code = said.rpartition(ENDED)
    if not has_run:
        raise CannotTellError(f"the image has no {command[0]}")
    if code.strip() == "0" and UNKNOWN_OPTION not in text:
        raise CannotTellError(f"{command[0]} takes no options, so that it cannot be made to fail")
    return holds(code.strip() != "0", "an exit code other than 0", code.strip())


# -- no click archives, nor does a segment that nobody saved --------------------------------------


@PROMISE.check(
    "nobody_can_click_it_on",
    proves="only_by_schedule",
    severity=Severity.MEDIUM,
    remedy="Set enable_general_settings_admin = 0 in [General].",
    failure_mode="C10",
)
def nobody_can_click_it_on(pages: SuperuserPages) -> Finding:
    """Administration, General settings has no switch that turns on archiving by the browser."""
    page = pages.page("CoreAdminHome", "generalSettings")
    settings = page.document.select_one('[vue-entry="CoreAdminHome.ArchivingSettings"]')
    return holds(
        settings is None,
        "no archiving settings on the page",
        "archiving settings" if settings else "none",
    )


@PROMISE.check(
    "no_request_archives_an_open_segment",
    proves="only_by_schedule",
    severity=Severity.MEDIUM,
    remedy=BY_SCHEDULE,
    failure_mode="R1",
    costly=True,
)
def no_request_archives_an_open_segment(api: Api, counted: CountedVisits | None) -> Finding:
    """A request for a segment that nobody saved does not archive it."""
    where: Parameters = {"idSite": 1, "period": "day", "date": "yesterday"}
    of_all, of_segment = api.call_many(
        [
            {"method": "VisitsSummary.getVisits", **where},
            {"method": "VisitsSummary.getVisits", **where, "segment": "visitCount>=1"},
        ]
    )
    if counted:
        found = counted.before[OPEN_SEGMENT].values()
        of_segment = {"value": sum(figures["visits"] for figures in found)}
    elif not of_all.get("value"):
        raise CannotTellError("site 1 had no visits yesterday, which this check needs")
    return same(0, int(of_segment.get("value", 0)))
