"""Mutants of archiving: who starts the archiver, what it runs as, what its numbers are made of.

They break the schedule and its task definition, the image's script, the keys of [General] that
govern archiving, and the tables that the archiver reads and writes.
"""

from collections.abc import Callable
from typing import Final

from matomo_harness.gate.mutants import Change, Deployment, Location, Mutants, Topology
from matomo_harness.gate.mutants.changes import (
    code,
    every,
    in_web,
    key,
    no_key,
    option,
    program,
    sql,
)
from matomo_harness.gate.probes.reports import DUE
from matomo_harness.runtime import archiver, images
from matomo_harness.runtime.containers import WebContainer
from matomo_harness.runtime.full_stack import FullStack
from matomo_harness.runtime.reaper import this_process
from matomo_harness.settings import RunSettings

MUTANTS: Final = Mutants("archiving")

DRIFT: Final = "settings.file_is_of_the_image"
BY_REQUEST: Final = tuple(
    f"no_request_archives_{what}"
    for what in ("a_day", "a_period", "a_range", "a_segment", "an_open_segment")
)
EXACT: Final = ("days_are_exact", "weeks_are_exact", "months_are_exact", "years_are_exact")
CRON: Final = "core/CronArchive.php"


def _by_another(task: Callable[[FullStack], WebContainer]) -> Change:
    """Have the archiver's task definition be what `task` makes, and not what the web task's is."""

    def archive(stack: FullStack) -> int:
        with task(stack) as other:
            return archiver.archive(other.get_wrapped_container(), this_process().labels).exit_code

    return lambda deployment: deployment.archive_by(lambda: archive(deployment.full_stack))


def _of_the_build(stack: FullStack) -> WebContainer:
    """Start the image that was built, not the one that was installed from it, which the web runs."""
    return stack.task(image=images.deployed_image(RunSettings.from_environment()))


MUTANTS.add(
    "tasks_put_off",
    "a clock that once was wrong has put Matomo's own tasks off until 2100: nothing is deleted",
    Location.DATABASE,
    "no_task_is_put_off",
    option("TaskScheduler.timetable", f'a:1:{{s:{len(DUE)}:"{DUE}";i:4102444800;}}'),
    "P9",
)
MUTANTS.add(
    "by_browser",
    "opening a report archives it",
    Location.FILE,
    (*BY_REQUEST, "nobody_can_click_it_on", DRIFT),
    every(
        key("General", "enable_browser_archiving_triggering", 1),
        key("General", "browser_archiving_disabled_enforce", 0),
        key("General", "enable_general_settings_admin", 1),
    ),
    "R1",
)
MUTANTS.add(
    "clicked",
    "somebody turned archiving by the browser on in General settings",
    Location.CLICK,
    (*BY_REQUEST[:2], "nobody_can_click_it_on"),
    every(
        no_key("General", "enable_general_settings_admin"),
        no_key("General", "browser_archiving_disabled_enforce"),
        option("enableBrowserTriggerArchiving", 1),
    ),
    "R1",
)
MUTANTS.add(
    "segments_by_browser",
    "only the trigger is off: a request for a segment archives it",
    Location.FILE,
    ("no_request_archives_an_open_segment", DRIFT),
    no_key("General", "browser_archiving_disabled_enforce"),
    "R1",
)
MUTANTS.add(
    "settings_page",
    "General settings shows the switch for archiving by the browser again",
    Location.FILE,
    ("nobody_can_click_it_on", DRIFT),
    key("General", "enable_general_settings_admin", 1),
    "C10",
)
MUTANTS.add(
    "rows_cut",
    "only ten rows of a report are stored",
    Location.FILE,
    ("row_limits", DRIFT),
    key("General", "datatable_archiving_maximum_rows_actions", 10),
    "R11",
)
MUTANTS.add(
    "rows_as_list",
    "a row limit is a list",
    Location.FILE,
    ("row_limits", DRIFT),
    every(
        no_key("General", "datatable_archiving_maximum_rows_events"),
        key("General", "datatable_archiving_maximum_rows_events[]", 5000),
    ),
    "C2",
)
MUTANTS.add(
    "today_is_old",
    "today's numbers are a day old",
    Location.FILE,
    ("today_is_archived_anew", DRIFT),
    key("General", "time_before_today_archive_considered_outdated", 86400),
    "R12",
)
MUTANTS.add(
    "today_one_off",
    "today is outdated a second later than promised",
    Location.FILE,
    ("today_is_archived_anew", DRIFT),
    key("General", "time_before_today_archive_considered_outdated", 1801),
    "R12",
)
MUTANTS.add(
    "short_visits",
    "a visit ends after a minute",
    Location.FILE,
    (*EXACT, "ranges_sum_up_days"),
    key("Tracker", "visit_standard_length", 60),
)
MUTANTS.add(
    "segments_from_now",
    "a new segment's reports begin today",
    Location.FILE,
    ("segments_are_exact", DRIFT),
    key("General", "process_new_segments_from", "segment_creation_time"),
    "R2",
)
MUTANTS.add(
    "zone_lost",
    "every site's day ends in Greenwich",
    Location.DATABASE,
    "day_ends_in_the_site_zone",
    sql("CREATE TRIGGER zone BEFORE INSERT ON {prefix}site FOR EACH ROW SET NEW.timezone = 'UTC'"),
    "O4",
)
MUTANTS.add(
    "archiver_fails",
    "the database refuses archives",
    Location.DATABASE,
    ("archiver_ends_well", *EXACT),
    sql(
        "CREATE TRIGGER full BEFORE INSERT ON {prefix}archive_invalidations FOR EACH ROW"
        " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'disk full'"
    ),
    "R8",
)
MUTANTS.add(
    "grows",
    "each run after the first adds to what was counted",
    Location.DATABASE,
    "second_run_changes_nothing",
    sql(
        "CREATE TRIGGER grows AFTER UPDATE ON {prefix}option FOR EACH ROW"
        " UPDATE {prefix}archive_numeric_2025_12 SET value = value + 1 WHERE name = 'nb_visits'"
        " AND NEW.option_name = 'LastCompletedFullArchiving'"
    ),
    "R3",
)
MUTANTS.add(
    "exit_code_swallowed",
    "the scheduled task ends with exit code 0 even when the archiver fails",
    Location.IMAGE,
    "failure_is_told",
    in_web("sed -i 's/^exit .*/exit 0/' /usr/local/bin/matomo-archive"),
    "R8",
    Topology.DEDICATED,
)
MUTANTS.add(
    "does_nothing",
    "the archiver ends at once with exit code 0 and does nothing",
    Location.IMAGE,
    EXACT,
    code(CRON, "public function main()\n    {", "public function main()\n    { return;"),
    "R1",
    Topology.DEDICATED,
)


