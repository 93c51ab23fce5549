"""The numbers that the archives of a database hold, and what Matomo reports of the same periods."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Any, Final

from matomo_harness.matomo.api import Api, ApiError
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.time_zones import zone_of
from matomo_harness.operate.rehearsal.state import PERIODS, ArchivedPeriod, segments

_NUMERIC, _BLOB = "archive_numeric_", "archive_blob_"
NUMBERS: Final = (
    "nb_visits",
    "nb_uniq_visitors",
    "nb_actions",
    "nb_visits_converted",
    "bounce_count",
    "sum_visit_length",
    "max_actions",
)
"""Numbers of an archive that VisitsSummary.get reports under the same names."""
WHOLE: Final = (1, 3, 4)
"""Values of a done flag: whole, temporary (the period was not over), invalidated since. The others
are of one that failed, or of some plugins alone (DataAccess/ArchiveWriter.php)."""
OF_PLUGINS: Final = ("Actions_nb_pageviews", "UserCountry_distinctCountries")
"""Numbers that a plugin writes beside its reports of visits. Where old reports are deleted and
basic numbers are kept, these go with the reports (PrivacyManager/ReportsPurger.php)."""
FARTHEST_WEST: Final = timedelta(hours=12)
"""A day ends so long after it does in UTC at the latest."""


@dataclass(frozen=True)
class Archive:
    """The newest whole archive of a period.

    Args:
        site: idsite.
        period: day, week, month, year or range.
        first: its first day.
        last: its last day.
        segment: definition; empty for all visits.
        is_closed: whether it was made when the period was over.
        numbers: by their names.
    """

    site: int
    period: str
    first: date
    last: date
    segment: str
    is_closed: bool
    numbers: Mapping[str, float] = field(repr=False)

    @property
    def name(self) -> str:
        """How a report names it: a segment's definition may say who is in it."""
        digest = hashlib.sha256(self.segment.encode()).hexdigest()[:8]
        segment = f", segment {digest}" if self.segment else ""
        until = f" to {self.last}" if self.period == "range" else ""
        return f"site {self.site}, {self.period} of {self.first}{until}{segment}"

    @property
    def as_asked(self) -> ArchivedPeriod:
        """The same, as reports are asked for."""
        until = f",{self.last}" if self.period == "range" else ""
        return ArchivedPeriod(self.site, self.period, f"{self.first}{until}", self.segment)


def archives(database: Database) -> list[Archive]:
    """Return the newest whole archive of every site, period and segment that has any."""
    definitions = segments(database)
    zones = {
        int(row["idsite"]): str(row["timezone"])
        for row in database.query("SELECT idsite, timezone FROM {prefix}site")
    }
    found: dict[tuple[Any, ...], Archive] = {}
    tables = [name for name in database.tables() if name.startswith(_NUMERIC)]
    for table in sorted(tables):
        numbers = _numbers(database, table)
        # The newest comes last.
        for row in database.query(
            "SELECT idarchive, idsite, date1, date2, period, name, ts_archived"  # noqa: S608
            f" FROM {{prefix}}{table} WHERE name LIKE 'done%%' AND name NOT LIKE '%%.%%'"
            " AND value IN %s ORDER BY ts_archived, idarchive",
            WHOLE,
        ):
            digest = str(row["name"]).removeprefix("done")
            site, period = int(row["idsite"]), PERIODS.get(int(row["period"]), "")
            if not period or site not in zones or (digest and digest not in definitions):
                continue
            end = _end(row["date2"], zones[site])
            archive = Archive(
                site=site,
                period=period,
                first=row["date1"],
                last=row["date2"],
                segment=definitions.get(digest, ""),
                is_closed=bool(row["ts_archived"]) and row["ts_archived"] >= end,
                numbers=numbers.get(int(row["idarchive"]), {}),
            )
            found[site, period, archive.first, archive.last, archive.segment] = archive
    return [found[key] for key in sorted(found)]


def _numbers(database: Database, table: str) -> dict[int, dict[str, float]]:
    found: dict[int, dict[str, float]] = {}
    for row in database.query(
        f"SELECT idarchive, name, value FROM {{prefix}}{table} WHERE name IN %s",  # noqa: S608
        NUMBERS,
    ):
        found.setdefault(int(row["idarchive"]), {})[str(row["name"])] = float(row["value"] or 0)
    return found


def lost_reports(database: Database) -> tuple[str, ...]:
    """Name the months' tables with reports that are lost, of those whose numbers are there.

    An archive of all visits of a period that had some has reports beside its numbers, unless old
    reports are deleted: it has no number of a plugin then.
    """
    tables = database.tables()
    lost = []
    for numbers in sorted(name for name in tables if name.startswith(_NUMERIC)):
        reports = _BLOB + numbers.removeprefix(_NUMERIC)
        if _has_archive_of_visits(database, numbers) and not (
            reports in tables and _has_archive_of_visits(database, numbers, reports)
        ):
            lost.append(reports)
    return tuple(lost)


def _has_archive_of_visits(database: Database, numbers: str, reports: str = "") -> bool:
    """Whether a month has a whole archive of visits and plugins, with a report where asked for."""
    with_report = (
        f" AND EXISTS (SELECT 1 FROM {{prefix}}{reports} AS report"  # noqa: S608
        " WHERE report.idarchive = done.idarchive)"
    )
    rows = database.query(
        f"SELECT 1 FROM {{prefix}}{numbers} AS done"  # noqa: S608
        f" JOIN {{prefix}}{numbers} AS visits ON visits.idarchive = done.idarchive"
        f" JOIN {{prefix}}{numbers} AS other ON other.idarchive = done.idarchive"
        " WHERE done.name = 'done' AND done.value IN %s"
        " AND visits.name = 'nb_visits' AND visits.value > 0 AND other.name IN %s"
        f"{with_report if reports else ''} LIMIT 1",
        WHOLE,
        OF_PLUGINS,
    )
    return bool(rows)


