"""JSON, serialised PHP and segments are rewritten by path; what cannot be read is emptied."""

import hashlib
import json
from urllib.parse import quote

import pytest

from matomo_harness.personal_data.documents import (
    rewritten,
    segment,
    segment_hash,
    serialised,
    unserialised,
)
from matomo_harness.personal_data.pseudonyms import Pseudonyms
from matomo_harness.personal_data.rules import DocumentRules

MADE = Pseudonyms(bytes(32))
RULES = DocumentRules(keep=("*.module",), login=("*.user",), mail=("mails.*",), url=("link",))


def test_json_is_rewritten_by_path() -> None:
    before = {
        "mails": ["jo@shop.test"],
        "link": "https://shop.test/a?b=jo",
        "widgets": [{"module": "Live", "user": "jo", "note": "call Jo", "width": 3, "open": True}],
        "+41 79 555": "Jo",
    }
    after = json.loads(rewritten(json.dumps(before), RULES, MADE))
    assert after["mails"] == [MADE.mail("jo@shop.test")]
    assert after["link"] == MADE.url("https://shop.test/a?b=jo")
    assert after["widgets"] == [
        {
            "module": "Live",
            "user": MADE.login("jo"),
            "note": MADE.text("call Jo"),
            "width": 3,
            "open": True,
        }
    ]
    assert "+41" not in json.dumps(after)


def test_serialised_php_is_rewritten_by_path_and_is_still_php() -> None:
    before = 'a:1:{i:0;a:4:{s:4:"note";s:4:"Zoë";s:4:"user";s:2:"jo";s:7:"starred";i:1;s:1:"x";N;}}'
    after = unserialised(rewritten(before, RULES, MADE))
    assert after == {
        0: {"note": MADE.text("Zoë"), "user": MADE.login("jo"), "starred": 1, "x": None}
    }


@pytest.mark.parametrize(
    "text", ["N;", "b:1;", "i:-3;", "d:0.5;", 's:4:"Zoë";', 'a:1:{s:1:"k";a:0:{}}']
)
def test_php_is_written_as_it_was_read(text: str) -> None:
    assert serialised(unserialised(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("jo@shop.test", '{"mails": ["jo', 'O:8:"stdClass":0:{}', 's:9:"jo";', "a:1:{i:0;}"),
        'a:1:{i:0;s:2:"jo";}jo',
        *("[" * 60_000, "a:1:{i:0;" * 60_000),
    ],
    ids=lambda text: text[:20],
)
def test_what_cannot_be_read_is_emptied(text: str) -> None:
    assert rewritten(text, RULES, MADE) == ""


def test_a_segment_keeps_what_it_is_about_and_no_value_of_a_person() -> None:
    before = "countryCode==ch;userId==jo%40shop.test,visitCount>3;pageUrl=@/jo;visitorId==00112233"
    after = segment(before, MADE)
    assert after == ";".join(
        (
            "countryCode==ch",
            f"userId=={MADE.pseudonym('jo@shop.test')},visitCount>3",
            f"pageUrl=@{MADE.url('/jo')}",
            f"visitorId=={MADE.visitor('00112233')}",
        )
    )


@pytest.mark.parametrize("condition", ["visitCount>3", "revenue>=20.5", "visitConvertedGoalId==12"])
def test_an_amount_stays_in_a_segment(condition: str) -> None:
    assert segment(condition, MADE) == condition


def test_a_place_in_a_segment_is_as_wide_as_in_the_log() -> None:
    assert segment("latitude>=46.0207;longitude<7.7491", MADE) == "latitude>=46;longitude<8"


def test_a_page_in_a_segment_that_was_encoded_ends_no_condition() -> None:
    page = "https://shop.test/a?b=1;c=2,d"
    made = segment(f"pageUrl=={quote(page, safe='')},userId==jo", MADE)
    assert made == f"pageUrl=={quote(MADE.url(page), safe='')},userId=={MADE.pseudonym('jo')}"


def test_a_segment_is_known_by_the_hash_that_matomo_computes() -> None:
    plain = hashlib.md5(b"pageTitle==Open access", usedforsecurity=False).hexdigest()
    assert segment_hash("pageTitle==Open%20access") == plain


@pytest.mark.parametrize(
    "name", ["userId", "visitorId", "dimension3", "orderId", "visitIp", "eventName", "campaignId"]
)
def test_a_number_may_be_a_person_in_a_segment(name: str) -> None:
    assert segment(f"{name}==20260131", MADE) != f"{name}==20260131"


def test_a_segment_that_was_encoded_as_a_whole_is_read() -> None:
    assert segment("userId%3D%3Djo", MADE) == f"userId=={MADE.pseudonym('jo')}"


@pytest.mark.parametrize("text", ["jo", "userId==jo;jo", "(userId==jo)"])
def test_a_segment_that_cannot_be_read_is_emptied(text: str) -> None:
    assert "jo" not in segment(text, MADE)
