"""A dump is described by what is in it, and refused where it is not one whole Matomo."""

from pathlib import Path

import pytest

from matomo_harness.dumps.description import Description, DumpReader, describe
from matomo_harness.dumps.scanner import Statement
from matomo_harness.dumps.sources import DumpSource
from matomo_harness.dumps.statements import Kind
from matomo_harness.dumps.tab_files import columns_of, inserts
from matomo_harness.dumps.translation import translated
from matomo_harness.errors import WrongInputError

DUMPS = Path(__file__).parents[1] / "dumps"
PHPMYADMIN = (DUMPS / "phpmyadmin.sql").read_text()
MYSQL = (DUMPS / "matomo-4.x-mysql-8.0.sql").read_text()


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    """Where a changed dump is written."""
    return tmp_path / "dump.sql"


def described(path: Path, text: str | None = None) -> Description:
    if text is not None:
        path.write_text(text)
    return describe(DumpSource([path]))


def refused(path: Path, text: str) -> WrongInputError:
    with pytest.raises(WrongInputError) as error:
        described(path, text)
    return error.value


@pytest.mark.parametrize(
    ("file", "tool", "server", "prefix", "matomo", "count"),
    [
        ("matomo-4.2-mysql-5.7.sql", "mysqldump 5.7.33", "MySQL 5.7.33", "matomo_", "4.2.0", 31),
        ("matomo-4.x-mysql-8.0.sql", "mysqldump 8.0.30", "MySQL 8.0.30", "matomo_", "4.14.1", 31),
        (
            "matomo-4.14-mariadb-10.5-no-prefix.sql",
            "mariadb-dump 10.5.19",
            "MariaDB 10.5.19",
            "",
            "4.14.2",
            33,
        ),
        ("mariadb-dump.sql", "mariadb-dump 11.8.9", "MariaDB 11.8.9", "matomo_", "4.14.1", 6),
        ("mariadb-dump-dir", "mariadb-dump 11.8.9", "MariaDB 11.8.9", "matomo_", "4.14.1", 6),
        ("mariadb-dump-skip-comments.sql", "None None", "None None", "matomo_", "4.14.1", 6),
        ("phpmyadmin.sql", "phpMyAdmin 5.2.1", "MariaDB 10.6.12", "piwik_", "5.1.2", 4),
    ],
)
def test_a_dump_says_what_it_is(
    file: str, tool: str, server: str, prefix: str, matomo: str, count: int
) -> None:
    seen = described(DUMPS / file)

    assert f"{seen.tool} {seen.tool_version}" == tool
    assert f"{seen.server} {seen.server_version}" == server
    assert (seen.prefix, seen.matomo_version, len(seen.tables)) == (prefix, matomo, count)
    assert {"log_visit", "option", "site", "user"} <= {*seen.tables}
    assert seen.other_tables == ()
    assert seen.plugins["CoreHome"] == matomo
    assert seen.is_known_whole


def test_old_names_of_tools_and_servers_are_understood(dump: Path) -> None:
    text = PHPMYADMIN.partition("SET SQL_MODE")[2]
    head = (
        "-- MySQL dump 10.16  Distrib 10.3.10-MariaDB, for osx10.14 (x86_64)\n"
        "-- Server version\t5.5.5-10.4.28-MariaDB\n\nSET SQL_MODE"
    )
    seen = described(dump, f"{head}{text}\n-- Dump completed on 2026-01-02\n")
    assert (seen.tool, seen.tool_version) == ("mariadb-dump", "10.3.10")
    assert (seen.server, seen.server_version) == ("MariaDB", "10.4.28")


def test_words_of_phpmyadmin_in_another_language_make_no_difference(dump: Path) -> None:
    text = PHPMYADMIN.replace("Generation Time: Jan 02, 2026 at", "Erstellungszeit: 02.01.2026 um")
    text = text.replace("Server version", "Server-Version").replace("PHP Version", "PHP-Version")
    seen = described(dump, text)
    assert (seen.server, seen.server_version) == ("MariaDB", "10.6.12")


def test_whether_a_dump_is_whole_cannot_be_known_without_its_last_lines() -> None:
    assert not described(DUMPS / "mariadb-dump-compact.sql").is_known_whole


