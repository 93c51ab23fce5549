"""The wheel with its plain dependencies: the gate at a URL works, the rest names the extra."""

import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from matomo_harness import extra
from matomo_harness.errors import ExitCode
from matomo_harness.gate.catalogue import ALL
from matomo_harness.runtime.instance import Instance
from matomo_harness.settings import ROOT
from tests import wheel
from tests.checkout import Answer

# The gate asks for pages that are not there, and for what is refused.
pytestmark = pytest.mark.matomo_log(r'" 5\d\d ', reason="the gate asks for what is refused")
SLOW = pytest.mark.slow(reason="a virtual environment is made, and pip installs into it")

OURS = ("PYTHON", "PYTEST", "VIRTUAL_ENV", "HARNESS_", "COV_")
"""Beginnings of variables that would lead a program into this checkout, or into this run."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment that knows nothing of this checkout.

    Args:
        directory: where it is.
        constraints: file with the versions of requirements.lock, without their hashes.
    """

    directory: Path
    constraints: Path

    def install(self, *packages: str) -> None:
        """Have pip install `packages`, from where this machine's pip takes them."""
        pip = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet")
        ended = self.run("python", *pip, "--constraint", str(self.constraints), *packages)
        assert ended.returncode == 0, ended.stderr

    def run(
        self, program: str, *arguments: str, directory: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the environment's programs to its end, in `directory`."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return subprocess.run(
            [str(self.directory / "bin" / program), *arguments],
            cwd=directory or self.directory,
            env={**clean, **variables},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def harness(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run matomo-harness to its end."""
        return self.run("matomo-harness", *arguments, directory=None, **variables)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel and its plain dependencies, and nothing else."""
    directory = tmp_path_factory.mktemp("bare")
    constraints = directory / "constraints.txt"
    locked = (ROOT / "requirements.lock").read_text()
    constraints.write_text("\n".join(re.findall(r"(?m)^([a-z0-9][^\\\n]*)", locked)))
    environment = Environment(directory / "environment", constraints)
    # harness/prepare.sh makes one in the same way.
    subprocess.run([sys.executable, "-m", "venv", str(environment.directory)], check=True)
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
def test_no_library_of_the_engine_is_installed(bare: Environment) -> None:
    for library in extra.LIBRARIES:
        ended = bare.run("python", "-c", f"import {library}")
        assert f"No module named '{library}'" in ended.stderr
    where = bare.run("python", "-c", "import matomo_harness; print(matomo_harness.__file__)")
    assert where.stdout.startswith(str(bare.directory)), where.stderr


@SLOW
def test_checks_and_the_schema_are_shown_without_the_engine(bare: Environment) -> None:
    listed = bare.harness("gate", "--list", "--json")
    assert listed.returncode == ExitCode.OK, listed.stderr
    assert [check["id"] for check in json.loads(listed.stdout)] == [check.id for check in ALL]

    explained = bare.harness("explain", "masking.of_a_beacon", "--json")
    assert explained.returncode == ExitCode.OK, explained.stderr
    (check,) = json.loads(explained.stdout)
    assert check["proves"]
    assert check["mutants"] is None
    assert extra.INSTALL in explained.stderr

    schema = bare.harness("policy", "schema")
    assert schema.returncode == ExitCode.OK, schema.stderr
    assert "masking" in json.loads(schema.stdout)["properties"]


@SLOW
def test_the_gate_checks_a_running_instance(bare: Environment, fresh_matomo: Instance) -> None:
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
def test_a_command_that_needs_the_engine_names_the_extra(bare: Environment) -> None:
    for verb in (("gate",), ("up",), ("totp",), ("fault", "cut", "db"), ("mutants",), ("doctor",)):
        ended = bare.harness(*verb)
        answer = Answer(ended.returncode, ended.stdout + ended.stderr)
        answer.refuses(ExitCode.UNSUPPORTED_ENVIRONMENT, f"next: {extra.INSTALL}")


@SLOW
def test_fixtures_and_a_policy_file_name_the_extra(bare: Environment, tmp_path: Path) -> None:
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
        assert f"next: {extra.INSTALL}" in ended.stdout
        assert "Traceback" not in ended.stdout
        assert "runtime/__init__.py" not in ended.stdout
