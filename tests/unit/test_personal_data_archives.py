"""Records of archives: numbers stay, and no label names anybody."""

import zlib
from typing import Any

import pytest

from matomo_harness.personal_data.archives import rewritten
from matomo_harness.personal_data.documents import serialised, unserialised
from matomo_harness.personal_data.pseudonyms import Pseudonyms

MADE = Pseudonyms(b"k" * 32)


def packed(table: Any) -> bytes:
    return zlib.compress(serialised(table).encode())


def unpacked(value: bytes | None) -> Any:
    assert value is not None
    return unserialised(zlib.decompress(value).decode())


def labels(name: str, *texts: str) -> list[str]:
    """Return what becomes of the labels of a report."""
    table = {number: {0: {"label": text, 2: 7}} for number, text in enumerate(texts)}
    rows = unpacked(rewritten(packed(table), name, MADE))
    assert [row[0][2] for row in rows.values()] == [7] * len(texts)
    return [row[0]["label"] for row in rows.values()]


def test_numbers_and_the_tables_below_stay() -> None:
    row: dict[Any, Any] = {
        0: {"label": "/jo", 2: 12, 6: "3.5", "goals": {"idgoal=1": {1: 2}}},
        1: {},
        3: 4,
    }
    table: dict[int, Any] = {0: row, -1: {0: {"label": -1, 2: 5}}}
    made = unpacked(rewritten(packed(table), "Actions_actions_url", MADE))
    assert made == {**table, 0: {**row, 0: {**row[0], "label": f"/{MADE.page('jo')}"}}}


def test_a_page_is_called_as_its_address_in_the_log_is() -> None:
    host, *parts = MADE.url("shop.example/jo/doe?of=ada").split("/")
    assert labels("Actions_actions_url", "jo", "/doe?of=ada", "/index") == [
        parts[0],
        f"/{parts[1]}",
        "/index",
    ]
    assert labels("Referrers_urlByWebsite", "shop.example") == [host]


def test_a_title_is_called_as_it_is_in_the_log() -> None:
    assert labels("Actions_actions", " The diary of Jo") == [f" {MADE.text('The diary of Jo')}"]


def test_devices_and_numbers_stay() -> None:
    same = ["Firefox", "1920x1080", "WIN;10", "CH;120.0", "us"]
    assert labels("DevicesDetection_browsers", *same) == same
    ranges = ["21-60", "7", "365+"]
    for name in ("Goal_1_days_until_conv", "Goal_visits_until_conv", "Goal_-1_visits_until_conv"):
        assert labels(name, *ranges) == ranges
    assert labels("Goal_1_visits_until_conv", "Ada") == [MADE.text("Ada")]


@pytest.mark.parametrize(
    ("name", "number"),
    [("UserId_users", "20261129"), ("Actions_sitesearch", "+41 79 123 45 67")],
)
def test_a_number_may_be_somebody(name: str, number: str) -> None:
    assert number not in labels(name, number)


def test_a_label_that_php_stored_as_a_number_is_one_like_any_other() -> None:
    table = {0: {0: {"label": 41791234567, 2: 7}}, 1: {0: {"label": True, 2: 7}}}
    made = unpacked(rewritten(packed(table), "UserId_users", MADE))
    assert made[0][0] == {"label": labels("UserId_users", "41791234567")[0], 2: 7}
    assert made[1] == table[1]
    hours = {0: {0: {"label": 13, 2: 7}}}
    assert unpacked(rewritten(packed(hours), "VisitTime_serverTime", MADE)) == hours


@pytest.mark.parametrize("name", ["Events_name_action", "Goals_ItemsSku", "Anything_of_a_plugin"])
def test_of_any_other_report_labels_are_text(name: str) -> None:
    # A number of three digits may be a customer's.
    assert labels(name, "ada@shop.test", "742") == [MADE.text("ada@shop.test"), MADE.text("742")]


def test_a_dimension_is_called_as_it_is_in_the_log() -> None:
    labelled = labels("CustomDimensions_Dimension1", "Staff", "742", "Value not defined")
    assert labelled == [MADE.pseudonym("staff"), MADE.pseudonym("742"), "Value not defined"]
    assert labels("CustomVariables_valueByName", "7") == [MADE.pseudonym("7")]
    page = "shop.example/of/ada"
    assert labels("CustomDimensions_Dimension1_chunk_0_99", page) == [MADE.url(page)]


def test_a_city_is_placed_as_in_the_log() -> None:
    table = {0: {0: {"label": "Zermatt|VS|ch", 2: 7}, 1: {"lat": 46.021, "long": "7.747"}}}
    made = unpacked(rewritten(packed(table), "UserCountry_city", MADE))
    assert made[0][1] == {"lat": 46.0, "long": 8.0}


def test_what_looks_like_an_address_does_not_stay_in_any_report() -> None:
    assert labels("DevicesDetection_browserVersions", "93.184.216.34", "a.b@shop.test") == [
        MADE.text("93.184.216.34"),
        MADE.text("a.b@shop.test"),
    ]


def test_below_an_engine_are_words_and_below_a_word_is_an_engine() -> None:
    inner = serialised({0: {0: {"label": "ada lovelace", 2: 1}}})
    below = unpacked(
        rewritten(packed({4: inner}), "Referrers_keywordBySearchEngine_chunk_0_99", MADE)
    )
    assert unserialised(below[4])[0][0]["label"] == MADE.pseudonym("ada lovelace")
    assert labels("Referrers_keywordBySearchEngine", "Google") == ["Google"]
    assert labels("Referrers_searchEngineByKeyword_chunk_0_99", "Google") == ["Google"]


def test_metadata_of_a_row_is_rewritten() -> None:
    meta = {
        "url": "https://shop.example/jo",
        "segment": "pageUrl==https%3A%2F%2Fshop.example%2Fjo",
        "logo": "plugins/Morpheus/icons/dist/flags/us.png",
        "note": "of Jo",
    }
    made = unpacked(rewritten(packed({0: {0: {"label": "jo"}, 1: meta}}), "Any_report", MADE))
    assert made[0][1]["url"] == MADE.url(meta["url"])
    assert made[0][1]["logo"] == meta["logo"]
    assert "jo" not in made[0][1]["segment"].lower()
    assert made[0][1]["note"] == MADE.text("of Jo")


@pytest.mark.parametrize(
    "value",
    [b"", b"no zlib", zlib.compress(b'O:3:"Row":0:{}'), zlib.compress(b's:2:"jo";')],
    ids=["nothing", "not packed", "an object", "no table"],
)
def test_what_cannot_be_read_does_not_stay(value: bytes) -> None:
    assert rewritten(value, "Any_report", MADE) is None
