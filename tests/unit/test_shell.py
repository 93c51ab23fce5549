"""Why a command in a container failed, in a line."""

import base64
from types import SimpleNamespace
from typing import Any, cast

import pytest
from docker.errors import APIError

from matomo_harness.errors import UnsupportedEnvironmentError, WrongInputError
from matomo_harness.runtime.engine import CommandResult
from matomo_harness.runtime.shell import (
    STARVED,
    MatomoShell,
    log_end,
    wait_for_answer,
    why_it_failed,
)

LAST = ["a", "b", "c", "6 total errors during this script execution"]


def test_the_first_errors_are_named_and_not_their_count_alone() -> None:
    said = why_it_failed(["fine", "ERROR the first", "fine", "Error: the second", *LAST])
    assert said.startswith("ERROR the first | Error: the second | a | b | c | 6 total errors")
    assert why_it_failed([]) == "it printed nothing"


def test_a_process_that_did_not_begin_is_not_called_a_lack_of_memory() -> None:
    # As 5.3.1 printed it at a load of 19 on two processors.
    empty = (
        "ERROR Error unserializing the following response from"
        " ?module=API&method=CoreAdminHome.archiveReports&idSite=1&trigger=archivephp: ''"
    )
    said = why_it_failed(["ERROR increase the value of 'memory_limit'", empty, *LAST])
    assert said.startswith(STARVED)
    assert "R14" in said


def test_a_container_that_keeps_no_log_still_has_an_error_of_its_own() -> None:
    def logs(**_: object) -> bytes:
        raise APIError("configured logging driver does not support reading")

    assert log_end(cast("Any", SimpleNamespace(logs=logs))) == "it keeps no log"


def test_who_refuses_to_the_end_is_quoted_and_not_only_its_log() -> None:
    container = SimpleNamespace(
        name="db", status="running", reload=lambda: None, logs=lambda **_: b"ready for connections"
    )

    def ask() -> None:
        raise WrongInputError(
            expected="to be let in", seen="Access denied for user 'root'", next_command=""
        )

    with pytest.raises(UnsupportedEnvironmentError) as error:
        wait_for_answer(cast("Any", container), "the database", ask, seconds=0.05)
    assert error.value.seen == "Access denied for user 'root'; ready for connections"


def test_what_is_written_is_in_no_list_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    text, commands, parts = "password = of-production\n" * 9000, [], []

    def run(_container: object, command: list[str], *_: object, **more: Any) -> CommandResult:
        commands.append(" ".join(command))
        parts.append(more["environment"]["HARNESS_TEXT"])
        return CommandResult(0, "", "")

    monkeypatch.setattr("matomo_harness.runtime.shell.execute", run)
    MatomoShell(cast("Any", SimpleNamespace(name="web"))).write("config/config.ini.php", text)
    assert len(parts) > 1
    assert base64.b64decode("".join(parts)).decode() == text
    encoded = base64.b64encode(b"password = of-production").decode()[:24]
    assert not [command for command in commands if encoded in command or "production" in command]
