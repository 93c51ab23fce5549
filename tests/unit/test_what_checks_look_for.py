"""Words, names and days by which single checks decide."""

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, cast

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.gate import remote
from matomo_harness.gate.catalogue import ALL
from matomo_harness.gate.core.check import CannotTellError, NothingPromisedError
from matomo_harness.gate.probes.reports import END_OF_A_YEAR, MailedReport, first_day
from matomo_harness.gate.probes.traffic import StoredHits, Traffic, is_excluded
from matomo_harness.gate.promises.archiving.checks import (
    ENDED,
    UNKNOWN_OPTION,
    failure_is_reported,
)
from matomo_harness.gate.promises.code import checks as of_code
from matomo_harness.gate.promises.code.checks import compiled_pages_only_show
from matomo_harness.gate.promises.database.checks import (
    does_nothing_of_its_own,
    numbers_of_archives_are_new,
    one_character_set,
    tables_have_their_keys,
)
from matomo_harness.gate.promises.environment.checks import (
    READ_ELSEWHERE,
    _is_of_a_service,
    keys_set,
    no_useless_variable,
)
from matomo_harness.gate.promises.exposure.checks import (
    Exposure,
    errors_tell_no_path,
    no_dump_is_open,
)
from matomo_harness.gate.promises.user_ids.checks import (
    MAIL_ADDRESS,
    NAMES_A_USER,
    no_mail_address_is_stored,
)
from matomo_harness.matomo import twofactor
from matomo_harness.matomo.api import ApiError
from matomo_harness.matomo.image import OFFICIAL
from matomo_harness.matomo.twofactor import Account


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("Account of jane.doe@people.example", True),
        ("/reset?for=jane%40people.example", True),
        ("jane@js.example", True),
        ("https://one.example/covers/cover@2x.jpg", False),
        ("unpkg.com/vue@next.js", False),
        ("npm.example/matomo@5.3.1/index", False),
    ],
)
def test_a_picture_or_a_package_is_no_mail_address(text: str, is_found: bool) -> None:
    assert bool(re.search(MAIL_ADDRESS, text)) is is_found


@pytest.mark.parametrize(
    ("name", "is_found"),
    [
        ("Login", True),
        ("User name", True),
        ("E-Mail", True),
        ("emailAddress", True),
        ("Login status", False),
        ("E-Mail link clicked", False),
        ("User type", False),
    ],
)
def test_a_dimension_of_users_is_known_by_its_name(name: str, is_found: bool) -> None:
    assert bool(re.search(NAMES_A_USER, name)) is is_found


@pytest.mark.parametrize(
    ("name", "value", "is_of_one"),
    [
        ("MATOMO_SERVICE_HOST", "10.0.0.1", True),
        ("MATOMO_SERVICE_PORT_HTTP", "80", True),
        ("MATOMO_PORT", "tcp://10.0.0.1:80", True),
        ("MATOMO_DB_PORT_3306_TCP_ADDR", "10.0.0.2", True),
        ("MATOMO_DATABSE_PORT", "3306", False),
        ("MATOMO_GENERAL_SALT", "x", False),
    ],
)
def test_variables_that_kubernetes_makes_of_a_service_are_known(
    name: str, value: str, is_of_one: bool
) -> None:
    assert _is_of_a_service(name, value) is is_of_one


@pytest.mark.parametrize(
    ("oldest", "today", "expected"),
    [
        (date(2024, 1, 1), date(2026, 11, 30), END_OF_A_YEAR),
        (date(2026, 9, 1), date(2026, 11, 30), date(2026, 10, 31)),
        (date(2026, 9, 1), date(2026, 12, 1), date(2026, 10, 31)),
        (date(2026, 9, 1), date(2026, 12, 3), date(2026, 11, 30)),
        (date(2027, 1, 1), date(2027, 3, 2), date(2027, 1, 31)),
    ],
)
def test_counted_visits_are_of_a_months_end_that_matomo_takes_hits_of(
    oldest: date, today: date, expected: date
) -> None:
    assert first_day(oldest, today) == expected


