"""Accounts: a new account may do only what it was granted, and nobody can sign up."""

import hashlib
import json
import re
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import urlencode

import requests
from pydantic import Field

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.gate.core.check import (
    CannotTellError,
    Capability,
    Finding,
    Group,
    Severity,
    holds,
    nothing,
)
from matomo_harness.gate.core.promise import ALWAYS, Promise
from matomo_harness.gate.core.target import Http, Permissions
from matomo_harness.gate.probes.accounts import (
    EnrolledAccount,
    UnenrolledAccounts,
    is_test_account,
)
from matomo_harness.gate.probes.pages import TODAY
from matomo_harness.gate.probes.php import Php
from matomo_harness.gate.probes.traffic import VISITS_LOG_OFF, TestSite
from matomo_harness.matomo import twofactor
from matomo_harness.matomo.api import Api, ApiError, all_rows
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.twofactor import Account
from matomo_harness.matomo.web import Page, Parameters
from matomo_harness.policy import Names, Section, promised


class Accounts(Section, table="accounts"):
    """Who gets in, how long he stays, and who may do everything."""

    nothing_for_anonymous: bool | None = Field(
        default=None,
        description="Without login and token no page opens, and the API tells nothing.",
    )
    guesses: int = Field(
        default=20,
        ge=1,
        description="At most so many wrong logins are taken from one address within an hour"
        " (Matomo's default, plugins/Login/SystemSettings.php).",
    )
    longest_session_seconds: int = Field(
        default=14 * 24 * 3600,
        ge=1,
        description="No session lasts longer (Matomo's default, login_cookie_expire of [General]).",
    )
    idle_session_seconds: int = Field(
        default=3600,
        ge=1,
        description="A session that is not to be remembered ends after so long without a request"
        " (Matomo's default, login_session_not_remembered_idle_timeout of [General]).",
    )
    superusers: Names | None = Field(
        default=None, description="Logins: whoever is a superuser is one of these."
    )


PROMISE: Final = Promise(
    "accounts",
    "A new account sees and may do only what it was granted, and nobody can sign up.",
    Accounts,
)

ADMINISTRATION: Final = (
    ("CoreAdminHome", "generalSettings"),
    ("UsersManager", "index"),
    ("SitesManager", "index"),
    ("CorePluginsAdmin", "plugins"),
    ("PrivacyManager", "privacySettings"),
    ("Installation", "systemCheckPage"),
)
SEEN: Final = ("VisitsSummary.get", "Live.getLastVisitsDetails", "SitesManager.getSiteFromId")
"""The methods that every user may ask about a site with View access."""
SITES: Final = "SitesManager.getSitesWithAtLeastViewAccess"
REPORTS: Final = (
    *("API.get", "Actions.get", "Actions.getPageUrls", "Actions.getPageTitles", "Events.getName"),
    *("DevicesDetection.getType", "Goals.get", "Referrers.get", "Referrers.getAll"),
    *("UserCountry.getCountry", "VisitsSummary.getVisits", "VisitsSummary.getUniqueVisitors"),
)
"""The methods that pages with an institution's figures ask for first, by GET."""
ANONYMOUS: Final = "anonymous"
TOKENS: Final = (
    ANONYMOUS,
    "33dc3f2536d3025974cccb4b4d2d98f4",
    "0" * 32,
    "d41d8cd98f00b204e9800998ecf8427e",
    "098f6bcd4621d373cade4e832627b4f6",
    "changeme",
)
"""Tokens from documentation and examples, and hashes of empty and trivial passwords."""
OPEN_METHODS: Final = frozenset(
    f"{module}.{method}"
    for module, methods in {
        "API": "getBulkRequest getSettings getPagesComparisonsDisabledFor",
        "Dashboard": "getDashboards",
        "LanguagesManager": "isLanguageAvailable getAvailableLanguages getAvailableLanguagesInfo"
        " getAvailableLanguageNames getTranslationsForLanguage",
        "Live": "isVisitorProfileEnabled",
        "Overlay": "getTranslations",
        "PrivacyManager": "getCompliancePolicies",
        "SitesManager": "getImageTrackingCode getIpsForRange getDefaultTimezone getCurrencyList"
        " getCurrencySymbols getTimezonesList getTimezoneName",
        "Transitions": "getTranslations isPeriodAllowed",
        "UserCountry": "getCountryCodeMapping",
    }.items()
    for method in methods.split()
)
"""Methods that answer everybody: names of languages, countries and currencies, and other words."""
NO_METHOD: Final = "usesAutoSanitizeInputParams"
"""A method of every plugin, which says how its parameters are read (core/Plugin/API.php)."""
NO_ANSWER: Final[tuple[object, ...]] = ([], {"value": False})
AT_ONCE: Final = 10
"""The number of requests in a bulk request: see versions.ANYBODY_ASKS_LITTLE_AT_ONCE."""
VALUES: Final[Mapping[str, str]] = {"period": "day", "date": "today", "userLogin": "admin"}
ONE_VISIT: Final = {"visits[0][idsite]": 1, "visits[0][idvisit]": 1}
PASSWORDS: Final = ("changeme", "password", "matomo", "piwik", "admin", "secret", "123456", "test")
OPENED_BY: Final = """
foreach (json_decode($argv[1], true) as $account) {
    foreach ($account["words"] as $word) {
        if (password_verify(md5($word), $account["hash"])) { echo $account["login"], " "; break; }
    }
}
"""
"""Matomo hashes the MD5 of a password (UsersManager::getPasswordHash, core/Auth/Password.php)."""
ACCOUNTS_AT_ONCE: Final = 20
GUESSING_SECONDS: Final = 60.0
"""With PHP's default cost a guess takes up to a quarter of a second, and nine are for each account."""
WHAT_GIVES_MORE: Final = (
    "Find out what gives new users more than View: a trigger on the table access, a plugin, or code"
    " that is not Matomo's own."
)


