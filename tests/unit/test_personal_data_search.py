"""The leak search knows each form, and leaves alone what the rules make."""

import base64

import pytest

from matomo_harness.personal_data.pseudonyms import Pseudonyms
from matomo_harness.personal_data.search import Canary, _Patterns

WORD = "Kanarie4f1c"
MADE = Pseudonyms(b"k" * 32)


def forms(text: str | bytes, *canaries: str) -> set[str]:
    needles = {
        (form, needle)
        for canary in canaries
        for form, listed in Canary(canary).forms().items()
        for needle in listed
    }
    patterns = _Patterns(needles, masked_bytes=2)
    data = text if isinstance(text, bytes) else text.encode()
    found = patterns.forms_in(data, frozenset())
    assert not found or patterns.may_be_in(data)
    return found


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (f"x{WORD}y", "plain"),
        (WORD.upper(), "upper case"),
        (WORD.lower(), "lower case"),
        ("".join(f"%{ord(c):02x}" for c in WORD), "percent-encoded"),
        *((base64.b64encode(f"{'x' * n}{WORD}yz".encode()).decode(), "base64") for n in range(5)),
        (WORD.encode().hex(), "hexadecimal"),
    ],
)
def test_a_canary_is_found_in_every_form(text: str, form: str) -> None:
    assert f"canary, {form}" in forms(text, WORD)


@pytest.mark.parametrize("address", ["198.51.100.213", "2001:db8::5ca1"])
def test_a_packed_address_is_found(address: str) -> None:
    canary = Canary(address)
    packed = canary.forms()["packed"][0]
    assert "canary, packed" in forms(b"ab" + packed, address)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("write to jo.doe+x@shop.test now", "mail address"),
        ("?mail=jo%40shop.test", "mail address"),
        ("from 93.184.216.34:443", "address"),
        ("from 2001:db8:5ca1:ab1e:dead:beef:cafe:f00d", "address"),
        ("2a02:168:4a10::17", "address"),
        *((address, "address") for address in ("fe80::1", "[2a02::17]:443", "fd00::5ca1")),
        ("token_auth=9b1c0ffee0ddba11deadbeef12345678", "token"),
        ("$2y$10$abcdefghijklmnopqrstuuJ0Vb8W6rN2yq1m3s5t7u9w1x3y5z7A.", "password hash"),
        ("$argon2id$v=19$m=65536", "password hash"),
    ],
)
def test_what_no_rule_explains_is_found(text: str, form: str) -> None:
    assert forms(text) == {form}


@pytest.mark.parametrize(
    "text",
    [
        MADE.mail("jo@shop.test"),
        MADE.url("https://www.shop.test/jo?a=jo@shop.test"),
        MADE.pseudonym("jo"),
        MADE.text("jo"),
        *("93.184.0.0", "2a02:168:4a10::", "127.0.0.1", "::1", "5.8.0", "12:34:56"),
        *(
            "Piwik\\Plugins\\X::add",
            "Piwik\\Face::add",
            "Face::fade()",
            "Db::add",
            "2024::",
            'a:1:{s:4:"x";i:3;}',
            "1.2.3.4.5",
            "300.1.1.1",
        ),
        "mail@host-0123456789ab.example",
    ],
)
def test_what_the_rules_make_is_left_alone(text: str) -> None:
    assert forms(text, WORD) == set()


def test_a_canary_never_shows_in_a_message() -> None:
    assert WORD not in repr(Canary(WORD))
