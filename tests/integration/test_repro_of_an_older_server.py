"""A whole production on an older MariaDB, by two tools' dumps: in the older and the newer image.

Visits of two months on two sites, second factors, tables of a queue's and of another plugin's own.
"""

import dataclasses
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from docker.models.containers import Container

from matomo_harness.errors import ExitCode
from matomo_harness.matomo import database_versions, tracker, traffic, versions
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.traffic import Site
from matomo_harness.runtime import images, reaper
from matomo_harness.runtime.dedicated import DedicatedMatomo, pair
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.golden import golden
from matomo_harness.runtime.images import Image
from matomo_harness.settings import RunSettings
from tests.checkout import Checkout, copied
from tests.dumped import write_dump
from tests.reproduced import RunningReproduction, in_files, left_of, made, numbers

FIRST_DAY: Final = date(2025, 5, 31)
DAYS: Final = 3
"""Few days, of two months: a reproduction archives each. 100,000 visits went through by hand."""
LOOKED_AT: Final = FIRST_DAY + timedelta(days=1)
OLDER: Final = database_versions.NAMES[-1]
PERSON: Final = "katherine.johnson"
MAIL: Final = f"{PERSON}@library.example.edu"
PLANTED: Final = (PERSON, "203.0.113.77", "JBSWY3DPEHPK3PXP", "555-0199")
TOOLS: Final = ("mariadb-dump", "mydumper")
PLUGIN_TABLES: Final = ("loancards_card", "loancards_desk")

PEOPLE: Final = (Path(__file__).parents[1] / "dumps/people-and-plugins.sql").read_text()
"""A person's second factor and visits, and the tables of QueuedTracking and of a made-up plugin."""


@dataclass(frozen=True)
class Production:
    """A production that was dumped.

    Args:
        before: its reports, by site.
        dumps: of each tool.
        visits: how many it has.
    """

    before: dict[int, dict[str, Any]]
    dumps: dict[str, Path]
    visits: int


@pytest.fixture(scope="module")
def settings() -> RunSettings:
    """The older version of Matomo, of the two that can be chosen."""
    chosen = RunSettings.from_environment()
    if not chosen.chooses_base or chosen.mariadb_base not in ("auto", "substitute"):
        pytest.skip("an image is given: no older version of Matomo or MariaDB can be chosen")
    return dataclasses.replace(chosen, matomo_version=versions.NAMES[0])


@pytest.fixture(scope="module")
def production(
    tmp_path_factory: pytest.TempPathFactory, settings: RunSettings
) -> Iterator[Production]:
    """Two sites with visits on the older MariaDB, archived, and dumped by both tools."""
    older = dataclasses.replace(settings, mariadb_version=OLDER)
    base = images.mariadb_base(older)
    with pair(golden(images.deployed_image(older), base)) as matomo:
        other, zone = "https://two.example", "America/New_York"
        second = Site(matomo.api.add_site("Two", other, zone, since="2025-05-01"), other, zone)
        sites = [Site(1, "https://one.example", "UTC"), second]
        hits = list(traffic.hits(traffic.visits(sites, FIRST_DAY, DAYS)))
        assert tracker.send(matomo.api, hits) == len(hits)
        yield dumped(matomo, base, tmp_path_factory.mktemp("dumps"))


def dumped(matomo: DedicatedMatomo, base: Image, to: Path) -> Production:
    """Give a production its people and plugins; read its reports, and dump it by both tools."""
    api, database = matomo.api, matomo.database
    api.call("UsersManager.addUser", userLogin=PERSON, password=secrets.token_hex(), email=MAIL)
    for statement in PEOPLE.split(";\n")[:-1]:
        database.query(statement)
    # After that: a visit's referrer is a dimension of reports.
    matomo.shell.console("core:archive")
    (row,) = database.query("SELECT COUNT(*) AS visits, VERSION() AS server FROM {prefix}log_visit")
    assert str(row["server"]).startswith(OLDER)
    before = {site: numbers(api, site, LOOKED_AT) for site in (1, 2)}
    root = matomo.mariadb.root
    server = matomo.mariadb.get_wrapped_container()
    dump = to / "prod.sql.gz"
    write_dump(server, (root.user, root.password), root.name, dump, "--single-transaction")
    dumps = {"mariadb-dump": dump, "mydumper": by_mydumper(server, root, base, to)}
    return Production(before, dumps, int(row["visits"]))


