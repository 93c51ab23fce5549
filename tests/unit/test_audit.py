"""An audit that could not ask is no green one."""

import json

import pytest

from tests.audit import Answer, of_npm, of_pip


def test_a_known_vulnerability_is_named_with_what_mends_it() -> None:
    packages = [
        {"name": "fine", "version": "1.0", "vulns": []},
        {
            "name": "old",
            "version": "1.0",
            "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["1.1"], "aliases": []}],
        },
    ]
    answer = of_pip(json.dumps({"dependencies": packages, "fixes": []}), "")
    assert answer == Answer(("old 1.0: PYSEC-2026-1, mended by 1.1",))


def test_packages_that_the_database_does_not_know_are_not_called_sound() -> None:
    packages = [{"name": f"p{number}", "skip_reason": "not found"} for number in range(7)]
    answer = of_pip(json.dumps({"dependencies": packages}), "")
    assert answer.unknown == (
        "Python's packages: 7 are not in the database: p0, p1, p2, p3, p4, …",
    )


@pytest.mark.parametrize("text", ["", "[]", '{"error": {"code": "EAUDIT"}}', "no json"])
def test_a_database_that_gives_no_answer_is_not_called_sound(text: str) -> None:
    for read in (of_pip, of_npm):
        (why,) = read(text, "405 Method Not Allowed\nA complete log of this run …").unknown
        assert why.endswith("405 Method Not Allowed")


def test_a_vulnerable_package_of_npm_is_named() -> None:
    found = {"ws": {"severity": "high", "range": "<8.17.1"}}
    assert of_npm(json.dumps({"vulnerabilities": found}), "").known == ("ws <8.17.1: high",)
    assert of_npm('{"vulnerabilities": {}}', "") == Answer()
