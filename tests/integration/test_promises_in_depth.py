"""What one run of the gate cannot show: odd values, a rotated password, new plugins, age."""

import secrets
from urllib.parse import parse_qsl

import pytest

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.gate.catalogue import ALL, read_policy
from matomo_harness.gate.core import runner as run
from matomo_harness.gate.core.check import Status
from matomo_harness.gate.probes import leak_scan
from matomo_harness.gate.probes.traffic import TITLE
from matomo_harness.gate.promises.accounts.checks import Accounts
from matomo_harness.gate.promises.retention.steps import last_month_with_reports
from matomo_harness.matomo import ini
from matomo_harness.matomo.api import Api, all_rows
from matomo_harness.matomo.web import Parameters
from matomo_harness.runtime import targets
from matomo_harness.runtime.containers import DATABASE_USER
from matomo_harness.runtime.dedicated import DedicatedMatomo
from matomo_harness.runtime.full_stack import FullStack
from matomo_harness.runtime.instance import Instance

pytestmark = pytest.mark.all_versions(
    reason="what Matomo itself does with values, plugins, reports and hits"
)

# -- configuration --------------------------------------------------------------------------------

ODD = """q"uote 'single' back\\slash $dollar ${braces} semi;colon #hash [list] = ü 漢"""
TWO_LINES = "one\ntwo"


@pytest.mark.nightly(reason="containers of its own")
@pytest.mark.matomo_environment(
    MATOMO_MAIL_DEFAULTHOSTNAMEIFEMPTY=ODD,
    MATOMO_GENERAL_LOGIN_PASSWORD_RECOVERY_REPLYTO_EMAIL_NAME=TWO_LINES,
)
@pytest.mark.slow(reason="a deployment of its own")
def test_odd_values_are_the_same_in_console_web_and_tracker(
    matomo_production: FullStack,
) -> None:
    names = ("environment.wins_on_the_command_line", "environment.wins_in_the_web_server")
    target = targets.of_full_stack(matomo_production, read_policy())
    results = run.run(target, [check for check in ALL if check.id in names])
    assert [result.seen for result in results if result.status is not Status.PASSED] == []
    shown = matomo_production.matomo.shell.console("environmentvariables:check")
    assert "MATOMO_MAIL_DEFAULTHOSTNAMEIFEMPTY sets [mail] defaultHostnameIfEmpty" in shown


@pytest.mark.nightly(reason="tasks of its own")
@pytest.mark.matomo_log("module=Login", reason="the old password opens nothing")
@pytest.mark.slow(reason="a deployment of its own")
def test_a_rotated_password_is_taken_up_by_the_next_task(matomo_production: FullStack) -> None:
    matomo_production.mariadb.root.query(
        f"ALTER USER {DATABASE_USER}@'%%' IDENTIFIED BY %s REQUIRE SSL", "rotated-1"
    )
    assert matomo_production.matomo.shell.health() is not None  # the old one opens nothing
    matomo_production.replace_task({"MATOMO_DATABASE_PASSWORD": "rotated-1"})
    assert matomo_production.matomo.shell.health() is None
    assert matomo_production.instance.api.call("SitesManager.getAllSitesId") == [1]


THREE_BYTES = "ALTER TABLE {{prefix}}{} CONVERT TO CHARACTER SET utf8mb3"
CONVERT = ("php", "console", "core:convert-to-utf8mb4", "--yes")


@pytest.mark.matomo_log("Illegal mix of collations", reason="the old tables have no such letters")
@pytest.mark.matomo_log('"POST /matomo.php" 400', reason="such a hit is lost")
def test_three_byte_tables_are_converted_as_the_configuration_says(
    dedicated_matomo: DedicatedMatomo,
) -> None:
    for table in dedicated_matomo.database.tables():
        dedicated_matomo.database.query(THREE_BYTES.format(table))
    assert _titles_stored(dedicated_matomo, "plain", f"before {TITLE}") == ["plain"]
    dedicated_matomo.shell.run("env", "MATOMO_DATABASE_CHARSET=utf8", *CONVERT)
    assert _titles_stored(dedicated_matomo, f"after {TITLE}") == ["plain", f"after {TITLE}"]


def _titles_stored(matomo: Instance, *titles: str) -> list[str]:
    for title in titles:
        hit: Parameters = {"idsite": 1, "rec": 1, "action_name": title}
        matomo.web.post_form("matomo.php", hit)
    rows = matomo.database.query(
        "SELECT name FROM {prefix}log_action WHERE type = 4 ORDER BY idaction"
    )
    return [str(row["name"]) for row in rows]


# -- plugins of the overlay folder ----------------------------------------------------------------

PLUGIN = """<?php
namespace Piwik\\Plugins\\GateOverlay;
class GateOverlay extends \\Piwik\\Plugin
{
    public function isTrackerPlugin() { return true; }
    public function install() { \\Piwik\\DbHelper::createTable('gate_overlay', 'id INT NOT NULL'); }
}
"""