def by_mydumper(server: Container, root: Database, base: Image, to: Path) -> Path:
    """Dump with the default options, from a container that is as near as the server itself."""
    directory = Path(__file__).parents[1] / "bases/mydumper"
    key = images.content_hash(images.tree(directory), base.id)
    tag = f"{images.REPOSITORY}/test-mydumper:{key}"
    image = images.local(tag, "local") or images.build(
        directory, tag, {"MARIADB_BASE": base.reference}, {}
    )
    folder = to / "mydumper"
    folder.mkdir()
    command = f'mydumper -h 127.0.0.1 -u {root.user} -p "$PASSWORD" -B {root.name} -o /dump'
    engine().containers.run(
        image.reference,
        ["-c", command],
        entrypoint="sh",
        network_mode=f"container:{server.id}",
        environment={"PASSWORD": root.password},
        volumes=[f"{folder}:/dump:rw"],
        labels=reaper.this_process().labels,
        remove=True,
    )
    return folder


@pytest.fixture(scope="module")
def reproducing(
    tmp_path_factory: pytest.TempPathFactory, settings: RunSettings
) -> Iterator[Checkout]:
    """A copy of this checkout, which reproduces."""
    with copied(tmp_path_factory.mktemp("reproducing"), settings) as copy:
        yield dataclasses.replace(copy, seconds=1200)
        assert copy.harness("clean").code == 0


@pytest.fixture(scope="module")
def rules(
    reproducing: Checkout, production: Production, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What the refusal of a plugin's tables drafts, written to a file."""
    dump = str(production.dumps[TOOLS[0]])
    refused = reproducing.harness("repro", "new", dump, "--name", "refused")
    refused.refuses(ExitCode.WRONG_INPUT, *(f"table {name}" for name in PLUGIN_TABLES))
    assert "queuedtracking" not in refused.text
    assert not [word for word in PLANTED if word in refused.text]
    assert left_of(reproducing, "refused") == []
    draft = refused.text.partition("to be added:\n")[2].rpartition("\n  next:")[0]
    own = tmp_path_factory.mktemp("rules") / "own.toml"
    own.write_text(draft)
    return own


def test_each_version_of_mariadb_that_is_older_comes_later_in_the_list() -> None:
    assert database_versions.NAMES[0] == RunSettings().mariadb_version
    assert database_versions.NAMES[0] != OLDER


@pytest.mark.nightly(reason="a production is made and dumped, and a stack started from each dump")
@pytest.mark.parametrize("matomo", versions.NAMES)
@pytest.mark.parametrize("tool", TOOLS)
def test_every_number_is_as_on_the_older_server_and_no_person_is_left(
    reproducing: Checkout, production: Production, rules: Path, tool: str, matomo: str
) -> None:
    reproduced(reproducing, production, rules, production.dumps[tool], matomo)


def reproduced(
    reproducing: Checkout, production: Production, rules: Path, dump: Path, matomo: str
) -> None:
    """Reproduce a dump in a version of the image, and prove what is promised of it."""
    update = [] if matomo == versions.NAMES[0] else ["--update"]
    new = ("repro", "new", str(dump), "--name", "older", "--rules", str(rules), "--json", *update)
    answer = made(reproducing.harness(*new, MATOMO_VERSION=matomo))
    try:
        assert not answer["waits_for_update"]
        assert answer["record"]["certificate"]["findings"] == []
        opened = RunningReproduction(reproducing, answer)
        found = {site: numbers(opened.api, site, LOOKED_AT) for site in (1, 2)}
        assert sum(len(reports) for reports in found.values()) == 64
        for site, reports in production.before.items():
            for name, report in reports.items():
                assert known(found[site][name], report) == report, f"{name} of {site}"
        assert in_files(opened, PLANTED) == []
        database = opened.database
        (row,) = database.query("SELECT COUNT(*) AS visits FROM {prefix}log_visit")
        assert int(row["visits"]) == production.visits
        cards = database.query("SELECT idcard, lent FROM {prefix}loancards_card ORDER BY idcard")
        assert [(card["idcard"], card["lent"]) for card in cards] == [(1, 3), (2, 4)]
        assert len(database.query("SELECT * FROM {prefix}loancards_desk")) == 2
        assert not database.query("SELECT * FROM {prefix}queuedtracking_queue")
    finally:
        assert reproducing.harness("repro", "remove", "older").code == 0
    assert left_of(reproducing, "older") == []


def known(found: Any, before: Any) -> Any:
    """Return a report without the figures that only a newer Matomo has."""
    if isinstance(found, list) and isinstance(before, list) and len(found) == len(before):
        return [known(one, other) for one, other in zip(found, before, strict=True)]
    if isinstance(found, dict) and isinstance(before, dict):
        return {key: known(found[key], before[key]) for key in found if key in before}
    return found
