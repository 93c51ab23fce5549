"""`make traffic` fills a running stack with visits that Matomo reports to the last one."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from matomo_harness.errors import ExitCode
from matomo_harness.matomo import made_up
from matomo_harness.matomo.api import Api
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.made_up import Place
from matomo_harness.matomo.traffic import bounds
from matomo_harness.operate import local
from matomo_harness.operate.stack import Stack
from matomo_harness.operate.traffic import TRACKED
from tests.checkout import Checkout, copied

VISITS, DAYS = TRACKED + 500, 9


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A local stack that is up, without visits."""
    with copied(tmp_path_factory.mktemp("traffic")) as copy:
        answer = copy.harness("up")
        assert answer.code == 0, answer.text
        yield copy
        assert copy.harness("down").code == 0


@pytest.fixture(scope="module")
def database(stack: Checkout) -> Database:
    return local.database_of(Stack(stack.root))


@pytest.fixture(scope="module")
def api(stack: Checkout) -> Api:
    return Api(stack.web, stack.harness("token").text.split()[-1])


def traffic(stack: Checkout, *options: str) -> dict[str, Any]:
    answer = stack.harness("traffic", "--json", *options)
    assert answer.code == 0, answer.text
    found: dict[str, Any] = json.loads(answer.text[: answer.text.rindex("}") + 1].split("\n{")[-1])
    return found


def test_a_stack_that_is_not_up_is_named(tmp_path: Path) -> None:
    with copied(tmp_path) as copy:
        for verb in ("traffic", "shell"):
            copy.harness(verb).refuses(ExitCode.WRONG_INPUT, "the local stack to be up", "make up")


@pytest.mark.slow(reason="three commands on a stack")
@pytest.mark.nightly(reason="a rare state")
def test_a_stack_without_its_tables_is_named(stack: Checkout) -> None:
    prefix = stack.database.tables_prefix
    stack.database.query(f"RENAME TABLE {prefix}user TO {prefix}user_away")
    try:
        for verb in ("traffic", "token", "totp"):
            answer = stack.harness(verb)
            answer.refuses(ExitCode.WRONG_INPUT, "an installed Matomo", "make up")
    finally:
        stack.database.query(f"RENAME TABLE {prefix}user_away TO {prefix}user")


def test_an_unknown_reproduction_is_named(stack: Checkout) -> None:
    for verb in ("traffic", "shell"):
        stack.harness(verb, "--repro", "nowhere").refuses(ExitCode.WRONG_INPUT, "nowhere")


def test_impossible_numbers_are_refused(stack: Checkout) -> None:
    for option in ("sites", "days", "visits"):
        answer = stack.harness("traffic", f"--{option}", "-1")
        answer.refuses(ExitCode.WRONG_INPUT, f"{option.upper()}=-1")
    assert stack.harness("traffic", "--visits", "many").code == ExitCode.WRONG_INPUT


def test_matomo_takes_no_hit_of_a_day_before_yesterday_without_a_token(stack: Checkout) -> None:
    old = f"{datetime.now(UTC) - timedelta(days=3):%Y-%m-%d %H:%M:%S}"
    answer = stack.web.post_form("matomo.php", {"idsite": 1, "rec": 1, "cdt": old})
    assert answer.status_code == requests.codes.bad_request


