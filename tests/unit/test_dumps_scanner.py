"""A dump is split where its statements end, whatever is in their quotes and comments."""

import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from matomo_harness.dumps.scanner import BLOCK, LOOK_AHEAD, Comment, Scanner, Statement
from matomo_harness.errors import WrongInputError

DUMPS = Path(__file__).parents[1] / "dumps"


def scanned(text: bytes, size: int = 2**20, **options: int) -> list[Statement | Comment]:
    chunks = (text[start : start + size] for start in range(0, len(text), size))
    return [*Scanner("dump.sql", **options).scan(chunks)]


def texts(text: bytes, size: int = 2**20, **options: int) -> list[bytes]:
    return [one.text for one in scanned(text, size, **options) if isinstance(one, Statement)]


def lines(text: bytes, size: int = 2**20) -> list[int]:
    return [one.line for one in scanned(text, size) if isinstance(one, Statement)]


@pytest.mark.parametrize(
    "statement",
    [
        b"SELECT 1",
        b"SELECT ';'",
        b'SELECT ";"',
        b"SELECT `;`",
        b"SELECT 'a'';'",
        b"SELECT 'a\\';'",
        b"SELECT 'a\\\\'",
        b"SELECT 'a\\\\\\';'",
        b'SELECT "a\\";" ";""\'"',
        b"SELECT `a\\`, ';', `b``;`, `'`, '`'",
        b"SELECT '\"', ';', '\"'",
        b"SELECT 1 -- ; ' \n + 1",
        b"SELECT 1 # ; ' \n + 1",
        b"SELECT 1 /* ; ' */ + 1",
        b"SELECT 1 /*/ ; */ + 1",
        b"SELECT 5--3, 5-3, 4/2, 4*2",
        b"SELECT '-- ', ';', '# /*'",
        b"/*!40101 SET NAMES utf8mb4 */",
        b"/*M!100616 SET @a = ';' */",
        b"/*!50003 CREATE*/ /* ; */ /*!50003 TRIGGER */",
        b"/*!50001 SELECT 1 /* ' */ + 1 */",
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 2**20])
def test_a_statement_ends_at_its_own_semicolon(statement: bytes, size: int) -> None:
    assert texts(statement + b";\nSELECT 2;\n", size) == [statement, b"SELECT 2"]


@pytest.mark.parametrize("row", [b"(1,-2,'a'),", b"(1,'\\\\','it\\'s ; # -- /* \"'),"])
@pytest.mark.parametrize(
    "between",
    [
        b"-- it's\n",
        b"-- it's ;\n",
        b"# it's ;\n",
        b"/* it's ; */",
        b'"it\'s ; \\"",',
        b"`it's ;\\`,",
        b"5--3,",
    ],
)
def test_what_is_between_thousands_of_rows_is_seen(between: bytes, row: bytes) -> None:
    statement = b"INSERT INTO a VALUES " + row * 4000 + between + row * 4000 + b"(1)"
    assert texts(statement + b";\nSELECT 2;\n", 100_000) == [statement, b"SELECT 2"]


@pytest.mark.parametrize("size", [1, 5, 2**20])
def test_lines_are_those_of_the_first_word(size: int) -> None:
    text = b"-- head\n\n/* a\n b */\nSELECT '\n\n';SELECT 2;\n\n  SELECT 3\n;\n"
    assert lines(text, size) == [5, 7, 9]


@pytest.mark.parametrize("size", [1, 4, 2**20])
def test_comments_of_a_line_are_handed_on_and_others_are_passed_over(size: int) -> None:
    text = b"-- a\n# b\n--\nSELECT 1;\n/* c; */ -- d"
    assert [one.text for one in scanned(text, size)] == [
        b"-- a",
        b"# b",
        b"--",
        b"SELECT 1",
        b"-- d",
    ]


def test_a_delimiter_of_routines_is_followed() -> None:
    text = b"DELIMITER ;;\nBEGIN a; b; END ;;\ndelimiter //\nBEGIN c; END; 4/2 //\n"
    text += b"DELIMITER ;\nSELECT 1;"
    assert texts(text) == [b"BEGIN a; b; END", b"BEGIN c; END; 4/2", b"SELECT 1"]
    assert texts(text, 1) == texts(text)


@pytest.mark.parametrize("size", [1, 2**20])
@pytest.mark.parametrize("sign", [b"", b"M"])
def test_the_line_that_switches_commands_off_is_passed_over(sign: bytes, size: int) -> None:
    head = b"/*" + sign + b"!999999\\- enable the sandbox mode */ \n"
    assert texts(head + b"-- MariaDB dump\nSELECT 1;", size) == [b"SELECT 1"]


@pytest.mark.parametrize(
    "command",
    ["\\! touch /tmp/x", "\\. file", "source file", "SYSTEM touch /tmp/x", "system", "tee file"],
)
@pytest.mark.parametrize("before", ["", "SELECT 1;\n", "-- Server version\t8.0\n"])
def test_a_client_command_is_refused_by_name_and_line(command: str, before: str) -> None:
    with pytest.raises(WrongInputError) as error:
        texts(f"{before}{command}\n".encode())
    assert f"`{command.split()[0]}`" in error.value.seen
    assert f"line {before.count(chr(10)) + 1}" in error.value.seen


