"""Test accounts, to see what such people may do: on an instance that is thrown away."""

import re
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import requests

from matomo_harness.gate.core.check import CannotTellError, Capability, Group
from matomo_harness.gate.core.context import Context, Step
from matomo_harness.gate.core.once import once
from matomo_harness.gate.core.target import Http
from matomo_harness.gate.probes.pages import TODAY
from matomo_harness.matomo import twofactor
from matomo_harness.matomo.api import Api, ApiError, refusal
from matomo_harness.matomo.twofactor import Account
from matomo_harness.matomo.web import Page, Parameters, Web

ROLES: Final = ("view", "admin", "superuser")
FOR_EVERYBODY: Final = "second_factors.for_everybody"
"""Key of the policy."""
DOMAIN: Final = "test-accounts.example"
"""Of the addresses of all test accounts: by it they are told from the institution's own."""


@dataclass(frozen=True)
class NewUser:
    """Somebody with a name and a password.

    Args:
        login: the name.
        password: the password.
        email: the address.
    """

    login: str
    password: str = field(repr=False)
    email: str


class TestAccounts:
    """Makes accounts; those that the steps of a run will ask for are made together.

    Each new account empties caches of Matomo's, and the pages after that take half a second of a
    processor more.
    """

    __test__ = False  # to pytest it looks like a test

    def __init__(self, api: Api, superuser: Account, context: Context) -> None:
        self._api = api
        self._superuser = superuser
        self._wanted = [
            role for step in ROLES_OF if step in context.wanted for role in ROLES_OF[step]
        ]

    def new(self, role: str) -> NewUser:
        """Make somebody with a role on site 1, who has never logged in.

        Raises:
            ApiError: Matomo refuses.
        """
        return _of(self._made([role])[0])

    def of_a_step(self, role: str) -> NewUser:
        """Return somebody whom no other step has.

        Raises:
            ApiError: Matomo refuses.
        """
        with suppress(StopIteration):
            return _of(next(self._spare[role]))
        return self.new(role)

    @once
    def _spare(self) -> dict[str, Iterator[NewUser | ApiError]]:
        """All that the steps of this run will ask for, by role."""
        made = self._made(self._wanted) if self._wanted else []
        of_roles = list(zip(self._wanted, made, strict=True))
        return {role: iter([one for its, one in of_roles if its == role]) for role in ROLES}

    def _made(self, roles: Sequence[str]) -> list[NewUser | ApiError]:
        """Make somebody of each of `roles` in one request; an error in place of who is refused."""
        people = [_somebody(role) for role in roles]
        confirmation: Parameters = {"passwordConfirmation": self._superuser.password}
        calls = [
            _calls(person, role, confirmation) for person, role in zip(people, roles, strict=True)
        ]
        answers = iter(self._api.call_many([call for each in calls for call in each]))
        refused = [[refusal(call, next(answers)) for call in each] for each in calls]
        return [
            next((error for error in errors if error), person)
            for person, errors in zip(people, refused, strict=True)
        ]


@dataclass(frozen=True)
class AtTheEnrolment:
    """Somebody who has given name and password, and has no second factor.

    Args:
        person: who.
        web: the conversation.
        page: behind name and password.
    """

    person: NewUser
    web: Web
    page: Page


class UnenrolledAccounts(Step, needs={Capability.CHANGE}, group=Group.ACCOUNTS):
    """Test accounts without a second factor are made.

    Args:
        accounts: makes them.
        http: where they log in.
    """

    def __init__(self, accounts: TestAccounts, http: Http) -> None:
        def come(role: str) -> AtTheEnrolment:
            person, web = accounts.of_a_step(role), http.web
            return AtTheEnrolment(person, web, twofactor.log_in(web, person.login, person.password))

        with ThreadPoolExecutor(len(ROLES)) as side_by_side:
            self.of_role = dict(zip(ROLES, side_by_side.map(come, ROLES), strict=True))


