"""A reproduction that a command made: how a person reaches it, what it reports, what is left."""

import functools
import json
from datetime import date
from typing import Any, Final

from matomo_harness.matomo.api import Api, create_token
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.twofactor import Account
from matomo_harness.matomo.web import Web
from matomo_harness.operate.compose import LOOPBACK, SERVICE_LABEL
from matomo_harness.runtime import reaper
from matomo_harness.runtime.certificates import loopback_tls
from matomo_harness.runtime.containers import SCHEMA
from matomo_harness.runtime.engine import engine
from matomo_harness.settings import OWNER_LABEL, project_name
from tests.checkout import Checkout

METHODS: Final = (
    "VisitsSummary.get",
    "Actions.get",
    "Actions.getPageUrls",
    "Actions.getPageTitles",
    "Referrers.getReferrerType",
    "UserCountry.getCountry",
    "DevicesDetection.getBrowsers",
    "VisitTime.getVisitInformationPerServerTime",
)
LABELLED: Final = ("Actions.getPageUrls", "Actions.getPageTitles")
"""Reports whose labels are a page's address or title: the numbers stay, and the labels do not."""


def made(answer: Any) -> dict[str, Any]:
    assert answer.code == 0, answer.text
    text = answer.text
    found: dict[str, Any] = json.loads(text[text.index("{\n") : text.rindex("}") + 1])
    return found


class RunningReproduction:
    """A reproduction that runs, as a person reaches it."""

    def __init__(self, checkout: Checkout, answer: dict[str, Any]) -> None:
        record = answer["record"]
        self.root = checkout.root / ".local/repro" / record["name"]
        self.record = record
        self.web = Web(
            f"https://localhost:{record['port']}", authority=self.root / ".local/tls/authority.pem"
        )
        text = (self.root / ".local/stack.env").read_text()
        self.secrets = dict(line.split("=", 1) for line in text.splitlines())

    @property
    def database(self) -> Database:
        """Its schema, as Matomo's user sees it."""
        labels = [f"{OWNER_LABEL}={project_name(self.root)}", f"{SERVICE_LABEL}=db"]
        (container,) = engine().containers.list(filters={"label": labels})
        port = int((container.ports["3306/tcp"] or [])[0]["HostPort"])
        password = self.secrets["DATABASE_PASSWORD"]
        return Database(LOOPBACK, port, "matomo", password, "matomo", tls=loopback_tls())

    @functools.cached_property  # each code is good for one token
    def api(self) -> Api:
        """Its API, as the harness's superuser."""
        login = self.secrets["SUPERUSER_LOGIN"]
        secret = self.database.second_factor_secret(login)
        account = Account(login, self.secrets["SUPERUSER_PASSWORD"], secret or "")
        return Api(self.web, create_token(self.web, account, steps=1).token)


def left_of(checkout: Checkout, name: str) -> list[str]:
    """Name what is left of a reproduction."""
    root = checkout.root / ".local/repro" / name
    things = reaper.labelled(engine(), f"{OWNER_LABEL}={project_name(root)}")
    return [thing.name for thing in things] + ([str(root)] if root.exists() else [])


def numbers(api: Api, site: int, day: date) -> dict[str, Any]:
    """Return reports of a site, of every period that has `day`, without what names a page."""
    found: dict[str, Any] = {}
    for period in ("day", "week", "month", "year"):
        for method in METHODS:
            asked: dict[str, Any] = {
                "idSite": site,
                "period": period,
                "date": day.isoformat(),
                "filter_limit": -1,
            }
            if method in LABELLED:
                asked["flat"] = 1
            report = api.call(method, **asked)
            if method in LABELLED:
                report = sorted(
                    (row["nb_visits"], row["nb_hits"], str(row.get("entry_nb_visits")))
                    for row in report
                )
            found[f"{method} {period}"] = _without_links(report)
    return found


def _without_links(report: Any) -> Any:
    if isinstance(report, list):
        return [_without_links(row) for row in report]
    if isinstance(report, dict):
        return {key: value for key, value in report.items() if key not in ("url", "logo")}
    return report


def in_files(opened: RunningReproduction, words: tuple[str, ...]) -> list[str]:
    """Name the words that are anywhere in the data directory of the reproduction's database."""
    labels = [f"{OWNER_LABEL}={project_name(opened.root)}", f"{SERVICE_LABEL}=db"]
    (container,) = engine().containers.list(filters={"label": labels})
    return [
        word
        for word in words
        if container.exec_run(
            ["grep", "-rqa", word, f"/var/lib/mysql/{SCHEMA}"], user="root"
        ).exit_code
        == 0
    ]
