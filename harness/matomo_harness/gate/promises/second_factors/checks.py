"""Second factors: nobody gets in without one, and whoever has one needs a code of it."""

from collections.abc import Callable
from typing import Final

import requests
from pydantic import Field

from matomo_harness.gate.core.check import (
    CannotTellError,
    Capability,
    Finding,
    Group,
    Severity,
    holds,
    nothing,
    same,
)
from matomo_harness.gate.core.promise import ALWAYS, Promise
from matomo_harness.gate.core.target import Http, Permissions
from matomo_harness.gate.probes.accounts import (
    EnrolledAccount,
    SecondEnrolledAccount,
    TestAccounts,
    UnenrolledAccounts,
    ask_by_session,
    is_test_account,
    without_test_accounts,
)
from matomo_harness.gate.probes.pages import TODAY, SuperuserPages
from matomo_harness.matomo import twofactor
from matomo_harness.matomo.api import Api, ApiError, all_rows, create_token
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.twofactor import ASK, SETUP, Account
from matomo_harness.matomo.web import Page, Parameters, Web
from matomo_harness.policy import Section


class SecondFactors(Section, table="second_factors"):
    """Who has to have a second factor."""

    for_everybody: bool | None = Field(
        default=None,
        description="Without a second factor nobody gets anywhere but to its enrolment.",
    )


PROMISE: Final = Promise(
    "second_factors", "Without a second factor nobody gets into Matomo.", SecondFactors
)

