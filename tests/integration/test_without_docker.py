"""The wheel with its plain dependencies: the gate at a URL works, the rest names the extra."""

import json
import re
import zipfile
from pathlib import Path

import pytest

from matomo_harness import extra
from matomo_harness.errors import ExitCode
from matomo_harness.gate.catalogue import ALL
from matomo_harness.runtime.instance import Instance
from tests import wheel
from tests.programs import Answer

# The gate asks for pages that are not there, and for what is refused.
pytestmark = pytest.mark.matomo_log(r'" 5\d\d ', reason="the gate asks for what is refused")
INSTALL = "pip install 'matomo-harness[docker] @ file:///"
"""How it begins in an environment that has the wheel from a file."""
SLOW = pytest.mark.slow(reason="a virtual environment is made, and pip installs into it")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> wheel.Environment:
    """An environment with the wheel and its plain dependencies, and nothing else."""
    directory = tmp_path_factory.mktemp("bare")
    environment = wheel.environment(directory)
    environment.install(str(wheel.built(directory)))
    return environment


def test_only_the_extra_requires_libraries_of_the_engine(tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel.built(tmp_path)) as archive:
        (name,) = (path for path in archive.namelist() if path.endswith(".dist-info/METADATA"))
        required = re.findall(r"Requires-Dist: ([\w-]+)(.*)", archive.read(name).decode())
    plain = {package for package, condition in required if "extra" not in condition}
    assert {"requests", "pydantic"} <= plain
    assert plain & set(extra.LIBRARIES) == set()


@SLOW
def test_no_library_of_the_engine_is_installed(bare: wheel.Environment) -> None:
    for library in extra.LIBRARIES:
        ended = bare.run("python", "-c", f"import {library}")
        assert f"No module named '{library}'" in ended.stderr
    where = bare.run("python", "-c", "import matomo_harness; print(matomo_harness.__file__)")
    assert where.stdout.startswith(str(bare.directory)), where.stderr


@SLOW
def test_checks_and_the_schema_are_shown_without_the_engine(bare: wheel.Environment) -> None:
    listed = bare.harness("gate", "--list", "--json")
    assert listed.returncode == ExitCode.OK, listed.stderr
    assert [check["id"] for check in json.loads(listed.stdout)] == [check.id for check in ALL]

    explained = bare.harness("explain", "masking.of_a_beacon", "--json")
    assert explained.returncode == ExitCode.OK, explained.stderr
    (check,) = json.loads(explained.stdout)
    assert check["proves"]
    assert check["mutants"] is None
    assert INSTALL in explained.stderr

    schema = bare.harness("policy", "schema")
    assert schema.returncode == ExitCode.OK, schema.stderr
    assert "masking" in json.loads(schema.stdout)["properties"]


@SLOW
def test_the_gate_checks_a_running_instance(
    bare: wheel.Environment, fresh_matomo: Instance
) -> None:
    account = fresh_matomo.account
    ended = bare.harness(
        *("gate", "--url", fresh_matomo.url, "--json"),
        HARNESS_TOKEN=fresh_matomo.token,
        HARNESS_LOGIN=account.login,
        HARNESS_PASSWORD=account.password,
        HARNESS_TOTP_SECRET=account.secret,
    )
    assert ended.returncode == ExitCode.OK, ended.stdout + ended.stderr
    counts = json.loads(ended.stdout)["counts"]
    assert (counts["fail"], counts["error"]) == (0, 0)
    assert counts["pass"] >= 30
    assert fresh_matomo.token not in ended.stdout + ended.stderr


@SLOW
def test_a_command_that_needs_the_engine_names_the_extra(bare: wheel.Environment) -> None:
    for verb in (("gate",), ("up",), ("totp",), ("fault", "cut", "db"), ("mutants",), ("doctor",)):
        ended = bare.harness(*verb)
        answer = Answer(ended.returncode, ended.stdout + ended.stderr)
        answer.refuses(ExitCode.UNSUPPORTED_ENVIRONMENT, f"next: {INSTALL}")


@SLOW
def test_fixtures_and_a_policy_file_name_the_extra(bare: wheel.Environment, tmp_path: Path) -> None:
    bare.install("pytest")
    (tmp_path / "test_own.py").write_text(
        "def test_with_matomo(fresh_matomo): pass\ndef test_without(): pass\n"
    )
    (tmp_path / "policy.toml").write_text("")
    fixture = bare.run("pytest", directory=tmp_path)
    assert "1 passed, 1 error" in fixture.stdout, fixture.stdout + fixture.stderr
    policy = bare.run("pytest", "policy.toml", directory=tmp_path)
    assert "1 error" in policy.stdout, policy.stdout + policy.stderr
    for ended in (fixture, policy):
        assert f"next: {INSTALL}" in ended.stdout
        assert "Traceback" not in ended.stdout
        assert "runtime/__init__.py" not in ended.stdout
