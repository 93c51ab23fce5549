"""Mutants of accounts: somebody sees or may do more than was granted, or signs up."""

from typing import Final

from matomo_harness.gate.mutants import Deployment, Location, Mutants, Topology
from matomo_harness.gate.mutants.changes import (
    api,
    at_the_load_balancer,
    code,
    file,
    in_web,
    key,
    sql,
    user,
)
from matomo_harness.gate.probes.php import Php
from matomo_harness.gate.promises.accounts.checks import Accounts, hash_of_token
from matomo_harness.matomo.install import with_installation_in_progress

MUTANTS: Final = Mutants("accounts")

EXAMPLE_TOKEN: Final = "33dc3f2536d3025974cccb4b4d2d98f4"  # noqa: S105  of Matomo's documentation
USERS: Final = "plugins/UsersManager/API.php"
ASKS: Final = (
    "Piwik::checkUserHasSomeAdminAccess();\n        UsersManager::dieIfUsersAdminIsDisabled();"
)
EXPORT: Final = "Piwik::checkUserHasSomeAdminAccess();\n\n        $this->checkDataSubjectVisits($visits);\n\n        return $this->gdpr->exportDataSubjects($visits);"
OPEN_EXPORT: Final = (
    "return \\Piwik\\Access::doAsSuperUser(fn () => $this->gdpr->exportDataSubjects($visits));"
)

MUTANTS.add(
    "anonymous_views",
    "a row lets everybody see site 1",
    Location.DATABASE,
    ("anonymous_sees_nothing", "anonymous_opens_nothing"),
    sql("INSERT INTO {prefix}access (login, idsite, access) VALUES ('anonymous', 1, 'view')"),
)
MUTANTS.add(
    "anonymous_clicked",
    "somebody gave anonymous View on the page Users",
    Location.CLICK,
    ("anonymous_sees_nothing", "anonymous_opens_nothing"),
    api("UsersManager.setUserAccess", userLogin="anonymous", access="view", idSites=1),
)
MUTANTS.add(
    "new_ones_are_admins",
    "a new user is given more than View",
    Location.DATABASE,
    ("new_user_has_view_alone", "new_user_changes_nothing", "new_user_finds_no_administration"),
    sql(
        "CREATE TRIGGER generous BEFORE INSERT ON {prefix}access FOR EACH ROW SET NEW.access = 'admin'"
    ),
)
MUTANTS.add(
    "new_ones_see_nothing",
    "a new user is given a site other than the granted one",
    Location.DATABASE,
    ("new_user_may_view", "new_user_has_view_alone"),
    sql("CREATE TRIGGER mean BEFORE INSERT ON {prefix}access FOR EACH ROW SET NEW.idsite = 99"),
)
MUTANTS.add(
    "installer_open",
    "the installation counts as not finished",
    Location.FILE,
    "installer_is_closed",
    file(with_installation_in_progress),
    "C15",
)
MUTANTS.add(
    "file_unreadable",
    "an empty volume hides config/: Matomo wants to be installed",
    Location.VOLUME,
    ("installer_is_closed", "operation.login_page_is_reached"),
    in_web("rm config/config.ini.php config/common.config.ini.php"),
    "C15",
    Topology.DEDICATED,
)
MUTANTS.add(
    "without_address",
    "an account has no mail address",
    Location.DATABASE,
    "addresses_are_real",
    sql(
        "INSERT INTO {prefix}user (login, password, email, date_registered) VALUES ('x', 'x', '', NOW())"
    ),
)
MUTANTS.add(
    "by_address",
    "a name and a password in a URL log in to Matomo",
    Location.FILE,
    ("nobody_logs_in_by_address", "settings.file_is_of_the_image"),
    key("General", "login_allow_logme", 1),
    "A11",
)


@MUTANTS.mutant("known_token", Location.DATABASE, "well_known_tokens_open_nothing", "A3")
def known_token(deployment: Deployment) -> None:
    """The superuser's token is the one of the documentation."""
    settings = Php(deployment.instance.shell, deployment.target.http).settings
    deployment.instance.database.query(
        "INSERT INTO {prefix}user_token_auth (login, description, password, hash_algo, date_created)"
        " VALUES ('admin', 'example', %s, 'sha512', NOW())",
        hash_of_token(settings["General"]["salt"], EXAMPLE_TOKEN),
    )


