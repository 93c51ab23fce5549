"""What makes many checks fail at once is one cause, by name; no promise is called broken by it."""

import dataclasses

import pytest

from matomo_harness.gate.catalogue import ALL, read_policy
from matomo_harness.gate.core import runner
from matomo_harness.gate.core.check import Status
from matomo_harness.gate.core.runner import Result
from matomo_harness.gate.mutants import Deployment
from matomo_harness.gate.mutants.queued_hits import PROCESS, queue
from matomo_harness.gate.probes.preflight import PREFLIGHT
from matomo_harness.matomo.ini import with_key
from matomo_harness.runtime import archiver, targets
from matomo_harness.runtime.dedicated import DedicatedMatomo
from matomo_harness.runtime.full_stack import FullStack

pytestmark = pytest.mark.matomo_log("", reason="it is broken on purpose")

BY_WEB = ("accounts.anonymous_opens_nothing", "exposure.security_headers_are_there")
IN_THE_CONTAINER = ("backup.is_whole",)
ABOUT_CODE = "plugins.have_their_code"
STILL_PASSES = ("accounts.anonymous_is_answered_by_no_method", "plugins.have_their_tables")
LOOP = "<?php header('Location: /index.php?again=1', true, 302);"


def results(matomo: DedicatedMatomo, *names: str) -> list[Result]:
    checks = [check for check in ALL if check.id in names]
    assert len(checks) == len(names), names
    target = targets.of_instance(matomo, read_policy())
    return runner.run(target, checks, preflight=PREFLIGHT)


def causes(found: list[Result]) -> dict[str, str]:
    return {result.check.id: result.cause for result in found}


@pytest.mark.slow(reason="a deployment of its own")
def test_a_healthy_matomo_has_no_cause(dedicated_matomo: DedicatedMatomo) -> None:
    found = results(dedicated_matomo, *BY_WEB, *IN_THE_CONTAINER)
    assert {result.status for result in found} == {Status.PASSED}
    assert set(causes(found).values()) == {""}


def test_a_web_server_that_is_gone(dedicated_matomo: DedicatedMatomo) -> None:
    dedicated_matomo.matomo.get_wrapped_container().stop(timeout=1)
    found = results(dedicated_matomo, *BY_WEB)
    assert set(causes(found).values()) == {"Matomo's web server answers"}


def test_a_redirect_loop(dedicated_matomo: DedicatedMatomo) -> None:
    dedicated_matomo.shell.write("index.php", LOOP)
    found = results(dedicated_matomo, *BY_WEB, *IN_THE_CONTAINER)
    loop = "Matomo's address leads to a page, and not round in a circle of redirects"
    assert causes(found) == dict.fromkeys(BY_WEB, loop) | dict.fromkeys(IN_THE_CONTAINER, "")
    red = next(result for result in found if result.cause)
    assert "a loop: " in red.seen
    assert "again=1" in red.seen


def test_a_page_that_is_no_login(dedicated_matomo: DedicatedMatomo) -> None:
    dedicated_matomo.shell.write("index.php", "<?php http_response_code(500); echo 'broken';")
    found = results(dedicated_matomo, *BY_WEB)
    assert set(causes(found).values()) == {"Matomo shows its login page"}
    assert {result.seen for result in found} == {"HTTP 500: broken"}


@pytest.mark.nightly(reason="the gate is run on servers of its own")
@pytest.mark.slow(reason="each page waits for the database")
@pytest.mark.all_versions(reason="Matomo's own error page")
def test_a_database_that_is_gone(dedicated_matomo: DedicatedMatomo) -> None:
    dedicated_matomo.mariadb.get_wrapped_container().stop(timeout=1)
    found = results(dedicated_matomo, *BY_WEB, *IN_THE_CONTAINER)
    assert causes(found) == {
        **dict.fromkeys(BY_WEB, "Matomo reaches its database"),
        **dict.fromkeys(IN_THE_CONTAINER, ""),
    }
    assert {result.status for result in found if result.cause} == {Status.ERROR}
    assert all("<?php" not in result.expected for result in found)


@pytest.mark.slow(reason="every method of the API is asked")
@pytest.mark.all_versions(reason="Matomo's own words for a plugin that is missing")
def test_a_plugin_that_is_listed_and_missing(dedicated_matomo: DedicatedMatomo) -> None:
    shell = dedicated_matomo.shell
    shell.write(
        shell.config, with_key(shell.read(shell.config), "Plugins", "Plugins[]", "Licensed")
    )
    found = results(dedicated_matomo, ABOUT_CODE, *STILL_PASSES, *BY_WEB)
    red = {result.check.id: result.seen for result in found if result.status is not Status.PASSED}
    assert red == {ABOUT_CODE: "Licensed"}
    assert set(causes(found).values()) == {""}


