"""Reports in archives, rewritten row by row: numbers stay, and labels become what logs become.

A value is a table that PHP has serialised and zlib has packed (core/DataTable.php, getSerialized):
a row has its columns at 0, its metadata at 1, and the number of the table below it at 3. Tables
below are in records of the same name with `_chunk_0_99` behind it, each as a serialised string.
"""

import dataclasses
import re
import zlib
from collections.abc import Callable, Iterable
from typing import Any, Final

from pymysql.cursors import Cursor

from matomo_harness.personal_data import documents
from matomo_harness.personal_data.pseudonyms import Pseudonyms
from matomo_harness.personal_data.rules import TablePlan
from matomo_harness.personal_data.schema import Connection, quoted

COLUMNS: Final = 0
METADATA: Final = 1
_HARMLESS: Final = (
    *("DevicesDetection_", "DevicePlugins_", "Resolution_", "UserLanguage_", "VisitTime_"),
    *("VisitorInterest_", "VisitFrequency_", "Referrers_type", "UserCountry_country"),
    *("UserCountry_region", "PagePerformance_"),
)
"""Beginnings of the names of reports about devices, places and times, as the log has them too."""
_KINDS: Final = {
    "Actions_actions_url": ("page", "page"),
    "Actions_actions": ("title", "title"),
    "Actions_downloads": ("host", "page"),
    "Actions_outlink": ("host", "page"),
    "Referrers_keywordBySearchEngine": ("keep", "pseudonym"),
    "Referrers_searchEngineByKeyword": ("pseudonym", "keep"),
    "Referrers_keywordByCampaign": ("pseudonym", "pseudonym"),
    "Referrers_urlByWebsite": ("host", "page"),
    "Referrers_urlBySocialNetwork": ("keep", "url"),
    "UserId_users": ("pseudonym", "pseudonym"),
}
"""What becomes of a report's labels, and of those in the tables below it (plugins/*/Archiver.php);
of others they are text."""
_KINDS_BEGINNING: Final = {
    # Of an action's dimension, the tables below are of pages (CustomDimension.php).
    "CustomDimensions_": ("pseudonym", "url"),
    "CustomVariables_": ("pseudonym", "pseudonym"),
}
"""The same of reports whose names end in a number."""
_UNTIL_CONVERSION: Final = re.compile(r"Goal_(?:-?\d+_)?(?:visits|days)_until_conv")
"""Reports whose labels are ranges of numbers (Goals/Archiver.php)."""
_BELOW: Final = re.compile(r"_(?:chunk_)?\d+(?:_\d+)?$")
_NUMBER: Final = re.compile(r"-?[0-9]{1,12}(?:[.][0-9]{1,12})?")
"""What a metric is; as a label it might be somebody's number."""
_RANGE: Final = re.compile(r"[0-9]{1,3}(?:[-+][0-9]{0,3})?")
"""A small number, or a range of them, which is no person's in any report."""
_PLAIN: Final = re.compile(r"(?!.*(?:\.[A-Za-z]|(?:\d+\.){3}\d))[\w ;|/+()&',:.-]{0,80}")
"""Labels that stay as they are; another one might be an address, or a name of a host."""
_METRIC: Final = re.compile(r"[A-Za-z_]\w{0,79}(?:=\w{0,20})?")
"""Names of columns, as `nb_visits` and `idgoal=ecommerceOrder`."""
_OWN: Final = ("", "/index", "__mtm_ranking_query_others__", "Value not defined")
"""What Matomo itself writes for a page without a name, for what is beyond a report's limit, and for
visits without a custom dimension."""
_COORDINATES: Final = ("lat", "long")
"""A city's, in the metadata of its row (UserCountry/RecordBuilders/Locations.php)."""


SUMMARY: Final = -1
"""The label of the row with all that is beyond a report's limit (core/DataTable.php)."""


def bounded(connection: Connection, plans: Iterable[TablePlan]) -> list[TablePlan]:
    """Return plans by which only those reports stay that no visit of their site is there for.

    A site's first day with visits counts as one of these: where its day begins in another one of
    the server's, a part of its visits may be gone. A week, month or year that begins before it is
    put together again from its days, old ones and new ones.

    Args:
        connection: a session with the raw tables.
        plans: of all tables.
    """
    plans = list(plans)
    visits = next((plan.table for plan in plans if plan.name == "log_visit"), "")
    if not visits:
        return plans
    with connection.cursor(Cursor) as cursor:
        cursor.execute(
            "SELECT idsite, DATE(MIN(visit_last_action_time))"
            f" FROM {quoted(visits)} GROUP BY idsite"
        )
        firsts: list[Any] = list(cursor.fetchall())
    if not firsts:
        return plans
    # Earlier reports were imported, or are of visits that were deleted: nothing makes them anew.
    first_day = " ".join(f"WHEN {site} THEN '{day}'" for site, day in firsts)
    staying = f"COALESCE(`date1` <= CASE idsite {first_day} END, TRUE)"
    return [
        dataclasses.replace(plan, staying=staying) if plan.of_kind("report") else plan
        for plan in plans
    ]


