"""Archiving: by schedule only, and to the last visit."""

from collections.abc import Mapping
from typing import Final

from matomo_harness.gate.core.check import (
    Area,
    CannotTellError,
    Capability,
    Finding,
    Step,
    holds,
    nothing,
    same,
)
from matomo_harness.gate.probes.day import OLD_SITE, OPEN_SEGMENT, SEGMENT, ZONES, Figures
from matomo_harness.gate.probes.look import Look
from matomo_harness.matomo.web import Parameters
from matomo_harness.runtime.archiver import COMMAND

AREA: Final = Area("archiving")

AGES: Final = ("today", "week", "month", "year")
"""Of archives, in the names of keys in [General]."""

Reports = Mapping[tuple[str, str, str], Figures]


def _empty(reports: Reports, *periods: str) -> Finding:
    found = [
        f"{zone} {period} {moment}: {it['visits']} visits"
        for (zone, period, moment), it in reports.items()
        if period in periods and it["visits"]
    ]
    return nothing("visit in a report", found)


@AREA.check(Capability.CHANGE, steps=(Step.COUNTED_VISITS,))
def no_request_archives_a_day(look: Look) -> Finding:
    """Before the archiver ran, a request for a day finds nothing, and archives nothing."""
    return _empty(look.day.before[""], "day")


@AREA.check(Capability.CHANGE, steps=(Step.COUNTED_VISITS,))
def no_request_archives_a_period(look: Look) -> Finding:
    """Before the archiver ran, a request for a week, month or year finds nothing."""
    return _empty(look.day.before[""], "week", "month", "year")


@AREA.check(Capability.CHANGE, steps=(Step.COUNTED_VISITS,))
def no_request_archives_a_range(look: Look) -> Finding:
    """Before the archiver ran, a request for a range of dates finds nothing."""
    return _empty(look.day.before[""], "range")


@AREA.check(Capability.CHANGE, steps=(Step.COUNTED_VISITS,))
def no_request_archives_a_segment(look: Look) -> Finding:
    """Before the archiver ran, a request for a segment finds nothing, whoever made it."""
    both = [
        _empty(look.day.before[it], "day", "week", "month", "year")
        for it in (SEGMENT, OPEN_SEGMENT)
    ]
    return next((it for it in both if not it.kept), both[0])


@AREA.check(Capability.CHANGE, steps=(Step.TRAFFIC, Step.COUNTED_VISITS, Step.ARCHIVER_RUN))
def archiver_ends_well(look: Look) -> Finding:
    """The archiver ends with exit code 0."""
    return same(0, look.day.archived)


@AREA.check(
    Capability.SERVICES,
    Capability.CHANGE,
    steps=(Step.TRAFFIC, Step.COUNTED_VISITS, Step.ARCHIVER_RUN),
)
def archiver_is_as_the_web_s_task(look: Look) -> Finding:
    """The archiver is a container of its own, with the web container's image, variables and mounts."""
    if not (archivers := look.day.archivers[0]):
        return holds(False, "a container that archives", "none")
    web = look.stands.web()
    return nothing("difference", [it for other in archivers for it in web.differences(other)])


@AREA.check(Capability.CHANGE, Capability.DATABASE, steps=(Step.TRAFFIC, Step.ARCHIVES))
def what_is_due_is_done(look: Look) -> Finding:
    """The archiver does what Matomo has to do by day: a refused hit is forgotten after two."""
    rows = look.database.query(
        "SELECT date_first_occurred AS since FROM {prefix}tracking_failure WHERE idsite = %s",
        OLD_SITE,
    )
    return nothing("refused hit of before", [it["since"] for it in rows])


def _exact(look: Look, *periods: str, zone: str = "", firefox: bool = False) -> Finding:
    reports = look.day.after[SEGMENT if firefox else ""]
    sites = [look.day.segmented] if firefox else look.day.counted
    zones = {it.timezone: it for it in sites}
    wrong = [
        f"{where} {period} {moment}: {seen}, wanted {wanted}"
        for (where, period, moment), seen in reports.items()
        if period in periods
        and (not zone or where == zone)
        and seen != (wanted := look.day.expected(zones[where], period, moment, firefox=firefox))
    ]
    return nothing("wrong number", wrong)


@AREA.check(Capability.CHANGE, steps=(Step.COUNTED_VISITS, Step.ARCHIVES))
def days_are_exact(look: Look) -> Finding:
    """After it ran, visits, unique visitors and actions of each day are exact."""
    return _exact(look, "day")


