"""Each check has been seen red: on an instance that breaks its promise, and by name."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pytest

from harness import policy
from harness.gate import run, target
from harness.gate.check import Status
from harness.gate.checks import ALL
from harness.gate.look import Look
from harness.gate.target import Target
from harness.matomo import config
from harness.settings import Settings
from harness.stack import images
from harness.stack.images import Image
from harness.stack.instance import Instance
from harness.stack.pair import Pair
from harness.stack.production import Production
from harness.stack.shell import OWN_CONFIG

CHECKS: Final = {it.id: it for it in ALL}
PROMISED: Final = policy.read()
EXPECTED_ERRORS: Final = pytest.mark.matomo_log(".", reason="this deployment is broken on purpose")


@pytest.fixture(scope="session")
def matomo_image(any_image: Image) -> Image:
    """One version: whether a check can be red is no matter of versions."""
    return any_image


@pytest.fixture(scope="session")
def matomo_mariadb_image() -> Image:
    """The database's image, asked for without a version."""
    return images.mariadb_base(Settings.from_environment())


def red(looked_at: Target, names: tuple[str, ...]) -> None:
    """Assert that each of the named checks is red."""
    results = run.run(looked_at, [CHECKS[name] for name in names])
    green = [
        f"{it.check.id}: {it.seen}"
        for it in results
        if it.status not in (Status.FAIL, Status.ERROR)
    ]
    assert not green


# -- by configuration and database ----------------------------------------------------------------

Break = Callable[[Instance], object]


def key(section: str, name: str, value: str | int) -> Break:
    """Set a key of config.ini.php."""
    return lambda it: it.shell.write(
        it.shell.config, config.with_key(it.shell.read(it.shell.config), section, name, value)
    )


def no_key(section: str, name: str) -> Break:
    """Take a key out of config.ini.php."""
    return lambda it: it.shell.write(
        it.shell.config, config.without_key(it.shell.read(it.shell.config), section, name)
    )


def no_plugin(name: str) -> Break:
    """Take a plugin out of the list."""
    return lambda it: it.shell.write(
        it.shell.config, it.shell.read(it.shell.config).replace(f'Plugins[] = "{name}"\n', "")
    )


def sql(*statements: str) -> Break:
    """Change the database behind Matomo's back."""

    def change(it: Instance) -> None:
        for statement in statements:
            it.database.query(statement)
        it.shell.console("core:clear-caches")

    return change


def every(*breaks: Break) -> Break:
    """Do several."""

    def change(it: Instance) -> None:
        for each in breaks:
            each(it)

    return change


OPTION = "REPLACE INTO {prefix}option (option_name, option_value, autoload) VALUES ('%s', '%s', 1)"
UNMASKED = sql(OPTION % ("PrivacyManager.ipAnonymizerEnabled", "0"))
ONE_BYTE = sql(OPTION % ("PrivacyManager.ipAddressMaskLength", "1"))
MASKING: Final = (
    *("ipv4_of_a_new_visitor", "ipv6_of_a_new_visitor", "ipv4_of_a_returning_visitor"),
    *("ipv6_of_a_returning_visitor", "ipv4_in_bulk", "ipv6_in_bulk", "ipv4_of_the_past"),
    *("ipv6_of_the_past", "of_an_image", "of_the_old_name", "of_a_beacon", "on_every_site"),
    "page_shows_it",
)


def area(name: str, *checks: str) -> tuple[str, ...]:
    return tuple(f"{name}.{it}" for it in checks)


@dataclass(frozen=True)
class Case:
    """A way to break a promise, and the checks that must see it."""

    name: str
    change: Break
    checks: tuple[str, ...]


