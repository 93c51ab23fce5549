"""A release: built, published to a real index on loopback, and installed from there alone."""

import dataclasses
import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from matomo_harness import __version__
from matomo_harness.errors import ExitCode, WrongInputError
from matomo_harness.runtime.images import Image
from matomo_harness.settings import ROOT
from tests import release, wheel

PASSWORD = uuid.uuid4().hex
SLOW = pytest.mark.slow(reason="a virtual environment is made, and pip installs into it")
OF_GIT = {
    f"GIT_{who}_{what}": f"{who.lower()}@example.org"
    for who in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}


INDEX = """
import sys, threading
from pathlib import Path
from wsgiref.simple_server import make_server

import pypiserver

packages, password = Path(sys.argv[1]), sys.stdin.readline().strip()
application = pypiserver.app(
    roots=[packages],
    authenticate=["update"],
    password_file="unused",
    auther=lambda *given: given == ("rehearsal", password),
)
server = make_server("127.0.0.1", 0, application)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
"""
"""It ends with its standard input, and so with this process, whatever ends that."""


@contextmanager
def index(packages: Path) -> Iterator[str]:
    """Serve a package index of `packages` on loopback; yield its address."""
    packages.mkdir(exist_ok=True)
    command = [sys.executable, "-c", INDEX, str(packages)]
    with (
        packages.with_suffix(".log").open("w") as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as server,
    ):
        assert server.stdin
        assert server.stdout
        server.stdin.write(f"{PASSWORD}\n")
        server.stdin.flush()
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/"
        finally:
            server.stdin.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The two files of a release of this checkout."""
    return release.build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture
def ready(tmp_path: Path) -> Path:
    """A commit that may be released: a copy of what a release looks at."""
    root = tmp_path / "ready"
    for name in ("harness/matomo_harness/__init__.py", "CHANGELOG.md", *release.ADDRESSED):
        copy = root / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text((ROOT / name).read_text().replace(release.PLACEHOLDER, "institution"))
    log = root / "CHANGELOG.md"
    log.write_text(log.read_text().replace("## Unreleased", f"## {__version__} (2026-12-01)"))
    for command in ("init -q", "add .", "commit -q -m ready"):
        environment = {**os.environ, **OF_GIT}
        subprocess.run(["git", *command.split()], cwd=root, env=environment, check=True)
    return root


def replace(root: Path, name: str, old: str, new: str) -> None:
    text = (root / name).read_text()
    assert old in text
    (root / name).write_text(text.replace(old, new))


# -- what is refused ------------------------------------------------------------------------------


def test_a_commit_that_is_ready_is_released(ready: Path) -> None:
    release.require_ready(ready, f"v{__version__}")


@pytest.mark.parametrize("tag", ["", "v9.9.9", __version__])
def test_a_tag_of_another_version_is_refused(ready: Path, tag: str) -> None:
    with pytest.raises(WrongInputError, match=f"the tag v{__version__}"):
        release.require_ready(ready, tag)


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("CHANGELOG.md", f"## {__version__} ", "## Unreleased ", "what is new in"),
        ("pyproject.toml", "institution", "OWNER", "OWNER in pyproject.toml"),
        (".github/CODEOWNERS", "institution", "OWNER", r"OWNER in \.github/CODEOWNERS"),
        ("CHANGELOG.md", "# Changelog", "# Log", "without changes\n  seen: CHANGELOG.md"),
    ],
)
def test_what_is_not_ready_is_named(
    ready: Path, name: str, old: str, new: str, expected: str
) -> None:
    replace(ready, name, old, new)
    with pytest.raises(WrongInputError, match=expected):
        release.require_ready(ready, f"v{__version__}")


def test_this_checkout_is_not_published_by_chance() -> None:
    command = [sys.executable, "tests/release.py", "publish"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == ExitCode.WRONG_INPUT
    assert "seen: no tag" in ended.stderr
    assert "Traceback" not in ended.stderr


# -- what is in it --------------------------------------------------------------------------------


def digests(path: Path) -> list[str]:
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(path.iterdir())]


def test_the_files_are_the_same_by_each_build(files: list[Path], tmp_path: Path) -> None:
    release.build(ROOT, tmp_path / "again")
    assert digests(tmp_path / "again") == digests(files[0].parent)


def test_both_files_hold_what_an_image_is_built_from_and_no_plugin_of_others(
    tmp_path: Path,
) -> None:
    root = tmp_path / "checkout"
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout
    for name in listed.split():
        if not name.startswith("tests/"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes((ROOT / name).read_bytes())
    licensed = root / "image/plugins/Licensed/plugin.json"
    licensed.parent.mkdir()
    licensed.write_text("{}")
    source, made = release.build(root, tmp_path / "dist")
    with tarfile.open(source) as archive, zipfile.ZipFile(made) as package:
        for names in (archive.getnames(), package.namelist()):
            assert [name for name in names if name.endswith("image/Dockerfile")]
            assert [name for name in names if name.endswith("compose/compose.yml")]
            assert [name for name in names if name.endswith("plugins/NoUserIds/plugin.json")]
            assert not [name for name in names if "Licensed" in name]


def metadata(file: Path) -> str:
    with zipfile.ZipFile(file) as package:
        (name,) = (name for name in package.namelist() if name.endswith("dist-info/METADATA"))
        return package.read(name).decode()


def test_the_metadata_says_who_where_and_what(files: list[Path]) -> None:
    said = metadata(files[1])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in (
        f"Version: {__version__}",
        f"Author: {project['authors'][0]['name']}",
        "License-Expression: MIT AND GPL-3.0-or-later",
        *(f"Classifier: {classifier}" for classifier in project["classifiers"]),
        *(f"Project-URL: {name}, {address}" for name, address in project["urls"].items()),
    ):
        assert f"\n{line}\n" in said, line


def test_the_page_on_an_index_leads_nowhere_relative(files: list[Path]) -> None:
    page = metadata(files[1])
    assert (
        "raw.githubusercontent.com/OWNER/matomo-harness/main/docs/pictures/report-red.png" in page
    )
    assert "/blob/main/docs/gate.md" in page
    assert re.findall(r"\]\((?!https?://|#)[^)]*\)", page) == []


# -- from an index --------------------------------------------------------------------------------


def upload(
    files: list[Path], address: str, monkeypatch: pytest.MonkeyPatch, password: str = PASSWORD
) -> None:
    monkeypatch.setenv("TWINE_REPOSITORY_URL", address)
    monkeypatch.setenv("TWINE_USERNAME", "rehearsal")
    monkeypatch.setenv("TWINE_PASSWORD", password)
    release.publish(files)


@pytest.mark.slow(reason="twine starts four times")
def test_a_version_is_published_once(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with index(tmp_path / "packages") as address:
        upload(files, address, monkeypatch)
        assert digests(tmp_path / "packages") == digests(files[0].parent)
        with pytest.raises(WrongInputError, match="ERROR HTTPError: 400 Bad Request"):
            upload(files, address, monkeypatch)


@pytest.mark.slow(reason="twine starts twice")
def test_a_refused_login_publishes_nothing_and_shows_no_password(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = uuid.uuid4().hex
    with index(tmp_path / "packages") as address:
        with pytest.raises(WrongInputError, match="ERROR HTTPError: 403 Forbidden") as caught:
            upload(files, address, monkeypatch, wrong)
        assert wrong not in str(caught.value)
        assert not list((tmp_path / "packages").iterdir())


@pytest.fixture(scope="module")
def from_an_index(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> wheel.Environment:
    """An environment with what the index serves, its dependencies, and nothing else."""
    directory = tmp_path_factory.mktemp("index")
    environment = dataclasses.replace(wheel.environment(directory), seconds=900)
    environment.install(f"{files[1]}[docker]")
    with pytest.MonkeyPatch.context() as patch, index(directory / "packages") as address:
        upload(files, address, patch)
        environment.pip("uninstall", "--yes", "matomo-harness")
        environment.pip(
            *("install", "--no-deps", "--no-cache-dir", "--index-url", f"{address}simple/"),
            f"matomo-harness=={__version__}",
            PIP_CONFIG_FILE=os.devnull,
            PIP_FIND_LINKS="",
        )
    return environment


@SLOW
@pytest.mark.nightly(reason="an environment of its own")
def test_a_package_from_an_index_names_its_version_to_install_more(
    from_an_index: wheel.Environment,
) -> None:
    program = "from matomo_harness import extra; print(extra.install_command('repro'))"
    ended = from_an_index.run("python", "-c", program)
    assert ended.stdout.strip() == f"pip install 'matomo-harness[repro]=={__version__}'"


@pytest.mark.timeout(1000)
@SLOW
@pytest.mark.nightly(reason="an environment of its own")
def test_a_package_from_an_index_runs_the_gate(
    from_an_index: wheel.Environment, any_image: Image, tmp_path: Path
) -> None:
    ended = from_an_index.run(
        *("matomo-harness", "gate", "--image", any_image.reference, "--only", "exposure"),
        directory=tmp_path,
    )
    assert ended.returncode == ExitCode.OK, ended.stdout + ended.stderr
    assert (tmp_path / "reports/gate/index.html").is_file()


@pytest.mark.nightly(reason="a draft and a whole gate")
@pytest.mark.timeout(1800)
@SLOW
def test_a_package_from_an_index_takes_an_image_from_a_draft_to_a_verdict(
    from_an_index: wheel.Environment, any_image: Image, tmp_path: Path
) -> None:
    drafted = from_an_index.run("matomo-harness", "init", any_image.reference, directory=tmp_path)
    assert drafted.returncode == ExitCode.OK, drafted.stdout + drafted.stderr
    workflow = (tmp_path / ".github/workflows/matomo-gate.yml").read_text()
    assert f'pip install "matomo-harness[browser,docker]=={__version__}"' in workflow
    judged = from_an_index.run(
        *("matomo-harness", "gate", "--image", any_image.reference, "--policy", "policy.toml"),
        directory=tmp_path,
    )
    assert judged.returncode == ExitCode.OK, judged.stdout + judged.stderr
