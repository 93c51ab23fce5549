"""The statements that rewrite: no key in them, and none where nothing changes."""

import dataclasses
from collections import Counter
from unittest.mock import MagicMock

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.personal_data.pseudonyms import Pseudonyms
from matomo_harness.personal_data.rewriting import (
    REPORTS,
    _rewrite_reports,
    expression,
    is_one_of,
    statements,
)
from matomo_harness.personal_data.rules import TablePlan, built_in, parse
from matomo_harness.personal_data.schema import Column, Schema

ID = Column("p_t", "id", "int", in_primary_key=True, in_unique_key=True)
NAME = Column("p_t", "name", "varchar", 100)


def plan(text: str, *columns: Column) -> TablePlan:
    (only,) = parse(text).plan({"t": list(columns)})
    return only


def test_a_table_without_person_data_is_not_touched() -> None:
    assert statements(plan('[[tables]]\nname = "t"\nkeep = ["id"]', ID)) == []


def test_rows_that_are_dropped_are_not_rewritten_first() -> None:
    assert statements(plan('[[tables]]\nname = "t"\nrows = "drop"', ID, NAME)) == [
        "TRUNCATE TABLE `p_t`"
    ]


def test_a_rewritten_table_takes_the_place_of_the_old_one() -> None:
    made = statements(plan('[[tables]]\nname = "t"\nkeep = ["id"]\ntext = ["name"]', ID, NAME))
    checks, create, insert, drop, rename = made
    assert checks == "SET SESSION unique_checks = 0"
    assert create.endswith("LIKE `p_t`")
    assert insert.startswith("INSERT INTO")
    assert "@harness_key" in insert
    assert drop == "DROP TABLE `p_t`"
    assert rename.endswith("TO `p_t`")


def test_generated_columns_are_not_written() -> None:
    generated = Column("p_t", "made", "varchar", 100, is_generated=True)
    text = '[[tables]]\nname = "t"\nkeep = ["id"]\ntext = ["name", "made"]'
    assert not any("`made`" in made for made in statements(plan(text, ID, NAME, generated)))


@pytest.mark.parametrize("kind", ["pseudonym", "login", "mail", "text", "url", "address"])
def test_a_number_that_a_rule_cannot_fill_is_refused_by_name(kind: str) -> None:
    with pytest.raises(WrongInputError, match=r"p_t\.id"):
        expression(kind, ID)


def test_texts_that_differ_stay_different_where_there_is_room_for_few_signs() -> None:
    assert expression("text", Column("p_t", "idpageview", "char", 6)).count("'text-'") == 0
    assert ", 256), 6)" in expression("text", Column("p_t", "idpageview", "char", 6))
    for length in (17, 100, None):
        assert "'text-'" in expression("text", Column("p_t", "name", "varchar", length))


def test_a_name_with_a_backtick_stays_a_name() -> None:
    column = Column("p_t", "a`b", "varchar", 10)
    made = statements(plan('[[tables]]\nname = "t"\nempty = ["a`b"]', column))
    assert "`a``b`" in made[2]


def test_an_empty_value_of_a_unique_key_would_be_the_same_twice() -> None:
    unique = Column("p_t", "code", "varchar", 100, in_unique_key=True)
    assert "SHA2" in expression("empty", unique)
    assert expression("empty", NAME) == "''"
    for kind in ("bigint", "date"):
        with pytest.raises(WrongInputError, match=r"p_t\.phone to differ"):
            expression("empty", Column("p_t", "phone", kind, in_unique_key=True))


@pytest.mark.parametrize(
    ("kind", "left"),
    [("date", "'1970-01-01'"), ("year", "1970"), ("datetime", "'1970-01-02 00:00:00'")],
)
def test_a_day_that_may_not_be_null_is_nobodys(kind: str, left: str) -> None:
    assert expression("empty", Column("p_t", "birthday", kind)) == left


