"""Each how-to is followed, on a copy of this checkout; the other documents name what exists.

On a page, the line before a block of code says where the block goes:

    New file `path`:
    At the end of `path`:
    In `path`, after the line `text`:
    In `path`, instead of the line `text`:

The commands of a `console` block are run; the lines below a command are among those it prints.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from matomo_harness.gate.catalogue import ALL, read_policy
from matomo_harness.gate.core.verdict import require_known
from matomo_harness.operate import gate
from matomo_harness.policy import Gate, waivers_beside
from matomo_harness.settings import ROOT

PAGES: Final = ("add-a-check.md", "add-a-mutant.md", "add-a-promise.md", "add-a-matomo-version.md")
"""tests/integration/test_description.py follows add-an-emulated-service.md."""
PROMISES: Final = "harness/matomo_harness/gate/promises"
SCHEMA: Final = "image/policy.schema.json"
"""Written by a command, not by a person."""
LEFT_OUT: Final = shutil.ignore_patterns(".git", ".venv", ".local", "reports", ".*_cache")

CHANGE: Final = re.compile(
    r"^(?P<kind>New file|At the end of|In) `(?P<path>[^`\n]+)`"
    r"(?:, (?P<where>after|instead of) the line `(?P<line>[^`\n]+)`)?:\n\n"
    r"```\w+\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
BLOCK: Final = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)

SURVEY: Final = """
import contextlib, io, json, shlex, sys
from pathlib import Path

import matomo_harness
from matomo_harness import cli
from matomo_harness.gate.catalogue import ALL, SECTIONS
from matomo_harness.gate.mutation import CONTROLS, WRITTEN

assert Path(matomo_harness.__file__).is_relative_to(Path.cwd()), matomo_harness.__file__


def answer(command):
    command, _, path = command.partition(" > ")
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        cli.app(shlex.split(command)[1:], standalone_mode=False)
    if path:
        Path(path).write_text(written.getvalue())
    return written.getvalue()


asked = json.load(sys.stdin)
found = {
    "answers": {command: answer(command) for command in asked["commands"]},
    "capabilities": {
        check.id: sorted(capability.name.lower() for capability in check.capabilities)
        for check in ALL
    },
    "kills": {mutant.id: mutant.kills for mutant in WRITTEN},
    "controls": [control.id for control in CONTROLS],
    "keys": [f"{kind.table}.{name}" for kind in SECTIONS for name in kind.model_fields],
}
exec(asked["more"])
print(json.dumps(found))
"""
"""Prints what the harness of a copy has and says; this needs no container."""


# -- a page, and a copy on which it is followed ---------------------------------------------------


class Page:
    """A how-to.

    Args:
        name: of its file.
    """

    def __init__(self, name: str) -> None:
        self.text = (ROOT / "docs" / "howto" / name).read_text()
        self.changes = list(CHANGE.finditer(self.text))
        blocks = [(block["language"], block["text"]) for block in BLOCK.finditer(self.text)]
        assert [language for language, _ in blocks].count("python") == len(self.changes)
        self.policies = [text for language, text in blocks if language == "toml"]
        consoles = [text for language, text in blocks if language == "console"]
        self.printed = [pair for text in consoles for pair in _printed(text)]
        """A command, and a line of what it prints."""


def _printed(text: str) -> list[tuple[str, str]]:
    command, *lines = text.removeprefix("$ ").splitlines()
    return [(command, line) for line in (lines or [""])]


@dataclass(frozen=True)
class Copy:
    """A copy of this checkout.

    Args:
        root: where it is.
    """

    root: Path

    def files(self) -> dict[str, str]:
        """Return the texts of its files, by their paths."""
        paths = (path for path in self.root.rglob("*") if path.is_file())
        return {
            str(path.relative_to(self.root)): path.read_text(errors="replace")
            for path in paths
            if path.suffix not in (".pyc", ".png")
        }

    def follow(self, *pages: Page) -> dict[str, int]:
        """Make the changes of `pages`; return the number of lines that are new, by their files."""
        before = self.files()
        for change in (change for page in pages for change in page.changes):
            _make(self.root / change["path"], change)
        return {
            path: (Counter(text.splitlines()) - Counter(before.get(path, "").splitlines())).total()
            for path, text in self.files().items()
            if text != before.get(path)
        }

    def survey(self, *pages: Page, more: str = "") -> dict[str, Any]:
        """Run the commands of `pages` and assert that each prints what its page says.

        Args:
            pages: the commands of these are run.
            more: statements that put more into `found`.

        Returns:
            What the copy has.
        """
        commands = [(command, line) for page in pages for command, line in page.printed]
        asked = {"commands": list(dict(commands)), "more": more}
        found: dict[str, Any] = json.loads(self.python("-c", SURVEY, given=json.dumps(asked)))
        for command, line in commands:
            assert line in ["", *found["answers"][command].splitlines()]
        return found

    def lint(self, *paths: str) -> None:
        """Assert that ruff accepts `paths` as it accepts those of this checkout."""
        for verb in (("check",), ("format", "--check")):
            self.python("-m", "ruff", *verb, "--no-cache", "--quiet", *paths)

    def python(self, *arguments: str, given: str = "") -> str:
        """Run Python in the copy, where no engine is in reach; return what it prints."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")
        }
        environment = {
            "PYTHONPATH": f"{self.root / 'harness'}{os.pathsep}{self.root}",
            "DOCKER_HOST": "unix:///nowhere",
        }
        ended = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env={**inherited, **environment},
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout


