"""A production state on this machine: dump in, person data out, the same numbers."""

import dataclasses
import gzip
import json
import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

from matomo_harness.errors import ExitCode
from matomo_harness.matomo import tracker, traffic, versions
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.traffic import Site
from matomo_harness.operate.compose import SERVICE_LABEL
from matomo_harness.pytest_plugin import SharedServers
from matomo_harness.runtime import reaper
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.instance import Instance
from matomo_harness.settings import OWNER_LABEL, RunSettings, project_name
from tests.checkout import Checkout, copied
from tests.closed import assert_closed
from tests.dumped import dump_of, tar_of
from tests.reproduced import RunningReproduction, in_files, left_of, made, numbers
from tests.runs import run_of, wait_until_gone

DUMPS: Final = Path(__file__).parents[1] / "dumps"
FIRST_DAY: Final = date(2025, 5, 30)
"""The third day is in another month, which is archived anew: of a month of which visits are gone,
Matomo would count fewer unique visitors."""
LOOKED_AT: Final = FIRST_DAY + timedelta(days=1)
PERSON: Final = "margaret.hamilton"


@pytest.fixture(scope="module")
def reproducing(
    tmp_path_factory: pytest.TempPathFactory, matomo_settings: RunSettings
) -> Iterator[Checkout]:
    """A copy of this checkout; whatever its tests reproduced is removed at its end."""
    with copied(tmp_path_factory.mktemp("reproducing"), matomo_settings) as copy:
        yield copy
        assert copy.harness("clean").code == 0


# -- real databases -------------------------------------------------------------------------------


@pytest.mark.slow(reason="a stack is started from a dump")
@pytest.mark.parametrize(
    "file",
    [
        pytest.param(
            "matomo-4.x-mysql-8.0.sql", marks=pytest.mark.nightly(reason="as its dump, in each run")
        ),
        pytest.param(
            "matomo-4.2-mysql-5.7.sql", marks=pytest.mark.nightly(reason="a second old database")
        ),
        pytest.param(
            "matomo-4.14-mariadb-10.5-no-prefix.sql",
            marks=pytest.mark.nightly(reason="a third old database"),
        ),
    ],
)
def test_an_old_database_of_another_server_runs_without_its_people(
    reproducing: Checkout, file: str
) -> None:
    raw = (DUMPS / file).read_text(errors="replace")
    answer = made(
        reproducing.harness(
            "repro", "new", str(DUMPS / file), "--name", "old", "--update", "--json"
        )
    )
    try:
        opened = RunningReproduction(reproducing, answer)
        assert not answer["waits_for_update"]
        assert opened.record["certificate"]["findings"] == []
        gone = ["CustomVariables"] if "4.2" in file else []  # Matomo 5 has it no more
        assert opened.record["missing_plugins"] == gone
        sites = opened.api.call("SitesManager.getAllSites")
        assert sites
        for site in sites:
            assert site["main_url"].split("//")[1] not in raw
        captured = reproducing.harness("capture", "--repro", "old")
        assert "the reproduction old: differs" in captured.text
        people = {row["login"]: row for row in opened.database.query("SELECT * FROM {prefix}user")}
        assert len(people) >= 3  # anonymous, one of production's, and the harness's
        others = people.keys() - {"anonymous", "admin"}
        assert not [login for login in others if login in raw]
        assert not [row for row in people.values() if row["email"] and row["email"] in raw]
    finally:
        assert reproducing.harness("repro", "remove", "old").code == 0
    assert left_of(reproducing, "old") == []


# -- the same numbers -----------------------------------------------------------------------------


def filled(instance: Instance) -> Instance:
    """Give a Matomo two sites, visits of three days, reports, and a person."""
    api = instance.api
    sites = [Site(1, "https://one.example", "UTC")]
    other, zone = "https://two.example", "America/New_York"
    sites.append(Site(api.add_site("Two", other, zone, since="2025-05-01"), other, zone))
    hits = list(traffic.hits(traffic.visits(sites, FIRST_DAY, 3)))
    assert tracker.send(api, hits) == len(hits)
    api.call(
        "UsersManager.addUser",
        userLogin=PERSON,
        password="a-password-of-hers",
        email=f"{PERSON}@library.example.edu",
    )
    instance.shell.console("core:archive")
    return instance