MUTANTS.add(
    "known_password",
    "a reader's password is a well-known one",
    Location.CLICK,
    "well_known_passwords_open_nothing",
    user("reader", "changeme"),
)


@MUTANTS.mutant("superuser_nobody_named", Location.CLICK, "superusers_are_named")
def superuser_nobody_named(deployment: Deployment) -> None:
    """Somebody made a colleague a superuser, whom the policy does not name."""
    instance, policy = deployment.instance, deployment.policy
    named = policy.section(Accounts).model_copy(update={"superusers": ()})
    deployment.policy = policy.with_section(named)
    user("chief")(deployment)
    instance.api.call(
        "UsersManager.setSuperUserAccess",
        userLogin="chief",
        hasSuperUserAccess=1,
        passwordConfirmation=instance.account.password,
    )


MUTANTS.add(
    "sign_up",
    "everybody can add users",
    Location.IMAGE,
    "nobody_signs_up",
    code(USERS, ASKS, ""),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "every_site_to_everybody",
    "a user with View on one site has View on all",
    Location.IMAGE,
    "new_user_sees_no_other_site",
    code(
        "core/Access.php",
        "public function checkUserHasViewAccess($idSites)\n    {",
        "public function checkUserHasViewAccess($idSites)\n    { return;",
    ),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "updater_for_all",
    "the updater asks nobody for a login",
    Location.IMAGE,
    "updater_is_closed",
    code("plugins/CoreUpdater/Controller.php", "Piwik::checkUserHasSuperUserAccess();", ""),
    "U5",
    Topology.DEDICATED,
)
MUTANTS.add(
    "public_counter",
    "the API tells everybody about the visitors of the last minutes",
    Location.IMAGE,
    "anonymous_sees_nothing",
    code(
        "plugins/Live/API.php",
        "Piwik::checkUserHasViewAccess($idSite);\n        $model = new Model();",
        "$model = new Model();",
    ),
    "A11",
    Topology.DEDICATED,
)
MUTANTS.add(
    "export_for_everybody",
    "the export for data subjects gives every visit to anybody, without a login",
    Location.IMAGE,
    "anonymous_is_answered_by_no_method",
    code("plugins/PrivacyManager/API.php", EXPORT, OPEN_EXPORT),
    "P11",
    Topology.DEDICATED,
)
MUTANTS.add(
    "guesses_without_end",
    "nothing limits guesses of passwords and codes, because the limit once locked an office out",
    Location.FILE,
    "guesses_are_limited",
    key("Login", "enableBruteForceDetection", 0),
    "A4",
)
MUTANTS.add(
    "expired_tokens_open",
    "an expired token opens everything for another week, to spare somebody's scripts",
    Location.IMAGE,
    "expired_tokens_open_nothing",
    code(
        "plugins/UsersManager/Model.php",
        "'bind' => array(Date::now()->getDatetime())",
        "'bind' => array(Date::now()->subDay(7)->getDatetime())",
    ),
    "A3",
    Topology.DEDICATED,
)
MUTANTS.add(
    "sessions_outlive_the_password",
    "a stolen session lives on for a day after the password was changed",
    Location.IMAGE,
    "new_password_ends_sessions",
    code(
        "core/Session/SessionAuth.php",
        "return $sessionStartTime < Date::factory($tsPasswordModified)->getTimestampUTC();",
        "return $sessionStartTime < Date::factory($tsPasswordModified)->getTimestampUTC() - 86400;",
    ),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "session_left",
    "a load test left a session that lasts ten years",
    Location.DATABASE,
    "sessions_end",
    sql(
        "INSERT INTO {prefix}session (id, modified, lifetime, data)"
        " VALUES ('left', UNIX_TIMESTAMP(), 315360000, '')"
    ),
    "A1",
)


@MUTANTS.mutant(
    "report_for_everybody",
    Location.PROXY,
    "anonymous_sees_nothing",
    topology=Topology.FULL_STACK,
)
def report_for_everybody(deployment: Deployment) -> None:
    """The load balancer adds a token to requests for one report, for the institution's own page."""
    at_the_load_balancer(
        f'http-request set-query "%[query]&token_auth={deployment.instance.token}"'
        " if { url_param(method) -m str Actions.getPageUrls } !{ url_param(token_auth) -m found }"
    )(deployment)
