"""The generated documents are what the catalogue and the command line say."""

import subprocess
import sys
from dataclasses import replace

import pytest
from typer.main import get_command

from matomo_harness.cli import app
from matomo_harness.gate.core.check import Capability, Check, Finding, Severity
from matomo_harness.gate.core.promise import Promise
from matomo_harness.gate.mutants import Control, Location, Mutant
from matomo_harness.settings import ROOT
from tests.generated_docs import (
    CHECKS_PAGE,
    FAILURE_MODES,
    Catalogue,
    capability_names,
    checks_page,
    commands_page,
    coverage,
    differences,
    documents,
    flaws,
    with_coverage,
    with_numbers,
)

COLUMNS = "| id | what goes wrong | how it shows | evidence | covered by |"
HEAD = f"# Rows\n\n{COLUMNS}\n|---|---|---|---|---|\n"
TEXT = (
    f"{HEAD}"
    "| T1 | the kettle  is `a\\|b` | no steam | issue m#1 | old words |\n"
    "| T2 | no leaves | an empty pot | inferred | **open** |\n"
    "\nAn end without a line's end"
)


def boils() -> Finding:
    return Finding(True, "steam", "steam")


CHECK = Check(
    "tea.boils",
    "The water boils: 100 °C | 212 °F.",
    boils,
    proves=("tea.water", "tea.heat"),
    severity=Severity.HIGH,
    failure_mode="T1",
    capabilities=frozenset({Capability.WEB_ROOT, Capability.API}),
)
GUARD = Check("tea.is_there", "There is tea.", boils)
COLD = Mutant("tea.cold", "the kettle is off", Location.FILE, ("tea.boils",), failure_mode="T1")


def catalogue(*checks: Check, mutants: tuple[Mutant, ...] = (COLD,)) -> Catalogue:
    promise = Promise("tea", "There is tea at four.")
    promise.checks.extend(checks)
    return Catalogue([promise], checks, mutants, [Control("control.cup", "another cup")])


def test_a_row_names_its_checks_and_then_its_mutants() -> None:
    both = catalogue(CHECK, GUARD)
    assert coverage("T1", both) == "`tea.boils`; mutants `tea.cold`"
    assert coverage("T1", catalogue(GUARD)) == "mutants `tea.cold`"
    assert coverage("T1", catalogue(CHECK, mutants=())) == "`tea.boils`"


def test_a_row_that_nothing_carries_is_open() -> None:
    lines = with_coverage(TEXT.replace("**open**", "`tea.gone`"), catalogue(CHECK)).splitlines()
    assert "| T2 | no leaves | an empty pot | inferred | **open** |" in lines


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_all_but_the_last_column_stays_byte_for_byte(ending: str) -> None:
    text = TEXT.replace("\n", ending)
    written = with_coverage(text, catalogue(CHECK))
    assert written == text.replace("old words", "`tea.boils`; mutants `tea.cold`")
    assert with_coverage(written, catalogue(CHECK)) == written


def test_a_failure_mode_that_is_no_row_is_named() -> None:
    lost, strange = replace(GUARD, failure_mode="T9"), replace(COLD, failure_mode="Z3")
    assert list(flaws(TEXT, catalogue(CHECK, lost, mutants=(COLD, strange)))) == [
        f"check tea.is_there: its failure mode T9 is no row of {FAILURE_MODES}",
        f"mutant tea.cold: its failure mode Z3 is no row of {FAILURE_MODES}",
    ]
    assert list(flaws(TEXT, catalogue(CHECK, GUARD))) == []


def test_a_row_of_fewer_cells_is_named_and_left_alone() -> None:
    text = f"{HEAD}| T1 | the kettle | no steam | issue m#1 |\n"
    (flaw,) = flaws(text, catalogue(CHECK))
    assert "row T1: expected five cells" in flaw
    assert with_coverage(text, catalogue(CHECK)) == text


def test_a_row_that_is_there_twice_is_named() -> None:
    (flaw,) = flaws(TEXT.replace("T2", "T1"), catalogue(CHECK))
    assert "row T1: expected once, seen 2 times" in flaw


def test_the_page_has_the_numbers_and_a_row_for_each_check() -> None:
    page = checks_page(catalogue(CHECK, GUARD))
    assert "`make docs`" in page.splitlines()[0]
    assert "| checks | promises | mutants | controls |" in page
    assert "| 2 | 1 | 1 | 1 |" in page
    assert "\n## tea\n\nThere is tea at four.\n" in page
    assert (
        r"| `tea.boils` | The water boils: 100 °C \| 212 °F. | `tea.water`, `tea.heat` | high"
        " | api, web root | `tea.cold` |\n"
    ) in page
    assert "| `tea.is_there` | There is tea. | always | medium | none | none |\n" in page


def test_capabilities_come_in_one_order() -> None:
    names = ["api", "login", "hits", "change", "container", "web root", "database", "services"]
    assert capability_names(frozenset(Capability)) == names


def test_a_changed_check_is_a_difference_and_the_command_is_named() -> None:
    found = documents(TEXT, catalogue(CHECK))
    assert list(differences(found, found)) == []
    changed = catalogue(replace(CHECK, severity=Severity.LOW))
    lines = list(differences(found, documents(found[FAILURE_MODES], changed)))
    assert [line[0] for line in lines if "tea.boils" in line] == ["-", "+"]
    assert lines[-1] == f"{CHECKS_PAGE}: not what the harness says. Next: make docs"


def test_a_page_that_is_not_there_is_a_difference() -> None:
    expected = documents(TEXT, catalogue(CHECK))
    found = {FAILURE_MODES: expected[FAILURE_MODES]}
    assert list(differences(found, expected))[-1].startswith(f"{CHECKS_PAGE}: ")


def test_the_readme_gets_the_numbers_of_what_there_is() -> None:
    text = (
        "Proven: all 18 promises. 217 checks: 215 passed, 0 failed, 0 waived; 2 not promised.\n"
        "We broke a promise in 284 ways.\n"
    )
    assert with_numbers(text, catalogue(GUARD, mutants=(COLD, COLD))) == (
        "Proven: all 1 promises. 1 checks: 1 passed, 0 failed, 0 waived; 0 not promised.\n"
        "We broke a promise in 2 ways.\n"
    )


def test_the_committed_documents_are_what_the_catalogue_says() -> None:
    command = [sys.executable, "tests/generated_docs.py", "--check"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_page_of_commands_says_what_help_says_and_no_place_of_this_checkout() -> None:
    page = commands_page(get_command(app))
    assert "| `--archive / --no-archive` | " in page
    assert r"| `service <matomo\|db\|mail\|load-balancer>` | " in page
    assert "| `--name <str>` | What to call it. [default: prod] |" in page
    assert str(ROOT) not in page