@pytest.fixture
def production(fresh_matomo: Instance) -> Instance:
    """A Matomo as `filled` leaves it."""
    return filled(fresh_matomo)


@dataclasses.dataclass(frozen=True)
class Twins:
    """A production, which is gone, and its reproduction by the name `same`.

    Args:
        opened: the reproduction.
        record: what was said when it was made.
        dump: production's.
        numbers: production's reports, by site.
        visitors: production's, by their ids.
    """

    opened: RunningReproduction
    record: dict[str, Any]
    dump: Path
    numbers: dict[int, dict[str, Any]]
    visitors: set[str]


VISITORS: Final = "SELECT DISTINCT HEX(idvisitor) AS id FROM {prefix}log_visit"


@pytest.fixture(scope="module")
def same(
    reproducing: Checkout, matomo_servers: SharedServers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Twins]:
    """A reproduction of a production of which one site has lost old visits; their reports stay."""
    servers, instance = matomo_servers.fresh()
    dump = tmp_path_factory.mktemp("same") / "production.sql.gz"
    try:
        production = filled(instance)
        before = {site: numbers(production.api, site, LOOKED_AT) for site in (1, 2)}
        third_day = FIRST_DAY + timedelta(days=2)
        gone = f"--dates={FIRST_DAY},{third_day}", "--idsite=2"
        production.shell.console("core:delete-logs-data", *gone, "--no-interaction")
        left = (
            "SELECT DATE(MIN(visit_last_action_time)) AS first FROM {prefix}log_visit"
            " GROUP BY idsite ORDER BY idsite"
        )
        assert production.database.query(left) == [{"first": FIRST_DAY}, {"first": third_day}]
        dump_of(production, dump)
        visitors = {str(row["id"]) for row in production.database.query(VISITORS)}
    finally:
        servers.drop(instance)
    answer = made(reproducing.harness("repro", "new", str(dump), "--name", "same", "--json"))
    opened = RunningReproduction(reproducing, answer)
    try:
        yield Twins(opened, answer["record"], dump, before, visitors)
    finally:
        assert reproducing.harness("repro", "remove", "same").code == 0
    assert left_of(reproducing, "same") == []


@pytest.mark.slow(reason="a production is filled, and a stack is started from its dump")
def test_every_number_is_as_in_production(same: Twins) -> None:
    assert sum(len(found) for found in same.numbers.values()) == 64
    assert {site: numbers(same.opened.api, site, LOOKED_AT) for site in (1, 2)} == same.numbers


@pytest.mark.slow(reason="the data directory of a database is searched")
def test_no_person_is_left(same: Twins) -> None:
    visitors = {str(row["id"]) for row in same.opened.database.query(VISITORS)}
    assert len(visitors) == len(same.visitors)
    assert not visitors & same.visitors
    assert not same.opened.database.query(
        "SELECT 1 FROM {prefix}user WHERE login LIKE %s OR email LIKE %s",
        f"%{PERSON}%",
        f"%{PERSON}%",
    )
    assert in_files(same.opened, (PERSON, "a-password-of-hers")) == []


@pytest.mark.slow(reason="a reproduction is opened")
def test_it_reaches_nobody(same: Twins) -> None:
    owned = f"{OWNER_LABEL}={project_name(same.opened.root)}"
    assert_closed(engine().containers.list(filters={"label": [owned, SERVICE_LABEL]}))


@pytest.mark.slow(reason="a reproduction is opened again")
def test_it_is_listed_opened_again_and_its_name_is_taken(
    reproducing: Checkout, same: Twins
) -> None:
    listed = json.loads(reproducing.harness("repro", "list", "--json").text)
    assert [record["name"] for record in listed] == ["same"]
    taken = reproducing.harness("repro", "new", str(same.dump), "--name", "same")
    taken.refuses(ExitCode.WRONG_INPUT, "same", "repro open same")
    again = made(reproducing.harness("repro", "open", "same", "--json"))
    assert again["record"] == same.record