# -- a new user -----------------------------------------------------------------------------------


@PROMISE.check(
    "new_user_may_view",
    proves=ALWAYS,
    severity=Severity.LOW,
    remedy="Find out what gives new users another site than the one they are added to: a trigger on"
    " the table access, or a plugin.",
    needs=[Capability.CHANGE],
)
def new_user_may_view(enrolled: EnrolledAccount) -> Finding:
    """A new user can open the dashboard of the site that was granted to them."""
    page = enrolled.dashboard
    opens = page.ok and "form_login" not in page.text and "TwoFactorAuth.Setup" not in page.text
    return holds(opens, "the dashboard", f"HTTP {page.status_code}: {Page(page).excerpt[:150]}")


@PROMISE.check(
    "new_user_finds_no_administration",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy=WHAT_GIVES_MORE,
    needs=[Capability.CHANGE],
)
def new_user_finds_no_administration(enrolled: EnrolledAccount) -> Finding:
    """No administration page opens for a new user."""
    pages = {
        f"{module}.{action}": Page(enrolled.web.get({"module": module, "action": action}))
        for module, action in ADMINISTRATION
    }
    opened = [
        name
        for name, page in pages.items()
        if page.response.status_code == requests.codes.ok
        and page.component is not None
        and not _is_refused(page)
    ]
    return nothing("administration page", opened)


def _is_refused(page: Page) -> bool:
    return bool(
        re.search(
            r"can't access|Super User|does not have|privilege|an error occurred|access",
            page.excerpt,
            re.I,
        )
    )


@PROMISE.check(
    "new_user_sees_no_other_site",
    proves=ALWAYS,
    severity=Severity.CRITICAL,
    remedy="Find out what opens other sites to users: rows or triggers of the table access, a"
    " plugin, or a core/Access.php that is not Matomo's own.",
    needs=[Capability.CHANGE],
)
def new_user_sees_no_other_site(site: TestSite, enrolled: EnrolledAccount) -> Finding:
    """The API gives a new user the reports and visits of their own site, and of no other."""
    answered, refused = [], []
    for method in SEEN:
        own, other = (enrolled.asks(method, {**TODAY, "idSite": number}) for number in (1, site.id))
        if _is_error(own) and VISITS_LOG_OFF.search(own):
            continue
        if _is_error(own):
            refused.append(f"{method} of their own site: {own[:80]}")
        if not _is_error(other):
            answered.append(f"{method} of another site: {other[:80]}")
    return nothing("answer about another site or refusal of their own", answered + refused)


def _is_error(answer: str) -> bool:
    return '"result":"error"' in answer


