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
from matomo_harness.gate.core.runner import Result
from matomo_harness.runtime.evidence import redact

TEMPLATE: Final = Path(__file__).with_name("report.html")


def write(
    results: Sequence[Result],
    about: Mapping[str, str],
    directory: Path,
    secrets: Sequence[str] = (),
) -> dict[str, Any]:
    """Write the three files into `directory`, without a secret, and return what gate.json holds.

    Args:
        results: of a gate.
        about: images and versions.
        directory: made where there is none.
        secrets: taken out wherever they stand.
    """
    directory.mkdir(parents=True, exist_ok=True)
    moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    checks = [_told(it, directory, secrets) for it in results]
    counts = {status.value: 0 for status in Status} | Counter(it["status"] for it in checks)
    document = {
        "about": {**about, "harness": __version__, "time": moment},
        "counts": counts,
        "checks": checks,
    }
    (directory / "gate.json").write_text(json.dumps(document, indent=2) + "\n")
    _junit(checks, counts).write(directory / "junit.xml", encoding="utf-8", xml_declaration=True)
    (directory / "index.html").write_text(_page(document))
    return document


def require_kept(document: Mapping[str, Any], directory: Path) -> None:
    """Raise where a promise is broken, or could not be looked at.

    Raises:
        BrokenPromiseError: with the first of them.
    """
    broken = [it for it in document["checks"] if it["status"] in (Status.FAIL, Status.ERROR)]
    if broken:
        first = broken[0]
        raise BrokenPromiseError(
            expected=f"every promise kept; {first['id']}: {first['expected']}",
            seen=f"{len(broken)} broken, the first: {first['seen']}",
            next_command=f"open {directory / 'index.html'}",
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
        "promise": result.check.promise,
        "status": result.status.value,
        "expected": redact(result.expected, secrets),
        "seen": redact(result.seen, secrets),
        "capabilities": sorted(it.name.lower() for it in result.check.capabilities),
        "seconds": result.seconds,
        "evidence": files,
    }


def _junit(
    checks: Sequence[Mapping[str, Any]], counts: Mapping[str, int]
) -> "ElementTree.ElementTree[ElementTree.Element]":
    suite = ElementTree.Element(
        "testsuite",
        name="gate",
        tests=str(len(checks)),
        failures=str(counts["fail"]),
        errors=str(counts["error"]),
        skipped=str(counts["skip"]),
    )
    kinds = {"fail": "failure", "error": "error", "skip": "skipped"}
    for it in checks:
        area, _, name = it["id"].partition(".")
        case = ElementTree.SubElement(
            suite, "testcase", classname=area, name=name, time=str(it["seconds"])
        )
        if kind := kinds.get(it["status"]):
            said = f"expected {it['expected']}\nseen: {it['seen']}"
            ElementTree.SubElement(case, kind, message=it["promise"]).text = said
    return ElementTree.ElementTree(suite)


def _page(document: Mapping[str, Any]) -> str:
    counts = document["counts"]
    kept = not counts["fail"] and not counts["error"]
    areas = {
        area: list(checks)
        for area, checks in groupby(document["checks"], lambda it: it["id"].partition(".")[0])
    }
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(TEMPLATE.read_text())
    verdict = "Kept" if kept else "Broken"
    return template.render(kept=kept, verdict=verdict, areas=areas, **document)
