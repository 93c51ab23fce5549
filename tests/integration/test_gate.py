"""The gate on a healthy deployment: every promise is kept, and the report says so."""

import json
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness import policy
from harness.gate import report, run, target
from harness.gate.check import Status
from harness.gate.checks import ALL
from harness.gate.run import Result
from harness.stack.golden import Golden
from harness.stack.images import Image
from harness.stack.production import Production

PROMISED = policy.read()


@pytest.fixture(scope="session")
def results(matomo_golden: Golden, matomo_image: Image) -> dict[str, Result]:
    """Of all checks on a healthy deployment."""
    with Production(matomo_golden) as production:
        about = {"image": str(matomo_image)}
        return {
            it.check.id: it for it in run.run(target.of_production(production, PROMISED, about))
        }


@pytest.mark.xdist_group("gate")
@pytest.mark.parametrize("name", [it.id for it in ALL])
def test_a_healthy_deployment_keeps(results: dict[str, Result], name: str) -> None:
    result = results[name]
    assert result.status is Status.PASS, f"expected {result.expected}; seen {result.seen}"


def test_there_are_sixty_checks_each_with_a_sentence_of_its_own() -> None:
    assert len(ALL) >= 60
    assert max(Counter(it.id for it in ALL).values()) == 1
    assert max(Counter(it.promise for it in ALL if "nowhere" not in it.id).values()) == 1
    assert all(it.promise.endswith(".") for it in ALL)


def test_the_report_has_every_check_and_no_secret(
    results: dict[str, Result], tmp_path: Path
) -> None:
    secret = "a-secret-that-was-seen"
    first = next(iter(results.values()))
    broken = Result(first.check, Status.FAIL, "kept", f"told {secret}", 0.1, (("x.ini", secret),))
    document = report.write([*results.values(), broken], {"image": "matomo:1"}, tmp_path, [secret])
    assert json.loads((tmp_path / "gate.json").read_text()) == document
    assert document["counts"]["fail"] == 1
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()  # noqa: S314  our own
    assert (len(suite), suite.get("failures")) == (len(results) + 1, "1")
    page = (tmp_path / "index.html").read_text()
    assert all(it.promise.split("'")[0] in page for it in ALL)
    assert not [it for it in tmp_path.iterdir() if secret in it.read_text()]
    with pytest.raises(Exception, match="every promise kept"):
        report.require_kept(document, tmp_path)
