"""Rules for person data: each column has one, what has none is refused by name, and drafted."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from matomo_harness.errors import ExitCode, WrongInputError
from matomo_harness.personal_data import rules
from matomo_harness.personal_data.rules import KINDS, built_in, draft, parse
from matomo_harness.personal_data.schema import Column

DUMPS = Path(__file__).parents[1] / "dumps"
OLD = {
    "matomo-4.2-mysql-5.7.sql": "matomo_",
    "matomo-4.x-mysql-8.0.sql": "matomo_",
    "matomo-4.14-mariadb-10.5-no-prefix.sql": "",
}
VISIT = Column("log_visit", "idvisit", "bigint", in_primary_key=True, in_unique_key=True)


def columns(dump: Path, prefix: str) -> Iterator[tuple[str, Column]]:
    """Yield the columns of all tables of a dump, by the table's name."""
    text = dump.read_text()
    for table, inside in re.findall(r"CREATE TABLE `(\w+)` \((.*?)\n\)", text, re.DOTALL):
        for name, kind in re.findall(r"^\s+`(\w+)` (\w+)", inside, re.MULTILINE):
            yield table.removeprefix(prefix), Column(table, name, kind.lower())


@pytest.mark.parametrize("dump", OLD)
def test_every_column_of_an_old_matomo_has_a_rule(dump: str) -> None:
    seen = list(columns(DUMPS / dump, OLD[dump]))
    without = [(t, c.name) for t, c in seen if built_in().rule_of(t, c.name) is None]
    assert len(seen) > 300
    assert without == []


def test_columns_that_plugins_and_settings_add_have_a_rule() -> None:
    of = built_in().rule_of
    for table in ("log_visit", "log_link_visit_action", "log_conversion"):
        for column in ("custom_dimension_17", "custom_var_k9", "custom_var_v9"):
            rule = of(table, column)
            assert rule
            assert rule.kind == "pseudonym"
    for table in ("archive_numeric_2031_12", "queuedtracking_list_trackingQueue_3"):
        assert of(table, "anything") or of(table, "value")
    assert of("log_visit", "campaign_source")
    # Of CustomAlerts since 5.1 and 5.2 (its Updates/).
    for table in ("alert", "alert_triggered"):
        for column in ("description", "report_mediums", "slack_channel_id", "ms_teams_webhook_url"):
            assert of(table, column), column
    # Of plugins that are on by default since 5.7, and of Matomo 3.
    assert of("log_visit", "ai_agent_name")
    assert of("user", "token_auth")


def test_an_unknown_column_is_refused_by_name_with_the_line_to_add() -> None:
    schema = {"log_visit": [VISIT, Column("log_visit", "shoe_size", "varchar", 20)]}
    with pytest.raises(WrongInputError) as error:
        built_in().plan(schema)
    assert error.value.exit_code == ExitCode.WRONG_INPUT
    assert "log_visit.shoe_size" in error.value.seen
    assert "idvisit" not in error.value.seen
    assert "RULES=own.toml" in error.value.next_command
    line = error.value.seen.split("to be added:\n")[1]
    parsed = parse(line).rule_of("log_visit", "shoe_size")
    assert parsed
    assert parsed.kind == "text"


def test_an_unknown_table_is_refused_by_name() -> None:
    with pytest.raises(WrongInputError, match="table shoes"):
        built_in().plan({"shoes": [Column("matomo_shoes", "size", "int")]})


def test_a_table_of_another_prefix_is_refused() -> None:
    with pytest.raises(WrongInputError, match="table piwik_user"):
        built_in().plan({"piwik_user": [Column("piwik_user", "login", "varchar", 100)]})


def test_a_draft_takes_the_most_careful_rule() -> None:
    table = [
        Column("t", "id", "int", in_primary_key=True, in_unique_key=True),
        Column("t", "created", "datetime"),
        Column("t", "login", "varchar", 100),
        Column("t", "notify_email", "varchar", 100),
        Column("t", "ip_address", "varchar", 60),
        Column("t", "target_url", "text", 65535),
        Column("t", "api_token", "varchar", 40),
        Column("t", "idvisitor", "binary", 8),
        Column("t", "payload", "longblob", 2**32 - 1),
        Column("t", "remark", "text", 65535),
        Column("t", "segment_filter", "text", 65535),
        Column("t", "segment_15", "tinyint"),
        Column("t", "code", "varchar", 20, in_unique_key=True),
        Column("t", "phone", "bigint"),
        Column("t", "client_ip", "int"),
        Column("t", "home_latitude", "decimal"),
        Column("t", "birthdate", "date"),
    ]
    text = draft({"new_plugin": table})
    assert "# Numbers and times stay" in text
    drafted = parse(text)
    kinds = {column.name: drafted.rule_of("new_plugin", column.name) for column in table}
    assert {name: rule and rule.kind for name, rule in kinds.items()} == {
        "id": "keep",
        "created": "keep",
        "login": "login",
        "notify_email": "mail",
        "ip_address": "address",
        "target_url": "url",
        "api_token": "empty",
        "idvisitor": "pseudonym",
        "payload": "empty",
        "remark": "text",
        "segment_filter": "segment",
        "segment_15": "keep",
        "code": "pseudonym",
        "phone": "empty",
        "client_ip": "empty",
        "home_latitude": "degrees",
        "birthdate": "empty",
    }


