"""A bundle for a ticket: no secret and no person is in it, and it becomes the same state again."""

import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
import zstandard

from matomo_harness.errors import ExitCode
from matomo_harness.operate.compose import SERVICE_LABEL
from matomo_harness.runtime.engine import engine, execute
from matomo_harness.settings import OWNER_LABEL, project_name
from tests.checkout import Checkout, copied
from tests.integration.test_repro import DUMPS
from tests.reproduced import RunningReproduction, left_of, made

VISITOR: Final = "ada.lovelace@library.edu"
ADDRESS: Final = "198.51.100.77"


@pytest.fixture(scope="module")
def bundling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A copy of this checkout; whatever its tests reproduced is removed at its end."""
    with copied(tmp_path_factory.mktemp("bundling")) as copy:
        try:
            yield copy
        finally:
            for root in (copy.root / ".local/repro").glob("*/"):
                assert copy.harness("repro", "remove", root.name).code == 0
                assert left_of(copy, root.name) == []


def visited(opened: RunningReproduction) -> None:
    """Leave a visit of somebody, whose words and address are in logs and in rows."""
    hit = {
        "idsite": "1",
        "rec": "1",
        "uid": VISITOR,
        "url": f"https://library.example/?of={VISITOR}",
        "token_auth": opened.api.token,
        "cip": ADDRESS,
    }
    answer = opened.web.get(hit, path="matomo.php")
    assert answer.status_code == 200


def visits(opened: RunningReproduction) -> list[dict[str, Any]]:
    """Return what Matomo reports of each site, and the sites without what names them."""
    return [
        {
            "report": opened.api.call(
                "VisitsSummary.get", idSite=site["idsite"], period="year", date="today"
            ),
            **{key: site[key] for key in ("idsite", "timezone", "currency", "type")},
        }
        for site in opened.api.call("SitesManager.getAllSites")
    ]


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    if packed := found.get("data.sql.zst"):
        found["data.sql.zst"] = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    return found


def container(opened: RunningReproduction, service: str) -> Any:
    labels = [f"{OWNER_LABEL}={project_name(opened.root)}", f"{SERVICE_LABEL}={service}"]
    (found,) = engine().containers.list(filters={"label": labels})
    return found


def run(opened: RunningReproduction, *command: str) -> None:
    """Run a command in a reproduction's web container."""
    web = container(opened, "matomo")
    done = execute(web, [*command], "www-data", directory="/var/www/html", seconds=120)
    assert done.code == 0, done.out + done.err


def with_line(opened: RunningReproduction, line: str) -> None:
    """Add a line to a reproduction's config.ini.php."""
    script = 'printf "\\n[Remarks]\\nodd = \\"%s\\"\\n" "$0" >> config/config.ini.php'
    run(opened, "sh", "-c", script, line)


def changed(path: Path, to: Path, **values: object) -> Path:
    """Write a bundle again with other words in its manifest."""
    with zipfile.ZipFile(path) as read, zipfile.ZipFile(to, "w") as written:
        for name in read.namelist():
            content = read.read(name)
            if name == "manifest.json":
                content = json.dumps({**json.loads(content), **values}).encode()
            written.writestr(name, content)
    return to


@pytest.fixture(scope="module")
def bug(bundling: Checkout) -> RunningReproduction:
    """A reproduction with a visit of somebody, which is archived."""
    dump = str(DUMPS / "matomo-4.x-mysql-8.0.sql")
    opened = RunningReproduction(
        bundling,
        made(bundling.harness("repro", "new", dump, "--name", "bug", "--update", "--json")),
    )
    visited(opened)
    run(opened, "php", "console", "core:archive")
    return opened


