"""Mutants of accounts: somebody sees or does more than he was given, or makes himself an account."""

from typing import Final

from matomo_harness.gate.mutation.changes import (
    api,
    at_the_load_balancer,
    code,
    file,
    in_web,
    key,
    sql,
    user,
)
from matomo_harness.gate.mutation.mutant import Deployment, Mutant, Place, Stage
from matomo_harness.gate.probes.look import Look
from matomo_harness.gate.promises.accounts.checks import hash_of_token
from matomo_harness.gate.promises.configuration.mutants import no_scheme
from matomo_harness.matomo.install import with_installation_in_progress

EXAMPLE_TOKEN: Final = "33dc3f2536d3025974cccb4b4d2d98f4"  # noqa: S105  of Matomo's documentation
USERS: Final = "plugins/UsersManager/API.php"
ASKS: Final = (
    "Piwik::checkUserHasSomeAdminAccess();\n        UsersManager::dieIfUsersAdminIsDisabled();"
)

EXPORT: Final = "Piwik::checkUserHasSomeAdminAccess();\n\n        $this->checkDataSubjectVisits($visits);\n\n        return $this->gdpr->exportDataSubjects($visits);"
OPEN_EXPORT: Final = (
    "return \\Piwik\\Access::doAsSuperUser(fn () => $this->gdpr->exportDataSubjects($visits));"
)


def _known_token(deployment: Deployment) -> None:
    deployment.database.query(
        "INSERT INTO {prefix}user_token_auth (login, description, password, hash_algo, date_created)"
        " VALUES ('admin', 'example', %s, 'sha512', NOW())",
        hash_of_token(Look(deployment.target), EXAMPLE_TOKEN),
    )


def _report_for_everybody(deployment: Deployment) -> None:
    at_the_load_balancer(
        f'http-request set-query "%[query]&token_auth={deployment.instance.token}"'
        " if { url_param(method) -m str Actions.getPageUrls } !{ url_param(token_auth) -m found }"
    )(deployment)