@MUTANTS.mutant(
    "schedule_dead",
    Location.CONTAINERS,
    (*EXACT, "segments_are_exact"),
    "R1",
    Topology.FULL_STACK,
)
def _nothing_is_started(deployment: Deployment) -> None:
    """Nothing starts the archiver."""
    deployment.archive_by(lambda: 0)


MUTANTS.add(
    "another_environment",
    "the archiver's task has no database password",
    Location.CONTAINERS,
    ("archiver_ends_well", *EXACT),
    _by_another(lambda stack: stack.task({"MATOMO_DATABASE_PASSWORD": None})),
    "R10",
    Topology.FULL_STACK,
)
MUTANTS.add(
    "another_image",
    "the archiver's task definition names another image than the web task's",
    Location.CONTAINERS,
    "archiver_is_as_the_web_task",
    _by_another(_of_the_build),
    "R10",
    Topology.FULL_STACK,
)


@MUTANTS.mutant(
    "by_the_web_server_itself",
    Location.CONTAINERS,
    "archiver_is_as_the_web_task",
    "R4",
    Topology.FULL_STACK,
)
def _in_the_web_container(deployment: Deployment) -> None:
    """The archiver runs in the web container and takes its memory."""

    def archive() -> int:
        deployment.instance.shell.run(*deployment.instance.shell.profile.archiver, user="root")
        return 0

    deployment.archive_by(archive)


MUTANTS.add(
    "killed_for_a_day",
    "what a killed archiver had begun is started again only after a day, Matomo's default",
    Location.FILE,
    ("killed_is_taken_up_again", DRIFT),
    no_key("General", "archive_failure_recovery_timeout"),
    "R7",
)


@MUTANTS.mutant(
    "without_scheduled_tasks",
    Location.CONTAINERS,
    "what_is_due_is_done",
    "P9",
    Topology.FULL_STACK,
)
def _without_tasks(deployment: Deployment) -> None:
    """The schedule leaves out Matomo's own tasks: nothing is deleted, and no report is mailed."""
    archive = deployment.full_stack.archive
    deployment.archive_by(lambda: archive("--disable-scheduled-tasks").exit_code)


MUTANTS.add(
    "stop_is_not_passed_on",
    "the scheduled task's script passes no signal on: its archiver survives a stop",
    Location.IMAGE,
    "stop_is_passed_on",
    in_web("sed -i '/^trap /d' /usr/local/bin/matomo-archive"),
    "R7",
    Topology.DEDICATED,
)


@MUTANTS.mutant(
    "schedule_of_one_time",
    Location.CONTAINERS,
    "second_run_changes_nothing",
    "R1",
    Topology.FULL_STACK,
)
def _once(deployment: Deployment) -> None:
    """The schedule fires once and never again."""
    runs = iter([deployment.full_stack.archive])
    deployment.archive_by(lambda: run().exit_code if (run := next(runs, None)) else 0)


MUTANTS.add(
    "month_is_old",
    "this month's numbers are a day old, to spare the database, while today's are fresh",
    Location.FILE,
    "today_is_archived_anew",
    key("General", "time_before_month_archive_considered_outdated", 86400),
    "R12",
)
MUTANTS.add(
    "stop_of_one_process",
    "the scheduled task's script stops only the archiver: the archiver's own processes go on",
    Location.IMAGE,
    "stop_is_passed_on",
    in_web('sed -i \'s/"-$archiver"/"$archiver"/\' /usr/local/bin/matomo-archive'),
    "R7",
    Topology.DEDICATED,
)
MUTANTS.add(
    "as_root",
    "the scheduled task archives as root: the files that it leaves in tmp/ make pages answer 500",
    Location.IMAGE,
    "archiver_is_not_root",
    program("matomo-archive", "s/^setsid as-web-user php/setsid php/"),
    "R5",
    Topology.DEDICATED,
)
