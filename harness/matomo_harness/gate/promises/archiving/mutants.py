"""Mutants of archiving: by request, not at all, or with wrong numbers."""

from collections.abc import Callable
from typing import Final

from matomo_harness.gate.mutation.changes import (
    code,
    every,
    in_web,
    key,
    no_key,
    option,
    program,
    sql,
)
from matomo_harness.gate.mutation.mutant import Change, Deployment, Mutant, Place, Stage
from matomo_harness.runtime import archiver, images
from matomo_harness.runtime.containers import MatomoContainer
from matomo_harness.runtime.production import Production
from matomo_harness.runtime.reaper import this_process
from matomo_harness.settings import Settings

DRIFT: Final = "drift.file_is_the_image_s"
BY_REQUEST: Final = tuple(
    f"archiving.no_request_archives_{it}"
    for it in ("a_day", "a_period", "a_range", "a_segment", "an_open_segment")
)
EXACT: Final = tuple(
    f"archiving.{it}"
    for it in ("days_are_exact", "weeks_are_exact", "months_are_exact", "years_are_exact")
)
CRON: Final = "core/CronArchive.php"


def _by_another(task: Callable[[Production], MatomoContainer]) -> Change:
    """Have the archiver's task definition say what `task` does, and not what the web's says."""

    def archive(production: Production) -> int:
        with task(production) as other:
            return archiver.archive(other.get_wrapped_container(), this_process().labels).exit_code

    return lambda deployment: deployment.archive_by(lambda: archive(deployment.stands))


def _of_the_build(production: Production) -> MatomoContainer:
    """The image that was built, and not the one that was installed from it and that the web runs."""
    return production.task(image=images.deployed_image(Settings.from_environment()))


def _in_the_web_container(deployment: Deployment) -> None:
    def archive() -> int:
        deployment.shell.run(archiver.COMMAND, user="root")
        return 0

    deployment.archive_by(archive)


def _once(deployment: Deployment) -> None:
    codes = iter([deployment.stands.archive])
    deployment.archive_by(lambda: run().exit_code if (run := next(codes, None)) else 0)