def test_options_without_a_rule_are_dropped_and_known_ones_stay() -> None:
    schema: Schema = {
        "option": [
            Column("option", "option_name", "varchar", 191, in_primary_key=True),
            Column("option", "option_value", "longtext", 2**32 - 1),
            Column("option", "autoload", "tinyint"),
        ]
    }
    (options,) = built_in().plan(schema)
    insert = statements(options)[2]
    assert "LIKE 'version|_%' ESCAPE '|'" in insert
    # Without it the page of a site with reports and no visits is that of a new site.
    assert "LIKE 'SitesManagerHadTrafficInPast|_%' ESCAPE '|'" in insert
    assert "IS NOT TRUE" in insert


def test_a_value_that_decides_may_have_a_quote_in_it() -> None:
    assert "LIKE 'it''s' ESCAPE '|'" in is_one_of("kind", ["it's"])
    assert r"LIKE 'a\\%' ESCAPE '|'" in is_one_of("kind", [r"a\*"])


def test_the_settings_of_a_queue_go_and_are_not_emptied() -> None:
    """An empty name of its backend is a Redis without a name, and not the default."""
    schema: Schema = {
        "plugin_setting": [
            Column("plugin_setting", "idplugin_setting", "bigint", in_primary_key=True),
            Column("plugin_setting", "plugin_name", "varchar", 60),
            Column("plugin_setting", "setting_value", "longtext", 2**32 - 1),
        ]
    }
    (settings,) = built_in().plan(schema)
    _, _, rows_left = statements(settings)[2].partition(" WHERE ")
    assert "LIKE 'QueuedTracking'" in rows_left
    assert "IS NOT TRUE" in rows_left


def test_reports_are_read_on_from_where_the_last_ones_ended() -> None:
    """The server finds the place by the first column of the key: it looks no pair up."""
    of_archive = Column("p_t", "idarchive", "int", in_primary_key=True, in_unique_key=True)
    text = '[[tables]]\nname = "t"\nkeep = ["id*", "date1"]\nreport = ["name"]'
    of_site, day = Column("p_t", "idsite", "int"), Column("p_t", "date1", "date")
    made = plan(text, of_archive, NAME, of_site, day)
    cursor = MagicMock()
    cursor.fetchall.side_effect = [[(7, f"r{number:02}", b"") for number in range(REPORTS)], []]
    (column,) = made.of_kind("report")
    _rewrite_reports(cursor, made, column, Pseudonyms(bytes(32)), Counter())
    *_, (statement, values) = [call.args for call in cursor.execute.call_args_list]
    assert " WHERE idarchive >= %s AND " in statement
    assert values == (7, 7, f"r{REPORTS - 1}")


def test_the_same_value_is_the_same_whatever_its_case() -> None:
    made = Pseudonyms(b"k" * 32)
    assert made.login("Jo ") == made.login("jo")
    assert made.pseudonym("Jo@Shop.test") == made.pseudonym("jo@shop.test")
    assert made.text("Jo") != made.text("jo")
    assert made.login("jo") != Pseudonyms(b"l" * 32).login("jo")


@pytest.mark.parametrize("kind", ["pseudonym", "login", "mail", "person"])
def test_values_that_a_unique_key_tells_apart_by_a_space_stay_different(kind: str) -> None:
    """In utf8mb4_0900_ai_ci, MySQL 8's own, an order "A1" and another one "A1 " may be there."""
    padded = Column("p_t", "idorder", "varchar", 100, in_unique_key=True)
    assert "RTRIM" in expression(kind, padded)
    no_pad = dataclasses.replace(padded, tells_spaces=True)
    assert "RTRIM" not in expression(kind, no_pad)
    assert "LOWER(CONVERT(" in expression(kind, no_pad)


def test_what_matomo_gives_a_meaning_stays() -> None:
    made = Pseudonyms(b"k" * 32)
    assert made.login("anonymous") == "anonymous"
    assert made.login("super user was set") == "super user was set"
    assert made.pseudonym("0") == "0"
    assert (made.login(""), made.text(""), made.mail(""), made.url("")) == ("", "", "", "")


def test_an_address_of_a_page_keeps_its_structure_and_keys() -> None:
    made = Pseudonyms(b"k" * 32)
    page = made.url("https://www.shop.test/jo/a?name=jo&page=jo&jo#jo")
    assert page.startswith("https://www.host-")
    assert ".example/" in page
    assert "?name=" in page
    assert "&page=" in page
    assert "jo" not in page.replace("host", "")
    assert page.count("/") == 4
