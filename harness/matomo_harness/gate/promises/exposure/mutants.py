"""Mutants of exposure: something is disclosed over HTTP that nobody outside should see."""

from typing import Final

from matomo_harness.gate.mutants import Change, Location, Mutants, Topology
from matomo_harness.gate.mutants.changes import (
    apache,
    code,
    every,
    file,
    in_web,
    key,
    web_server,
    without_line,
)
from matomo_harness.matomo import ini
from matomo_harness.matomo.container import SEED

MUTANTS: Final = Mutants("exposure")

CLOSED: Final = (
    *("configuration_is_closed", "caches_and_languages_are_closed", "code_is_closed"),
    *("console_is_closed", "backups_and_dot_files_are_closed", "everything_else_is_closed"),
)
"""The checks of the policy's closed paths."""
LISTING: Final = ("<Directory /var/www/html>", "Options +Indexes", "</Directory>")
NO_RULES: Final[Change] = web_server(
    "find . -name .htaccess -delete;"
    " sed -i '/LocationMatch/,/LocationMatch/d' /etc/apache2/conf-enabled/zz-matomo.conf"
)
"""Removes the image's rules and Matomo's own .htaccess files."""
ALL_OF_A_CHECKOUT: Final = r"""
a2disconf -q zz-matomo
rm -f /etc/apache2/conf-enabled/security.conf
find . -name .htaccess -delete
mkdir -p vendor/composer .git backup/config misc/cron
for file in vendor/composer/installed.json .git/config composer.json package.json README.md \
    LICENSE backup/config/config.ini.php misc/cron/archive.php .htaccess .env; do
    echo > $file
done
"""
"""Removes the image's web server configuration, and adds the files that a checkout has."""


def _open(path: str) -> Change:
    """Put a file at `path`, which no rule closes."""
    return every(in_web(f"mkdir -p $(dirname {path}) && echo x >> {path}"), NO_RULES)


def opened(directory: str) -> Change:
    """Open a directory as Matomo's own .htaccess files do: any file in it may be had."""
    return apache(
        f'<LocationMatch "^/{directory}/[^.]">', "Require all granted", "</LocationMatch>"
    )


# -- what can be fetched --------------------------------------------------------------------------