def test_where_visits_are_deleted_within_weeks_none_can_be_counted() -> None:
    with pytest.raises(CannotTellError, match="deleted so early"):
        first_day(date(2026, 11, 10), date(2026, 11, 30))


def container(run: Callable[..., str], **profile: Any) -> Any:
    return SimpleNamespace(run=run, profile=replace(OFFICIAL, **profile))


@pytest.mark.parametrize(("user", "expected"), [("1001:0", "1001:0"), ("", "root")])
def test_a_scheduled_task_begins_as_the_user_that_the_image_starts_as(
    user: str, expected: str
) -> None:
    users = []

    def run(*_: str, user: str = "") -> str:
        users.append(user)
        return f"{ENDED} 1"

    own = {"has_archiver": True, "archiver": ("archive.sh",)}
    assert failure_is_reported(container(run, user=user, **own)).passed
    assert users == [expected]


def test_a_variable_that_the_start_reads_by_its_name_is_not_useless() -> None:
    environment = {"MATOMO_DATABASE_USER": "matomo", "MATOMO_MISSPELT": "1"}
    facts = {"environment": environment, "warnings": None, "settings": {}}
    profile = {"named": (("database.username", "MATOMO_DATABASE_USER"),)}
    php: Any = SimpleNamespace(facts=facts)
    found = no_useless_variable(php, container(lambda *_: "", **profile))
    assert "MATOMO_MISSPELT" in str(found)
    assert "MATOMO_DATABASE_USER" not in str(found)


BUSYBOX: str = """#!/bin/sh
[ "$1" = -c ] || { echo "sha256sum: unrecognized option: $1" >&2; exit 1; }
exec /usr/bin/sha256sum -c "$2"
"""
"""It has no long options."""


def compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> Any:
    """Return what is found of a file that is not its base's, by this sha256sum."""
    sums = tmp_path / "base.sha256"
    (tmp_path / "index.php").write_text("patched")
    sums.write_text(f"{'0' * 64}  ./index.php\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sha256sum").write_text(program)
    (tmp_path / "bin/sha256sum").chmod(0o755)
    monkeypatch.setattr(of_code, "OF_THE_BASE", sums)
    monkeypatch.setattr(of_code, "_code", lambda _: tmp_path)
    path = f"{tmp_path}/bin:{os.environ['PATH']}"

    def run(*command: str) -> str:
        return subprocess.run(
            command, env={"PATH": path}, check=True, capture_output=True, text=True
        ).stdout

    return of_code.matomo_is_of_the_base(container(run))


def test_a_patched_file_is_seen_with_busybox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "index.php" in str(compared(tmp_path, monkeypatch, BUSYBOX))


def test_without_a_sha256sum_that_compares_nothing_is_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CannotTellError, match="sha256sum"):
        compared(tmp_path, monkeypatch, "#!/bin/sh\nexit 1\n")


@pytest.mark.parametrize(
    ("said", "passed"),
    [
        (f"{ENDED} 1", True),
        # The job prints the code itself, and loses it.
        (f'The "--{UNKNOWN_OPTION}" option does not exist.\nexit code 1\n{ENDED} 0', False),
        # It takes no option, archives, and ends well.
        (f"done\n{ENDED} 0", None),
        ("", None),
    ],
)
def test_a_lost_exit_code_differs_from_a_job_that_cannot_fail(
    said: str, passed: bool | None
) -> None:
    own = container(lambda *_, **__: said, has_archiver=True, archiver=("archive.sh",))
    if passed is None:
        with pytest.raises(CannotTellError):
            failure_is_reported(own)
    else:
        assert failure_is_reported(own).passed is passed


def test_a_variable_that_a_script_of_the_start_mentions_is_not_useless() -> None:
    environment = {"MATOMO_USERNAME": "admin", "MATOMO_MISSPELT": "1"}
    php: Any = SimpleNamespace(facts={"environment": environment, "warnings": None, "settings": {}})
    found = no_useless_variable(php, container(lambda *_: "MATOMO_USERNAME\n"))
    assert found.seen == "MATOMO_MISSPELT"