def _make(path: Path, change: re.Match[str]) -> None:
    text = change["text"]
    if change["kind"] == "New file":
        assert not path.exists(), path
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    elif change["kind"] == "At the end of":
        path.write_text(f"{path.read_text().rstrip()}\n\n\n{text}")
    else:
        lines = path.read_text().splitlines(keepends=True)
        (at,) = [at for at, line in enumerate(lines) if line.strip() == change["line"].strip()]
        is_replaced = change["where"] == "instead of"
        lines[at : at + 1] = [text] if is_replaced else [lines[at], text]
        path.write_text("".join(lines))


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(Path(shutil.copytree(ROOT, tmp_path / "checkout", ignore=LEFT_OUT)))


# -- the pages ------------------------------------------------------------------------------------


def test_a_check_is_one_file_and_its_mutant_another(copy: Copy) -> None:
    check, mutant = Page("add-a-check.md"), Page("add-a-mutant.md")
    (checks,) = copy.follow(check)
    assert checks == f"{PROMISES}/database/checks.py"
    (mutants,) = copy.follow(mutant)
    assert mutants == f"{PROMISES}/database/mutants.py"
    copy.lint(checks, mutants)

    found = copy.survey(check, mutant)
    assert found["capabilities"]["database.every_table_is_innodb"] == ["database"]
    assert found["kills"]["database.table_of_another_engine"] == ["database.every_table_is_innodb"]


LOG_AGE: Final = '''
from types import SimpleNamespace
from matomo_harness.gate.catalogue import read_policy
from matomo_harness.gate.mutants import Deployment
from matomo_harness.gate.promises.log_age.checks import LogAge, SETTINGS, raw_logs_are_deleted
from matomo_harness.matomo import ini
from matomo_harness.policy import Policy

DEFAULTS = dict(zip(SETTINGS, ("0", "180", "7")))


class Matomo:
    """A Matomo without containers: the shell, database and PHP that check and mutants use."""

    config, tmp = "config/config.ini.php", "tmp"

    def __init__(self, rows=(), page="1"):
        self.rows, self.page = dict(rows), page
        self.text = Path("image/config/config.ini.php").read_text()

    def read(self, path):
        return self.text

    def write(self, path, text, **_):
        self.text = text

    def run(self, *command, **_):
        pass

    def query(self, statement, *values):
        self.rows.update([values] if values else [])
        return [{"name": name, "value": value} for name, value in self.rows.items()]

    @property
    def settings(self):
        file = {name: ini.read(self.text).text("Deletelogs", name) for name in SETTINGS}
        return {
            "Deletelogs": {name: file[name] or DEFAULTS[name] for name in SETTINGS},
            "General": {"enable_delete_old_data_settings_admin": self.page},
        }

    def finding(self, policy):
        return raw_logs_are_deleted(policy.section(LogAge), self, self)


def after(change):
    matomo = Matomo()
    instance = SimpleNamespace(shell=matomo, database=matomo)
    deployment = Deployment(Policy(), alone=instance)
    change(deployment)
    return matomo.finding(deployment.policy).seen


def seen(*arguments):
    return Matomo(*arguments).finding(read_policy(Path("policy.toml"))).seen


subjects = [*WRITTEN, *CONTROLS]
found["seen"] = {
    "by default": seen(),
    "clicked": seen({SETTINGS[0]: "0", "another": "word"}),
    "clicked in vain": seen({SETTINGS[0]: "0"}, "0"),
    **{
        subject.id: after(subject.change)
        for subject in subjects
        if subject.id.startswith(("log_age.", "control.logs_"))
    },
}
found["passed"] = Matomo({SETTINGS[0]: "1", SETTINGS[1]: "173"}).finding(
    read_policy(Path("policy.toml"))
).passed
'''
"""Runs the check of the page on a Matomo that its mutants and its control have changed."""