@pytest.mark.parametrize("file", ["mariadb-dump-databases.sql", "with-view.sql", "phpmyadmin.sql"])
def test_what_was_dropped_is_counted(file: str) -> None:
    expected = {
        "mariadb-dump-databases.sql": {"CREATE DATABASE": 1, "USE": 1},
        "with-view.sql": {"DROP VIEW": 2, "CREATE VIEW": 2},
        "phpmyadmin.sql": {"CREATE DATABASE": 1, "USE": 1},
    }[file]
    dropped = described(DUMPS / file).dropped
    assert {note.partition(":")[0]: count for note, count in dropped.items()} == expected


DROP = "/*!40000 DROP DATABASE IF EXISTS `matomo`*/;\n\n"
CREATE = "CREATE DATABASE IF NOT EXISTS `matomo`"


@pytest.mark.parametrize("drop", [DROP, "DROP DATABASE IF EXISTS `matomo`;\n"])
def test_a_schema_that_is_dropped_to_be_made_anew_is_passed_over(dump: Path, drop: str) -> None:
    assert CREATE in PHPMYADMIN
    dropped = described(dump, PHPMYADMIN.replace(CREATE, drop + CREATE)).dropped
    counted = {note.partition(":")[0]: count for note, count in dropped.items()}
    assert counted == {"DROP DATABASE": 1, "CREATE DATABASE": 1, "USE": 1}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (CREATE, DROP.replace("matomo", "mysql") + CREATE),
        (CREATE, DROP + DROP + CREATE),
        (CREATE, DROP.replace("IF EXISTS ", "") + CREATE),
        ("USE `matomo`", DROP + "USE `matomo`"),
        ("", DROP),
    ],
    ids=["another one", "twice", "whether it is there or not", "without making it", "at the end"],
)
def test_any_other_drop_of_a_schema_is_refused(dump: Path, old: str, new: str) -> None:
    text = PHPMYADMIN.replace(old, new, 1) if old else PHPMYADMIN + new
    assert refused(dump, text).seen.startswith("DROP DATABASE in line")


# -- wrong input -----------------------------------------------------------------------------------


def test_a_mysqldump_without_its_last_line_is_refused_as_truncated(dump: Path) -> None:
    error = refused(dump, MYSQL.partition("-- Dump completed")[0])
    assert "`-- Dump completed` at the end of dump.sql" in error.expected
    assert "truncated" in error.seen


@pytest.mark.parametrize(
    "cut", ["COMMIT;", "/*!40101 SET CHARACTER_SET_CLIENT=@OLD", "-- Indexes for table"]
)
def test_a_truncated_dump_of_phpmyadmin_is_refused(cut: str, dump: Path) -> None:
    assert "truncated" in refused(dump, PHPMYADMIN.partition(cut)[0]).seen


@pytest.mark.parametrize(
    "said",
    [
        "Error reading data for table matomo.piwik_log_visit: #1142 - SELECT command denied",
        "Error reading structure for table matomo.piwik_log_visit: #1932 - Table &#039;piwik",
        "Fehler beim Lesen der Daten der Tabelle matomo.piwik_log_visit: #1064 - Fehler",
    ],
)
def test_what_phpmyadmin_could_not_read_is_named(said: str, dump: Path) -> None:
    start, _, rows = PHPMYADMIN.partition("INSERT INTO `piwik_log_visit`")
    error = refused(dump, f"{start}-- {said}\n" + rows.partition(";\n\n")[2])
    assert "matomo.piwik_log_visit" in error.seen
    assert said.partition("#")[2][:4] in error.seen


def test_phpmyadmins_own_tables_are_not_missed(dump: Path) -> None:
    said = "-- Error reading data for table phpmyadmin.pma__tracking: #1100 - Table was not locked"
    assert described(dump, f"{PHPMYADMIN}\n{said}\n").tool == "phpMyAdmin"


def test_a_dump_without_comments_that_lacks_its_end_is_refused(dump: Path) -> None:
    text = (DUMPS / "mariadb-dump-skip-comments.sql").read_text(errors="replace")
    cut = text.partition("/*!40101 SET CHARACTER_SET_CLIENT=@OLD")[0]
    assert "truncated" in refused(dump, cut).seen


def test_one_of_two_dumps_in_a_file_that_lacks_its_end_is_refused(dump: Path) -> None:
    text = (DUMPS / "mariadb-dump.sql").read_text(errors="replace")
    assert "truncated" in refused(dump, text.replace("-- Dump completed", "--") + text).seen


