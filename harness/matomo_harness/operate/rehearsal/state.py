"""What of a Matomo an update may change: its code, plugins, tables, configuration and numbers."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from matomo_harness.gate.core.target import Http
from matomo_harness.gate.probes.php import Php
from matomo_harness.matomo import ini
from matomo_harness.matomo.api import Api, ApiError
from matomo_harness.matomo.database import WHOLE_TABLE_SECONDS, Database
from matomo_harness.matomo.web import Web
from matomo_harness.personal_data.documents import segment_hash
from matomo_harness.runtime.shell import MatomoShell

DEFAULTS: Final = "config/global.ini.php"
"""What Matomo itself has where config.ini.php says nothing."""
MOVING: Final = (
    "session",
    "option",
    "brute_force_log",
    "locks",
    "user_token_auth",
    "logger_message",
)
"""Tables that Matomo writes to while nobody changes anything: people log in, times of last use and
caches are noted."""
OF_HITS: Final = ("log_", "queuedtracking_")
"""Beginnings of the tables that hits go to; the latter are QueuedTracking's."""
WAITING: Final = ("archive_invalidations", "queuedtracking_")
"""Beginnings of the tables of what waits to be done: they are empty where all is done."""


@dataclass(frozen=True)
class State:
    """A Matomo's code, plugins, tables and configuration.

    Args:
        code: version of the code.
        tables: version of the tables (option version_core).
        plugins: version of each active plugin, as the database has it; empty where it has none.
        columns: of each table, without the prefix: what each column is.
        collations: of each table.
        lacking: columns that active plugins declare and the tables do not have.
        updates: components whose tables wait for an update.
        defaults: plugins that Matomo itself has on, where the file has no list of its own.
        tracker_is_whole: whether matomo.js is what this version makes of its own and of its
            plugins' scripts; None where CustomJsTracker is off.
        config: the text of config.ini.php.
    """

    code: str
    tables: str
    plugins: Mapping[str, str]
    columns: Mapping[str, Mapping[str, str]] = field(repr=False)
    collations: Mapping[str, str] = field(repr=False)
    lacking: tuple[str, ...]
    updates: tuple[str, ...]
    defaults: frozenset[str]
    tracker_is_whole: bool | None
    config: str = field(repr=False)


def state_of(shell: MatomoShell, web: Web, database: Database) -> State:
    """Return the state of a Matomo that runs.

    Raises:
        BrokenPromiseError: its code cannot be started.
    """
    facts = Php(shell, Http(web.url, web.authority)).facts
    versions = {
        str(row["name"]): str(row["version"])
        for row in database.query(
            "SELECT SUBSTRING(option_name, 9) AS name, option_value AS version"
            " FROM {prefix}option WHERE option_name LIKE 'version\\_%%'"
        )
    }
    return State(
        code=str(facts["version"]),
        tables=versions.get("core", ""),
        plugins={str(name): versions.get(str(name), "") for name in sorted(facts["activated"])},
        columns=columns(database),
        collations=collations(database),
        lacking=tuple(str(lack) for lack in facts["no_columns"]),
        updates=tuple(str(name) for name in facts["updates"]),
        tracker_is_whole=facts["tracker_is_whole"],
        defaults=frozenset(ini.read(shell.read(DEFAULTS)).texts("Plugins", "Plugins")),
        config=shell.read(shell.config),
    )


def columns(database: Database) -> dict[str, dict[str, str]]:
    """Return what each column of each of Matomo's tables is, in SQL, but for tables of archives.

    Tables of archives are made month by month, while one looks.
    """
    found: dict[str, dict[str, str]] = {}
    rows = database.query(
        "SELECT table_name AS t, column_name AS c, TRIM(CONCAT_WS(' ', column_type,"
        " IF(is_nullable = 'YES', 'NULL', 'NOT NULL'), CONCAT('DEFAULT ', column_default),"
        " CONCAT('COLLATE ', collation_name), extra)) AS kind"
        " FROM information_schema.columns WHERE table_schema = DATABASE()"
        " AND LEFT(table_name, %s) = %s ORDER BY table_name, ordinal_position",
        len(database.tables_prefix),
        database.tables_prefix,
    )
    for row in rows:
        table = str(row["t"]).removeprefix(database.tables_prefix)
        if not table.startswith(("archive_numeric_", "archive_blob_")):
            found.setdefault(table, {})[str(row["c"])] = str(row["kind"])
    return found


def gone_columns(before: State, after: State) -> list[str]:
    """Return the columns that tables had before and have no more; tables that are gone are not."""
    return sorted(
        f"{table}.{name}"
        for table in before.columns.keys() & after.columns.keys()
        for name in before.columns[table].keys() - after.columns[table].keys()
    )


