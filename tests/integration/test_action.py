"""The composite action: its steps are run as GitHub runs them, in another repository."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from matomo_harness import policy
from matomo_harness.errors import ExitCode
from matomo_harness.runtime.images import Image
from matomo_harness.settings import ROOT
from tests.wheel import OURS

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
EXPRESSION = re.compile(r"\$\{\{ ([\w.-]+) \}\}")


def step(name: str) -> dict[str, Any]:
    (found,) = [each for each in ACTION["runs"]["steps"] if each.get("id") == name]
    return dict(found)


def run(
    name: str, contexts: Mapping[str, str], directory: Path, temporary: Path
) -> subprocess.CompletedProcess[str]:
    """Run a step of the action, with the contexts that its expressions name."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    own = {
        variable: EXPRESSION.sub(lambda found: contexts[found[1]], value)
        for variable, value in step(name)["env"].items()
    }
    of_github = {
        "GITHUB_ACTION_PATH": str(ROOT),
        "GITHUB_OUTPUT": str(temporary / "output"),
        "GITHUB_STEP_SUMMARY": str(temporary / "summary.md"),
        "RUNNER_TEMP": str(temporary),
    }
    # GitHub's `shell: bash`.
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step(name)["run"]]
    return subprocess.run(
        command,
        cwd=directory,
        env={**clean, **of_github, **own},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )


def test_the_workflow_of_the_documentation_gives_the_action_what_it_takes() -> None:
    page = (ROOT / "docs/gate.md").read_text()
    (text,) = re.findall(r"```yaml\n(- uses: \S+/matomo-harness@.*?)```", page, re.DOTALL)
    (taken,) = yaml.safe_load(text)
    assert len(text.splitlines()) == 5
    assert set(taken["with"]) <= set(ACTION["inputs"])
    needed = {name for name, said in ACTION["inputs"].items() if said.get("required")}
    assert needed <= set(taken["with"])


@pytest.mark.nightly(reason="an environment of its own, and two gates")
@pytest.mark.timeout(1500)
@pytest.mark.slow(reason="a virtual environment is made, and pip installs into it")
def test_another_repository_runs_the_gate_on_its_image(any_image: Image, tmp_path: Path) -> None:
    repository, temporary = tmp_path / "repository", tmp_path / "temporary"
    repository.mkdir()
    temporary.mkdir()
    promised = policy.POLICY_FILE.read_text()
    (repository / "promises.toml").write_text(promised)
    defaults = {f"inputs.{name}": said.get("default") for name, said in ACTION["inputs"].items()}
    contexts = {
        **defaults,
        "inputs.image": any_image.reference,
        "inputs.policy": "promises.toml",
        "inputs.only": "exposure.security_headers_are_there exposure.trace*",
        "inputs.mariadb": os.environ.get("MARIADB_BASE", "auto"),
        "steps.python.outputs.python-path": sys.executable,
    }
    green = run("gate", contexts, repository, temporary)
    assert green.returncode == ExitCode.OK, green.stdout + green.stderr
    output = (temporary / "output").read_text()
    assert output == f"report={repository}/reports/gate\n"
    assert (repository / "reports/gate/index.html").is_file()
    assert "| exposure | " in (temporary / "summary.md").read_text()

    more = promised.replace("security_headers = [", 'security_headers = ["X-Own", ')
    (repository / "promises.toml").write_text(more)
    red = run("gate", contexts, repository, temporary)
    assert red.returncode == ExitCode.BROKEN_PROMISE, red.stdout + red.stderr
    assert "X-Own" in (temporary / "summary.md").read_text()