@PROMISE.check(
    "new_user_changes_nothing",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy=WHAT_GIVES_MORE,
    needs=[Capability.CHANGE],
)
def new_user_changes_nothing(enrolled: EnrolledAccount) -> Finding:
    """The API refuses every change that a new user asks for."""
    asked: tuple[tuple[str, Parameters], ...] = (
        ("SitesManager.addSite", {"siteName": "mine", "urls": "https://a.example"}),
        (
            "UsersManager.setUserAccess",
            {"userLogin": enrolled.account.login, "access": "admin", "idSites": 1},
        ),
        (
            "UsersManager.addUser",
            {"userLogin": "mate", "password": "a-long-one-1", "email": "m@a.example"},
        ),
        (
            "PrivacyManager.setAnonymizeIpSettings",
            {
                "anonymizeIPEnable": 0,
                "maskLength": 0,
                "ipAddressMaskLength": 0,
                "useAnonymizedIpForVisitEnrichment": 0,
            },
        ),
        (
            "Goals.addGoal",
            {
                "idSite": 1,
                "name": "g",
                "matchAttribute": "url",
                "pattern": "x",
                "patternType": "contains",
            },
        ),
    )
    done = []
    for method, more in asked:
        answer = enrolled.asks(method, more)
        if not _is_error(answer) and "<" not in answer[:1]:
            done.append(f"{method}: {answer[:80]}")
    return nothing("change that was made", done)


@PROMISE.check(
    "new_user_has_view_alone",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy=WHAT_GIVES_MORE,
    needs=[Capability.CHANGE],
)
def new_user_has_view_alone(api: Api, enrolled: EnrolledAccount) -> Finding:
    """A new user has View on the granted site, and no other access."""
    rows = api.call("UsersManager.getSitesAccessFromUser", userLogin=enrolled.account.login)
    seen = sorted(f"{row['access']} on {row['site']}" for row in rows)
    return holds(seen == ["view on 1"], "view on 1", seen)


# -- without a login ------------------------------------------------------------------------------


@PROMISE.check(
    "anonymous_sees_nothing",
    proves="nothing_for_anonymous",
    severity=Severity.CRITICAL,
    remedy="Take View from anonymous on Administration, Users, and make sure that no proxy adds a"
    " token to the requests that it passes on.",
)
def anonymous_sees_nothing(http: Http) -> Finding:
    """Without a login or a token the API gives no data, however a page or a proxy asks for it."""
    answered = []
    for method in (
        SITES,
        "API.getMatomoVersion",
        "VisitsSummary.get",
        "Live.getLastVisitsDetails",
        "Live.getCounters",
        "UsersManager.getUsers",
        *REPORTS,
    ):
        more: Parameters = {**TODAY, "lastMinutes": 30}
        answer = http.web.get({"module": "API", "method": method, "format": "JSON", **more})
        if (
            not _is_error(answer.text)
            and answer.status_code == requests.codes.ok
            # An empty list of sites gives nothing away; an empty list of visits would be data.
            and (method, answer.text.strip()) != (SITES, "[]")
        ):
            answered.append(f"{method}: {answer.text[:80]}")
    return nothing("answer", answered)


@PROMISE.check(
    "anonymous_is_answered_by_no_method",
    proves="nothing_for_anonymous",
    severity=Severity.CRITICAL,
    remedy="Remove or update the plugin whose method answers before it checks access, or restore"
    " Matomo's own code.",
    needs=[Capability.CHANGE],
)
def anonymous_is_answered_by_no_method(http: Http, php: Php) -> Finding:
    """Without a login or a token no API method answers, except those that reveal no data."""
    methods: dict[str, list[str]] = php.facts["methods"]
    asked = [name for name in methods if name not in OPEN_METHODS and not name.endswith(NO_METHOD)]
    answered = []
    for batch in (asked[at : at + AT_ONCE] for at in range(0, len(asked), AT_ONCE)):
        form: Parameters = {
            f"urls[{at}]": urlencode({"method": name, **_filled_in(methods[name])})
            for at, name in enumerate(batch)
        }
        query: Parameters = {"module": "API", "method": "API.getBulkRequest", "format": "JSON"}
        answers = http.web.post(query, form).json()
        answered += [
            f"{name}: {json.dumps(answer)[:80]}"
            for name, answer in zip(batch, answers, strict=True)
            if answer not in NO_ANSWER
            and not (isinstance(answer, dict) and answer.get("result") == "error")
        ]
    return nothing("answer", answered)


def _filled_in(parameters: list[str]) -> dict[str, str | int]:
    """Return values for a method's parameters, so that the method gets as far as checking access."""
    filled = {name: VALUES.get(name, 1) for name in parameters if name != "visits"}
    return {**filled, **(ONE_VISIT if "visits" in parameters else {})}


