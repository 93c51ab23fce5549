"""Second factors: nobody gets in without one, and who has one gets in by its codes alone."""

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
from matomo_harness.gate.core.target import Http
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
from matomo_harness.matomo.api import Api, ApiError, create_token
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
"""That Matomo gives (TwoFactorAuth/Dao/RecoveryCodeDao.php); each that is used is deleted."""
EXAMPLES: Final = (
    *("JBSWY3DPEHPK3PXP", "HXDMVJECJJWSRB3HWIZR4IFUGFTMXBOZ", "GEZDGNBVGY3TQOJQ"),
    *("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "A" * 16, "A" * 32),
)
"""Of Google Authenticator, pyotp, and RFC 6238, appendix B."""
A_SECRET: Final = "^[A-Z2-7]{16,}$"  # noqa: S105  of what secrets look like
"""Base32 (RFC 4648), as long as Matomo's own at least."""
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
"""A place in each kind of module: dashboard, administration, own settings, widgets, data, API, and
where a second factor is enrolled anew."""
REQUIRE: Final = (
    "Set twoFactorAuthRequired = 1 in [TwoFactorAuth] of config.ini.php, and keep TwoFactorAuth in"
    " its Plugins[]."
)
KEEP: Final = (
    "Keep TwoFactorAuth in Plugins[] of config.ini.php, and put plugins/TwoFactorAuth back as the"
    " release has it."
)
ENROL_AGAIN: Final = (
    "Have the superuser enrol again where the second factor was reset, keep TwoFactorAuth in"
    " Plugins[] of config.ini.php, and put plugins/TwoFactorAuth back as the release has it."
)
RESET: Final = "console twofactorauth:disable-2fa-for-user --login=NAME"


def _beyond(web: Web, component: str) -> list[str]:
    """Return the places at which `web` gets further than the page of `component`."""
    return [
        f"{place['module']}.{place['action']}: HTTP {page.response.status_code} {page.component}"
        for place in PAGES_TO_TRY
        if (page := Page(web.get(place))).component != component
        and page.response.status_code == requests.codes.ok
        and "form_login" not in page.response.text
    ]


# -- who has none ---------------------------------------------------------------------------------


def _gets_nowhere(role: str) -> Callable[..., Finding]:
    def check(unenrolled: UnenrolledAccounts) -> Finding:
        somebody = unenrolled.of_role[role]
        if somebody.page.component != SETUP:
            return same(SETUP, somebody.page.component)
        return nothing("place beyond the enrolment", _beyond(somebody.web, SETUP))

    return check


for _role, _name, _who in (
    ("view", "view_user_must_enrol", "A user with View and"),
    ("admin", "admin_must_enrol", "A site's admin"),
    ("superuser", "superuser_must_enrol", "A superuser"),
):
    PROMISE.check(
        _name,
        formerly=f"two_factors.{_name}",
        sentence=f"{_who} without a second factor gets nowhere but to the enrolment.",
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
    """A session that a browser remembers gets nowhere but to the enrolment without a second factor."""
    person, web, later = unenrolled.of_role["view"].person, http.web, http.web
    twofactor.log_in(web, person.login, person.password, remember=True)
    kept = [cookie for cookie in web.session.cookies if cookie.expires]  # by a closed browser
    for cookie in kept:
        later.session.cookies.set_cookie(cookie)
    component = Page(later.get()).component
    if not kept or component != SETUP:
        return same(SETUP, component if kept else "no cookie that is kept")
    return nothing("place beyond the enrolment", _beyond(later, SETUP))


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
    """Somebody who is logged in and not enrolled gets no data from the API by the session."""
    somebody = unenrolled.of_role["superuser"]
    page = somebody.page.response.text
    answer = ask_by_session(somebody.web, page, "SitesManager.getAllSitesId", {})
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
    """Somebody without a second factor gets no API token."""
    person = unenrolled.of_role["view"].person
    return _is_given_no_token(http.web, person.login, person.password)


def _is_given_no_token(web: Web, login: str, password: str) -> Finding:
    """Ask for one by the password, without a code."""
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
    """Somebody with a second factor gets no API token without a code."""
    account = enrolled.require_second_factor()
    return _is_given_no_token(http.web, account.login, account.password)


# -- who has one, and gives no code or a wrong one ------------------------------------------------


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
    """With name and password alone, remembered or not, the superuser gets nowhere but to the code's form."""
    _require_a_second_factor(account, promise)
    remembered = http.web
    twofactor.log_in(remembered, account.login, account.password, remember=True)
    beyond = []
    for web in (remembered, pages.without_a_code):
        page = Page(web.get())
        if page.component != ASK:
            return same(ASK, page.component)
        beyond += _beyond(web, ASK)
    return nothing("place beyond the code's form", beyond)


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
    """A person who logs in by the form is asked for a code after name and password."""
    _require_a_second_factor(account, promise)
    asked = pages.in_a_browser.code_asked
    return holds(asked, "the code's form", "it" if asked else "Matomo, without a code")


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
    """A code that is none is refused."""
    _require_a_second_factor(account, promise)
    page = Page(pages.without_a_code.get())
    if page.component != ASK:
        return same(ASK, page.component)
    taken = _takes(pages.without_a_code, page, "000000")
    return holds(not taken, "a refusal", "it was taken" if taken else "a refusal")


@PROMISE.check(
    "wrong_codes_are_counted",
    formerly="two_factors.wrong_codes_are_counted",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Set enableBruteForceDetection = 1 in [Login] of config.ini.php, and put"
    " plugins/TwoFactorAuth/Controller.php back as the release has it.",
    failure_mode="A4",
)
def wrong_codes_are_counted(
    account: Account, pages: SuperuserPages, database: Database, promise: SecondFactors
) -> Finding:
    """A code that is none counts as a wrong login does: without that a million codes are soon tried."""
    _require_a_second_factor(account, promise)
    guesses = "FROM {prefix}brute_force_log WHERE login = %s"
    last = f"SELECT COALESCE(MAX(id_brute_force_log), 0) AS last {guesses}"
    before = database.query(last, account.login)[0]["last"]
    page = Page(pages.without_a_code.get())
    if page.component != ASK:
        return same(ASK, page.component)
    _takes(pages.without_a_code, page, "000000")
    counted = database.query(last, account.login)[0]["last"] > before
    database.query(f"DELETE {guesses} AND id_brute_force_log > %s", account.login, before)
    return holds(counted, "a guess that is counted", "it" if counted else "none is")


def _require_a_second_factor(account: Account, promise: SecondFactors) -> None:
    """Require that `account` is asked for a code: whoever promises one to everybody has one.

    Raises:
        CannotTellError: it has no second factor, and none is promised.
    """
    if not account.secret and not promise.for_everybody:
        raise CannotTellError("the superuser has no second factor, and none is promised")


def _takes(web: Web, page: Page, code: str) -> bool:
    """Give `code` at the page that asks for one; whether it is taken."""
    return _is_taken(_give(web, page, code))


def _give(web: Web, page: Page, code: str) -> requests.Response:
    form = {"form_authcode": code, "form_nonce": page.attribute(ASK, "form-nonce").strip('"')}
    return web.post({"module": "TwoFactorAuth", "action": "loginTwoFactorAuth"}, form)


def _is_taken(answer: requests.Response) -> bool:
    return bool(answer.status_code == requests.codes.found)


# -- which codes are taken ------------------------------------------------------------------------


@PROMISE.check(
    "code_works_once",
    formerly="two_factors.code_works_once",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Give the table option its primary key back, by which Matomo knows used codes, and put"
    " plugins/TwoFactorAuth back as the release has it.",
    failure_mode="A4",
    needs=[Capability.CHANGE],
)
def code_works_once(enrolled: EnrolledAccount) -> Finding:
    """A code that was taken is not taken again."""
    code = twofactor.code(enrolled.require_second_factor().secret, steps=1)
    taken = [_takes(*enrolled.at_the_code(), code) for _ in range(2)]
    return same([True, False], taken)


@PROMISE.check(
    "window_is_two_minutes_and_a_half",
    formerly="two_factors.window_is_two_minutes_and_a_half",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Set the clock of the web server's machine by NTP, and put plugins/TwoFactorAuth back as"
    " the release has it.",
    failure_mode="A5",
    needs=[Capability.CHANGE],
)
def window_is_two_minutes_and_a_half(enrolled: EnrolledAccount) -> Finding:
    """Codes of a minute before and after now are taken, older and later ones are not."""
    seen: dict[int, bool] = {}
    for tried in ((-4, 4, 2), (-2,)):  # a session asks until a code is taken
        web, page = enrolled.at_the_code()
        for steps in tried:
            # A step is over in the midst of a check: an edge is looked at from its far side.
            code = twofactor.code(enrolled.require_second_factor().secret, steps=steps)
            answer = _give(web, page, code)
            seen[steps], page = _is_taken(answer), Page(answer)
            if seen[steps]:
                break
    far = [steps for steps in (-4, 4) if seen.get(steps)]
    return holds(
        not far and seen.get(2, False),
        "+2 steps taken, 4 steps away refused",
        f"taken: {[steps for steps in seen if seen[steps]]}",
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
    """A recovery code is taken once."""
    rows = database.query(
        "SELECT recovery_code AS code FROM {prefix}twofactor_recovery_code WHERE login = %s",
        enrolled.require_second_factor().login,
    )
    if not rows:
        return holds(False, "recovery codes", "none")
    code = str(rows[0]["code"])
    return same([True, False], [_takes(*enrolled.at_the_code(), code) for _ in range(2)])


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
    """Whose second factor was reset on the console gets nowhere before enrolling again, old session or new."""
    person, web = accounts.new("view"), http.web
    twofactor.enrol(web, person.login, person.password)
    container.console("twofactorauth:disable-2fa-for-user", f"--login={person.login}")
    page = twofactor.log_in(http.web, person.login, person.password)
    return nothing(
        "place beyond the enrolment",
        [
            *([] if page.component == SETUP else [f"new session: {page.component}"]),
            *_beyond(web, SETUP),
        ],
    )


# -- whose secrets and codes they are -------------------------------------------------------------


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
    """No account has a secret that documentation shows, or a word in its place: everybody has its codes."""
    rows = database.query(
        "SELECT login FROM {prefix}user WHERE twofactor_secret <> '' AND"
        " (twofactor_secret IN %s OR NOT BINARY twofactor_secret REGEXP %s)",
        *(EXAMPLES, A_SECRET),
    )
    return nothing("account with an example's secret", [str(row["login"]) for row in rows])


@PROMISE.check(
    "recovery_codes_differ",
    formerly="two_factors.recovery_codes_are_one_s_own",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Have their owners generate new recovery codes in Personal, Security, and see which"
    " script or plugin's config/config.php made those.",
    failure_mode="A6",
    needs=[Capability.CHANGE],
)
def recovery_codes_differ(database: Database, second: SecondEnrolledAccount) -> Finding:
    """Nobody has a recovery code that another has as well, or more of them than Matomo gives."""
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
    remedy="Put core/Session/SessionFingerprint.php back as the release has it, which forgets at"
    " every login that a code was given.",
    failure_mode="A1",
    needs=[Capability.CHANGE],
)
def code_of_another_opens_nothing(
    account: Account, second: SecondEnrolledAccount, promise: SecondFactors
) -> Finding:
    """Who logs in where somebody has given a code is asked for his own."""
    _require_a_second_factor(account, promise)
    page = twofactor.log_in(second.web, account.login, account.password)
    return same(ASK, page.component)


@PROMISE.check(
    "nobody_shares_a_secret",
    formerly="two_factors.nobody_shares_a_secret",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy=f"Reset the second factor of each of them ({RESET}), and have each enrol.",
    failure_mode="A4",
    group=Group.ACCOUNTS,
)
def nobody_shares_a_secret(database: Database) -> Finding:
    """No two accounts have one secret: whoever knows his own would have the other's codes."""
    rows = database.query(
        "SELECT GROUP_CONCAT(login ORDER BY login SEPARATOR ' and ') AS logins FROM {prefix}user"
        " WHERE twofactor_secret <> '' GROUP BY twofactor_secret HAVING COUNT(*) > 1"
    )
    return nothing("shared secret", [str(row["logins"]) for row in rows])


# -- that everybody has one -----------------------------------------------------------------------


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
    """Everybody who ever logged in has a second factor: a reset that was not followed by an enrolment shows."""
    without = [
        user["login"]
        for user in without_test_accounts(api.call("UsersManager.getUsers"))
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
    """A token opens the API without a second factor, by Matomo's design: there is none but those of accounts with one."""
    rows = database.query(
        "SELECT t.login, t.description, u.email FROM {prefix}user_token_auth t"
        " LEFT JOIN {prefix}user u ON u.login = t.login"
        " WHERE u.login IS NULL OR (u.twofactor_secret = '' AND t.system_token = 0)"
    )
    return nothing(
        "token of somebody without a second factor",
        # That of `anonymous` is every Matomo's, and opens what an anonymous visitor may see.
        [
            f"{row['login']}: {row['description']}"
            for row in rows
            if row["login"] != "anonymous" and not is_test_account(row["email"])
        ],
    )
