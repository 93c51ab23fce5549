"""Mutants of second factors: somebody gets in without one, or by a used or a known one."""

import time
from typing import Final

from matomo_harness.gate.mutants import Deployment, Location, Mutants, Topology
from matomo_harness.gate.mutants.changes import (
    code,
    every,
    file,
    key,
    no_key,
    no_plugin,
    option,
    plugin_setting,
    renamed,
    sql,
    user,
)
from matomo_harness.matomo import versions
from matomo_harness.runtime import faults

MUTANTS: Final = Mutants("second_factors")

FACTORS: Final = "plugins/TwoFactorAuth/TwoFactorAuth.php"
VERIFIER: Final = "plugins/TwoFactorAuth/TwoFactorAuthentication.php"
USED: Final = "if (!$this->setTwoFaCodeWasUsed($user['login'], $authCode))"
COUNTS: Final = (
    "$bruteForce->addFailedAttempt(IP::getIpFromHeader(), Piwik::getCurrentUserLogin());"
)
EARLY: Final = (
    "INSERT INTO {prefix}user (login, password, email, date_registered)"
    " VALUES ('early', 'x', 'early@people.example', NOW())"
)
"""A user without a second factor."""
ENROL: Final = (
    "view_user_must_enrol",
    "admin_must_enrol",
    "superuser_must_enrol",
    "remembered_session_must_enrol",
    "no_session_api_without_one",
    "no_token_without_one",
    "reset_leads_back_to_the_enrolment",
)
"""Checks that fail where nobody has to enrol a second factor."""

MUTANTS.add(
    "plugin_off",
    "TwoFactorAuth is not in the list of plugins",
    Location.FILE,
    (
        "view_user_must_enrol",
        "admin_must_enrol",
        "superuser_must_enrol",
        "no_token_without_a_code",
        "code_works_once",
        "window_is_two_minutes_and_a_half",
        "recovery_code_works_once",
        "password_alone_opens_nothing",
        "plugins.promised_are_active",
    ),
    no_plugin("TwoFactorAuth"),
    "A6",
)
MUTANTS.add(
    "superuser_reset",
    "the superuser's second factor was reset",
    Location.DATABASE,
    (
        "everybody_who_came_has_one",
        "password_alone_opens_nothing",
        "wrong_code_is_refused",
        "tokens_are_known",
    ),
    sql("UPDATE {prefix}user SET twofactor_secret = '' WHERE login = 'admin'"),
    "A6",
)


@MUTANTS.mutant("user_without", Location.DATABASE, "everybody_who_came_has_one", "A1")
def user_without(deployment: Deployment) -> None:
    """Somebody logged in before a second factor was required, and has none."""
    sql(EARLY)(deployment)
    # As Matomo records it: see versions.LAST_SEEN_IN_A_COLUMN.
    database, column = deployment.instance.database, versions.LAST_SEEN_COLUMN
    if database.query("SHOW COLUMNS FROM {prefix}user LIKE %s", column):
        now = f"UPDATE {{prefix}}user SET {column} = NOW() WHERE login = 'early'"  # noqa: S608  ours
        database.query(now)
    else:
        option(f"{versions.LAST_SEEN_OPTION}early", int(time.time()))(deployment)


