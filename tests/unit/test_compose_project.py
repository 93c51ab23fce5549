"""In which order a copy of a project is started, and what is said where it does not run."""

import json
import socket
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError

from matomo_harness.errors import UnsupportedEnvironmentError, WrongInputError
from matomo_harness.runtime import compose_project, fpm
from matomo_harness.runtime.compose_model import ProjectCopy, Roles
from matomo_harness.runtime.compose_project import ComposeCopy, of_environment
from matomo_harness.runtime.containers import WebContainer


@pytest.mark.parametrize("web", ["matomo", "nginx"])
def test_the_database_answers_before_matomo_starts_and_matomo_before_its_web_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, web: str
) -> None:
    copy = object.__new__(ComposeCopy)
    copy.roles = Roles("matomo", "db", web, 80)
    services: dict[str, Any] = {
        name: {"depends_on": {"once": {"condition": "service_completed_successfully"}}}
        for name in ("db", "matomo", "nginx")
    }
    copy.copy = ProjectCopy({"services": {**services, "once": {}}}, {}, {})
    copy._description = tmp_path / "compose.json"
    steps: list[tuple[str, ...]] = []

    def up(*arguments: str) -> None:
        steps.append(arguments)
        if len(steps) > 2:
            described = json.loads(copy._description.read_text())["services"]
            assert described["matomo"]["depends_on"] == {}, "what ran once does not run again"

    def wait(_container: object, what: str, _ask: object, seconds: float) -> None:
        assert seconds >= 600, "its first scripts may hold a dump"
        steps.append(("answers", what))

    monkeypatch.setattr(copy, "_up", up)
    monkeypatch.setattr(copy, "container", lambda name: name)
    monkeypatch.setattr(copy, "_has_ended", lambda name: name == "once")
    monkeypatch.setattr(compose_project, "wait_for_answer", wait)
    copy._start_in_turn()
    first = [("db",), ("answers", "the database"), ("--no-recreate", "matomo")]
    assert steps == [*first, *([("--no-recreate", "nginx")] if web == "nginx" else [])]


def test_a_compose_file_that_is_not_there_is_looked_for_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Make runs in the harness's checkout; the advice was the command that had just failed."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WrongInputError) as refused:
        compose_project.resolved([Path("docker-compose.yml")])
    assert str(tmp_path / "docker-compose.yml") in refused.value.seen
    assert "whole path" in refused.value.next_command


@pytest.mark.parametrize("greeting", [b"J", b""])
def test_a_database_answers_once_it_greets(greeting: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        copy = object.__new__(ComposeCopy)
        copy.roles = Roles("matomo", "db", "matomo", 80)
        copy.port = lambda *_: server.getsockname()[1]  # type: ignore[method-assign]

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.sendall(greeting)

        threading.Thread(target=answer, daemon=True).start()
        if greeting:
            copy._ask_database()
        else:
            with pytest.raises(ConnectionResetError):
                copy._ask_database()


def test_a_secret_of_a_container_that_has_ended_is_refused_with_the_end_of_its_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ended(*_: object) -> None:
        raise APIError("409 Client Error: container is not running")

    monkeypatch.setattr(compose_project, "execute", ended)
    container: Any = SimpleNamespace(
        name="the-copy-db-1",
        attrs={"Config": {"Env": ["MARIADB_PASSWORD_FILE=/run/secrets/database"]}},
        logs=lambda **_: b"no space left",
    )
    with pytest.raises(UnsupportedEnvironmentError, match="no space left"):
        of_environment(container, ["MARIADB_PASSWORD"])


def test_php_fpm_is_reached_by_the_port_on_which_it_listens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[dict[str, Any]] = []

    def begin(self: Any, *_: object, **options: Any) -> None:
        self.port, self.alias = options["profile"].port, options["alias"]
        self.tmpfs = {options["profile"].web_root: ""}

    monkeypatch.setattr(WebContainer, "__init__", begin)
    monkeypatch.setattr(fpm, "Nginx", lambda *_, **options: made.append(options))
    network: Any = None
    fpm.FpmContainer("matomo", network, {}, profile=replace(fpm.FPM, port=9074))
    assert made[0]["target"] == "matomo-fpm:9074"