CASES: Final = (
    Case(
        "a promised plugin is off",
        no_plugin("Live"),
        area("plugins", "promised_are_active", "answer"),
    ),
    Case(
        "the UserId plugin is on",
        key("Plugins", "Plugins[]", "UserId"),
        (
            *area("plugins", "user_id_is_off", "nothing_else_is_active"),
            "user_ids.no_report_of_users",
        ),
    ),
    Case(
        "user ids are kept",
        no_plugin("NoUserIds"),
        area(
            "user_ids",
            *("none_by_form", "none_in_bulk", "none_of_the_past", "none_of_a_returning_visitor"),
            *("none_of_a_browser", "none_in_the_visitor_s_id", "nowhere_in_the_database"),
        ),
    ),
    Case(
        "a plugin's table is gone",
        sql("DROP TABLE {prefix}segment"),
        area("plugins", "have_their_tables"),
    ),
    Case(
        "a plugin's column is gone",
        sql("ALTER TABLE {prefix}log_visit DROP COLUMN config_device_brand"),
        area("plugins", "have_their_columns"),
    ),
    Case(
        "a table of Matomo's is gone",
        sql("DROP TABLE {prefix}tracking_failure"),
        area("plugins", "core_has_its_tables"),
    ),
    Case(
        "the mask is off",
        UNMASKED,
        area("masking", *MASKING, "visits_log_shows_no_more", "nowhere_in_the_database")
        + area("drift", "options_are_the_policy_s"),
    ),
    Case("the mask is one byte", ONE_BYTE, area("masking", *MASKING)),
    Case(
        "a plugin setting was clicked",
        sql(
            "INSERT INTO {prefix}plugin_setting"
            " (plugin_name, setting_name, setting_value, user_login)"
            " VALUES ('CoreUpdater', 'release_channel', 'latest_beta', '')"
        ),
        area("drift", "plugin_settings_are_the_policy_s"),
    ),
    Case(
        "no second factor is asked for",
        no_key("TwoFactorAuth", "twoFactorAuthRequired"),
        area(
            "two_factors",
            "view_user_must_enrol",
            "admin_must_enrol",
            "superuser_must_enrol",
            "no_session_api_without_one",
            "no_token_without_one",
            "reset_leads_back_to_the_enrolment",
        )
        + area("drift", "file_is_the_image_s"),
    ),
    Case(
        "the superuser's second factor was reset",
        sql("UPDATE {prefix}user SET twofactor_secret = '' WHERE login = 'admin'"),
        area(
            "two_factors",
            "everybody_who_came_has_one",
            "password_alone_opens_nothing",
            "wrong_code_is_refused",
            "tokens_are_known",
        ),
    ),
    Case(
        "TwoFactorAuth is off",
        no_plugin("TwoFactorAuth"),
        area(
            "two_factors",
            "no_token_without_a_code",
            "code_works_once",
            "window_is_two_minutes_and_a_half",
            "recovery_code_works_once",
        ),
    ),
    Case(
        "the browser archives",
        every(
            key("General", "enable_browser_archiving_triggering", 1),
            key("General", "browser_archiving_disabled_enforce", 0),
            key("General", "enable_general_settings_admin", 1),
        ),
        area(
            "archiving",
            "no_request_archives_a_day",
            "no_request_archives_a_period",
            "no_request_archives_a_range",
            "no_request_archives_a_segment",
            "no_request_archives_an_open_segment",
            "nobody_can_click_it_on",
        ),
    ),
    Case(
        "rows are cut off",
        key("General", "datatable_archiving_maximum_rows_actions", 10),
        area("archiving", "row_limits_are_the_policy_s"),
    ),
    Case(
        "today is old for a day",
        key("General", "time_before_today_archive_considered_outdated", 86400),
        area("archiving", "today_is_archived_anew"),
    ),
    Case(
        "visits end after a minute",
        key("Tracker", "visit_standard_length", 60),
        area(
            "archiving",
            "days_are_exact",
            "weeks_are_exact",
            "months_are_exact",
            "years_are_exact",
            "ranges_sum_up_days",
        ),
    ),
    Case(
        "new segments begin today",
        key("General", "process_new_segments_from", "segment_creation_time"),
        area("archiving", "segments_are_exact"),
    ),
    Case(
        "days end elsewhere",
        sql(
            "CREATE TRIGGER zone BEFORE INSERT ON {prefix}site"
            " FOR EACH ROW SET NEW.timezone = 'UTC'"
        ),
        area("archiving", "day_ends_where_the_site_s_does"),
    ),
    Case(
        "a visitor without login sees site 1",
        sql("INSERT INTO {prefix}access (login, idsite, access) VALUES ('anonymous', 1, 'view')"),
        area("accounts", "anonymous_sees_nothing", "anonymous_opens_nothing"),
    ),
    Case(
        "new users are admins",
        sql(
            "CREATE TRIGGER generous BEFORE INSERT ON {prefix}access"
            " FOR EACH ROW SET NEW.access = 'admin'"
        ),
        area(
            "accounts",
            "new_user_has_view_alone",
            "new_user_changes_nothing",
            "new_user_finds_no_administration",
        ),
    ),
    Case(
        "new users see nothing",
        sql("CREATE TRIGGER mean BEFORE INSERT ON {prefix}access FOR EACH ROW SET NEW.idsite = 99"),
        area("accounts", "new_user_may_view"),
    ),
    Case(
        "the database is another version's",
        sql(OPTION % ("version_core", "5.0.0")),
        area("configuration", "no_update_waits"),
    ),
    Case(
        "code may come from a browser",
        key("General", "enable_auto_update", 1),
        area("configuration", "code_comes_from_the_image_alone"),
    ),
    Case(
        "a broken line",
        lambda it: it.shell.write(
            it.shell.config, it.shell.read(it.shell.config) + "\nredefining them in this file.\n"
        ),
        area("configuration", "file_is_well_formed"),
    ),
    Case(
        "maintenance",
        key("General", "maintenance_mode", 1),
        area("configuration", "login_is_near"),
    ),
    Case(
        "the environment is not read",
        no_plugin("EnvironmentVariables"),
        area("configuration", "environment_wins", "salt_is_there"),
    ),
    Case(
        "the installer is open",
        key("General", "installation_in_progress", 1),
        area("accounts", "installer_is_closed"),
    ),
    Case(
        "an account without an address",
        sql(
            "INSERT INTO {prefix}user (login, password, email, date_registered)"
            " VALUES ('x', 'x', '', NOW())"
        ),
        area("accounts", "addresses_are_real"),
    ),
)


