"""Faults as production has them: what they do to Matomo, and that each heals."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import Any

import pytest
import requests
from docker.models.containers import Container
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from matomo_harness.errors import BrokenPromiseError, UnsupportedEnvironmentError, WrongInputError
from matomo_harness.matomo import twofactor
from matomo_harness.matomo.container import WEB_ROOT
from matomo_harness.matomo.web import Parameters, Web
from matomo_harness.runtime import faults, memory
from matomo_harness.runtime.full_stack import FullStack
from matomo_harness.runtime.golden import Golden

HITS = 200
GONE_SECONDS = 5
DATABASE_MIB = 200


def stored_hits(stack: FullStack) -> int:
    (row,) = stack.instance.database.query(
        "SELECT COUNT(*) AS number FROM {prefix}log_link_visit_action"
    )
    return int(row["number"])


def hit(web: Web, number: int = 0) -> int:
    """Send a hit and return the answer's status; 0 where there is none."""
    query: Parameters = {"idsite": 1, "rec": 1, "url": f"https://discovery.example/{number}"}
    try:
        return web.get(query, path="matomo.php").status_code
    except UnsupportedEnvironmentError:
        return 0


@pytest.mark.matomo_log(".", reason="the database is gone while visitors come")
@pytest.mark.slow(reason="a deployment of its own, and time for the fault")
def test_a_database_that_is_gone_loses_only_the_hits_of_that_time(
    matomo_production: FullStack, figure: Callable[[str], None]
) -> None:
    web, database = (
        matomo_production.instance.web,
        matomo_production.mariadb.get_wrapped_container(),
    )
    before = stored_hits(matomo_production)
    came_back = Event()
    with ThreadPoolExecutor(4) as early, ThreadPoolExecutor(4) as late:
        sent = [early.submit(hit, web, number) for number in range(HITS // 2)]
        with faults.cut(database):
            # These threads are new: the open connections of the early ones may outlast the fault.
            sent += [late.submit(hit, web, HITS + number) for number in range(HITS // 2)]
            came_back.wait(GONE_SECONDS)
        statuses = [answer.result() for answer in sent]
    refused = sum(status != requests.codes.ok for status in statuses)
    lost = HITS - (stored_hits(matomo_production) - before)
    figure(f"{lost} of {HITS} hits lost, {refused} refused, database gone for {GONE_SECONDS} s")
    assert 0 < lost <= refused  # every hit that was answered with 200 is stored
    assert hit(web) == requests.codes.ok
    assert matomo_production.matomo.shell.health() is None
    assert len(statuses) == HITS


@pytest.mark.nightly(reason="a full stack of its own")
@pytest.mark.slow(reason="a deployment of its own, and time for the fault")
def test_a_killed_task_keeps_its_sessions_token_and_tracker(
    matomo_production: FullStack,
) -> None:
    person = matomo_production.instance.web
    twofactor.sign_in(person, matomo_production.instance.account)
    tracker = matomo_production.instance.web.ask("matomo.js").content
    matomo_production.replace_task()
    assert "form_login" not in person.get().text  # still logged in
    api = matomo_production.instance.api
    assert api.call("SitesManager.getAllSitesId") == [1]  # the token holds
    assert matomo_production.instance.web.ask("matomo.js").content == tracker


@pytest.mark.nightly(reason="a full stack of its own")
@pytest.mark.slow(reason="a deployment of its own, and time for the fault")
def test_a_killed_task_is_a_502_until_it_is_back(matomo_production: FullStack) -> None:
    with faults.kill(matomo_production.matomo.get_wrapped_container()):
        assert (
            matomo_production.instance.web.ask("matomo.js").status_code
            == requests.codes.bad_gateway
        )
    matomo_production.wait_for_a_target()


def test_a_slow_database_is_throttled_for_a_while(stack: FullStack) -> None:
    container = stack.mariadb.get_wrapped_container()

    def throttled() -> int:
        statistics: Any = container.stats(stream=False)
        return int(statistics["cpu_stats"]["throttling_data"]["throttled_periods"])

    before = throttled()
    with faults.slow(container, cpus=0.02):
        stack.instance.api.call("SitesManager.getAllSitesId")
        during = throttled()
    stack.instance.api.call("SitesManager.getAllSitesId")
    assert before < during


@pytest.fixture
def small_disk(any_golden: Golden) -> Iterator[FullStack]:
    """A deployment with a database whose disk is small enough to be filled."""
    with FullStack(any_golden, database_memory=DATABASE_MIB * 2**20) as started:
        yield started


@pytest.mark.slow(reason="a deployment of its own, and time for the fault")
def test_hits_are_stored_again_after_a_full_disk(
    small_disk: FullStack,
) -> None:
    web = small_disk.instance.web
    assert hit(web) == requests.codes.ok
    with faults.full_disk(small_disk.mariadb.get_wrapped_container(), "/var/lib/mysql"):
        big = "x" * 200_000
        with pytest.raises(Exception, match=r"is full|No space left"):
            fill(small_disk, big)
    before = stored_hits(small_disk)
    assert hit(web) == requests.codes.ok
    assert stored_hits(small_disk) == before + 1


def fill(stack: FullStack, text: str) -> None:
    """Write until the database has no room for it."""
    root = stack.mariadb.root
    root.query("CREATE TABLE filler (text LONGTEXT)")
    for _ in range(DATABASE_MIB * 5):
        root.query("INSERT INTO filler VALUES (%s)", text)


@pytest.mark.parametrize("path", ["/etc", "/no/such/directory", WEB_ROOT])
def test_no_disk_of_this_machine_is_filled(stack: FullStack, path: str) -> None:
    # The web root is in memory, and as large as half of the machine's.
    refusal = pytest.raises(WrongInputError, match="could fill this machine")
    with refusal, faults.full_disk(stack.matomo.get_wrapped_container(), path):
        pass


@pytest.mark.nightly(reason="a full stack of its own")
@pytest.mark.slow(reason="a deployment of its own, and time for the fault")
def test_a_clock_two_minutes_ahead_refuses_the_code(matomo_production: FullStack) -> None:
    account = matomo_production.instance.account
    with faults.clock_skew(matomo_production.matomo.get_wrapped_container(), 120):
        matomo_production.wait_for_a_target()
        before = int(time.time())
        ahead = int(matomo_production.matomo.shell.run("date", "+%s"))
        assert before + 119 <= ahead <= time.time() + 121
        here = int(matomo_production.mariadb.root.query("SELECT UNIX_TIMESTAMP() AS now")[0]["now"])
        assert before - 1 <= here <= time.time() + 1
        with pytest.raises(BrokenPromiseError):
            twofactor.sign_in(matomo_production.instance.web, account, steps=0)
    matomo_production.wait_for_a_target()
    # This code is later than the refused one, which counts as used, however long the restart took.
    twofactor.sign_in(matomo_production.instance.web, account, steps=2)


@pytest.mark.slow(reason="a deployment of its own, and time for the fault")
def test_a_fault_heals_when_its_test_fails(matomo_production: FullStack) -> None:
    container = matomo_production.mariadb.get_wrapped_container()
    with pytest.raises(ZeroDivisionError), faults.cut(container), faults.slow(container):
        raise ZeroDivisionError
    container.reload()
    assert container.attrs["NetworkSettings"]["Networks"]
    assert matomo_production.instance.api.call("SitesManager.getAllSitesId") == [1]


# -- memory ---------------------------------------------------------------------------------------


def burst(stack: FullStack) -> None:
    """Ask for as much at once as an hour may bring: hits, pages, reports."""
    web, api = stack.instance.web, stack.instance.api
    # At a superuser's first request Matomo adds this host to config.ini.php (Url.php,
    # saveTrustedHostnameInConfig), and not atomically: who reads the file meanwhile is refused.
    api.call("API.getMatomoVersion")
    with ThreadPoolExecutor(16) as visitors:
        answers: list[Future[Any]] = [visitors.submit(hit, web, number) for number in range(300)]
        answers += [visitors.submit(web.get, {"module": "Login"}) for _ in range(30)]
        answers += [
            visitors.submit(api.call, "API.get", idSite=1, period="day", date="today")
            for _ in range(30)
        ]
        for answer in answers:
            answer.result()


@pytest.mark.nightly(reason="hundreds of pages at once")
@pytest.mark.slow(reason="a deployment of its own, and time for the fault")
def test_a_burst_stays_within_the_memory_of_a_task(
    matomo_production: FullStack, figure: Callable[[str], None]
) -> None:
    container = matomo_production.matomo.get_wrapped_container()
    burst(matomo_production)
    assert memory.out_of_memory_kills(container) == 0
    limit = container.attrs["HostConfig"]["Memory"] // 2**20
    figure(f"peak {memory.peak_mib(container)} MiB of {limit}, the code in memory included")


@pytest.mark.matomo_log(".", reason="the kernel kills Apache's children")
@pytest.mark.slow(reason="a deployment of its own, and time for the fault")
@pytest.mark.nightly(reason="a deployment of its own, and time for the fault")
def test_a_kill_for_lack_of_memory_is_counted(matomo_production: FullStack) -> None:
    container = matomo_production.matomo.get_wrapped_container()
    shrink(container, memory.peak_mib(container) + 16)
    # All of them at once: a later one would wait for a task that may be gone by then.
    with ThreadPoolExecutor(16) as visitors:
        list(visitors.map(lambda number: hit(matomo_production.instance.web, number), range(16)))
    assert wait_for_kill(container) > 0


def wait_for_kill(container: Container) -> int:
    """Ask until the engine reports the container's end, or the container has memory to answer."""

    def kills() -> int:
        with suppress(UnsupportedEnvironmentError):
            return memory.out_of_memory_kills(container)
        return 0

    attempts = Retrying(
        stop=stop_after_delay(10),
        wait=wait_fixed(0.1),
        retry=retry_if_result(lambda number: number == 0),
        retry_error_callback=lambda _: 0,
    )
    return int(attempts(kills))


def shrink(container: Container, mebibytes: int) -> None:
    container.update(mem_limit=f"{mebibytes}m", memswap_limit=f"{mebibytes}m")
