"""Without the extra `docker`: what needs no engine works, and the rest names the extra."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from matomo_harness import extra
from matomo_harness.errors import ExitCode, UnsupportedEnvironmentError
from matomo_harness.gate.catalogue import ALL
from matomo_harness.settings import ROOT
from tests.programs import Answer

BLOCKED = f"import sys; sys.modules.update(dict.fromkeys({extra.LIBRARIES}))\n"
"""Makes Python treat these modules as missing, whoever imports them."""
COMMAND = "from matomo_harness.cli import main; main()"
PYTEST = "import pytest; sys.exit(pytest.main())"
NEED_AN_ENGINE = (
    *(("up",), ("down",), ("clean",), ("console",), ("archive",), ("logs",), ("token",), ("totp",)),
    *(("fault", "cut", "db"), ("gate",), ("mutants",)),
    *(("prepare",), ("images",), ("dist", "matomo:latest"), ("bench",), ("doctor",)),
    *(("inspect", "matomo:latest"), ("init", "matomo:latest"), ("publish", "dev")),
)


def python(code: str, *arguments: str, directory: Path = ROOT) -> subprocess.CompletedProcess[str]:
    # Should a module not be blocked, these verbs must still reach no engine.
    nowhere = {**os.environ, "DOCKER_HOST": "unix:///nowhere"}
    command = [sys.executable, "-c", BLOCKED + code, *arguments]
    return subprocess.run(
        command, cwd=directory, env=nowhere, capture_output=True, text=True, check=False
    )


def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    return python(COMMAND, *arguments)


def test_the_gate_against_a_url_imports_no_docker() -> None:
    ended = python(
        "import matomo_harness.cli\n"
        "from matomo_harness.gate import catalogue, remote, report\n"
        "from matomo_harness.operate import explain, fault, gate\n"
        "import matomo_harness.pytest_plugin.gate\n"
        "print([name for name in sys.modules if name.startswith('matomo_harness.runtime')])"
    )
    assert ended.stdout.strip() == "[]", ended.stderr


def test_a_command_that_needs_no_engine_loads_nothing_of_it() -> None:
    code = (
        "import sys, matomo_harness.cli, matomo_harness.operate.gate\n"
        f"print(sorted(set({extra.LIBRARIES}) & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.stdout.strip() == "[]", ended.stderr


def test_the_checks_are_listed() -> None:
    ended = harness("gate", "--list", "--json")
    assert ended.returncode == ExitCode.OK, ended.stderr
    assert [check["id"] for check in json.loads(ended.stdout)] == [check.id for check in ALL]


def test_an_explanation_says_that_its_mutants_need_the_extra() -> None:
    ended = harness("explain", "masking.of_a_beacon", "--json")
    assert ended.returncode == ExitCode.OK, ended.stderr
    (explained,) = json.loads(ended.stdout)
    assert explained["id"] == "masking.of_a_beacon"
    assert explained["mutants"] is None
    assert f"known with the extra alone: {extra.install_command()}" in ended.stderr


def test_the_schema_of_a_policy_is_printed() -> None:
    ended = harness("policy", "schema")
    assert ended.returncode == ExitCode.OK, ended.stderr
    assert "masking" in json.loads(ended.stdout)["properties"]


def test_a_wrong_url_is_reported_without_the_extra() -> None:
    ended = harness("gate", "--url", "nonsense")
    Answer(ended.returncode, ended.stderr).refuses(ExitCode.WRONG_INPUT, "begins with http")
    assert "docker" not in ended.stderr


def test_a_wrong_page_is_reported_without_the_extra() -> None:
    ended = harness("site", "nonsense")
    Answer(ended.returncode, ended.stderr).refuses(ExitCode.WRONG_INPUT, "https://www.example.org/")
    assert "docker" not in ended.stderr


def test_every_verb_that_needs_the_engine_names_the_extra() -> None:
    """One process runs all of them, as each process would wait for the imports again."""
    ended = python(
        "from matomo_harness.cli import main\n"
        f"for verb in {NEED_AN_ENGINE}:\n"
        "    sys.argv = ['matomo-harness', *verb]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as end:\n"
        "        print(verb[0], int(end.code))\n"
    )
    expected = [f"{verb[0]} {ExitCode.UNSUPPORTED_ENVIRONMENT:d}" for verb in NEED_AN_ENGINE]
    assert ended.stdout.splitlines() == expected, ended.stderr
    assert ended.stderr.count(f"next: {extra.install_command()}") == len(NEED_AN_ENGINE)
    assert "Traceback" not in ended.stderr


def test_one_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(UnsupportedEnvironmentError, match="seen: no trustme\n"):
        extra.require_engine_libraries()


def test_a_folder_with_the_name_of_a_library_is_no_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "folder_of_a_project").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(extra, "LIBRARIES", ("folder_of_a_project",))
    assert not extra.is_installed()


def test_the_extra_has_the_libraries_and_the_lock_has_every_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    names = {requirement.partition(">")[0] for requirement in extras["docker"]}
    assert names == set(extra.LIBRARIES)
    locked = "\n" + (ROOT / "requirements.lock").read_text()
    wanted = {Requirement(each).name for extra_of in extras.values() for each in extra_of}
    assert {name for name in wanted if f"\n{name}==" not in locked} == set()


# -- pytest ---------------------------------------------------------------------------------------


def test_a_fixture_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text("def test_it(fresh_matomo, dedicated_matomo): pass")
    ended = python(PYTEST, "-p", "no:cacheprovider", directory=tmp_path)
    assert "1 error" in ended.stdout, ended.stdout + ended.stderr
    assert f"next: {extra.install_command()}" in ended.stdout
    assert "Traceback" not in ended.stdout
    assert "runtime/__init__.py" not in ended.stdout


def test_other_tests_of_the_project_run_with_workers_too(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text("def test_it(): pass")
    ended = python(PYTEST, "-p", "no:cacheprovider", "-n", "1", directory=tmp_path)
    assert "1 passed" in ended.stdout, ended.stdout + ended.stderr


def test_a_policy_names_the_extra_once(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("")
    ended = python(PYTEST, "-p", "no:cacheprovider", "policy.toml", directory=tmp_path)
    assert ended.returncode == pytest.ExitCode.INTERRUPTED, ended.stdout
    assert "1 error" in ended.stdout
    assert f"next: {extra.install_command()}" in ended.stdout
    assert "Traceback" not in ended.stdout