@AREA.check(Capability.CHANGE, steps=(Step.COUNTED_VISITS, Step.ARCHIVES))
def weeks_are_exact(look: Look) -> Finding:
    """After it ran, visits, unique visitors and actions of the week are exact."""
    return _exact(look, "week")


@AREA.check(Capability.CHANGE, steps=(Step.COUNTED_VISITS, Step.ARCHIVES))
def months_are_exact(look: Look) -> Finding:
    """After it ran, the numbers of the months are exact, of the last day of the one and the first of the next."""
    return _exact(look, "month")


@AREA.check(Capability.CHANGE, steps=(Step.COUNTED_VISITS, Step.ARCHIVES))
def years_are_exact(look: Look) -> Finding:
    """After it ran, visits and actions of the year are exact."""
    return _exact(look, "year")


@AREA.check(Capability.CHANGE, steps=(Step.COUNTED_VISITS, Step.ARCHIVES))
def day_ends_where_the_site_s_does(look: Look) -> Finding:
    """A visit in the last second of a site's day counts for that day, in its own time zone."""
    both = [_exact(look, "day", zone=zone) for zone in ZONES]
    return next((it for it in both if not it.kept), both[0])


@AREA.check(Capability.CHANGE, steps=(Step.COUNTED_VISITS, Step.ARCHIVES))
def segments_are_exact(look: Look) -> Finding:
    """After it ran, a segment that was made for the archiver has exact numbers."""
    return _exact(look, "day", "week", "month", firefox=True)


@AREA.check(Capability.CHANGE, steps=(Step.COUNTED_VISITS, Step.ARCHIVES))
def ranges_sum_up_days(look: Look) -> Finding:
    """A range that nobody had asked for before sums up the archived days, or is empty: never wrong."""
    zones = {it.timezone: it for it in look.day.counted}
    wrong = [
        f"{zone} {moment}: {seen}"
        for (zone, period, moment), seen in look.day.after[""].items()
        if period == "range"
        and seen["visits"] not in (0, look.day.expected(zones[zone], period, moment)["visits"])
    ]
    return nothing("wrong number", wrong)


@AREA.check(Capability.CHANGE, steps=(Step.SECOND_ARCHIVER_RUN,))
def second_run_changes_nothing(look: Look) -> Finding:
    """There is a second run of the archiver, and it changes no number."""
    before = dict(look.day.after[""])
    if code := look.day.archived_again:
        return same(0, code)
    if not all(look.day.archivers):
        return holds(False, "a second run", "none: no container was started")
    now = look.day.reported()
    changed = [
        f"{key}: {before[key]} to {now[key]}"
        for key in now
        if key[1] != "range" and now[key] != before[key]
    ]
    return nothing("changed number", changed)


@AREA.check(Capability.CONTAINER, Capability.CHANGE, steps=(Step.COUNTED_VISITS, Step.ARCHIVES))
def a_stop_is_passed_on(look: Look) -> Finding:
    """Who stops the scheduled task stops the archiver and its processes: none goes on by itself."""
    # Held as one that hangs: it lasts but a moment, and might have ended before it is looked for.
    left = _at_work(
        look,
        "kill -STOP $pids",
        f'kill -TERM $task; wait $task; [ -z "$({_pids("core:archiv[e]|climult[i]")})" ]'
        " || echo an archiver",
    )
    return nothing("process that is left", left)


@AREA.check(Capability.CONTAINER, Capability.CHANGE, steps=(Step.COUNTED_VISITS, Step.ARCHIVES))
def archiver_is_not_root(look: Look) -> Finding:
    """The scheduled task archives as the web server's user: what root leaves answers pages with 500."""
    owners = _at_work(
        look,
        "owners=$(for it in $pids; do stat -c %U /proc/$it; done)",
        'kill -TERM $task; wait $task; echo "$owners"',
    )
    return holds("root" not in owners, "the web server's user", ", ".join(sorted(set(owners))))


def _pids(pattern: str) -> str:
    # Of a sign in brackets the script's own command line has none.
    return f"grep -lsaE '{pattern}' /proc/[0-9]*/cmdline | cut -d/ -f3"


