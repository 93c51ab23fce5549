"""Mutants of configuration: what the environment says does not hold, or is written down."""

import base64
import json
from typing import Final

from matomo_harness.gate.mutation.changes import (
    apache,
    code,
    file,
    image_file,
    in_web,
    key,
    load_balancer,
    no_plugin,
    option,
    program,
    sql,
    with_key,
)
from matomo_harness.gate.mutation.mutant import Deployment, Mutant, Place, Stage
from matomo_harness.runtime.certificates import authority
from matomo_harness.runtime.engine import execute
from matomo_harness.runtime.load_balancer import CERTIFICATE_FILE, haproxy_certificate
from matomo_harness.runtime.shell import wait_for_answer

ENVIRONMENT: Final = "plugins/EnvironmentVariables/Environment.php"
IN_A_FILE: Final = "str_ends_with($rest, '_FILE') &&"
NO_AUTHORITY: Final = "return !empty($effective['enable_ssl']) &&"
SALT: Final = "MATOMO_GENERAL_SALT"
TLS: Final = "configuration.database_is_spoken_to_by_tls"
SET: Final = "configuration.promised_variables_are_set"
MAIL: Final = "configuration.mail_comes"
SAFEGUARDS: Final = "configuration.no_safeguard_is_off"


def _written_down(deployment: Deployment) -> None:
    secret = deployment.stands.mail.password
    deployment.shell.write("config/old.ini", secret)


def _said(deployment: Deployment) -> None:
    secret = deployment.stands.mail.password
    deployment.shell.run("sh", "-c", 'echo "$1" > /proc/1/fd/1', "sh", secret, user="root")


def _as_argument(deployment: Deployment) -> None:
    secret = deployment.stands.mail.password
    container = deployment.shell.container
    container.exec_run(["sh", "-c", "sleep 600; :", secret], detach=True, user="root")


def _backed_up(deployment: Deployment) -> None:
    """A backup of the days of the public EnvironmentVariables plugin, which writes what it reads."""
    deployment.shell.run("mkdir", "-p", "/mnt/efs/backup", user="root")
    password = deployment.stands.mariadb.passwords.matomo
    deployment.shell.write("/mnt/efs/backup/config.ini.php", password, user="root")


def _task_definition(deployment: Deployment) -> None:
    """What the cloud's console says of a task, kept before a deployment."""
    deployment.shell.run("mkdir", "-p", "/mnt/efs/backup", user="root")
    password = deployment.stands.mariadb.passwords.matomo
    described = json.dumps({"name": "MATOMO_DATABASE_PASSWORD", "value": password})
    deployment.shell.write("/mnt/efs/backup/task.json", described, user="root")


def _shadow(deployment: Deployment) -> None:
    """Apache's own envvars set a variable: for the web server alone, not for the console."""
    other = "export MATOMO_GENERAL_NOREPLY_EMAIL_ADDRESS=other@matomo.example"
    in_web(f"echo {other} >> /etc/apache2/envvars")(deployment)
    deployment.stands.matomo.get_wrapped_container().restart(timeout=1)
    deployment.stands.wait_for_a_target()


def _expired(deployment: Deployment) -> None:
    """The load balancer's certificate ended yesterday."""
    production = deployment.stands
    ended = authority().issue("localhost", expired=True)
    encoded = base64.b64encode(haproxy_certificate(ended)).decode()
    container = production.load_balancer.get_wrapped_container()
    script = f"echo {encoded} | base64 -d > {CERTIFICATE_FILE}"
    execute(container, ["sh", "-ec", script], user="root")
    container.restart(timeout=1)
    wait_for_answer(container, "the load balancer", lambda: production.load_balancer.http.ask(""))


def no_scheme(deployment: Deployment) -> None:
    """Take the header out that says by which scheme a browser came."""
    drop = "sed -i '/X-Forwarded-Proto/d' /etc/haproxy/haproxy.cfg"
    load_balancer(drop)(deployment)