def test_one_of_two_files_that_lacks_its_end_is_refused_by_its_name(tmp_path: Path) -> None:
    text = (DUMPS / "mariadb-dump.sql").read_bytes()
    schema, rows = tmp_path / "schema.sql", tmp_path / "rows.sql"
    schema.write_bytes(text)
    rows.write_bytes(text.replace(b"-- Dump completed", b"--"))
    for paths in ([schema, rows], [rows, schema]):
        with pytest.raises(WrongInputError, match=r"at the end of rows\.sql"):
            describe(DumpSource(paths))
    assert describe(DumpSource([schema, schema])).is_known_whole


def test_pieces_that_split_made_are_one_dump(tmp_path: Path) -> None:
    text = MYSQL.encode()
    paths = [tmp_path / f"dump.sql.{number:02}" for number in range(10)]
    for number, path in enumerate(paths):
        path.write_bytes(text[number * 5000 : (number + 1) * 5000])
    assert describe(DumpSource(paths)) == described(DUMPS / "matomo-4.x-mysql-8.0.sql")
    with pytest.raises(WrongInputError):
        describe(DumpSource(paths[:-1]))


def test_rows_of_a_table_that_is_not_made_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("-- nothing\n")
    (tmp_path / "a.txt").write_text("1\n")
    with pytest.raises(WrongInputError, match=r"CREATE TABLE of a before its rows in a\.txt"):
        describe(DumpSource([tmp_path]))


def test_a_dump_of_something_else_is_refused_by_its_tables(dump: Path) -> None:
    error = refused(dump, "CREATE TABLE `wp_options` (a int);\nCREATE TABLE `wp_users` (a int);\n")
    assert "a dump of Matomo" in error.expected
    assert "wp_options, wp_users" in error.seen


def test_a_part_of_a_matomo_is_refused_by_what_is_missing(dump: Path) -> None:
    text = MYSQL.replace("TABLE `matomo_site`", "TABLE `matomo_sites`")
    assert "matomo_site" in refused(dump, text).seen


def test_two_prefixes_in_one_dump_are_refused_by_name(dump: Path) -> None:
    error = refused(dump, MYSQL + MYSQL.replace("`matomo_", "`piwik_"))
    assert "`matomo_` and `piwik_`" in error.seen


def test_a_second_schema_is_refused_by_name(dump: Path) -> None:
    other = "CREATE DATABASE `wiki`;\nUSE `wiki`;\nCREATE TABLE `page` (a int);\n"
    assert "matomo and wiki" in refused(dump, PHPMYADMIN + other).seen


def test_tables_of_others_are_listed(dump: Path) -> None:
    seen = described(dump, PHPMYADMIN + "CREATE TABLE `page` (a int);\n")
    assert seen.other_tables == ("page",)


def test_xml_is_refused() -> None:
    with pytest.raises(WrongInputError, match="XML"):
        describe(DumpSource([DUMPS / "mariadb-dump.xml"]))


def test_no_description_before_the_end() -> None:
    reader = DumpReader(DumpSource([DUMPS / "phpmyadmin.sql"]))
    next(reader.statements())
    with pytest.raises(RuntimeError):
        reader.description()


# -- translation -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mysql", "mariadb"),
    [
        ("COLLATE=utf8mb4_0900_ai_ci", "COLLATE=utf8mb4_uca1400_nopad_ai_ci"),
        ("COLLATE utf8mb4_0900_as_cs,", "COLLATE utf8mb4_uca1400_nopad_as_cs,"),
        ("utf8mb4_0900_bin", "utf8mb4_nopad_bin"),
        ("utf8mb4_es_trad_0900_ai_ci", "utf8mb4_uca1400_spanish2_nopad_ai_ci"),
        ("utf8mb4_ja_0900_as_cs_ks", "utf8mb4_uca1400_nopad_as_cs"),
        ("a int /*!80023 INVISIBLE */, b", "a int INVISIBLE, b"),
        ("a int /*!50606 STORAGE DISK */ NOT NULL", "a int NOT NULL"),
        *(
            (text, text)
            for text in (
                "'utf8mb4_0900_ai_ci'",
                "'it''s utf8mb4_0900_ai_ci'",
                "'\\'utf8mb4_0900_ai_ci'",
                '"utf8mb4_0900_ai_ci"',
                "`utf8mb4_0900_ai_ci`",
                "/* utf8mb4_0900_ai_ci */",
                "COLLATE utf8mb3_general_ci CHARSET=utf8 COLLATE=utf8mb4_unicode_520_ci",
                "my_utf8mb4_0900_ai_ci_x",
                "/*!80016 ENCRYPTION='Y' */ ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8",
            )
        ),
    ],
)
def test_only_whole_words_outside_of_quotes_are_translated(mysql: str, mariadb: str) -> None:
    assert (
        translated(f"CREATE TABLE a ({mysql})".encode()) == f"CREATE TABLE a ({mariadb})".encode()
    )