MUTANTS.add(
    "token_without",
    "a token is left of a user who has no second factor",
    Location.DATABASE,
    "tokens_are_known",
    sql(
        EARLY,
        "INSERT INTO {prefix}user_token_auth (login, description, password, hash_algo, date_created)"
        " VALUES ('early', 'a script', SHA2('x', 512), 'sha512', NOW())",
    ),
    "A3",
)
MUTANTS.add(
    "any_code",
    "every code is accepted",
    Location.IMAGE,
    ("wrong_code_is_refused", "code_works_once"),
    code(VERIFIER, USED, f"return true; {USED}"),
    "A4",
    Topology.DEDICATED,
)
MUTANTS.add(
    "code_again",
    "a used code is accepted again",
    Location.IMAGE,
    "code_works_once",
    code(VERIFIER, USED, "if (false)"),
    "A4",
    Topology.DEDICATED,
)
MUTANTS.add(
    "one_module_excepted",
    "the visits' overview is shown without a second factor, for a screen on a wall",
    Location.IMAGE,
    "view_user_must_enrol",
    code(
        FACTORS,
        "if ($module === 'Proxy') {",
        "if ($module === 'Proxy' || $module === 'VisitsSummary') {",
    ),
    "A1",
    Topology.DEDICATED,
)
MUTANTS.add(
    "remembered_is_trusted",
    "whoever logs in with Remember Me is asked for no code",
    Location.IMAGE,
    "password_alone_opens_nothing",
    code(
        FACTORS,
        "if ($isUsing2FA && Session::isStarted()) {",
        "if ($isUsing2FA && Session::isStarted() && !(new SessionFingerprint())->isRemembered()) {",
    ),
    "A1",
    Topology.DEDICATED,
)
MUTANTS.add(
    "wide_window",
    "codes of half an hour are accepted",
    Location.IMAGE,
    "window_is_two_minutes_and_a_half",
    code(VERIFIER, "$authCode, 2)", "$authCode, 60)"),
    "A5",
    Topology.DEDICATED,
)
MUTANTS.add(
    "recovery_code_again",
    "a recovery code is not used up",
    Location.IMAGE,
    "recovery_code_works_once",
    every(
        code(VERIFIER, USED, "if (false)"),
        code(
            "plugins/TwoFactorAuth/Dao/RecoveryCodeDao.php",
            "Db::query($sql, array($login, $recoveryCode))",
            "Db::query(str_replace('DELETE', 'SELECT 1', $sql), array($login, $recoveryCode))",
        ),
    ),
    "A6",
    Topology.DEDICATED,
)


@MUTANTS.mutant("one_secret", Location.DATABASE, "nobody_shares_a_secret", "A4")
def one_secret(deployment: Deployment) -> None:
    """Two users have the same secret, because a row was copied."""
    user("reader")(deployment)
    deployment.instance.database.query(
        "UPDATE {prefix}user SET twofactor_secret = %s", deployment.instance.account.secret
    )


@MUTANTS.mutant(
    "clock",
    Location.CLOCK,
    ("code_works_once", "window_is_two_minutes_and_a_half"),
    "A5",
    Topology.FULL_STACK,
)
def clock(deployment: Deployment) -> None:
    """The web server's clock is five minutes ahead."""
    # The gate has the right time, so that all its codes are old to this web server.
    web = deployment.full_stack.matomo.get_wrapped_container()
    deployment.faults.enter_context(faults.clock_skew(web, 300))
    deployment.full_stack.wait_for_a_target()


@MUTANTS.mutant(
    "recovery_codes_of_tests",
    Location.IMAGE,
    "recovery_codes_differ",
    "A6",
    Topology.DEDICATED,
)
def recovery_codes_of_tests(deployment: Deployment) -> None:
    """Everybody gets the recovery codes of Matomo's own tests."""
    # As plugins/TwoFactorAuth/config/test.php configures it for the tests.
    dao = "Piwik\\Plugins\\TwoFactorAuth\\Dao\\RecoveryCode"
    config = (
        f"<?php return ['{dao}RandomGenerator' => Piwik\\DI::autowire('{dao}StaticGenerator')];"
    )
    deployment.instance.shell.write("plugins/TwoFactorAuth/config/config.php", config, user="root")


