"""`make up` serves the full stack to a person."""

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from docker.models.containers import Container
from filelock import FileLock
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from matomo_harness.errors import ExitCode
from matomo_harness.matomo.mail import Mailbox
from matomo_harness.matomo.web import Web
from matomo_harness.operate import compose, local, schedule
from matomo_harness.operate.compose import SERVICE_LABEL
from matomo_harness.operate.stack import Stack
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.reaper import PARENT_LABEL, this_process
from matomo_harness.settings import OWNER_LABEL, project_name
from tests.checkout import Checkout, copied

ARCHIVE_SECONDS = "15"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A local stack that is up, with an archiver every quarter of a minute."""
    with copied(tmp_path_factory.mktemp("local")) as copy:
        answer = copy.harness("up", ARCHIVE_SECONDS=ARCHIVE_SECONDS)
        assert answer.code == 0, answer.text
        yield copy
        assert copy.harness("down").code == 0


def report(stack: Checkout) -> dict[str, Any]:
    """Return what `up` reports; it changes nothing in a stack that is up."""
    output = stack.harness("up", "--json", ARCHIVE_SECONDS=ARCHIVE_SECONDS).text
    found: dict[str, Any] = json.loads(output[output.index("{") : output.rindex("}") + 1])
    return found


def runs(stack: Checkout) -> list[dict[str, Any]]:
    output = stack.harness("archive", "--list", "--json").text
    found: list[dict[str, Any]] = json.loads(output)
    return found


def test_a_person_reaches_the_login_by_https_and_by_http(stack: Checkout) -> None:
    page = stack.web.get()
    assert "form_login" in page.text
    assert len(page.history) <= 2
    answer = requests.get(
        f"http://localhost:{stack.settings.http_port}/x?y=1", allow_redirects=False, timeout=10
    )
    assert answer.status_code == requests.codes.moved_permanently
    assert answer.headers["Location"] == f"{stack.web.url}/x?y=1"


@pytest.mark.slow(reason="make up, twice")
def test_a_second_up_changes_nothing(stack: Checkout) -> None:
    before = ids(stack)
    assert report(stack)["installed_now"] is False
    assert ids(stack) == before


@pytest.mark.slow(reason="make up")
@pytest.mark.nightly(reason="make up once more")
def test_up_waits_for_the_port_of_its_own_container_that_has_stopped(
    stack: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [f"{OWNER_LABEL}={project_name(stack.root)}", f"{SERVICE_LABEL}=load-balancer"]
    (balancer,) = engine().containers.list(filters={"label": own})
    balancer.stop(timeout=5)
    bind = compose.bind_for_a_moment
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        freed = Retrying(stop=stop_after_delay(10), wait=wait_fixed(0.1))
        freed(held.bind, (compose.LOOPBACK, stack.settings.port))
        held.listen()

        def bind_and_let_go(port: int) -> None:
            try:
                bind(port)
            finally:
                held.close()

        monkeypatch.setattr(compose, "bind_for_a_moment", bind_and_let_go)
        local._require_free_port("MATOMO_PORT", stack.settings.port, Stack(stack.root))
    assert stack.harness("up", ARCHIVE_SECONDS=ARCHIVE_SECONDS).code == 0
    assert "form_login" in stack.web.get().text


def ids(stack: Checkout) -> set[str]:
    """Return the containers that run, without those that end by themselves."""
    label = f"{OWNER_LABEL}={project_name(stack.root)}"
    containers = engine().containers.list(filters={"label": label})
    return {str(container.id) for container in containers if "archiver" not in str(container.name)}


def test_all_ports_are_on_loopback_only(stack: Checkout) -> None:
    bound = [
        binding["HostIp"]
        for identity in ids(stack)
        for bindings in engine().containers.get(identity).ports.values()
        for binding in bindings or []
    ]
    assert len(bound) >= 4
    assert set(bound) == {"127.0.0.1"}


def test_matomo_speaks_tls_with_the_database(stack: Checkout) -> None:
    output = stack.harness("console", "environmentvariables:check").text
    assert re.search("The database is spoken to by TLS, TLS_[A-Z0-9_]+", output), output


@pytest.mark.slow(reason="two commands")
def test_a_mail_of_matomo_is_on_the_page_that_up_names(stack: Checkout) -> None:
    sent = stack.harness("console", "core:test-email", "somebody@discovery.example")
    assert sent.code == 0, sent.text
    mailbox = Mailbox(report(stack)["mail"].rstrip("/"))
    assert mailbox.wait_for("somebody@discovery.example", "")


@pytest.mark.slow(reason="waits for the schedule")
def test_the_archiver_runs_by_schedule_and_its_exit_code_is_listed(stack: Checkout) -> None:
    before = {run["container"] for run in runs(stack)}
    # On a busy machine each takes as long as it takes, and others begin beside it.
    attempts = Retrying(wait=wait_fixed(0.5), retry=retry_if_result(lambda ended: not ended))
    ended = attempts(
        lambda: [
            run
            for run in runs(stack)
            if run["container"] not in before and run["exit_code"] is not None
        ]
    )
    assert ended[-1]["exit_code"] == 0
    container = engine().containers.get(ended[-1]["container"])
    assert "Done archiving!" in container.logs().decode()
    # Else it would hold the stack's volumes when the run that the stack is of is killed.
    assert container.labels[PARENT_LABEL] == this_process().as_parent


def test_the_archiver_runs_at_once_on_demand(stack: Checkout) -> None:
    answer = stack.harness("archive")
    assert answer.code == 0, answer.text
    # The alarm of the worked example on AWS goes by it (docs/howto/first-set-up/matomo.yaml).
    assert "ms, no error" in answer.text


@contextmanager
def during(stack: Checkout, *fault: str) -> Iterator[None]:
    """Start a fault, and end it by Ctrl-C."""
    command = stack.command("fault", *fault)
    with subprocess.Popen(
        command, cwd=stack.root, env=stack.environment(), stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        assert "until Ctrl-C" in program.stdout.readline()
        yield
        program.send_signal(signal.SIGINT)
        assert "healed" in program.stdout.read()
    assert program.returncode == 0


def test_an_archiver_that_fails_is_a_broken_promise(stack: Checkout) -> None:
    with during(stack, "cut", "db"):
        answer = stack.harness("archive")
    answer.refuses(ExitCode.BROKEN_PROMISE, "the archiver to end with exit code 0")


@pytest.mark.slow(reason="a task is killed and comes back")
def test_a_fault_lasts_until_ctrl_c(stack: Checkout) -> None:
    with during(stack, "kill", "matomo"):
        assert stack.web.ask("matomo.js").status_code == requests.codes.bad_gateway
    wait_for(stack.web)


def wait_for(web: Web) -> None:
    attempts = Retrying(
        stop=stop_after_delay(60),
        wait=wait_fixed(0.1),
        retry=retry_if_result(lambda status: status != requests.codes.ok),
    )
    attempts(lambda: web.ask("matomo.js").status_code)


def test_a_fault_that_could_fill_this_machine_is_refused(stack: Checkout) -> None:
    answer = stack.harness("fault", "full-disk", "db", "--path", "/var/lib/mysql")
    answer.refuses(ExitCode.WRONG_INPUT, "could fill this machine")


def test_an_unknown_fault_is_refused(stack: Checkout) -> None:
    assert stack.harness("fault", "earthquake", "db").code == ExitCode.WRONG_INPUT


@pytest.mark.slow(reason="four commands")
@pytest.mark.nightly(reason="four commands on a stack")
def test_a_half_installed_plugin_is_installed_again(stack: Checkout) -> None:
    stack.database.query("DROP TABLE {prefix}custom_dimensions")
    answer = stack.harness("repair-plugin", "CustomDimensions")
    assert answer.code == 0, answer.text
    assert "Made: custom_dimensions." in answer.text
    assert "custom_dimensions" in stack.database.tables()
    again = stack.harness("repair-plugin", "CustomDimensions")
    assert "Nothing of CustomDimensions is lacking." in again.text
    listed = stack.harness("console", "plugin:list")
    assert "CustomDimensions" in listed.text
    answer = stack.harness("repair-plugin", "TagMangler")
    answer.refuses(ExitCode.WRONG_INPUT, "an active plugin", "TagMangler")


@pytest.mark.parametrize("command", ["down", "clean"])
def test_an_archiver_that_starts_late_is_removed_with_the_stack(
    tmp_path: Path, any_image: Image, command: str
) -> None:
    with copied(tmp_path) as copy:
        labels = {OWNER_LABEL: project_name(copy.root)}

        def created() -> Container:
            return engine().containers.create(any_image.reference, labels=labels)

        early, lock = created(), schedule.lock_file(copy.root)
        lock.parent.mkdir()
        with ThreadPoolExecutor(1) as aside:
            with FileLock(lock):  # as the schedule does when its time has come
                ended = aside.submit(copy.harness, command)
                wait_until_gone(early)
                late = created()
            assert ended.result().code == 0
        wait_until_gone(late)


def wait_until_gone(container: Container) -> None:
    def is_left() -> bool:
        return bool(
            engine().containers.list(
                all=True, filters={"id": str(container.id)}, ignore_removed=True
            )
        )

    Retrying(stop=stop_after_delay(20), wait=wait_fixed(0.1), retry=retry_if_result(bool))(is_left)
