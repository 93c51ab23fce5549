"""The scheduled archiver is a container of its own: it ends, says how, and may be killed."""

from collections.abc import Callable, Iterator
from datetime import date

import pytest
from docker.models.containers import Container
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from matomo_harness.matomo import tracker, traffic
from matomo_harness.matomo.traffic import Site
from matomo_harness.policy import deployment
from matomo_harness.runtime import archiver, faults
from matomo_harness.runtime.full_stack import FullStack
from matomo_harness.runtime.reaper import this_process

DAY = date(2025, 5, 31)
SECONDS = 180


@pytest.fixture
def visits(matomo_production: FullStack) -> int:
    """Send visits; return how many of DAY are to be archived."""
    made = traffic.visits([Site(1, "https://discovery.example", "America/New_York")], DAY, 2)
    assert tracker.send(matomo_production.instance.api, traffic.hits(made))
    return sum(visit.day == DAY for visit in made)


def reported_visits(stack: FullStack) -> int:
    answer = stack.instance.api.call(
        "VisitsSummary.getVisits", idSite=1, period="day", date=str(DAY)
    )
    return int(answer["value"])


def invalidations(stack: FullStack, condition: str = "1") -> int:
    (row,) = stack.instance.database.query(
        "SELECT COUNT(*) AS number FROM {prefix}archive_invalidations WHERE " + condition  # noqa: S608
    )
    return int(row["number"])


Start = Callable[[], Container]


@pytest.fixture
def start(matomo_production: FullStack) -> Iterator[Start]:
    """Starts archivers, which are removed whatever becomes of them."""
    web = matomo_production.matomo.get_wrapped_container()
    made: list[Container] = []

    def start() -> Container:
        made.append(archiver.start(web, this_process().labels))
        return made[-1]

    yield start
    for container in made:
        container.remove(force=True, v=True)


def test_the_archiver_has_the_image_mounts_and_environment_of_the_web_container(
    matomo_production: FullStack, start: Start
) -> None:
    web, second = matomo_production.matomo.get_wrapped_container(), start()
    second.reload()
    for part in ("Image", "Mounts"):
        assert second.attrs[part] == web.attrs[part], part
    assert sorted(second.attrs["Config"]["Env"]) == sorted(web.attrs["Config"]["Env"])
    assert not second.attrs["HostConfig"]["VolumesFrom"]
    limits = deployment.read().archiver
    assert second.attrs["HostConfig"]["Memory"] == limits.memory_mib * 2**20


@pytest.mark.slow(reason="a deployment of its own, which archives")
def test_the_archiver_reports_every_visit_and_exits_with_zero(
    matomo_production: FullStack, visits: int
) -> None:
    assert reported_visits(matomo_production) == 0
    archived = matomo_production.archive()
    assert archived.exit_code == 0, archived.log
    assert reported_visits(matomo_production) == visits


@pytest.mark.matomo_log("log_link_visit_action", reason="this test takes that table away")
@pytest.mark.all_versions(reason="the exit code is Matomo's")
@pytest.mark.slow(reason="a deployment of its own, which archives")
def test_a_failed_archive_exits_non_zero_and_its_last_line_says_so(
    matomo_production: FullStack, visits: int
) -> None:
    assert visits
    matomo_production.instance.database.query(
        "RENAME TABLE {prefix}log_link_visit_action TO {prefix}gone"
    )
    archived = matomo_production.archive()
    assert archived.exit_code != 0
    assert "ARCHIVING FAILED" in archived.log.splitlines()[-1]


@pytest.mark.slow(reason="a deployment of its own, and time for the fault")
def test_the_archiver_exits_non_zero_without_a_database(
    matomo_production: FullStack, start: Start
) -> None:
    with faults.cut(matomo_production.mariadb.get_wrapped_container()):
        archived = archiver.ended(start(), SECONDS)
    assert archived.exit_code != 0
    assert "ARCHIVING FAILED" in archived.log.splitlines()[-1]


@pytest.mark.nightly(reason="a full stack of its own")
@pytest.mark.all_versions(reason="the queue is Matomo's")
@pytest.mark.slow(reason="a deployment of its own, which archives")
def test_two_archivers_at_once_count_nothing_twice(
    matomo_production: FullStack, start: Start, visits: int
) -> None:
    both = [start(), start()]
    for container in both:
        archived = archiver.ended(container, SECONDS)
        assert archived.exit_code == 0, archived.log
    assert reported_visits(matomo_production) == visits
    # Each skips a period while the other archives one within it; the next run does what both skip
    # (CronArchive/QueueConsumer, shouldSkipArchiveBecauseLowerPeriodOrSegmentIsInProgress).
    assert matomo_production.archive().exit_code == 0
    assert reported_visits(matomo_production) == visits
    assert invalidations(matomo_production) == 0


@pytest.mark.nightly(reason="a full stack of its own")
@pytest.mark.all_versions(reason="the queue is Matomo's")
@pytest.mark.slow(reason="a deployment of its own, which archives")
@pytest.mark.parametrize("stop", ["SIGTERM", "SIGWINCH"], ids=["a person's", "the image's"])
def test_the_next_run_finishes_what_a_stopped_task_began(
    matomo_production: FullStack, start: Start, visits: int, stop: str
) -> None:
    ended = interrupt(matomo_production, start, stop)
    assert ended.exit_code == 143
    assert "stopped by a signal" in ended.log.splitlines()[-1]
    assert reported_visits(matomo_production) == 0
    archived = matomo_production.archive()
    assert archived.exit_code == 0, archived.log
    assert reported_visits(matomo_production) == visits


@pytest.mark.nightly(reason="a full stack of its own")
@pytest.mark.all_versions(reason="the queue and its timeout are Matomo's")
@pytest.mark.slow(reason="a deployment of its own, which archives")
def test_a_killed_run_is_taken_up_after_the_recovery_timeout(
    matomo_production: FullStack, start: Start, visits: int
) -> None:
    assert interrupt(matomo_production, start, "SIGKILL").exit_code == 137
    assert matomo_production.archive().exit_code == 0
    # For all that Matomo knows, a run is still archiving it.
    assert reported_visits(matomo_production) == 0
    matomo_production.instance.database.query(
        "UPDATE {prefix}archive_invalidations SET ts_started = ts_started - INTERVAL 2 HOUR"
    )
    assert matomo_production.archive().exit_code == 0
    assert reported_visits(matomo_production) == visits


def interrupt(stack: FullStack, start: Start, signal: str) -> archiver.ArchiverResult:
    with faults.slow(stack.mariadb.get_wrapped_container(), cpus=0.05):
        first = start()
        wait_until_it_archives(stack)
        first.kill(signal)
        return archiver.ended(first, deployment.read().archiver.stop_seconds)


def wait_until_it_archives(stack: FullStack) -> None:
    attempts = Retrying(
        stop=stop_after_delay(SECONDS),
        wait=wait_fixed(0.1),
        retry=retry_if_result(lambda is_under_way: not is_under_way),
    )
    # Wait for the archive that is read afterwards: the archiver may be at any of the other days.
    attempts(invalidations, stack, f"status = 1 AND period = 1 AND date1 = '{DAY}'")