@PROMISE.check(
    "anonymous_opens_nothing",
    proves="nothing_for_anonymous",
    severity=Severity.CRITICAL,
    remedy="Take View from anonymous on Administration, Users.",
    costly=True,
)
def anonymous_opens_nothing(http: Http) -> Finding:
    """Without a login every page shows the login form."""
    opened = [
        f"{module}.{action}"
        for module, action in (*ADMINISTRATION, ("CoreHome", "index"), ("Live", "getVisitorLog"))
        if "form_login"
        not in (text := http.web.get({"module": module, "action": action, **TODAY}).text)
        and "vue-entry" in text
    ]
    return nothing("page without login", opened)


@PROMISE.check(
    "nobody_signs_up",
    proves=ALWAYS,
    severity=Severity.CRITICAL,
    remedy="Restore Matomo's own plugins/UsersManager, and remove the plugin that lets people sign"
    " up.",
)
def nobody_signs_up(http: Http) -> Finding:
    """Nobody without a login can make an account: Matomo refuses before it reads the form."""
    taken = []
    for method in ("UsersManager.addUser", "UsersManager.inviteUser"):
        # The values are impossible: no account is made even where Matomo would allow one.
        form: Parameters = {"userLogin": "-", "password": "-", "email": "-", "initialIdSite": 0}
        query: Parameters = {"module": "API", "method": method, "format": "JSON"}
        answer = http.web.post(query, form)
        if answer.status_code != requests.codes.unauthorized:
            taken.append(f"{method}: HTTP {answer.status_code} {answer.text[:150]}")
    return nothing("answer other than HTTP 401", taken)


@PROMISE.check(
    "installer_is_closed",
    proves=ALWAYS,
    severity=Severity.CRITICAL,
    remedy="Restore config/config.ini.php, readable for the web server, and remove"
    " installation_in_progress from its [General].",
    failure_mode="C15",
    costly=True,
)
def installer_is_closed(http: Http) -> Finding:
    """The installer is closed: none of its steps shows a form."""
    opened = []
    for action in ("welcome", "databaseSetup", "setupSuperUser", "firstWebsiteSetup"):
        answer = http.web.get({"module": "Installation", "action": action})
        page = Page(answer)
        if page.document.select_one(
            'input[name="password_bis"], input[name="siteName"], input[name="dbname"]'
        ) or ("action=systemCheck" in answer.text and answer.ok):
            opened.append(action)
    return nothing("open step of the installer", opened)


@PROMISE.check(
    "updater_is_closed",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Restore Matomo's own plugins/CoreUpdater, and set enable_auto_update = 0 in [General].",
    failure_mode="U5",
    costly=True,
)
def updater_is_closed(http: Http) -> Finding:
    """Without a login the updater's pages show the login form, and its last step does nothing."""
    opened = [
        action
        for action in ("newVersionAvailable", "oneClickUpdate")
        if "form_login" not in http.web.get({"module": "CoreUpdater", "action": action}).text
    ]
    # It asks for no login, only for a word that the step before it generated.
    last = http.web.get({"module": "CoreUpdater", "action": "oneClickUpdatePartTwo"})
    if last.text.lstrip().startswith("["):
        opened.append(f"oneClickUpdatePartTwo: {last.text[:100]}")
    return nothing("page of the updater", opened)


# -- names, passwords, tokens, sessions -----------------------------------------------------------


@PROMISE.check(
    "guesses_are_limited",
    proves="guesses",
    severity=Severity.HIGH,
    remedy="Set enableBruteForceDetection = 1 and maxAllowedRetries to the policy's guesses or"
    " fewer in [Login] of config.ini.php.",
    needs=[Capability.CHANGE],
    group=Group.ALONE,
)
def guesses_are_limited(accounts: Accounts, http: Http, database: Database) -> Finding:
    """Wrong logins are counted, and an address that reaches the policy's limit gets no login form."""
    name = f"nobody-{secrets.token_hex(4)}"
    with suppress(BrokenPromiseError):  # the login should be refused
        twofactor.log_in(http.web, name, secrets.token_hex(8))
    rows = database.query(
        "SELECT ip_address AS address FROM {prefix}brute_force_log WHERE login = %s", name
    )
    if not rows:
        return holds(False, "a guess that is counted", "none is counted")
    more = "INSERT INTO {prefix}brute_force_log (ip_address, attempted_at, login) VALUES "
    try:
        database.query(
            more + ", ".join(["(%s, UTC_TIMESTAMP(), %s)"] * accounts.guesses),
            *([rows[0]["address"], name] * accounts.guesses),
        )
        page = Page(http.web.get({"module": "Login"}))
    finally:
        database.query("DELETE FROM {prefix}brute_force_log WHERE login = %s", name)
    closed = page.document.select_one('input[name="form_login"]') is None
    return holds(closed, f"no login form after {accounts.guesses} guesses", page.excerpt[:150])