class EnrolledAccount(Step, needs={Capability.CHANGE}, group=Group.ENROLLED):
    """A test account with a second factor is made.

    Where the policy promises none to everybody, and none is asked for, it has none.

    Args:
        accounts: makes it.
        http: where it logs in.
        context: whose policy says whether it must have one.
    """

    def __init__(self, accounts: TestAccounts, http: Http, context: Context) -> None:
        self._http = http
        self._at_the_code: Web | None = None
        self.account, self.web = _enrolled(accounts, http, context)

    def require_second_factor(self) -> Account:
        """Return the account.

        Raises:
            CannotTellError: it has no second factor, as none is asked for here.
        """
        if not self.account.secret:
            raise CannotTellError("a new account is asked for no second factor here")
        return self.account

    @once
    def dashboard(self) -> requests.Response:
        """What that somebody sees first."""
        return self.web.get({"module": "CoreHome", "action": "index", **TODAY})

    def asks(self, method: str, more: Parameters) -> str:
        """Ask the API by that somebody's session, as the scripts of a page do."""
        return ask_by_session(self.web, self.dashboard.text, method, more)

    def at_the_code(self) -> tuple[Web, Page]:
        """Return a session of that account that is asked for a code, and the page.

        The same one until a code is taken: each login costs half a second of a processor.

        Raises:
            CannotTellError: it has no second factor, as none is asked for here.
        """
        account = self.require_second_factor()
        if web := self._at_the_code:
            page = Page(web.get())
            if page.component == twofactor.ASK:
                return web, page
        web = self._at_the_code = self._http.web
        return web, twofactor.log_in(web, account.login, account.password)


class SecondEnrolledAccount(Step, needs={Capability.CHANGE}, group=Group.ENROLLED):
    """Another test account with a second factor is made.

    Args:
        accounts: makes it.
        http: where it logs in; its session may be taken over.
        context: whose policy says whether it must have a second factor.
    """

    def __init__(
        self, accounts: TestAccounts, http: Http, context: Context, _first: EnrolledAccount
    ) -> None:
        self.account, self.web = _enrolled(accounts, http, context)


def _enrolled(accounts: TestAccounts, http: Http, context: Context) -> tuple[Account, Web]:
    """Log in as somebody new, with a second factor: where it is promised to everybody, always."""
    person, web = accounts.of_a_step("view"), http.web
    is_promised = context.target.policy.value(FOR_EVERYBODY)
    log_in = twofactor.enrol if is_promised else twofactor.first_login
    return log_in(web, person.login, person.password), web


ROLES_OF: Final[Mapping[type[Any], Sequence[str]]] = {
    UnenrolledAccounts: ROLES,
    EnrolledAccount: ("view",),
    SecondEnrolledAccount: ("view",),
}
"""Whom each step makes."""


def _somebody(role: str) -> NewUser:
    mark = secrets.token_hex(4)
    return NewUser(f"{role}-{mark}", secrets.token_urlsafe(12), f"{mark}@{DOMAIN}")


def _calls(person: NewUser, role: str, confirmation: Parameters) -> list[Parameters]:
    """Return the calls of the API that make `person`; only the last wants a password confirmed."""
    login: Parameters = {"userLogin": person.login}
    own: Parameters = {"password": person.password, "email": person.email, "initialIdSite": 1}
    access: Parameters = {"access": role, "idSites": 1}
    added: Parameters = {"method": "UsersManager.addUser", **login, **own}
    granted: Parameters = {"method": "UsersManager.setUserAccess", **login, **access}
    if role == "superuser":
        method, asked = "UsersManager.setSuperUserAccess", {"hasSuperUserAccess": 1, **confirmation}
        granted = {"method": method, **login, **asked}
    return [added] if role == "view" else [added, granted]


def _of(made: NewUser | ApiError) -> NewUser:
    if isinstance(made, ApiError):
        raise made
    return made


def is_test_account(address: object) -> bool:
    """Whether this mail address is a test account's."""
    return str(address).endswith(f"@{DOMAIN}")


def without_test_accounts(users: Collection[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of `users` that are not test accounts', by their `email`."""
    return [user for user in users if not is_test_account(user.get("email"))]


def ask_by_session(web: Web, page: str, method: str, more: Parameters) -> str:
    """Ask the API as the scripts of a page do; return the answer.

    Args:
        web: the conversation of somebody who has logged in.
        page: text of a page that he was shown: it has the session's token.
        method: of the API.
        more: its parameters.
    """
    found = re.search(r'piwik\.token_auth = "(\w+)"', page)
    form: Parameters = {
        **{"module": "API", "method": method, "format": "JSON", "force_api_session": 1},
        **{"token_auth": found[1] if found else "session"},
        **more,
    }
    return web.post({}, form).text