def test_a_promise_is_one_package_and_at_most_two_lines_elsewhere(copy: Copy) -> None:
    page = Page("add-a-promise.md")
    lines = copy.follow(page)
    package = {path for path in lines if path.startswith(f"{PROMISES}/log_age/")}
    names = ("__init__", "checks", "mutants", "controls")
    assert package == {f"{PROMISES}/log_age/{name}.py" for name in names}
    assert sum(count for path, count in lines.items() if path not in package) <= 2
    copy.lint(*(path for path in lines if path.endswith(".py")))

    (policy,) = page.policies
    (copy.root / "policy.toml").write_text(policy)
    found = copy.survey(page, more=LOG_AGE)
    assert "log_age.days" in found["keys"]
    assert "days" in json.loads((copy.root / SCHEMA).read_text())["$defs"]["LogAge"]["properties"]
    check = "log_age.raw_logs_are_deleted"
    assert found["capabilities"][check] == ["container", "database"]
    assert {name for name, kills in found["kills"].items() if check in kills} == {
        "log_age.deletion_clicked_off",
        "log_age.stored_for_a_year",
    }
    assert found["seen"] == {
        "by default": "deleted at 720 days, every 7 days",
        "clicked": "never deleted",
        "clicked in vain": "deleted at 720 days, every 7 days",
        "log_age.deletion_clicked_off": "never deleted",
        "log_age.stored_for_a_year": "deleted at 365 days, every 7 days",
        "control.logs_deleted_sooner": "deleted at 700 days, every 7 days",
    }
    assert found["passed"]


VERSIONS: Final = """
from matomo_harness.matomo import versions
from matomo_harness.settings import every_version

added = versions.TOKENS_ARE_MADE_BY_THEIR_OWNERS
found["tested"] = [settings.matomo_version for settings in every_version({})]
found["chosen"] = [
    settings.matomo_version for settings in every_version({"MATOMO_VERSION": "5.13.0"})
]
found["since"] = [added.is_in(version) for version in ("5.12.9", "5.13.0-rc1", "6.0.0")]
"""


def test_a_version_is_one_file(copy: Copy) -> None:
    page = Page("add-a-matomo-version.md")
    (versions,) = copy.follow(page)
    assert versions == "harness/matomo_harness/matomo/versions.py"
    copy.lint(versions)
    found = copy.survey(page, more=VERSIONS)
    assert found["tested"][:2] == ["5.3.1", "5.13.0"]
    assert found["chosen"] == ["5.13.0"]
    assert found["since"] == [False, True, True]


@pytest.mark.nightly(reason="mypy and all unit tests in a copy")
@pytest.mark.slow(reason="mypy reads every module anew")
def test_all_pages_together_pass_mypy_the_layers_and_the_unit_tests(copy: Copy) -> None:
    copy.follow(*(Page(name) for name in PAGES))
    copy.survey(Page("add-a-promise.md"))
    copy.python("-m", "mypy", "--no-incremental", "-p", "matomo_harness.gate")
    copy.python("-c", "from importlinter.cli import lint_imports_command as lint; lint()")
    tests = [f"tests/unit/test_{name}.py" for name in ("policy", "mutants", "gate")]
    tests.append("tests/integration/test_policy_decides.py::test_every_key_has_a_test_here")
    copy.python("-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_has_the_same_parts(name: str) -> None:
    text = Page(name).text
    assert re.search(r"need one (when|for)", text)
    heads = re.findall(r"(?m)^## (.+)$", text)
    assert heads == ["The change", "What you see", "What can go wrong"]


# -- gate.md, architecture.md ----------------------------------------------------------------------


def test_the_examples_of_a_policy_and_of_waivers_are_valid(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "gate.md").read_text()
    policy, waivers = (
        block["text"] for block in BLOCK.finditer(text) if block["language"] == "toml"
    )
    (tmp_path / "policy.toml").write_text(policy)
    (tmp_path / "waivers.toml").write_text(waivers)
    required = read_policy(tmp_path / "policy.toml").section(Gate).required
    assert all(gate.chosen(pattern) for pattern in required)
    assert require_known(waivers_beside(tmp_path / "policy.toml"), ALL, {})


ARCHITECTURE: Final = (ROOT / "docs" / "architecture.md").read_text()


def test_the_picture_shows_the_layers_in_the_order_of_the_linter() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    contracts = tools["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    blocks = BLOCK.finditer(ARCHITECTURE)
    picture = next(block["text"] for block in blocks if block["language"] == "text")
    drawn = [re.split(r" {2,}", line.strip())[0] for line in picture.splitlines()]
    wanted = [layer.replace("matomo_harness.", "") for layer in layers]
    assert [line for line in drawn if line in wanted] == wanted


def test_every_package_is_in_the_table() -> None:
    root = ROOT / "harness" / "matomo_harness"
    packages = [
        str(path.parent.relative_to(root))
        for path in (*root.glob("*/__init__.py"), *root.glob("gate/*/__init__.py"))
    ]
    assert len(packages) >= 12
    assert [name for name in packages if f"| `{name}/` |" not in ARCHITECTURE] == []
