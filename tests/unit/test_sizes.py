"""Which tests a run takes: its size, versions, its part of several; and what it says of time."""

import os
import re
import subprocess
import sys

import pytest

from matomo_harness.matomo.versions import NAMES
from matomo_harness.operate.bench import seconds_worked
from matomo_harness.settings import ROOT, every_version
from tests.sizes import Size, told

SUITE = """
import pytest
from matomo_harness.settings import every_version

@pytest.fixture(scope="session", params=every_version(), ids=lambda it: it.matomo_version)
def matomo_settings(request):
    return request.param

@pytest.fixture(scope="session")
def production(matomo_settings):
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
def test_shared(production, number):
    pass
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    for chosen in ("MATOMO_VERSION", "IMAGE", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(chosen, raising=False)
    monkeypatch.setenv("MATOMO_BASE", "substitute")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(SUITE)
    markers = "".join(f"    {it}(reason): …\n" for it in ("all_versions", "slow", "nightly"))
    pytester.makeini(f"[pytest]\naddopts = --strict-markers\nmarkers =\n{markers}")
    return pytester


def taken(suite: pytest.Pytester, *options: str) -> list[str]:
    """Return the tests that a run takes, without the shared ones' numbers."""
    lines = suite.runpytest("-p", "tests.sizes", "--collect-only", "-q", *options).outlines
    return [it.partition("::test_")[2] for it in lines if "::" in it]


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


def test_without_a_size_it_is_all(suite: pytest.Pytester) -> None:
    assert taken(suite) == taken(suite, "--size", Size.ALL)


def test_a_chosen_version_is_the_only_one(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MATOMO_VERSION", LAST)
    assert sorted(taken(suite, "--size", "local")) == sorted(
        ["plain", f"one[{LAST}]", f"each[{LAST}]", *shared(LAST)]
    )


def test_each_test_is_in_one_part_and_what_shares_a_fixture_is_in_the_same(
    suite: pytest.Pytester,
) -> None:
    parts = [taken(suite, "--shard", f"{it}/3") for it in (1, 2, 3)]
    assert sorted(it for part in parts for it in part) == sorted(taken(suite))
    assert [it for it in parts if set(SHARED) & set(it)] == [it for it in parts if SHARED[0] in it]


def test_a_part_that_there_is_not_is_refused(suite: pytest.Pytester) -> None:
    ended = suite.runpytest_subprocess("-p", "tests.sizes", "--shard", "4/3")
    assert ended.ret == pytest.ExitCode.USAGE_ERROR
    ended.stderr.fnmatch_lines(["*expected SHARD*", "*SHARD=4/3*", "*next:*"])


def test_a_fixture_that_tests_share_is_started_by_one_of_three_workers(
    suite: pytest.Pytester,
) -> None:
    run = suite.runpytest_subprocess(
        *("-p", "tests.sizes", "-n", "3", "--dist", "loadgroup", "-v", "-k", "shared")
    )
    workers = {it[:5] for it in run.outlines if re.match(r"\[gw\d\].*PASSED.*test_shared", it)}
    assert len(workers) == 1, run.outlines


def test_what_a_test_waits_for_and_others_share_is_not_its_work(suite: pytest.Pytester) -> None:
    suite.makepyfile("""
import time
import pytest

@pytest.fixture(scope="module")
def slow_start():
    time.sleep(0.4)

def test_waits(slow_start):
    pass

def test_works():
    time.sleep(0.4)
""")
    junit = suite.path / "junit.xml"
    suite.runpytest_subprocess("-p", "tests.sizes", f"--junitxml={junit}", "-k", "waits or works")
    waits, works = seconds_worked(junit).values()
    assert waits < 0.2 < 0.4 <= works


def test_the_end_names_what_is_slow_and_does_not_say_so() -> None:
    seconds = {"test_quick": 1.0, "test_slow": 6.0, "test_slower": 7.0}
    assert told(seconds, ["test_slow", "test_slower"], 20.0) == [
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
    quick = {it.partition("::")[0] for it in collected.splitlines() if "::" in it}
    folders = (ROOT / "tests/integration", ROOT / "tests/e2e")
    modules = {str(it.relative_to(ROOT)) for room in folders for it in room.glob("test_*.py")}
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
def test_a_person_s_choice_of_base_image_or_version_leaves_one(
    environment: dict[str, str], versions: list[str]
) -> None:
    assert [it.matomo_version for it in every_version(environment)] == versions
