"""Documents written from what there is: `python tests/generated_docs.py [--check]`.

docs/checks.md is written from the catalogue and docs/commands.md from the command line, as a whole;
of docs/failure-modes.md the last column of each row alone: the checks and mutants that name the
row; of README.md the numbers of what there is. With `--check` nothing is written, and what differs
is printed.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any, Final

from typer.main import get_command

from matomo_harness.cli import app
from matomo_harness.gate.catalogue import ALL, PROMISES, read_policy
from matomo_harness.gate.core.check import Capability, Check
from matomo_harness.gate.core.promise import Promise
from matomo_harness.gate.core.runner import is_promised
from matomo_harness.gate.mutants import Control, Mutant
from matomo_harness.gate.mutation import CONTROLS, WRITTEN

ROOT: Final = Path(__file__).parents[1]
CHECKS_PAGE: Final = "docs/checks.md"
FAILURE_MODES: Final = "docs/failure-modes.md"
COMMANDS_PAGE: Final = "docs/commands.md"
README: Final = "README.md"
COMMAND: Final = "make docs"

OPEN: Final = "**open**"
ROW: Final = re.compile(r"\| (?P<id>[A-Z]+\d+) \|")
CELL: Final = r" (?:[^|\\]|\\.)*\|"
WHOLE_ROW: Final = re.compile(rf"(?P<by_hand>\|(?:{CELL}){{4}}){CELL}")
"""Id, what goes wrong, how it shows and evidence are people's; the fifth cell is written here."""

HEAD: Final = f"""\
<!-- Written by `{COMMAND}` from the harness's own catalogue: change the check, not this page. -->
# Checks

"""
EXPLANATION: Final = """
A check proves one sentence. It is run where the policy promises one of its keys, or always. On a
target that lacks one of its capabilities it is skipped; [gate.md](gate.md) says what gives each. A
mutant is one wrong thing, on which the check must turn red; nothing may on a control.
`matomo-harness explain CHECK` says the rest: the remedy, the steps before the check, and what each
mutant breaks.
"""
COLUMNS: Final = ("id", "sentence", "policy keys", "severity", "capabilities", "mutants")


@dataclass(frozen=True)
class Catalogue:
    """All that the documents tell of.

    Args:
        promises: in the order of the page's sections.
        checks: of all promises.
        mutants: the written ones.
        controls: what nothing may turn red on.
    """

    promises: Sequence[Promise]
    checks: Sequence[Check]
    mutants: Sequence[Mutant]
    controls: Sequence[Control]


# -- docs/checks.md -------------------------------------------------------------------------------


def checks_page(catalogue: Catalogue) -> str:
    """Return the whole of docs/checks.md."""
    sections = (_section(promise, catalogue.mutants) for promise in catalogue.promises)
    return HEAD + _summary(catalogue) + EXPLANATION + "".join(sections)


def _summary(catalogue: Catalogue) -> str:
    counts = {
        "checks": len(catalogue.checks),
        "promises": len(catalogue.promises),
        "mutants": len(catalogue.mutants),
        "controls": len(catalogue.controls),
    }
    return _line(counts) + _line("---:" for _ in counts) + _line(map(str, counts.values()))


def _section(promise: Promise, mutants: Iterable[Mutant]) -> str:
    killers = list(mutants)
    head = f"\n## {promise.name}\n\n{promise.sentence}\n\n"
    rows = (_check_row(check, killers) for check in promise.checks)
    return head + _line(COLUMNS) + _line("---" for _ in COLUMNS) + "".join(rows)


def _check_row(check: Check, mutants: Iterable[Mutant]) -> str:
    return _line(
        (
            f"`{check.id}`",
            check.sentence,
            _ids(check.proves) or "always",
            check.severity.name.lower(),
            ", ".join(capability_names(check.capabilities)) or "none",
            _ids(mutant.id for mutant in mutants if check.id in mutant.kills) or "none",
        )
    )


def capability_names(capabilities: Collection[Capability]) -> list[str]:
    """Return the capabilities' short names, in the order in which they are declared."""
    return [each.name.lower().replace("_", " ") for each in Capability if each in capabilities]


def _line(cells: Iterable[str]) -> str:
    escaped = (cell.replace("|", r"\|") for cell in cells)
    return f"| {' | '.join(escaped)} |\n"


