"""What is loaded of a dump, what is dropped with a note, and what is refused by name."""

from pathlib import Path

import pytest

from matomo_harness.dumps.scanner import Scanner, Statement
from matomo_harness.dumps.statements import Judgement, Kind, judge
from matomo_harness.errors import WrongInputError

DUMPS = Path(__file__).parents[1] / "dumps"
SECRET = "visitor@example.org"


def judged(text: str) -> Judgement:
    return judge(Statement(text.encode(), "dump.sql", 7))


@pytest.mark.parametrize(
    ("text", "kind", "table"),
    [
        ("CREATE TABLE `matomo_site` (\n  `a;b` int\n)", Kind.CREATE_TABLE, "matomo_site"),
        ("create table if not exists site (a int) ENGINE=InnoDB", Kind.CREATE_TABLE, "site"),
        ("CREATE TABLE `a``b` (a int)", Kind.CREATE_TABLE, "a`b"),
        ("DROP TABLE IF EXISTS `matomo_site`", Kind.DROP_TABLE, "matomo_site"),
        ("INSERT INTO `site` VALUES (1)", Kind.ROWS, "site"),
        ("INSERT IGNORE INTO `site` (`a (`, `values`) VALUES\n(1)", Kind.ROWS, "site"),
        ("INSERT  IGNORE INTO site VALUES (1)", Kind.ROWS, "site"),
        ("REPLACE INTO `site` VALUES (1)", Kind.ROWS, "site"),
        ("/*!50000 INSERT INTO `site` VALUES (1) */", Kind.ROWS, "site"),
        ("/*!40000 ALTER TABLE `site` DISABLE KEYS */", Kind.KEYS, "site"),
        ("ALTER TABLE `site`\n  ADD PRIMARY KEY (`a`)", Kind.ALTER_TABLE, "site"),
        ("TRUNCATE TABLE `site`", Kind.TRUNCATE_TABLE, "site"),
        ("TRUNCATE `site`", Kind.TRUNCATE_TABLE, "site"),
        ("LOCK TABLES `site` WRITE", Kind.LOCK, None),
        ("UNLOCK TABLES", Kind.LOCK, None),
        ("START TRANSACTION", Kind.TRANSACTION, None),
        ("BEGIN WORK", Kind.TRANSACTION, None),
        ("START TRANSACTION WITH CONSISTENT SNAPSHOT", Kind.TRANSACTION, None),
        ("COMMIT", Kind.TRANSACTION, None),
        ("/*!40101 SET NAMES utf8mb4 */", Kind.SET, None),
        ("SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin'", Kind.SET, None),
        ("SET CHARACTER SET utf8", Kind.SET, None),
        ("CREATE TABLE site (engine varchar(9), a int) ENGINE=MyISAM", Kind.CREATE_TABLE, "site"),
        ('SET SQL_MODE = "NO_AUTO_VALUE_ON_ZERO"', Kind.SET, None),
        ("/*!40101 SET SQL_MODE=@OLD_SQL_MODE */", Kind.SET, None),
        ("/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='' */", Kind.SET, None),
        ("SET @OLD_AUTOCOMMIT=@@AUTOCOMMIT, @@AUTOCOMMIT=0", Kind.SET, None),
        ("/*M!100616 SET NOTE_VERBOSITY=@OLD_NOTE_VERBOSITY */", Kind.SET, None),
    ],
)
def test_what_makes_tables_and_rows_is_loaded(text: str, kind: Kind, table: str | None) -> None:
    judgement = judged(text)
    assert (judgement.kind, judgement.table, judgement.note) == (kind, table, None)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("CREATE DATABASE /*!32312 IF NOT EXISTS*/ `a` /*!40100 DEFAULT … */", "CREATE DATABASE"),
        ("USE `a`", "USE"),
        ("/*!50001 CREATE VIEW `a` AS SELECT 1 */", "CREATE VIEW"),
        (
            "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`a`@`%` SQL SECURITY"
            " DEFINER */\n/*!50001 VIEW `a` AS select 1 */",
            "CREATE VIEW",
        ),
        ("CREATE OR REPLACE DEFINER=CURRENT_USER() VIEW a AS SELECT 1", "CREATE VIEW"),
        ("/*!50001 DROP VIEW IF EXISTS `a`*/", "DROP VIEW"),
        ("/*!50001 CREATE TABLE `a` (\n  `b` tinyint NOT NULL\n) ENGINE=MyISAM */", "VIEW"),
        ("CHANGE MASTER TO MASTER_LOG_FILE='a', MASTER_LOG_POS=4", "CHANGE MASTER"),
        ("SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ 'a:1-5'", "SET GTID_PURGED"),
        ("SET @@SESSION.SQL_LOG_BIN= 0", "SET SQL_LOG_BIN"),
        ("SET GLOBAL gtid_slave_pos='0-1-5'", "SET GTID_SLAVE_POS"),
        ("STOP ALL SLAVES", "STOP ALL"),
        ("START SLAVE", "START SLAVE"),
        ("SET sql_require_primary_key = 0", "SET SQL_REQUIRE_PRIMARY_KEY"),
        ("/*!50717 SELECT COUNT(*) INTO @a FROM INFORMATION_SCHEMA.TABLES */", "INTO @…"),
        ("/*!50112 SELECT COUNT(*) INTO @a FROM INFORMATION_SCHEMA.B */", "SELECT … INTO @…"),
        ("/*!50112 PREPARE s FROM @a */", "PREPARE"),
        ("/*!50112 EXECUTE s */", "EXECUTE"),
        ("/*!50112 DEALLOCATE PREPARE s */", "DEALLOCATE"),
        ("/*!80000 ANALYZE TABLE a */", "MariaDB passes"),
    ],
)
def test_what_backups_carry_besides_is_dropped_with_a_note(text: str, note: str) -> None:
    judgement = judged(text)
    assert judgement.kind is None
    assert note in (judgement.note or "")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("DROP DATABASE `a`", "DROP DATABASE"),
        ("/*!40000 DROP DATABASE IF EXISTS `a`*/", "DROP DATABASE"),
        ("/*!80000 DROP DATABASE `a` */", "DROP DATABASE"),
        ("CREATE USER 'a'@'%' IDENTIFIED BY 'x'", "CREATE USER"),
        ("/*!50003 CREATE USER a*/", "CREATE USER"),
        ("GRANT ALL ON *.* TO 'a'@'%'", "GRANT"),
        ("LOAD DATA INFILE '/etc/passwd' INTO TABLE a", "LOAD DATA"),
        ("SELECT * FROM `user` INTO OUTFILE '/tmp/x'", "SELECT … INTO OUTFILE"),
        ("/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 TRIGGER x */", "CREATE TRIGGER"),
        ("CREATE DEFINER=`a`@`b` PROCEDURE x() BEGIN END", "CREATE PROCEDURE"),
        ("CREATE AGGREGATE FUNCTION x RETURNS STRING SONAME 'a.so'", "CREATE FUNCTION"),
        ("/*!50106 CREATE*/ /*!50117 DEFINER=a@`b`*/ /*!50106 EVENT x */", "CREATE EVENT"),
        ("CREATE TEMPORARY TABLE a (a int)", "CREATE TEMPORARY"),
        ("CREATE SERVER a FOREIGN DATA WRAPPER mysql", "CREATE SERVER"),
        ("INSTALL PLUGIN a SONAME 'a.so'", "INSTALL PLUGIN"),
        ("SET GLOBAL general_log = 1", "SET GLOBAL"),
        ("SET @@GLOBAL.general_log = 1", "SET GLOBAL"),
        ("SET @a = 1, GLOBAL general_log = 1", "SET GLOBAL"),
        ("SET STATEMENT sql_mode='' FOR DROP DATABASE a", "SET STATEMENT"),
        ("BEGIN NOT ATOMIC DROP DATABASE a; END", "BEGIN"),
        ("USE a\nDROP DATABASE a", "USE"),
        (f"{SECRET}'), (2, 'x')", "what is no statement of a dump"),
        (f"BEGIN /*{' ' * 5000}*/ NOT ATOMIC DROP DATABASE a; END", "BEGIN"),
        (f"SET {' ' * 5000} STATEMENT sql_mode='' FOR DROP DATABASE a", "SET"),
        ("SET NAMES utf8mb4, GLOBAL general_log = 1", "SET GLOBAL"),
        ("SET", "SET"),
        ("/*!50032 DROP TRIGGER IF EXISTS a */", "DROP TRIGGER"),
        ("CREATE TABLE `a` (a int) ENGINE FEDERATED", "the engine FEDERATED"),
        ("SET PASSWORD FOR a = 'x'", "SET PASSWORD"),
        ("SET sql_mode='ANSI_QUOTES,STRICT_TRANS_TABLES'", "SQL_MODE=ANSI"),
        ("SET sql_mode=ANSI_QUOTES", "SQL_MODE=ANSI"),
        ("SET sql_mode = 1048576", "SQL_MODE=1048576"),
        ("SET sql_mode=@mine", "SQL_MODE=@MINE"),
        ("SET sql_mode=concat(@@sql_mode, ',NO_BACKSLASH_ESCAPES')", "NO_BACKSLASH_ESCAPES"),
        ("INSERT INTO `user` SELECT '{secret}'", "INSERT without VALUES of the table user"),
        ("INSERT INTO `mysql`.`user` VALUES ('{secret}')", "INSERT of mysql.…"),
        ("UPDATE `user` SET email = '{secret}'", "UPDATE"),
        ("DELETE FROM `user` WHERE email = '{secret}'", "DELETE"),
        ("DROP TABLE `a`, `b`", "DROP TABLE of the table a"),
        ("CREATE TABLE `a` (a int) ENGINE=FEDERATED CONNECTION='b'", "the engine FEDERATED"),
        ("CREATE TABLE `a` (a int) DATA DIRECTORY='/tmp'", "DATA DIRECTORY of the table a"),
        ("CREATE TABLE `a` (a int) /*!50100 DATA DIRECTORY='/x' */", "DATA DIRECTORY"),
        (f"'{SECRET}'", "what is no statement of a dump"),
    ],
)
def test_what_asks_for_more_is_refused_by_name_without_a_value(text: str, seen: str) -> None:
    with pytest.raises(WrongInputError) as error:
        judged(text.replace("{secret}", SECRET))
    assert seen in error.value.seen
    assert "line 7" in error.value.seen
    assert "dump.sql" in error.value.expected
    assert error.value.next_command
    assert SECRET not in str(error.value)


