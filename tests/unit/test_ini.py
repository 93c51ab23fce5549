"""PHP's INI syntax: read as PHP reads it, edited without another byte changed, and written."""

import dataclasses
import random
import re
from collections.abc import Iterator, Mapping

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.gate.probes import drift
from matomo_harness.matomo import ini
from matomo_harness.matomo.ini import Entry, Scalar, Settings
from matomo_harness.settings import IMAGE_DIRECTORY

Texts = dict[str, dict[str, str | dict[str, str]]]

# The sources of the expectations. PHP 8.2.36 was run by hand on every row, and agrees with all but
# those of our own.
RUN = "parse_ini_string($text, true) of PHP 8.2.36"
BASIC = "after php-src, ext/standard/tests/general_functions/parse_ini_basic.phpt"
MANUAL = "the manual's page on parse_ini_string, notes"
READER = "component-ini, tests/BaseIniReaderTest.php"


def texts(settings: Settings) -> Texts:
    """Return what PHP returns: texts by section and name, lists by their keys."""
    return {
        section: {
            name: setting.text
            if isinstance(setting, Entry)
            else {key: entry.text for key, entry in setting.items()}
            for name, setting in named.items()
        }
        for section, named in settings.items()
    }


# -- reading --------------------------------------------------------------------------------------