def put_plugin(matomo: DedicatedMatomo) -> None:
    matomo.shell.run("mkdir", "-p", "plugins/GateOverlay")
    matomo.shell.write("plugins/GateOverlay/GateOverlay.php", PLUGIN)
    manifest = '{"name": "GateOverlay", "version": "1.0.0", "require": {"matomo": ">=5.0.0-b1"}}'
    matomo.shell.write("plugins/GateOverlay/plugin.json", manifest)


def is_installed(matomo: DedicatedMatomo) -> bool:
    answer = matomo.api.call("API.isPluginActivated", pluginName="GateOverlay")
    return bool(answer["value"]) and "gate_overlay" in matomo.database.tables()


def test_a_listed_plugin_is_installed_by_the_next_request(
    dedicated_matomo: DedicatedMatomo,
) -> None:
    put_plugin(dedicated_matomo)
    shell = dedicated_matomo.shell
    text = ini.with_key(shell.read(shell.config), "Plugins", "Plugins[]", "GateOverlay")
    shell.write(shell.config, text)
    assert dedicated_matomo.web.ask("matomo.php?idsite=1&rec=1").ok
    assert is_installed(dedicated_matomo)


def test_a_plugin_that_is_activated_on_the_console_is_installed(
    dedicated_matomo: DedicatedMatomo,
) -> None:
    put_plugin(dedicated_matomo)
    dedicated_matomo.shell.console("plugin:activate", "GateOverlay")
    assert is_installed(dedicated_matomo)


# -- archiving ------------------------------------------------------------------------------------

PAGES = 12
ROWS = 5


@pytest.mark.matomo_environment(
    MATOMO_GENERAL_DATATABLE_ARCHIVING_MAXIMUM_ROWS_ACTIONS=str(ROWS),
)
@pytest.mark.slow(reason="a deployment of its own, which archives")
def test_rows_beyond_the_limit_are_summed_up_as_others(
    dedicated_matomo: DedicatedMatomo,
) -> None:
    for number in range(PAGES):
        hit(dedicated_matomo.api, 1, page=number)
    dedicated_matomo.shell.console("core:archive")
    rows = dedicated_matomo.api.call(
        "Actions.getPageUrls", idSite=1, period="day", date="today", filter_limit=-1
    )
    assert len(rows) == ROWS
    assert [row["label"] for row in rows if row["label"] == "Others"] == ["Others"]
    assert sum(row["nb_hits"] for row in rows) == PAGES


@pytest.mark.slow(reason="archives twice")
def test_today_is_archived_anew_once_it_is_old_enough(fresh_matomo: Instance) -> None:
    api, shell = fresh_matomo.api, fresh_matomo.shell
    hit(api, 1, page=1)
    shell.console("core:archive")
    hit(api, 2, page=1)
    shell.console("core:archive")
    assert visits(api) == 1  # younger than the policy's 1,800 s
    for table in fresh_matomo.database.tables():
        if table.startswith("archive_numeric_"):
            fresh_matomo.database.query(
                f"UPDATE {{prefix}}{table} SET ts_archived = ts_archived - INTERVAL 1801 SECOND"  # noqa: S608
            )
    shell.console("core:archive")
    assert visits(api) == 2


def hit(api: Api, visitor: int, *, page: int) -> None:
    form: Parameters = {
        **{"idsite": 1, "rec": 1, "cip": f"11.{visitor}.0.9", "token_auth": api.token},
        "url": f"https://discovery.example/page-{page}",
    }
    assert api.web.post_form("matomo.php", form).ok


def visits(api: Api) -> int:
    answer = api.call("VisitsSummary.getVisits", idSite=1, period="day", date="today")
    return int(answer["value"])


# -- hits that are refused ------------------------------------------------------------------------

USER, ADDRESS = "alice@people.example", "81.250.17.19"


@pytest.mark.parametrize(
    ("site", "failure"), [(4711, 1), (1, 2)], ids=["of no site", "without a token"]
)
def test_a_refused_hit_is_listed_without_its_visitor(
    fresh_matomo: Instance, site: int, failure: int
) -> None:
    """The numbers of failures are Matomo's: core/Tracker/Failures.php."""
    hit: Parameters = {"idsite": site, "rec": 1, "uid": USER, "cip": ADDRESS, "new_visit": 1}
    token: Parameters = {"token_auth": fresh_matomo.token} if failure == 1 else {}
    assert not fresh_matomo.web.post_form("matomo.php", {**hit, **token}).ok
    (row,) = fresh_matomo.database.query("SELECT * FROM {prefix}tracking_failure")
    assert (row["idsite"], row["idfailure"]) == (site, failure)
    stored = dict(parse_qsl(row["request_url"]))
    harmless = {"idsite": str(site), "rec": "1", "new_visit": "1"}
    assert stored.pop("token_auth", "__TOKEN_AUTH__") == "__TOKEN_AUTH__"
    assert stored == {**harmless, "uid": "__USER_ID__", "cip": "__VISITOR_IP__"}