def test_a_variable_that_a_plugin_or_the_web_server_reads_is_not_useless(tmp_path: Path) -> None:
    for path, text in (
        ("plugins/Own/Own.php", "<?php $secret = getenv('MATOMO_OWN_SECRET');"),
        ("config/config.php", "<?php return ['own' => getenv('MATOMO_OWN_WORD')];"),
        ("php.d/own.ini", "memory_limit = ${MATOMO_MEMORY}"),
    ):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
    # Of this machine nothing is searched.
    instead = f'find {tmp_path}/php.d -type f -exec grep -lwF -- "$name" {{}} +'
    script = re.sub(r"find (-L )?/.*", instead, READ_ELSEWHERE)

    def run(*command: str) -> str:
        words = [script if word == READ_ELSEWHERE else word for word in command]
        return subprocess.run(
            words, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    names = ("MATOMO_OWN_SECRET", "MATOMO_OWN_WORD", "MATOMO_MEMORY", "MATOMO_OWN", "MATOMO_MEMO")
    facts = {"environment": dict.fromkeys(names, "1"), "warnings": None, "settings": {}}
    found = no_useless_variable(cast(Any, SimpleNamespace(facts=facts)), container(run))
    assert found.seen == "MATOMO_OWN; MATOMO_MEMO"


def test_a_variable_that_names_a_file_sets_its_key_too() -> None:
    facts = {
        "environment": {
            "MATOMO_DATABASE_PASSWORD_FILE": "/run/secrets/db",
            "MATOMO_GENERAL_SALT": "x",
            "MATOMO_NOWHERE_FILE": "x",
            "MATOMO_DATABASE_PORT": "tcp://10.0.0.9:3306",
        },
        "settings": {"database": {"password": "a", "port": "3306"}, "General": {"salt": "x"}},
    }
    assert keys_set(facts) == {
        "MATOMO_GENERAL_SALT": ("General", "salt"),
        "MATOMO_DATABASE_PASSWORD_FILE": ("database", "password"),
    }


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (r'{"message":"x #0 \/core\/API\/Request.php(2)"}', True),
        (r'{"message":"in \/srv\/matomo\/core\/Db.php"}', True),
        (r'{"message":"Method No.such does not exist, see https:\/\/matomo.org\/faq"}', False),
    ],
)
def test_a_path_in_an_error_is_seen_as_json_writes_it(answer: str, shown: bool) -> None:
    http: Any = SimpleNamespace(
        web=SimpleNamespace(get=lambda _: SimpleNamespace(text=answer)), url="http://localhost"
    )
    own = container(lambda *_: "", web_root="/srv/matomo")
    assert errors_tell_no_path(http, own).passed is not shown


@pytest.mark.parametrize(
    ("name", "closed"),
    [
        ("console_is_closed", "config/"),
        ("caches_and_languages_are_closed", "config/"),
        ("everything_else_is_closed", "console"),
    ],
)
def test_a_kind_of_path_that_the_policy_does_not_name_is_not_promised(
    name: str, closed: str
) -> None:
    run = next(check.run for check in ALL if check.id == f"exposure.{name}")
    with pytest.raises(NothingPromisedError, match="names no such path"):
        run(Exposure(closed_paths=(closed,)), SimpleNamespace())


def test_a_dump_among_matomos_own_files_is_asked_for() -> None:
    asked = []

    def ask(path: str, **_: object) -> Any:
        asked.append(path)
        return SimpleNamespace(status_code=404, ok=False, text="", content=b"", headers={})

    root: Any = SimpleNamespace(
        files=["index.php", "plugins/Own/lists.csv", "dump.sql"], unknown=["dump.sql"]
    )
    found = "./index.php\n./plugins/Own/lists.csv\n./dump.sql\n./tmp/a.log\n"
    own = container(lambda *_: found, code=OFFICIAL.web_root)
    http: Any = SimpleNamespace(web=SimpleNamespace(ask=ask), url="http://localhost")
    assert no_dump_is_open(own, root, http).passed
    assert {"dump.sql", "tmp/a.log"} <= set(asked)
    assert "plugins/Own/lists.csv" not in asked