MUTANTS.add(
    "config",
    "config/ is open: no rules and no .htaccess",
    Location.IMAGE,
    "configuration_is_closed",
    _open("config/config.ini.php.bak"),
    "S1",
    Topology.DEDICATED,
)
MUTANTS.add(
    "caches",
    "tmp/ and lang/ are open",
    Location.IMAGE,
    "caches_and_languages_are_closed",
    _open("tmp/cache/x"),
    "S1",
    Topology.DEDICATED,
)
MUTANTS.add(
    "code",
    "package lists are open",
    Location.IMAGE,
    "code_is_closed",
    _open("vendor/composer/installed.json"),
    "S1",
    Topology.DEDICATED,
)
MUTANTS.add(
    "console",
    "the console is served as text",
    Location.IMAGE,
    "console_is_closed",
    NO_RULES,
    "S1",
    Topology.DEDICATED,
)
MUTANTS.add(
    "git",
    "the repository is in the image",
    Location.IMAGE,
    "backups_and_dot_files_are_closed",
    _open(".git/config"),
    "M5",
    Topology.DEDICATED,
)
MUTANTS.add(
    "backup",
    "a backup lies in the web root",
    Location.VOLUME,
    "backups_and_dot_files_are_closed",
    _open("backup/config/config.ini.php"),
    "S1",
    Topology.DEDICATED,
)
MUTANTS.add(
    "phpinfo",
    "somebody left a phpinfo.php behind",
    Location.VOLUME,
    "everything_else_is_closed",
    every(in_web("echo '<?php phpinfo();' > phpinfo.php"), NO_RULES),
    "S1",
    Topology.DEDICATED,
)
MUTANTS.add(
    "guard_lost",
    "config.ini.php was rendered without its first line, the guard",
    Location.FILE,
    "configuration_guards_itself",
    file(without_line(ini.HEADER.strip())),
    "S7",
)
MUTANTS.add(
    "guard_of_the_image_lost",
    "a pull request took the guard for a comment and removed it from the image's file",
    Location.IMAGE,
    "configuration_guards_itself",
    in_web(f"sed -i 1d {SEED}"),
    "S7",
    Topology.DEDICATED,
)
MUTANTS.add(
    "dump_beside_the_tracker",
    "a packed dump of the database lies in js/",
    Location.VOLUME,
    "no_dump_is_open",
    every(in_web("echo dump | gzip > js/matomo.sql.gz; chmod 644 js/matomo.sql.gz"), NO_RULES),
    "S1",
    Topology.DEDICATED,
)
MUTANTS.add(
    "editors_copy_beside_the_tracker",
    "an editor's copy of config.ini.php lies in js/ on EFS, and js/ is open as Matomo's .htaccess has it",
    Location.VOLUME,
    ("only_known_files_are_served", "nothing_is_left_over"),
    every(
        in_web("cp config/config.ini.php js/config.ini.php.save; chmod 644 js/config.ini.php.save"),
        opened("js"),
    ),
    "S8",
    Topology.DEDICATED,
)
MUTANTS.add(
    "notes_beside_the_tracker",
    "somebody keeps notes in js/, which is open, and nobody named them",
    Location.VOLUME,
    "only_known_files_are_served",
    every(in_web("echo 'to do' > js/notes.txt; chmod 644 js/notes.txt"), opened("js")),
    "S8",
    Topology.DEDICATED,
)
MUTANTS.add(
    "copy_at_the_top",
    "the top of the web root is open, and the image has a copy of config.ini.php there",
    Location.IMAGE,
    "only_known_files_are_served",
    every(
        in_web(
            "for top in . /usr/src/matomo; do echo 'password = x' > $top/config.ini.php.save; done"
        ),
        NO_RULES,
    ),
    "S8",
    Topology.DEDICATED,
)
MUTANTS.add(
    "zone_identifiers",
    "the repository was unpacked on Windows, and its plugin came with files of another kind",
    Location.IMAGE,
    "nothing_is_left_over",
    in_web("touch '/usr/src/matomo/plugins/NoUserIds/plugin.json:Zone.Identifier'"),
    "M5",
    Topology.DEDICATED,
)
MUTANTS.add(
    "tmp_elsewhere",
    "tmp/ was moved to misc/tmp, so as to be on EFS, and no rule closes it there",
    Location.FILE,
    "tmp_is_closed",
    every(
        in_web("mkdir -p misc/tmp && chmod 777 misc/tmp"),
        opened("misc/tmp"),
        key("General", "tmp_path", "/misc/tmp"),
    ),
    "S1",
    Topology.DEDICATED,
)
MUTANTS.add(
    "state_by_another_name",
    "the web server's status page is at /status for a monitor, and open to everybody",
    Location.IMAGE,
    "state_of_the_web_server_is_closed",
    apache("<Location /status>", "SetHandler server-status", "Require all granted", "</Location>"),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "listing",
    "directories are listed",
    Location.IMAGE,
    "no_directory_is_listed",
    every(
        in_web("find js plugins misc -maxdepth 1 -name 'index.*' -delete"),
        apache(*LISTING),
        # The image's list of what may be had refuses the directory, and the pages that Apache looks
        # for in it before it lists anything.
        apache(
            *('<LocationMatch "^/plugins/$">', "Require all granted", "</LocationMatch>"),
            *("<Directory /var/www/html>", "DirectoryIndex disabled", "</Directory>"),
        ),
    ),
    "S1",
    Topology.DEDICATED,
)
MUTANTS.add(
    "no_configuration",
    "the web server runs without the image's configuration, on a volume with a whole checkout",
    Location.IMAGE,
    (
        *CLOSED,
        *("no_directory_is_listed", "web_server_tells_no_version", "php_tells_no_version"),
        *("error_pages_tell_no_version", "security_headers_are_there", "trace_is_refused"),
    ),
    every(
        in_web(ALL_OF_A_CHECKOUT),
        apache("TraceEnable On", "ServerSignature On", *LISTING),
    ),
    "S1",
    Topology.DEDICATED,
)