def _ids(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


# -- docs/failure-modes.md ------------------------------------------------------------------------


def with_coverage(text: str, catalogue: Catalogue) -> str:
    """Return docs/failure-modes.md with the last column of each row written anew."""
    return "".join(_with_coverage(line, catalogue) for line in text.splitlines(keepends=True))


def _with_coverage(line: str, catalogue: Catalogue) -> str:
    content = line.rstrip("\r\n")
    row, whole = ROW.match(content), WHOLE_ROW.fullmatch(content)
    if not row or not whole:
        return line
    return f"{whole['by_hand']} {coverage(row['id'], catalogue)} |{line[len(content) :]}"


def coverage(failure_mode: str, catalogue: Catalogue) -> str:
    """Name the checks, then the mutants, that carry a failure mode; open where there is none."""
    checks = _ids(check.id for check in catalogue.checks if check.failure_mode == failure_mode)
    mutants = _ids(mutant.id for mutant in catalogue.mutants if mutant.failure_mode == failure_mode)
    parts = (checks, f"mutants {mutants}" if mutants else "")
    return "; ".join(part for part in parts if part) or OPEN


def flaws(text: str, catalogue: Catalogue) -> Iterator[str]:
    """Yield what a person has to mend in docs/failure-modes.md, or in what names its rows."""
    rows = [(found["id"], line) for line in text.splitlines() if (found := ROW.match(line))]
    for name, line in rows:
        if not WHOLE_ROW.fullmatch(line):
            yield f"{FAILURE_MODES}: row {name}: expected five cells, seen: {line}"
    for name, count in Counter(name for name, _ in rows).items():
        if count > 1:
            yield f"{FAILURE_MODES}: row {name}: expected once, seen {count} times"
    known = {name for name, _ in rows}
    carriers: list[Check | Mutant] = [*catalogue.checks, *catalogue.mutants]
    for each in carriers:
        if each.failure_mode and each.failure_mode not in known:
            kind = "check" if isinstance(each, Check) else "mutant"
            named = f"{kind} {each.id}: its failure mode {each.failure_mode}"
            yield f"{named} is no row of {FAILURE_MODES}"


# -- README.md ------------------------------------------------------------------------------------


def with_numbers(text: str, catalogue: Catalogue) -> str:
    """Return README.md with the numbers of what there is, as a gate on our image counts them."""
    promised = sum(is_promised(check, read_policy()) for check in catalogue.checks)
    every, left = len(catalogue.checks), len(catalogue.checks) - promised
    numbers = {
        r"(?<=all )\d+(?= promises\.)": len(catalogue.promises),
        r"\d+ checks: \d+(?= passed)": f"{every} checks: {promised}",
        r"\d+(?= not promised)": left,
        r"(?<=in )\d+(?= ways)": len(catalogue.mutants),
    }
    for pattern, number in numbers.items():
        text = re.sub(pattern, str(number), text)
    return text


# -- docs/commands.md -----------------------------------------------------------------------------

PROGRAM: Final = "matomo-harness"
COMMANDS_HEAD: Final = f"""\
<!-- Written by `{COMMAND}` from the command line: change the command's help, not this page. -->
# Commands

What each command says to `--help`; of `--this / --that` the second is the first one's opposite.
`make help` lists the targets that call them in a checkout. Exit codes: 0 all promises are kept, 1
one is broken, 2 wrong input, 3 an unsupported environment.
`--debug` before the command shows tracebacks; `--json` prints what a program reads.
"""


def commands_page(program: Any) -> str:
    """Return the whole of docs/commands.md."""
    sections = (_command_section(name, each) for name, each in _verbs(program, PROGRAM))
    return COMMANDS_HEAD + "".join(sections)


def _verbs(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the commands that do something, with all words that call them."""
    below: Mapping[str, Any] = getattr(command, "commands", {})
    for verb, each in sorted(below.items()):
        yield from _verbs(each, f"{name} {verb}")
    if not below and not command.hidden:
        yield name, command


def _command_section(name: str, command: Any) -> str:
    context = command.make_context(name, [], resilient_parsing=True)  # runs nothing
    usage = " ".join(command.collect_usage_pieces(context))
    text = f"\n## {name}\n\n{_paragraphs(command.help or '')}\n\n```text\n{name} {usage}\n```\n\n"
    rows = [
        _parameter_row(each, context) for each in command.get_params(context) if each.name != "help"
    ]
    if not rows:
        return text.rstrip() + "\n"
    return text + _line(("option", "what it does")) + _line(("---", "---")) + "".join(rows)


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(each.split()) for each in text.split("\n\n"))


def _parameter_row(parameter: Any, context: Any) -> str:
    """Return what --help says: the opposite, what is taken, and what holds without the option."""
    named, said = parameter.get_help_record(context)
    shown = " ".join(said.split()).replace(f"{ROOT}/", "")
    return _line((_ids((named,)), shown))


# -- all ------------------------------------------------------------------------------------------


def documents(failure_modes: str, catalogue: Catalogue) -> dict[str, str]:
    """Return what each document has to say, by its path.

    Args:
        failure_modes: docs/failure-modes.md as it is.
        catalogue: what there is.
    """
    return {
        CHECKS_PAGE: checks_page(catalogue),
        FAILURE_MODES: with_coverage(failure_modes, catalogue),
    }


def differences(found: Mapping[str, str], expected: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines that differ, and last the command that mends them.

    Args:
        found: the documents as they are, by path; one that is not there is empty.
        expected: what they have to say.
    """
    different = [path for path, text in expected.items() if found.get(path, "") != text]
    for path in different:
        old, new = found.get(path, "").splitlines(), expected[path].splitlines()
        yield from unified_diff(old, new, path, f"{path}, by the harness", n=0, lineterm="")
    if different:
        yield f"{', '.join(different)}: not what the harness says. Next: {COMMAND}"


def main(arguments: list[str]) -> int:
    """Write the documents, or compare them; 1 where something is left for a person to do."""
    parser = argparse.ArgumentParser(description="Write the documents that are generated.")
    parser.add_argument("--check", action="store_true", help="only print what differs")
    only_check = parser.parse_args(arguments).check
    catalogue = Catalogue(PROMISES, ALL, WRITTEN, CONTROLS)
    paths = {path: ROOT / path for path in (CHECKS_PAGE, FAILURE_MODES, COMMANDS_PAGE, README)}
    found = {path: file.read_text() for path, file in paths.items() if file.exists()}
    expected = documents(found[FAILURE_MODES], catalogue)
    expected[COMMANDS_PAGE] = commands_page(get_command(app))
    expected[README] = with_numbers(found[README], catalogue)
    complaints = list(flaws(found[FAILURE_MODES], catalogue))
    if only_check:
        complaints += differences(found, expected)
    else:
        for path, text in expected.items():
            paths[path].write_text(text)
    sys.stdout.writelines(f"{complaint}\n" for complaint in complaints)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
