"""Which tests a run takes by size, version and shard, and what it reports of their time."""

import os
import re
import subprocess
import sys

import pytest

from matomo_harness.matomo.versions import NAMES
from matomo_harness.operate.bench import seconds_worked
from matomo_harness.settings import ROOT, every_version
from tests.sizes import Size, summary_lines

SUITE = """
import pytest
from matomo_harness.settings import every_version

@pytest.fixture(scope="session", params=every_version(), ids=lambda chosen: chosen.matomo_version)
def matomo_settings(request):
    return request.param

@pytest.fixture(scope="session")
def stack(matomo_settings):
    return 1

def test_plain():
    pass

def test_one(matomo_settings):
    pass

@pytest.mark.all_versions(reason="…")
def test_each(matomo_settings):
    pass

@pytest.mark.slow(reason="…")
@pytest.mark.all_versions(reason="…")
def test_slow(matomo_settings):
    pass

@pytest.mark.nightly(reason="…")
def test_nightly():
    pass

@pytest.mark.parametrize("number", range(4))
def test_shared(stack, number):
    pass
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    for chosen in ("MATOMO_VERSION", "IMAGE", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(chosen, raising=False)
    monkeypatch.setenv("MATOMO_BASE", "substitute")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(SUITE)
    markers = "".join(f"    {name}(reason): …\n" for name in ("all_versions", "slow", "nightly"))
    pytester.makeini(f"[pytest]\naddopts = --strict-markers\nmarkers =\n{markers}")
    return pytester


def taken(suite: pytest.Pytester, *options: str) -> list[str]:
    """Return the tests that a run takes, by their names without `test_`."""
    lines = suite.runpytest("-p", "tests.sizes", "--collect-only", "-q", *options).outlines
    return [line.partition("::test_")[2] for line in lines if "::" in line]


FIRST, LAST = NAMES[0], NAMES[-1]


def shared(version: str) -> list[str]:
    return [f"shared[{version}-{number}]" for number in range(4)]


SHARED = shared(FIRST)
EACH = [f"each[{version}]" for version in NAMES]
SLOW = [f"slow[{version}]" for version in NAMES]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (Size.LOCAL, ["plain", f"one[{FIRST}]", f"each[{FIRST}]", *SHARED]),
        (Size.ALL, ["plain", f"one[{FIRST}]", *EACH, f"slow[{FIRST}]", *SHARED]),
        (
            Size.NIGHTLY,
            ["plain", "nightly", *EACH, *SLOW]
            + [test for version in NAMES for test in (f"one[{version}]", *shared(version))],
        ),
    ],
)
def test_a_size_takes_what_it_says(suite: pytest.Pytester, size: Size, expected: list[str]) -> None:
    assert sorted(taken(suite, "--size", size)) == sorted(expected)


def test_the_default_size_is_all(suite: pytest.Pytester) -> None:
    assert taken(suite) == taken(suite, "--size", Size.ALL)


def test_a_chosen_version_is_the_only_one(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MATOMO_VERSION", LAST)
    assert sorted(taken(suite, "--size", "local")) == sorted(
        ["plain", f"one[{LAST}]", f"each[{LAST}]", *shared(LAST)]
    )


def test_each_test_is_in_one_shard_with_those_that_share_its_fixture(
    suite: pytest.Pytester,
) -> None:
    parts = [taken(suite, "--shard", f"{number}/3") for number in (1, 2, 3)]
    assert sorted(test for part in parts for test in part) == sorted(taken(suite))
    with_shared = [part for part in parts if set(SHARED) & set(part)]
    assert with_shared == [part for part in parts if SHARED[0] in part]


def test_a_fixture_may_override_one_of_its_name(suite: pytest.Pytester) -> None:
    fixture = "\n@pytest.fixture(scope='module')\ndef things({}):\n    return 1\n"
    suite.makeconftest("import pytest" + fixture.format(""))
    test = "\ndef test_more(things):\n    pass\n"
    suite.makepyfile(test_more="import pytest" + fixture.format("things") + test)
    assert taken(suite, "-k", "more") == ["more"]


def test_an_impossible_shard_is_refused(suite: pytest.Pytester) -> None:
    ended = suite.runpytest_subprocess("-p", "tests.sizes", "--shard", "4/3")
    assert ended.ret == pytest.ExitCode.USAGE_ERROR
    ended.stderr.fnmatch_lines(["*expected SHARD*", "*SHARD=4/3*", "*next:*"])


def test_only_one_of_three_workers_starts_a_shared_fixture(
    suite: pytest.Pytester,
) -> None:
    run = suite.runpytest_subprocess(
        *("-p", "tests.sizes", "-n", "3", "--dist", "loadgroup", "-v", "-k", "shared")
    )
    workers = {
        line[:5] for line in run.outlines if re.match(r"\[gw\d\].*PASSED.*test_shared", line)
    }
    assert len(workers) == 1, run.outlines


def test_fixtures_that_tests_ask_for_together_are_started_by_one_worker(
    suite: pytest.Pytester,
) -> None:
    begun = suite.path / "begun"
    suite.makepyfile(f"""
