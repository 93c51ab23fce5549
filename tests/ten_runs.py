"""Runs the browser tests ten times and prints the result of each run: a flake is a failure here.

make e2e-ten        .venv/bin/python tests/ten_runs.py [runs] [options of pytest]
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

REPORTS = Path("reports/e2e/runs")
IN_PARALLEL = ("-n", "3", "--dist", "loadgroup")  # as `make test-all` does
ROW = "{:>3}  {:>6}  {:>6}  {:>7}  {:>7}"


def main() -> int:
    """Return 0 if no run had a failure, else 1."""
    parser = argparse.ArgumentParser(description="The browser tests, several times in a row.")
    parser.add_argument("runs", type=int, nargs="?", default=10)
    given, options = parser.parse_known_args()
    print(ROW.format("run", "passed", "failed", "skipped", "seconds"))
    results = [_run(number, options) for number in range(1, given.runs + 1)]
    return int(any(results))


def _run(number: int, options: list[str]) -> int:
    """Run once, print the row and return the number of failed tests; no report is a failure."""
    report = REPORTS / f"{number}.xml"
    report.unlink(missing_ok=True)
    begun = time.monotonic()
    pytest = [sys.executable, "-m", "pytest", "tests/e2e", *IN_PARALLEL, "-q"]
    ended = subprocess.run(
        [*pytest, f"--junitxml={report}", *options], capture_output=True, text=True, check=False
    )
    seconds = f"{time.monotonic() - begun:.0f}"
    if not report.exists():
        print(f"{number:>3}  no report: {ended.stderr.strip()[-300:]}", flush=True)
        return 1
    suite = ElementTree.parse(report).getroot().find("testsuite")  # noqa: S314  pytest's own
    assert suite is not None
    failed = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    skipped = int(suite.attrib["skipped"])
    passed = int(suite.attrib["tests"]) - failed - skipped
    print(ROW.format(number, passed, failed, skipped, seconds), flush=True)
    for case in suite.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            print(f"     {case.attrib['classname']}::{case.attrib['name']}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