@pytest.mark.parametrize(
    ("names_clients", "stored", "is_left"),
    [(True, "172.18.0.0", False), (False, "172.18.0.0", True), (False, "172.18.0.1", False)],
)
def test_behind_a_projects_own_proxy_the_end_of_any_address_is_zeroed(
    names_clients: bool, stored: str, is_left: bool
) -> None:
    canary = SimpleNamespace(address="67.249.1.2")
    traffic: Any = SimpleNamespace(
        _names_clients=names_clients,
        _by_proxy=[canary],
        stored=HitStore({id(canary): SimpleNamespace(address=stored)}),
    )
    left = Traffic.left_of(traffic, canary, 2)  # type: ignore[arg-type]
    assert "67.249.0.0" in left
    assert (stored in left) is is_left


class HitStore(dict[int, Any]):
    """What is stored of canaries, which are no keys here."""

    def __contains__(self, canary: object) -> bool:
        return super().__contains__(id(canary))

    def __getitem__(self, canary: object) -> Any:
        return super().__getitem__(id(canary))


@pytest.mark.parametrize(
    ("address", "excluded", "expected"),
    [
        ("10.250.1.2", "192.0.2.1, 10.0.0.0/8", True),
        ("172.20.250.3", "172.*.*.*", True),
        ("192.168.250.3", "192.168.250.3", True),
        ("fd12:3456::1", "fd00::/8", True),
        ("10.250.1.2", "fd00::/8,10.0.*.*,no address", False),
        ("10.250.1.2", "", False),
    ],
)
def test_an_excluded_address_is_known(address: str, excluded: str, expected: bool) -> None:
    assert is_excluded(address, excluded) is expected


def test_where_own_networks_are_not_counted_their_mask_is_not_judged() -> None:
    sender = SimpleNamespace(is_bulk_refused=False)
    of_others: Any = SimpleNamespace(canaries=[SimpleNamespace(way="form, IPv4")], _sender=sender)
    with pytest.raises(CannotTellError, match="excluded IPs"):
        Traffic.came(of_others, "own network")
    assert Traffic.came(of_others, "form") == of_others.canaries


def test_a_superuser_without_a_second_factor_has_no_secret_to_give() -> None:
    given = {"HARNESS_LOGIN": "ada", "HARNESS_PASSWORD": "of hers"}
    assert remote._account(given) == Account("ada", "of hers", "")
    assert remote._account({}) is None
    with pytest.raises(WrongInputError, match="no HARNESS_PASSWORD"):
        remote._account({"HARNESS_LOGIN": "ada", "HARNESS_TOTP_SECRET": "A" * 16})


@pytest.mark.parametrize(("component", "refused"), [(twofactor.SETUP, True), (None, False)])
def test_a_superuser_who_has_yet_to_enrol_sees_no_page_to_judge(
    monkeypatch: pytest.MonkeyPatch, component: str | None, refused: bool
) -> None:
    page = SimpleNamespace(component=component, response=SimpleNamespace(status_code=200))
    monkeypatch.setattr(twofactor, "sign_in", lambda *_, **__: page)
    web: Any = SimpleNamespace(url="https://analytics.example")
    with pytest.raises(WrongInputError, match="enrolled") if refused else nullcontext():
        remote._require_login(web, Account("ada", "of hers", ""))


def schema_of(*rows: Mapping[str, object], prefix: str = "matomo_") -> Any:
    return SimpleNamespace(query=lambda *_: list(rows), tables_prefix=prefix)


def test_tables_of_another_application_are_not_matomos() -> None:
    other, own = {"name": "wp_log", "charset": "latin1"}, {"name": "matomo_x", "charset": "utf8mb4"}
    assert tables_have_their_keys(schema_of(other)).passed
    assert tables_have_their_keys(schema_of(other, own)).seen == "matomo_x"
    assert one_character_set(schema_of(other, own)).passed
    assert one_character_set(schema_of(other, own, prefix="")).seen == "latin1: 1, utf8mb4: 1"


