"""The pages that a person signs by, in a real browser: by keyboard, in the dark, on paper."""

from pathlib import Path
from typing import Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from matomo_harness.gate import report
from matomo_harness.gate.catalogue import ALL, PROMISES
from matomo_harness.gate.core.check import Status
from matomo_harness.gate.core.runner import Result
from matomo_harness.gate.core.verdict import Verdict
from matomo_harness.gate.mutation import CONTROLS, WRITTEN
from matomo_harness.gate.mutation import report as matrix
from matomo_harness.gate.mutation.runner import MatrixVerdict, Row

ABOUT: Final = {"image": "matomo:1", "policy": "policy.toml, 0123456789ab", "Matomo": "5.3.1"}
FAILED: Final = "masking.ipv4_of_a_new_visitor"
SKIPPED: Final = "mail."
CAUSE: Final = "The archiver runs"


def result(name: str) -> Result:
    check = next(check for check in ALL if check.id == name)
    if name == FAILED:
        return Result(check, Status.FAILED, "198.51.0.0", "198.51.100.7 was stored", 0.2)
    if name.startswith("archiving."):
        seen = "no command matomo-archive in the image"
        return Result(
            check, Status.ERROR, f"the step '{CAUSE}'", seen, 0.0, (), CAUSE, "declare the archiver"
        )
    if name.startswith(SKIPPED):
        return Result(
            check, Status.SKIPPED, check.sentence, "needs the mail relay (a built image)", 0.0
        )
    return Result(check, Status.PASSED, "no finding", "none", 0.1)


def green_results() -> tuple[Result, ...]:
    """Every check has passed."""
    return tuple(Result(check, Status.PASSED, "no finding", "none", 0.1) for check in ALL)


def red_results() -> tuple[Result, ...]:
    """One check has failed, a step has, and what needs the services was skipped."""
    return tuple(result(check.id) for check in ALL)


@pytest.fixture(params=["green", "red", "one promise"])
def gate_page(request: pytest.FixtureRequest, tmp_path: Path, page: Page) -> Page:
    """The gate's report, in the browser."""
    results = {
        "green": green_results(),
        "red": red_results(),
        "one promise": [each for each in green_results() if each.check.promise == "masking"],
    }[request.param]
    report.write(Verdict(tuple(results), {}), ABOUT, tmp_path, (), PROMISES)
    page.goto((tmp_path / "index.html").as_uri())
    return page


@pytest.fixture
def red_page(tmp_path: Path, page: Page) -> Page:
    """The report of a gate that is red, in the browser."""
    report.write(Verdict(red_results(), {}), ABOUT, tmp_path, (), PROMISES)
    page.goto((tmp_path / "index.html").as_uri())
    return page


def barriers(page: Page) -> list[str]:
    """Return what axe finds, by its rules for WCAG 2.1 AA and good practice."""
    for part in page.locator("details").all():
        part.evaluate("part => { part.open = true; }")
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found]


@pytest.mark.slow(reason="axe on every check, opened")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_has_no_barrier_in_light_or_dark(gate_page: Page, scheme: str) -> None:
    gate_page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    assert barriers(gate_page) == []


def test_what_was_not_examined_is_as_loud_as_the_verdict(red_page: Page) -> None:
    verdict, gap = red_page.locator(".verdict p").all()
    expect(verdict).to_contain_text("Broken: 1 of 18 promises; 2 not examined; 15 proven")
    expect(gap).to_contain_text("Not examined:")
    sizes = {
        line.evaluate("line => getComputedStyle(line).fontSize + getComputedStyle(line).fontWeight")
        for line in (verdict, gap)
    }
    assert len(sizes) == 1
    assert gap.bounding_box()["y"] < 400, "on the first screen"  # type: ignore[index]


def test_a_stranger_sees_what_broke_and_what_to_do(red_page: Page) -> None:
    failure, cause, gap = red_page.locator("section.failure").all()
    expect(failure).to_contain_text("Broken: A new visitor's IPv4 address")
    expect(failure).to_contain_text("198.51.100.7 was stored")
    expect(failure).to_contain_text("what to do")
    expect(cause).to_contain_text("24 checks, because this failed before them")
    expect(cause).to_contain_text(CAUSE)
    expect(cause).to_contain_text("declare the archiver")
    expect(cause.get_by_text("archiving.", exact=False).first).to_be_hidden()
    expect(gap).to_contain_text("needs the mail relay")
    for promise in ("mail", "archiving"):
        expect(red_page.get_by_role("row", name=promise).first).to_contain_text("not examined")
    assert red_page.get_by_text("<?php").count() == 0


def test_search_and_filter_work_by_keyboard_and_without_a_server(red_page: Page) -> None:
    red_page.get_by_label("Search").focus()
    red_page.keyboard.type("ipv4 new visitor")
    expect(red_page.locator("#shown")).to_have_text("1 checks")
    expect(red_page.locator("tr.check:visible")).to_have_count(1)
    red_page.get_by_label("Search").fill("")
    red_page.keyboard.press("Tab")
    red_page.keyboard.type("skip")
    skipped = sum(check.id.startswith(SKIPPED) for check in ALL)
    expect(red_page.locator("tr.check:visible")).to_have_count(skipped)


def test_on_paper_nothing_is_folded(red_page: Page) -> None:
    expect(red_page.locator("tr.check:visible")).to_have_count(0)
    red_page.evaluate("dispatchEvent(new Event('beforeprint'))")
    red_page.emulate_media(media="print")
    expect(red_page.locator("tr.check:visible")).to_have_count(len(ALL))
    expect(red_page.locator(".tools")).to_be_hidden()
    expect(red_page.get_by_text("Approved by")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_kill_matrix_has_no_barrier(tmp_path: Path, page: Page, scheme: str) -> None:
    killed = WRITTEN[0]
    rows = [
        Row(
            killed,
            dict.fromkeys(killed.kills, Status.FAILED),
            dict.fromkeys(killed.kills, "x"),
            1.0,
        ),
        Row(CONTROLS[0], {ALL[0].id: Status.PASSED}, {}, 1.0),
    ]
    matrix.write(rows, MatrixVerdict((), (), (), (), ()), {"Matomo": "5.3.1"}, tmp_path)
    page.goto((tmp_path / "mutants.html").as_uri())
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    assert barriers(page) == []
