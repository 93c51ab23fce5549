"""Sessions that were begun over HTTP, for tests that are not about logging in.

A code is taken once. Each login's is one later than that of the login before it, which is another
code however long it took: enrolment takes its moment's, a token the next.
"""

from typing import Final

from playwright.sync_api import BrowserContext

from harness.matomo import twofactor
from harness.matomo.twofactor import Account
from harness.stack.instance import Instance

SUPERUSERS_STEPS: Final = 2
"""Whose second factor was enrolled and whose token was made with the golden images."""
SESSIONS_STEPS: Final = 1
NEXT_STEPS: Final = 2
"""Of a login after a session's."""


def take_session(
    context: BrowserContext, instance: Instance, account: Account | None = None
) -> None:
    """Log in as `account`, the superuser by default, and give `context` the cookies."""
    web = instance.web
    steps = SESSIONS_STEPS if account else SUPERUSERS_STEPS
    twofactor.sign_in(web, account or instance.account, steps=steps)
    cookies = web.session.cookies.get_dict()
    context.add_cookies(
        [{"name": it, "value": value, "url": instance.url} for it, value in cookies.items()]
    )