@PROMISE.check(
    "nobody_logs_in_by_address",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Set login_allow_logme = 0 in [General].",
    failure_mode="A11",
)
def nobody_logs_in_by_address(http: Http, _account: Account) -> Finding:
    """Nobody can log in by a name and password in a URL (login_allow_logme)."""
    # No account has this name: a real one would put a secret into an address.
    query: Parameters = {"module": "Login", "action": "logme", "login": "nobody"}
    answers = [http.web.get(asked) for asked in (query, {**query, "password": "0" * 32})]
    without, wrong = (
        f"HTTP {answer.status_code}: {Page(answer).excerpt[:80]}" for answer in answers
    )
    # Where this way is closed, a password makes no difference.
    is_closed = without == wrong and not answers[1].ok
    expected = "the same refusal without a password and with one"
    return holds(is_closed, expected, f"{without}; {wrong}")


@PROMISE.check(
    "well_known_passwords_open_nothing",
    proves=ALWAYS,
    severity=Severity.CRITICAL,
    remedy="Set another password for the named account on Administration, Users.",
    costly=True,
    group=Group.ACCOUNTS,
)
def well_known_passwords_open_nothing(
    database: Database, container: MatomoContainer, account: Account | None
) -> Finding:
    """No account's password is a well-known one or its own login name."""
    rows = database.query(
        "SELECT login, password, email FROM {prefix}user ORDER BY superuser_access DESC"
    )
    asked = [
        {"login": row["login"], "hash": row["password"], "words": [*PASSWORDS, row["login"]]}
        for row in rows
        # A known password need not be guessed: each guess costs a quarter of a second.
        if not is_test_account(row["email"]) and not (account and row["login"] == account.login)
    ]
    opened, tried, begun = list[str](), 0, time.monotonic()
    while tried < len(asked) and time.monotonic() - begun < GUESSING_SECONDS:
        some = json.dumps(asked[tried : tried + ACCOUNTS_AT_ONCE])
        opened += container.run("php", "-r", OPENED_BY, "--", some).split()
        tried += ACCOUNTS_AT_ONCE
    if account and account.password in (*PASSWORDS, account.login):
        opened.append(account.login)
    if not opened and tried < len(asked):
        raise CannotTellError(f"no more than {tried} of {len(asked)} accounts could be tried")
    return nothing("account with a well-known password", opened)


@PROMISE.check(
    "well_known_tokens_open_nothing",
    proves=ALWAYS,
    severity=Severity.CRITICAL,
    remedy="Delete the named token on Administration, Personal, Security of the account that has"
    " it, and make a new one.",
    failure_mode="A3",
)
def well_known_tokens_open_nothing(http: Http, accounts: Accounts) -> Finding:
    """No token from documentation or examples opens the API."""
    opened = []
    for token in TOKENS:
        # For Matomo this token names the anonymous user, who may be let in on purpose.
        if token == ANONYMOUS and not accounts.nothing_for_anonymous:
            continue
        try:
            Api(http.web, token).call("API.getMatomoVersion")
        except ApiError:
            continue
        opened.append(token)
    return nothing("well-known token that opens", opened)


@PROMISE.check(
    "expired_tokens_open_nothing",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Restore Matomo's own plugins/UsersManager/Model.php, or remove the plugin that accepts"
    " tokens in its place.",
    failure_mode="A3",
    needs=[Capability.CHANGE],
)
def expired_tokens_open_nothing(http: Http, database: Database, php: Php) -> Finding:
    """A token that has expired opens nothing."""
    token = secrets.token_hex(16)
    database.query(
        "INSERT INTO {prefix}user_token_auth"
        " (login, description, password, hash_algo, date_created, date_expired)"
        " SELECT login, 'gate', %s, 'sha512', UTC_TIMESTAMP() - INTERVAL 1 YEAR,"
        " UTC_TIMESTAMP() - INTERVAL 1 DAY"
        " FROM {prefix}user WHERE superuser_access = 1 LIMIT 1",
        hash_of_token(php.settings["General"]["salt"], token),
    )
    try:
        Api(http.web, token).call("API.getMatomoVersion")
    except ApiError as refused:
        return holds(True, "a refusal", refused.seen)
    finally:
        database.query("DELETE FROM {prefix}user_token_auth WHERE description = 'gate'")
    return holds(False, "a refusal", "a token that expired a day ago opens")


