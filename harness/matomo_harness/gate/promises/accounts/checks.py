"""Accounts: a new one sees and does nothing more, and nobody makes one for himself."""

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import urlencode

import requests

from matomo_harness.errors import BrokenPromiseError
from matomo_harness.gate.core.check import (
    Area,
    CannotTellError,
    Capability,
    Finding,
    Group,
    Step,
    holds,
    nothing,
)
from matomo_harness.gate.probes.look import Look
from matomo_harness.gate.probes.people import ask_by_session, is_test_account
from matomo_harness.gate.promises.configuration.checks import ELSEWHERE, LONGEST_SESSION
from matomo_harness.matomo import twofactor
from matomo_harness.matomo.api import Api, ApiError
from matomo_harness.matomo.twofactor import SETUP
from matomo_harness.matomo.web import Page, Parameters

AREA: Final = Area("accounts")

ADMINISTRATION: Final = (
    ("CoreAdminHome", "generalSettings"),
    ("UsersManager", "index"),
    ("SitesManager", "index"),
    ("CorePluginsAdmin", "plugins"),
    ("PrivacyManager", "privacySettings"),
    ("Installation", "systemCheckPage"),
)
SEEN: Final = ("VisitsSummary.get", "Live.getLastVisitsDetails", "SitesManager.getSiteFromId")
"""What everybody may ask of a site that he may view."""
REPORTS: Final = (
    *("API.get", "Actions.get", "Actions.getPageUrls", "Actions.getPageTitles", "Events.getName"),
    *("DevicesDetection.getType", "Goals.get", "Referrers.get", "Referrers.getAll"),
    *("UserCountry.getCountry", "VisitsSummary.getVisits", "VisitsSummary.getUniqueVisitors"),
)
"""What pages that show an institution's figures ask for first, by GET."""
TOKENS: Final = (
    *(
        "anonymous",
        "33dc3f2536d3025974cccb4b4d2d98f4",
        "0" * 32,
        "d41d8cd98f00b204e9800998ecf8427e",
    ),
    *("098f6bcd4621d373cade4e832627b4f6", "changeme"),
)
"""Of documentation, of examples, of empty and trivial passwords' hashes."""
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
"""Matomo answers them to everybody: names of languages, countries, currencies, and other words."""
NO_METHOD: Final = "usesAutoSanitizeInputParams"
"""Every plugin's, of how its parameters are read (core/Plugin/API.php)."""
NO_ANSWER: Final[tuple[object, ...]] = ([], {"value": False})
AT_ONCE: Final = 10
"""Requests in one bulk request: more Matomo does not take from just anybody (API::getBulkRequestLimit)."""
VALUES: Final[Mapping[str, str]] = {"period": "day", "date": "today", "userLogin": "admin"}
ONE_VISIT: Final = {"visits[0][idsite]": 1, "visits[0][idvisit]": 1}
GUESSES: Final = 20
"""More is what Matomo takes within an hour from one address (plugins/Login/SystemSettings.php)."""
PASSWORDS: Final = ("changeme", "password", "matomo", "piwik", "admin", "secret", "123456", "test")
OPENED_BY: Final = """
foreach (json_decode($argv[1], true) as $it) {
    foreach ($it["words"] as $word) {
        if (password_verify(md5($word), $it["hash"])) { echo $it["login"], " "; break; }
    }
}
"""
"""Matomo hashes a password's MD5 (UsersManager::getPasswordHash, core/Auth/Password.php)."""


@AREA.check(Capability.CHANGE, steps=(Step.ENROLLED_ACCOUNT,))
def new_user_may_view(look: Look) -> Finding:
    """A new user sees the site that he was given."""
    page = look.people.dashboard
    kept = page.ok and "form_login" not in page.text and "TwoFactorAuth.Setup" not in page.text
    return holds(kept, "the dashboard", f"HTTP {page.status_code}: {Page(page).gist[:150]}")