MUTANTS: Final = (
    Mutant(
        "accounts.anonymous_views",
        "a row lets everybody see site 1",
        Place.DATABASE,
        ("accounts.anonymous_sees_nothing", "accounts.anonymous_opens_nothing"),
        sql("INSERT INTO {prefix}access (login, idsite, access) VALUES ('anonymous', 1, 'view')"),
    ),
    Mutant(
        "accounts.anonymous_clicked",
        "somebody gave anonymous View on the users' page",
        Place.CLICK,
        ("accounts.anonymous_sees_nothing", "accounts.anonymous_opens_nothing"),
        api("UsersManager.setUserAccess", userLogin="anonymous", access="view", idSites=1),
    ),
    Mutant(
        "accounts.new_ones_are_admins",
        "a new user is given more than View",
        Place.DATABASE,
        (
            "accounts.new_user_has_view_alone",
            "accounts.new_user_changes_nothing",
            "accounts.new_user_finds_no_administration",
        ),
        sql(
            "CREATE TRIGGER generous BEFORE INSERT ON {prefix}access FOR EACH ROW SET NEW.access = 'admin'"
        ),
    ),
    Mutant(
        "accounts.new_ones_see_nothing",
        "a new user is given another site",
        Place.DATABASE,
        ("accounts.new_user_may_view", "accounts.new_user_has_view_alone"),
        sql("CREATE TRIGGER mean BEFORE INSERT ON {prefix}access FOR EACH ROW SET NEW.idsite = 99"),
    ),
    Mutant(
        "accounts.installer_open",
        "the installation counts as not finished",
        Place.FILE,
        ("accounts.installer_is_closed",),
        file(with_installation_in_progress),
        "C15",
    ),
    Mutant(
        "accounts.file_unreadable",
        "an empty volume lies over config/: Matomo wants to be installed",
        Place.VOLUME,
        ("accounts.installer_is_closed", "configuration.login_is_near"),
        in_web("rm config/config.ini.php config/common.config.ini.php"),
        "C15",
        Stage.PAIR,
    ),
    Mutant(
        "accounts.without_address",
        "an account has no address",
        Place.DATABASE,
        ("accounts.addresses_are_real",),
        sql(
            "INSERT INTO {prefix}user (login, password, email, date_registered) VALUES ('x', 'x', '', NOW())"
        ),
    ),
    Mutant(
        "accounts.by_address",
        "name and password in an address open Matomo",
        Place.FILE,
        ("accounts.nobody_logs_in_by_address", "drift.file_is_the_image_s"),
        key("General", "login_allow_logme", 1),
        "A11",
    ),
    Mutant(
        "accounts.known_token",
        "the superuser has the documentation's token",
        Place.DATABASE,
        ("accounts.well_known_tokens_open_nothing",),
        _known_token,
        "A3",
    ),
    Mutant(
        "accounts.known_password",
        "a reader's password is the one of examples",
        Place.CLICK,
        ("accounts.well_known_passwords_open_nothing",),
        user("reader", "changeme"),
    ),
    Mutant(
        "accounts.sign_up",
        "everybody may add users",
        Place.IMAGE,
        ("accounts.nobody_signs_up",),
        code(USERS, ASKS, ""),
        stage=Stage.PAIR,
    ),
    Mutant(
        "accounts.every_site_to_everybody",
        "View on one site is View on all",
        Place.IMAGE,
        ("accounts.new_user_sees_no_other_site",),
        code(
            "core/Access.php",
            "public function checkUserHasViewAccess($idSites)\n    {",
            "public function checkUserHasViewAccess($idSites)\n    { return;",
        ),
        stage=Stage.PAIR,
    ),
    Mutant(
        "accounts.updater_for_all",
        "the updater asks nobody who he is",
        Place.IMAGE,
        ("accounts.updater_is_closed",),
        code("plugins/CoreUpdater/Controller.php", "Piwik::checkUserHasSuperUserAccess();", ""),
        "U5",
        Stage.PAIR,
    ),
    Mutant(
        "accounts.reset_by_http",
        "the proxy tells no scheme: the link to a new password is by http",
        Place.PROXY,
        ("accounts.password_reset_comes_by_mail",),
        no_scheme,
        "X4",
        Stage.PRODUCTION,
        {"MATOMO_GENERAL_FORCE_SSL": "0"},
    ),
    Mutant(
        "accounts.public_counter",
        "visitors of the last minutes are told to everybody",
        Place.IMAGE,
        ("accounts.anonymous_sees_nothing",),
        code(
            "plugins/Live/API.php",
            "Piwik::checkUserHasViewAccess($idSite);\n        $model = new Model();",
            "$model = new Model();",
        ),
        "A11",
        Stage.PAIR,
    ),
    Mutant(
        "accounts.export_for_everybody",
        "who asks what is known of him may export visits without a login, and every visit",
        Place.IMAGE,
        ("accounts.anonymous_is_answered_by_no_method",),
        code("plugins/PrivacyManager/API.php", EXPORT, OPEN_EXPORT),
        "P11",
        Stage.PAIR,
    ),
    Mutant(
        "accounts.guesses_without_end",
        "nothing limits guesses of passwords and codes, as the limit once locked an office out",
        Place.FILE,
        ("accounts.guesses_are_limited",),
        key("Login", "enableBruteForceDetection", 0),
        "A4",
    ),
    Mutant(
        "accounts.expired_tokens_open",
        "an expired token opens everything for another week, to spare somebody's scripts",
        Place.IMAGE,
        ("accounts.expired_tokens_open_nothing",),
        code(
            "plugins/UsersManager/Model.php",
            "'bind' => array(Date::now()->getDatetime())",
            "'bind' => array(Date::now()->subDay(7)->getDatetime())",
        ),
        "A3",
        Stage.PAIR,
    ),
    Mutant(
        "accounts.sessions_outlive_the_password",
        "a stolen session lives on for a day after the password was changed",
        Place.IMAGE,
        ("accounts.new_password_ends_sessions",),
        code(
            "core/Session/SessionAuth.php",
            "return $sessionStartTime < Date::factory($tsPasswordModified)->getTimestampUTC();",
            "return $sessionStartTime"
            " < Date::factory($tsPasswordModified)->getTimestampUTC() - 86400;",
        ),
        stage=Stage.PAIR,
    ),
    Mutant(
        "accounts.session_left",
        "a load test left a session that lasts ten years",
        Place.DATABASE,
        ("accounts.sessions_end",),
        sql(
            "INSERT INTO {prefix}session (id, modified, lifetime, data)"
            " VALUES ('left', UNIX_TIMESTAMP(), 315360000, '')"
        ),
        "A1",
    ),
    Mutant(
        "accounts.reset_link_by_a_forged_header",
        "a host is believed by a header that nobody sets: a reset link leads wherever its asker says",
        Place.FILE,
        ("accounts.password_reset_comes_by_mail", "configuration.no_forged_host_is_believed"),
        key("General", "proxy_host_headers[]", "HTTP_X_FORWARDED_HOST"),
        "X4",
        Stage.PRODUCTION,
    ),
    Mutant(
        "accounts.report_for_everybody",
        "the load balancer gives one report's question a token, for the institution's own page",
        Place.PROXY,
        ("accounts.anonymous_sees_nothing",),
        _report_for_everybody,
        stage=Stage.PRODUCTION,
    ),
)