MUTANTS: Final = (
    Mutant(
        "configuration.writable_by_all",
        "somebody made config.ini.php writable for everybody, so that something works",
        Place.VOLUME,
        ("configuration.file_is_closed_to_others",),
        in_web("chmod 666 config/config.ini.php"),
        stage=Stage.PAIR,
    ),
    Mutant(
        "configuration.environment_unread",
        "EnvironmentVariables is not in the list of plugins",
        Place.FILE,
        (
            "configuration.environment_wins",
            "configuration.salt_is_there",
            "plugins.promised_are_active",
        ),
        no_plugin("EnvironmentVariables"),
        "M6",
    ),
    Mutant(
        "configuration.misspelt",
        "a variable names no key",
        Place.ENVIRONMENT,
        ("configuration.no_useless_variable",),
        seen="C1",
        stage=Stage.PAIR,
        environment={"MATOMO_GENERAL_NO_SUCH_KEY": "1"},
    ),
    Mutant(
        "configuration.salt_lost",
        "no salt is set",
        Place.ENVIRONMENT,
        ("configuration.salt_is_there",),
        seen="A12",
        stage=Stage.PAIR,
        environment={SALT: None},
    ),
    Mutant(
        "configuration.salt_misspelt",
        "the salt's variable is misspelt",
        Place.ENVIRONMENT,
        ("configuration.salt_is_there", "configuration.no_useless_variable"),
        seen="A12",
        stage=Stage.PAIR,
        environment={SALT: None, "MATOMO_GENRAL_SALT": "x"},
    ),
    Mutant(
        "configuration.shadowed",
        "the web server's own configuration shadows a variable",
        Place.IMAGE,
        ("configuration.environment_wins_in_web",),
        _shadow,
        "C6",
        Stage.PRODUCTION,
    ),
    Mutant(
        "configuration.variable_lost",
        "the task definition lost a variable",
        Place.ENVIRONMENT,
        (SET,),
        seen="C1",
        stage=Stage.PRODUCTION,
        environment={"MATOMO_GENERAL_FORCE_SSL": None},
    ),
    Mutant(
        "configuration.database_in_clear",
        "TLS to the database is switched off",
        Place.ENVIRONMENT,
        (TLS,),
        seen="D4",
        stage=Stage.PRODUCTION,
        environment={"MATOMO_DATABASE_ENABLE_SSL": "0"},
    ),
    Mutant(
        "configuration.authority_lost",
        "TLS to the database is on, and no authority is named",
        Place.CERTIFICATE,
        (SET, TLS),
        seen="D4",
        stage=Stage.PRODUCTION,
        environment={"MATOMO_DATABASE_ENABLE_SSL": None, "MATOMO_DATABASE_SSL_CA": None},
    ),
    Mutant(
        "configuration.system_check",
        "a directory is not Matomo's to write to",
        Place.VOLUME,
        ("configuration.system_check_has_no_error",),
        in_web("mkdir -p tmp/tcpdf; chown -R root tmp/tcpdf; chmod 755 tmp/tcpdf"),
        "F4",
        Stage.PAIR,
    ),
    Mutant(
        "configuration.scheme_dropped",
        "the proxy tells no scheme: cookies and links are of http",
        Place.PROXY,
        ("configuration.cookies_are_secure", "configuration.nothing_links_to_clear_text"),
        no_scheme,
        "X1",
        Stage.PRODUCTION,
        {"MATOMO_GENERAL_FORCE_SSL": "0"},
    ),
    Mutant(
        "configuration.clear_text_served",
        "the load balancer passes on what comes by http as well",
        Place.PROXY,
        ("configuration.clear_text_leads_to_tls",),
        load_balancer(
            "sed -i 's/^ *http-request redirect code 301.*/    http-request set-header"
            " X-Forwarded-Proto https\\n    default_backend target-group/' /etc/haproxy/haproxy.cfg"
        ),
        stage=Stage.PRODUCTION,
    ),
    Mutant(
        "configuration.redirects_for_ever",
        "the proxy tells no scheme, and https is forced",
        Place.PROXY,
        ("configuration.login_is_near",),
        no_scheme,
        "M1",
        Stage.PRODUCTION,
    ),
    Mutant(
        "configuration.broken_line",
        "a comment was broken in two",
        Place.FILE,
        ("configuration.file_is_well_formed",),
        file(lambda text: f"{text}\nredefining them in this file.\n"),
        "M2",
    ),
    Mutant(
        "configuration.installer_open",
        "a volume mounted over config/ has not what the image's installer is closed by",
        Place.VOLUME,
        ("configuration.torn_file_is_no_new_matomo",),
        in_web("rm config/common.config.ini.php"),
        stage=Stage.PAIR,
    ),
    Mutant(
        "configuration.health_is_always_good",
        "the health check says yes and does not look",
        Place.IMAGE,
        ("configuration.health_check_sees_what_is_wrong",),
        in_web("printf '#!/bin/sh\\necho healthy\\n' > /usr/local/bin/matomo-health"),
        stage=Stage.PAIR,
    ),
    Mutant(
        "configuration.maintenance",
        "Matomo is in maintenance",
        Place.FILE,
        ("configuration.login_is_near", "drift.file_is_the_image_s"),
        key("General", "maintenance_mode", 1),
        "C13",
    ),
    Mutant(
        "configuration.older_database",
        "the database was restored from an older Matomo",
        Place.DATABASE,
        ("configuration.no_update_waits",),
        option("version_core", "5.0.0"),
        "U2",
    ),
    Mutant(
        "configuration.older_code",
        "the volume has an older Matomo's code",
        Place.VOLUME,
        ("configuration.code_is_the_image_s",),
        in_web("sed -i \"s/VERSION = '5/VERSION = '5.0/\" core/Version.php"),
        "U1",
        Stage.PAIR,
    ),
    Mutant(
        "configuration.secret_in_a_file",
        "a password lies beside config.ini.php",
        Place.VOLUME,
        ("configuration.no_secret_in_a_file",),
        _written_down,
        "C3",
        Stage.PRODUCTION,
    ),
    Mutant(
        "configuration.secret_in_a_backup",
        "an old backup has the database's password",
        Place.VOLUME,
        ("configuration.no_secret_in_a_file",),
        _backed_up,
        "C3",
        Stage.PRODUCTION,
    ),
    Mutant(
        "configuration.secret_in_a_log",
        "a password is printed at a start",
        Place.CONTAINERS,
        ("configuration.no_secret_in_a_log",),
        _said,
        "C3",
        Stage.PRODUCTION,
    ),
    Mutant(
        "configuration.secret_as_argument",
        "a password is a program's argument",
        Place.CONTAINERS,
        ("configuration.no_secret_in_the_process_list",),
        _as_argument,
        "C3",
        Stage.PRODUCTION,
    ),
    Mutant(
        "configuration.mail_host",
        "mail goes to a host that is none",
        Place.ENVIRONMENT,
        (MAIL,),
        seen="E1",
        stage=Stage.PRODUCTION,
        environment={"MATOMO_MAIL_HOST": "mial"},
    ),
    Mutant(
        "configuration.mail_password",
        "the relay's password was rotated on its side alone",
        Place.MAIL,
        (MAIL,),
        seen="D9",
        stage=Stage.PRODUCTION,
        environment={"MATOMO_MAIL_PASSWORD": "of last year"},
    ),
    Mutant(
        "configuration.mail_encryption_by_another_name",
        "the encryption of mail is another program's word for it",
        Place.ENVIRONMENT,
        ("configuration.mail_settings_are_words_of_matomo_s",),
        environment={"MATOMO_MAIL_ENCRYPTION": "starttls"},
        stage=Stage.PRODUCTION,
    ),
    Mutant(
        "configuration.mail_encryption_lost",
        "nothing says that mail is sent by TLS",
        Place.ENVIRONMENT,
        (SET,),
        seen="E1",
        stage=Stage.PRODUCTION,
        environment={"MATOMO_MAIL_ENCRYPTION": ""},
    ),
    Mutant(
        "configuration.mail_misspelt",
        "the relay's name is in a variable that is misspelt",
        Place.ENVIRONMENT,
        (MAIL, SET, "configuration.no_useless_variable"),
        seen="C1",
        stage=Stage.PRODUCTION,
        environment={"MATOMO_MAIL_HOST": None, "MATOMO_MAIL_HOTS": "mail"},
    ),
    Mutant(
        "configuration.old_password_in_the_file",
        "config.ini.php still has the password of before the environment had it",
        Place.VOLUME,
        ("configuration.no_secret_of_before_in_the_file",),
        key("database", "password", "of last year"),
        "C3",
    ),
    Mutant(
        "configuration.plugins_by_upload",
        "a browser may upload plugins",
        Place.FILE,
        ("configuration.code_comes_from_the_image_alone", "drift.file_is_the_image_s"),
        key("General", "enable_plugin_upload", 1),
        "U5",
    ),
    Mutant(
        "configuration.auto_update",
        "a browser may update the code",
        Place.FILE,
        ("configuration.code_comes_from_the_image_alone", "drift.file_is_the_image_s"),
        key("General", "enable_auto_update", 1),
        "U5",
    ),
    Mutant(
        "configuration.certificate_expired",
        "the load balancer's certificate ended yesterday",
        Place.CERTIFICATE,
        ("configuration.login_is_near", "configuration.cookies_are_secure"),
        _expired,
        "E3",
        Stage.PRODUCTION,
    ),
    Mutant(
        "configuration.any_certificate_of_the_database",
        "whatever certificate the database shows is taken",
        Place.IMAGE,
        ("configuration.database_s_certificate_is_checked",),
        in_web("printf '\\n[database]\\nssl_no_verify = 1\\n' >> config/common.config.ini.php"),
        "D4",
        Stage.PRODUCTION,
    ),
    Mutant(
        "configuration.environment_written_down",
        "a start script has written all variables, passwords too, to /etc/environment",
        Place.CONTAINERS,
        ("configuration.no_secret_in_a_file",),
        in_web("env | grep ^MATOMO_ > /etc/environment"),
        "C3",
        Stage.PRODUCTION,
    ),
    Mutant(
        "configuration.hits_in_clear_text",
        "the load balancer takes old pages' hits by http and redirects the rest",
        Place.PROXY,
        ("configuration.clear_text_leads_to_tls",),
        load_balancer(
            "sed -i 's#^\\( *http-request redirect code 301.*\\)$#"
            "\\1 unless { path /matomo.php }\\n    default_backend target-group#'"
            " /etc/haproxy/haproxy.cfg; grep -q 'unless { path' /etc/haproxy/haproxy.cfg"
        ),
        "X1",
        Stage.PRODUCTION,
    ),
    Mutant(
        "configuration.charset_of_three_bytes",
        "the database is spoken to in MySQL's old utf8",
        Place.ENVIRONMENT,
        ("configuration.every_letter_is_kept",),
        seen="U7",
        stage=Stage.PAIR,
        environment={"MATOMO_DATABASE_CHARSET": "utf8"},
    ),
    Mutant(
        "configuration.third_party_cookie",
        "the tracker knows a visitor on every site by one cookie, since a pull request",
        Place.IMAGE,
        (SAFEGUARDS,),
        image_file(with_key("Tracker", "use_third_party_id_cookie", 1)),
        stage=Stage.PAIR,
    ),
    Mutant(
        "configuration.session_of_a_week",
        "who is logged in stays so for a week, since a pull request",
        Place.IMAGE,
        (SAFEGUARDS,),
        image_file(with_key("General", "login_session_not_remembered_idle_timeout", 604800)),
        stage=Stage.PAIR,
    ),
    Mutant(
        "configuration.any_certificate_of_the_relay",
        "whatever certificate the mail relay shows is taken",
        Place.VOLUME,
        (SAFEGUARDS,),
        in_web("printf '\n[mail]\nssl_verify_peer = 0\n' >> config/common.config.ini.php"),
        "E3",
        Stage.PAIR,
    ),
    Mutant(
        "configuration.cookies_for_scripts",
        "the web server takes HttpOnly from every cookie, for a script that is to see who is there",
        Place.IMAGE,
        ("configuration.cookies_are_not_for_scripts",),
        apache('Header edit* Set-Cookie "(?i); *HttpOnly" ""'),
        stage=Stage.PAIR,
    ),
    Mutant(
        "configuration.cookies_for_other_sites",
        "the web server lets other sites' pages send the session's cookie, for a frame",
        Place.IMAGE,
        ("configuration.cookies_are_not_for_scripts",),
        apache('Header edit* Set-Cookie "SameSite=Lax" "SameSite=None"'),
        stage=Stage.PAIR,
    ),
    Mutant(
        "configuration.old_tls",
        "the load balancer takes browsers by TLS 1.0 and weak ciphers, for an old device",
        Place.PROXY,
        ("configuration.old_tls_is_refused",),
        load_balancer(
            "sed -i 's/ssl-min-ver TLSv1.2/ssl-min-ver TLSv1.0 ciphers DEFAULT:@SECLEVEL=0/'"
            " /etc/haproxy/haproxy.cfg; grep -q 'ssl-min-ver TLSv1.0' /etc/haproxy/haproxy.cfg"
        ),
        stage=Stage.PRODUCTION,
    ),
    Mutant(
        "configuration.backup_without_uploads",
        "the backup leaves misc/ out, to save space",
        Place.IMAGE,
        ("configuration.backup_is_whole",),
        program("backup-data.sh", "s/part in config misc js/part in config js/"),
        "F5",
        Stage.PAIR,
    ),
    Mutant(
        "configuration.live_file_overwritten",
        "the entrypoint puts the image's config.ini.php over the live one at each start, against drift",
        Place.IMAGE,
        ("configuration.a_start_leaves_the_live_file",),
        program("matomo-entrypoint", 's/if \\[ ! -e "$live" \\]; then/if true; then/'),
        "C9",
        Stage.PAIR,
    ),
    Mutant(
        "configuration.tables_of_three_bytes",
        "of a restored dump in MySQL's old utf8 one table was converted",
        Place.DATABASE,
        ("configuration.tables_are_of_one_charset",),
        sql("ALTER TABLE {prefix}log_visit CONVERT TO CHARACTER SET utf8mb3"),
        "U7",
    ),
    Mutant(
        "configuration.long_titles_cut",
        "titles and addresses are cut after 128 letters, to spare the database",
        Place.FILE,
        ("configuration.every_letter_is_kept",),
        key("Tracker", "page_maximum_length", 128),
    ),
    Mutant(
        "configuration.section_begun_twice",
        "a snippet with a [General] of its own was appended: PHP forgets all of the first",
        Place.IMAGE,
        ("configuration.file_is_well_formed",),
        image_file(lambda text: f"{text}\n[General]\nenable_update_communication = 0\n"),
        "C9",
        Stage.PAIR,
    ),
    Mutant(
        "configuration.health_check_may_not_ask",
        "PHP was hardened (allow_url_fopen): the health check calls every task unhealthy",
        Place.IMAGE,
        ("configuration.health_check_sees_what_is_wrong",),
        in_web(
            'directory=$(php -r "echo PHP_CONFIG_FILE_SCAN_DIR;");'
            " echo 'allow_url_fopen = Off' > $directory/99-hardened.ini"
        ),
        stage=Stage.PAIR,
    ),
    Mutant(
        "configuration.secret_in_json",
        "the task definition with its passwords, as JSON, was left beside the backup",
        Place.VOLUME,
        ("configuration.no_secret_in_a_file",),
        _task_definition,
        "C3",
        Stage.PRODUCTION,
    ),
    Mutant(
        "configuration.environment_saved",
        "EnvironmentVariables no longer keeps what it reads out of the file, as the public plugin",
        Place.IMAGE,
        ("configuration.a_save_writes_no_secret",),
        code(
            "plugins/EnvironmentVariables/EnvironmentVariables.php",
            "['Config.beforeSave' => 'keepEnvironmentOutOfTheFile']",
            "[]",
        ),
        "C3",
        Stage.PAIR,
    ),
    Mutant(
        "configuration.empty_volume_stays_empty",
        "the entrypoint leaves an empty config/ alone, as a mounted one is never to be touched",
        Place.IMAGE,
        ("configuration.a_start_gives_an_empty_volume_the_file",),
        program("matomo-entrypoint", 's/if \\[ ! -e "$live" \\]; then/if false; then/'),
        "C5",
        Stage.PAIR,
    ),
    Mutant(
        "configuration.file_unread",
        "a variable NAME_FILE is no longer read, and mounted secrets set nothing",
        Place.IMAGE,
        ("configuration.a_value_in_a_file_wins",),
        code(ENVIRONMENT, IN_A_FILE, f"false && {IN_A_FILE}"),
        "C7",
        Stage.PAIR,
    ),
    Mutant(
        "configuration.no_authority_no_tls",
        "where no authority is named the database is spoken to in clear, whatever ENABLE_SSL says",
        Place.IMAGE,
        ("configuration.no_clear_text_in_silence",),
        code(ENVIRONMENT, NO_AUTHORITY, "return false &&"),
        "D4",
        Stage.PAIR,
    ),
    Mutant(
        "configuration.backup_goes_on",
        "the backup goes on after an error: half a copy takes the last whole one's place",
        Place.IMAGE,
        ("configuration.a_backup_that_breaks_off_is_not_taken",),
        program("backup-data.sh", "s/^set -eu$/set -u/"),
        "F5",
        Stage.PAIR,
    ),
    Mutant(
        "configuration.restore_without_misc",
        "the restore leaves misc/ out, and with it the database of countries and the logos",
        Place.IMAGE,
        ("configuration.a_restore_brings_all_back",),
        program(
            "restore-data.sh",
            "s/find config misc js -type f) | grep/find config js -type f) | grep/",
        ),
        "F5",
        Stage.PAIR,
    ),
    Mutant(
        "configuration.long_visits_divided",
        "a visit ends after 25 actions, against robots: who reads much is counted several times",
        Place.FILE,
        (SAFEGUARDS,),
        key("Tracker", "create_new_visit_after_x_actions", 25),
    ),
)
