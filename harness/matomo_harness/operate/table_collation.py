"""How Matomo has to speak to tables that another database server made."""

from typing import Final

from matomo_harness.matomo import ini
from matomo_harness.matomo.database import Database
from matomo_harness.operate.stack_image import writable_configuration
from matomo_harness.runtime.shell import MatomoShell

_OF_THREE_BYTES: Final = ("utf8", "utf8mb3")


def speak_as_tables(database: Database, shell: MatomoShell) -> dict[str, str]:
    """Have Matomo speak to the tables as they are, where this server would do it otherwise.

    Matomo takes the collation of its tables for the session as well, which fails with the charset
    that this image's file names, where they are of three bytes a sign (measured: error 1253 from
    5.2 on). And where an older server made them, the collation of a session is another than theirs,
    which ends an archiver that adds up subtables (measured: error 1267 of 10.11's on 11.8, loaded
    from a dump and opened in place).

    Args:
        database: Matomo's schema.
        shell: of its container.

    Returns:
        what was written into [database] of config.ini.php; nothing where it fits.
    """
    (row,) = database.query(
        "SELECT character_set_name AS charset, collation_name AS collation,"
        " COLLATION(CONVERT('a' USING utf8mb4)) AS here FROM information_schema.columns"
        " WHERE table_schema = DATABASE() AND table_name = %s AND column_name = %s",
        f"{database.tables_prefix}option",
        "option_value",
    )
    before = shell.read(shell.config)
    changed = {}
    if row["charset"] in _OF_THREE_BYTES:
        changed = {"charset": "utf8"}
    elif row["collation"] != row["here"] and not ini.read(before).text("database", "collation"):
        changed = {"collation": str(row["collation"])}
    after = before
    for key, value in changed.items():
        after = ini.with_key(after, "database", key, value)
    if after == before:
        return {}
    with writable_configuration(shell):
        shell.write(shell.config, after)
    return changed