def test_words_in_quotes_and_comments_are_no_words_of_the_statement() -> None:
    text = (
        "CREATE TABLE `a` (`b` text COMMENT 'ENGINE=FEDERATED DATA DIRECTORY=') /* CONNECTION= */"
    )
    assert judged(text).table == "a"
    assert judged("SET @a = 'GLOBAL b = 1', SQL_MODE='TRADITIONAL'").kind is Kind.SET


@pytest.mark.parametrize(
    ("file", "seen", "option"),
    [
        ("with-trigger.sql", "CREATE TRIGGER in line 72", "--skip-triggers"),
        ("with-routines.sql", "FUNCTION in line", "--skip-routines"),
        ("with-event.sql", "EVENT in line", "--skip-events"),
    ],
)
def test_what_mariadb_dump_hides_in_executable_comments_is_seen(
    file: str, seen: str, option: str
) -> None:
    pieces = [*Scanner(file).scan([(DUMPS / file).read_bytes()])]
    with pytest.raises(WrongInputError) as error:
        [judge(piece) for piece in pieces if isinstance(piece, Statement)]
    assert seen in error.value.seen
    assert option in error.value.next_command


def test_what_a_tool_says_to_a_person_is_named_and_not_quoted() -> None:
    text = "mysqldump: [Warning] Using a password on the command line.\nCREATE TABLE a (b INT)"
    with pytest.raises(WrongInputError) as refusal:
        judged(text)
    assert "2>&1" in refusal.value.next_command
    assert "password" not in str(refusal.value)
