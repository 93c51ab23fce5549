"""Finds tables of visits, wherever they are."""

from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.matomo.database import Database


def visit_tables(database: Database, container: MatomoContainer | None) -> list[str]:
    """Return the names of all tables of visits, also of copies and of what an upgrade left.

    Args:
        database: the one to search.
        container: where instances share a server, other schemas belong to other instances and are
            left out.
    """
    where = "TABLE_SCHEMA = DATABASE() AND " if container and container.instance else ""
    rows = database.query(
        "SELECT TABLE_SCHEMA AS `schema`, TABLE_NAME AS name"  # noqa: S608  no input from outside
        f" FROM information_schema.COLUMNS WHERE {where} COLUMN_NAME = 'location_ip'"
    )
    return [f"{row['schema']}`.`{row['name']}" for row in rows]