def _at_work(look: Look, done: str, then: str) -> list[str]:
    """Run the scheduled task in the shell, and there, once it archives, `done` to its $pids; `then`."""
    shell = look.own_program(COMMAND)
    site = look.day.segmented
    period, yesterday = look.day.moments(site)[0]
    # A day with visits: of another Matomo 5.3 makes no process.
    what = (f"--sites={site.id}", f"--dates={yesterday}", f"--periods={period}")
    shell.console("core:invalidate-report-data", *what)
    script = (
        f"{COMMAND} >/dev/null 2>&1 & task=$!;"
        f' until pids=$({_pids("climult[i]")}) && [ -n "$pids" ] && {done} 2>/dev/null; do'
        " kill -0 $task 2>/dev/null || { echo no archiver was seen >&2; exit 1; }; done;"
        f" {then}"
    )
    return shell.run("timeout", "60", "sh", "-c", script, user="root").splitlines()


@AREA.check(Capability.CONTAINER)
def row_limits_are_the_policy_s(look: Look) -> Finding:
    """As many rows of a report are kept as the policy says; the rest is summed up."""
    general = look.settings["General"]
    wrong = [
        f"{report}: {seen}, wanted {rows}"
        for report, rows in look.policy.archiving.maximum_rows.items()
        if (seen := str(general.get(f"datatable_archiving_maximum_rows_{report}"))) != str(rows)
    ]
    return nothing("other limit", wrong)


@AREA.check(Capability.CONTAINER)
def today_is_archived_anew(look: Look) -> Finding:
    """Today's archive, and so its week's, month's and year's, is outdated after the policy's seconds."""
    wanted = str(look.policy.archiving.today_outdated_after_seconds)
    general = look.settings["General"]
    seen = {it: str(general.get(f"time_before_{it}_archive_considered_outdated")) for it in AGES}
    # -1: as soon as today's is (core/ArchiveProcessor/Rules.php).
    wrong = [
        f"{it}: {seconds}"
        for it, seconds in seen.items()
        if seconds != wanted and (it == "today" or seconds != "-1")
    ]
    return holds(not wrong, f"today: {wanted}", "; ".join(wrong or [f"today: {seen['today']}"]))


@AREA.check(Capability.HITS, Capability.API, steps=(Step.TRAFFIC,))
def robots_are_not_counted(look: Look) -> Finding:
    """A robot's hit is no visit."""
    counted = look.day.robot in look.day.stored
    return holds(not counted, "nothing stored", "a visit" if counted else "nothing stored")


@AREA.check(Capability.CONTAINER)
def killed_is_taken_up_again(look: Look) -> Finding:
    """What a killed archiver began is begun again after as many seconds as the policy says."""
    wanted = look.policy.archiving.killed_taken_up_after_seconds
    return same(str(wanted), str(look.settings["General"].get("archive_failure_recovery_timeout")))


@AREA.check(Capability.CONTAINER, costly=True)
def failure_is_told(look: Look) -> Finding:
    """The scheduled task ends with another exit code than 0 where the archiver does."""
    script = (
        f"command -v {COMMAND} >/dev/null || exit 0; {COMMAND} --no-such-option 2>&1 || echo $?"
    )
    said = look.shell.run("sh", "-c", script, user="root").split()
    if not said:
        raise CannotTellError(f"the image has no {COMMAND}")
    failed = said[-1].isdigit()
    return holds(failed, "another exit code than 0", said[-1] if failed else "0")


@AREA.check(Capability.LOGIN)
def nobody_can_click_it_on(look: Look) -> Finding:
    """Administration, General settings has no switch that would have the browser archive."""
    page = look.page("CoreAdminHome", "generalSettings")
    return holds(
        page.document.select_one('[vue-entry="CoreAdminHome.ArchivingSettings"]') is None,
        "no archiving settings on the page",
        "archiving settings"
        if page.document.select_one('[vue-entry="CoreAdminHome.ArchivingSettings"]')
        else "none",
    )


@AREA.check(Capability.API, costly=True, steps_where_possible=(Step.COUNTED_VISITS,))
def no_request_archives_an_open_segment(look: Look) -> Finding:
    """A segment that nobody made before is not archived by the request for it."""
    if look.policy.archiving.from_browser:
        raise CannotTellError("the policy lets requests archive")
    where: Parameters = {"idSite": 1, "period": "day", "date": "yesterday"}
    every, some = look.api.call_many(
        [
            {"method": "VisitsSummary.getVisits", **where},
            {"method": "VisitsSummary.getVisits", **where, "segment": "visitCount>=1"},
        ]
    )
    if look.target.may_change:
        some = {"value": sum(it["visits"] for it in look.day.before[OPEN_SEGMENT].values())}
    elif not every.get("value"):
        raise CannotTellError("site 1 had no visits yesterday to tell by")
    return same(0, int(some.get("value", 0)))
