"""Hits that go on all through a rehearsal, and what became of each of them."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import requests

from matomo_harness.errors import HarnessError
from matomo_harness.gate.probes.traffic import TEST_SITE
from matomo_harness.matomo.api import Api, all_rows
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.traffic import USER_AGENTS
from matomo_harness.matomo.web import Web

SITE: Final = "matomo-harness rehearsal"
ADDRESS: Final = "https://rehearsal.example"
BETWEEN: Final = "while gates judge"
"""Stage of the hits that are sent between two stages."""
PAUSE_SECONDS: Final = 0.1
"""Between two hits: some seven a second, with what an answer takes."""
PATIENCE: Final = (2.0, 30.0)
"""Seconds to connect, and to wait for the answer: longer than a browser waits for an image, so that
what is answered late is not taken for lost."""
ANSWERED: Final = (requests.codes.ok, requests.codes.no_content)


def sites_of_ours(api: Api) -> list[int]:
    """Return the sites that a rehearsal itself sends hits to, by these here or by its gates."""
    return [
        int(found["idsite"])
        for found in all_rows(api, "SitesManager.getAllSites")
        if found["name"] in (SITE, TEST_SITE)
    ]


@dataclass(frozen=True)
class SentHit:
    """A hit, and its answer.

    Args:
        number: in the order of sending, from 1; the page's address ends in it.
        stage: of the rehearsal.
        at: when it was sent, in seconds since the first.
        status: of the answer; None where there was none.
    """

    number: int
    stage: str
    at: float
    status: int | None

    @property
    def is_answered_well(self) -> bool:
        """Whether the visitor's browser was answered that all is well."""
        return self.status in ANSWERED


@dataclass(frozen=True)
class HitAccount:
    """What became of the hits of a stage.

    Args:
        stage: its name.
        seconds: from its first hit to its last.
        answered: hits that were answered well.
        otherwise: how many were answered by another status, by that.
        unanswered: those without any answer.
        stored: those that the database has.
        lost_silently: answered well, and not stored.
        stored_unanswered: not answered well, and stored all the same.
    """

    stage: str
    seconds: float
    answered: int
    otherwise: dict[int, int]
    unanswered: int
    stored: int
    lost_silently: int
    stored_unanswered: int

    @property
    def sent(self) -> int:
        """All of them."""
        return self.answered + sum(self.otherwise.values()) + self.unanswered

    @property
    def lost(self) -> int:
        """Those that the database does not have."""
        return self.sent - self.stored


def account(hits: Sequence[SentHit], stored: frozenset[int]) -> list[HitAccount]:
    """Return what became of `hits`, stage by stage.

    Args:
        hits: in the order of sending.
        stored: numbers of those that the database had at the end of their stage.
    """
    found = []
    for stage in dict.fromkeys(hit.stage for hit in hits):
        of_stage = [hit for hit in hits if hit.stage == stage]
        well = [hit for hit in of_stage if hit.is_answered_well]
        others = [hit for hit in of_stage if not hit.is_answered_well]
        found.append(
            HitAccount(
                stage=stage,
                seconds=round(of_stage[-1].at - of_stage[0].at, 1),
                answered=len(well),
                otherwise=dict(Counter(hit.status for hit in others if hit.status is not None)),
                unanswered=sum(hit.status is None for hit in others),
                stored=sum(hit.number in stored for hit in of_stage),
                lost_silently=sum(hit.number not in stored for hit in well),
                stored_unanswered=sum(hit.number in stored for hit in others),
            )
        )
    return found


class LiveHits:
    """Sends hits to a site of its own until its block ends; a context manager.

    Args:
        url: address of Matomo, as visitors' browsers know it.
        authority: who signed its certificate.
        site: idsite of a site that nothing else is sent to.
    """

    def __init__(self, url: str, authority: Path | None, site: int) -> None:
        self.hits: list[SentHit] = []
        self.looked_for: list[SentHit] = []
        """Those of which the database has said whether it has them."""
        self.stored: set[int] = set()
        self._given_up = 0
        self._stage = BETWEEN
        self._site = site
        self._web = Web(url, authority=authority, time_limit=PATIENCE)
        # Matomo passes over hits of what it takes for a program, and answers them well.
        self._web.session.headers["User-Agent"] = USER_AGENTS[0]
        self._sending = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send_on, name="hits", daemon=True)
        self._began = time.monotonic()

    def __enter__(self) -> "LiveHits":
        """Begin to send."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, and wait for the last answer."""
        self._ended.set()
        self._thread.join()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Name the stage of the hits in the block."""
        with self._sending:
            before, self._stage = self._stage, name
        try:
            yield
        finally:
            with self._sending:
                self._stage = before

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Send nothing in the block; the last hit is answered when it begins."""
        with self._sending:
            yield

    def remember(self, database: Database) -> None:
        """Remember which hits the database has now; none is on its way, or some are missed."""
        self.stored |= numbers_of_stored(database, self._site)
        self.looked_for += self.hits[self._given_up :]

    def begin_anew(self) -> None:
        """Look for no hit of before any more: another database takes this one's place."""
        self._given_up = len(self.hits)

    def _send_on(self) -> None:
        while not self._ended.is_set():
            with self._sending:
                number = len(self.hits) + 1
                at = time.monotonic() - self._began
                self.hits.append(SentHit(number, self._stage, at, self._answer(number)))
            self._ended.wait(PAUSE_SECONDS)

    def _answer(self, number: int) -> int | None:
        hit: dict[str, str | int] = {
            "idsite": self._site,
            "rec": 1,
            "_id": f"{number:016x}",
            "url": f"{ADDRESS}/{number}",
            "send_image": 0,
        }
        try:
            return self._web.get(hit, path="matomo.php").status_code
        except HarnessError:
            return None


def numbers_of_stored(database: Database, site: int) -> set[int]:
    """Return the numbers of the hits that the database has, by the addresses of their pages."""
    rows = database.query(
        "SELECT a.name AS page FROM {prefix}log_link_visit_action AS l"
        " JOIN {prefix}log_action AS a ON a.idaction = l.idaction_url WHERE l.idsite = %s",
        site,
    )
    return {int(number) for row in rows if (number := _ending(str(row["page"]))).isdecimal()}


def _ending(page: str) -> str:
    return page.rpartition("/")[2]


def site_of_its_own(api: Api) -> int:
    """Return a site for these hits alone, so that the reports of all others stay what they are."""
    for found in all_rows(api, "SitesManager.getAllSites"):
        if found["name"] == SITE:
            return int(found["idsite"])
    # The first hit on a younger site moves its beginning (SitesManagerRequestProcessor).
    since = datetime.now(UTC).date() - timedelta(days=3)
    return api.add_site(SITE, ADDRESS, "UTC", since=f"{since}")
