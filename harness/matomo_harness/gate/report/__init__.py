"""What a gate leaves: gate.json for programs, junit.xml for CI, index.html to sign with."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import jinja2

from matomo_harness import __version__
from matomo_harness.errors import BrokenPromiseError
from matomo_harness.gate.core.check import Status
from matomo_harness.gate.core.runner import RED, Result
from matomo_harness.gate.core.verdict import Verdict
from matomo_harness.redaction import redact

TEMPLATE: Final = Path(__file__).with_name("report.html")


def write(
    verdict: Verdict,
    about: Mapping[str, str],
    directory: Path,
    secrets: Sequence[str] = (),
) -> dict[str, Any]:
    """Write the three files into `directory`, without a secret, and return what gate.json holds.

    Args:
        verdict: of a gate.
        about: images and versions.
        directory: made where there is none.
        secrets: taken out wherever they stand.
    """
    directory.mkdir(parents=True, exist_ok=True)
    moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    checks = [_told(result, directory, secrets) for result in verdict.results]
    counts = {status.value: 0 for status in Status} | Counter(check["status"] for check in checks)
    document = {
        "about": {**about, "harness": __version__, "time": moment},
        "counts": counts,
        "waivers": dict(verdict.problems),
        "checks": checks,
    }
    (directory / "gate.json").write_text(json.dumps(document, indent=2) + "\n")
    _junit(checks, counts).write(directory / "junit.xml", encoding="utf-8", xml_declaration=True)
    (directory / "index.html").write_text(_page(document))
    return document


def require_passed(document: Mapping[str, Any], directory: Path) -> None:
    """Raise where a promise is broken or could not be looked at, or a waiver does not hold.

    Raises:
        BrokenPromiseError: with the first of them.
    """
    broken = [check for check in document["checks"] if check["status"] in RED]
    if broken:
        first = broken[0]
        raise BrokenPromiseError(
            expected=f"every promise kept; {first['id']}: {first['expected']}",
            seen=f"{len(broken)} broken, the first: {first['seen']}",
            next_command=f"open {directory / 'index.html'}",
        )
    if problems := document["waivers"]:
        raise BrokenPromiseError(
            expected="waivers that hold and are needed",
            seen="; ".join(f"{check}: {problem}" for check, problem in problems.items()),
            next_command="edit waivers.toml beside the policy",
        )


def _told(result: Result, directory: Path, secrets: Sequence[str]) -> dict[str, Any]:
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
        "expected": redact(result.expected, secrets),
        "seen": redact(result.seen, secrets),
        "capabilities": sorted(one.name.lower() for one in result.check.capabilities),
        "proves": list(result.check.proves),
        "severity": result.check.severity.name.lower(),
        "remedy": result.check.remedy,
        "failure_mode": result.check.failure_mode,
        "seconds": result.seconds,
        "evidence": files,
    }


def _junit(
    checks: Sequence[Mapping[str, Any]], counts: Mapping[str, int]
) -> "ElementTree.ElementTree[ElementTree.Element]":
    not_run = (Status.SKIPPED, Status.NOT_PROMISED, Status.WAIVED)
    suite = ElementTree.Element(
        "testsuite",
        name="gate",
        tests=str(len(checks)),
        failures=str(counts[Status.FAILED]),
        errors=str(counts[Status.ERROR]),
        skipped=str(sum(counts[status] for status in not_run)),
    )
    kinds = {Status.FAILED: "failure", Status.ERROR: "error", **dict.fromkeys(not_run, "skipped")}
    for check in checks:
        promise, _, name = check["id"].partition(".")
        case = ElementTree.SubElement(
            suite, "testcase", classname=promise, name=name, time=str(check["seconds"])
        )
        if kind := kinds.get(Status(check["status"])):
            said = f"expected {check['expected']}\nseen: {check['seen']}"
            ElementTree.SubElement(case, kind, message=check["promise"]).text = said
    return ElementTree.ElementTree(suite)


def _page(document: Mapping[str, Any]) -> str:
    counts = document["counts"]
    kept = not counts["fail"] and not counts["error"] and not document["waivers"]
    promises = {
        promise: list(checks)
        for promise, checks in groupby(
            document["checks"], lambda check: check["id"].partition(".")[0]
        )
    }
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(TEMPLATE.read_text())
    verdict = "Kept" if kept else "Broken"
    return template.render(kept=kept, verdict=verdict, promises=promises, **document)
