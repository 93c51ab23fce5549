"""Stored sessions, for tests that are not about logging in.

The superuser's session begins over HTTP once for each server and is copied into every other
instance, which saves five requests in each test. A user whom a test made logs in over HTTP.

Matomo takes a code once. Each login uses the code one step later than the login before it, which is
another code however long that took: enrolment uses the code of its moment, a token the next one.
"""

import time
from dataclasses import dataclass, field
from typing import Any, Final

from playwright.sync_api import BrowserContext

from matomo_harness.matomo import twofactor
from matomo_harness.matomo.twofactor import Account
from matomo_harness.runtime.instance import Instance

SUPERUSER_STEPS: Final = 2
"""Of the superuser, whose second factor and token were made with the golden images."""
SESSION_STEPS: Final = 1
NEXT_STEPS: Final = 2
"""Of a login after the one that began the session."""
FRESH_SECONDS: Final = 1200
"""A third of the hour after which Matomo ends a session without a page ([General]
login_session_not_remembered_idle_timeout)."""


@dataclass(frozen=True)
class _Session:
    """What a login leaves.

    Args:
        cookies: by name.
        rows: of the table of sessions.
        began: monotonic, seconds.
    """

    cookies: dict[str, str] = field(repr=False)
    rows: list[dict[str, Any]] = field(repr=False)
    began: float


_STORED: Final[dict[str, _Session]] = {}
"""The superuser's, by the id of the web container, whose instances have one installed state."""


def take_session(
    context: BrowserContext, instance: Instance, account: Account | None = None
) -> None:
    """Give `context` the cookies of a session of `account`, the superuser by default."""
    cookies = _logged_in(instance, account) if account else _stored(instance)
    context.add_cookies(
        [{"name": name, "value": value, "url": instance.url} for name, value in cookies.items()]
    )


def _logged_in(instance: Instance, account: Account, steps: int = SESSION_STEPS) -> dict[str, str]:
    web = instance.web
    twofactor.sign_in(web, account, steps=steps)
    return dict(web.session.cookies.get_dict())


def _stored(instance: Instance) -> dict[str, str]:
    server = str(instance.shell.container.id)
    stored = _STORED.get(server)
    if stored and time.monotonic() - stored.began < FRESH_SECONDS:
        for row in stored.rows:
            columns, places = ", ".join(row), ", ".join(["%s"] * len(row))
            statement = f"REPLACE INTO {{prefix}}session ({columns}) VALUES ({places})"  # noqa: S608
            instance.database.query(statement, *row.values())
    else:
        began = time.monotonic()
        cookies = _logged_in(instance, instance.account, SUPERUSER_STEPS)
        rows = instance.database.query("SELECT * FROM {prefix}session")
        stored = _STORED[server] = _Session(cookies, rows, began)
    return stored.cookies
