"""Tables of visits, wherever they are."""

from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.matomo.database import Database


def visit_tables(database: Database, container: MatomoContainer | None) -> list[str]:
    """Return the names of all tables of visits: a copy, or what an upgrade left, too.

    Args:
        database: that is looked into.
        container: where instances share a server, what is beside this one's schema is another's.
    """
    where = "TABLE_SCHEMA = DATABASE() AND " if container and container.instance else ""
    rows = database.query(
        "SELECT TABLE_SCHEMA AS `schema`, TABLE_NAME AS name"  # noqa: S608  no word from outside
        f" FROM information_schema.COLUMNS WHERE {where} COLUMN_NAME = 'location_ip'"
    )
    return [f"{row['schema']}`.`{row['name']}" for row in rows]
