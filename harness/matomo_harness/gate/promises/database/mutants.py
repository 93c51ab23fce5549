"""Mutants of the database: a restore or update left it incomplete, or it acts on its own."""

from typing import Final

from matomo_harness.gate.mutants import Location, Mutants
from matomo_harness.gate.mutants.changes import option, sql
from matomo_harness.matomo import versions

MUTANTS: Final = Mutants("database")


MUTANTS.add(
    "core_table_gone",
    "one of Matomo's own tables is not in the dump",
    Location.DATABASE,
    "core_has_its_tables",
    sql("DROP TABLE {prefix}tracking_failure"),
    "U3",
)
MUTANTS.add(
    "key_lost",
    "a restore by CREATE TABLE AS SELECT lost the key of the table of segments: all are number 0",
    Location.DATABASE,
    "tables_have_their_keys",
    sql("ALTER TABLE {prefix}segment MODIFY idsegment INT NOT NULL, DROP PRIMARY KEY"),
    "G1",
)
MUTANTS.add(
    "tables_of_three_bytes",
    "one table of a restored dump is in MySQL's old utf8",
    Location.DATABASE,
    "one_character_set",
    sql("ALTER TABLE {prefix}log_visit CONVERT TO CHARACTER SET utf8mb3"),
    "U7",
)
MUTANTS.add(
    "older_database",
    "the database was restored from an older Matomo",
    Location.DATABASE,
    "no_update_waits",
    option("version_core", versions.OF_LONG_AGO),
    "U2",
)
MUTANTS.add(
    "trigger",
    "somebody's trigger records what is deleted",
    Location.DATABASE,
    "does_nothing_of_its_own",
    sql(
        "CREATE TRIGGER kept AFTER DELETE ON {prefix}site FOR EACH ROW"
        " INSERT INTO {prefix}option (option_name, option_value) VALUES (OLD.name, OLD.main_url)"
    ),
)
MUTANTS.add(
    "history_is_kept",
    "the database keeps the history of a table, with deleted and masked rows as they were",
    Location.DATABASE,
    "does_nothing_of_its_own",
    sql("ALTER TABLE {prefix}log_visit ADD SYSTEM VERSIONING"),
    "P9",
)
