"""Asks what is known to be wrong in the packages that the harness brings: `python tests/audit.py`.

Exit code 1: a package has a known vulnerability. 3: a database could not be asked, or does not know
a package; then nothing is said of it, and that is no green. Debian's packages in the image are
asked for by `matomo-harness updates`.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from matomo_harness.errors import ExitCode
from matomo_harness.runtime.description import SERVICES_DIRECTORY
from matomo_harness.settings import ROOT

PIP_AUDIT: Final = "pip-audit==2.10.1"
OF_NPM: Final = SERVICES_DIRECTORY / "mail"
"""The emulated service whose page npm brings."""
NAMES_SHOWN: Final = 5


@dataclass(frozen=True)
class Answer:
    """What a database says.

    Args:
        known: packages with a known vulnerability, with its id and the version that mends it.
        unknown: what it says nothing of, and why.
    """

    known: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def of_pip(text: str, error: str) -> Answer:
    """Read what `pip-audit --format json` printed."""
    try:
        packages = json.loads(text)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Answer(unknown=(f"Python's packages: {_last(error)}",))
    skipped = [package["name"] for package in packages if package.get("skip_reason")]
    why = f"Python's packages: {len(skipped)} are not in the database: {_some(skipped)}"
    return Answer(tuple(_vulnerable(packages)), (why,) if skipped else ())


def _vulnerable(packages: list[dict[str, Any]]) -> Iterator[str]:
    for package in packages:
        for found in package.get("vulns", ()):
            mended = ", ".join(found.get("fix_versions", ())) or "nothing yet"
            yield f"{package['name']} {package['version']}: {found['id']}, mended by {mended}"


def of_npm(text: str, error: str) -> Answer:
    """Read what `npm audit --json` printed."""
    try:
        document = json.loads(text)
        found = document["vulnerabilities"]
    except (ValueError, KeyError, TypeError):
        return Answer(unknown=(f"npm's packages: {_last(error or text)}",))
    return Answer(
        tuple(f"{name} {each['range']}: {each['severity']}" for name, each in found.items())
    )


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and "complete log" not in line]
    return lines[-1].strip() if lines else "no answer"


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")


def _asked(command: list[str], directory: Path) -> tuple[str, str]:
    try:
        ended = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, timeout=300, check=False
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    return ended.stdout, ended.stderr


def _pip_audit(directory: Path) -> Answer:
    # An environment of its own: its dependencies are not to change those that are audited.
    _, error = _asked([sys.executable, "-m", "venv", str(directory)], ROOT)
    pip = [str(directory / "bin/python"), "-m", "pip", "--disable-pip-version-check"]
    _, error = _asked([*pip, "install", "--quiet", PIP_AUDIT], ROOT)
    program = directory / "bin/pip-audit"
    if not program.exists():
        return of_pip("", error)
    lock = ("--requirement", "requirements.lock", "--require-hashes", "--disable-pip")
    command = [str(program), *lock, "--format", "json", "--progress-spinner", "off"]
    return of_pip(*_asked(command, ROOT))


def main() -> int:
    """Ask both, and print what they say."""
    with tempfile.TemporaryDirectory() as temporary:
        answers = (
            _pip_audit(Path(temporary)),
            of_npm(*_asked(["npm", "audit", "--package-lock-only", "--json"], OF_NPM)),
        )
    known = [line for answer in answers for line in answer.known]
    unknown = [line for answer in answers for line in answer.unknown]
    sys.stdout.writelines(f"vulnerable: {line}\n" for line in known)
    sys.stdout.writelines(f"not known: {line}\n" for line in unknown)
    if known:
        return ExitCode.BROKEN_PROMISE
    if unknown:
        return ExitCode.UNSUPPORTED_ENVIRONMENT
    print("audit: no known vulnerability")
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