def schema_with(
    tables: Mapping[str, str],
    objects: Mapping[str, tuple[str, str | None, str | None]] = MappingProxyType({}),
    prefix: str = "matomo_",
) -> Any:
    """Return a schema with these tables, and objects with name, table and text, by their kinds."""

    def query(statement: str) -> list[dict[str, str | None]]:
        if "information_schema.TABLES" in statement:
            return [{"name": name, "kind": kind} for name, kind in tables.items()]
        found = [one for kind, one in objects.items() if f"information_schema.{kind}" in statement]
        return [dict(zip(("name", "on", "text"), one, strict=True)) for one in found]

    return SimpleNamespace(query=query, tables_prefix=prefix, unseen_kinds=list)


OWN = {"matomo_log_visit": "BASE TABLE", "matomo_site": "BASE TABLE"}
SHARED = {**OWN, "wp_posts": "BASE TABLE", "wp_history": "SYSTEM VERSIONED"}


@pytest.mark.parametrize(
    ("kind", "one"),
    [
        ("TRIGGERS", ("wp_count", "wp_posts", "UPDATE wp_terms SET count = 1")),
        ("EVENTS", ("purge", None, "DELETE FROM wp_posts WHERE post_date < NOW()")),
        ("ROUTINES", ("cleanup", None, "BEGIN DELETE FROM wp_matomo_log_visit; END")),
        ("VIEWS", ("recent", None, "select `a`.`wp_posts`.`id` from `a`.`wp_posts`")),
    ],
)
def test_what_another_application_has_in_the_schema_is_not_matomos(
    kind: str, one: tuple[str, str | None, str | None]
) -> None:
    assert does_nothing_of_its_own(schema_with(SHARED, {kind: one})).passed
    assert one[0] in does_nothing_of_its_own(schema_with(OWN, {kind: one})).seen
    assert not does_nothing_of_its_own(schema_with(SHARED, {kind: one}, prefix="")).passed


@pytest.mark.parametrize(
    ("kind", "one"),
    [
        ("TRIGGERS", ("kept", "matomo_site", "INSERT INTO wp_posts VALUES (1)")),
        ("TRIGGERS", ("copied", "wp_posts", "DELETE FROM matomo_site")),
        ("EVENTS", ("purge", None, "DELETE FROM `matomo_log_visit`")),
        ("VIEWS", ("visits", None, "select 1 from `a`.`matomo_log_visit`")),
    ],
)
def test_what_acts_on_matomos_tables_is_seen_beside_another_application(
    kind: str, one: tuple[str, str | None, str | None]
) -> None:
    assert one[0] in does_nothing_of_its_own(schema_with(SHARED, {kind: one})).seen


def test_a_copy_of_a_table_makes_no_other_application() -> None:
    copies = {**OWN, "old_matomo_site": "SYSTEM VERSIONED"}
    assert does_nothing_of_its_own(schema_with(copies)).seen == "history of old_matomo_site"


def test_what_another_applications_routine_does_is_not_guessed() -> None:
    hidden = schema_with(SHARED, {"ROUTINES": ("cleanup", None, None)})
    with pytest.raises(CannotTellError, match="routine cleanup"):
        does_nothing_of_its_own(hidden)


def test_mail_addresses_are_looked_for_in_tables_of_hits_alone() -> None:
    names = ("matomo_log_visit", "visits_of_2023", "matomo_own", "wp_customers")
    columns = [{"name": name, "column": "custom_dimension_1"} for name in names]
    # A copy may have any name; the second of these has no dimension.
    columns += [{"name": name, "column": "idvisit"} for name in ("visits_of_2023", "goals_of_2023")]
    asked: list[str] = []

    def query(statement: str, *_: str) -> list[dict[str, Any]]:
        if "information_schema" in statement:
            return [*columns]
        asked.append(statement.partition("FROM ")[2])
        return [{"custom_dimension_1": int("2023" in statement)}]

    database: Any = SimpleNamespace(query=query, tables_prefix="matomo_")
    found = no_mail_address_is_stored(database)
    assert found.seen == "1 in visits_of_2023.custom_dimension_1"
    assert asked == ["`matomo_log_visit`", "`visits_of_2023`", "`matomo_own`"]


