"""The runner on a real Matomo: what hangs is ended, and no scan passes without an archive."""

import dataclasses
import socket
from collections.abc import Callable

import pytest

from matomo_harness.gate.catalogue import ALL, read_policy
from matomo_harness.gate.core import runner as run
from matomo_harness.gate.core.check import Check, Finding, Status, holds
from matomo_harness.gate.core.context import needs_of
from matomo_harness.gate.core.runner import Runner, is_promised
from matomo_harness.gate.core.target import Http
from matomo_harness.gate.probes.reports import Archives
from matomo_harness.matomo.api import Api, ApiError
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.web import Web
from matomo_harness.runtime import archiver, targets
from matomo_harness.runtime.full_stack import FullStack
from matomo_harness.runtime.instance import Instance

PROMISED = read_policy()


def check(inspect: Callable[..., Finding]) -> Check:
    capabilities = needs_of(inspect).capabilities
    return Check("test.one", "It is so.", inspect, capabilities=capabilities)


def healthy(container: MatomoContainer) -> Finding:
    return holds(container.run("echo", "well").strip() == "well", "well", "something else")


def hang_in_a_command(container: MatomoContainer) -> Finding:
    return holds(bool(container.run("sh", "-c", "sleep 4321 & sleep 4321")), "", "")


def hang_as_root(container: MatomoContainer) -> Finding:
    # The image's own programs do this: root becomes the web server's user.
    script = "setpriv --reuid=www-data --regid=www-data --clear-groups sleep 4321 & sleep 4321"
    return holds(bool(container.run("sh", "-c", script, user="root")), "", "")


def hang_in_a_query(database: Database) -> Finding:
    return holds(bool(database.query("SELECT SLEEP(4321)")), "", "")


def hang_in_a_request() -> Finding:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        return holds(Web(f"http://127.0.0.1:{silent.getsockname()[1]}").get().ok, "", "")


def go_on_for_ever(container: MatomoContainer) -> Finding:
    while True:
        container.run("true")


def at_work(instance: Instance) -> list[str]:
    """Return what of the hanging checks is still at work in the instance."""
    sleeping = instance.shell.run(
        "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '", user="root"
    )
    asking = instance.database.query("SHOW FULL PROCESSLIST")
    # The searching command's own line does not have these words.
    found = ["a command"] if "sleep 4321" in sleeping else []
    return found + ["a query" for session in asking if "SLEEP(4321)" in str(session["Info"])]


@pytest.mark.parametrize(
    "inspect",
    [hang_in_a_command, hang_as_root, hang_in_a_query, hang_in_a_request, go_on_for_ever],
)
# In one worker: each test searches the web server, which the workers share, for what hangs.
@pytest.mark.xdist_group("hanging")
def test_a_hanging_check_is_ended_with_all_that_it_began(
    fresh_matomo: Instance, inspect: Callable[..., Finding]
) -> None:
    runner = Runner(targets.of_instance(fresh_matomo, PROMISED), [], seconds=1.5)
    hung = runner.run(check(inspect))
    assert hung.status is Status.ERROR
    # It ended by itself: of one that had to be abandoned, "an end within 2 s" is expected.
    assert "the check test.one to end within 2 s" in hung.expected, hung
    assert at_work(fresh_matomo) == []
    unhurried = Runner(runner.target, [])
    assert unhurried.run(check(healthy)).status is Status.PASSED


@pytest.mark.xdist_group("hanging")
def test_a_hanging_check_leaves_things_as_they_were(fresh_matomo: Instance) -> None:
    shell = fresh_matomo.shell
    before = shell.read(shell.config)

    def inspect(container: MatomoContainer) -> Finding:
        try:
            shell.write(shell.config, "")
            return hang_in_a_command(container)
        finally:
            shell.write(shell.config, before)

    runner = Runner(targets.of_instance(fresh_matomo, PROMISED), [], seconds=2)
    assert runner.run(check(inspect)).status is Status.ERROR
    assert shell.read(shell.config) == before


def test_where_few_logins_may_fail_the_gate_is_not_locked_out(fresh_matomo: Instance) -> None:
    for setting in (
        "--key=enableBruteForceDetection --value=1",
        "--key=maxAllowedRetries --value=3",
    ):
        fresh_matomo.shell.console("config:set", "--section=Login", *setting.split())

    def refused_twice(http: Http) -> Finding:
        for _ in range(2):
            with pytest.raises(ApiError):
                Api(http.web, "0" * 32).call("API.getMatomoVersion")
        return holds(True, "a refusal", "a refusal")

    runner = Runner(targets.of_instance(fresh_matomo, PROMISED), [])
    for _ in range(3):
        assert runner.run(check(refused_twice)).status is Status.PASSED
    assert fresh_matomo.api.call("SitesManager.getAllSitesId") == [1]


@pytest.mark.nightly(reason="every leak scan")
@pytest.mark.slow(reason="all test traffic, on a deployment of its own")
def test_no_leak_scan_passes_without_the_archiver(
    matomo_production: FullStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A shell that does not find the archiver: exit code 127.
    monkeypatch.setattr(archiver, "jobs", lambda *_: [archiver.Job(("sh",))])
    healthy = targets.of_full_stack(matomo_production, PROMISED)
    assert healthy.services
    services = dataclasses.replace(
        healthy.services, archive=lambda: matomo_production.archive("-c", "no-archiver").exit_code
    )
    scans = [check for check in ALL if Archives in check.steps and is_promised(check, PROMISED)]
    assert {"masking.nowhere_in_the_database", "user_ids.nowhere_in_a_file"} < {
        scan.id for scan in scans
    }
    results = run.run(dataclasses.replace(healthy, services=services), scans)
    assert {result.check.id: result.status for result in results} == {
        scan.id: Status.ERROR for scan in scans
    }
    assert {result.seen for result in results} == {"exit code 127"}
