"""Accounts that a gate makes to see what such people may do: on an instance that is thrown away."""

import re
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import requests

from matomo_harness.gate.core.check import Step
from matomo_harness.gate.core.once import once, result_of
from matomo_harness.gate.core.target import Target
from matomo_harness.matomo import twofactor
from matomo_harness.matomo.api import ApiError, refusal
from matomo_harness.matomo.twofactor import Account
from matomo_harness.matomo.web import Page, Parameters, Web

ROLES: Final = ("view", "admin", "superuser")
ROLES_OF: Final[Mapping[Step, Sequence[str]]] = {
    Step.ACCOUNTS: ROLES,
    Step.ENROLLED_ACCOUNT: ("view",),
    Step.SECOND_ENROLLED_ACCOUNT: ("view",),
}
"""Whom each step makes."""
DOMAIN: Final = "test-accounts.example"
"""Of the addresses of all test accounts: by it they are told from the institution's own."""


@dataclass(frozen=True)
class Person:
    """Somebody with a name and a password.

    Args:
        login: the name.
        password: the password.
        email: the address.
    """

    login: str
    password: str = field(repr=False)
    email: str


class People:
    """Those of a step are made once; a check may make more.

    Args:
        target: with Capability.CHANGE.
        wanted: steps of all checks that look.
    """

    def __init__(self, target: Target, wanted: Collection[Step] = ()) -> None:
        self._target = target
        self._wanted = [role for step in ROLES_OF if step in wanted for role in ROLES_OF[step]]
        self._at_the_code: Web | None = None

    def new(self, role: str) -> Person:
        """Make somebody with a role on site 1, who has never logged in.

        Raises:
            ApiError: Matomo refuses.
        """
        return _of(self._made([role])[0])

    def _of_a_step(self, role: str) -> Person:
        with suppress(StopIteration):
            return _of(next(self._spare[role]))
        return self.new(role)

    @once
    def _spare(self) -> dict[str, Iterator[Person | ApiError]]:
        """All that the steps of this run will ask for, by role.

        Made together: each new account empties caches of Matomo's, and the pages after that take
        half a second of a processor more.
        """
        made = self._made(self._wanted) if self._wanted else []
        of_roles = list(zip(self._wanted, made, strict=True))
        return {role: iter([it for its, it in of_roles if its == role]) for role in ROLES}

    def _made(self, roles: Sequence[str]) -> list[Person | ApiError]:
        """Make somebody of each of `roles` in one request; an error in place of who is refused."""
        people = [_somebody(role) for role in roles]
        account = self._target.account
        confirmation: Parameters = {"passwordConfirmation": account.password} if account else {}
        calls = [
            _calls(person, role, confirmation) for person, role in zip(people, roles, strict=True)
        ]
        answers = iter(self._target.api.call_many([it for each in calls for it in each]))
        refused = [[refusal(call, next(answers)) for call in each] for each in calls]
        return [
            next((it for it in errors if it), person)
            for person, errors in zip(people, refused, strict=True)
        ]

    @result_of(Step.ACCOUNTS)
    def without_factor(self) -> dict[str, tuple[Person, Web, Page]]:
        """Of each role somebody who has given name and password, and the page behind that."""

        def come(role: str) -> tuple[Person, Web, Page]:
            person, web = self._of_a_step(role), self._target.web
            return person, web, twofactor.log_in(web, person.login, person.password)

        with ThreadPoolExecutor(len(ROLES)) as side_by_side:
            return dict(zip(ROLES, side_by_side.map(come, ROLES), strict=True))

    @result_of(Step.ENROLLED_ACCOUNT)
    def enrolled(self) -> tuple[Account, Web]:
        """Somebody with View and a second factor, logged in."""
        return self._enrol()

    def at_the_code(self) -> tuple[Web, Page]:
        """Return a session of the enrolled account that is asked for a code, and the page.

        The same one until a code is taken: each login costs half a second of a processor.
        """
        if web := self._at_the_code:
            page = Page(web.get())
            if page.component == twofactor.ASK:
                return web, page
        account, _ = self.enrolled
        web = self._at_the_code = self._target.web
        return web, twofactor.log_in(web, account.login, account.password)

    @result_of(Step.SECOND_ENROLLED_ACCOUNT)
    def enrolled_after(self) -> tuple[Account, Web]:
        """Somebody else like that, whose session may be taken over."""
        return self._enrol()

    def _enrol(self) -> tuple[Account, Web]:
        person, web = self._of_a_step("view"), self._target.web
        return twofactor.enrol(web, person.login, person.password), web

    @once
    def dashboard(self) -> requests.Response:
        """What that somebody sees first."""
        _, web = self.enrolled
        return web.get(
            {"module": "CoreHome", "action": "index", "idSite": 1, "period": "day", "date": "today"}
        )


def _somebody(role: str) -> Person:
    mark = secrets.token_hex(4)
    return Person(f"{role}-{mark}", secrets.token_urlsafe(12), f"{mark}@{DOMAIN}")


def _calls(person: Person, role: str, confirmation: Parameters) -> list[Parameters]:
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


def _of(made: Person | ApiError) -> Person:
    if isinstance(made, ApiError):
        raise made
    return made


def is_test_account(address: object) -> bool:
    """Whether this mail address is a test account's."""
    return str(address).endswith(f"@{DOMAIN}")


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
