"""Sessions that were begun over HTTP, for tests that are not about logging in."""

from playwright.sync_api import BrowserContext

from harness.matomo import twofactor
from harness.matomo.twofactor import Account
from harness.stack.instance import Instance

STEPS = 2
"""Enrolment took its moment's code, the API's token the next: the second after this is free."""


def take_session(
    context: BrowserContext, instance: Instance, account: Account | None = None
) -> None:
    """Log in as `account`, the superuser by default, and give `context` the cookies."""
    web = instance.web
    twofactor.sign_in(web, account or instance.account, steps=STEPS)
    give_cookies(context, instance.url, web.session.cookies.get_dict())


def give_cookies(context: BrowserContext, url: str, cookies: dict[str, str]) -> None:
    """Have `context` send `cookies` to `url`."""
    context.add_cookies([{"name": it, "value": value, "url": url} for it, value in cookies.items()])
