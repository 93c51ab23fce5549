"""The command line itself: an error is one line, and a traceback is shown on request."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from docker.errors import APIError

from matomo_harness import cli
from matomo_harness.errors import ExitCode

MISTAKE = ("gate", "--only", "no-such-check", "--list")


def harness(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "HARNESS_DEBUG"}
    command = [sys.executable, "-m", "matomo_harness", *arguments]
    return subprocess.run(
        command, env={**environment, **variables}, capture_output=True, text=True, check=False
    )


def test_an_error_begins_with_the_program_and_has_no_traceback() -> None:
    ended = harness(*MISTAKE)
    assert ended.returncode == ExitCode.WRONG_INPUT
    assert ended.stderr.startswith("matomo-harness: expected ")
    assert "Traceback" not in harness(*MISTAKE, HARNESS_DEBUG="0").stderr


def test_the_option_and_the_variable_show_a_traceback_and_change_no_exit_code() -> None:
    for ended in (harness("--debug", *MISTAKE), harness(*MISTAKE, HARNESS_DEBUG="1")):
        assert ended.returncode == ExitCode.WRONG_INPUT
        assert ended.stderr.startswith("Traceback ")
        assert "\nmatomo-harness: expected " in ended.stderr


def test_the_help_lists_every_verb() -> None:
    ended = harness("--help")
    assert ended.returncode == ExitCode.OK
    for verb in ("up", "gate", "policy", "images", "version"):
        assert f" {verb} " in ended.stdout


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (KeyboardInterrupt(), "the same command completes it."),
        (KeyboardInterrupt("make archive"), "Next: make archive."),
    ],
)
def test_after_ctrl_c_a_command_may_say_what_is_next(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: KeyboardInterrupt,
    says: str,
) -> None:
    def interrupted() -> Callable[[], None]:
        raise error

    monkeypatch.setattr("matomo_harness.operate.traffic.make", lambda *_: interrupted())
    monkeypatch.setattr(sys, "argv", ["matomo-harness", "traffic"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert says in capsys.readouterr().err


def test_what_the_engine_refuses_is_said_in_three_parts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused() -> None:
        raise APIError("409 Client Error", explanation="container x is not running")

    monkeypatch.setattr(cli, "_run", refused)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == ExitCode.UNSUPPORTED_ENVIRONMENT
    said = capsys.readouterr().err
    assert "container x is not running" in said
    assert "HARNESS_DEBUG=1" in said


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(cli, "_run", broken)
    with pytest.raises(LookupError):
        cli.main()


@pytest.mark.parametrize(
    ("arguments", "follows"),
    [
        (("matomo:5",), "matomo-harness init matomo:5"),
        (("theirs.yml", "--service", "app"), "matomo-harness init theirs.yml --service app"),
        (
            ("matomo:5", "--directory", "of/theirs"),
            "matomo-harness init matomo:5 --directory of/theirs",
        ),
    ],
)
def test_what_follows_an_inspection_looks_at_the_same(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    follows: str,
) -> None:
    monkeypatch.setattr("matomo_harness.operate.prepare.prepare", lambda: None)
    found: dict[str, list[str] | None] = {"image_of": None, "profile_of": None}
    found |= {"described": [], "beyond_the_image": []}
    for name, said in found.items():
        monkeypatch.setattr(f"matomo_harness.operate.inspect.{name}", lambda *_, said=said: said)
    cli.app(["inspect", *arguments], standalone_mode=False)
    assert capsys.readouterr().out.splitlines()[-1] == f"Next: {follows}"
