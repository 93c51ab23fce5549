"""The gate as pytest items, in another project: a policy file has a test for each check."""

import re
from pathlib import Path

import pytest

from matomo_harness import policy
from matomo_harness.gate.catalogue import ALL
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.images import Image
from tests import wheel

PROMISE = "exposure"


@pytest.fixture
def options(any_image: Image) -> tuple[str, ...]:
    given = f"--matomo-image={any_image.reference}"
    return (given, "-p", "no:cacheprovider", "-p", "no:playwright")


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with a policy of its own, and a test."""
    pytester.path.joinpath("policy.toml").write_text(policy.POLICY_FILE.read_text())
    pytester.makepyfile(test_own="def test_own(): pass")
    return pytester


def collected(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if "::" in line]


def test_a_named_policy_has_an_item_for_each_check(project: pytest.Pytester) -> None:
    items = collected(project.runpytest_subprocess("policy.toml", "--collect-only", "-q"))
    assert items == [f"policy.toml::{check.id}" for check in ALL]


def test_a_policy_may_be_a_link(project: pytest.Pytester) -> None:
    shared = project.path.joinpath("shared")
    shared.mkdir()
    project.path.joinpath("policy.toml").rename(shared / "policy.toml")
    project.path.joinpath("policy.toml").symlink_to("shared/policy.toml")
    items = collected(project.runpytest_subprocess("policy.toml", "--collect-only", "-q"))
    assert items == [f"policy.toml::{check.id}" for check in ALL]


def test_a_policy_in_testpaths_is_collected(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\ntestpaths = policy.toml test_own.py")
    items = collected(project.runpytest_subprocess("--collect-only", "-q"))
    assert items == [*(f"policy.toml::{check.id}" for check in ALL), "test_own.py::test_own"]


def test_a_policy_that_is_not_named_is_not_collected(project: pytest.Pytester) -> None:
    items = collected(project.runpytest_subprocess(".", "--collect-only", "-q"))
    assert items == ["test_own.py::test_own"]


def test_words_and_ids_choose_checks(project: pytest.Pytester) -> None:
    by_words = ("policy.toml", "-k", "masking and bulk", "--collect-only", "-q")
    items = collected(project.runpytest_subprocess(*by_words))
    assert [item.rpartition("::")[2] for item in items] == [
        "masking.ipv4_in_bulk",
        "masking.ipv6_in_bulk",
    ]
    by_id = ("policy.toml::operation.pages_say_words", "--collect-only", "-q")
    assert len(collected(project.runpytest_subprocess(*by_id))) == 1


def test_a_broken_policy_is_an_error_of_one_line(project: pytest.Pytester) -> None:
    project.path.joinpath("policy.toml").write_text("[plugins]\nactive = 7\n")
    result = project.runpytest_subprocess("policy.toml")
    assert result.ret != 0
    result.assert_outcomes(errors=1)
    text = result.stdout.str()
    assert "Traceback" not in text
    (message,) = [line for line in result.outlines if line.startswith("expected ")]
    assert "policy.toml" in message
    assert "; seen: " in message
    assert "; next: " in message


def test_checks_that_share_steps_cannot_be_scattered(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("policy.toml", "-n", "2", "--dist", "worksteal")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*next: pytest -n 3 --dist loadgroup*"])


@pytest.mark.nightly(reason="a whole gate by two workers")
@pytest.mark.slow(reason="a run of pytest with a deployment of its own")
def test_workers_share_one_deployment(project: pytest.Pytester, options: tuple[str, ...]) -> None:
    # Beside the checks of the web server, one of each group that must stay in one worker.
    words = f"{PROMISE} or nowhere_in_a_file or view_user_must_enrol or a_start_leaves"
    project.makeconftest(
        """
        import pytest

        @pytest.hookimpl(trylast=True)
        def pytest_runtest_teardown(item):
            from matomo_harness.pytest_plugin.gate import _GATES
            (gate,) = item.config.stash[_GATES].values()
            print("ran on", gate.stack.load_balancer.get_wrapped_container().id)
        """
    )
    result = project.runpytest_subprocess(
        *options, "policy.toml", "-n", "2", "-k", words, "-rA", "-v"
    )
    assert result.ret == 0, result.stdout.str()
    text = result.stdout.str()
    assert len(set(re.findall(r"ran on (\w+)", text))) == 1
    assert set(re.findall(r"^\[(gw\d)\]", text, re.MULTILINE)) == {"gw0", "gw1"}
    (deployment,) = set(re.findall(r"ran on (\w+)", text))
    # Other workers' containers come and go.
    left = engine().containers.list(all=True, ignore_removed=True)
    assert deployment not in {container.id for container in left}


@pytest.mark.slow(reason="a run of pytest with a deployment of its own")
def test_the_wheel_alone_runs_the_gate_and_shows_a_finding(
    project: pytest.Pytester,
    options: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", wheel.installed(tmp_path))
    file = project.path / "policy.toml"
    # This institution's policy promises a header that the image does not send.
    promised = file.read_text().replace("security_headers = [", 'security_headers = ["X-Own", ')
    file.write_text(promised)
    result = project.runpytest_subprocess(
        *options, "policy.toml", "-k", "exposure.security_headers_are_there or exposure.trace"
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "Every page has the policy's security headers*",
            "expected no missing or unknown header",
            "  seen: X-Own",
            "  next: matomo-harness explain exposure.security_headers_are_there",
        ]
    )