@pytest.mark.nightly(reason="a stack of the next version is started, and updated")
def test_reports_are_there_after_an_update_that_came_later(
    reproducing: Checkout, production: Instance, tmp_path: Path
) -> None:
    if reproducing.settings.matomo_version != versions.NAMES[0]:
        pytest.skip("one version only: there is no newer image to update to")
    before = numbers(production.api, 1, LOOKED_AT)
    dump_of(production, tmp_path / "older.sql.gz")
    newer = versions.NAMES[-1]
    new = ("repro", "new", str(tmp_path / "older.sql.gz"), "--name", "later", "--json")
    answer = made(reproducing.harness(*new, MATOMO_VERSION=newer))
    try:
        assert answer["waits_for_update"]
        answer = made(
            reproducing.harness(
                "repro", "open", "later", "--update", "--json", MATOMO_VERSION=newer
            )
        )
        assert not answer["waits_for_update"]
        after = numbers(RunningReproduction(reproducing, answer).api, 1, LOOKED_AT)
        urls = [key for key in before if key.startswith("Actions.getPageUrls")]
        assert {key: len(after[key]) for key in urls} == {key: len(before[key]) for key in urls}
    finally:
        assert reproducing.harness("repro", "remove", "later").code == 0


# -- the same bugs ---------------------------------------------------------------------------------


STATE: Final = "CHECKSUM TABLE {prefix}log_visit, {prefix}site, {prefix}user"
"""What hits and accounts of the gate's would change."""


BUGS: Final = (
    "masking.page_shows_the_mask",
    "database.numbers_of_archives_are_new",
    "plugins.have_their_tables",
)


SLOW: Final = """
import time
from matomo_harness.cli import main
from matomo_harness.operate import repro

missing_plugins = repro.missing_plugins


def late(*found):
    time.sleep(12)
    return missing_plugins(*found)


repro.missing_plugins = late
main()
"""
"""The harness on a slow machine: it does nothing for a while once a reproduction's Matomo runs. The
image's health check asks for a page every 10 s, and by the image's own config.ini.php Matomo would
make the table that production lacks."""


@pytest.fixture(scope="module")
def broken(
    reproducing: Checkout, matomo_servers: SharedServers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningReproduction]:
    """A reproduction, by the name `bugs`, of a production with those bugs, and of its files."""
    directory = tmp_path_factory.mktemp("bugs")
    dump, files = directory / "broken.sql.gz", directory / "efs.tar.gz"
    servers, instance = matomo_servers.fresh()
    try:
        database = filled(instance).database
        set_option = "REPLACE INTO {prefix}option (option_name, option_value) VALUES (%s, %s)"
        database.query(set_option, "PrivacyManager.ipAddressMaskLength", "1")
        database.query(
            "UPDATE {prefix}sequence SET value = 1 WHERE name LIKE %s", "%archive_numeric%"
        )
        database.query("DROP TABLE {prefix}report")
        dump_of(instance, dump)
        tar_of(
            files,
            {
                "efs/config/config.ini.php": instance.shell.read(instance.shell.config),
                "efs/js/container_abcdefgh.js": "/* of production */",
                "efs/misc/user/people.csv": PERSON,
            },
        )
    finally:
        servers.drop(instance)
    new = ("repro", "new", str(dump), "--files", str(files), "--name", "bugs", "--json")
    slow = dataclasses.replace(reproducing, program=("-c", SLOW))
    yield RunningReproduction(reproducing, made(slow.harness(*new)))
    assert reproducing.harness("repro", "remove", "bugs").code == 0


@pytest.mark.slow(reason="a production is filled, and a stack is started from its dump")
def test_productions_own_files_are_served(broken: RunningReproduction) -> None:
    assert broken.web.get(path="js/container_abcdefgh.js").text == "/* of production */"