READ: list[tuple[str, Texts, str]] = [
    # Sections.
    ("[a]\nx = 1\n[b]\n", {"a": {"x": "1"}, "b": {}}, READER),
    ("[a]\nx = 1\n[b]\n[a]\ny = 2\n", {"a": {"y": "2"}, "b": {}}, RUN),
    ('["a b"]\nx = 1\n[c d] ; e\n', {"a b": {"x": "1"}, "c d": {}}, RUN),
    ("[01]\ne=e\n[1]\na=a\n", {"01": {"e": "e"}, "1": {"a": "a"}}, BASIC),
    ("x = 1\n[a] y = 2\n", {"": {"x": "1"}, "a": {"y": "2"}}, RUN),
    # Lists.
    ("a[] = x\na[] = y\n", {"": {"a": {"0": "x", "1": "y"}}}, READER),
    (
        "a[] = w\na[k] = x\na[5] = y\na[] = z\n",
        {"": {"a": {"0": "w", "k": "x", "5": "y", "6": "z"}}},
        RUN,
    ),
    ("a[-5] = x\na[] = y\n", {"": {"a": {"-5": "x", "-4": "y"}}}, RUN),
    ("a[k] = x\na[k] = y\n", {"": {"a": {"k": "y"}}}, RUN),
    ("a['k'] = x\n", {"": {"a": {"k": "x"}}}, BASIC),
    ('foo4[""] = 1\nfoo4[" "] = 2\n', {"": {"foo4": {"0": "1", " ": "2"}}}, BASIC),
    ("a = x\na[] = y\n", {"": {"a": {"0": "y"}}}, RUN),
    ("a[] = x\na = y\n", {"": {"a": "y"}}, RUN),
    # Names.
    ("with.dot = 1\nini-with.hyphen = 2\n", {"": {"with.dot": "1", "ini-with.hyphen": "2"}}, BASIC),
    ("a b = 1\n\tc = 2\nyes[] = 3\n", {"": {"a b": "1", "c": "2", "yes": {"0": "3"}}}, RUN),
    # Values in quotes.
    ('a = "x;y=z" ; c\n', {"": {"a": "x;y=z"}}, RUN),
    ("a = 'x;y=z' ; c\n", {"": {"a": "x;y=z"}}, RUN),
    ("a = ''\nb = \"\"\n", {"": {"a": "", "b": ""}}, RUN),
    (r'a = "She said \"Exactly my point\"."', {"": {"a": 'She said "Exactly my point".'}}, BASIC),
    (r"a = 'She said \'Exactly my point\'.'", {"": {"a": r"She said \Exactly my point\."}}, BASIC),
    (
        r'a = "Use \\\" to escape double quote"',
        {"": {"a": r"Use \" to escape double quote"}},
        BASIC,
    ),
    ('a = "special case\\"\nb = 1\n', {"": {"a": "special case\\", "b": "1"}}, BASIC),
    (r'a = "c:\some\new \$5"', {"": {"a": r"c:\some\new $5"}}, BASIC),
    ('a = "x\ny"\nb = 1\n', {"": {"a": "x\ny", "b": "1"}}, RUN),
    ("a = 'x\n[b]'\nb = 1\n", {"": {"a": "x\n[b]", "b": "1"}}, RUN),
    ('a = "x" "y"\nb = x"y"z\n', {"": {"a": "xy", "b": "xyz"}}, RUN),
    ('a = "x" # c\n', {"": {"a": "x# c"}}, RUN),
    # Values without quotes.
    ("a = x y  z \n", {"": {"a": "x y  z"}}, RUN),
    ("a =\nb = \nc = ;d\n", {"": {"a": "", "b": "", "c": ""}}, BASIC),
    ("a = http://x/?y#z\n", {"": {"a": "http://x/?y#z"}}, RUN),
    ("a = asd ¡@£$$ { }[ ]/%#¤\n", {"": {"a": "asd ¡@£$$ { }[ ]/%#¤"}}, BASIC),
    ("a = C:\\path\n", {"": {"a": "C:\\path"}}, RUN),
    # PHP calculates: an address with two parameters is 0.
    ("a = http://x/?y&z\n", {"": {"a": "0"}}, RUN),
    ("a = 1|2\nb = !1\nc = ~1\n", {"": {"a": "3", "b": "0", "c": "-2"}}, RUN),
    ("a = (5 & 4) ^ 1\n", {"": {"a": "5"}}, RUN),
    # Words.
    ("a = on\nb = YES\nc = True ; d\n", {"": {"a": "1", "b": "1", "c": "1"}}, MANUAL),
    ("a = off\nb = no\nc = none\nd = NULL\n", {"": dict.fromkeys("abcd", "")}, MANUAL),
    ('a = truex\nb = "on"\n', {"": {"a": "truex", "b": "on"}}, READER),
    # The environment's variables stay as they are written.
    ("a = ${HOME}\n", {"": {"a": "${HOME}"}}, "of our own"),
    ('a = "${HOME}/x"\n', {"": {"a": "${HOME}/x"}}, "of our own"),
    ("a = \"\\${HOME}\"\nb = '${HOME}'\n", {"": {"a": "${HOME}", "b": "${HOME}"}}, RUN),
    ("a = $x\n", {"": {"a": "$x"}}, RUN),
    # Comments and bare words.
    ("; <?php exit; ?> DO NOT REMOVE THIS LINE\n[a]\nx = y\n", {"a": {"x": "y"}}, READER),
    (";\n  \t; c = d \na = x;y@z ; c\n", {"": {"a": "x"}}, BASIC),
    ("# c\nbare words\n# it's broken\na = 1\n", {"": {"a": "1"}}, RUN),
    ("# c = 1\n", {"": {"# c": "1"}}, RUN),
    ("a = 1 # c\n", {"": {"a": "1 # c"}}, RUN),
    # Lines.
    ('a = 1\r\n[b]\r\nc = "x" ; d\r\n', {"": {"a": "1"}, "b": {"c": "x"}}, RUN),
    ("a = 1\rb = 2\r", {"": {"a": "1", "b": "2"}}, RUN),
    ("\ufeff[a]\nx = 1\n", {"a": {"x": "1"}}, RUN),
    ("\ufeffx = 1", {"": {"x": "1"}}, RUN),
    ("[a]\nx = y", {"a": {"x": "y"}}, READER),
    ("a = 1 ; c", {"": {"a": "1"}}, RUN),
    ("", {}, READER),
]
"""Texts, what PHP reads from each (a key before the first section is in ""), and the source."""


@pytest.mark.parametrize(("text", "expected"), [row[:2] for row in READ])
def test_a_text_is_read_as_php_reads_it(text: str, expected: Texts) -> None:
    assert texts(ini.read(text).settings) == expected