def test_what_looks_like_a_command_in_a_value_is_a_value() -> None:
    statement = b"INSERT INTO a VALUES ('\n\\\\! touch\nsource x\nDELIMITER ;;\n')"
    assert texts(statement + b";") == [statement]


@pytest.mark.parametrize(
    "text",
    [
        b"INSERT INTO a VALUES ('x",
        b"INSERT INTO a VALUES (1)",
        b"INSERT INTO a VALUES ('x\\",
        b"/* not closed ;",
        b"SELECT 1; SELECT 2 /* ; ",
    ],
)
@pytest.mark.parametrize("size", [1, 2**20])
def test_an_end_in_the_middle_of_a_statement_is_a_truncated_dump(text: bytes, size: int) -> None:
    with pytest.raises(WrongInputError, match="truncated"):
        texts(text, size)


def test_a_statement_that_ends_within_an_executable_comment_is_refused() -> None:
    with pytest.raises(WrongInputError, match="executable comments"):
        texts(b"/*!50001 SELECT 1; DROP DATABASE a */;")


@pytest.mark.parametrize("columns", [b"", b" (`a (`, b)"])
@pytest.mark.parametrize("table", [b"`t`", b"t"])
def test_a_large_insert_is_handed_on_in_whole_rows(table: bytes, columns: bytes) -> None:
    rows = [b"(%d,'),(%s\\'(',_binary '\\\\',NULL)" % (number, b"x" * 50) for number in range(500)]
    head = b"INSERT INTO " + table + columns + b" VALUES "
    pieces = texts(head + b",\n".join(rows) + b";SELECT 1;", 100, piece=2000)

    assert pieces.pop() == b"SELECT 1"
    assert len(pieces) > 10
    assert all(piece.startswith(head) and len(piece) < 2000 + 2 * LOOK_AHEAD for piece in pieces)
    again = b",".join(piece.removeprefix(head).strip() for piece in pieces)
    assert again.replace(b",\n", b",") == b",".join(rows)


def test_a_statement_larger_than_any_server_takes_is_refused() -> None:
    with pytest.raises(WrongInputError, match="at most 1,000 bytes"):
        texts(b"INSERT INTO a VALUES ('" + b"x" * 30_000 + b"');", 100, piece=500, largest=1000)


@pytest.mark.parametrize("path", sorted(DUMPS.glob("*.sql")), ids=lambda path: path.stem)
def test_the_size_of_chunks_makes_no_difference(path: Path) -> None:
    text = path.read_bytes()
    for size in (997, 4096):
        assert scanned(text, size) == scanned(text)


# -- against a scanner that goes byte by byte ------------------------------------------------------


def simply_split(text: bytes) -> Iterator[bytes]:
    """Split at semicolons, slowly and plainly; knows no commands and executable comments."""
    begun, position = 0, 0
    while position < len(text):
        sign = text[position : position + 1]
        if sign in (b"'", b'"', b"`"):
            position += 1
            while text[position : position + 1] != sign:
                position += 2 if sign != b"`" and text[position : position + 1] == b"\\" else 1
        elif sign == b"\\":
            position += 1
        elif sign == b"#" or (
            sign == b"-" and text[position + 1 : position + 3] in (b"- ", b"-\n")
        ):
            position = text.index(b"\n", position)
        elif text[position : position + 2] == b"/*":
            position = text.index(b"*/", position + 2) + 1
        elif sign == b";":
            yield text[begun:position]
            begun = position + 1
        position += 1


def piece_of_sql(chance: random.Random) -> bytes:
    """Return a value, sign or comment; long ones reach over the scanner's blocks."""
    length = chance.choice([0, 1, 5, 60, 400, BLOCK - 3, BLOCK])
    inner = bytes(chance.choice(b"a;'\"`#-*/ \n0,\x80\xff") for _ in range(length))
    escaped = inner.replace(b"'", chance.choice([b"\\'", b"''"])).replace(b'"', b'\\"')
    pieces: Iterable[bytes] = (
        b"'" + escaped + b"'",
        b"'" + escaped + b"\\\\'",
        b"'\\0" + escaped + b"\\'x'",
        b'"' + escaped.replace(b'\\"', b"").replace(b'"', b'""') + b'"',
        b"`" + inner.replace(b"`", b"") + b"\\`",
        b"-- " + inner.replace(b"\n", b"") + b"\n",
        b"/* " + inner.replace(b"*", b"") + b"*/",
        b"# " + inner.replace(b"\n", b"") + b"\n",
        b"(1,-2.5,NULL,0x00FF)," * (length // 5 + 1),
        b"5-3--2 4/2*3 ",
    )
    return chance.choice([*pieces])


@pytest.mark.parametrize("seed", range(20))
def test_it_splits_as_a_scanner_does_that_goes_byte_by_byte(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    text = b""
    for _ in range(12):
        pieces = [piece_of_sql(chance) for _ in range(chance.randrange(9))]
        text += b"INSERT " + b" ".join(pieces) + b" x;\n"
    expected = [part.strip() for part in simply_split(text)]

    assert texts(text) == expected
    assert texts(text, chance.choice([13, 100, 1000, BLOCK + 1])) == expected