@AREA.check(Capability.CHANGE, steps=(Step.ENROLLED_ACCOUNT,))
def new_user_finds_no_administration(look: Look) -> Finding:
    """No page of the administration opens to a new user."""
    _, web = look.people.enrolled
    pages = {
        f"{module}.{action}": Page(web.get({"module": module, "action": action}))
        for module, action in ADMINISTRATION
    }
    opened = [
        name
        for name, page in pages.items()
        if page.response.status_code == requests.codes.ok
        and page.component is not None
        and not _refused(page)
    ]
    return nothing("page of the administration", opened)


def _refused(page: Page) -> bool:
    return bool(
        re.search(
            r"can't access|Super User|does not have|privilege|an error occurred|access",
            page.gist,
            re.I,
        )
    )


@AREA.check(Capability.CHANGE, steps=(Step.SITE, Step.ENROLLED_ACCOUNT))
def new_user_sees_no_other_site(look: Look) -> Finding:
    """Reports and visits of a site that a new user was not given are refused him, by the API too."""
    day: Parameters = {"period": "day", "date": "today"}
    told, refused = [], []
    for method in SEEN:
        own, other = (
            _asked_by_new_user(look, method, {**day, "idSite": site})
            for site in (1, look.day.sites[0])
        )
        if _is_error(own):
            refused.append(f"{method} of his own site: {own[:80]}")
        if not _is_error(other):
            told.append(f"{method} of another: {other[:80]}")
    return nothing("answer of another site, refusal of his own", told + refused)


def _asked_by_new_user(look: Look, method: str, more: Parameters) -> str:
    _, web = look.people.enrolled
    return ask_by_session(web, look.people.dashboard.text, method, more)


def _is_error(answer: str) -> bool:
    return '"result":"error"' in answer


