"""Our workflows: each step is a command that runs anywhere, and whatever it names is there.

`make lint` has zizmor and the schemas look at them as well; this is what they do not know.
"""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from matomo_harness.operate.init import workflow_text
from matomo_harness.settings import ROOT

WORKFLOWS: Final = sorted((ROOT / ".github/workflows").glob("*.yml"))
TARGETS: Final = set(re.findall(r"(?m)^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text()))
COMMAND: Final = re.compile(
    r'make (?P<target>[a-z0-9-]+)(?: [A-Z_]+=(?:"[^"]*"|\S+))*(?: >> "\$GITHUB_\w+")?'
    r"|\.ci/run|\.ci/passport-key|\.ci/images (?:save|load) [\w.-]+"
)
"""A step: one target of make, or a program of ours."""
PIN: Final = re.compile(r"uses: (?P<action>[\w./-]+)@(?P<commit>\S+)  # (?P<version>v[\d.]+)$")
EXPRESSION: Final = re.compile(r"\$\{\{(.+?)\}\}", re.DOTALL)
WRITES: Final = {
    "comment": {"pull-requests": "write"},
    "deliver": {"id-token": "write"},
    "publish": {"id-token": "write"},
    "deploy": {"id-token": "write", "pages": "write"},
}
"""Jobs that may do more than read, by name, and what."""

every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def complaints(workflow: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong in a workflow."""
    if workflow.get("permissions") not in ({}, {"contents": "read"}):
        yield "permissions: the workflow as a whole may do more than read"
    for name, job in workflow["jobs"].items():
        writes = {
            key: value for key, value in job.get("permissions", {}).items() if value == "write"
        }
        if writes != WRITES.get(name, {}):
            yield f"{name}: may write {writes}"
        if "timeout-minutes" not in job:
            yield f"{name}: no timeout"
        for step in job["steps"]:
            if "run" in step:
                yield from _of_a_command(name, step["run"].strip())
        yield from _of_references(name, job, workflow)


def _of_a_command(job: str, command: str) -> Iterator[str]:
    found = COMMAND.fullmatch(command)
    if not found:
        yield f"{job}: no single target of make: {command}"
    elif found["target"] and found["target"] not in TARGETS:
        yield f"{job}: no such target: {found['target']}"
    if EXPRESSION.search(command):
        yield f"{job}: an expression in a command: {command}"


def _of_references(name: str, job: dict[str, Any], workflow: dict[str, Any]) -> Iterator[str]:
    """Yield the names in a job's expressions that nothing has."""
    needs = job.get("needs", [])
    needs = [needs] if isinstance(needs, str) else needs
    yield from (f"{name}: needs no job: {need}" for need in needs if need not in workflow["jobs"])
    matrix = job.get("strategy", {}).get("matrix", {})
    keys = set(matrix) | {key for each in matrix.get("include", []) for key in each}
    ids = {step["id"] for step in job["steps"] if "id" in step}
    for text in EXPRESSION.findall(yaml.safe_dump(job, width=10_000)):
        for key in re.findall(r"\bmatrix\.([\w-]+)", text):
            if key not in keys:
                yield f"{name}: no matrix.{key}"
        for step in re.findall(r"\bsteps\.([\w-]+)", text):
            if step not in ids:
                yield f"{name}: no step {step}"
        for need, output in re.findall(r"\bneeds\.([\w-]+)\.outputs\.([\w-]+)", text):
            if need not in needs:
                yield f"{name}: {need} is not in needs"
            elif output not in workflow["jobs"][need].get("outputs", {}):
                yield f"{name}: {need} has no output {output}"


@every_workflow
def test_a_workflow_runs_what_runs_here_and_may_do_no_more_than_it_needs(path: Path) -> None:
    assert list(complaints(read(path))) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"run": "make nonsense"}, "no such target: nonsense"),
        ({"run": "make lint && make gate"}, "no single target"),
        ({"run": 'make gate IMAGE="${{ github.head_ref }}"'}, "an expression in a command"),
        ({"with": {"name": "${{ matrix.base }}"}}, r"no matrix\.base"),
        ({"env": {"A": "${{ steps.a.outputs.b }}"}}, "no step a"),
        ({"env": {"A": "${{ needs.images.outputs.versions }}"}}, "images is not in needs"),
    ],
)
def test_what_is_wrong_in_a_workflow_is_named(change: dict[str, Any], complaint: str) -> None:
    job = {"timeout-minutes": 1, "steps": [change]}
    workflow = {"permissions": {"contents": "read"}, "jobs": {"lint": job}}
    (said,) = complaints(workflow)
    assert re.search(complaint, said)