def test_a_copy_of_an_archive_takes_no_number() -> None:
    def query(statement: str, *_: object) -> list[dict[str, object]]:
        if "sequence" in statement:
            return [{"name": "matomo_archive_numeric_2026_01", "value": 7}]
        return [{"last": 7}]

    names = {"archive_numeric_2026_01", "archive_blob_2026_01", "archive_numeric_2026_01_before"}
    database: Any = SimpleNamespace(query=query, tables_prefix="matomo_", tables=lambda: names)
    assert numbers_of_archives_are_new(database).passed


def test_the_report_that_is_mailed_is_of_the_day_of_the_hits() -> None:
    asked: dict[str, object] = {}

    def call(method: str, **parameters: object) -> dict[str, int]:
        asked.update({f"{method} {name}": value for name, value in parameters.items()})
        return {"value": 7}

    sender = SimpleNamespace(run="run")
    sent = SimpleNamespace(site=SimpleNamespace(id=2), day=date(2026, 11, 30))
    api = SimpleNamespace(call=call)
    MailedReport(sender, sent, None, api)  # type: ignore[arg-type]
    assert asked["ScheduledReports.sendReport date"] == "2026-11-30"
    assert asked["ScheduledReports.sendReport idReport"] == 7


def test_the_visits_log_is_of_the_day_of_the_hits() -> None:
    asked: dict[str, object] = {}
    sent = object.__new__(Traffic)
    sent.site = cast(Any, SimpleNamespace(id=2))
    sent.day = date(2026, 11, 30)
    sent._api = cast(Any, SimpleNamespace(call=lambda _, **more: asked.update(more) or []))
    assert sent.visits_log == []
    assert asked["date"] == "2026-11-30"


def test_a_visits_log_that_is_off_tells_nothing() -> None:
    def call(*_: object, **__: object) -> None:
        raise ApiError(expected="", seen="Visits log is deactivated globally.", next_command="")

    site: Any = SimpleNamespace(all_ids=[1])
    hits = StoredHits(cast(Any, None), site, cast(Any, SimpleNamespace(call=call)), None)
    with pytest.raises(CannotTellError, match="switched off"):
        hits.of([])


def test_canaries_are_looked_for_on_their_own_sites_alone() -> None:
    asked: list[tuple[object, ...]] = []

    def query(*given: object) -> list[Any]:
        asked.append(given)
        return []

    sender, site, database = (
        SimpleNamespace(run="r"),
        SimpleNamespace(all_ids=[3, 4]),
        SimpleNamespace(query=query),
    )
    hits = StoredHits(*(cast(Any, each) for each in (sender, site, None, database)))
    assert hits.of([]) == {}
    assert "v.idsite IN %s" in str(asked[0][0])
    assert asked[0][1] == (3, 4)


@pytest.mark.parametrize(("value", "is_one"), [(True, True), (False, False)])
def test_the_token_of_a_user_who_is_no_superuser_is_refused(value: bool, is_one: bool) -> None:
    api: Any = SimpleNamespace(call=lambda _: {"value": value})
    if is_one:
        remote._require_superuser(api)
        return
    with pytest.raises(WrongInputError, match="the token of a user who is none"):
        remote._require_superuser(api)


def test_a_program_in_a_tmp_that_is_a_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.php").write_text("<?php eval($_POST['a']);")
    (tmp_path / "tmp").symlink_to("data")

    def run(*command: str, **_: object) -> str:
        return subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    own: Any = SimpleNamespace(run=run, tmp="tmp")
    assert not compiled_pages_only_show(own).passed
