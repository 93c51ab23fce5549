"""How identifying what remains is: who shares browser, screen, country and minute with nobody.

Reports need these columns, so no rule rewrites them; whoever knows when somebody visited, and with
what, may find that visit again. A certificate says how many visitors that holds for.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from pymysql.cursors import Cursor

from matomo_harness.personal_data.rules import TablePlan
from matomo_harness.personal_data.schema import Connection, quoted

TABLE: Final = "log_visit"
KNOWN_FROM_OUTSIDE: Final = ("config_browser_name", "config_resolution", "location_country")
MINUTE: Final = "UNIX_TIMESTAMP(visit_first_action_time) DIV 60"


@dataclass(frozen=True)
class Anonymity:
    """Groups of visitors who look the same from outside.

    Args:
        visitors: how many there are, counted once in each group that they are in.
        smallest: visitors in the smallest group: the k of k-anonymity; 0 without visits.
        alone: visitors who are the only one of their group.
    """

    visitors: int
    smallest: int
    alone: int

    def __str__(self) -> str:
        if not self.visitors:
            return "no visits"
        return (
            f"k = {self.smallest} over browser, resolution, country and minute;"
            f" {self.alone} of {self.visitors} are alone in their group"
        )


def anonymity(connection: Connection, plans: Iterable[TablePlan]) -> Anonymity:
    """Return how many visitors share browser, resolution, country and the minute of a visit.

    Args:
        connection: to the schema; nothing is written.
        plans: of its tables.
    """
    plan = next((plan for plan in plans if plan.name == TABLE), None)
    if plan is None:
        return Anonymity(0, 0, 0)
    there = {column.name for column, _ in plan.columns}
    groups = ", ".join([*(name for name in KNOWN_FROM_OUTSIDE if name in there), MINUTE])
    with connection.cursor(Cursor) as cursor:
        cursor.execute(
            "SELECT COALESCE(SUM(many), 0), COALESCE(MIN(many), 0), COALESCE(SUM(many = 1), 0)"
            " FROM (SELECT COUNT(DISTINCT idvisitor) AS many"
            f" FROM {quoted(plan.table)} GROUP BY {groups}) AS found"
        )
        row: Any = cursor.fetchone()
    return Anonymity(*map(int, row))
