"""What a drill leaves: a file for programs and a page to sign, without any person's data."""

import dataclasses
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from matomo_harness import __version__
from matomo_harness.gate.report import page
from matomo_harness.operate.drill.findings import Findings, Stage
from matomo_harness.operate.drill.judgement import BackupVerdict
from matomo_harness.operate.rehearsal.report import minutes
from matomo_harness.operate.rehearsal.verdict import Weight

TEMPLATE: Final = Path(__file__).with_name("report.html")
DOCUMENT: Final = "drill.json"
PAGE: Final = "index.html"


def remove(directory: Path) -> None:
    """Remove what an earlier drill left, so that nobody takes its verdict for a later one's."""
    for name in (DOCUMENT, PAGE):
        (directory / name).unlink(missing_ok=True)


def write(found: Findings, judged: BackupVerdict, directory: Path) -> dict[str, Any]:
    """Write the files; return what drill.json holds.

    Args:
        found: by the drill.
        judged: what it means.
        directory: of the reports; it may have those of an earlier drill.
    """
    directory.mkdir(parents=True, exist_ok=True)
    said = {
        "verdict": {"backup": judged.is_backup, "sentence": judged.sentence},
        "reasons": [dataclasses.asdict(reason) for reason in judged.reasons],
        "runbook": runbook(found, judged),
        "harness": __version__,
        "minutes_to_answer": round(found.minutes_to_answer, 1),
        "gaps": found.ages.minutes if found.ages else {},
        **dataclasses.asdict(found),
    }
    # A page is made of the same as the file.
    document: dict[str, Any] = json.loads(json.dumps(said, default=str))
    (directory / DOCUMENT).write_text(json.dumps(document, indent=2) + "\n")
    (directory / PAGE).write_text(page(TEMPLATE, document))
    return document


def runbook(found: Findings, judged: BackupVerdict) -> list[dict[str, str]]:
    """Return the steps of a real restore in their order, with the time that each took here."""
    lost = (found.ages.minutes if found.ages else {}).get(
        "from the dump until now: lost, if this were restored now"
    )
    steps = [
        ("Stop the archiver and the web container", "", ""),
        *((reason.what, reason.next, "") for reason in judged.of(Weight.STEP)),
        (
            "Load the dump into an empty schema",
            loading(found.dump),
            _took(found, Stage.DUMP),
        ),
        (f"Start {found.image}", "", _took(found, Stage.START)),
        (
            "Put the files back, in the web container",
            "restore-data.sh DIRECTORY, or copy config, misc and js",
            _took(found, Stage.RESTORE),
        ),
        ("Log in", "with a second factor", _took(found, Stage.ANSWERS, Stage.LOGIN)),
        ("Judge it", "make gate URL=https://…", _took(found, Stage.GATE)),
        (
            "Archive the days of the gap anew, and start the archiver",
            "php console core:invalidate-report-data --dates=…",
            "" if lost is None else f"{lost} minutes of visits are lost",
        ),
    ]
    return [{"what": what, "how": how, "took": took} for what, how, took in steps]


_UNPACKED: Final = {".sql": "cat", ".gz": "zcat", ".xz": "xzcat", ".zst": "zstdcat"}


def loading(dump: Sequence[str]) -> str:
    """Return the command that loads a dump, by how its file is packed; of another kind, in words.

    Args:
        dump: names of its files, in their order.
    """
    names = " ".join(map(shlex.quote, dump))
    first = Path(dump[0])
    program = _UNPACKED.get(first.suffix)
    if program and len(dump) == 1 and ".tar" not in first.suffixes:
        return f"{program} {names} | mariadb DATABASE"
    # Pieces of one packed file are none by themselves, and a directory is of one tool alone.
    return f"unpack {names}, and load it with the tool that made it: mariadb, myloader or others"


def _took(found: Findings, *stages: Stage) -> str:
    return minutes(sum(found.seconds.get(stage, 0.0) for stage in stages))
