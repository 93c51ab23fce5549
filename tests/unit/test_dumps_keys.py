"""Which keys of a table may wait until its rows are there."""

from matomo_harness.dumps.keys import without_keys

COLUMNS = b"  `idvisit` bigint unsigned NOT NULL AUTO_INCREMENT,\n  `idsite` int NOT NULL,\n"
END = b"\n) ENGINE=InnoDB AUTO_INCREMENT=9 DEFAULT CHARSET=utf8mb4"


def table(*keys: bytes) -> bytes:
    return b"CREATE TABLE `log_visit` (\n" + COLUMNS + b",\n".join(keys) + END


PRIMARY = b"  PRIMARY KEY (`idvisit`)"
UNIQUE = b"  UNIQUE KEY `u` (`idsite`,`idvisit`)"
SITE = b"  KEY `index_idsite` (`idsite`,`idvisit`) USING BTREE"
NAME = b"  KEY `a,b``c` (`idsite`(10)) COMMENT 'it is, or (was) one'"


def test_secondary_keys_wait_and_unique_ones_do_not() -> None:
    found = without_keys(table(PRIMARY, SITE, UNIQUE, NAME))
    assert found == (table(PRIMARY, UNIQUE), (SITE.strip().decode(), NAME.strip().decode()))


def test_a_table_without_secondary_keys_stays_as_it_is() -> None:
    assert without_keys(table(PRIMARY, UNIQUE)) == (table(PRIMARY, UNIQUE), ())


def test_a_key_that_is_needed_from_the_beginning_stays() -> None:
    numbers_by_key = table(b"  PRIMARY KEY (`idsite`,`idvisit`)", b"  KEY `n` (`idvisit`)")
    assert without_keys(numbers_by_key) == (numbers_by_key, ())
    without_primary = table(b"  KEY `n` (`idvisit`)")
    assert without_keys(without_primary) == (without_primary, ())
    foreign = table(PRIMARY, SITE, b"  CONSTRAINT `f` FOREIGN KEY (`idsite`) REFERENCES `s` (`i`)")
    assert without_keys(foreign) == (foreign, ())


def test_a_name_that_is_no_utf_8_stays() -> None:
    latin = table(PRIMARY, b"  KEY `schl\xfcssel` (`idsite`)")
    assert without_keys(latin) == (latin, ())


def test_a_full_text_key_and_a_column_called_key_stay() -> None:
    text = table(PRIMARY, b"  FULLTEXT KEY `t` (`idsite`)")
    assert without_keys(text) == (text, ())