@EXPECTED_ERRORS
@pytest.mark.parametrize("case", CASES, ids=lambda it: it.name)
def test_it_is_red_where(fresh_matomo: Instance, case: Case) -> None:
    looked_at = target.of_instance(fresh_matomo, PROMISED)
    case.change(fresh_matomo)
    red(looked_at, case.checks)


@EXPECTED_ERRORS
def test_a_token_of_the_documentation_is_found(fresh_matomo: Instance) -> None:
    known = "33dc3f2536d3025974cccb4b4d2d98f4"
    salt = look_salt(fresh_matomo)
    fresh_matomo.database.query(
        "INSERT INTO {prefix}user_token_auth"
        " (login, description, password, hash_algo, date_created)"
        " VALUES ('admin', 'example', %s, 'sha512', NOW())",
        hashlib.sha512((known + salt).encode()).hexdigest(),
    )
    red(target.of_instance(fresh_matomo, PROMISED), ("accounts.well_known_tokens_open_nothing",))


def look_salt(instance: Instance) -> str:
    return str(Look(target.of_instance(instance, PROMISED)).settings["General"]["salt"])


# -- after a day's life ---------------------------------------------------------------------------


def find_red(look: Look, name: str) -> None:
    """Assert that a check is red on what was looked at before."""
    finding = CHECKS[name].run(look)
    assert not finding.kept, finding.seen


def test_what_a_file_tells_is_found(fresh_matomo: Instance) -> None:
    look = Look(target.of_instance(fresh_matomo, PROMISED))
    assert look.day.archived == 0
    canary = look.day.canaries[0]
    fresh_matomo.shell.write(
        f"{fresh_matomo.shell.tmp}/a.log", f"{canary.address} {canary.user_id}"
    )
    find_red(look, "masking.nowhere_in_a_file")
    find_red(look, "user_ids.nowhere_in_a_file")


@EXPECTED_ERRORS
def test_an_archiver_that_fails_is_found(fresh_matomo: Instance) -> None:
    look = Look(target.of_instance(fresh_matomo, PROMISED))
    assert look.day.before
    assert look.day.canaries
    fresh_matomo.database.query("RENAME TABLE {prefix}log_link_visit_action TO {prefix}gone")
    find_red(look, "archiving.archiver_ends_well")


# -- by the container -----------------------------------------------------------------------------


def as_root(script: str) -> Callable[[Pair], None]:
    """Run something in the web container."""

    def change(pair: Pair) -> None:
        pair.shell.run("sh", "-c", script, user="root")

    return change


