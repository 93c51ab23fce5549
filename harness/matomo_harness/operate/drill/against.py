"""Production's numbers, as a restored backup is compared with them: of a file, or asked for."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from matomo_harness.errors import WrongInputError
from matomo_harness.matomo.api import Api, ApiError, all_rows
from matomo_harness.matomo.web import Web
from matomo_harness.operate import gate
from matomo_harness.operate.drill import archived
from matomo_harness.operate.drill.findings import Comparison
from matomo_harness.operate.rehearsal import state
from matomo_harness.operate.rehearsal.state import ArchivedPeriod

TOKEN: Final = "HARNESS_TOKEN"  # noqa: S105
OVER_EVERYWHERE: Final = timedelta(days=2)
"""A day that is so long ago is over in every time zone, and archived."""


@dataclass(frozen=True)
class Numbers:
    """Reports of a production, by digests: their labels may be of persons.

    Args:
        periods: that were asked for.
        digests: of each report, by its name; one that was answered by an error has none.
    """

    periods: tuple[ArchivedPeriod, ...]
    digests: dict[str, str] = field(repr=False)

    @property
    def unanswered(self) -> int:
        """How many reports were answered by an error: the time of a proxy was over, say."""
        return max(len(self.periods) * len(state.METHODS) - len(self.digests), 0)


@dataclass(frozen=True)
class Production:
    """Where production's numbers come from.

    Args:
        file: that `matomo-harness numbers` wrote; None where there is none.
        url: production's address; empty where it is not asked.
        authority: who signed its certificate; the public ones where None.
        token: of a user who may see the sites.
    """

    file: Path | None = None
    url: str = ""
    authority: Path | None = None
    token: str = field(default="", repr=False)

    @property
    def api(self) -> Api | None:
        """Its API; None where it is not asked."""
        return Api(Web(self.url, authority=self.authority), self.token) if self.url else None

    def require_answer(self) -> None:
        """Require that production answers, where it is asked: nothing is loaded before.

        Raises:
            WrongInputError: it refuses the token, or is no Matomo.
            UnsupportedEnvironmentError: nothing answers.
        """
        if not self.api:
            return
        try:
            sites = self.api.call("SitesManager.getSitesIdWithAtLeastViewAccess")
        except ApiError as error:
            raise WrongInputError(
                expected=f"production to take the token of {TOKEN}",
                seen=error.seen,
                next_command="Administration, Personal, Security: make a token",
            ) from error
        if not sites:
            raise WrongInputError(
                expected=f"the user of the token in {TOKEN} to see production's sites",
                seen="none of them: nothing could be compared",
                next_command="make a token of a user who sees them",
            )


def production_of(file: Path | None, url: str, authority: Path | None) -> Production:
    """Return where production's numbers come from.

    Raises:
        WrongInputError: both are given, or an address without a token, or no such file.
    """
    if file and url:
        raise WrongInputError(
            expected="--against or --url", seen="both", next_command="leave one of them out"
        )
    token = os.environ.get(TOKEN, "")
    if url and not token:
        raise WrongInputError(
            expected=f"a token of production's in {TOKEN}",
            seen="none",
            next_command=f"read -rs {TOKEN}; export {TOKEN}; the same again",
        )
    if file:
        read(file)
    return Production(file, url.rstrip("/"), authority, token)


def compared(production: Production, api: Api, periods: Sequence[ArchivedPeriod]) -> Comparison:
    """Compare production's numbers with those of a restored Matomo.

    Args:
        production: what is given of it.
        api: of the restored one.
        periods: those that the backup has archives of, where production is asked.
    """
    left_out = ""
    if of_production := production.api:
        said = state.numbers(of_production, periods)
        restored = state.numbers(api, periods)
        # A site that the token may not see says nothing of the backup.
        refused = {name for name in said if _is_error(said[name]) and not _is_error(restored[name])}
        theirs = archived.digests({name: said[name] for name in said if name not in refused})
        if refused:
            left_out = f"{len(refused)} reports that production does not show to this token"
    else:
        assert production.file  # noqa: S101  one of them is given
        numbers = read(production.file)
        theirs, restored = numbers.digests, state.numbers(api, numbers.periods)
        if numbers.unanswered:
            left_out = f"{numbers.unanswered} reports that production answered by an error"
    ours = archived.digests(restored)
    different = tuple(archived.name_of(name) for name in state.different(theirs, ours))
    if not theirs and not left_out:
        left_out = "no period was over"
    return Comparison(len(theirs), different, left_out)


def _is_error(report: Any) -> bool:
    return isinstance(report, dict) and "error" in report


def take(url: str, authority: Path | None, to: Path) -> Numbers:
    """Ask a production for the numbers of each site's last day, week, month and year that are over.

    Raises:
        WrongInputError: there is no token, or `to` cannot be written.
        ApiError: production refuses it.
    """
    production = production_of(None, url, authority)
    _require_file(to)
    assert production.api  # noqa: S101  an address is given
    sites = all_rows(production.api, "SitesManager.getSitesIdWithAtLeastViewAccess")
    day = datetime.now(UTC).date() - OVER_EVERYWHERE
    periods = [
        ArchivedPeriod(int(site), period, f"{first}")
        for site in sites
        for period, first in _over(day).items()
    ]
    said = state.numbers(production.api, periods)
    # An error is no number: the restored one, which answers, would be another.
    answered = {name: report for name, report in said.items() if not _is_error(report)}
    numbers = Numbers(tuple(periods), archived.digests(answered))
    to.write_text(json.dumps(asdict(numbers), indent=2) + "\n")
    return numbers


def _require_file(to: Path) -> None:
    """Require that a file can be written, before production is asked for what is in it."""
    gate.require_place(to.parent, is_ours=False)
    if to.is_dir() or (to.exists() and not os.access(to, os.W_OK)):
        raise WrongInputError(
            expected=f"a file at {to} that can be written to",
            seen="a directory" if to.is_dir() else "it is read-only",
            next_command="matomo-harness numbers --url https://… --to numbers.json",
        )


def _over(day: date) -> dict[str, date]:
    """Return the first day of the last period of each kind that is over on `day`."""
    after = day + timedelta(days=1)
    month = after.replace(day=1)
    return {
        "day": day,
        "week": after - timedelta(days=after.weekday() + 7),
        "month": (month - timedelta(days=1)).replace(day=1),
        "year": after.replace(year=after.year - 1, month=1, day=1),
    }


def read(file: Path) -> Numbers:
    """Read a file that `take` wrote.

    Raises:
        WrongInputError: it is none.
    """
    try:
        known: dict[str, Any] = json.loads(file.read_text())
        periods: Iterable[dict[str, Any]] = known["periods"]
        return Numbers(tuple(ArchivedPeriod(**each) for each in periods), dict(known["digests"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WrongInputError(
            expected=f"production's numbers in {file}",
            seen=getattr(error, "strerror", None) or "another file",
            next_command=f"matomo-harness numbers --url https://… --to {file}",
        ) from error