def collations(database: Database) -> dict[str, str]:
    """Return the collation of each of Matomo's tables.

    Single columns have others by Matomo's own will, as those that hold a hash.
    """
    rows = database.query(
        "SELECT table_name AS t, table_collation AS c FROM information_schema.tables"
        " WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'"
        " AND LEFT(table_name, %s) = %s ORDER BY table_name",
        len(database.tables_prefix),
        database.tables_prefix,
    )
    return {str(row["t"]).removeprefix(database.tables_prefix): str(row["c"]) for row in rows}


# -- tables ---------------------------------------------------------------------------------------


def checksums(database: Database) -> dict[str, int | None]:
    """Return a checksum of each table's rows, by its name without the prefix."""
    names = sorted(database.tables())
    if not names:
        return {}
    listed = ", ".join(f"`{database.tables_prefix}{name}`" for name in names)
    rows = database.query(f"CHECKSUM TABLE {listed}", seconds=WHOLE_TABLE_SECONDS)
    return {
        str(row["Table"]).partition(".")[2].removeprefix(database.tables_prefix): row["Checksum"]
        for row in rows
    }


def changed(
    before: Mapping[str, int | None], after: Mapping[str, int | None], *, with_logs: bool
) -> tuple[str, ...]:
    """Return the tables that differ, but for those that always move.

    Args:
        before: checksums.
        after: likewise.
        with_logs: whether tables of visits are compared, too: no hit came in between.
    """
    return tuple(
        name
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
        and name not in MOVING
        and (with_logs or not name.startswith(OF_HITS))
    )


def filled(database: Database) -> frozenset[str]:
    """Return the tables that have a row, but for those that may be empty at any moment."""
    names = [
        name for name in collations(database) if name not in MOVING and not name.startswith(WAITING)
    ]
    if not names:
        return frozenset()
    asked = " UNION ALL ".join(
        f"SELECT '{name}' AS name,"  # noqa: S608
        f" EXISTS (SELECT 1 FROM `{database.tables_prefix}{name}`) AS has_rows"
        for name in names
    )
    return frozenset(str(row["name"]) for row in database.query(asked) if row["has_rows"])


# -- numbers --------------------------------------------------------------------------------------

METHODS: Final = (
    "VisitsSummary.get",
    "Actions.get",
    "Actions.getPageUrls",
    "Actions.getPageTitles",
    "Referrers.getReferrerType",
    "UserCountry.getCountry",
    "DevicesDetection.getBrowsers",
    "VisitTime.getVisitInformationPerServerTime",
    "Goals.get",
)
"""Reports of different plugins: numbers of a period, tables with and without subtables."""
LEFT_OUT: Final = ("url", "logo", "segment", "idsubdatatable")
"""Columns of a report that are no numbers of it, and that versions write in different ways."""


@dataclass(frozen=True)
class ArchivedPeriod:
    """Something that there are archives of.

    Args:
        site: idsite.
        period: day, week, month, year or range.
        date: the last of that period, as the API takes it.
        segment: definition; empty for all visits.
    """

    site: int
    period: str
    date: str
    segment: str = ""

    def __str__(self) -> str:
        """Return it as a report names it."""
        segment = f", {self.segment}" if self.segment else ""
        return f"site {self.site}, {self.period} of {self.date}{segment}"


PERIODS: Final = {1: "day", 2: "week", 3: "month", 4: "year", 5: "range"}


def archived(database: Database, without: Iterable[int] = ()) -> list[ArchivedPeriod]:
    """Return what there are whole archives of: for each period the latest that has any.

    Args:
        database: Matomo's schema.
        without: sites that are left out.
    """
    definitions = segments(database)
    latest: dict[tuple[int, str, str], str] = {}
    for table in sorted(database.tables()):
        if not table.startswith("archive_numeric_"):
            continue
        for row in database.query(
            "SELECT idsite, period, name, MAX(date1) AS first, MAX(date2) AS last"  # noqa: S608
            f" FROM {{prefix}}{table} WHERE name LIKE 'done%%' AND name NOT LIKE '%%.%%'"
            " AND value IN (1, 3) GROUP BY idsite, period, name"
        ):
            digest = str(row["name"]).removeprefix("done")
            if digest and digest not in definitions:
                continue
            period = PERIODS.get(int(row["period"]), "")
            date = f"{row['first']},{row['last']}" if period == "range" else f"{row['first']}"
            key = int(row["idsite"]), period, definitions.get(digest, "")
            latest[key] = max(latest.get(key, ""), date)
    left_out = set(without)
    return [
        ArchivedPeriod(site, period, date, segment)
        for (site, period, segment), date in sorted(latest.items())
        if site not in left_out and period
    ]