@pytest.mark.slow(reason="an archive run")
def test_where_visits_are_deleted_early_reports_are_judged_all_the_same(
    fresh_matomo: Instance,
) -> None:
    """Matomo takes no hit of a day whose visits it would delete at once."""
    shell = fresh_matomo.shell
    changed = ini.with_key(shell.read(shell.config), "Deletelogs", "delete_logs_older_than", 60)
    shell.write(shell.config, changed)
    names = ("archiving.day_ends_in_the_site_zone", "archiving.segments_are_exact")
    checks = [check for check in ALL if check.id in names]
    results = run.run(targets.of_instance(fresh_matomo, read_policy()), checks)
    assert [(each.status, each.seen) for each in results] == [
        (Status.PASSED, each.seen) for each in results
    ]
    (row,) = fresh_matomo.database.query(
        "SELECT MIN(visit_last_action_time) > NOW() - INTERVAL 67 DAY AS is_recent"
        " FROM {prefix}log_visit"
    )
    assert row["is_recent"]


def test_old_reports_are_made_of_a_month_that_has_some(fresh_matomo: Instance) -> None:
    # At 11:00 UTC of a month's last day the next one begins in Auckland: its tables are empty.
    database = fresh_matomo.database
    for month in ("2098_11", "2098_12"):
        database.query(f"CREATE TABLE {{prefix}}archive_blob_{month} (idarchive INT)")
    database.query("INSERT INTO {prefix}archive_blob_2098_11 VALUES (1)")
    assert last_month_with_reports(database) == "2098_11"
    database.query("DELETE FROM {prefix}archive_blob_2098_11")
    with pytest.raises(BrokenPromiseError) as error:
        last_month_with_reports(database)
    assert "archive_blob_2098_12: no row" in error.value.seen


def test_of_many_accounts_and_sites_all_are_looked_at(fresh_matomo: Instance) -> None:
    # Matomo's API answers with the first hundred where nobody asks for more.
    numbers = [f"{number:03}" for number in range(120)]
    user = (
        "INSERT INTO {prefix}user (login, password, email, twofactor_secret, superuser_access,"
        " date_registered, ts_password_modified) VALUES (%s, 'x', %s, '', %s, NOW(), NOW())"
    )
    for number in numbers:
        fresh_matomo.database.query(user, f"a{number}", f"a{number}@example.org", 0)
    fresh_matomo.database.query(user, "zoe", "zoe@example.org", 1)
    policy = read_policy().with_section(Accounts(superusers=("admin",)))
    check = next(check for check in ALL if check.id == "accounts.superusers_are_named")
    (result,) = run.run(targets.of_instance(fresh_matomo, policy), [check])
    assert (result.status, result.seen) == (Status.FAILED, "zoe")
    # IGNORE: what has no value of its own is empty.
    site = (
        "INSERT IGNORE INTO {prefix}site (name, main_url, ts_created, timezone, currency)"
        " VALUES (%s, 'https://example.org', NOW(), 'UTC', 'USD')"
    )
    for number in numbers:
        fresh_matomo.database.query(site, number)
    assert len(all_rows(fresh_matomo.api, "SitesManager.getAllSitesId")) == len(numbers) + 1


def test_a_leak_scan_skips_files_from_before(fresh_matomo: Instance) -> None:
    """Eight digits of an address may be in a package's sums by chance, which proves nothing."""
    first = "cat /var/lib/dpkg/info/*.md5sums | head -c 8"
    digits = fresh_matomo.shell.run("sh", "-c", first).encode()
    assert leak_scan.in_files(fresh_matomo.shell, {"an address": (digits,)}, of_before=True)
    assert leak_scan.in_files(fresh_matomo.shell, {"an address": (digits,)}) == []
    fresh_matomo.shell.write(f"{fresh_matomo.shell.tmp}/leak", digits.decode())
    assert leak_scan.in_files(fresh_matomo.shell, {"an address": (digits,)}) == [
        f"{fresh_matomo.shell.tmp}/leak"
    ]


def test_a_leak_scan_finds_what_was_written_since_wherever_that_is(fresh_matomo: Instance) -> None:
    shell, canary = fresh_matomo.shell, secrets.token_hex(8)
    since, place = int(shell.run("date", "+%s")), f"/mnt/leak-{canary[:4]}"
    shell.run("sh", "-c", 'echo "$1" > "$2"', "sh", canary, place, user="root")
    try:
        needles = {"a canary": (canary.encode(),)}
        assert leak_scan.in_files(shell, needles) == [], "it is in none of the usual places"
        assert leak_scan.in_files(shell, needles, since=since) == [place]
    finally:
        shell.run("rm", place, user="root")