def test_a_whole_name_wins_over_a_pattern() -> None:
    found = parse('[[tables]]\nname = "t"\nkeep = ["visit_*"]\ntext = ["visit_note"]')
    assert [rule.kind for c in ("visit_id", "visit_note") if (rule := found.rule_of("t", c))] == [
        "keep",
        "text",
    ]


def test_a_rule_that_is_switched_off_keeps_the_column_and_no_other() -> None:
    off = built_in().without("user", "email")
    assert [rule.kind for c in ("email", "login") if (rule := off.rule_of("user", c))] == [
        "keep",
        "login",
    ]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("[[tables]", "line 1"),
        ('[[tables]]\nname = "t"\nhide = ["a"]', "hide"),
        ('[[tables]]\nkeep = ["a"]', "name"),
        ('[[tables]]\nname = "t"\nrows = "some"', "rows"),
        ('[[tables]]\nname = "t"\nkeep = "a"', "keep"),
    ],
)
def test_a_mistake_in_the_file_is_named(text: str, seen: str) -> None:
    with pytest.raises(WrongInputError) as error:
        parse(text, "mine.toml")
    assert seen in error.value.seen
    assert "mine.toml" in error.value.expected


def test_rules_for_a_document_that_are_not_there_are_named_with_their_table() -> None:
    text = (
        '[[tables]]\nname = "club"\nkeep = ["kind"]\n'
        '[[tables.cases]]\ncolumn = "data"\nby = "kind"\ndocuments = { "member" = "Card" }\n'
    )
    with pytest.raises(WrongInputError) as error:
        parse(text, "mine.toml")
    assert error.value.seen.startswith("club.data: no [tables.documents.Card]")
    assert "mine.toml" in error.value.expected
    assert parse(text.replace("[[tables.cases]]", "[tables.documents.Card]\n[[tables.cases]]"))


CASES = '[[tables.cases]]\ncolumn = "note"\nby = "kind"\n'


@pytest.mark.parametrize(
    ("rule", "by"),
    [
        (CASES, "kind"),
        ('md5 = ["note"]', "definition"),
        ('crc32 = ["note"]', "name"),
        ('referrer = ["note", "referer_url"]', "referer_type"),
        ('report = ["note"]', "idarchive"),
        ('report = ["note"]', "idsite"),
        ('report = ["note"]', "date1"),
    ],
)
def test_a_rule_by_a_column_that_is_not_there_is_named(rule: str, by: str) -> None:
    columns = [Column("p_club", name, "varchar", 100) for name in ("note", "referer_url")]
    text = '[[tables]]\nname = "club"\nkeep = ["*"]\n' + rule
    own = built_in().extended(parse(text, "mine.toml"))
    with pytest.raises(WrongInputError) as error:
        own.plan({"club": columns})
    assert re.search(rf"club\.(note|referer_url) by {by}\b", error.value.seen)
    assert "mine.toml" in error.value.expected
    names = (by, "name", "idarchive", "idsite", "date1")
    lacking = [Column("p_club", name, "varchar", 100) for name in dict.fromkeys(names)]
    assert own.plan({"club": [*columns, *lacking]})


def test_every_kind_is_explained_at_the_head_of_the_file() -> None:
    head = (Path(rules.__file__).parent / rules.RULES_FILE).read_text().split("# -- people")[0]
    assert [kind for kind in KINDS if not re.search(rf"^# {kind} ", head, re.MULTILINE)] == []


def test_rules_of_ones_own_win_and_do_not_bring_back_what_is_dropped() -> None:
    own = parse(
        '[[tables]]\nname = "goal"\nkeep = ["name"]\n'
        '[[tables]]\nname = "session"\nkeep = ["data"]\n'
        '[[tables]]\nname = "shoes"\nkeep = ["size"]'
    )
    both = built_in().extended(own)
    found = [both.rule_of(*where) for where in (("goal", "name"), ("session", "data"))]
    assert [rule.kind for rule in found if rule] == ["keep", "dropped"]
    assert both.rule_of("shoes", "size")
    # What the built-in rules judge by case, or as a document, too.
    option = built_in().extended(parse('[[tables]]\nname = "option"\nempty = ["option_value"]'))
    for found_in in (option, option.without("option", "option_name")):
        rule = found_in.rule_of("option", "option_value")
        assert rule
        assert rule.kind == "empty"
    assert both.rule_of("user", "login") == built_in().rule_of("user", "login")