MUTANTS: Final = (
    Mutant(
        "archiving.by_browser",
        "looking at a report archives",
        Place.FILE,
        (*BY_REQUEST, "archiving.nobody_can_click_it_on", DRIFT),
        every(
            key("General", "enable_browser_archiving_triggering", 1),
            key("General", "browser_archiving_disabled_enforce", 0),
            key("General", "enable_general_settings_admin", 1),
        ),
        "R1",
    ),
    Mutant(
        "archiving.clicked",
        "somebody switched archiving by browser on in General settings",
        Place.CLICK,
        (*BY_REQUEST[:2], "archiving.nobody_can_click_it_on"),
        every(
            no_key("General", "enable_general_settings_admin"),
            no_key("General", "browser_archiving_disabled_enforce"),
            option("enableBrowserTriggerArchiving", 1),
        ),
        "R1",
    ),
    Mutant(
        "archiving.segments_by_browser",
        "only the trigger is off: segments are archived by request",
        Place.FILE,
        ("archiving.no_request_archives_an_open_segment", DRIFT),
        no_key("General", "browser_archiving_disabled_enforce"),
        "R1",
    ),
    Mutant(
        "archiving.settings_page",
        "General settings has its switch again",
        Place.FILE,
        ("archiving.nobody_can_click_it_on", DRIFT),
        key("General", "enable_general_settings_admin", 1),
        "C10",
    ),
    Mutant(
        "archiving.rows_cut",
        "ten rows of a report are kept",
        Place.FILE,
        ("archiving.row_limits_are_the_policy_s", DRIFT),
        key("General", "datatable_archiving_maximum_rows_actions", 10),
        "R11",
    ),
    Mutant(
        "archiving.rows_as_list",
        "a row limit is a list",
        Place.FILE,
        ("archiving.row_limits_are_the_policy_s", DRIFT),
        every(
            no_key("General", "datatable_archiving_maximum_rows_events"),
            key("General", "datatable_archiving_maximum_rows_events[]", 5000),
        ),
        "C2",
    ),
    Mutant(
        "archiving.today_is_old",
        "today's numbers are a day old",
        Place.FILE,
        ("archiving.today_is_archived_anew", DRIFT),
        key("General", "time_before_today_archive_considered_outdated", 86400),
        "R12",
    ),
    Mutant(
        "archiving.today_one_off",
        "today is outdated a second later than promised",
        Place.FILE,
        ("archiving.today_is_archived_anew", DRIFT),
        key("General", "time_before_today_archive_considered_outdated", 1801),
        "R12",
    ),
    Mutant(
        "archiving.short_visits",
        "a visit ends after a minute",
        Place.FILE,
        (*EXACT, "archiving.ranges_sum_up_days"),
        key("Tracker", "visit_standard_length", 60),
    ),
    Mutant(
        "archiving.segments_from_now",
        "a new segment begins today",
        Place.FILE,
        ("archiving.segments_are_exact", DRIFT),
        key("General", "process_new_segments_from", "segment_creation_time"),
        "R2",
    ),
    Mutant(
        "archiving.zone_lost",
        "every site's day ends in Greenwich",
        Place.DATABASE,
        ("archiving.day_ends_where_the_site_s_does",),
        sql(
            "CREATE TRIGGER zone BEFORE INSERT ON {prefix}site FOR EACH ROW SET NEW.timezone = 'UTC'"
        ),
        "O4",
    ),
    Mutant(
        "archiving.archiver_fails",
        "the database takes no archive",
        Place.DATABASE,
        ("archiving.archiver_ends_well", *EXACT),
        sql(
            "CREATE TRIGGER full BEFORE INSERT ON {prefix}archive_invalidations FOR EACH ROW"
            " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'disk full'"
        ),
        "R8",
    ),
    Mutant(
        "archiving.grows",
        "each run after the first adds to what was counted",
        Place.DATABASE,
        ("archiving.second_run_changes_nothing",),
        sql(
            "CREATE TRIGGER grows AFTER UPDATE ON {prefix}option FOR EACH ROW"
            " UPDATE {prefix}archive_numeric_2025_12 SET value = value + 1 WHERE name = 'nb_visits'"
            " AND NEW.option_name = 'LastCompletedFullArchiving'"
        ),
        "R3",
    ),
    Mutant(
        "archiving.exit_code_swallowed",
        "the scheduled task ends well, whatever became of the archiver",
        Place.IMAGE,
        ("archiving.failure_is_told",),
        in_web("sed -i 's/^exit .*/exit 0/' /usr/local/bin/matomo-archive"),
        "R8",
        Stage.PAIR,
    ),
    Mutant(
        "archiving.does_nothing",
        "the archiver ends at once, and well",
        Place.IMAGE,
        EXACT,
        code(CRON, "public function main()\n    {", "public function main()\n    { return;"),
        "R1",
        Stage.PAIR,
    ),
    Mutant(
        "archiving.schedule_dead",
        "nothing starts the archiver",
        Place.CONTAINERS,
        (*EXACT, "archiving.segments_are_exact"),
        lambda it: it.archive_by(lambda: 0),
        "R1",
        Stage.PRODUCTION,
    ),
    Mutant(
        "archiving.another_environment",
        "the archiver's task has no database password",
        Place.CONTAINERS,
        ("archiving.archiver_ends_well", *EXACT),
        _by_another(lambda it: it.task({"MATOMO_DATABASE_PASSWORD": None})),
        "R10",
        Stage.PRODUCTION,
    ),
    Mutant(
        "archiving.another_image",
        "the archiver's task definition names another image than the web's",
        Place.CONTAINERS,
        ("archiving.archiver_is_as_the_web_s_task",),
        _by_another(_of_the_build),
        "R10",
        Stage.PRODUCTION,
    ),
    Mutant(
        "archiving.by_the_web_server_itself",
        "the archiver runs in the web container, whose memory it takes",
        Place.CONTAINERS,
        ("archiving.archiver_is_as_the_web_s_task",),
        _in_the_web_container,
        "R4",
        Stage.PRODUCTION,
    ),
    Mutant(
        "archiving.killed_for_a_day",
        "what a killed archiver began is begun again after Matomo's own day",
        Place.FILE,
        ("archiving.killed_is_taken_up_again", DRIFT),
        no_key("General", "archive_failure_recovery_timeout"),
        "R7",
    ),
    Mutant(
        "archiving.without_matomo_s_tasks",
        "the schedule leaves Matomo's own tasks out: nothing is forgotten, no report is mailed",
        Place.CONTAINERS,
        ("archiving.what_is_due_is_done",),
        lambda it: it.archive_by(lambda: it.stands.archive("--disable-scheduled-tasks").exit_code),
        "P9",
        Stage.PRODUCTION,
    ),
    Mutant(
        "archiving.stop_is_not_passed_on",
        "the scheduled task's script passes no signal on: a stopped one leaves its archiver",
        Place.IMAGE,
        ("archiving.a_stop_is_passed_on",),
        in_web("sed -i '/^trap /d' /usr/local/bin/matomo-archive"),
        "R7",
        Stage.PAIR,
    ),
    Mutant(
        "archiving.robots_counted",
        "robots are counted, so that a monitor's visits are seen",
        Place.IMAGE,
        ("archiving.robots_are_not_counted",),
        code(
            "core/Tracker/VisitExcluded.php",
            "protected function isNonHumanBot()\n    {",
            "protected function isNonHumanBot()\n    { return false;",
        ),
        stage=Stage.PAIR,
    ),
    Mutant(
        "archiving.schedule_of_one_time",
        "the schedule fires once, and never again",
        Place.CONTAINERS,
        ("archiving.second_run_changes_nothing",),
        _once,
        "R1",
        Stage.PRODUCTION,
    ),
    Mutant(
        "archiving.month_is_old",
        "this month's numbers are a day old, to spare the database, while today's are fresh",
        Place.FILE,
        ("archiving.today_is_archived_anew",),
        key("General", "time_before_month_archive_considered_outdated", 86400),
        "R12",
    ),
    Mutant(
        "archiving.stop_of_one_process",
        "the scheduled task's script stops the archiver alone: the processes that it has go on",
        Place.IMAGE,
        ("archiving.a_stop_is_passed_on",),
        in_web('sed -i \'s/"-$archiver"/"$archiver"/\' /usr/local/bin/matomo-archive'),
        "R7",
        Stage.PAIR,
    ),
    Mutant(
        "archiving.as_root",
        "the scheduled task archives as root: what it leaves in tmp/ answers pages with 500",
        Place.IMAGE,
        ("archiving.archiver_is_not_root",),
        program("matomo-archive", "s/^setsid as-web-user php/setsid php/"),
        "R5",
        Stage.PAIR,
    ),
)
