"""Test accounts, made on a throw-away instance to see what such users may do."""

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
from matomo_harness.matomo.web import IN_ENGLISH, Page, Parameters, Web

ROLES: Final = ("view", "admin", "superuser")
FOR_EVERYBODY: Final = "second_factors.for_everybody"
"""A key of the policy."""
DOMAIN: Final = "test-accounts.example"
"""The mail domain of all test accounts, which sets them apart from the institution's own."""


@dataclass(frozen=True)
class NewUser:
    """A user with a name and a password.

    Args:
        login: the name.
        password: the password.
        email: the mail address.
    """

    login: str
    password: str = field(repr=False)
    email: str


class TestAccounts:
    """Makes accounts; it makes those that the steps of a run will ask for together.

    Each new account empties caches of Matomo's, and the next pages then take another half second
    of processor time.
    """

    __test__ = False  # to pytest it looks like a test

    def __init__(self, api: Api, superuser: Account, context: Context) -> None:
        self._api = api
        self._superuser = superuser
        self._wanted = [
            role for step in ROLES_OF if step in context.wanted for role in ROLES_OF[step]
        ]

    def new(self, role: str) -> NewUser:
        """Make a user with a role on site 1 who has never logged in.

        Raises:
            ApiError: Matomo refuses.
        """
        return _require_user(self._made([role])[0])

    def for_step(self, role: str) -> NewUser:
        """Return a user whom no other step has.

        Raises:
            ApiError: Matomo refuses.
        """
        with suppress(StopIteration):
            return _require_user(next(self._spare[role]))
        return self.new(role)

    @once
    def _spare(self) -> dict[str, Iterator[NewUser | ApiError]]:
        """All users that the steps of this run will ask for, by role."""
        made = self._made(self._wanted) if self._wanted else []
        with_roles = list(zip(self._wanted, made, strict=True))
        return {
            role: iter([user for user_role, user in with_roles if user_role == role])
            for role in ROLES
        }

    def _made(self, roles: Sequence[str]) -> list[NewUser | ApiError]:
        """Make a user for each of `roles` in one request; an error replaces a refused user."""
        users = [_new_user(role) for role in roles]
        confirmation: Parameters = {"passwordConfirmation": self._superuser.password}
        calls = [_calls(user, role, confirmation) for user, role in zip(users, roles, strict=True)]
        answers = iter(self._api.call_many([call for of_user in calls for call in of_user]))
        refused = [[refusal(call, next(answers)) for call in of_user] for of_user in calls]
        return [
            next((error for error in errors if error), user)
            for user, errors in zip(users, refused, strict=True)
        ]


@dataclass(frozen=True)
class UnenrolledSession:
    """The session of a user who has given name and password and has no second factor.

    Args:
        person: the user.
        web: the conversation.
        page: the first one after name and password.
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
        def log_in(role: str) -> UnenrolledSession:
            user, web = accounts.for_step(role), http.web
            return UnenrolledSession(user, web, twofactor.log_in(web, user.login, user.password))

        with ThreadPoolExecutor(len(ROLES)) as side_by_side:
            self.of_role = dict(zip(ROLES, side_by_side.map(log_in, ROLES), strict=True))


class EnrolledAccount(Step, needs={Capability.CHANGE}, group=Group.ENROLLED):
    """A test account with a second factor is made.

    It has none where the policy does not promise one to everybody and Matomo asks for none.

    Args:
        accounts: makes the account.
        http: where it logs in.
        context: its policy says whether the account must have a second factor.
    """

    def __init__(self, accounts: TestAccounts, http: Http, context: Context) -> None:
        self._http = http
        self._at_the_code: Web | None = None
        self.account, self.web = _enrolled(accounts, http, context)
        # What a page refuses it says in words, in the institution's language otherwise.
        self.web.session.cookies.update(IN_ENGLISH)

    def require_second_factor(self) -> Account:
        """Return the account.

        Raises:
            CannotTellError: the account has no second factor, as Matomo asked for none.
        """
        if not self.account.secret:
            raise CannotTellError("a new account is asked for no second factor here")
        return self.account

    @once
    def dashboard(self) -> requests.Response:
        """The first page that this user sees."""
        return self.web.get({"module": "CoreHome", "action": "index", **TODAY})

    def asks(self, method: str, more: Parameters) -> str:
        """Ask the API with this user's session, as a page's scripts do; return the answer."""
        return ask_by_session(self.web, self.dashboard.text, method, more)

    def at_the_code(self) -> tuple[Web, Page]:
        """Return a session of this account that is asked for a code, and the page that asks.

        It is the same session until it has taken a code: each login costs half a second of
        processor time.

        Raises:
            CannotTellError: the account has no second factor, as Matomo asked for none.
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
        accounts: makes the account.
        http: where it logs in; another account may log in within its session.
        context: its policy says whether the account must have a second factor.
    """

    def __init__(
        self, accounts: TestAccounts, http: Http, context: Context, _first: EnrolledAccount
    ) -> None:
        self.account, self.web = _enrolled(accounts, http, context)


def _enrolled(accounts: TestAccounts, http: Http, context: Context) -> tuple[Account, Web]:
    """Log in as a new user, who must enrol a second factor where the policy promises that."""
    user, web = accounts.for_step("view"), http.web
    is_promised = context.target.policy.value(FOR_EVERYBODY)
    log_in = twofactor.enrol if is_promised else twofactor.first_login
    return log_in(web, user.login, user.password), web


ROLES_OF: Final[Mapping[type[Any], Sequence[str]]] = {
    UnenrolledAccounts: ROLES,
    EnrolledAccount: ("view",),
    SecondEnrolledAccount: ("view",),
}
"""The roles of the users that each step asks for."""


def _new_user(role: str) -> NewUser:
    mark = secrets.token_hex(4)
    return NewUser(f"{role}-{mark}", secrets.token_urlsafe(12), f"{mark}@{DOMAIN}")


def _calls(user: NewUser, role: str, confirmation: Parameters) -> list[Parameters]:
    """Return the API calls that make `user`; only superuser access takes the `confirmation`."""
    login: Parameters = {"userLogin": user.login}
    own: Parameters = {"password": user.password, "email": user.email, "initialIdSite": 1}
    access: Parameters = {"access": role, "idSites": 1}
    added: Parameters = {"method": "UsersManager.addUser", **login, **own}
    granted: Parameters = {"method": "UsersManager.setUserAccess", **login, **access}
    if role == "superuser":
        method, asked = "UsersManager.setSuperUserAccess", {"hasSuperUserAccess": 1, **confirmation}
        granted = {"method": method, **login, **asked}
    return [added] if role == "view" else [added, granted]


def _require_user(made: NewUser | ApiError) -> NewUser:
    if isinstance(made, ApiError):
        raise made
    return made


def is_test_account(address: object) -> bool:
    """Return whether this mail address belongs to a test account."""
    return str(address).endswith(f"@{DOMAIN}")


def without_test_accounts(users: Collection[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of `users` whose `email` does not belong to a test account."""
    return [user for user in users if not is_test_account(user.get("email"))]


def ask_by_session(web: Web, page: str, method: str, more: Parameters) -> str:
    """Ask the API as a page's scripts do; return the answer.

    Args:
        web: the conversation of a user who has logged in.
        page: text of a page that this user was shown: it has the session's token.
        method: the API's method.
        more: the method's parameters.
    """
    found = re.search(r'piwik\.token_auth = "(\w+)"', page)
    form: Parameters = {
        **{"module": "API", "method": method, "format": "JSON", "force_api_session": 1},
        **{"token_auth": found[1] if found else "session"},
        **more,
    }
    return web.post({}, form).text
