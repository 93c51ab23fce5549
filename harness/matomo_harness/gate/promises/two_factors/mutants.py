"""Mutants of the second factor: somebody gets somewhere without one, or by a used one."""

import time
from typing import Final

from matomo_harness.gate.mutation.changes import (
    code,
    every,
    file,
    key,
    no_key,
    no_plugin,
    option,
    renamed,
    sql,
    user,
)
from matomo_harness.gate.mutation.mutant import Deployment, Mutant, Place, Stage
from matomo_harness.runtime import faults

ENROL: Final = tuple(
    f"two_factors.{it}"
    for it in (
        "view_user_must_enrol",
        "admin_must_enrol",
        "superuser_must_enrol",
        "remembered_session_must_enrol",
        "no_session_api_without_one",
        "no_token_without_one",
        "reset_leads_back_to_the_enrolment",
    )
)
DRIFT: Final = "drift.file_is_the_image_s"
FACTORS: Final = "plugins/TwoFactorAuth/TwoFactorAuth.php"
VERIFIER: Final = "plugins/TwoFactorAuth/TwoFactorAuthentication.php"
COUNTS: Final = (
    "$bruteForce->addFailedAttempt(IP::getIpFromHeader(), Piwik::getCurrentUserLogin());"
)
USED: Final = "if (!$this->setTwoFaCodeWasUsed($user['login'], $authCode))"


def _has_come(deployment: Deployment) -> None:
    """As Matomo notes it: in an option, since 5.8 in a column (UsersManager/LastSeenTimeLogger)."""
    database = deployment.database
    if database.query("SHOW COLUMNS FROM {prefix}user LIKE 'ts_last_seen'"):
        database.query("UPDATE {prefix}user SET ts_last_seen = NOW() WHERE login = 'early'")
    else:
        option("UsersManager.lastSeen.early", int(time.time()))(deployment)


def _clock(deployment: Deployment) -> None:
    """Five minutes ahead: to the gate, which has the right time, all codes of this machine are old."""
    web = deployment.stands.matomo.get_wrapped_container()
    deployment.faults.enter_context(faults.clock_skew(web, 300))
    deployment.stands.wait_for_a_target()


def _one_secret(deployment: Deployment) -> None:
    instance = deployment.instance
    user("reader")(deployment)
    deployment.database.query(
        "UPDATE {prefix}user SET twofactor_secret = %s", instance.account.secret
    )


def _recovery_codes_of_tests(deployment: Deployment) -> None:
    """As plugins/TwoFactorAuth/config/test.php says for Matomo's own tests."""
    dao = "Piwik\\Plugins\\TwoFactorAuth\\Dao\\RecoveryCode"
    said = f"<?php return ['{dao}RandomGenerator' => Piwik\\DI::autowire('{dao}StaticGenerator')];"
    deployment.shell.write("plugins/TwoFactorAuth/config/config.php", said, user="root")