@pytest.mark.slow(reason="a reproduction is judged")
@pytest.mark.parametrize(
    "only",
    [" ".join(BUGS), pytest.param("", marks=pytest.mark.nightly(reason="the whole gate"))],
    ids=["their checks", "all checks"],
)
def test_bugs_of_production_show_in_the_gate(
    reproducing: Checkout, broken: RunningReproduction, tmp_path: Path, only: str
) -> None:
    before = broken.database.query(STATE)
    answer = reproducing.harness("gate", "--repro", "bugs", "--only", only)
    assert answer.code == ExitCode.BROKEN_PROMISE, answer.text
    assert broken.database.query(STATE) == before, "the gate judges a copy"
    report = json.loads((reproducing.root / "reports/gate/gate.json").read_text())
    red = {check["id"] for check in report["checks"] if check["status"] in ("fail", "error")}
    assert set(BUGS) <= red
    ticket = tmp_path / "ticket.zip"
    bundle = ("bundle", "--repro", "bugs", "--without-data", "--to", str(ticket))
    assert reproducing.harness(*bundle).code == 0
    with zipfile.ZipFile(ticket) as archive:
        assert json.loads(archive.read("gate.json"))["checks"] == report["checks"]
        assert archive.read("gate.html").startswith(b"<!doctype html>")


# -- wrong input ----------------------------------------------------------------------------------


def changed(tmp_path: Path, old: str, new: str, count: int = -1) -> Path:
    """Write a dump of a real server with something else in it."""
    text = (DUMPS / "matomo-4.x-mysql-8.0.sql").read_text()
    assert old in text
    path = tmp_path / "changed.sql"
    path.write_text(text.replace(old, new, count))
    return path


TABLE: Final = "DROP TABLE IF EXISTS `matomo_access`;"
REFUSED: Final = {
    "truncated": ("-- Dump completed", "-- Dump", ("truncated",)),
    "of a newer Matomo": ("'4.14.1'", "'9.0.0'", ("Matomo has no way down", "9.0.0")),
    "of no version": ("'4.14.1'", "'elephant'", ("no version",)),
    "that drops a database": (TABLE, f"DROP DATABASE mysql;\n{TABLE}", ("DROP DATABASE",)),
    "that makes a user": (TABLE, f"CREATE USER eve;\n{TABLE}", ("CREATE USER",)),
    "that loads a file": (
        TABLE,
        f"LOAD DATA INFILE '/etc/passwd' INTO TABLE matomo_access;\n{TABLE}",
        ("LOAD DATA",),
    ),
    "with a trigger": (
        TABLE,
        f"CREATE TRIGGER t BEFORE INSERT ON matomo_access FOR EACH ROW SET @x=1;\n{TABLE}",
        ("TRIGGER",),
    ),
    "with a command of the client's": (TABLE, f"\\! touch /tmp/owned\n{TABLE}", ("\\!",)),
    "with an unknown column": (
        "`access` varchar(50) DEFAULT NULL,",
        "`access` varchar(50) DEFAULT NULL, `shoe_size` varchar(9),",
        ("access.shoe_size", "[[tables]]"),
    ),
    "with an unknown table": (
        TABLE,
        f"CREATE TABLE matomo_club_members (name varchar(90));\n{TABLE}",
        ("club_members", "[[tables]]"),
    ),
    "with two rows of one key": (
        TABLE,
        "CREATE TABLE matomo_old (name varchar(9) PRIMARY KEY);\n"  # noqa: S608
        "INSERT INTO `matomo_old` VALUES ('one'),('two'),('one');\n" + TABLE,
        ("all rows of matomo_old", "unique key"),
    ),
    "with a statement that no server takes": (TABLE, f"CREATE TABLE x (y nonsense);\n{TABLE}", ()),
}

IN_EACH_RUN: Final = (
    "truncated",
    "that makes a user",
    "with an unknown column",
    "with two rows of one key",
)


