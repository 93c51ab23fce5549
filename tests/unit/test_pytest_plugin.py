"""What the pytest plugin does in a project that is not ours, before any container is there."""

import dataclasses
import threading
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import pymysql
import pytest
from docker.errors import APIError

from matomo_harness import pytest_plugin
from matomo_harness.errors import WrongInputError
from matomo_harness.matomo.image import OFFICIAL
from matomo_harness.runtime import shared
from matomo_harness.runtime.compose_model import UNREACHABLE
from matomo_harness.runtime.containers import WebContainer
from matomo_harness.runtime.dedicated import DedicatedMatomo
from matomo_harness.runtime.evidence import WatchedInstance
from matomo_harness.runtime.reaper import Run
from matomo_harness.runtime.servers import Servers

HOST = "m0123456789.localhost"


def test_an_image_option_that_names_nothing_is_refused(pytester: pytest.Pytester) -> None:
    """As `--matomo-image="$IMG"` is without IMG: our reference image would be tested."""
    result = pytester.runpytest_subprocess("--matomo-image=")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines("*expected --matomo-image to name an image*")


def test_the_header_says_which_image_is_tested(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IMAGE", raising=False)
    pytester.makepyfile("def test_a(): pass")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.stdout.fnmatch_lines("matomo image: our reference image*")


def test_a_policy_is_collected_where_there_is_no_xdist(pytester: pytest.Pytester) -> None:
    pytester.makefile(".toml", policy="[masking]\nbytes = 2\n")
    options = ("-p", "no:xdist", "--strict-markers", "-W", "error", "--collect-only", "-q")
    result = pytester.runpytest_subprocess(*options, "policy.toml")
    assert result.ret == 0
    result.stdout.fnmatch_lines("*masking.ipv4_of_a_new_visitor*")


@pytest.mark.parametrize("named", ["deploy/matomo/test_x.py::test_a", "deploy", "."])
def test_a_deployment_is_found_beside_the_tests_that_are_named(
    pytester: pytest.Pytester, named: str
) -> None:
    pytester.makeini("[pytest]")
    tests = pytester.mkdir("deploy") / "matomo"
    tests.mkdir()
    (tests / "test_x.py").write_text("def test_a(): pass")
    declared = (pytester.path if named == "." else tests.parent) / "deployment.toml"
    declared.write_text("")
    found = pytest_plugin.declared_by(pytester.parseconfig(named))
    assert found
    assert found.samefile(declared)


def test_a_second_attempt_at_a_test_knows_nothing_of_the_first() -> None:
    item = SimpleNamespace(stash=pytest.Stash())
    item.stash[pytest_plugin._FAILED] = True
    item.stash[pytest_plugin._USED] = [cast(Any, "an instance with an error in its log")]
    pytest_plugin.pytest_runtest_setup(cast(Any, item))
    assert pytest_plugin._used(cast(Any, item)) == []
    assert pytest_plugin._FAILED not in item.stash


@pytest.mark.parametrize(
    ("marker", "text", "matches"),
    [
        (pytest.mark.matomo_log("boom", reason="x"), "boom", True),
        (pytest.mark.matomo_log(pattern="boom", reason="x"), "boom", True),
        (pytest.mark.matomo_log("", reason="all of it"), "boom", True),
        (pytest.mark.matomo_log(reason="x"), "boom", False),
    ],
)
def test_a_pattern_of_the_log_is_taken_by_name_too(
    marker: pytest.MarkDecorator, text: str, matches: bool
) -> None:
    assert bool(pytest_plugin._pattern_of(marker.mark).search(text)) == matches


# -- containers -----------------------------------------------------------------------------------


def dedicated(**more: Any) -> DedicatedMatomo:
    """Return an instance in containers of its own, which are mocks."""
    names = {field.name for field in dataclasses.fields(DedicatedMatomo)}
    return DedicatedMatomo(**({name: MagicMock() for name in names} | more))


def test_the_network_of_a_pair_goes_with_it() -> None:
    """An engine has room for some thirty."""
    made = dedicated()
    made.stop()
    cast(Any, made.own_network).remove.assert_called_once_with()


def test_a_pair_has_other_addresses_after_a_restart() -> None:
    made = dedicated(url="http://localhost:1")
    cast(Any, made.matomo).web.url = "http://localhost:2"
    again = made.restarted()
    assert (again.url, again.database) == ("http://localhost:2", made.mariadb.database)
    assert again.token is made.token


def test_what_a_test_sets_wins_over_the_deployments_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("testcontainers.core.container.DockerClient", lambda **_: None)
    declared = (("APP_MODE", "production"), ("OTHER", "1"), ("GONE", "1"))
    profile = dataclasses.replace(OFFICIAL, declared=declared)
    chosen = {"APP_MODE": "debug", "GONE": None}
    network = cast(Any, MagicMock())
    web = WebContainer("m:1", network, {}, run=Run("a"), profile=profile).with_chosen(chosen)
    assert (web.env["APP_MODE"], web.env["OTHER"]) == ("debug", "1")
    assert "GONE" not in web.env


def test_a_matomo_that_reads_no_variable_asks_nobody_outside_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("testcontainers.core.container.DockerClient", lambda **_: None)
    web = WebContainer("m:1", cast(Any, MagicMock()), {}, run=Run("a"), options={"mem_limit": 1})
    assert web._kwargs["extra_hosts"]["api.matomo.org"] == UNREACHABLE
    assert web._kwargs["mem_limit"] == 1


def test_no_mirror_of_a_ci_takes_the_place_of_an_image_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("testcontainers.core.container.DockerClient", lambda **_: None)
    config = "testcontainers.core.config.testcontainers_config.hub_image_name_prefix"
    monkeypatch.setattr(config, "mirror.example/")
    web = WebContainer("ours:1", cast(Any, MagicMock()), {}, run=Run("a"), profile=OFFICIAL)
    assert web.image == "ours:1"


def test_servers_that_do_not_start_leave_nothing_for_the_next_test() -> None:
    network, started, broken = MagicMock(), MagicMock(), MagicMock()
    broken.__enter__.side_effect = APIError("no memory")
    with pytest.raises(APIError):
        shared._enter(network, started, broken)
    started.stop.assert_called_once_with()
    network.remove.assert_called_once_with()


@pytest.mark.parametrize(("code", "kind"), [(1205, WrongInputError), (1, pymysql.Error)])
def test_a_transaction_that_a_test_left_open_is_named(code: int, kind: type[Exception]) -> None:
    connection = MagicMock()
    cursor = connection.cursor.return_value.__enter__.return_value
    cursor.execute.side_effect = pymysql.OperationalError(code, "x")
    servers = SimpleNamespace(
        _one_at_a_time=threading.Lock(),
        _connection=connection,
        database=SimpleNamespace(name="db"),
    )
    with pytest.raises(kind):
        Servers._sql(cast(Any, servers), "DROP DATABASE a")


@pytest.mark.parametrize(
    ("lines", "seen"),
    [
        # Apache, with the arguments of the harness.
        (f"[{HOST}] mark\n[m9876543210.localhost] PHP Warning: a\n[{HOST}] PHP Warning: b", "b"),
        # One with a start of its own.
        ('10.0.0.1 "GET /mark HTTP/1.1" 404 1\nPHP Warning: b', "b"),
        # php-fpm, which is asked for no file.
        ("PHP Warning: b", "b"),
    ],
)
def test_errors_are_found_in_whatever_form_a_log_has(
    monkeypatch: pytest.MonkeyPatch, lines: str, seen: str
) -> None:
    monkeypatch.setattr(
        "matomo_harness.runtime.evidence._log", lambda *_, **_more: lines.splitlines()
    )
    watched = MagicMock(mark="mark", since=0, web=None, server_errors=0)
    watched.instance.url = f"http://{HOST}"
    found = WatchedInstance._lines(watched)
    assert [line[-1] for line in found if "PHP" in line] == [seen]
