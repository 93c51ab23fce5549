"""Mutants of the database: a restore or update left it incomplete, or it acts on its own."""

from typing import Final

from matomo_harness.gate.mutants import Change, Deployment, Location, Mutants, Topology
from matomo_harness.gate.mutants.changes import option, sql
from matomo_harness.matomo import versions
from matomo_harness.runtime.containers import DATABASE_USER, SCHEMA

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


AN_ARCHIVE: Final = (
    "INSERT INTO {prefix}archive_numeric_2026_01"
    " (idarchive, name, idsite, date1, date2, period, ts_archived, value)"
    " VALUES (900, 'done', 1, '2026-01-05', '2026-01-05', 1, NOW(), 1)"
)
"""An archive of site 1, as a dump brings it."""
TABLE_OF_A_MONTH: Final = (
    "CREATE TABLE IF NOT EXISTS {prefix}archive_numeric_2026_01"
    " (idarchive INT UNSIGNED NOT NULL, name VARCHAR(190) NOT NULL, idsite INT UNSIGNED,"
    " date1 DATE, date2 DATE, period TINYINT UNSIGNED, ts_archived DATETIME, value DOUBLE,"
    " PRIMARY KEY (idarchive, name)) DEFAULT CHARSET utf8mb4"
)


@MUTANTS.mutant(
    "sequence_behind", Location.DATABASE, "numbers_of_archives_are_new", failure_mode="D10"
)
def _sequence_behind(deployment: Deployment) -> None:
    """The archives were restored and the table sequence was not: its numbers are taken."""
    sql(TABLE_OF_A_MONTH, AN_ARCHIVE)(deployment)
    database = deployment.instance.database
    database.query(
        "REPLACE INTO {prefix}sequence (name, value) VALUES (%s, 12)",
        f"{database.tables_prefix}archive_numeric_2026_01",
    )


MUTANTS.add(
    "sequence_gone",
    "a month's row of the table sequence is not in the dump, and Matomo begins at 1 again",
    Location.DATABASE,
    "numbers_of_archives_are_new",
    sql(
        TABLE_OF_A_MONTH,
        AN_ARCHIVE,
        "DELETE FROM {prefix}sequence WHERE name LIKE '%archive_numeric_2026_01'",
    ),
    "D10",
)


def _revoked(right: str) -> Change:
    """Take a right from Matomo's user, as root."""
    statement = f"REVOKE {right} ON `{SCHEMA}`.* FROM {DATABASE_USER}@'%'"
    return lambda deployment: deployment.full_stack.mariadb.root.query(statement)


MUTANTS.add(
    "no_temporary_tables",
    "Matomo's user may make no temporary tables: segments and the deletion of old visits fail",
    Location.DATABASE,
    "user_may_make_tables",
    _revoked("CREATE TEMPORARY TABLES"),
    "D11",
    Topology.FULL_STACK,
)
MUTANTS.add(
    "no_new_tables",
    "Matomo's user was given only what it needs every day: on the first of the month no report is made",
    Location.DATABASE,
    "user_may_make_tables",
    _revoked("CREATE, ALTER, INDEX, DROP"),
    "D11",
    Topology.FULL_STACK,
)