def test_tables_are_translated_and_rows_are_not(dump: Path) -> None:
    text = PHPMYADMIN.replace("utf8mb4;", "utf8mb4 COLLATE=utf8mb4_0900_ai_ci;")
    text = text.replace("o\\'neill", "utf8mb4_0900_ai_ci")
    dump.write_text(text)
    for judgement in DumpReader(DumpSource([dump])).statements():
        if judgement.kind is Kind.CREATE_TABLE:
            assert b"COLLATE=utf8mb4_uca1400_nopad_ai_ci" in judgement.statement.text
        elif judgement.table == "piwik_log_visit" and judgement.kind is Kind.ROWS:
            assert b"'utf8mb4_0900_ai_ci; -- # /*'" in judgement.statement.text


# -- rows of mariadb-dump --dir --------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_rows_of_a_file_become_values(size: int) -> None:
    r"""Values as the server writes them: only \\, \tab, \newline, \0 and \N are escaped."""
    rows = b"1\t\\N\tit's\n2\t\\\\N\ta\\\tb\n3\t\\\\\\\n\t\\0'\\\\\n4\t'\\\\N'\t\\N\n"
    chunks = (rows[start : start + size] for start in range(0, len(rows), size))
    pieces = [*inserts("a.txt", "a", [b"`x`", b"`y`", b"`z`"], chunks)]

    head = b"INSERT INTO `a` (`x`,`y`,`z`) VALUES\n"
    values = b",\n".join(text.removeprefix(head) for text, _ in pieces)
    assert values == (
        b"('1',NULL,'it''s'),\n('2','\\\\N','a\\tb'),\n('3','\\\\\\n','\\0''\\\\'),\n"
        b"('4','''\\\\N''',NULL)"
    )
    assert pieces[0][1] == 1


def test_a_file_of_rows_that_ends_in_a_row_is_truncated() -> None:
    with pytest.raises(WrongInputError, match=r"a\.txt(.|\n)*begins in line 3: it is truncated"):
        [*inserts("a.txt", "a", [b"`x`"], [b"1\n2\n", b"3"])]


def test_columns_are_found_in_the_order_of_the_table() -> None:
    text = (DUMPS / "mariadb-dump-dir" / "matomo" / "matomo_odd.sql").read_bytes()
    assert columns_of(text) == [
        b"`id`",
        b"`a``b;'x`",
        b"`raw`",
        b"`doubled`",
        b"`hidden`",
        b"`j`",
    ]


def test_statements_say_which_file_and_line_they_are_of() -> None:
    reader = DumpReader(DumpSource([DUMPS / "phpmyadmin.sql"]))
    statements = [judgement.statement for judgement in reader.statements()]
    own = [statement.text for statement in statements if not statement.file]
    assert all(text.startswith(b"SET ") for text in own), "what it says itself"
    places = {
        (statement.file, statement.line): statement for statement in statements if statement.file
    }
    assert len(places) == len(statements) - len(own) > 20
    lines = PHPMYADMIN.splitlines()
    for (file, line), statement in places.items():
        assert file == "phpmyadmin.sql"
        assert isinstance(statement, Statement)
        assert statement.text.decode().startswith(lines[line - 1].rstrip(";"))


def test_mydumper_writes_names_in_other_quotes() -> None:
    described = describe(DumpSource([DUMPS / "mydumper"]))
    assert (described.tool, described.matomo_version) == ("mydumper", "4.14.1")
    assert described.plugins


def test_rows_before_their_table_are_refused_with_the_way_out(dump: Path) -> None:
    head, _, rest = MYSQL.partition("-- Table structure for table `matomo_access`")
    seen = refused(dump, f"{head}\nINSERT INTO `matomo_access` VALUES (1);\n{rest}")
    assert "matomo_access" in seen.seen
    assert "give the directory" in seen.next_command
