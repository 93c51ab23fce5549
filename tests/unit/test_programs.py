"""What the tests run in place of `python -m matomo_harness` ends as that does."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from matomo_harness.settings import ROOT
from tests import programs


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        (["version"], {}),
        (["--help"], {}),
        (["no-such-command"], {}),
        (["explain", "no.such.check"], {}),
        (["explain", "no.such.check"], {"HARNESS_DEBUG": "1"}),
        (["policy", "migrate", "none.toml"], {}),
    ],
)
def test_it_ends_as_the_command_does(
    arguments: list[str], changes: dict[str, str], tmp_path: Path
) -> None:
    environment = {**os.environ, **changes}
    command = [sys.executable, "-m", "matomo_harness", *arguments]
    expected = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    seen = programs.run(arguments, tmp_path, environment, seconds=60)
    assert (seen.code, seen.text) == (expected.returncode, expected.stdout + expected.stderr)


def test_several_run_at_once() -> None:
    with ThreadPoolExecutor(4) as threads:
        answers = threads.map(
            lambda _: programs.run(["version"], ROOT, os.environ, seconds=60), range(8)
        )
        assert {answer.code for answer in answers} == {0}


def test_one_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    """It reads a pipe into which nobody writes."""
    os.mkfifo(tmp_path / "policy.toml")
    arguments = ["policy", "migrate", "policy.toml"]
    with pytest.raises(subprocess.TimeoutExpired):
        programs.run(arguments, tmp_path, os.environ, seconds=0.5)
    with pytest.raises(OSError, match="No such device"):  # nobody reads it any more
        os.open(tmp_path / "policy.toml", os.O_WRONLY | os.O_NONBLOCK)


def test_code_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    package = tmp_path / "matomo_harness"
    package.mkdir()
    (package / "__init__.py").write_text("raise LookupError('not here')")
    with pytest.raises(AssertionError, match="not here"):
        programs.run(["version"], ROOT, {**os.environ, "PYTHONPATH": str(tmp_path)}, seconds=60)
    programs.end(str(tmp_path))
    assert not [each for each in programs._running if ("PYTHONPATH", str(tmp_path)) in each]
