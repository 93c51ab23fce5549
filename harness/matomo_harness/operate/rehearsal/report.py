"""What a rehearsal leaves: a file for programs, a page to sign, a patch to apply."""

import dataclasses
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from matomo_harness import __version__
from matomo_harness.gate.report import page
from matomo_harness.operate.rehearsal import stages, state
from matomo_harness.operate.rehearsal.copies import Way
from matomo_harness.operate.rehearsal.findings import Findings
from matomo_harness.operate.rehearsal.plugin import Kind, Route
from matomo_harness.operate.rehearsal.verdict import Verdict, Weight

TEMPLATE: Final = Path(__file__).with_name("report.html")
DOCUMENT: Final = "rehearsal.json"
PAGE: Final = "index.html"
PATCH: Final = "config.patch"


def remove(directory: Path) -> None:
    """Remove what an earlier rehearsal left, so that nobody takes its verdict for a later one's."""
    for name in (DOCUMENT, PAGE, PATCH):
        (directory / name).unlink(missing_ok=True)


def write(found: Findings, judged: Verdict, directory: Path) -> dict[str, Any]:
    """Write the files; return what rehearsal.json holds. No configuration's text is in them.

    Args:
        found: by the rehearsal.
        judged: what it means.
        directory: of the reports; it may have those of an earlier rehearsal.
    """
    directory.mkdir(parents=True, exist_ok=True)
    document = {
        "question": _question(found),
        "verdict": {"go": judged.is_go, "sentence": judged.sentence},
        "reasons": [dataclasses.asdict(reason) for reason in judged.reasons],
        "runbook": runbook(found, judged),
        "harness": __version__,
        "time": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        **_findings(found, directory),
    }
    (directory / DOCUMENT).write_text(json.dumps(document, indent=2) + "\n")
    (directory / PAGE).write_text(page(TEMPLATE, document))
    patch = directory / PATCH
    if found.config_patch:
        patch.write_text(found.config_patch)
    else:
        patch.unlink(missing_ok=True)
    return document


def _question(found: Findings) -> str:
    plugin, server = found.plugin, found.server
    if plugin:
        what = f"{plugin.name} {plugin.version}".strip()
        done = {Kind.ADD: "added to", Kind.UPDATE: "updated in", Kind.REMOVE: "removed from"}
        return f"Can {what} be {done[plugin.kind]} {found.source}?"
    if not found.changes_code:
        return f"Can {found.source} be moved to MariaDB {server.after if server else ''}?"
    return f"Can {found.source} be upgraded to Matomo {found.new_version}?"


def _findings(found: Findings, directory: Path) -> dict[str, Any]:
    said = dataclasses.asdict(found)
    del said["config_patch"]
    for name in ("before", "after"):
        if said[name]:
            # Its secrets are of the copy alone, and still nobody's to read.
            for part in ("config", "columns", "collations", "defaults"):
                del said[name][part]
    said["tables"] = _tables(found)
    for account, one in zip(said["hits"], found.hits, strict=True):
        account |= {"sent": one.sent, "lost": one.lost}
    for gate in said["gates"].values():
        folder = gate["directory"]
        gate["report"] = f"{os.path.relpath(folder, directory)}/index.html" if folder else ""
    return said


def _tables(found: Findings) -> dict[str, list[str]]:
    """Return what tables and columns the update made, changed and removed."""
    before, after = found.before, found.after
    if before is None or after is None:
        return {}
    old, new = before.columns, after.columns
    both = old.keys() & new.keys()
    return {
        "new tables": sorted(new.keys() - old.keys()),
        "gone tables": sorted(old.keys() - new.keys()),
        "new columns": sorted(
            f"{table}.{name}" for table in both for name in new[table].keys() - old[table].keys()
        ),
        "gone columns": state.gone_columns(before, after),
        "changed columns": sorted(
            f"{table}.{name}: {old[table][name]} → {new[table][name]}"
            for table in both
            for name in old[table].keys() & new[table].keys()
            if old[table][name] != new[table][name]
        ),
    }


def runbook(found: Findings, judged: Verdict) -> list[dict[str, str]]:
    """Return the steps of the real upgrade in their order, with the time that each took here."""
    server = found.server
    steps = [
        # A copy has no schedule. Production's starts one at the full hour, wherever the upgrade is.
        ("Stop the archiver's schedule, and wait for an archiver that is at work", "", ""),
        ("Save the database and the file system, and note the images that run", "", ""),
        *((reason.what, reason.next, "") for reason in judged.of(Weight.STEP)),
        *(
            [
                (
                    f"Upgrade the database server to MariaDB {server.after}",
                    _HOW_THE_SERVER[Way(server.way)],
                    minutes(found.seconds(stages.SERVER)),
                )
            ]
            if server
            else []
        ),
        *(_steps_of_the_code(found) if found.changes_code else []),
        ("Log in, and archive", found.archiver, ""),
        ("Judge it", "make gate URL=https://…", ""),
        ("Start the archiver's schedule again", "", ""),
        (
            "Afterwards the way back is a restore of database and files, with the old images",
            "what was tracked since the backup is lost",
            minutes(found.seconds(stages.BACK)),
        ),
    ]
    return [{"what": what, "how": how, "took": took} for what, how, took in steps]


_HOW_THE_SERVER: Final = {
    Way.PLACE: "change the engine's version; where it is your own server: mariadb-upgrade",
    Way.DUMP: "mariadb-dump --single-transaction, into the new server, while Matomo is stopped",
}


_HOW_ON: Final = {
    Route.CONSOLE: "php console plugin:activate {} && php console core:update --yes",
    Route.LIST: 'Plugins[] = "{}" in [Plugins] of config.ini.php; the next request installs it;'
    " then php console core:update --yes",
}


def _steps_of_the_code(found: Findings) -> list[tuple[str, str, str]]:
    plugin = found.plugin
    return [
        *(
            [(f"Switch {plugin.name} off", f"php console plugin:deactivate {plugin.name}", "")]
            if plugin and plugin.kind is Kind.REMOVE
            else []
        ),
        (
            f"Deploy {found.new_image}",
            "people see Matomo's updater, and hits are stored",
            minutes(found.seconds(stages.AGAIN)),
        ),
        (
            "Update the tables, in one container, as the web server's user",
            "php console core:update --yes",
            minutes(found.seconds(stages.UPDATE)),
        ),
        *(
            [(f"Switch {plugin.name} on", _HOW_ON[plugin.route].format(plugin.name), "")]
            if plugin and plugin.kind is Kind.ADD
            else []
        ),
        (
            "Before core:update, the way back is the old image",
            f"deploy {found.image}",
            minutes(found.seconds(stages.BACK_AT_ONCE)),
        ),
    ]


def minutes(seconds: float) -> str:
    """Return a time as a report shows it; empty where none was taken."""
    return "" if not seconds else f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