@pytest.mark.slow(reason="all test traffic, on a deployment of its own")
def test_an_archiver_that_is_not_in_the_image(
    matomo_production: FullStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A shell that does not find the archiver: exit code 127.
    monkeypatch.setattr(archiver, "jobs", lambda *_: [archiver.Job(("sh",))])
    matomo_production.instance.shell.run("rm", "/usr/local/bin/matomo-archive", user="root")
    healthy = targets.of_full_stack(matomo_production, read_policy())
    assert healthy.services
    services = dataclasses.replace(
        healthy.services, archive=lambda: matomo_production.archive("-c", "no-archiver").exit_code
    )
    target = dataclasses.replace(healthy, services=services)
    scan = [check for check in ALL if check.id == "masking.nowhere_in_a_file"]
    (found,) = runner.run(target, scan, preflight=PREFLIGHT)
    assert (found.status, found.cause) == (Status.ERROR, "The archiver's command is in the image")
    assert found.seen == "no such command in the image"


# -- hits that wait in a queue -------------------------------------------------------------------

OF_HITS = ("masking.ipv4_of_a_new_visitor", "tracking.robots_are_not_counted")
WAITING = "masking.queue_keeps_no_whole_address"
WAITS = "Hits that wait in a queue are stored once the queue has run"
NAMED = "$this->setName('queuedhits:process');"
OPTION = f"{NAMED} $this->addRequiredValueOption('force-num-requests-process-at-once');"


def of_deployment(deployment: Deployment, *names: str) -> dict[str, Result]:
    checks = [check for check in ALL if check.id in names]
    assert len(checks) == len(names), names
    found = runner.run(deployment.target, checks, preflight=PREFLIGHT)
    return {result.check.id: result for result in found}


@pytest.mark.slow(reason="test traffic, and a plugin that takes it over")
def test_a_queue_that_nobody_runs_is_one_cause(dedicated_matomo: DedicatedMatomo) -> None:
    deployment = Deployment(read_policy(), alone=dedicated_matomo)
    queue(command=())(deployment)
    found = of_deployment(deployment, *OF_HITS, WAITING)
    assert {found[name].cause for name in OF_HITS} == {WAITS}
    assert {found[name].status for name in OF_HITS} == {Status.ERROR}
    seen = found[OF_HITS[0]].seen
    assert "HTTP 200, and it waits in the table queued_hits; QueuedHits takes every hit" in seen
    assert "no command that runs the queue known" in seen
    assert "[queue] command" in found[OF_HITS[0]].next_command
    assert (found[WAITING].status, found[WAITING].cause) == (Status.FAILED, "")
    assert "in queued_hits" in found[WAITING].seen


@pytest.mark.nightly(reason="three more ways of a queue")
@pytest.mark.slow(reason="a plugin that takes hits over")
def test_a_command_of_the_queue_that_fails_is_reported(dedicated_matomo: DedicatedMatomo) -> None:
    deployment = Deployment(read_policy(), alone=dedicated_matomo)
    queue(command=("php", "console", "queuedhits:nothing"))(deployment)
    (found,) = of_deployment(deployment, WAITING).values()
    assert found.status is Status.ERROR
    assert "queuedhits:nothing" in found.seen


@pytest.mark.nightly(reason="three more ways of a queue")
@pytest.mark.slow(reason="test traffic, and a plugin that takes it over")
def test_the_command_of_queuedtracking_is_known(dedicated_matomo: DedicatedMatomo) -> None:
    deployment = Deployment(read_policy(), alone=dedicated_matomo)
    queue((PROCESS, NAMED, OPTION), command=(), name="QueuedTracking")(deployment)
    found = of_deployment(deployment, *OF_HITS)
    assert {result.status for result in found.values()} == {Status.PASSED}, found


@pytest.mark.nightly(reason="three more ways of a queue")
@pytest.mark.slow(reason="test traffic, and a plugin that takes it over")
def test_a_queue_elsewhere_is_left_to_its_own_schedule(dedicated_matomo: DedicatedMatomo) -> None:
    deployment = Deployment(read_policy(), alone=dedicated_matomo)
    queue()(deployment)
    ours = deployment.target
    permissions = dataclasses.replace(ours.permissions, may_change=False)
    deployment.altered = lambda _: dataclasses.replace(ours, permissions=permissions)
    (found,) = of_deployment(deployment, OF_HITS[0]).values()
    assert (found.status, found.cause) == (Status.ERROR, WAITS)
    rows = deployment.instance.database.query("SELECT SUM(done) AS done FROM {prefix}queued_hits")
    assert rows[0]["done"] == 0