@AREA.check(Capability.CHANGE, steps=(Step.ENROLLED_ACCOUNT,))
def new_user_changes_nothing(look: Look) -> Finding:
    """Every change that a new user asks of the API is refused."""
    account, _ = look.people.enrolled
    asked: tuple[tuple[str, Parameters], ...] = (
        ("SitesManager.addSite", {"siteName": "mine", "urls": "https://a.example"}),
        (
            "UsersManager.setUserAccess",
            {"userLogin": account.login, "access": "admin", "idSites": 1},
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
        answer = _asked_by_new_user(look, method, more)
        if not _is_error(answer) and "<" not in answer[:1]:
            done.append(f"{method}: {answer[:80]}")
    return nothing("change that was made", done)


@AREA.check(Capability.CHANGE, steps=(Step.ENROLLED_ACCOUNT,))
def new_user_has_view_alone(look: Look) -> Finding:
    """A new user's access is View on his site, and no other."""
    account, _ = look.people.enrolled
    access = look.api.call("UsersManager.getSitesAccessFromUser", userLogin=account.login)
    seen = sorted(f"{it['access']} on {it['site']}" for it in access)
    return holds(seen == ["view on 1"], "view on 1", seen)


@AREA.check(Capability.SERVICES, costly=True, group=Group.ACCOUNTS)
def password_reset_comes_by_mail(look: Look) -> Finding:
    """Who lost his password gets a mail whose link leads back here, and the new one opens."""
    person, web = look.people.new("view"), look.web
    web.session.headers["Host"] = "localhost"
    web.session.headers["X-Forwarded-Host"] = ELSEWHERE
    page = Page(web.get({"module": "Login"}))
    new = person.password[::-1]
    form: Parameters = {
        **{"form_login": person.login, "form_password": new, "form_password_bis": new},
        **{"form_nonce": page.form_value("form_nonce")},
        **{"module": "Login", "action": "resetPassword"},
    }
    web.post({"module": "Login", "action": "resetPassword"}, form)
    mail = look.stands.mail.wait_for(person.email, "", seconds=15)
    links = [it for it in mail.links if "confirmResetPassword" in it]
    if not links:
        return holds(False, "a link to a new password", mail.subject)
    del web.session.headers["X-Forwarded-Host"]
    opened = web.ask(links[0].split("/", 3)[3])
    confirm = Page(opened)
    more: Parameters = {
        "nonce": confirm.form_value("nonce"),
        "mtmpasswordconfirm": new,
    }
    query = dict(part.split("=", 1) for part in links[0].partition("?")[2].split("&"))
    web.post(query, more)
    try:
        twofactor.log_in(look.web, person.login, new)
    except Exception as error:  # noqa: BLE001  whatever it is, the password does not open
        return holds(False, "the new password to open", error)
    where = links[0].split("?")[0]
    return holds(where.startswith("https://localhost/"), "a link by https, and here", where)


@AREA.check()
def anonymous_sees_nothing(look: Look) -> Finding:
    """Without login and token the API tells nothing, by whatever way a page or a proxy asks it."""
    told = []
    sites = "SitesManager.getSitesWithAtLeastViewAccess"
    for method in (
        sites,
        "API.getMatomoVersion",
        "VisitsSummary.get",
        "Live.getLastVisitsDetails",
        "Live.getCounters",
        "UsersManager.getUsers",
        *REPORTS,
    ):
        more: Parameters = {"idSite": 1, "period": "day", "date": "today", "lastMinutes": 30}
        answer = look.web.get({"module": "API", "method": method, "format": "JSON", **more})
        if (
            not _is_error(answer.text)
            and answer.status_code == requests.codes.ok
            # No site is an answer; no visit would be one, on a day that had none.
            and (method, answer.text.strip()) != (sites, "[]")
        ):
            told.append(f"{method}: {answer.text[:80]}")
    return nothing("answer", told)


@AREA.check(Capability.CONTAINER, Capability.CHANGE)
def anonymous_is_answered_by_no_method(look: Look) -> Finding:
    """Without login and token no method of the API answers, but those that tell nothing of here."""
    methods: dict[str, list[str]] = look.facts["methods"]
    asked = [it for it in methods if it not in OPEN_METHODS and not it.endswith(NO_METHOD)]
    told = []
    for some in (asked[at : at + AT_ONCE] for at in range(0, len(asked), AT_ONCE)):
        form: Parameters = {
            f"urls[{at}]": urlencode({"method": name, **_filled_in(methods[name])})
            for at, name in enumerate(some)
        }
        query: Parameters = {"module": "API", "method": "API.getBulkRequest", "format": "JSON"}
        answers = look.web.post(query, form).json()
        told += [
            f"{name}: {json.dumps(it)[:80]}"
            for name, it in zip(some, answers, strict=True)
            if it not in NO_ANSWER and not (isinstance(it, dict) and it.get("result") == "error")
        ]
    return nothing("answer", told)


def _filled_in(parameters: list[str]) -> dict[str, str | int]:
    """Values for a method's parameters, so that it comes to asking who asks."""
    filled = {it: VALUES.get(it, 1) for it in parameters if it != "visits"}
    return {**filled, **(ONE_VISIT if "visits" in parameters else {})}


@AREA.check(Capability.CHANGE, Capability.DATABASE, group=Group.ALONE)
def guesses_are_limited(look: Look) -> Finding:
    """Wrong logins are counted, and after twenty from one address none is looked at."""
    name = f"nobody-{secrets.token_hex(4)}"
    with suppress(BrokenPromiseError):  # as it should be
        twofactor.log_in(look.web, name, secrets.token_hex(8))
    rows = look.database.query(
        "SELECT ip_address AS address FROM {prefix}brute_force_log WHERE login = %s", name
    )
    if not rows:
        return holds(False, "a guess that is counted", "none is")
    more = "INSERT INTO {prefix}brute_force_log (ip_address, attempted_at, login) VALUES "
    try:
        look.database.query(
            more + ", ".join(["(%s, NOW(), %s)"] * GUESSES),
            *([rows[0]["address"], name] * GUESSES),
        )
        page = Page(look.web.get({"module": "Login"}))
    finally:
        look.database.query("DELETE FROM {prefix}brute_force_log WHERE login = %s", name)
    closed = page.document.select_one('input[name="form_login"]') is None
    return holds(closed, "no login form after twenty guesses", page.gist[:150])


@AREA.check(Capability.CHANGE, Capability.DATABASE, Capability.CONTAINER)
def expired_tokens_open_nothing(look: Look) -> Finding:
    """A token opens nothing from the day on that it was given as its last."""
    token = secrets.token_hex(16)
    look.database.query(
        "INSERT INTO {prefix}user_token_auth"
        " (login, description, password, hash_algo, date_created, date_expired)"
        " SELECT login, 'gate', %s, 'sha512', NOW() - INTERVAL 1 YEAR, NOW() - INTERVAL 1 DAY"
        " FROM {prefix}user WHERE superuser_access = 1 LIMIT 1",
        hash_of_token(look, token),
    )
    try:
        Api(look.web, token).call("API.getMatomoVersion")
    except ApiError as refused:
        return holds(True, "a refusal", refused.seen)
    finally:
        look.database.query("DELETE FROM {prefix}user_token_auth WHERE description = 'gate'")
    return holds(False, "a refusal", "a token that expired a day ago opens")


def hash_of_token(look: Look, token: str) -> str:
    """Return how Matomo keeps `token` (plugins/UsersManager/Model.php, hashTokenAuth)."""
    return hashlib.sha512(f"{token}{look.settings['General']['salt']}".encode()).hexdigest()


@AREA.check(Capability.CHANGE, Capability.DATABASE, steps=(Step.ACCOUNTS,))
def new_password_ends_sessions(look: Look) -> Finding:
    """A session that began before its user's password was changed is over."""
    person, web, _ = look.people.without_factor["admin"]
    before = Page(web.get())
    # What a change writes, but for the mail that it sends. Matomo compares seconds
    # (core/Session/SessionAuth.php), and this session may have begun in this very one.
    changed = (
        "UPDATE {prefix}user SET ts_password_modified = NOW() + INTERVAL %s SECOND WHERE login = %s"
    )
    look.database.query(changed, 2, person.login)
    try:
        after = web.get()
    finally:  # the session is other checks' as well
        look.database.query(changed, -86400, person.login)
    kept = before.component == SETUP and "form_login" in after.text
    return holds(kept, "the login form", f"{before.component}, then {Page(after).gist[:80]}")


@AREA.check(Capability.DATABASE, group=Group.ACCOUNTS)
def sessions_end(look: Look) -> Finding:
    """No session lasts longer than two weeks, Matomo's own limit."""
    rows = look.database.query(
        "SELECT lifetime FROM {prefix}session WHERE lifetime > %s", LONGEST_SESSION
    )
    return nothing("session", [f"of {it['lifetime'] // 86400} days" for it in rows])


@AREA.check(costly=True)
def anonymous_opens_nothing(look: Look) -> Finding:
    """Without login every page is the login form."""
    opened = [
        f"{module}.{action}"
        for module, action in (*ADMINISTRATION, ("CoreHome", "index"), ("Live", "getVisitorLog"))
        if "form_login"
        not in (
            text := look.web.get(
                {"module": module, "action": action, "idSite": 1, "period": "day", "date": "today"}
            ).text
        )
        and "vue-entry" in text
    ]
    return nothing("page without login", opened)


@AREA.check()
def nobody_signs_up(look: Look) -> Finding:
    """Nobody without a login makes an account: he is refused before what he fills in is looked at."""
    taken = []
    for method in ("UsersManager.addUser", "UsersManager.inviteUser"):
        # Filled in with what cannot be: where the door is open, nothing is made all the same.
        form: Parameters = {"userLogin": "-", "password": "-", "email": "-", "initialIdSite": 0}
        query: Parameters = {"module": "API", "method": method, "format": "JSON"}
        answer = look.web.post(query, form)
        if answer.status_code != requests.codes.unauthorized:
            taken.append(f"{method}: HTTP {answer.status_code} {answer.text[:150]}")
    return nothing("answer but HTTP 401", taken)


@AREA.check(costly=True)
def installer_is_closed(look: Look) -> Finding:
    """The installer is closed: none of its steps shows a form."""
    opened = []
    for action in ("welcome", "databaseSetup", "setupSuperUser", "firstWebsiteSetup"):
        answer = look.web.get({"module": "Installation", "action": action})
        page = Page(answer)
        if page.document.select_one(
            'input[name="password_bis"], input[name="siteName"], input[name="dbname"]'
        ) or ("action=systemCheck" in answer.text and answer.ok):
            opened.append(action)
    return nothing("open step of the installer", opened)


@AREA.check(costly=True)
def updater_is_closed(look: Look) -> Finding:
    """The updater's pages lead somebody without login to the login form, and its last step does nothing."""
    opened = [
        action
        for action in ("newVersionAvailable", "oneClickUpdate")
        if "form_login" not in look.web.get({"module": "CoreUpdater", "action": action}).text
    ]
    # It asks for no login, only for a word that the step before it made up.
    last = look.web.get({"module": "CoreUpdater", "action": "oneClickUpdatePartTwo"})
    if last.text.lstrip().startswith("["):
        opened.append(f"oneClickUpdatePartTwo: {last.text[:100]}")
    return nothing("page of the updater", opened)


@AREA.check(Capability.LOGIN)
def nobody_logs_in_by_address(look: Look) -> Finding:
    """Name and password in an address are not even looked at (login_allow_logme)."""
    # A name that is nobody's: a right one would put a secret into an address.
    query: Parameters = {"module": "Login", "action": "logme", "login": "nobody"}
    answers = [look.web.get(it) for it in (query, {**query, "password": "0" * 32})]
    without, wrong = (f"HTTP {it.status_code}: {Page(it).gist[:80]}" for it in answers)
    # Where the way is closed, it makes no difference whether there is a password.
    kept = without == wrong and not answers[1].ok
    return holds(kept, "the same refusal without a password and with one", f"{without}; {wrong}")


@AREA.check()
def well_known_tokens_open_nothing(look: Look) -> Finding:
    """No token of documentation and examples opens the API."""
    opened = []
    for token in TOKENS:
        try:
            Api(look.web, token).call("API.getMatomoVersion")
        except ApiError:
            continue
        opened.append(token)
    return nothing("well-known token that opens", opened)


@AREA.check(Capability.DATABASE, Capability.CONTAINER, costly=True, group=Group.ACCOUNTS)
def well_known_passwords_open_nothing(look: Look) -> Finding:
    """No account has a password of examples, or its own name as one."""
    rows = look.database.query("SELECT login, password, email FROM {prefix}user")
    known = look.target.account
    asked = [
        {"login": it["login"], "hash": it["password"], "words": [*PASSWORDS, it["login"]]}
        for it in rows
        # A password that is known need not be guessed: each guess costs a quarter of a second.
        if not is_test_account(it["email"]) and not (known and it["login"] == known.login)
    ]
    opened = look.shell.run("php", "-r", OPENED_BY, "--", json.dumps(asked)).split()
    if known and known.password in (*PASSWORDS, known.login):
        opened.append(known.login)
    return nothing("account with a well-known password", opened)


@AREA.check(Capability.API)
def addresses_are_real(look: Look) -> Finding:
    """Every account has an address that a password reset could reach."""
    users = look.api.call("UsersManager.getUsers")
    if not users:
        raise CannotTellError("no account is told")
    return nothing(
        "account without an address",
        [
            it["login"]
            for it in users
            if it["login"] != "anonymous" and "@" not in str(it.get("email", ""))
        ],
    )