REFUSED = [
    ("a = x=y\n", "line 1, [] a: a second = outside quotes", RUN),
    ('[s]\na = "x\nb = 1\n', "line 2, [s] a: a double quote that none closes", RUN),
    ('a = x"y\n', "a double quote that none closes", RUN),
    ("a = say no\n", "the word no beside something else", RUN),
    ("a = on off\n", "the word on beside something else", RUN),
    ("a = x!\n", "PHP has nothing to calculate", RUN),
    ("a = x(y)\n", "PHP has nothing to calculate", RUN),
    ("a = (1\n", "PHP has nothing to calculate", RUN),
    ("a = |1\n", "PHP has nothing to calculate", RUN),
    ("a = ${HOME\n", "a ${ without a name and }", RUN),
    ("a = ${}\n", "a ${ without a name and }", RUN),
    ("\n[a\nx = 1\n", "line 2: a section's [ that no ] closes", RUN),
    ("a[k = 1\n", "a key's [ that no ] closes", RUN),
    ("a[k]\n", "a key in brackets without =", RUN),
    ("a[k][l] = 1\n", "a key in brackets without =", RUN),
    (" [a]\n", "a key in brackets without =", RUN),
    ("true = 1\n", "the word true, which can be no key", MANUAL),
    ("null\n", "the word null, which can be no key", MANUAL),
    ("= 1\n", "= where a key, a section or a comment should begin", RUN),
    ("# redefining (them)\n", "( where a key, a section or a comment should begin", RUN),
    ('"a" = 1\n', '" where a key, a section or a comment should begin', RUN),
    ("a!b = 1\n", "! where a key, a section or a comment should begin", MANUAL),
    ("a = 'x\nb = 1\n", "an apostrophe that none closes", RUN),
    # PHP reads these, but loses what follows.
    ("a = it's\nb = 1\n", "line 1, [] a: an apostrophe that none closes", "of our own"),
    ("a = ''x\n", "an apostrophe that none closes, or two", "of our own"),
    ("a = 1\nb = x\0y\n", "line 2: a NUL", "of our own"),
]
"""Texts that PHP calls a syntax error, how we name the error, and the source."""


@pytest.mark.parametrize(("text", "complaint"), [row[:2] for row in REFUSED])
def test_a_text_that_php_cannot_read_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(WrongInputError, match=re.escape(complaint)):
        ini.read(text)


def test_a_refusal_holds_no_value() -> None:
    with pytest.raises(WrongInputError) as refused:
        ini.read("[database]\npassword = s3cret=s3cret\n")
    assert refused.value.seen == "line 2, [database] password: a second = outside quotes"
    assert "s3cret" not in str(refused.value)


TYPED: list[tuple[str, Scalar, str]] = [
    *((word, True, READER) for word in ("true", "on", "yes")),
    *((word, False, READER) for word in ("false", "off", "no")),
    ("null", None, READER),
    ("none", "", "component-ini, IniReader::decodeBoolean, decodeNull"),
    ("On", 1, "likewise"),
    ('"true"', "true", READER),
    ("10", 10, READER),
    ('"10"', 10, "component-ini, IniReader::decode"),
    ("-10", -10, READER),
    ("10.3", 10.3, READER),
    *((text, text, READER) for text in ("10.3.3", "52e666", "0xf4c3b00c", "+10", "0123", "+0123")),
    *((text, text, RUN) for text in ("1.0", "1.50", "-0", "9223372036854775808")),
    ("9223372036854775807", 9223372036854775807, RUN),
    ("", "", READER),
    ("${PORT}", "${PORT}", "of our own"),
]
"""Values, what Matomo's reader makes of each, and the source."""


@pytest.mark.parametrize(("written", "typed"), [row[:2] for row in TYPED])
def test_a_value_is_typed_as_matomo_types_it(written: str, typed: Scalar) -> None:
    (entry,) = ini.read(f"a = {written}\n").entries
    assert (entry.typed, type(entry.typed)) == (typed, type(typed))
    assert entry.written == written


TEXT = """; <?php exit; ?> DO NOT REMOVE THIS LINE
; a comment
[General]
salt = ""
trusted_hosts[] = "one:80" ; ours
trusted_hosts[] = "two"
over = "two
lines"

[Plugins]
Plugins[] = "CoreVue"
"""


def test_an_entry_knows_its_position() -> None:
    salt, first, _, over, plugin = ini.read(TEXT).entries
    assert (salt.line, salt.source, salt.key) == (4, 'salt = ""', "salt")
    assert (first.key, first.index, first.comment) == ("trusted_hosts[]", "", "; ours")
    assert first.source == 'trusted_hosts[] = "one:80" ; ours'
    assert (over.line, over.source) == (7, 'over = "two\nlines"')
    assert (plugin.section, plugin.line, plugin.written) == ("Plugins", 11, '"CoreVue"')
    assert [heading.line for heading in ini.read(TEXT).headings] == [3, 10]