def rewritten(value: bytes, name: str, pseudonyms: Pseudonyms) -> bytes | None:
    """Return a record of an archive with its labels rewritten; None where it cannot be read.

    Args:
        value: as it is in the database.
        name: of the record.
        pseudonyms: of this run.
    """
    try:
        unpacking = zlib.decompressobj()
        table = documents.unserialised(
            unpacking.decompress(value, documents.UNPACKED_LIMIT).decode()
        )
        if not unpacking.eof:
            return None
        report, is_below = _BELOW.sub("", name), bool(_BELOW.search(name))
        made = _Labels(report, is_below, pseudonyms).table(table)
        return zlib.compress(documents.serialised(made).encode())
    except (ValueError, RecursionError, zlib.error):
        return None


def _kinds(report: str) -> tuple[str, str]:
    """Return what becomes of a report's labels, and of those in the tables below it."""
    if _UNTIL_CONVERSION.fullmatch(report):
        return "range", "range"
    if report.startswith(_HARMLESS):
        return _KINDS.get(report, ("keep", "keep"))
    beginning = next((name for name in _KINDS_BEGINNING if report.startswith(name)), "")
    return _KINDS.get(report) or _KINDS_BEGINNING.get(beginning, ("text", "text"))


class _Labels:
    """Rewrites the tables of one report.

    Args:
        report: the record's name without what says that its tables are below others.
        is_below: whether they are.
        pseudonyms: of this run.
    """

    def __init__(self, report: str, is_below: bool, pseudonyms: Pseudonyms) -> None:
        self._made = pseudonyms
        rewriters: dict[str, Callable[[str], str]] = {
            "page": pseudonyms.page,
            "title": self._title,
            "host": pseudonyms.host,
            "url": pseudonyms.url,
            "pseudonym": pseudonyms.pseudonym,
            "keep": self._plain,
            "range": lambda label: label if _RANGE.fullmatch(label) else pseudonyms.text(label),
            "text": pseudonyms.text,
        }
        self._label = rewriters[_kinds(report)[is_below]]

    def table(self, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("no table")
        return {self._key(key): self._row(row) for key, row in value.items()}

    def _row(self, row: Any) -> Any:
        if isinstance(row, str) and row.startswith("a:"):  # a table below, in a chunk
            return documents.serialised(self.table(documents.unserialised(row)))
        if not isinstance(row, dict):
            return self._other("", row)
        parts = {COLUMNS: self._column, METADATA: self._other}
        return {
            key: {self._key(name): parts[key](name, item) for name, item in inner.items()}
            if key in parts and isinstance(inner, dict)
            else self._column(key, inner)
            for key, inner in row.items()
        }

    def _column(self, name: Any, item: Any) -> Any:
        is_label = name == "label" and isinstance(item, str | int) and not isinstance(item, bool)
        if is_label and item != SUMMARY:
            # A key of PHP's arrays: a label of digits alone was stored as a number until Matomo 5.
            made = item if item in _OWN else self._label(str(item))
            return item if made == str(item) else made
        return self._other(name, item)

    def _other(self, name: Any, item: Any) -> Any:
        if isinstance(item, dict):
            return {self._key(key): self._other(key, inner) for key, inner in item.items()}
        if name in _COORDINATES and isinstance(item, str | float | int):
            # As the rule `degrees` leaves them in the log.
            return float(round(float(item)))
        if not isinstance(item, str) or not item or _NUMBER.fullmatch(item):
            return item
        if name == "url" or item.startswith(("http://", "https://")):
            return self._made.url(item)
        if name == "segment":
            return documents.segment(item, self._made)
        is_matomos = name == "logo" and item.startswith("plugins/")
        return item if is_matomos else self._made.text(item)

    def _key(self, key: Any) -> Any:
        return key if isinstance(key, int) or _METRIC.fullmatch(key) else self._made.text(key)

    def _title(self, label: str) -> str:
        bare = label.removeprefix(" ")  # before the last part of a title
        return label[: len(label) - len(bare)] + self._made.text(bare)

    def _plain(self, label: str) -> str:
        return label if _PLAIN.fullmatch(label) else self._made.text(label)