# -- what the server discloses --------------------------------------------------------------------

MUTANTS.add(
    "server_version",
    "the web server discloses its version",
    Location.IMAGE,
    "web_server_tells_no_version",
    apache("ServerTokens Full"),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "version_by_via",
    "the header Via discloses the web server's version",
    Location.IMAGE,
    "web_server_tells_no_version",
    apache('Header always set Via "1.1 matomo.example (Apache/2.4.62)"'),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "signature",
    "error pages disclose the version",
    Location.IMAGE,
    "error_pages_tell_no_version",
    apache("ServerTokens Full", "ServerSignature On"),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "php_version",
    "PHP discloses its version",
    Location.IMAGE,
    "php_tells_no_version",
    web_server(
        "sed -i '/X-Powered-By/d' /etc/apache2/conf-enabled/zz-matomo.conf;"
        " echo 'Header always set X-Powered-By PHP/8.4.1' > /etc/apache2/conf-enabled/zzz.conf"
    ),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "paths",
    "an error page discloses where files lie",
    Location.IMAGE,
    "errors_tell_no_path",
    code("index.php", "<?php", '<?php echo "/var/www/html/index.php";'),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "php_errors",
    "PHP prints its errors into pages",
    Location.IMAGE,
    "php_errors_are_not_shown",
    apache("php_admin_flag display_errors on"),
    topology=Topology.FULL_STACK,
)

# -- what browsers and caches receive -------------------------------------------------------------

MUTANTS.add(
    "header_lost",
    "a security header is not sent",
    Location.IMAGE,
    "security_headers_are_there",
    apache("Header always unset X-Content-Type-Options", "Header unset X-Content-Type-Options"),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "csp_off",
    "no Content-Security-Policy is sent",
    Location.FILE,
    ("security_headers_are_there", "settings.file_is_of_the_image"),
    key("General", "csp_enabled", 0),
    "A11",
)
MUTANTS.add(
    "framed_by_everybody",
    "X-Frame-Options is sent, with a value that forbids nothing",
    Location.IMAGE,
    "security_headers_are_there",
    apache("Header set X-Frame-Options ALLOWALL"),
    "S1",
    Topology.DEDICATED,
)
MUTANTS.add(
    "dashboards_framed",
    "every site may frame reports and dashboards, because the intranet shows one",
    Location.IMAGE,
    "security_headers_are_on_inner_pages",
    apache(
        '<If "%{QUERY_STRING} =~ /module=CoreHome/">',
        "Header unset X-Frame-Options",
        "Header always unset X-Frame-Options",
        "</If>",
    ),
    "A11",
    Topology.DEDICATED,
)
MUTANTS.add(
    "pages_in_every_cache",
    "every cache may store all answers for an hour, for speed",
    Location.IMAGE,
    "pages_stay_out_of_caches",
    apache('Header set Cache-Control "public, max-age=3600"'),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "read_by_others",
    "scripts of every other site may read every page",
    Location.IMAGE,
    "no_other_site_may_read",
    apache('Header always set Access-Control-Allow-Origin "*"'),
    topology=Topology.DEDICATED,
)
MUTANTS.add(
    "api_read_by_others",
    "cors_domains is *: scripts of every site may read what the API answers",
    Location.FILE,
    ("no_other_site_may_read", "settings.no_safeguard_is_off"),
    key("General", "cors_domains[]", "*"),
    "A11",
)
MUTANTS.add(
    "trace",
    "TRACE is answered",
    Location.IMAGE,
    "trace_is_refused",
    apache("TraceEnable On"),
    topology=Topology.DEDICATED,
)