MUTANTS.add(
    "of_whoever_was_there_before",
    "whoever logs in to a session in which another gave a code is asked for none",
    Location.IMAGE,
    "code_of_another_opens_nothing",
    code(
        "core/Session/SessionFingerprint.php",
        "$_SESSION[self::SESSION_INFO_TWO_FACTOR_AUTH_VERIFIED] = 0;",
        "$_SESSION[self::SESSION_INFO_TWO_FACTOR_AUTH_VERIFIED] ??= 0;",
    ),
    "A1",
    Topology.DEDICATED,
)
MUTANTS.add(
    "enrolled_anew_by_password",
    "the second factor's own pages are exempt: the password alone enrols a new device",
    Location.IMAGE,
    "password_alone_opens_nothing",
    code(
        FACTORS,
        "if ($module === 'TwoFactorAuth' && $action === 'showQrCode') {",
        "if ($module === 'TwoFactorAuth') {",
    ),
    "A7",
    Topology.DEDICATED,
)
MUTANTS.add(
    "known_secret",
    "a script that creates accounts gave the superuser a secret from documentation",
    Location.DATABASE,
    "no_secret_is_an_example",
    sql("UPDATE {prefix}user SET twofactor_secret = 'JBSWY3DPEHPK3PXP' WHERE login = 'admin'"),
    "A4",
)
MUTANTS.add(
    "option_without_key",
    "a restore lost the primary key of the table option: nothing stops a code from working twice",
    Location.DATABASE,
    ("code_works_once", "database.tables_have_their_keys"),
    sql("ALTER TABLE {prefix}option DROP PRIMARY KEY"),
    "A4",
)
MUTANTS.add(
    "placeholder",
    "a script that restores accounts wrote `none` where there was no secret: anybody can make its codes",
    Location.DATABASE,
    "no_secret_is_an_example",
    sql("UPDATE {prefix}user SET twofactor_secret = 'none' WHERE login = 'admin'"),
    "A4",
)
MUTANTS.add(
    "code_of_the_safe",
    "a script gave the superuser one more recovery code, printed for the office's safe",
    Location.DATABASE,
    "recovery_codes_differ",
    sql(
        "INSERT INTO {prefix}twofactor_recovery_code (login, recovery_code)"
        " VALUES ('admin', 'BREAKGLASSMATOMO')"
    ),
    "A6",
)
MUTANTS.add(
    "codes_are_not_counted",
    "wrong codes are not counted, only wrong passwords: whoever has the password tries a million codes",
    Location.IMAGE,
    "wrong_codes_are_counted",
    code("plugins/TwoFactorAuth/Controller.php", COUNTS, ""),
    "A4",
    Topology.DEDICATED,
)
MUTANTS.add(
    "no_code",
    "the login asks for no code",
    Location.FILE,
    ("browser_is_asked_for_a_code", "plugins.promised_are_active"),
    no_plugin("TwoFactorAuth"),
    "A6",
)

# -- what the file requires ------------------------------------------------------------------

MUTANTS.add(
    "not_required",
    "nothing says that a second factor is required",
    Location.FILE,
    (*ENROL, "settings.file_is_of_the_image"),
    no_key("TwoFactorAuth", "twoFactorAuthRequired"),
    "A1",
)
MUTANTS.add(
    "zero",
    "the requirement is 0",
    Location.FILE,
    (*ENROL, "settings.file_is_of_the_image"),
    key("TwoFactorAuth", "twoFactorAuthRequired", 0),
    "A1",
)
MUTANTS.add(
    "misspelt",
    "the requirement is misspelt",
    Location.FILE,
    (*ENROL, "settings.file_is_of_the_image"),
    file(renamed("twoFactorAuthRequired", "twoFactorAuthRequird")),
    "A1",
)
MUTANTS.add(
    "section_misspelt",
    "the requirement is in a section of another name",
    Location.FILE,
    (*ENROL, "settings.file_is_of_the_image"),
    file(renamed("[TwoFactorAuth]", "[TwoFactor]")),
    "A1",
)
MUTANTS.add(
    "clicked",
    "the file does not set the requirement, and a click removed it in the database",
    Location.CLICK,
    (*ENROL, "settings.plugin_settings"),
    every(
        no_key("TwoFactorAuth", "twoFactorAuthRequired"),
        plugin_setting("TwoFactorAuth", "twoFactorAuthRequired", "0"),
    ),
    "A1",
)