def test_a_text_that_looks_like_a_variable_is_none() -> None:
    read = ini.read(
        'a = ${ONE}${TWO}\nb = "\\${ONE}"\nc = \'${ONE}\'\nd = "${ONE:-of ${TWO}}"\ne = ${ONE}|2\n'
    )
    assert [(entry.text, entry.variables) for entry in read.entries] == [
        ("${ONE}${TWO}", ("ONE", "TWO")),
        ("${ONE}", ()),
        ("${ONE}", ()),
        ("${ONE:-of ${TWO}}", ("ONE", "TWO")),  # PHP 8.3 and later
        ("${ONE}|2", ("ONE",)),
    ]


def test_a_file_that_was_read_cannot_be_changed() -> None:
    read = ini.read(TEXT)
    with pytest.raises(dataclasses.FrozenInstanceError):
        read.entries[0].text = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        read.settings["General"]["salt"] = read.entries[1]  # type: ignore[index]


@pytest.mark.parametrize(
    ("section", "name", "text", "texts_of_list"),
    [
        ("General", "salt", "", ("",)),
        ("General", "trusted_hosts", None, ("one:80", "two")),
        ("Plugins", "salt", None, ()),
        ("database", "host", None, ()),
    ],
)
def test_a_key_is_read_in_its_own_section(
    section: str, name: str, text: str | None, texts_of_list: tuple[str, ...]
) -> None:
    assert ini.read(TEXT).text(section, name) == text
    assert ini.read(TEXT).texts(section, name) == texts_of_list


def test_files_are_merged_as_matomo_merges_its_defaults() -> None:
    first = ini.read("[a]\nx = 1\ny = 1\nl[] = one\nl[] = two\nl[k] = three\n[b]\n")
    later = ini.read("[a]\ny = 2\nl[] = four\n[c]\nz = 3\n")
    assert texts(ini.merged(first, later)) == {
        "a": {"x": "1", "y": "2", "l": {"0": "four", "1": "two", "k": "three"}},
        "b": {},
        "c": {"z": "3"},
    }


@pytest.mark.parametrize("name", ["config.ini.php", "common.config.ini.php"])
def test_the_files_of_the_image_are_read(name: str) -> None:
    read = ini.read((IMAGE_DIRECTORY / "config" / name).read_text())
    lines = [line for line in read.source.splitlines() if re.match(r"\w", line)]
    assert [entry.source for entry in read.entries] == lines


DOUBTFUL: list[tuple[str, list[str]]] = [
    ("; x\n\n[a]\nx = 1 ; y\ny[] = 'b'\n", []),
    ('[a]\nx = "1\n\nword"\n', []),
    (
        "[a]\r\n; A comment,\r\nbroken in two.\r\nx = 1\r\n",
        ["line 3 is no comment, no [section] and no key = value: broken in two."],
    ),
    ("[a]\n# x\n", ["line 2 is no comment, no [section] and no key = value: # x"]),
    ("[a]\nx = 1\n[b]\n[a]\n", ["line 4 begins [a] again, and PHP forgets all of the first"]),
    ('[a]\nx = "secret\n', ["line 2, [a] x: a double quote that none closes"]),
]


@pytest.mark.parametrize(("text", "doubts"), DOUBTFUL)
def test_what_php_passes_over_is_named(text: str, doubts: list[str]) -> None:
    assert ini.doubts(text) == doubts


# -- editing --------------------------------------------------------------------------------------


def test_a_value_is_replaced_in_place() -> None:
    assert ini.with_key(TEXT, "General", "salt", "x") == TEXT.replace('""', '"x"')
    text = "[a]\nx = 1\nk=\t1 ; c\nk = ;d\r\ny = 2"
    assert ini.with_key(text, "a", "k", 2) == text.replace("k = ;d", "k = 2;d")
    assert ini.with_key(TEXT, "General", "over", 1) == TEXT.replace('"two\nlines"', "1")


def test_a_new_key_is_the_first_of_its_section() -> None:
    changed = ini.with_key(TEXT, "Plugins", "a", 1)
    assert changed == TEXT.replace("[Plugins]\n", "[Plugins]\na = 1\n")
    assert ini.with_key("[a]", "a", "k", 1) == "[a]\nk = 1\n"
    assert ini.with_key("[a] x = 1\n", "a", "k", 1) == "[a] \nk = 1\nx = 1\n"
    assert ini.with_key("\ufeff[a]\r\n", "a", "k", "x") == '\ufeff[a]\r\nk = "x"\r\n'


