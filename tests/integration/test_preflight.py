"""What makes many checks fail at once is one cause, by name; no promise is called broken by it."""

import dataclasses

import pytest

from matomo_harness.gate.catalogue import ALL, read_policy
from matomo_harness.gate.core import runner
from matomo_harness.gate.core.check import Status
from matomo_harness.gate.core.runner import Result
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
