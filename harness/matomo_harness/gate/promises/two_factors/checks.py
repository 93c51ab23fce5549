"""Two factors for everybody: without the second one gets nowhere but to its enrolment."""

from typing import Final

import requests

from matomo_harness.gate.core.check import (
    Area,
    Capability,
    Finding,
    Group,
    Step,
    holds,
    nothing,
    same,
)
from matomo_harness.gate.probes.look import TODAY, Look
from matomo_harness.gate.probes.people import ask_by_session, is_test_account
from matomo_harness.matomo import twofactor
from matomo_harness.matomo.api import ApiError, create_token
from matomo_harness.matomo.twofactor import ASK, SETUP, Account
from matomo_harness.matomo.web import Page, Parameters, Web

AREA: Final = Area("two_factors")

RECOVERY_CODES: Final = 10
"""That Matomo gives (TwoFactorAuth/Dao/RecoveryCodeDao.php); each that is used is deleted."""
EXAMPLES: Final = (
    *("JBSWY3DPEHPK3PXP", "HXDMVJECJJWSRB3HWIZR4IFUGFTMXBOZ", "GEZDGNBVGY3TQOJQ"),
    *("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "A" * 16, "A" * 32),
)
"""Of Google Authenticator, pyotp, and RFC 6238, appendix B."""
A_SECRET: Final = "^[A-Z2-7]{16,}$"  # noqa: S105  of what secrets look like
"""Base32 (RFC 4648), as long as Matomo's own at least."""
PLACES: Final[tuple[Parameters, ...]] = (
    {"module": "CoreHome", "action": "index", **TODAY},
    {"module": "VisitsSummary", "action": "getSparklines", **TODAY},
    {"module": "CoreAdminHome", "action": "home"},
    {"module": "UsersManager", "action": "userSettings"},
    {"module": "Widgetize", "action": "index"},
    {"module": "Live", "action": "getVisitorLog", **TODAY},
    {"module": "API", "action": "listAllMethods"},
    {"module": "MultiSites", "action": "index"},
    {"module": "TwoFactorAuth", "action": "onLoginSetupTwoFactorAuth"},
    {"module": "TwoFactorAuth", "action": "showRecoveryCodes"},
)
"""A place in each kind of module: dashboard, administration, own settings, widgets, data, API, and
where a second factor is enrolled anew."""


def _beyond(web: Web, component: str) -> list[str]:
    """Return the places at which `web` gets further than the page of `component`."""
    return [
        f"{place['module']}.{place['action']}: HTTP {page.response.status_code} {page.component}"
        for place in PLACES
        if (page := Page(web.get(place))).component != component
        and page.response.status_code == requests.codes.ok
        and "form_login" not in page.response.text
    ]


def _gets_nowhere(look: Look, role: str) -> Finding:
    _, web, page = look.people.without_factor[role]
    if page.component != SETUP:
        return same(SETUP, page.component)
    return nothing("place beyond the enrolment", _beyond(web, SETUP))


@AREA.check(Capability.CHANGE, steps=(Step.ACCOUNTS,))
def view_user_must_enrol(look: Look) -> Finding:
    """A user with View and without a second factor gets nowhere but to the enrolment."""
    return _gets_nowhere(look, "view")


@AREA.check(Capability.CHANGE, steps=(Step.ACCOUNTS,))
def admin_must_enrol(look: Look) -> Finding:
    """A site's admin without a second factor gets nowhere but to the enrolment."""
    return _gets_nowhere(look, "admin")


@AREA.check(Capability.CHANGE, steps=(Step.ACCOUNTS,))
def superuser_must_enrol(look: Look) -> Finding:
    """A superuser without a second factor gets nowhere but to the enrolment."""
    return _gets_nowhere(look, "superuser")


@AREA.check(Capability.CHANGE, steps=(Step.ACCOUNTS,))
def remembered_session_must_enrol(look: Look) -> Finding:
    """A session that a browser remembers gets nowhere but to the enrolment without a second factor."""
    (person, _, _), web, later = look.people.without_factor["view"], look.web, look.web
    twofactor.log_in(web, person.login, person.password, remember=True)
    kept = [it for it in web.session.cookies if it.expires]  # what a closed browser keeps
    for cookie in kept:
        later.session.cookies.set_cookie(cookie)
    component = Page(later.get()).component
    if not kept or component != SETUP:
        return same(SETUP, component if kept else "no cookie that is kept")
    return nothing("place beyond the enrolment", _beyond(later, SETUP))


@AREA.check(Capability.CHANGE, steps=(Step.ACCOUNTS,))
def no_session_api_without_one(look: Look) -> Finding:
    """Somebody who is logged in and not enrolled gets no data from the API by the session."""
    _, web, page = look.people.without_factor["superuser"]
    answer = ask_by_session(web, page.response.text, "SitesManager.getAllSitesId", {})
    return holds(
        answer.strip() not in ("[1]", '["1"]') and not answer.startswith("[1"),
        "no data",
        answer[:120],
    )


@AREA.check(Capability.CHANGE, steps=(Step.ACCOUNTS,))
def no_token_without_one(look: Look) -> Finding:
    """Somebody without a second factor gets no API token."""
    person, _, _ = look.people.without_factor["view"]
    try:
        create_token(look.web, Account(person.login, person.password, ""))
    except ApiError as error:
        return holds(True, "a refusal", error.seen)
    return holds(False, "a refusal", "a token")


@AREA.check(Capability.CHANGE, steps=(Step.ENROLLED_ACCOUNT,))
def no_token_without_a_code(look: Look) -> Finding:
    """Somebody with a second factor gets no API token without a code."""
    account, _ = look.people.enrolled
    try:
        create_token(look.web, Account(account.login, account.password, ""))
    except ApiError as error:
        return holds(True, "a refusal", error.seen)
    return holds(False, "a refusal", "a token")


@AREA.check(Capability.LOGIN, costly=True)
def password_alone_opens_nothing(look: Look) -> Finding:
    """With name and password alone, remembered or not, the superuser gets nowhere but to the code's form."""
    account, remembered = look.account, look.web
    twofactor.log_in(remembered, account.login, account.password, remember=True)
    beyond = []
    for web in (remembered, look.with_password):
        page = Page(web.get())
        if page.component != ASK:
            return same(ASK, page.component)
        beyond += _beyond(web, ASK)
    return nothing("place beyond the code's form", beyond)


@AREA.check(Capability.LOGIN, costly=True)
def wrong_code_is_refused(look: Look) -> Finding:
    """A code that is none is refused."""
    page = Page(look.with_password.get())
    if page.component != ASK:
        return same(ASK, page.component)
    taken = _takes(look.with_password, page, "000000")
    return holds(not taken, "a refusal", "it was taken" if taken else "a refusal")


@AREA.check(Capability.LOGIN, Capability.DATABASE)
def wrong_codes_are_counted(look: Look) -> Finding:
    """A code that is none counts as a wrong login does: without that a million codes are soon tried."""
    login = look.account.login
    guesses = "FROM {prefix}brute_force_log WHERE login = %s"
    last = f"SELECT COALESCE(MAX(id_brute_force_log), 0) AS last {guesses}"
    before = look.database.query(last, login)[0]["last"]
    page = Page(look.with_password.get())
    if page.component != ASK:
        return same(ASK, page.component)
    _takes(look.with_password, page, "000000")
    counted = look.database.query(last, login)[0]["last"] > before
    look.database.query(f"DELETE {guesses} AND id_brute_force_log > %s", login, before)
    return holds(counted, "a guess that is counted", "it" if counted else "none is")


def _takes(web: Web, page: Page, code: str) -> bool:
    """Give `code` at the page that asks for one; whether it is taken."""
    return _is_taken(_give(web, page, code))


def _give(web: Web, page: Page, code: str) -> requests.Response:
    form = {"form_authcode": code, "form_nonce": page.attribute(ASK, "form-nonce").strip('"')}
    return web.post({"module": "TwoFactorAuth", "action": "loginTwoFactorAuth"}, form)


def _is_taken(answer: requests.Response) -> bool:
    return bool(answer.status_code == requests.codes.found)


@AREA.check(Capability.CHANGE, steps=(Step.ENROLLED_ACCOUNT,))
def code_works_once(look: Look) -> Finding:
    """A code that was taken is not taken again."""
    account, _ = look.people.enrolled
    code = twofactor.code(account.secret, steps=1)
    taken = [_takes(*look.people.at_the_code(), code) for _ in range(2)]
    return same([True, False], taken)


@AREA.check(Capability.CHANGE, steps=(Step.ENROLLED_ACCOUNT,))
def window_is_two_minutes_and_a_half(look: Look) -> Finding:
    """Codes of a minute before and after now are taken, older and later ones are not."""
    account, _ = look.people.enrolled
    seen = {}
    for tried in ((-4, 4, 2), (-2,)):  # a session asks until a code is taken
        web, page = look.people.at_the_code()
        for steps in tried:
            # A step is over in the midst of a check: an edge is looked at from its far side.
            code = twofactor.code(account.secret, steps=steps)
            answer = _give(web, page, code)
            seen[steps], page = _is_taken(answer), Page(answer)
            if seen[steps]:
                break
    far = [steps for steps in (-4, 4) if seen.get(steps)]
    return holds(
        not far and seen.get(2, False),
        "+2 steps taken, 4 steps away refused",
        f"taken: {[it for it in seen if seen[it]]}",
    )


@AREA.check(Capability.CHANGE, Capability.DATABASE, steps=(Step.ENROLLED_ACCOUNT,))
def recovery_code_works_once(look: Look) -> Finding:
    """A recovery code is taken once."""
    account, _ = look.people.enrolled
    rows = look.database.query(
        "SELECT recovery_code AS code FROM {prefix}twofactor_recovery_code WHERE login = %s",
        account.login,
    )
    if not rows:
        return holds(False, "recovery codes", "none")
    code = str(rows[0]["code"])
    return same([True, False], [_takes(*look.people.at_the_code(), code) for _ in range(2)])


@AREA.check(Capability.CHANGE, Capability.CONTAINER, group=Group.ACCOUNTS)
def reset_leads_back_to_the_enrolment(look: Look) -> Finding:
    """Whose second factor was reset on the console gets nowhere before enrolling again, old session or new."""
    person, web = look.people.new("view"), look.web
    twofactor.enrol(web, person.login, person.password)
    look.shell.console("twofactorauth:disable-2fa-for-user", f"--login={person.login}")
    fresh = look.web
    page = twofactor.log_in(fresh, person.login, person.password)
    return nothing(
        "place beyond the enrolment",
        [
            *([] if page.component == SETUP else [f"new session: {page.component}"]),
            *_beyond(web, SETUP),
        ],
    )


@AREA.check(Capability.DATABASE, group=Group.ACCOUNTS)
def no_secret_is_an_example(look: Look) -> Finding:
    """No account has a secret that documentation shows, or a word in its place: everybody has its codes."""
    rows = look.database.query(
        "SELECT login FROM {prefix}user WHERE twofactor_secret <> '' AND"
        " (twofactor_secret IN %s OR NOT BINARY twofactor_secret REGEXP %s)",
        *(EXAMPLES, A_SECRET),
    )
    return nothing("account with an example's secret", [str(it["login"]) for it in rows])


@AREA.check(Capability.CHANGE, Capability.DATABASE, steps=(Step.SECOND_ENROLLED_ACCOUNT,))
def recovery_codes_are_one_s_own(look: Look) -> Finding:
    """Nobody has a recovery code that another has as well, or more of them than Matomo gives."""
    rows = look.database.query(
        "SELECT GROUP_CONCAT(login SEPARATOR ' and ') AS logins"
        " FROM {prefix}twofactor_recovery_code GROUP BY recovery_code"
        " HAVING COUNT(DISTINCT login) > 1"
    )
    more = look.database.query(
        "SELECT login, COUNT(*) AS many FROM {prefix}twofactor_recovery_code"
        " GROUP BY login HAVING COUNT(*) > %s",
        RECOVERY_CODES,
    )
    found = sorted({str(it["logins"]) for it in rows})
    return nothing("recovery code", found + [f"{it['many']} of {it['login']}" for it in more])


@AREA.check(Capability.CHANGE, Capability.LOGIN, steps=(Step.SECOND_ENROLLED_ACCOUNT,))
def another_s_code_is_not_one_s_own(look: Look) -> Finding:
    """Who logs in where somebody has given a code is asked for his own."""
    account = look.account
    _, web = look.people.enrolled_after
    page = twofactor.log_in(web, account.login, account.password)
    return same(ASK, page.component)


@AREA.check(Capability.API, group=Group.ACCOUNTS)
def everybody_who_came_has_one(look: Look) -> Finding:
    """Everybody who ever logged in has a second factor: a reset that was not followed by an enrolment shows."""
    users = look.api.call("UsersManager.getUsers")
    without = [
        it["login"]
        for it in users
        if it["login"] != "anonymous"
        and not is_test_account(it.get("email"))
        and not _has_factor(it)
        and (it.get("superuser_access") in (1, "1", True) or it.get("last_seen"))
    ]
    return nothing("account without a second factor", without)


def _has_factor(user: dict[str, object]) -> bool:
    return user.get("uses_2fa") in (True, 1, "1")


@AREA.check(Capability.DATABASE, group=Group.ACCOUNTS)
def nobody_shares_a_secret(look: Look) -> Finding:
    """No two accounts have one secret: whoever knows his own would have the other's codes."""
    rows = look.database.query(
        "SELECT GROUP_CONCAT(login ORDER BY login SEPARATOR ' and ') AS logins FROM {prefix}user"
        " WHERE twofactor_secret <> '' GROUP BY twofactor_secret HAVING COUNT(*) > 1"
    )
    return nothing("shared secret", [str(it["logins"]) for it in rows])


@AREA.check(Capability.DATABASE, group=Group.ACCOUNTS)
def tokens_are_known(look: Look) -> Finding:
    """A token opens the API without a second factor, by Matomo's design: there is none but those of accounts with one."""
    rows = look.database.query(
        "SELECT t.login, t.description, u.email FROM {prefix}user_token_auth t"
        " LEFT JOIN {prefix}user u ON u.login = t.login"
        " WHERE u.login IS NULL OR (u.twofactor_secret = '' AND t.system_token = 0)"
    )
    return nothing(
        "token of somebody without a second factor",
        # That of `anonymous` is every Matomo's, and opens what an anonymous visitor may see.
        [
            f"{it['login']}: {it['description']}"
            for it in rows
            if it["login"] != "anonymous" and not is_test_account(it["email"])
        ],
    )
