"""What a gate leaves: gate.json for programs, junit.xml for CI, index.html to sign."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from xml.etree import ElementTree

import jinja2

from matomo_harness import __version__
from matomo_harness.errors import BrokenPromiseError
from matomo_harness.gate.core.check import Severity, Status
from matomo_harness.gate.core.promise import Promise
from matomo_harness.gate.core.runner import RED, Result
from matomo_harness.gate.core.verdict import Verdict
from matomo_harness.gate.report.outline import outline
from matomo_harness.redaction import redact

TEMPLATE: Final = Path(__file__).with_name("report.html")
STYLE: Final = Path(__file__).with_name("style.css")
"""Of every page that a person reads."""
UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no place for, as the colours of a log."""
FAILURES_SHOWN: Final = 20
"""In Markdown: a comment on a pull request is not the report."""


def write(
    verdict: Verdict,
    about: Mapping[str, str],
    directory: Path,
    secrets: Sequence[str] = (),
    promises: Iterable[Promise] = (),
    judged_by: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Write the three files into `directory`, without a secret, and return what gate.json holds.

    Args:
        verdict: of a gate.
        about: images and versions.
        directory: made where there is none.
        secrets: taken out wherever they are.
        promises: all that there are, so that what did not run is shown too.
        judged_by: policy and waivers, by their hashes, for programs.
    """
    directory.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).replace(microsecond=0)
    moment = now.strftime("%Y-%m-%d %H:%M UTC")
    checks = [_entry(result, directory, secrets) for result in verdict.results]
    counts = {status.value: 0 for status in Status} | Counter(check["status"] for check in checks)
    # The command that reaches a container is among them.
    shown = {name: _shown(value, secrets) for name, value in about.items()}
    document = {
        "about": {**shown, "harness": __version__, "time": moment},
        "time": now.isoformat(),
        "judged_by": dict(judged_by),
        **outline(checks, verdict.problems, promises),
        "counts": counts,
        "waivers": dict(verdict.problems),
        "checks": checks,
    }
    (directory / "gate.json").write_text(json.dumps(document, indent=2) + "\n")
    _junit(document).write(directory / "junit.xml", encoding="utf-8", xml_declaration=True)
    (directory / "index.html").write_text(_page(document))
    return document


def require_passed(document: Mapping[str, Any], directory: Path) -> None:
    """Raise where a promise is broken or could not be examined, or a waiver does not hold.

    Raises:
        BrokenPromiseError: with the cause of most errors, else the first failure.
    """
    red = [check for check in document["checks"] if check["status"] in RED]
    if document["causes"]:
        cause = document["causes"][0]
        raise BrokenPromiseError(
            expected=cause["cause"],
            seen=f"{cause['seen']}\n  {len(cause['checks'])} of {len(red)} red checks end in that",
            next_command=f"open {directory / 'index.html'}",
        )
    if red:
        first = red[0]
        raise BrokenPromiseError(
            expected=f"every promise kept; {first['id']}: {first['expected']}",
            seen=f"{len(red)} broken, the first: {first['seen']}",
            next_command=f"open {directory / 'index.html'}",
        )
    if problems := document["waivers"]:
        raise BrokenPromiseError(
            expected="waivers that hold and are needed",
            seen="; ".join(f"{check}: {problem}" for check, problem in problems.items()),
            next_command="edit waivers.toml beside the policy",
        )


def markdown(document: Mapping[str, Any]) -> str:
    """Return the report for a pull request: verdict, promises, failures by cause."""
    counts = document["counts"]
    lines = [f"## {document['verdict']['sentence']}", ""]
    if gaps := document["not_examined"]:
        said = ", ".join(f"{count} {why}" for why, count in gaps.items())
        lines += [f"**Not examined:** {said}.", ""]
    lines += [
        f"{counts['pass']} passed, {counts['fail']} failed, {counts['error']} errors,"
        f" {counts['skip']} skipped, {counts['waived']} waived,"
        f" {counts['not promised']} not promised.",
        "",
        "| promise | state | checks |",
        "|---|---|---|",
    ]
    for row in document["promises"]:
        said = ", ".join(f"{count} {status}" for status, count in row["counts"].items())
        lines.append(f"| {row['name'].replace('_', ' ')} | {row['state']} | {said} |")
    failures = [
        f"- `{check}`: {_cell(problem)}. **Edit waivers.toml beside the policy.**"
        for check, problem in document["waivers"].items()
    ]
    failures += [
        f"- **{_cell(cause['cause'])}** failed: {_cell(cause['seen'])}"
        f" ({len(cause['checks'])} checks could not be run). **{_cell(cause['next'])}**"
        for cause in document["causes"]
    ]
    failures += [
        f"- `{check['id']}` ({check['severity']}): expected {_cell(check['expected'])};"
        f" seen: {_cell(check['seen'])}. **{_cell(check['remedy'])}**"
        for check in document["checks"]
        if check["status"] in RED and not check["cause"]
    ]
    if failures:
        lines += ["", "### What broke, and what to do", "", *failures[:FAILURES_SHOWN]]
    if len(failures) > FAILURES_SHOWN:
        lines.append(f"- … and {len(failures) - FAILURES_SHOWN} more: see the report")
    if waived := _waived(document):
        lines += ["", "### What fails, and is waived", ""]
        lines += [
            f"- `{check['id']}` ({check['severity']}): expected {_cell(check['expected'])};"
            f" seen: {_cell(check['seen'])}"
            for check in waived
        ]
    lines += ["", "<details><summary>What ran</summary>", ""]
    lines += [f"- {name}: {_cell(value)}" for name, value in document["about"].items()]
    return "\n".join([*lines, "", "</details>", ""])


def _waived(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the checks that fail and are waived; what they have seen ends with who answers."""
    return [check for check in document["checks"] if check["status"] == Status.WAIVED]


def _cell(text: str) -> str:
    """Return text as a line of Markdown that shows as it is."""
    line = " ".join(str(text).split())
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|" else sign for sign in line)


def _entry(result: Result, directory: Path, secrets: Sequence[str]) -> dict[str, Any]:
    files = []
    for name, content in result.files:
        path = directory / f"{result.check.id}-{name}"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(redact(content, secrets))
        files.append(path.name)
    return {
        "id": result.check.id,
        "title": result.check.id.partition(".")[2].replace("_", " "),
        "promise": result.check.sentence,
        "status": result.status.value,
        "expected": _shown(result.expected, secrets),
        "seen": _shown(result.seen, secrets),
        "cause": _shown(result.cause, secrets),
        "next": _shown(result.next_command, secrets),
        "capabilities": sorted(capability.name.lower() for capability in result.check.capabilities),
        "proves": list(result.check.proves),
        "severity": result.check.severity.name.lower(),
        "remedy": result.check.remedy,
        "failure_mode": result.check.failure_mode,
        "seconds": result.seconds,
        "evidence": files,
    }


def _shown(text: str, secrets: Sequence[str]) -> str:
    return redact(UNPRINTABLE.sub("\ufffd", text), secrets)


def _junit(document: Mapping[str, Any]) -> "ElementTree.ElementTree[ElementTree.Element]":
    checks, counts = document["checks"], document["counts"]
    # As in the plugin's run: the check of a waiver that does not hold is red.
    problems = {
        check["id"]: document["waivers"][check["id"]]
        for check in checks
        if check["id"] in document["waivers"] and check["status"] not in RED
    }
    not_run = (Status.SKIPPED, Status.NOT_PROMISED, Status.WAIVED)
    suite = ElementTree.Element(
        "testsuite",
        name="gate",
        tests=str(len(checks)),
        failures=str(counts[Status.FAILED] + len(problems)),
        errors=str(counts[Status.ERROR]),
        skipped=str(sum(counts[status] for status in not_run)),
    )
    kinds = {Status.FAILED: "failure", Status.ERROR: "error", **dict.fromkeys(not_run, "skipped")}
    for check in checks:
        promise, _, name = check["id"].partition(".")
        case = ElementTree.SubElement(
            suite, "testcase", classname=promise, name=name, time=str(check["seconds"])
        )
        if problem := problems.get(check["id"]):
            ElementTree.SubElement(case, "failure", message=problem).text = problem
        elif kind := kinds.get(Status(check["status"])):
            said = f"expected {check['expected']}\nseen: {check['seen']}"
            ElementTree.SubElement(case, kind, message=check["promise"]).text = said
    return ElementTree.ElementTree(suite)


def page(template: Path, values: Mapping[str, Any]) -> str:
    """Return a page in the dress of all reports.

    Args:
        template: Jinja's, which puts `style` into its head.
        values: for the template.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    written = environment.from_string(template.read_text())
    return written.render(style=STYLE.read_text(), **values)


def _page(document: Mapping[str, Any]) -> str:
    def promise_of(check: Mapping[str, Any]) -> str:
        return str(check["id"].partition(".")[0])

    by_promise = {name: list(checks) for name, checks in groupby(document["checks"], promise_of)}
    most_severe_first = sorted(
        (check for check in document["checks"] if check["status"] in RED and not check["cause"]),
        key=lambda check: -Severity[check["severity"].upper()],
    )
    skipped: dict[str, list[str]] = {}
    for check in document["checks"]:
        if check["status"] == Status.SKIPPED:
            skipped.setdefault(check["seen"], []).append(check["id"])
    total = sum(sum(row["counts"].values()) for row in document["promises"])
    values = {**document, "by_promise": by_promise, "failures": most_severe_first}
    values |= {"skipped": skipped, "total": total, "waived": _waived(document)}
    return page(TEMPLATE, values)