def test_one_action_has_one_pin_in_every_file() -> None:
    texts = {path.name: path.read_text() for path in [*WORKFLOWS, ROOT / "action.yml"]}
    texts["drafted"] = workflow_text("matomo:1")
    pins: dict[str, set[str]] = {}
    for name, text in texts.items():
        for line in re.findall(r"(?m)^.*\buses: .*$", text):
            found = PIN.search(line)
            assert found, f"{name}: {line}"
            assert re.fullmatch(r"[0-9a-f]{40}", found["commit"]), f"{name}: {line}"
            pins.setdefault(found["action"], set()).add(f"{found['commit']} {found['version']}")
    assert {action: found for action, found in pins.items() if len(found) > 1} == {}


def test_a_drafted_workflow_passes_the_linters(tmp_path: Path) -> None:
    file = tmp_path / ".github/workflows/gate.yml"
    file.parent.mkdir(parents=True)
    file.write_text(workflow_text("registry.example/matomo:1"))
    beside = Path(sys.executable).parent
    schema = ("check-jsonschema", "--builtin-schema", "vendor.github-workflows")
    for command in (schema, ("zizmor", "--offline", "--no-progress")):
        ended = subprocess.run(
            [str(beside / command[0]), *command[1:], str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_action_runs_the_gate_where_no_browser_can_be_had(tmp_path: Path) -> None:
    """As docs/gate.md says; it ended before the gate began."""
    python = tmp_path / "python"
    harness = '#!/bin/sh\necho "$1" >>called\n[ "$1" = gate ]\n'
    python.write_text(
        '#!/bin/sh\nmkdir -p "$3/bin"\nln -s /bin/true "$3/bin/python"\n'
        f"printf '%s' '{harness}' >\"$3/bin/matomo-harness\"\n"
        'chmod +x "$3/bin/matomo-harness"\n'
    )
    python.chmod(0o755)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHON": str(python),
        "RUNNER_TEMP": str(tmp_path / "temporary"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "IMAGE_UNDER_TEST": "matomo:1",
        "POLICY": "policy.toml",
    }
    command = [str(ROOT / ".ci/gate-action")]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "called").read_text().split() == ["prepare", "gate"]


def test_nobody_comments_on_the_pull_request_of_a_fork() -> None:
    """A run for one may not write, so that a green gate would end in a red job."""
    (step,) = (each for each in read(ROOT / "action.yml")["runs"]["steps"] if "if" in each)
    for condition in (step["if"], read(ROOT / ".github/workflows/ci.yml")["jobs"]["comment"]["if"]):
        assert "github.event.pull_request.head.repo.full_name == github.repository" in condition


# -- the key of the passports ---------------------------------------------------------------------


def handed_on(directory: Path, key: str) -> subprocess.CompletedProcess[str]:
    given = {"RUNNER_TEMP": str(directory), "GITHUB_ENV": str(directory / "env")}
    return subprocess.run(
        [str(ROOT / ".ci/passport-key")],
        env={"PATH": os.environ["PATH"], "PASSPORT_KEY": key, **given},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_key_becomes_a_file_of_this_user_alone_and_is_not_printed(tmp_path: Path) -> None:
    ended = handed_on(tmp_path, "a key of\ntwo lines")
    assert ended.returncode == 0, ended.stderr
    assert "two lines" not in ended.stdout + ended.stderr
    (line,) = (tmp_path / "env").read_text().splitlines()
    variable, _, name = line.partition("=")
    assert variable == "HARNESS_PASSPORT_KEY"
    assert Path(name).read_text() == "a key of\ntwo lines\n"
    assert stat.S_IMODE(Path(name).stat().st_mode) == 0o600


def test_a_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    ended = handed_on(tmp_path, "")
    assert ended.returncode != 0
    assert "the secret PASSPORT_KEY" in ended.stderr