def missing_months(database: Database, archives: Iterable[Archive]) -> tuple[str, ...]:
    """Name the months without a table of archives, from the first day that has an archive on.

    The table of a year's or a week's first month may be the only one before.
    """
    there = {
        name.removeprefix(_NUMERIC)
        for name in database.tables()
        if re.fullmatch(_NUMERIC + r"\d{4}_\d\d", name)
    }
    days = sorted(archive.first for archive in archives if archive.period == "day")
    if not days:
        return ()
    (year, month), last = (days[0].year, days[0].month), max(there, default="")
    missing = []
    while (name := f"{year}_{month:02}") < last:
        if name not in there:
            missing.append(f"{year}-{month:02}")
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return tuple(missing)


def _end(day: date, zone: str) -> datetime:
    """Return when a day is over, in UTC, without a zone as the database has it."""
    midnight = datetime.combine(day + timedelta(days=1), time())
    try:
        return midnight.replace(tzinfo=zone_of(zone)).astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OSError, KeyError):  # PHP knows zones that this machine does not
        return midnight + FARTHEST_WEST


def has_visits(database: Database, day: Archive) -> bool:
    """Whether there is a visit of the day of an archive, as Matomo counts it among that day's."""
    (row,) = database.query("SELECT timezone FROM {prefix}site WHERE idsite = %s", day.site)
    zone = str(row["timezone"])
    return bool(
        database.query(
            "SELECT 1 FROM {prefix}log_visit WHERE idsite = %s"
            " AND visit_last_action_time >= %s AND visit_last_action_time < %s LIMIT 1",
            *(day.site, _end(day.first - timedelta(days=1), zone), _end(day.last, zone)),
        )
    )


def newest_closed(archives: Iterable[Archive]) -> list[ArchivedPeriod]:
    """Return of each site, kind of period and segment the newest period that was over."""
    newest: dict[tuple[int, str, str], Archive] = {}
    for archive in archives:
        key = archive.site, archive.period, archive.segment
        if archive.is_closed and (key not in newest or archive.first > newest[key].first):
            newest[key] = archive
    return [archive.as_asked for archive in newest.values()]


def name_of(key: str) -> str:
    """Return the name of a report of state.numbers without the definition of its segment."""
    words = key.split(", ", 3)
    segment = hashlib.sha256(words[3].encode()).hexdigest()[:8] if len(words) > 3 else ""
    return ", ".join((*words[:3], *([f"segment {segment}"] if segment else [])))


# -- what Matomo reports --------------------------------------------------------------------------


def differing(api: Api, archives: Sequence[Archive]) -> list[str]:
    """Return the names of the archives of which Matomo reports other numbers.

    All dates of a site, a kind of period and a segment are asked for at once.
    """
    found: list[str] = []
    asked = [archive for archive in archives if archive.period != "range"]
    for (site, period, segment), group in groupby(
        sorted(asked, key=_kind), key=lambda archive: _kind(archive)[:3]
    ):
        of_kind = list(group)
        dates = f"{of_kind[0].first},{of_kind[-1].first}"
        reported = _reported(api, site, period, dates, segment)
        by_day = {label[:10]: numbers for label, numbers in reported.items()}
        found += [
            archive.name
            for archive in of_kind
            if not _is_same(archive.numbers, by_day.get(_label(archive)))
        ]
    for archive in (each for each in archives if each.period == "range"):
        dates = f"{archive.first},{archive.last}"
        reported = _reported(api, archive.site, "range", dates, archive.segment)
        if not _is_same(archive.numbers, reported):
            found.append(archive.name)
    return found


def _kind(archive: Archive) -> tuple[int, str, str, date]:
    return archive.site, archive.period, archive.segment, archive.first


def _label(archive: Archive) -> str:
    """Return how Matomo names the date of a period among several."""
    length = {"month": len("2026-01"), "year": len("2026")}.get(archive.period, len("2026-01-01"))
    return str(archive.first)[:length]


def _reported(api: Api, site: int, period: str, dates: str, segment: str) -> dict[str, Any]:
    try:
        answer = api.call(
            "VisitsSummary.get",
            idSite=site,
            period=period,
            date=dates,
            **({"segment": segment} if segment else {}),
        )
    except ApiError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _is_same(archived: Mapping[str, float], reported: Any) -> bool:
    """Whether every number of an archive is reported; of no visits Matomo reports an empty list."""
    if not isinstance(reported, dict):
        return not any(archived.values()) and reported is not None
    return all(
        name in reported and float(reported[name] or 0) == value for name, value in archived.items()
    )


def digests(reports: Mapping[str, Any]) -> dict[str, str]:
    """Return a digest of each report: labels may be of persons, and are in no file."""
    return {
        name: hashlib.sha256(json.dumps(_in_order(report), sort_keys=True).encode()).hexdigest()
        for name, report in reports.items()
    }


def _in_order(report: Any) -> Any:
    """Return a report with its rows in an order of their own: equal ones may change places."""
    if isinstance(report, list):
        return sorted(map(_in_order, report), key=lambda row: json.dumps(row, sort_keys=True))
    if isinstance(report, dict):
        return {name: _in_order(value) for name, value in report.items()}
    return report