def hash_of_token(salt: str, token: str) -> str:
    """Return `token` as Matomo stores it (plugins/UsersManager/Model.php, hashTokenAuth)."""
    return hashlib.sha512(f"{token}{salt}".encode()).hexdigest()


@PROMISE.check(
    "new_password_ends_sessions",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Restore Matomo's own core/Session/SessionAuth.php, or remove the plugin that is used"
    " in its place.",
    needs=[Capability.CHANGE],
)
def new_password_ends_sessions(database: Database, unenrolled: UnenrolledAccounts) -> Finding:
    """A change of a user's password ends the sessions that the user began before."""
    admin = unenrolled.of_role["admin"]
    before = Page(admin.web.get())
    # This is what a change writes, without the mail that it sends. Matomo compares seconds
    # (core/Session/SessionAuth.php), and this session may have begun in the current one.
    changed = (
        "UPDATE {prefix}user SET ts_password_modified = UTC_TIMESTAMP() + INTERVAL %s SECOND"
        " WHERE login = %s"
    )
    database.query(changed, 2, admin.person.login)
    try:
        after = admin.web.get()
    finally:  # other checks use this session as well
        database.query(changed, -86400, admin.person.login)
    has_ended = "form_login" not in before.response.text and "form_login" in after.text
    seen = f"{before.excerpt[:80]}, then {Page(after).excerpt[:80]}"
    return holds(has_ended, "the login form", seen)


@PROMISE.check(
    "sessions_end",
    proves="longest_session_seconds",
    severity=Severity.HIGH,
    remedy="Delete the session's row from the table session, and set login_cookie_expire of"
    " [General] to the policy's longest_session_seconds or less.",
    group=Group.ACCOUNTS,
)
def sessions_end(accounts: Accounts, database: Database) -> Finding:
    """No session lasts longer than the policy allows: by default two weeks, Matomo's own limit."""
    rows = database.query(
        "SELECT lifetime FROM {prefix}session WHERE lifetime > %s",
        accounts.longest_session_seconds,
    )
    return nothing("session", [f"of {row['lifetime'] // 86400} days" for row in rows])


# -- which accounts exist -------------------------------------------------------------------------


@PROMISE.check(
    "addresses_are_real",
    proves=ALWAYS,
    severity=Severity.LOW,
    remedy="Give the named account a mail address on Administration, Users.",
)
def addresses_are_real(api: Api) -> Finding:
    """Every account has a mail address that a password reset can reach."""
    users = all_rows(api, "UsersManager.getUsers")
    if not users:
        raise CannotTellError("Matomo lists no account")
    return nothing(
        "account without an address",
        [
            user["login"]
            for user in users
            if user["login"] != "anonymous" and "@" not in str(user.get("email", ""))
        ],
    )


@PROMISE.check(
    "superusers_are_named",
    proves="superusers",
    severity=Severity.HIGH,
    remedy="Take superuser access from the named account on Administration, Users, or add its"
    " login to superusers of [accounts] in policy.toml.",
    group=Group.ACCOUNTS,
)
def superusers_are_named(
    accounts: Accounts, api: Api, permissions: Permissions, account: Account | None
) -> Finding:
    """Every superuser is named in the policy."""
    named = {*promised(accounts.superusers)}
    if permissions.may_change and account:
        # On a throw-away instance this is the account that the harness made for itself.
        named.add(account.login)
    users = all_rows(api, "UsersManager.getUsers")
    superusers = [user for user in users if user.get("superuser_access") in (1, "1", True)]
    if not superusers:
        # The owner of this token is always one: where none is listed, Matomo withholds something.
        raise CannotTellError("Matomo lists no superuser")
    return nothing(
        "superuser whom the policy does not name",
        [
            user["login"]
            for user in superusers
            if user["login"] not in named and not is_test_account(user.get("email"))
        ],
    )