def segments(database: Database) -> dict[str, str]:
    """Return the definitions of segments by what archives are named after; none without a table."""
    if "segment" not in database.tables():
        return {}
    # All columns: an older Matomo's table has no column of the hash.
    rows = database.query("SELECT * FROM {prefix}segment WHERE deleted = 0")
    return {
        str(row.get("hash") or segment_hash(str(row["definition"]))): str(row["definition"])
        for row in rows
    }


def archive_rows(database: Database, without: Iterable[int] = ()) -> dict[str, str]:
    """Return a digest of every number and every table of every archive, by what it is of.

    The newest archive counts where there are several of one period, as for Matomo. Those of all
    visits, of a segment and of a single plugin are different ones, each by the flag that it has.

    Args:
        database: Matomo's schema.
        without: sites that are left out.
    """
    found: dict[str, tuple[int, str]] = {}
    left_out = set(without)
    names = database.tables()
    for table in sorted(names):
        if not table.startswith(("archive_numeric_", "archive_blob_")):
            continue
        # The flags of both tables of a month are in that of numbers.
        of_numbers = table.replace("archive_blob_", "archive_numeric_")
        flags = _flags(database, of_numbers) if of_numbers in names else {}
        value = "MD5(value)" if table.startswith("archive_blob_") else "value"
        rows = database.query(
            f"SELECT idarchive, idsite, date1, date2, period, name, {value} AS value"  # noqa: S608
            f" FROM {{prefix}}{table} WHERE name NOT LIKE 'done%%'"
        )
        for row in rows:
            if int(row["idsite"]) in left_out:
                continue
            archive = int(row["idarchive"])
            flag = flags.get(archive, "no flag")
            key = "site {idsite}, {flag}, period {period}, {date1} to {date2}, {name}".format_map(
                {**row, "flag": flag}
            )
            if archive >= found.get(key, (0, ""))[0]:
                found[key] = archive, str(row["value"])
    return {key: value for key, (_, value) in found.items()}


def _flags(database: Database, table: str) -> dict[int, str]:
    """Return the flag of each archive of a month, which says what it is of."""
    rows = database.query(
        f"SELECT idarchive, name FROM {{prefix}}{table} WHERE name LIKE 'done%%'"  # noqa: S608
    )
    return {int(row["idarchive"]): str(row["name"]) for row in rows}


def numbers(api: Api, things: Iterable[ArchivedPeriod]) -> dict[str, Any]:
    """Return the reports of `things`, by method and thing, without what is no number of them."""
    found: dict[str, Any] = {}
    for thing in things:
        for method in METHODS:
            asked: dict[str, Any] = {
                "idSite": thing.site,
                "period": thing.period,
                "date": thing.date,
                "filter_limit": -1,
                "language": "en",  # else it is that of whoever asks
            }
            if thing.segment:
                asked["segment"] = thing.segment
            try:
                answer = api.call(method, **asked)
            except ApiError as error:
                answer = {"error": error.seen[:200]}
            found[f"{method}, {thing}"] = _numbers_of(answer)
    return found


def _numbers_of(report: Any) -> Any:
    """Return a report without links and the like."""
    if isinstance(report, list):
        return [_numbers_of(row) for row in report]
    if isinstance(report, dict):
        return {name: _numbers_of(value) for name, value in report.items() if name not in LEFT_OUT}
    return report


def different(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the names of what is not the same, or not there any more.

    A column that only the newer version has is no difference, and neither is the order of rows.
    """
    return [name for name, value in before.items() if not _covers(after.get(name), value)]


def unreadable(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the names of reports that said something before, and are empty or an error now."""
    return [
        name
        for name, value in before.items()
        if _says_something(value)
        if not _says_something(after.get(name))
    ]


def _says_something(report: Any) -> bool:
    return bool(report) and not (isinstance(report, dict) and "error" in report)


def _covers(after: Any, before: Any) -> bool:
    if isinstance(before, dict) and isinstance(after, dict):
        return all(name in after and _covers(after[name], value) for name, value in before.items())
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and _each_covered(after, before)
    return bool(before == after)


def _each_covered(after: Sequence[Any], before: Sequence[Any]) -> bool:
    """Whether each old row has a new one of its own that covers it, in whatever order."""
    left: defaultdict[str, list[Any]] = defaultdict(list)
    for row in after:
        left[_label(row)].append(row)
    # One with fewer columns could take what one with more needs.
    for row in sorted(before, key=_size, reverse=True):
        candidates = left[_label(row)]
        found = next((n for n, new in enumerate(candidates) if _covers(new, row)), None)
        if found is None:
            return False
        del candidates[found]
    return True


def _label(row: Any) -> str:
    return str(row.get("label", "")) if isinstance(row, dict) else ""


def _size(row: Any) -> int:
    return len(row) if isinstance(row, dict | list) else 0