def test_a_missing_section_is_added() -> None:
    made = '[database]\ndbname = "m"\n'
    assert ini.with_key(TEXT, "database", "dbname", "m") == f"{TEXT}\n{made}"
    assert ini.with_key("", "database", "dbname", "m") == made
    assert ini.with_key("x = 1\n\n", "database", "dbname", "m") == f"x = 1\n\n{made}"
    assert ini.with_key("x = 1", "database", "dbname", "m") == f"x = 1\n\n{made}"


def test_the_last_part_of_a_repeated_section_gets_the_new_key() -> None:
    text = "[a]\nx = 1\n[b]\n[a]\ny = 1\n"
    assert ini.with_key(text, "a", "x", 2) == text.replace("y = 1", "x = 2\ny = 1")
    assert ini.without_key(text, "a", "x") == text.replace("x = 1\n", "")


def test_a_list_is_extended_and_removed() -> None:
    grown = ini.read(ini.with_key(TEXT, "General", "trusted_hosts[]", "x"))
    assert grown.texts("General", "trusted_hosts") == ("x", "one:80", "two")
    assert "trusted_hosts" not in ini.without_key(TEXT, "General", "trusted_hosts[]")
    numbered = ini.with_key("[a]\nl[0] = x\nl[k] = y\n", "a", "l[]", "z")
    assert texts(ini.read(numbered).settings) == {"a": {"l": {"0": "x", "k": "y", "1": "z"}}}


def test_an_item_is_set_and_removed() -> None:
    text = "[a]\nl[k] = x\nl[] = y\n"
    assert ini.with_key(text, "a", "l[k]", "z") == text.replace("= x", '= "z"')
    assert ini.without_key(text, "a", "l[k]") == "[a]\nl[] = y\n"
    assert ini.without_key(text, "a", "l[]") == "[a]\n"
    assert ini.without_key(text, "a", "l") == text


def test_a_value_replaces_a_list_and_a_list_a_value() -> None:
    assert ini.with_key("[a]\nl[] = x\nl[] = y\n", "a", "l", 1) == "[a]\nl = 1\n"
    assert ini.with_key("[a]\nl = 1\n", "a", "l[]", 2) == "[a]\nl[] = 2\n"


def test_a_section_is_removed_with_its_keys_alone() -> None:
    assert (
        ini.without_section(TEXT, "General") == TEXT[: TEXT.index("[G")] + TEXT[TEXT.index("[P") :]
    )
    assert ini.without_section("[a]\nx = 1\n[b]\n[a]\n", "a") == "[b]\n"
    assert ini.without_section("x = 1\n", "a") == "x = 1\n"


def test_a_heading_on_the_line_of_a_removed_key_stays() -> None:
    assert ini.without_key("[a] x = 1\ny = 2\n", "a", "x") == "[a] \ny = 2\n"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[(key, 1) for key in ("", "true", "a!", "a=b", "a\nb", ' "a"', "a ", ";a", "a[\0]")],
        *[("a", value) for value in ('"\n', '"\r\n', "\0")],
    ],
)
def test_a_key_or_value_that_cannot_be_written_is_refused(key: str, value: Scalar) -> None:
    with pytest.raises(WrongInputError):
        ini.with_key(TEXT, "General", key, value)


def test_a_text_that_php_cannot_read_is_not_edited() -> None:
    broken = "[a]\nx = y=z\n"
    with pytest.raises(WrongInputError, match="line 2"):
        ini.with_key(broken, "a", "k", 1)
    with pytest.raises(WrongInputError, match="line 2"):
        ini.without_key(broken, "a", "k")


# -- writing --------------------------------------------------------------------------------------


def test_the_layout_is_that_of_matomo() -> None:
    """As in component-ini, tests/IniWriterTest.php, except for the words."""
    written = ini.write(
        {
            "Section 1": {
                "foo": "bar",
                "bool_true": True,
                "int": 10,
                "float": 10.3,
                "nothing": None,
                "array": ["string", 10.3, False],
                "keyed": {"a": "x", "b": 1},
            },
            "Section 2": {"foo": 'a "b" \\ ${c}'},
            "": {"first": 1},
        },
        ini.HEADER,
    )
    assert written == (
        "; <?php exit; ?> DO NOT REMOVE THIS LINE\n"
        "first = 1\n\n"
        '[Section 1]\nfoo = "bar"\nbool_true = true\nint = 10\nfloat = 10.3\nnothing = null\n'
        'array[] = "string"\narray[] = 10.3\narray[] = false\nkeyed[a] = "x"\nkeyed[b] = 1\n\n'
        '[Section 2]\nfoo = "a \\"b\\" \\\\ \\${c}"\n\n'
    )


