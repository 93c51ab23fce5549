"""What an installed harness says of itself to pip, by where pip took it from."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from matomo_harness import __version__, extra
from matomo_harness.operate.init import workflow_text

Installation = Callable[[dict[str, object] | None], None]
WHEEL = "file:///packages/matomo_harness-0.1.0-py3-none-any.whl"
REPOSITORY = "https://git.example/matomo-harness"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """Have an installed harness before all others, with the direct_url.json that pip wrote."""
    described = tmp_path / "matomo_harness-0.1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Name: matomo-harness\nVersion: 0.1.0\n")
    monkeypatch.syspath_prepend(tmp_path)

    def installed(origin: dict[str, object] | None) -> None:
        if origin is not None:
            (described / "direct_url.json").write_text(json.dumps(origin))

    return installed


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, f"pip install 'matomo-harness[docker]=={__version__}'"),
        (
            {"url": WHEEL, "archive_info": {}},
            f"pip install 'matomo-harness[docker] @ {WHEEL}'",
        ),
        (
            {"url": REPOSITORY, "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
            f"pip install 'matomo-harness[docker] @ git+{REPOSITORY}@{COMMIT}'",
        ),
        (
            {"url": "file:///home/a%20person/harness", "dir_info": {"editable": True}},
            "pip install '/home/a person/harness[docker]'",
        ),
    ],
)
def test_more_is_installed_from_where_the_harness_came(
    install: Installation, origin: dict[str, object] | None, command: str
) -> None:
    install(origin)
    assert extra.install_command() == command


def steps(text: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = yaml.safe_load(text)["jobs"]["gate"]["steps"]
    return found


def test_a_drafted_workflow_takes_a_release_by_its_version(install: Installation) -> None:
    install(None)
    (step,) = [step for step in steps(workflow_text("a:1")) if "pip" in str(step.get("run"))]
    assert step == {"run": f'pip install "matomo-harness[browser,docker]=={__version__}"'}


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("institution/matomo:5", "institution/matomo:5"),
        (f"one.example:5000/matomo:5@sha256:{'a' * 64}", "one.example:5000/matomo:5"),
        (f"matomo@sha256:{'a' * 64}", "matomo"),
        (f"sha256:{'a' * 64}", "matomo:ci"),
        ("0123456789ab", "matomo:ci"),
    ],
)
def test_a_drafted_workflow_builds_by_a_name_that_a_build_can_get(
    install: Installation, reference: str, name: str
) -> None:
    install(None)
    runs = [str(step.get("run")) for step in steps(workflow_text(reference))]
    assert f"docker build --tag {name} ." in runs
    assert runs[-1].startswith(f"matomo-harness gate --image {name} --policy")


def test_a_drafted_workflow_takes_a_checkout_by_its_commit(install: Installation) -> None:
    install({"url": "file:///harness", "dir_info": {}})
    (step,) = [step for step in steps(workflow_text("a:1")) if "pip" in str(step.get("run"))]
    assert str(step["run"]).startswith(
        'pip install "matomo-harness[browser,docker] @ git+$MATOMO_HARNESS@'
    )
    assert step["env"] == {"MATOMO_HARNESS": "${{ vars.MATOMO_HARNESS }}"}


def test_that_commit_is_the_harnesss_own_whatever_repository_init_is_run_in(
    install: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = {name: committed(tmp_path / name) for name in ("harness", "institution")}
    (tmp_path / "harness" / "file").write_text("changed since, as a policy is")
    install({"url": (tmp_path / "harness").as_uri(), "dir_info": {}})
    # What is installed from a wheel takes the directory in which it is run for its checkout.
    monkeypatch.setattr("matomo_harness.runtime.images.ROOT", tmp_path / "institution")
    (step,) = [step for step in steps(workflow_text("a:1")) if "pip" in str(step.get("run"))]
    assert str(step["run"]).endswith(f'git+$MATOMO_HARNESS@{commits["harness"]}"')


def committed(folder: Path) -> str:
    """Make a repository with one commit; return that."""
    folder.mkdir()
    (folder / "file").write_text(folder.name)
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@people.example")
    for words in (("init", "-q"), ("add", "."), (*author, "commit", "-qm", folder.name)):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    asked = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