import time
import pytest

@pytest.fixture(scope="module")
def base():
    with open({str(begun)!r}, "a") as file:
        file.write("base\\n")
    time.sleep(1)  # whoever else would start it has begun

@pytest.fixture(scope="module")
def upon(base):
    return 1

@pytest.fixture(scope="module")
def alone():
    return 1

def test_base(base):
    pass

def test_upon(upon):
    pass

def test_both(alone, base):
    pass

def test_alone(alone):
    pass
""")
    run = suite.runpytest_subprocess("-p", "tests.sizes", "-n", "4", "--dist", "loadgroup")
    run.assert_outcomes(passed=4)
    assert begun.read_text() == "base\n"


def test_waiting_for_a_shared_fixture_is_no_work_of_a_test(suite: pytest.Pytester) -> None:
    # By a clock that goes on in these two alone: on a busy machine everything takes time.
    suite.makepyfile("""
import time
import _pytest.timing
import pytest

now = [time.perf_counter()]
time.perf_counter = _pytest.timing.perf_counter = lambda: now[0]

@pytest.fixture(scope="module")
def slow_start():
    now[0] += 0.4

def test_waits(slow_start):
    pass

def test_works():
    now[0] += 0.4
""")
    junit = suite.path / "junit.xml"
    suite.runpytest_subprocess("-p", "tests.sizes", f"--junitxml={junit}", "-k", "waits or works")
    waits, works = seconds_worked(junit).values()
    assert (waits, works) == (0.0, 0.4)


def test_the_summary_names_slow_tests_that_are_not_marked() -> None:
    seconds = {"test_quick": 1.0, "test_slow": 6.0, "test_slower": 7.0}
    assert summary_lines(seconds, ["test_slow", "test_slower"], 20.0) == [
        "20 for 3 tests, 6 of them for shared fixtures and tidying up",
        "over 5, and not marked slow:",
        "    7.0 test_slower",
        "    6.0 test_slow",
    ]


def test_every_module_with_containers_or_a_browser_has_a_quick_test() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--size=local"]
    environment = {**os.environ, "MATOMO_VERSION": FIRST}
    collected = subprocess.run(
        [*command, "tests/integration", "tests/e2e"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    quick = {line.partition("::")[0] for line in collected.splitlines() if "::" in line}
    folders = (ROOT / "tests/integration", ROOT / "tests/e2e")
    paths = [path for folder in folders for path in folder.glob("test_*.py")]
    modules = {str(path.relative_to(ROOT)) for path in paths}
    assert modules - quick == set()


@pytest.mark.parametrize(
    ("environment", "versions"),
    [
        ({"MATOMO_BASE": "substitute"}, [*NAMES]),
        ({"MATOMO_BASE": "substitute", "MATOMO_VERSION": LAST}, [LAST]),
        ({"IMAGE": "matomo:1"}, [FIRST]),
        ({"MATOMO_BASE": "matomo:5.10.0-apache"}, [FIRST]),
    ],
)
def test_a_chosen_base_image_or_version_leaves_one_version(
    environment: dict[str, str], versions: list[str]
) -> None:
    assert [settings.matomo_version for settings in every_version(environment)] == versions
