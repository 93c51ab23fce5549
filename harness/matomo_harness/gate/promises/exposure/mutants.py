"""Mutants of exposure: something is told or shown over HTTP."""

from typing import Final

from matomo_harness.gate.mutation.changes import apache, code, every, in_web, key, web_server
from matomo_harness.gate.mutation.mutant import Change, Mutant, Place, Stage

NO_RULES: Final[Change] = web_server(
    "find . -name .htaccess -delete; sed -i '/LocationMatch/,/LocationMatch/d' /etc/apache2/conf-enabled/zz-matomo.conf"
)
"""Neither the image's rules nor Matomo's own files."""

OPEN: Final = r"""
a2disconf -q zz-matomo
rm -f /etc/apache2/conf-enabled/security.conf
find . -name .htaccess -delete
mkdir -p vendor/composer .git backup/config misc/cron
for it in vendor/composer/installed.json .git/config composer.json package.json README.md LICENSE \
    backup/config/config.ini.php misc/cron/archive.php .htaccess .env; do echo > $it; done
"""


def _with(path: str) -> Change:
    return every(in_web(f"mkdir -p $(dirname {path}) && echo x >> {path}"), NO_RULES)


MUTANTS: Final = (
    Mutant(
        "exposure.config",
        "config/ is open: no rules and no .htaccess",
        Place.IMAGE,
        ("exposure.configuration_is_closed",),
        _with("config/config.ini.php.bak"),
        "S1",
        Stage.PAIR,
    ),
    Mutant(
        "exposure.caches",
        "tmp/ and lang/ are open",
        Place.IMAGE,
        ("exposure.caches_and_languages_are_closed",),
        _with("tmp/cache/x"),
        "S1",
        Stage.PAIR,
    ),
    Mutant(
        "exposure.code",
        "lists of packages are open",
        Place.IMAGE,
        ("exposure.code_is_closed",),
        _with("vendor/composer/installed.json"),
        "S1",
        Stage.PAIR,
    ),
    Mutant(
        "exposure.console",
        "the console is served as a text",
        Place.IMAGE,
        ("exposure.console_is_closed",),
        NO_RULES,
        "S1",
        Stage.PAIR,
    ),
    Mutant(
        "exposure.git",
        "the repository is in the image",
        Place.IMAGE,
        ("exposure.backups_and_dot_files_are_closed",),
        _with(".git/config"),
        "M5",
        Stage.PAIR,
    ),
    Mutant(
        "exposure.backup",
        "a backup lies in the web root",
        Place.VOLUME,
        ("exposure.backups_and_dot_files_are_closed",),
        _with("backup/config/config.ini.php"),
        "S1",
        Stage.PAIR,
    ),
    Mutant(
        "exposure.phpinfo",
        "somebody left phpinfo.php",
        Place.VOLUME,
        ("exposure.everything_else_is_closed",),
        in_web("echo '<?php phpinfo();' > phpinfo.php"),
        "S1",
        Stage.PAIR,
    ),
    Mutant(
        "exposure.listing",
        "directories are listed",
        Place.IMAGE,
        ("exposure.no_directory_is_listed",),
        every(
            in_web("find js plugins misc -maxdepth 1 -name 'index.*' -delete"),
            apache("<Directory /var/www/html>", "Options +Indexes", "</Directory>"),
        ),
        "S1",
        Stage.PAIR,
    ),
    Mutant(
        "exposure.server_version",
        "the web server tells its version",
        Place.IMAGE,
        ("exposure.web_server_tells_no_version",),
        apache("ServerTokens Full"),
        stage=Stage.PAIR,
    ),
    Mutant(
        "exposure.signature",
        "error pages tell the version",
        Place.IMAGE,
        ("exposure.error_pages_tell_no_version",),
        apache("ServerTokens Full", "ServerSignature On"),
        stage=Stage.PAIR,
    ),
    Mutant(
        "exposure.php_version",
        "PHP tells its version",
        Place.IMAGE,
        ("exposure.php_tells_no_version",),
        web_server(
            "sed -i '/X-Powered-By/d' /etc/apache2/conf-enabled/zz-matomo.conf;"
            " echo 'Header always set X-Powered-By PHP/8.4.1' > /etc/apache2/conf-enabled/zzz.conf"
        ),
        stage=Stage.PAIR,
    ),
    Mutant(
        "exposure.version_by_via",
        "the header Via tells the web server's version",
        Place.IMAGE,
        ("exposure.web_server_tells_no_version",),
        apache('Header always set Via "1.1 matomo.example (Apache/2.4.62)"'),
        stage=Stage.PAIR,
    ),
    Mutant(
        "exposure.php_errors",
        "PHP prints its errors into pages",
        Place.IMAGE,
        ("exposure.php_errors_are_not_shown",),
        apache("php_admin_flag display_errors on"),
        stage=Stage.PRODUCTION,
    ),
    Mutant(
        "exposure.header_lost",
        "a security header is not sent",
        Place.IMAGE,
        ("exposure.security_headers_are_there",),
        apache("Header always unset X-Content-Type-Options", "Header unset X-Content-Type-Options"),
        stage=Stage.PAIR,
    ),
    Mutant(
        "exposure.csp_off",
        "no Content-Security-Policy is sent",
        Place.FILE,
        ("exposure.security_headers_are_there", "drift.file_is_the_image_s"),
        key("General", "csp_enabled", 0),
        "A11",
    ),
    Mutant(
        "exposure.read_by_others",
        "every other site's script may read every page",
        Place.IMAGE,
        ("exposure.no_other_site_s_script_may_read",),
        apache('Header always set Access-Control-Allow-Origin "*"'),
        stage=Stage.PAIR,
    ),
    Mutant(
        "exposure.trace",
        "TRACE is answered",
        Place.IMAGE,
        ("exposure.trace_is_refused",),
        apache("TraceEnable On"),
        stage=Stage.PAIR,
    ),
    Mutant(
        "exposure.paths",
        "an error page tells where files lie",
        Place.IMAGE,
        ("exposure.matomo_s_errors_tell_no_path",),
        code("index.php", "<?php", '<?php echo "/var/www/html/index.php";'),
        stage=Stage.PAIR,
    ),
    Mutant(
        "exposure.no_configuration",
        "the web server runs without the image's configuration, on a volume with all of a checkout",
        Place.IMAGE,
        tuple(
            f"exposure.{it}"
            for it in (
                *("configuration_is_closed", "caches_and_languages_are_closed", "code_is_closed"),
                *("console_is_closed", "backups_and_dot_files_are_closed"),
                *("everything_else_is_closed", "no_directory_is_listed"),
                *("web_server_tells_no_version", "php_tells_no_version"),
                *("error_pages_tell_no_version", "security_headers_are_there", "trace_is_refused"),
            )
        ),
        every(
            in_web(OPEN),
            apache(
                "TraceEnable On",
                "ServerSignature On",
                "<Directory /var/www/html>",
                "Options +Indexes",
                "</Directory>",
            ),
        ),
        "S1",
        Stage.PAIR,
    ),
    Mutant(
        "exposure.dump_beside_the_tracker",
        "a dump of the database lies in js/, packed",
        Place.VOLUME,
        ("exposure.no_dump_is_to_be_had",),
        in_web("echo dump | gzip > js/matomo.sql.gz; chmod 644 js/matomo.sql.gz"),
        "S1",
        Stage.PAIR,
    ),
    Mutant(
        "exposure.framed_by_everybody",
        "X-Frame-Options is sent, with a value that forbids nothing",
        Place.IMAGE,
        ("exposure.security_headers_are_there",),
        apache("Header set X-Frame-Options ALLOWALL"),
        "S1",
        Stage.PAIR,
    ),
    Mutant(
        "exposure.dashboards_framed",
        "reports and dashboards may be framed by everybody, since the intranet shows one",
        Place.IMAGE,
        ("exposure.security_headers_are_on_inner_pages",),
        apache(
            '<If "%{QUERY_STRING} =~ /module=CoreHome/">',
            "Header unset X-Frame-Options",
            "Header always unset X-Frame-Options",
            "</If>",
        ),
        "A11",
        Stage.PAIR,
    ),
    Mutant(
        "exposure.api_read_by_others",
        "cors_domains is *: every site's script may read what the API answers",
        Place.FILE,
        ("exposure.no_other_site_s_script_may_read", "configuration.no_safeguard_is_off"),
        key("General", "cors_domains[]", "*"),
        "A11",
    ),
    Mutant(
        "exposure.pages_in_every_cache",
        "all answers may be kept by every cache for an hour, to be faster",
        Place.IMAGE,
        ("exposure.pages_stay_out_of_caches",),
        apache('Header set Cache-Control "public, max-age=3600"'),
        stage=Stage.PAIR,
    ),
    Mutant(
        "exposure.token_on_the_volume",
        "a script in js/, for a number on the institution's home page, has the superuser's token in it",
        Place.VOLUME,
        ("exposure.no_token_in_a_file",),
        lambda it: it.shell.write("js/visits.js", f"load('{it.instance.token}')"),
        "S1",
        Stage.PAIR,
    ),
    Mutant(
        "exposure.tmp_elsewhere",
        "tmp/ was moved to misc/tmp, to be on EFS, where nothing closes it",
        Place.FILE,
        ("exposure.matomo_s_own_tmp_is_closed",),
        every(
            in_web("mkdir -p misc/tmp && chmod 777 misc/tmp"),
            key("General", "tmp_path", "/misc/tmp"),
        ),
        "S1",
        Stage.PAIR,
    ),
    Mutant(
        "exposure.state_by_another_name",
        "the web server's page of its state is at /status, for a monitor, and for all others",
        Place.IMAGE,
        ("exposure.state_of_the_web_server_is_closed",),
        apache(
            *("<Location /status>", "SetHandler server-status", "Require all granted"),
            "</Location>",
        ),
        stage=Stage.PAIR,
    ),
)