OPEN: Final = r"""
a2disconf -q zz-matomo
rm -f /etc/apache2/conf-enabled/security.conf
find . -name .htaccess -delete
mkdir -p vendor/composer .git backup/config misc/cron
for it in vendor/composer/installed.json .git/config composer.json package.json README.md LICENSE \
    backup/config/config.ini.php misc/cron/archive.php .htaccess .env; do echo > $it; done
{
    echo "TraceEnable On"
    echo "ServerSignature On"
    echo "<Directory /var/www/html>"
    echo "Options +Indexes"
    echo "</Directory>"
} > /etc/apache2/conf-enabled/z.conf
apachectl graceful
"""
IN_CONTAINERS: Final = (
    (
        "everything is open",
        as_root(OPEN),
        area(
            "exposure",
            *("configuration_is_closed", "caches_and_languages_are_closed", "code_is_closed"),
            *("console_is_closed", "backups_and_dot_files_are_closed", "everything_else_is_closed"),
            *("no_directory_is_listed", "web_server_tells_no_version", "php_tells_no_version"),
            *("error_pages_tell_no_version", "security_headers_are_there", "trace_is_refused"),
        ),
    ),
    (
        "a plugin's code is gone",
        as_root("rm -rf plugins/Feedback && mkdir plugins/Feedback"),
        area("plugins", "have_their_code"),
    ),
    (
        "a plugin is for another Matomo",
        as_root("sed -i 's/<6.0.0-b1/<5.0.0/' plugins/NoUserIds/plugin.json && rm -rf tmp/cache/*"),
        area("plugins", "fit_this_version", "requirements_are_met"),
    ),
    (
        "the tracker lost a part",
        as_root("head -c 50000 piwik.js > matomo.js"),
        area("plugins", "tracker_is_whole", "tracker_is_served"),
    ),
    (
        "older code is on the volume",
        as_root("sed -i \"s/VERSION = '5/VERSION = '5.0/\" core/Version.php"),
        area("configuration", "code_is_the_image_s"),
    ),
    (
        "errors are told in full",
        as_root("sed -i 's/^<?php/<?php echo \"\\/var\\/www\\/html\\/index.php\";/' index.php"),
        area("exposure", "matomo_s_errors_tell_no_path"),
    ),
)


@EXPECTED_ERRORS
@pytest.mark.parametrize(
    ("change", "checks"), [it[1:] for it in IN_CONTAINERS], ids=[it[0] for it in IN_CONTAINERS]
)
def test_it_is_red_in_a_container_where(
    matomo_pair: Pair, change: Callable[[Pair], None], checks: tuple[str, ...]
) -> None:
    change(matomo_pair)
    red(target.of_instance(matomo_pair, PROMISED), checks)


@EXPECTED_ERRORS
@pytest.mark.matomo_environment(MATOMO_GENERAL_NO_SUCH_KEY="1", MATOMO_GENERAL_SALT="")
def test_it_is_red_where_a_variable_is_misspelt_and_there_is_no_salt(matomo_pair: Pair) -> None:
    red(
        target.of_instance(matomo_pair, PROMISED),
        area("configuration", "no_useless_variable", "salt_is_there"),
    )


# -- by the stands --------------------------------------------------------------------------------


@EXPECTED_ERRORS
def test_it_is_red_where_secrets_are_written_down(matomo_production: Production) -> None:
    looked_at = target.of_production(matomo_production, PROMISED)
    shell, secret = matomo_production.matomo.shell, matomo_production.mail.password
    shell.write("config/old.ini", secret)
    shell.run("sh", "-c", 'echo "$1" > /proc/1/fd/1', "sh", secret, user="root")
    shell.container.exec_run(["sh", "-c", "sleep 60; :", secret], detach=True, user="root")
    names = ("no_secret_in_a_file", "no_secret_in_a_log", "no_secret_in_the_process_list")
    red(looked_at, area("configuration", *names))


@EXPECTED_ERRORS
def test_it_is_red_where_no_mail_comes(matomo_production: Production) -> None:
    looked_at = target.of_production(matomo_production, PROMISED)
    matomo_production.mail.stop()
    red(
        looked_at,
        (
            "configuration.mail_comes",
            "accounts.password_reset_comes_by_mail",
            "masking.nowhere_in_a_mail",
        ),
    )


@EXPECTED_ERRORS
@pytest.mark.matomo_environment(MATOMO_GENERAL_PROXY_CLIENT_HEADERS='["HTTP_X_FORWARDED_FOR"]')
def test_it_is_red_where_logs_tell_visitors(matomo_production: Production) -> None:
    shell = matomo_production.matomo.shell
    # As before this image's own format: the whole request, and whom the proxy names.
    log = 'LogFormat "%{X-Forwarded-For}i %r" combined'
    shell.run(
        "sh",
        "-c",
        f"echo '{log}' > /etc/apache2/conf-enabled/zzz.conf && apachectl graceful",
        user="root",
    )
    names = ("masking.nowhere_in_a_log", "user_ids.nowhere_in_the_web_log")
    red(target.of_production(matomo_production, PROMISED), names)


def test_it_is_red_where_the_first_forwarded_address_is_believed(
    matomo_production: Production,
) -> None:
    shell = matomo_production.matomo.shell
    text = config.with_key(shell.read(OWN_CONFIG), "General", "proxy_ip_read_last_in_list", 0)
    shell.write(OWN_CONFIG, text)
    red(target.of_production(matomo_production, PROMISED), ("masking.through_the_load_balancer",))