def test_a_shell_is_the_web_servers_user_in_the_web_root(stack: Checkout) -> None:
    ended = subprocess.run(
        stack.command("shell"),
        cwd=stack.root,
        env=stack.environment(),
        input="id -un; pwd; ls console; exit 7",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.split() == ["www-data", "/var/www/html", "console"]
    assert ended.returncode == 7


@pytest.mark.nightly(reason="hits of some seconds, beside the whole way in every run")
@pytest.mark.usefixtures("interruptible")
def test_of_an_interrupted_run_nothing_stays(stack: Checkout, database: Database) -> None:
    before = rows(database)
    with subprocess.Popen(
        stack.command("traffic"),
        cwd=stack.root,
        env=stack.environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        while rows(database) == before:
            assert program.poll() is None, "it ended without a hit"
            time.sleep(0.2)
        program.send_signal(signal.SIGINT)
    assert program.returncode
    assert rows(database) == before


def rows(database: Database) -> dict[str, int]:
    tables = ("log_visit", "log_link_visit_action", "log_conversion", "log_conversion_item")
    counted = {}
    for table in tables:
        (row,) = database.query(f"SELECT COUNT(*) AS many FROM {{prefix}}{table}")  # noqa: S608
        counted[table] = int(row["many"])
    return counted


@pytest.mark.slow(reason="1,500 visits, archived")
def test_matomo_reports_exactly_the_visits_that_were_asked_for(
    stack: Checkout, api: Api, database: Database
) -> None:
    made = traffic(stack, "--days", f"{DAYS}", "--visits", f"{VISITS}")
    assert (made["tracked"], made["copied"]) == (TRACKED, 500)
    assert sum(site["visits"] for site in made["sites"]) == VISITS
    plan = planned(made, api)
    for place, site in zip(plan.places, made["sites"], strict=True):
        everything = plan.expected(place)
        assert site["unique_visitors"] == everything.unique_visitors
        for period in ("day", "week", "month"):
            first = plan.first_day(place)
            seen = set()
            for number in range(DAYS):
                span = bounds(period, first + timedelta(days=number))
                if span in seen:
                    continue
                seen.add(span)
                wanted = plan.expected(place, *span)
                common: dict[str, Any] = {
                    "idSite": place.id, "period": period, "date": f"{span[0]}",
                }  # fmt: skip
                summary = api.call("VisitsSummary.get", **common)
                goals = api.call("Goals.get", **common)
                assert (
                    summary["nb_visits"],
                    summary["nb_uniq_visitors"],
                    summary["nb_actions"],
                    goals["nb_conversions"],
                ) == (wanted.visits, wanted.unique_visitors, wanted.actions, wanted.conversions)
    orphans = database.query(
        "SELECT c.idvisit FROM {prefix}log_conversion c"
        " LEFT JOIN {prefix}log_visit v ON v.idvisit = c.idvisit AND v.idvisitor = c.idvisitor"
        " AND c.server_time BETWEEN v.visit_first_action_time AND v.visit_last_action_time"
        " WHERE v.idvisit IS NULL"
        " UNION ALL SELECT i.idvisit FROM {prefix}log_conversion_item i"
        " LEFT JOIN {prefix}log_conversion c ON c.idvisit = i.idvisit"
        " AND c.idsite = i.idsite AND COALESCE(c.idorder, '0') = i.idorder"
        " WHERE c.idvisit IS NULL"
        " UNION ALL SELECT a.idvisit FROM {prefix}log_link_visit_action a"
        " LEFT JOIN {prefix}log_visit v ON v.idvisit = a.idvisit AND v.idvisitor = a.idvisitor"
        " AND a.server_time BETWEEN v.visit_first_action_time AND v.visit_last_action_time"
        " WHERE v.idvisit IS NULL"
    )
    assert not orphans
    assert rows(database)["log_conversion_item"] > 0
    assert not database.query(
        "SELECT 1 FROM {prefix}user_token_auth WHERE description LIKE %s", "%traffic%"
    )


def planned(made: dict[str, Any], api: Api) -> made_up.Plan:
    """Make the plan again, from what the command has printed."""
    places = []
    for site in made["sites"]:
        about = api.call("SitesManager.getSiteFromId", idSite=site["id"])
        last = date.fromisoformat(site["last_day"])
        places.append(Place(site["id"], about["main_url"], about["timezone"], last, goal=1))
    return made_up.plan(places, DAYS, VISITS, run=1, tracked=TRACKED)


@pytest.mark.nightly(reason="archives, beside the whole way in every run")
def test_the_page_that_it_names_is_of_a_day_with_visits_and_more_may_come(stack: Checkout) -> None:
    answer = stack.harness("traffic", "--sites", "1", "--days", "2", "--visits", "30")
    assert answer.code == 0, answer.text  # it compares with what was there before
    assert re.search(r"idSite=1&period=day&date=\d{4}-\d\d-\d\d", answer.text)