MUTANTS: Final = (
    Mutant(
        "two_factors.not_required",
        "nothing says that a second factor is required",
        Place.FILE,
        (*ENROL, DRIFT),
        no_key("TwoFactorAuth", "twoFactorAuthRequired"),
        "A1",
    ),
    Mutant(
        "two_factors.zero",
        "the requirement is 0",
        Place.FILE,
        (*ENROL, DRIFT),
        key("TwoFactorAuth", "twoFactorAuthRequired", 0),
        "A1",
    ),
    Mutant(
        "two_factors.misspelt",
        "the requirement is misspelt",
        Place.FILE,
        (*ENROL, DRIFT),
        file(renamed("twoFactorAuthRequired", "twoFactorAuthRequird")),
        "A1",
    ),
    Mutant(
        "two_factors.section_misspelt",
        "the requirement is in a section of another name",
        Place.FILE,
        (*ENROL, DRIFT),
        file(renamed("[TwoFactorAuth]", "[TwoFactor]")),
        "A1",
    ),
    Mutant(
        "two_factors.clicked",
        "the file does not set it, and a click took it back in the database",
        Place.CLICK,
        (*ENROL, "drift.plugin_settings_are_the_policy_s"),
        lambda it: (
            no_key("TwoFactorAuth", "twoFactorAuthRequired")(it),
            sql(
                "INSERT INTO {prefix}plugin_setting (plugin_name, setting_name, setting_value, user_login)"
                " VALUES ('TwoFactorAuth', 'twoFactorAuthRequired', '0', '')"
            )(it),
        ),
        "A1",
    ),
    Mutant(
        "two_factors.plugin_off",
        "TwoFactorAuth is not in the list of plugins",
        Place.FILE,
        (
            *ENROL[:3],
            "two_factors.no_token_without_a_code",
            "two_factors.code_works_once",
            "two_factors.window_is_two_minutes_and_a_half",
            "two_factors.recovery_code_works_once",
            "two_factors.password_alone_opens_nothing",
            "plugins.promised_are_active",
        ),
        no_plugin("TwoFactorAuth"),
        "A6",
    ),
    Mutant(
        "two_factors.superuser_reset",
        "the superuser's second factor was reset",
        Place.DATABASE,
        (
            "two_factors.everybody_who_came_has_one",
            "two_factors.password_alone_opens_nothing",
            "two_factors.wrong_code_is_refused",
            "two_factors.tokens_are_known",
        ),
        sql("UPDATE {prefix}user SET twofactor_secret = '' WHERE login = 'admin'"),
        "A6",
    ),
    Mutant(
        "two_factors.user_without",
        "somebody came before it was required, and has none",
        Place.DATABASE,
        ("two_factors.everybody_who_came_has_one",),
        every(
            sql(
                "INSERT INTO {prefix}user (login, password, email, date_registered)"
                " VALUES ('early', 'x', 'early@people.example', NOW())"
            ),
            _has_come,
        ),
        "A1",
    ),
    Mutant(
        "two_factors.token_without",
        "a token is left of somebody who has no second factor",
        Place.DATABASE,
        ("two_factors.tokens_are_known",),
        sql(
            "INSERT INTO {prefix}user (login, password, email, date_registered)"
            " VALUES ('early', 'x', 'early@people.example', NOW())",
            "INSERT INTO {prefix}user_token_auth (login, description, password, hash_algo, date_created)"
            " VALUES ('early', 'a script', SHA2('x', 512), 'sha512', NOW())",
        ),
        "A3",
    ),
    Mutant(
        "two_factors.any_code",
        "every code is right",
        Place.IMAGE,
        ("two_factors.wrong_code_is_refused", "two_factors.code_works_once"),
        code(
            VERIFIER,
            USED,
            f"return true; {USED}",
        ),
        "A4",
        Stage.PAIR,
    ),
    Mutant(
        "two_factors.code_again",
        "a code that was used is taken again",
        Place.IMAGE,
        ("two_factors.code_works_once",),
        code(VERIFIER, USED, "if (false)"),
        "A4",
        Stage.PAIR,
    ),
    Mutant(
        "two_factors.one_module_excepted",
        "the visits' overview is shown without a second factor, for a screen on a wall",
        Place.IMAGE,
        ("two_factors.view_user_must_enrol",),
        code(
            FACTORS,
            "if ($module === 'Proxy') {",
            "if ($module === 'Proxy' || $module === 'VisitsSummary') {",
        ),
        "A1",
        Stage.PAIR,
    ),
    Mutant(
        "two_factors.remembered_is_trusted",
        "who logs in with Remember Me is asked for no code",
        Place.IMAGE,
        ("two_factors.password_alone_opens_nothing",),
        code(
            FACTORS,
            "if ($isUsing2FA && Session::isStarted()) {",
            "if ($isUsing2FA && Session::isStarted()"
            " && !(new SessionFingerprint())->isRemembered()) {",
        ),
        "A1",
        Stage.PAIR,
    ),
    Mutant(
        "two_factors.wide_window",
        "codes of half an hour are taken",
        Place.IMAGE,
        ("two_factors.window_is_two_minutes_and_a_half",),
        code(VERIFIER, "$authCode, 2)", "$authCode, 60)"),
        "A5",
        Stage.PAIR,
    ),
    Mutant(
        "two_factors.recovery_code_again",
        "a recovery code is not used up",
        Place.IMAGE,
        ("two_factors.recovery_code_works_once",),
        every(
            code(VERIFIER, USED, "if (false)"),
            code(
                "plugins/TwoFactorAuth/Dao/RecoveryCodeDao.php",
                "Db::query($sql, array($login, $recoveryCode))",
                "Db::query(str_replace('DELETE', 'SELECT 1', $sql), array($login, $recoveryCode))",
            ),
        ),
        "A6",
        Stage.PAIR,
    ),
    Mutant(
        "two_factors.one_secret",
        "two people have one secret, by a copy of a row",
        Place.DATABASE,
        ("two_factors.nobody_shares_a_secret",),
        _one_secret,
        "A4",
    ),
    Mutant(
        "two_factors.clock",
        "the web server's clock is five minutes ahead",
        Place.CLOCK,
        ("two_factors.code_works_once", "two_factors.window_is_two_minutes_and_a_half"),
        _clock,
        "A5",
        Stage.PRODUCTION,
    ),
    Mutant(
        "two_factors.recovery_codes_of_tests",
        "everybody gets the recovery codes of Matomo's own tests",
        Place.IMAGE,
        ("two_factors.recovery_codes_are_one_s_own",),
        _recovery_codes_of_tests,
        "A6",
        Stage.PAIR,
    ),
    Mutant(
        "two_factors.of_whoever_was_there_before",
        "who logs in where another has given a code is asked for none",
        Place.IMAGE,
        ("two_factors.another_s_code_is_not_one_s_own",),
        code(
            "core/Session/SessionFingerprint.php",
            "$_SESSION[self::SESSION_INFO_TWO_FACTOR_AUTH_VERIFIED] = 0;",
            "$_SESSION[self::SESSION_INFO_TWO_FACTOR_AUTH_VERIFIED] ??= 0;",
        ),
        "A1",
        Stage.PAIR,
    ),
    Mutant(
        "two_factors.enrolled_anew_by_password",
        "the second factor's own pages are excepted: by the password alone one enrols a new device",
        Place.IMAGE,
        ("two_factors.password_alone_opens_nothing",),
        code(
            FACTORS,
            "if ($module === 'TwoFactorAuth' && $action === 'showQrCode') {",
            "if ($module === 'TwoFactorAuth') {",
        ),
        "A7",
        Stage.PAIR,
    ),
    Mutant(
        "two_factors.known_secret",
        "a script that made accounts gave the superuser the secret of documentation's examples",
        Place.DATABASE,
        ("two_factors.no_secret_is_an_example",),
        sql("UPDATE {prefix}user SET twofactor_secret = 'JBSWY3DPEHPK3PXP' WHERE login = 'admin'"),
        "A4",
    ),
    Mutant(
        "two_factors.option_without_key",
        "a restore lost the key of the table option: nothing stops a code from working twice",
        Place.DATABASE,
        ("two_factors.code_works_once", "plugins.tables_have_their_keys"),
        sql("ALTER TABLE {prefix}option DROP PRIMARY KEY"),
        "A4",
    ),
    Mutant(
        "two_factors.placeholder",
        "a script that restores accounts wrote `none` where there was no secret: its code anybody makes",
        Place.DATABASE,
        ("two_factors.no_secret_is_an_example",),
        sql("UPDATE {prefix}user SET twofactor_secret = 'none' WHERE login = 'admin'"),
        "A4",
    ),
    Mutant(
        "two_factors.code_of_the_safe",
        "a script gave the superuser one recovery code more, printed for the office's safe",
        Place.DATABASE,
        ("two_factors.recovery_codes_are_one_s_own",),
        sql(
            "INSERT INTO {prefix}twofactor_recovery_code (login, recovery_code)"
            " VALUES ('admin', 'BREAKGLASSMATOMO')"
        ),
        "A6",
    ),
    Mutant(
        "two_factors.codes_are_not_counted",
        "wrong codes are not counted, only wrong passwords: who has one tries a million codes",
        Place.IMAGE,
        ("two_factors.wrong_codes_are_counted",),
        code("plugins/TwoFactorAuth/Controller.php", COUNTS, ""),
        "A4",
        Stage.PAIR,
    ),
)