@pytest.mark.slow(reason="a quarantine is started for each")
@pytest.mark.parametrize(
    "what",
    [
        name
        if name in IN_EACH_RUN
        else pytest.param(name, marks=pytest.mark.nightly(reason="refused by the same part"))
        for name in REFUSED
    ],
)
def test_a_dump_is_refused_and_leaves_nothing(
    reproducing: Checkout, tmp_path: Path, what: str
) -> None:
    old, new, words = REFUSED[what]
    answer = reproducing.harness("repro", "new", str(changed(tmp_path, old, new)), "--name", "no")
    answer.refuses(ExitCode.WRONG_INPUT, *words)
    assert left_of(reproducing, "no") == []


@pytest.mark.slow(reason="a quarantine is started")
def test_what_a_killed_run_left_is_no_taken_name(reproducing: Checkout, tmp_path: Path) -> None:
    root = reproducing.root / ".local/repro/no"
    (root / ".local").mkdir(parents=True)
    label = {OWNER_LABEL: project_name(root)}
    engine().volumes.create(f"{project_name(root)}_database", labels=label)
    dump = changed(tmp_path, "-- Dump completed", "-- Dump")
    answer = reproducing.harness("repro", "new", str(dump), "--name", "no")
    answer.refuses(ExitCode.WRONG_INPUT, "truncated")
    assert left_of(reproducing, "no") == []


@pytest.mark.slow(reason="a quarantine is started")
@pytest.mark.nightly(reason="one more quarantine")
def test_a_rule_of_ones_own_that_keeps_addresses_fails_the_certificate(
    reproducing: Checkout, tmp_path: Path
) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[[tables]]\nname = "user"\nkeep = ["email"]\n')
    dump = str(changed(tmp_path, "admin@example.org", "ada@library.edu"))
    answer = reproducing.harness("repro", "new", dump, "--name", "no", "--rules", str(own))
    answer.refuses(ExitCode.BROKEN_PROMISE, "user.email")
    assert left_of(reproducing, "no") == []


@pytest.mark.slow(reason="a quarantine is started")
def test_a_dump_is_written_again_without_person_data(reproducing: Checkout, tmp_path: Path) -> None:
    raw = DUMPS / "matomo-4.2-mysql-5.7.sql"
    safe = tmp_path / "safe.sql.gz"
    answer = reproducing.harness("pseudonymise", str(raw), "--to", str(safe))
    assert answer.code == 0, answer.text
    text = gzip.decompress(safe.read_bytes()).decode()
    assert text.count("CREATE TABLE") == raw.read_text().count("CREATE TABLE")
    assert "-- Dump completed" in text
    assert safe.stat().st_mode & 0o077 == 0
    reproducing.harness("pseudonymise", str(raw), "--to", str(safe)).refuses(
        ExitCode.WRONG_INPUT, "a file of that name"
    )
    reproducing.harness("pseudonymise", str(raw), "--to", "safe.txt").refuses(
        ExitCode.WRONG_INPUT, ".sql.zst"
    )


def url_of(database: Database) -> str:
    """Return the address of a schema, as DATABASE_URL takes it."""
    password = quote(database.password)
    return f"mysql://{database.user}:{password}@{database.host}:{database.port}/{database.name}"