@pytest.fixture(scope="module")
def ticket(
    bundling: Checkout, bug: RunningReproduction, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Its bundle."""
    path = tmp_path_factory.mktemp("ticket") / "ticket.zip"
    answer = bundling.harness("bundle", "--repro", bug.record["name"], "--to", str(path))
    assert answer.code == 0, answer.text
    return path


@pytest.mark.slow(reason="a stack is started from a dump")
def test_a_bundle_holds_no_secret_and_no_person(bug: RunningReproduction, ticket: Path) -> None:
    assert ticket.stat().st_mode & 0o777 == 0o600
    files = contents(ticket)
    assert {"manifest.json", "config.ini.php", "schema.sql", "reproduction.json"} <= {*files}
    assert {f"logs/{name}-1.log" for name in ("matomo", "db", "mail", "load-balancer")} <= {*files}
    assert b"rec=1" in files["logs/load-balancer-1.log"]
    definitions = files["schema.sql"].count(b"CREATE TABLE")
    assert definitions == files["data.sql.zst"].count(b"CREATE TABLE") >= 31
    manifest = json.loads(files["manifest.json"])
    assert manifest["images"]["matomo"]["reference"] == bug.record["image"]
    (actions,) = [plugin for plugin in manifest["plugins"] if plugin["name"] == "Actions"]
    assert actions == {"name": "Actions", "active": True, "code": None, "tables": manifest["code"]}

    login = bug.secrets["SUPERUSER_LOGIN"]
    generated = re.findall(rb"PASSWORD: (\S+)", container(bug, "db").logs())
    secrets = [
        *(value.encode() for name, value in bug.secrets.items() if "PASS" in name),
        bug.secrets["SALT"].encode(),
        str(bug.database.second_factor_secret(login)).encode(),
        bug.api.token.encode(),
        *generated,
    ]
    assert len(secrets) >= 6
    people = [VISITOR.encode(), VISITOR.replace("@", "%40").encode(), ADDRESS.encode()]
    found = {
        (name, word)
        for name, text in files.items()
        for word in (*secrets, *people, *(word.hex().upper().encode() for word in people))
        if word in text
    }
    assert not found
    mails = re.compile(rb"[\w.+-]+(?:@|%40)[\w-]+\.[\w.-]*[a-z]")
    assert not [name for name in files if name.startswith("logs/") and mails.search(files[name])]


@pytest.mark.slow(reason="a stack is started from a bundle")
def test_a_bundle_becomes_the_same_state(
    bug: RunningReproduction, bundling: Checkout, ticket: Path, tmp_path: Path
) -> None:
    other = changed(ticket, tmp_path / "other.zip", mariadb="10.6.22-MariaDB", code="5.1.0")
    answer = bundling.harness("repro", "new", str(other), "--name", "again", "--json")
    for said in ("of the reproduction bug", "code 5.1.0; here", "10.6.22-MariaDB; here 11."):
        assert said in answer.text
    assert answer.text.count("ANOTHER SERIES") == 2
    again = RunningReproduction(bundling, made(answer))
    assert sum(site["report"]["nb_visits"] for site in visits(bug)) == 1
    assert visits(again) == visits(bug)


@pytest.mark.slow(reason="a stack is started from a dump")
def test_a_bundle_takes_no_name_of_another_file_and_no_secret_in_an_odd_place(
    bug: RunningReproduction, bundling: Checkout, ticket: Path, tmp_path: Path
) -> None:
    bundling.harness("bundle", "--repro", "bug", "--to", str(ticket)).refuses(
        ExitCode.WRONG_INPUT, "a file of that name"
    )
    with_line(bug, f"of {bug.secrets['SALT']}")
    leaking = tmp_path / "leaking.zip"
    bundling.harness("bundle", "--repro", "bug", "--to", str(leaking)).refuses(
        ExitCode.BROKEN_PROMISE, "config.ini.php (plain)", "nothing was written"
    )
    assert not [path.name for path in tmp_path.iterdir() if "leaking" in path.name]


def test_what_cannot_be_bundled_is_refused_by_name(checkout: Checkout, tmp_path: Path) -> None:
    to = str(tmp_path / "t.zip")
    checkout.harness("bundle", "--to", to).refuses(ExitCode.WRONG_INPUT, "make up")
    for name, keeps in (("kept", True), ("rewritten", False)):
        record = checkout.root / f".local/repro/{name}/.local/reproduction.json"
        record.parent.mkdir(parents=True)
        record.write_text(json.dumps(recorded(name, keeps_person_data=keeps)))
    with_people = ("bundle", "--to", to, "--repro", "kept")
    checkout.harness(*with_people).refuses(ExitCode.WRONG_INPUT, "--keep-person-data", "kept")
    agreed = checkout.harness(*with_people, "--keep-person-data")
    agreed.refuses(ExitCode.WRONG_INPUT, "t.zip will hold what", "repro open kept")
    needless = ("bundle", "--to", to, "--repro", "rewritten", "--keep-person-data")
    checkout.harness(*needless).refuses(ExitCode.WRONG_INPUT, "rewritten was rewritten")
    shutil.rmtree(checkout.root / ".local/repro")
    assert not Path(to).exists()


def recorded(name: str, *, keeps_person_data: bool) -> dict[str, Any]:
    """Return the record of a reproduction."""
    counts = dict.fromkeys(("tables", "columns", "canaries", "forms"), 1)
    certificate = {**counts, "findings": [], "left_out": []}
    return {
        **dict.fromkeys(("image", "database_image", "matomo_version", "server"), "x"),
        "name": name,
        "port": 1,
        "http_port": 2,
        "dump": ["prod.sql"],
        "tables": 1,
        "made": datetime.now(UTC).isoformat(),
        "certificate": {**certificate, "keeps_person_data": keeps_person_data},
    }
