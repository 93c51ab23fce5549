"""Matomo's reporting and administration API, by token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import requests

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.matomo.twofactor import Account, code
from matomo_harness.matomo.web import Page, Parameters, Web

MADE_BY: Final = "matomo-harness"


class ApiError(BrokenPromiseError):
    """Matomo answered a call with an error."""


@dataclass(frozen=True)
class Api:
    """The API as one user's token opens it.

    Args:
        web: the instance.
        token: a token_auth; it travels in the body of a POST, never in an address or a log.
    """

    web: Web
    token: str = field(repr=False)

    def call(self, method: str, **parameters: str | int) -> Any:
        """Call `method` (`Module.action`) and return its JSON answer.

        Raises:
            ApiError: Matomo says "error", or answers with no JSON.
        """
        return _call(self.web, method, token_auth=self.token, **parameters)

    def call_many(self, calls: Sequence[Parameters]) -> list[Any]:
        """Make many calls in one request, in a fifth of the time that single requests take.

        Args:
            calls: the parameters of each, its `method` among them.

        Raises:
            ApiError: Matomo refuses the request; one call's error is in its own answer (`refusal`).
        """
        urls = {f"urls[{number}]": urlencode(call) for number, call in enumerate(calls)}
        answers: list[Any] = self.call("API.getBulkRequest", **urls)
        return answers

    def add_site(self, name: str, url: str, timezone: str, *, since: str) -> int:
        """Add a site and return its id.

        Args:
            name: the name that people see.
            url: the site's own address.
            timezone: a name of the time zone database.
            since: the first day with reports, YYYY-MM-DD; Matomo's own default is today.

        Raises:
            ApiError: Matomo refuses it.
        """
        answer = self.call(
            "SitesManager.addSite", siteName=name, urls=url, timezone=timezone, startDate=since
        )
        return int(answer["value"])


def create_token(web: Web, account: Account, *, steps: int = 1) -> Api:
    """Make a token for `account` and return the API that it opens.

    Args:
        web: the instance; no login is needed.
        account: a user with an enrolled second factor: where one is enforced, Matomo gives no
            token without it.
        steps: how many half minutes from now the code is of; Matomo takes each code once.

    Raises:
        ApiError: the password or the code is refused.
    """
    second_factor = {"authCode": code(account.secret, steps=steps)} if account.secret else {}
    answer = _call(
        web,
        "UsersManager.createAppSpecificTokenAuth",
        userLogin=account.login,
        passwordConfirmation=account.password,
        description=MADE_BY,
        **second_factor,
    )
    return Api(web, str(answer["value"]))


def all_rows(api: Api, method: str, **parameters: str | int) -> list[Any]:
    """Call a method that lists sites, users or goals, and return every one.

    Without a limit of the caller's, Matomo answers with the first hundred
    (plugins/API/Controller.php, API_datatable_default_limit); without any, some are by their ids.

    Raises:
        ApiError: as `Api.call`.
    """
    answer = api.call(method, filter_limit=-1, **parameters)
    return list(answer.values()) if isinstance(answer, Mapping) else list(answer)


def refusal(call: Parameters, answer: Any) -> ApiError | None:
    """Return the error in the `answer` to one call of `call_many`; None where there is none."""
    if isinstance(answer, dict) and answer.get("result") == "error":
        return _refused(str(call["method"]), str(answer.get("message")))
    return None


def _call(web: Web, method: str, **parameters: str | int) -> Any:
    call: Parameters = {"module": "API", "method": method, "format": "JSON"}
    # Everything goes into the body: an address ends up in logs.
    answer = web.post({}, {**call, **parameters})
    try:
        document = answer.json()
    except requests.JSONDecodeError as error:
        # An invalid token is answered with an HTML page, whatever the format (status 401).
        raise _refused(method, f"HTTP {answer.status_code}: {Page(answer).excerpt}") from error
    if refused := refusal({"method": method}, document):
        raise refused
    return document


def _refused(method: str, seen: str) -> ApiError:
    return ApiError(
        expected=f"{method} to answer", seen=seen, next_command="see the message of Matomo"
    )