RECOVERY_CODES: Final = 10
"""As many as Matomo gives (TwoFactorAuth/Dao/RecoveryCodeDao.php); a used one is deleted."""
EXAMPLES: Final = (
    *("JBSWY3DPEHPK3PXP", "HXDMVJECJJWSRB3HWIZR4IFUGFTMXBOZ", "GEZDGNBVGY3TQOJQ"),
    *("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "A" * 16, "A" * 32),
)
"""Secrets in the documentation of Google Authenticator and pyotp, and in RFC 6238, appendix B."""
SECRET_PATTERN: Final = "^[A-Z2-7]{16,}$"  # noqa: S105  not a secret itself
"""Base32 (RFC 4648), at least as long as Matomo's own secrets."""
PAGES_TO_TRY: Final[tuple[Parameters, ...]] = (
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
"""A page of each kind of module: dashboard, administration, own settings, widgets, data, API, and
those where a second factor is enrolled again."""
REQUIRE: Final = (
    "Set twoFactorAuthRequired = 1 in [TwoFactorAuth] of config.ini.php, and keep TwoFactorAuth in"
    " its Plugins[]."
)
KEEP: Final = (
    "Keep TwoFactorAuth in Plugins[] of config.ini.php, and restore plugins/TwoFactorAuth from"
    " the release."
)
ENROL_AGAIN: Final = (
    "Have the superuser enrol again where the second factor was reset, keep TwoFactorAuth in"
    " Plugins[] of config.ini.php, and restore plugins/TwoFactorAuth from the release."
)
RESET: Final = "console twofactorauth:disable-2fa-for-user --login=NAME"


def _beyond(web: Web, component: str) -> list[str]:
    """Return the pages on which `web` gets further than the page of `component`."""
    return [
        f"{query['module']}.{query['action']}: HTTP {page.response.status_code} {page.component}"
        for query in PAGES_TO_TRY
        if (page := Page(web.get(query))).component != component
        and page.response.status_code == requests.codes.ok
        and "form_login" not in page.response.text
    ]


# -- users without a second factor -----------------------------------------------------------------


def _gets_nowhere(role: str) -> Callable[..., Finding]:
    def check(unenrolled: UnenrolledAccounts) -> Finding:
        user = unenrolled.of_role[role]
        if user.page.component != SETUP:
            return same(SETUP, user.page.component)
        return nothing("page beyond the enrolment", _beyond(user.web, SETUP))

    return check


for _role, _name, _who in (
    ("view", "view_user_must_enrol", "a user with View access"),
    ("admin", "admin_must_enrol", "a site's admin"),
    ("superuser", "superuser_must_enrol", "a superuser"),
):
    PROMISE.check(
        _name,
        formerly=f"two_factors.{_name}",
        sentence=f"Without a second factor, {_who} reaches no page but the enrolment.",
        proves="for_everybody",
        severity=Severity.HIGH,
        remedy=REQUIRE,
        failure_mode="A1",
        needs=[Capability.CHANGE],
    )(_gets_nowhere(_role))


@PROMISE.check(
    "remembered_session_must_enrol",
    formerly="two_factors.remembered_session_must_enrol",
    proves="for_everybody",
    severity=Severity.HIGH,
    remedy=REQUIRE,
    failure_mode="A1",
    needs=[Capability.CHANGE],
)
def remembered_session_must_enrol(unenrolled: UnenrolledAccounts, http: Http) -> Finding:
    """Without a second factor, a remembered session reaches no page but the enrolment."""
    person, web, later = unenrolled.of_role["view"].person, http.web, http.web
    twofactor.log_in(web, person.login, person.password, remember=True)
    # A browser that is closed drops the others.
    lasting = [cookie for cookie in web.session.cookies if cookie.expires]
    for cookie in lasting:
        later.session.cookies.set_cookie(cookie)
    component = Page(later.get()).component
    if not lasting or component != SETUP:
        return same(SETUP, component if lasting else "no lasting cookie")
    return nothing("page beyond the enrolment", _beyond(later, SETUP))


@PROMISE.check(
    "no_session_api_without_one",
    formerly="two_factors.no_session_api_without_one",
    proves="for_everybody",
    severity=Severity.HIGH,
    remedy=REQUIRE,
    failure_mode="A1",
    needs=[Capability.CHANGE],
)
def no_session_api_without_one(unenrolled: UnenrolledAccounts) -> Finding:
    """A user who is logged in but not enrolled gets no data from the API by the session."""
    user = unenrolled.of_role["superuser"]
    page = user.page.response.text
    answer = ask_by_session(user.web, page, "SitesManager.getAllSitesId", {})
    is_data = answer.strip() in ("[1]", '["1"]') or answer.startswith("[1")
    return holds(not is_data, "no data", answer[:120])


@PROMISE.check(
    "no_token_without_one",
    formerly="two_factors.no_token_without_one",
    proves="for_everybody",
    severity=Severity.HIGH,
    remedy=REQUIRE,
    failure_mode="A1",
    needs=[Capability.CHANGE],
)
def no_token_without_one(unenrolled: UnenrolledAccounts, http: Http) -> Finding:
    """A user without a second factor gets no API token."""
    person = unenrolled.of_role["view"].person
    return _is_given_no_token(http.web, person.login, person.password)


def _is_given_no_token(web: Web, login: str, password: str) -> Finding:
    """Find that a token is refused when it is requested by password, without a code."""
    try:
        create_token(web, Account(login, password, ""))
    except ApiError as error:
        return holds(True, "a refusal", error.seen)
    return holds(False, "a refusal", "a token")


@PROMISE.check(
    "no_token_without_a_code",
    formerly="two_factors.no_token_without_a_code",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy=KEEP,
    failure_mode="A3",
    needs=[Capability.CHANGE],
)
def no_token_without_a_code(enrolled: EnrolledAccount, http: Http) -> Finding:
    """A user with a second factor gets no API token without a code."""
    account = enrolled.require_second_factor()
    return _is_given_no_token(http.web, account.login, account.password)


# -- users with one who give no code or a wrong one -----------------------------------------------


@PROMISE.check(
    "password_alone_opens_nothing",
    formerly="two_factors.password_alone_opens_nothing",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy=ENROL_AGAIN,
    failure_mode="A1",
    costly=True,
)
def password_alone_opens_nothing(
    http: Http, account: Account, pages: SuperuserPages, promise: SecondFactors
) -> Finding:
    """With login and password alone, remembered or not, the superuser reaches no page but the code's form."""
    _require_a_second_factor(account, promise)
    remembered = http.web
    twofactor.log_in(remembered, account.login, account.password, remember=True)
    beyond = []
    for web in (remembered, pages.without_a_code):
        page = Page(web.get())
        if page.component != ASK:
            return same(ASK, page.component)
        beyond += _beyond(web, ASK)
    return nothing("page beyond the code's form", beyond)


@PROMISE.check(
    "browser_is_asked_for_a_code",
    formerly="gui.login_asks_for_a_code",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy=ENROL_AGAIN,
    failure_mode="A6",
    costly=True,
)
def browser_is_asked_for_a_code(
    pages: SuperuserPages, account: Account, promise: SecondFactors
) -> Finding:
    """In a browser, the login form asks for a code after login and password."""
    _require_a_second_factor(account, promise)
    is_asked, form = pages.in_a_browser.code_asked, "the code's form"
    return holds(is_asked, form, form if is_asked else "Matomo, without a code")


@PROMISE.check(
    "wrong_code_is_refused",
    formerly="two_factors.wrong_code_is_refused",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy=ENROL_AGAIN,
    failure_mode="A4",
    costly=True,
)
def wrong_code_is_refused(
    pages: SuperuserPages, account: Account, promise: SecondFactors
) -> Finding:
    """A wrong code is refused."""
    _require_a_second_factor(account, promise)
    page = Page(pages.without_a_code.get())
    if page.component != ASK:
        return same(ASK, page.component)
    accepted = _accepts(pages.without_a_code, page, "000000")
    return holds(not accepted, "a refusal", "it was accepted" if accepted else "a refusal")


@PROMISE.check(
    "wrong_codes_are_counted",
    formerly="two_factors.wrong_codes_are_counted",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Set enableBruteForceDetection = 1 in [Login] of config.ini.php, and restore"
    " plugins/TwoFactorAuth/Controller.php from the release.",
    failure_mode="A4",
)
def wrong_codes_are_counted(
    account: Account,
    pages: SuperuserPages,
    database: Database,
    promise: SecondFactors,
    permissions: Permissions,
) -> Finding:
    """A wrong code counts as a failed login: without that a million codes are soon tried."""
    _require_a_second_factor(account, promise)
    guesses = "FROM {prefix}brute_force_log WHERE login = %s"
    last = f"SELECT COALESCE(MAX(id_brute_force_log), 0) AS last {guesses}"
    before = database.query(last, account.login)[0]["last"]
    page = Page(pages.without_a_code.get())
    if page.component != ASK:
        return same(ASK, page.component)
    _accepts(pages.without_a_code, page, "000000")
    is_counted = database.query(last, account.login)[0]["last"] > before
    if permissions.may_change:
        database.query(f"DELETE {guesses} AND id_brute_force_log > %s", account.login, before)
    return holds(is_counted, "a counted guess", "a counted guess" if is_counted else "none")


def _require_a_second_factor(account: Account, promise: SecondFactors) -> None:
    """Require that `account` has a second factor, or that the policy promises one for everybody.

    Raises:
        CannotTellError: the account has no second factor, and none is promised.
    """
    if not account.secret and not promise.for_everybody:
        raise CannotTellError("the superuser has no second factor, and none is promised")


def _accepts(web: Web, page: Page, code: str) -> bool:
    """Submit `code` on the page that asks for one, and return whether it is accepted."""
    return _is_accepted(_submit(web, page, code))


def _submit(web: Web, page: Page, code: str) -> requests.Response:
    form = {"form_authcode": code, "form_nonce": page.attribute(ASK, "form-nonce").strip('"')}
    return web.post({"module": "TwoFactorAuth", "action": "loginTwoFactorAuth"}, form)


def _is_accepted(answer: requests.Response) -> bool:
    return bool(answer.status_code == requests.codes.found)


# -- which codes are accepted ---------------------------------------------------------------------


@PROMISE.check(
    "code_works_once",
    formerly="two_factors.code_works_once",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Restore the primary key of the table option, by which Matomo knows used codes, and"
    " plugins/TwoFactorAuth from the release.",
    failure_mode="A4",
    needs=[Capability.CHANGE],
)
def code_works_once(enrolled: EnrolledAccount) -> Finding:
    """A code works only once."""
    code = twofactor.code(enrolled.require_second_factor().secret, steps=1)
    accepted = [_accepts(*enrolled.at_the_code(), code) for _ in range(2)]
    return same([True, False], accepted)


@PROMISE.check(
    "window_is_two_minutes_and_a_half",
    formerly="two_factors.window_is_two_minutes_and_a_half",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Set the clock of the web server's machine by NTP, and restore plugins/TwoFactorAuth from"
    " the release.",
    failure_mode="A5",
    needs=[Capability.CHANGE],
)
def window_is_two_minutes_and_a_half(enrolled: EnrolledAccount) -> Finding:
    """Codes of up to a minute before and after now are accepted, earlier and later ones are not."""
    seen: dict[int, bool] = {}
    for tried in ((-4, 4, 2), (-2,)):  # a session asks until it accepts a code
        web, page = enrolled.at_the_code()
        for steps in tried:
            # A step may end during the check, so that an edge is tried from its far side.
            code = twofactor.code(enrolled.require_second_factor().secret, steps=steps)
            answer = _submit(web, page, code)
            seen[steps], page = _is_accepted(answer), Page(answer)
            if seen[steps]:
                break
    far = [steps for steps in (-4, 4) if seen.get(steps)]
    return holds(
        not far and seen.get(2, False),
        "+2 steps accepted, 4 steps away refused",
        f"accepted: {[steps for steps in seen if seen[steps]]}",
    )


@PROMISE.check(
    "recovery_code_works_once",
    formerly="two_factors.recovery_code_works_once",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy=KEEP,
    failure_mode="A6",
    needs=[Capability.CHANGE],
)
def recovery_code_works_once(enrolled: EnrolledAccount, database: Database) -> Finding:
    """A recovery code works only once."""
    rows = database.query(
        "SELECT recovery_code AS code FROM {prefix}twofactor_recovery_code WHERE login = %s",
        enrolled.require_second_factor().login,
    )
    if not rows:
        return holds(False, "recovery codes", "none")
    code = str(rows[0]["code"])
    return same([True, False], [_accepts(*enrolled.at_the_code(), code) for _ in range(2)])


@PROMISE.check(
    "reset_leads_back_to_the_enrolment",
    formerly="two_factors.reset_leads_back_to_the_enrolment",
    proves="for_everybody",
    severity=Severity.HIGH,
    remedy=REQUIRE,
    failure_mode="A6",
    needs=[Capability.CHANGE],
    group=Group.ACCOUNTS,
)
def reset_leads_back_to_the_enrolment(
    accounts: TestAccounts, http: Http, container: MatomoContainer
) -> Finding:
    """After a reset on the console the user must enrol again, in an old session and in a new one."""
    person, web = accounts.new("view"), http.web
    twofactor.enrol(web, person.login, person.password)
    container.console("twofactorauth:disable-2fa-for-user", f"--login={person.login}")
    page = twofactor.log_in(http.web, person.login, person.password)
    return nothing(
        "page beyond the enrolment",
        [
            *([] if page.component == SETUP else [f"new session: {page.component}"]),
            *_beyond(web, SETUP),
        ],
    )


# -- each secret and code is one account's ---------------------------------------------------------


@PROMISE.check(
    "no_secret_is_an_example",
    formerly="two_factors.no_secret_is_an_example",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy=f"Reset the second factor of each such account ({RESET}), and have its owner enrol.",
    failure_mode="A4",
    group=Group.ACCOUNTS,
)
def no_secret_is_an_example(database: Database) -> Finding:
    """No account's secret is an example of documentation or a mere word, whose codes anybody can make."""
    rows = database.query(
        "SELECT login FROM {prefix}user WHERE twofactor_secret <> '' AND"
        " (twofactor_secret IN %s OR NOT BINARY twofactor_secret REGEXP %s)",
        *(EXAMPLES, SECRET_PATTERN),
    )
    return nothing("account with an example's secret", [str(row["login"]) for row in rows])


@PROMISE.check(
    "recovery_codes_differ",
    formerly="two_factors.recovery_codes_are_one_s_own",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Have their owners generate new recovery codes in Personal, Security, and find the script"
    " or the plugin's config/config.php that made the old ones.",
    failure_mode="A6",
    needs=[Capability.CHANGE],
)
def recovery_codes_differ(database: Database, second: SecondEnrolledAccount) -> Finding:
    """No two accounts share a recovery code, and none has more of them than Matomo gives."""
    if not second.account.secret:
        raise CannotTellError("a new account is asked for no second factor here")
    rows = database.query(
        "SELECT GROUP_CONCAT(login SEPARATOR ' and ') AS logins"
        " FROM {prefix}twofactor_recovery_code GROUP BY recovery_code"
        " HAVING COUNT(DISTINCT login) > 1"
    )
    more = database.query(
        "SELECT login, COUNT(*) AS many FROM {prefix}twofactor_recovery_code"
        " GROUP BY login HAVING COUNT(*) > %s",
        RECOVERY_CODES,
    )
    found = sorted({str(row["logins"]) for row in rows})
    return nothing("recovery code", found + [f"{row['many']} of {row['login']}" for row in more])


@PROMISE.check(
    "code_of_another_opens_nothing",
    formerly="two_factors.another_s_code_is_not_one_s_own",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Restore core/Session/SessionFingerprint.php from the release, which forgets at every"
    " login that a code was given.",
    failure_mode="A1",
    needs=[Capability.CHANGE],
)
def code_of_another_opens_nothing(
    account: Account, second: SecondEnrolledAccount, promise: SecondFactors
) -> Finding:
    """Whoever logs in to a session in which another gave a code is asked for a code of their own."""
    _require_a_second_factor(account, promise)
    page = twofactor.log_in(second.web, account.login, account.password)
    return same(ASK, page.component)


@PROMISE.check(
    "nobody_shares_a_secret",
    formerly="two_factors.nobody_shares_a_secret",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy=f"Reset the second factor of each of them ({RESET}), and have each enrol again.",
    failure_mode="A4",
    group=Group.ACCOUNTS,
)
def nobody_shares_a_secret(database: Database) -> Finding:
    """No two accounts share a secret, with which each could make the other's codes."""
    rows = database.query(
        "SELECT GROUP_CONCAT(login ORDER BY login SEPARATOR ' and ') AS logins FROM {prefix}user"
        " WHERE twofactor_secret <> '' GROUP BY twofactor_secret HAVING COUNT(*) > 1"
    )
    return nothing("shared secret", [str(row["logins"]) for row in rows])


# -- everybody has one ----------------------------------------------------------------------------


@PROMISE.check(
    "everybody_who_came_has_one",
    formerly="two_factors.everybody_who_came_has_one",
    proves="for_everybody",
    severity=Severity.HIGH,
    remedy="Have each of them log in and enrol a second factor, or delete the account in"
    " Administration, System, Users.",
    failure_mode="A1",
    group=Group.ACCOUNTS,
)
def everybody_who_came_has_one(api: Api) -> Finding:
    """Every superuser and everybody who ever logged in has a second factor, even after a reset."""
    without = [
        user["login"]
        for user in without_test_accounts(all_rows(api, "UsersManager.getUsers"))
        if user["login"] != "anonymous"
        and not _has_factor(user)
        and (user.get("superuser_access") in (1, "1", True) or user.get("last_seen"))
    ]
    return nothing("account without a second factor", without)


def _has_factor(user: dict[str, object]) -> bool:
    return user.get("uses_2fa") in (True, 1, "1")


@PROMISE.check(
    "tokens_are_known",
    formerly="two_factors.tokens_are_known",
    proves="for_everybody",
    severity=Severity.HIGH,
    remedy="Have the token's owner enrol a second factor, or delete the token's row in"
    " user_token_auth.",
    failure_mode="A3",
    group=Group.ACCOUNTS,
)
def tokens_are_known(database: Database) -> Finding:
    """Every token belongs to an account with a second factor: by Matomo's design tokens need no code."""
    rows = database.query(
        "SELECT t.login, t.description, u.email FROM {prefix}user_token_auth t"
        " LEFT JOIN {prefix}user u ON u.login = t.login"
        " WHERE u.login IS NULL OR (u.twofactor_secret = '' AND t.system_token = 0)"
    )
    return nothing(
        "token of somebody without a second factor",
        # Every Matomo has the token of `anonymous`, which opens what an anonymous visitor may see.
        [
            f"{row['login']}: {row['description']}"
            for row in rows
            if row["login"] != "anonymous" and not is_test_account(row["email"])
        ],
    )
