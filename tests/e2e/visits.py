"""A site with unarchived visits of three days, and what Matomo must report of them."""

from dataclasses import dataclass
from datetime import date

from playwright.sync_api import Page

from matomo_harness.matomo import tracker, traffic
from matomo_harness.matomo.traffic import Figures, Site
from matomo_harness.pytest_plugin import MatomoByTls
from tests.e2e.pages.report import Report

FIRST, LAST = date(2026, 3, 2), date(2026, 3, 4)
RANGE = f"{FIRST},{LAST}"
URL = "https://library.example"


@dataclass(frozen=True)
class Library:
    """The site.

    Args:
        matomo: where it is.
        site: idsite.
        figures: what Matomo must report of all its days.
        one_day: what it must report of the first.
    """

    matomo: MatomoByTls
    site: int
    figures: Figures
    one_day: Figures

    def archive(self) -> None:
        """Archive its days alone: today's reports take a second of their own."""
        self.matomo.archive(
            "--disable-scheduled-tasks",
            f"--force-idsites={self.site}",
            f"--force-date-range={RANGE}",
            "--force-periods=day",
        )

    def of_first_day(self, page: Page) -> Report:
        """Return reports of the first day, in a `page` that has logged in."""
        return Report(page, self.site, "day", str(FIRST))

    def of_all_days(self, page: Page) -> Report:
        """Return reports of all its days, in a `page` that has logged in."""
        return Report(page, self.site, "range", RANGE)


def make_library(matomo: MatomoByTls) -> Library:
    """Make the site and send its visits."""
    api = matomo.instance.api
    site = Site(api.add_site("Library", URL, "UTC", since="2026-01-01"), URL, "UTC")
    made = traffic.visits([site], FIRST, (LAST - FIRST).days + 1)
    tracker.send(api, traffic.hits(made))
    return Library(
        matomo,
        site.id,
        traffic.expected_between(made, site, FIRST, LAST),
        traffic.expected_between(made, site, FIRST, FIRST),
    )