@pytest.mark.slow(reason="a quarantine is started")
def test_a_database_that_runs_is_dumped_without_person_data(
    reproducing: Checkout, production: Instance, tmp_path: Path
) -> None:
    database = production.database
    url = tmp_path / "url.txt"
    url.touch(mode=0o600)
    url.write_text(url_of(database))
    safe = tmp_path / "safe.sql.gz"
    answer = reproducing.harness(
        *("pseudonymise", "--to", str(safe), "--schema-only"), DATABASE_URL_FILE=str(url)
    )
    assert answer.code == 0, answer.text
    assert database.password not in answer.text
    text = gzip.decompress(safe.read_bytes()).decode()
    assert text.count("CREATE TABLE") == len(database.all_tables())
    assert "INSERT INTO `site`" in text or f"INSERT INTO `{database.tables_prefix}site`" in text
    assert PERSON not in text
    wrong = url_of(dataclasses.replace(database, name="nowhere"))
    refused = reproducing.harness(
        *("pseudonymise", "--to", str(tmp_path / "no.sql.gz")), DATABASE_URL=wrong
    )
    refused.refuses(ExitCode.WRONG_INPUT, "nowhere")
    assert not (tmp_path / "no.sql.gz").exists()
    neither = reproducing.harness("pseudonymise", "--to", str(tmp_path / "no.sql.gz"))
    neither.refuses(ExitCode.WRONG_INPUT, "DATABASE_URL", "neither")


@pytest.mark.slow(reason="a quarantine is started")
@pytest.mark.nightly(reason="one more quarantine")
def test_a_table_that_may_not_be_read_ends_a_dump_by_name(
    reproducing: Checkout, production: Instance, tmp_path: Path
) -> None:
    database = production.database
    # A view of nothing: mariadb-dump stops at it, in the middle.
    database.query("CREATE TABLE {prefix}gone (n INT)")
    database.query("CREATE VIEW {prefix}seen AS SELECT n FROM {prefix}gone")
    database.query("DROP TABLE {prefix}gone")
    url = url_of(database)
    answer = reproducing.harness(
        *("pseudonymise", "--to", str(tmp_path / "no.sql.gz")), DATABASE_URL=url
    )
    assert answer.code == ExitCode.UNSUPPORTED_ENVIRONMENT, answer.text
    assert "seen" in answer.text
    assert "Traceback" not in answer.text
    assert not (tmp_path / "no.sql.gz").exists()


@pytest.mark.slow(reason="a quarantine is started")
def test_a_kill_in_the_middle_leaves_nothing_of_the_quarantine(
    reproducing: Checkout, tmp_path: Path
) -> None:
    row = "(NULL,'tag','2023-01-01 00:00:00','INFO','" + "x" * 900 + "')"
    rows = ",".join([row] * 1000)
    large = "-- Dump completed"
    insert = f"INSERT INTO `matomo_logger_message` VALUES {rows};\n"  # noqa: S608
    dump = changed(tmp_path, large, insert * 100 + large)
    program = subprocess.Popen(
        reproducing.command("repro", "new", str(dump), "--name", "no"),
        cwd=reproducing.root,
        env=reproducing.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    run = run_of(program)
    while not _quarantines(run):
        assert program.poll() is None, "it ended without one"
        time.sleep(0.05)
    program.send_signal(signal.SIGKILL)
    program.wait()
    wait_until_gone(lambda: _quarantines(run), run)
    assert left_of(reproducing, "no") == []


def _quarantines(run: str) -> list[str]:
    """Name the containers of a run that reach nobody, and write nowhere else."""
    of_run = {"label": f"{reaper.RUN_LABEL}={run}"}
    return [
        str(found.name)
        for found in engine().containers.list(filters={**of_run}, ignore_removed=True)
        if found.attrs["HostConfig"]["NetworkMode"] == "none"
        if found.attrs["HostConfig"]["ReadonlyRootfs"]
    ]


def test_a_name_is_small_letters_and_digits(checkout: Checkout) -> None:
    dump = str(DUMPS / "matomo-4.x-mysql-8.0.sql")
    checkout.harness("repro", "new", dump, "--name", "../up").refuses(
        ExitCode.WRONG_INPUT, "lower-case"
    )


@pytest.mark.slow(reason="three commands")
def test_what_is_not_there_is_named(checkout: Checkout) -> None:
    checkout.harness("repro", "open", "nobody").refuses(ExitCode.WRONG_INPUT, "repro list")
    checkout.harness("repro", "remove", "nobody").refuses(ExitCode.WRONG_INPUT, "repro list")
    checkout.harness("repro", "new", "no-such.sql").refuses(ExitCode.WRONG_INPUT, "no-such.sql")