VALUES: list[Scalar] = [
    *('"', "\\", '\\"', "${A}", "\\${A}", "$", "a;b", "#", "'", "=", " a ", "&|^~!()", "no", "[a]"),
    *("", "a\nb", "\r\n", "é\u2028", "C:\\d\\", "\\\\", "007", "true"),
    *(0, -1, 10**9, 1.5, True, False, None),
]


@pytest.mark.parametrize("value", VALUES)
def test_a_written_value_is_read_back_unchanged(value: Scalar) -> None:
    read = ini.read(ini.write({"a": {"k": value, "l": [value], "m": {"x y": value}}}))
    found = [entry.typed for entry in read.entries]
    assert found == [value] * 3
    assert not any(entry.variables for entry in read.entries)
    assert ini.read(ini.with_key(TEXT, "General", "k", value)).of("General", "k")[0].typed == value


PIECES = (
    *(
        '"x"',
        '"x y;z=w"',
        '"a\\"b"',
        '"\\\\"',
        '"C:\\d\\"',
        '"m\nn"',
        "'q;r'",
        "'m\nn'",
        "''",
        '""',
    ),
    *("x", "x.y", "é", "1", "0", "-2", "1.50", "007", "true", "No", "null", "#", "/p/q", "a@b"),
    *("${V}", '"${V}z"', '"\\${V}"', "$y", "\\", "{", "]", "|", "&", "!", "(", ")", "="),
)
NAMES = ("a", "b", "c d", "e.f", "k-l", "1", "nullx", " a", "\tb")
BRACKETS = ("", "", "", "[]", "[]", "[k]", "[3]", "[ k ]", '["q r"]', "['z']", "[-1]")
OTHERS = ("", ";c", "\t;c", "# c", "bare", "# it is = 1", "[s]", "[t] ; c", '["u v"]', "[s] x = 1")


def _texts(chance: random.Random) -> Iterator[str]:
    """Yield random texts with everything that the syntax has; some of them are no INI."""

    def line() -> str:
        end = chance.choice(("\n", "\n", "\n", "\r\n", "\r"))
        if chance.random() < 0.3:
            return chance.choice(OTHERS) + end
        blank = chance.choice(("", " ", "\t"))
        pieces = chance.choices(PIECES, k=chance.choice((0, 1, 1, 1, 1, 2, 3)))
        value = blank.join(pieces) + chance.choice(("", "", " ; c", '; "c" = d'))
        return f"{chance.choice(NAMES)}{chance.choice(BRACKETS)}{blank}={blank}{value}{end}"

    while True:
        text = "".join(line() for _ in range(chance.randint(1, 6)))
        yield chance.choice(("", "", "\ufeff")) + text


def _random_files(count: int) -> Iterator[ini.Ini]:
    chance = random.Random(17)  # noqa: S311  not a secret
    for text in _texts(chance):
        try:
            yield ini.read(text)
        except WrongInputError:
            continue
        count -= 1
        if not count:
            return


def test_written_settings_are_read_back_unchanged() -> None:
    for read in _random_files(2000):
        assert ini.read(ini.write(read.settings)).settings == read.settings, read.source


def _others(settings: Settings, section: str, name: str) -> Mapping[str, object]:
    """Return all of `settings` except one key."""
    others = {other: dict(named) for other, named in settings.items()}
    others.setdefault(section, {}).pop(name, None)
    return others


def test_an_edit_changes_its_key_and_no_other() -> None:
    chance = random.Random(17)  # noqa: S311  not a secret
    for read in _random_files(2000):
        section, name = chance.choice(("s", "t", "u v", "new")), chance.choice(("a", "b", "new"))
        index = chance.choice((None, "", "k"))
        key = name if index is None else f"{name}[{index}]"
        changed = ini.read(ini.with_key(read.source, section, key, "v;"))
        others = _others(read.settings, section, name)
        assert _others(changed.settings, section, name) == others, read.source
        assert "v;" in changed.texts(section, name), read.source
        assert (changed.text(section, name) == "v;") == (index is None), read.source
        without = ini.without_key(changed.source, section, key)
        assert _others(ini.read(without).settings, section, name) == others, read.source
        assert "v;" not in without, read.source


def _changed(before: str, after: str) -> tuple[str, str]:
    """Return the one piece that differs, as it is in `before` and as it is in `after`."""

    def common(first: str, second: str) -> int:
        pairs = enumerate(zip(first, second, strict=False))
        return next((at for at, (a, b) in pairs if a != b), min(len(first), len(second)))

    start = common(before, after)
    stop = common(before[start:][::-1], after[start:][::-1])
    return before[start : len(before) - stop], after[start : len(after) - stop]


def test_an_edit_changes_no_other_byte() -> None:
    for read in _random_files(1000):
        for heading in read.headings:
            removed, added = _changed(
                read.source, ini.with_key(read.source, heading.name, "new", 1)
            )
            assert removed == "", (read.source, heading.name)
            assert added.count("=") == added.count("1") == 1, (read.source, heading.name)
            assert len(added) - len("new = 1") <= len("\r\n\r\n"), (read.source, heading.name)
        for entry in read.entries:
            if read.of(entry.section, entry.name) != (entry,):
                continue  # some edits remove all of its lines
            removed, added = _changed(
                read.source, ini.without_key(read.source, entry.section, entry.key)
            )
            assert added == "", (read.source, entry.key)
            assert len(removed) - len(entry.source) in (0, 1, 2), (read.source, entry.key)
            if entry.index != "" and entry.section and entry.name in read.settings[entry.section]:
                text = ini.with_key(read.source, entry.section, entry.key, "v;")
                removed, added = _changed(read.source, text)
                assert removed in entry.written, (read.source, entry.key)
                assert added in '"v;"', (read.source, entry.key)


# -- drift ----------------------------------------------------------------------------------------

WANTED = """
[General]
; a comment
archive = 0
hosts[] = "one"
hosts[] = "two"
"""


def test_order_comments_quotes_and_defaults_are_no_drift() -> None:
    here = ini.read("[General]\nhosts[] = two\nhosts[] = one\n").settings
    defaults = ini.read('[General]\narchive = "0"\n').settings
    assert drift.differences(ini.read(WANTED).settings, here, defaults) == []


def test_a_word_that_matomo_saved_as_a_number_is_no_drift() -> None:
    wanted, here = ini.read("[a]\nx = true\n").settings, ini.read("[a]\nx = 1\n").settings
    assert drift.differences(wanted, here, {}) == []


def test_drift_is_named_and_can_be_pasted() -> None:
    here = ini.read('[General]\narchive = 1\nhosts[] = "one"\n[New]\nword = "a"\n').settings
    found = drift.differences(ini.read(WANTED).settings, here, {})
    assert [str(difference) for difference in found] == [
        "[General] archive: wanted 0, here 1",
        "[General] hosts: wanted one, two, here one",
        "[New] word: wanted nothing, here a",
    ]
    pasted = drift.pasteable(here, found)
    assert ini.read(pasted).settings == here
    assert pasted.count("[General]") == 1, "PHP forgets the first part of a repeated section"


def test_a_secret_is_named_without_its_value_and_not_pasted() -> None:
    wanted = ini.read('[Directory]\npassword = "of last year"\n').settings
    here = ini.read('[Directory]\npassword = "of this year"\napi_key = abc\n').settings
    found = drift.differences(wanted, here, {})
    assert [str(difference) for difference in found] == [
        "[Directory] api_key: wanted nothing, here (redacted)",
        "[Directory] password: wanted (redacted), here (redacted)",
    ]
    assert drift.pasteable(here, found) == (
        "[Directory]\n; api_key = (redacted)\n; password = (redacted)\n"
    )


def test_a_key_that_is_gone_is_named_and_pasted_as_a_comment() -> None:
    wanted = ini.read("[a]\nx = 1\nl[k] = y\n").settings
    here = ini.read("[a]\nl[j] = y\n").settings
    found = drift.differences(wanted, here, ini.read("[a]\nx = 2\n").settings)
    assert [str(difference) for difference in found] == [
        "[a] l: wanted y, here y",
        "[a] x: wanted 1, here 2",
    ]
    assert drift.pasteable(here, found) == "[a]\nl[j] = y\n; x is gone\n"
