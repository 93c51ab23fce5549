"""Exposure: the web server reveals nothing that is not meant for the client that asks."""

import posixpath
import re
import secrets
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import quote

import requests
from pydantic import Field

from matomo_harness.gate.core.check import (
    CannotTellError,
    Capability,
    Finding,
    Group,
    NothingPromisedError,
    Severity,
    holds,
    nothing,
    same,
)
from matomo_harness.gate.core.promise import ALWAYS, Promise
from matomo_harness.gate.core.target import Http, Permissions, Services
from matomo_harness.gate.probes.pages import TODAY, PublicPages, SuperuserPages
from matomo_harness.gate.probes.php import Php
from matomo_harness.gate.probes.web_root import WebRoot
from matomo_harness.matomo import ini
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.policy import Names, Section, promised


class Exposure(Section, table="exposure"):
    """What the web server tells and shows to whoever asks."""

    no_version_banners: bool | None = Field(
        default=None,
        description="No header and no error page tells the version of the web server or of PHP.",
    )
    security_headers: Names | None = Field(
        default=None, description="Headers that every page has, by name."
    )
    closed_paths: Names | None = Field(
        default=None,
        description="Paths below Matomo's address that are never answered with 200, whether they"
        " exist or not.",
    )
    may_be_served: Names = Field(
        default=(),
        description="Files in the web root that may be had and are neither Matomo's nor a plugin's,"
        " as a path or a pattern such as `js/ours_*.js`.",
    )


PROMISE: Final = Promise(
    "exposure",
    "The web server reveals nothing that is not meant for the client that asks.",
    Exposure,
)

FOLDERS_OF_CODE: Final = ("core", "vendor", "node_modules", "libs", "misc", "composer", "package")
"""How the paths of code and of package lists begin."""
LISTED: Final = (
    "js/",
    "plugins/",
    "misc/",
    "misc/user/",
    "libs/",
    "node_modules/",
    "tmp/",
    "core/",
)
"""Directories that a web server lists where it is allowed to."""
INNER: Final = (
    *(("CoreHome", "index"), ("Dashboard", "embeddedIndex"), ("MultiSites", "index")),
    *(("CoreAdminHome", "home"), ("UsersManager", "index")),
)
"""Module and action of one page of each kind behind the login."""
VALUES: Final = {
    "X-Frame-Options": {"sameorigin", "deny"},
    "X-Content-Type-Options": {"nosniff"},
}
"""Headers whose other values have no effect (RFC 7034; Fetch, X-Content-Type-Options)."""
OF_EACH_KIND: Final = 20
"""So many files of one directory with one ending are asked for: a web server treats them alike."""
DUMPS: Final = re.compile(
    r".*\.(sql|dump|bak|old|orig|zip|tar|tgz|gz|bz2|xz|7z|log|csv)(\.[a-z0-9]+)?"
)
"""Names of dumps, copies and logs."""
STATE: Final = r"(?i)SetHandler\s+\W?(server-status|server-info|ldap-status|balancer-manager)"
"""Pages on which the web server shows what it is doing and for whom (mod_status and others)."""
FILE_MARK: Final = "FILE "
"""Goes before each file's name in what a script says."""
RULES: Final = "in the web server's configuration (image/config/apache.conf)"


# -- what can be fetched --------------------------------------------------------------------------


def _open(http: Http, paths: Iterable[str]) -> list[str]:
    """Describe the answer of each path that is answered with 200."""
    return [
        f"{path}: HTTP {answer.status_code}, {len(answer.content)} bytes"
        for path in paths
        if (answer := http.web.ask(path)).status_code == requests.codes.ok
    ]


def _all_closed(http: Http, paths: Iterable[str]) -> Finding:
    """Find that none of `paths` is answered with 200.

    Raises:
        NothingPromisedError: the policy names none of this kind; none is asked for then.
    """
    asked = list(paths)
    if not asked:
        raise NothingPromisedError("closed_paths of [exposure] names no such path")
    return nothing("open path", _open(http, asked))


def _closed_below(*beginnings: str) -> Callable[..., Finding]:
    def check(exposure: Exposure, http: Http) -> Finding:
        closed = promised(exposure.closed_paths)
        return _all_closed(http, (path for path in closed if path.startswith(beginnings)))

    return check


BEGINNINGS: Final[dict[str, tuple[str, ...]]] = {
    "configuration_is_closed": ("config",),
    "caches_and_languages_are_closed": ("tmp", "lang"),
    "code_is_closed": FOLDERS_OF_CODE,
    "console_is_closed": ("console",),
    "backups_and_dot_files_are_closed": ("backup", ".", "config/config.ini.php."),
}
"""How the paths begin that each of these checks requests; everything_else_is_closed has the rest."""

for _name, _sentence, _severity, _remedy in (
    (
        "configuration_is_closed",
        "No configuration file can be fetched over HTTP.",
        Severity.CRITICAL,
        f"Deny config/ {RULES}, and change the passwords that were exposed.",
    ),
    (
        "caches_and_languages_are_closed",
        "Nothing below tmp/ and lang/ can be fetched over HTTP.",
        Severity.CRITICAL,
        f"Deny tmp/ and lang/ {RULES}.",
    ),
    (
        "code_is_closed",
        "No code and no package list can be fetched over HTTP.",
        Severity.MEDIUM,
        f"Deny the folders of code and the package lists {RULES}.",
    ),
    (
        "console_is_closed",
        "The console cannot be fetched over HTTP.",
        Severity.MEDIUM,
        f"Deny the file console {RULES}.",
    ),
    (
        "backups_and_dot_files_are_closed",
        "No backup, dot file or repository can be fetched over HTTP.",
        Severity.CRITICAL,
        f"Remove the copy from the web root or its volume, and deny such names {RULES}.",
    ),
):
    PROMISE.check(
        _name,
        sentence=_sentence,
        proves="closed_paths",
        severity=_severity,
        remedy=_remedy,
        failure_mode="S1",
    )(_closed_below(*BEGINNINGS[_name]))


@PROMISE.check(
    "everything_else_is_closed",
    proves="closed_paths",
    severity=Severity.HIGH,
    remedy=f"Remove the file from the web root, or deny its path {RULES}.",
    failure_mode="S1",
)
def everything_else_is_closed(exposure: Exposure, http: Http) -> Finding:
    """No other path that the policy lists as closed can be fetched over HTTP."""
    elsewhere = tuple(beginning for group in BEGINNINGS.values() for beginning in group)
    closed = promised(exposure.closed_paths)
    return _all_closed(http, (path for path in closed if not path.startswith(elsewhere)))


@PROMISE.check(
    "configuration_guards_itself",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy=f"Put `{ini.HEADER.strip()}` back as the first line of the file that is named.",
    failure_mode="S7",
)
def configuration_guards_itself(container: MatomoContainer) -> Finding:
    """Run as PHP, each configuration file ends at its first line: no rule closes config/ everywhere."""
    profile = container.profile
    of_matomo = f"{profile.code}/config/*.ini.php {posixpath.dirname(profile.seed)}/*.ini.php"
    # In a shared container the other files of config/ are other instances'.
    live = container.config if container.instance else "config/*.ini.php"
    said = container.run(
        "sh",
        "-c",
        f'for file in {live} {of_matomo}; do [ ! -f $file ] || {{ echo "{FILE_MARK}$file";'
        " php -n -d display_errors=0 $file 2>/dev/null || true; echo; }; done",
    )
    shown = []
    for part in said.split(FILE_MARK)[1:]:
        path, _, text = part.partition("\n")
        # Never the lines themselves: passwords are among them.
        if lines := [line for line in text.splitlines() if "=" in line or line.startswith("[")]:
            shown.append(f"{path}: {len(lines)} lines are shown")
    return nothing("setting that is shown", shown)


@PROMISE.check(
    "no_dump_is_open",
    formerly="exposure.no_dump_is_to_be_had",
    proves=ALWAYS,
    severity=Severity.CRITICAL,
    remedy="Move the file out of the web root and its volumes, and change the passwords in it.",
    failure_mode="S1",
    group=Group.WEB_ROOT,
)
def no_dump_is_open(container: MatomoContainer, root: WebRoot, http: Http) -> Finding:
    """No dump, archive or log in the web root, other than the image's own files, can be fetched."""
    # BusyBox's find knows neither -regextype nor -printf; it fails where it may not look.
    listed = "find -L . -type f 2>/dev/null || true"
    found = container.run("sh", "-c", listed).splitlines()
    code = container.profile.code
    if code == container.profile.web_root:  # what was added lies among the image's own files
        ours = {f"./{path}" for path in {*root.files} - {*root.unknown}}
    else:
        ours = set(container.run("sh", "-c", f"cd {code} && {listed}").splitlines())
    dumps = (path for path in found if DUMPS.fullmatch(path) and path not in ours)
    return nothing("open dump", _open(http, (quote(path.removeprefix("./")) for path in dumps)))


@PROMISE.check(
    "only_known_files_are_served",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Remove the file from the web root or its volume, have the web server serve by a list of"
    " what may be had (image/config/apache.conf), or name it under may_be_served in [exposure].",
    failure_mode="S8",
    needs=[Capability.WEB_ROOT],
    group=Group.WEB_ROOT,
)
def only_known_files_are_served(
    exposure: Exposure, root: WebRoot, http: Http, permissions: Permissions
) -> Finding:
    """Of the web root nothing can be had that is not Matomo's own, a plugin's or named by the policy."""
    asked: dict[tuple[str, str], list[str]] = {}
    for path in root.unknown:
        if any(fnmatchcase(path, pattern) for pattern in exposure.may_be_served):
            continue
        # To ask for a program is to run it.
        if permissions.may_change or not path.endswith(".php"):
            directory, name = posixpath.split(path)
            asked.setdefault((directory, posixpath.splitext(name)[1]), []).append(path)
    web = http.web
    served = [
        path
        for alike in asked.values()
        for path in alike[:OF_EACH_KIND]
        if web.request("HEAD", quote(path)).status_code == requests.codes.ok
    ]
    return nothing("file that is served", served)


@PROMISE.check(
    "nothing_is_left_over",
    proves=ALWAYS,
    severity=Severity.LOW,
    remedy="Remove the file, and name its kind in .dockerignore and .gitignore.",
    failure_mode="M5",
    needs=[Capability.WEB_ROOT],
    group=Group.WEB_ROOT,
)
def nothing_is_left_over(root: WebRoot) -> Finding:
    """Nothing that editors, merges or desktops leave is in the web root or in the image's code."""
    return nothing("file left over", root.left_over)


@PROMISE.check(
    "state_of_the_web_server_is_closed",
    proves=ALWAYS,
    severity=Severity.CRITICAL,
    remedy="Remove the status page from the web server's configuration, or open it to the server's own"
    " machine alone (Require local).",
)
def state_of_the_web_server_is_closed(container: MatomoContainer, http: Http) -> Finding:
    """The web server's status page, which shows others' requests, is closed whatever its path is."""
    enabled = container.run(
        "sh",
        "-c",
        "cat /etc/apache2/*-enabled/*.conf /etc/apache2/apache2.conf 2>/dev/null || true",
    )
    if not enabled:
        raise CannotTellError("the web server is not Debian's Apache")
    blocks = re.findall(r"(?ims)^\s*<Location(?:Match)?\s+(.+?)>(.*?)</Location", enabled)
    paths = [path.strip("\"'^$~ /") for path, block in blocks if re.search(STATE, block)]
    return nothing("open page", _open(http, paths))


@PROMISE.check(
    "no_directory_is_listed",
    proves=ALWAYS,
    severity=Severity.MEDIUM,
    remedy=f"Set Options -Indexes for the web root {RULES}.",
    failure_mode="S1",
)
def no_directory_is_listed(http: Http) -> Finding:
    """The web server lists the content of no directory."""
    listed = [
        directory
        for directory in LISTED
        if re.search(r"Index of|Parent Directory", http.web.ask(directory).text)
    ]
    return nothing("listing", listed)


# -- what the server discloses --------------------------------------------------------------------


def _discloses_no_version(header: str, anywhere: str) -> Callable[..., Finding]:
    """Search `header` for a version, and every other header for a name with a version."""

    def check(public: PublicPages, http: Http) -> Finding:
        answers = (public.login_page, http.web.ask("matomo.js"), http.web.ask("no/such/page"))
        found = {
            f"{name}: {value}"
            for answer in answers
            for name, value in answer.headers.items()
            if re.search(r"\d+\.\d+" if name.lower() == header else anywhere, value)
        }
        return nothing("version", sorted(found))

    return check


for _name, _whose, _header, _anywhere, _remedy in (
    (
        "web_server_tells_no_version",
        "the web server's",
        "server",
        r"(?i)\b(apache|nginx|httpd|openssl|mod_\w+)/\d",
        f"Set ServerTokens Prod {RULES}, and have no proxy add a header with a version.",
    ),
    (
        "php_tells_no_version",
        "PHP's",
        "x-powered-by",
        r"(?i)\bphp/\d",
        f"Set expose_php = Off in php.ini, or unset X-Powered-By {RULES}.",
    ),
):
    PROMISE.check(
        _name,
        sentence=f"No answer discloses {_whose} version in any header.",
        proves="no_version_banners",
        severity=Severity.MEDIUM,
        remedy=_remedy,
    )(_discloses_no_version(_header, _anywhere))


@PROMISE.check(
    "error_pages_tell_no_version",
    proves="no_version_banners",
    severity=Severity.MEDIUM,
    remedy=f"Set ServerSignature Off and ServerTokens Prod {RULES}.",
)
def error_pages_tell_no_version(http: Http) -> Finding:
    """The web server's own error page discloses no version and no path."""
    text = http.web.ask("no/such/page").text
    versions = r"(?:Apache|nginx|openresty|lighttpd|PHP)/[\d.]+"
    return nothing("version or path", re.findall(rf"{versions}|/var/www\S*", text))


@PROMISE.check(
    "errors_tell_no_path",
    formerly="exposure.matomo_s_errors_tell_no_path",
    proves=ALWAYS,
    severity=Severity.MEDIUM,
    remedy="Turn off PIWIK_PRINT_ERROR_BACKTRACE and PHP's display_errors, and find the code that"
    " writes the path.",
)
def errors_tell_no_path(http: Http, container: MatomoContainer | None) -> Finding:
    """Matomo's errors disclose no path of the server to anybody who is not logged in."""
    text = http.web.get({"module": "API", "method": "No.such", "format": "JSON"}).text
    text += http.web.get({"module": "NoSuchModule"}).text if http.url.startswith("https") else ""
    paths = r"/var/www[\w/.-]*|#\d+ /"
    if container:
        paths += rf"|(?<![\w./-]){re.escape(container.profile.web_root)}/[\w/.-]*"
    # In JSON each slash is \/.
    return nothing("path", re.findall(paths, text.replace("\\/", "/")))


@PROMISE.check(
    "php_errors_are_not_shown",
    proves=ALWAYS,
    severity=Severity.MEDIUM,
    remedy="Set display_errors = Off in php.ini, and let no php_admin_flag override it.",
    group=Group.WEB_ROOT,
)
def php_errors_are_not_shown(php: Php, _services: Services) -> Finding:
    """No page shows a PHP error, with the paths and values in it: errors are for the log."""
    text = php.said_in_the_web_server(
        "ini_set('log_errors', '0'); trigger_error('canary', E_USER_WARNING); echo 'end';"
    )
    return same("end", text.strip())


# -- what browsers and caches receive -------------------------------------------------------------


def _missing(exposure: Exposure, page: requests.Response) -> list[str]:
    """Return the headers that a page lacks, and those with a value that has no effect."""
    missing = [name for name in promised(exposure.security_headers) if name not in page.headers]
    unknown = [
        f"{name}: {value}"
        for name, values in VALUES.items()
        if (value := page.headers.get(name))
        and not {part.strip().lower() for part in value.split(",")} <= values
    ]
    return missing + unknown


@PROMISE.check(
    "security_headers_are_there",
    proves="security_headers",
    severity=Severity.HIGH,
    remedy="Have the web server send the header, with a value that browsers know; for"
    " Content-Security-Policy, set csp_enabled = 1 in [General].",
    failure_mode="A11",
)
def security_headers_are_there(exposure: Exposure, public: PublicPages) -> Finding:
    """Every page has the policy's security headers, with values that browsers know."""
    return nothing("missing or unknown header", _missing(exposure, public.login_page))


@PROMISE.check(
    "security_headers_are_on_inner_pages",
    proves="security_headers",
    severity=Severity.HIGH,
    remedy="Remove the rule that unsets headers on some pages, and keep enable_framed_pages = 0 in"
    " [General].",
    failure_mode="A11",
)
def security_headers_are_on_inner_pages(exposure: Exposure, pages: SuperuserPages) -> Finding:
    """Pages behind the login (dashboard, reports, administration) have the security headers too."""
    missing = [
        f"{module}.{action}: {header}"
        for module, action in INNER
        for header in _missing(exposure, pages.page(module, action, **TODAY).response)
    ]
    return nothing("missing or unknown header", missing)


@PROMISE.check(
    "pages_stay_out_of_caches",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Remove the rule of the web server or the load balancer that sets Cache-Control on pages.",
)
def pages_stay_out_of_caches(public: PublicPages, http: Http) -> Finding:
    """No cache on the way may store a page or an answer of the API for other clients."""
    answers = {
        "page": public.login_page,
        "API": http.web.get({"module": "API", "method": "API.getSettings", "format": "JSON"}),
    }
    cacheable = []
    for name, answer in answers.items():
        header = answer.headers.get("Cache-Control", "")
        # An answer of the API without the header is stored by no cache (RFC 9111, 3).
        if re.search(r"public|(max-age|s-maxage)=[1-9]", header) or (name == "page" and not header):
            cacheable.append(f"{name}: Cache-Control {header or 'not sent'}")
    return nothing("answer that any cache may store", cacheable)


@PROMISE.check(
    "tmp_is_closed",
    formerly="exposure.matomo_s_own_tmp_is_closed",
    proves=ALWAYS,
    severity=Severity.CRITICAL,
    remedy=f"Remove tmp_path from [General], or deny the directory that it names {RULES}.",
    failure_mode="S1",
    needs=[Capability.CHANGE],
)
def tmp_is_closed(php: Php, container: MatomoContainer, http: Http) -> Finding:
    """Matomo's temporary files, wherever tmp_path puts them, cannot be fetched over HTTP."""
    directory = str(php.facts["tmp"])
    # Mailed reports are HTML, which a rule that excepts pictures and other static files leaves open.
    names = [f"gate-{secrets.token_hex(6)}.{ending}" for ending in ("txt", "html")]
    web_root = container.profile.web_root
    below = directory.removeprefix(web_root).lstrip("/")
    try:
        for name in names:
            container.write(f"{directory}/{name}", "canary")
        paths = [f"{below}/{name}" for name in names]
        opened = _open(http, paths) if directory.startswith(web_root) else []
    finally:
        container.run("rm", "-f", *(f"{directory}/{name}" for name in names))
    return nothing("open path", opened)


@PROMISE.check(
    "no_other_site_may_read",
    formerly="exposure.no_other_site_s_script_may_read",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Empty cors_domains[] in [General], and remove Access-Control-Allow-Origin from the web"
    " server's configuration.",
    failure_mode="A11",
)
def no_other_site_may_read(http: Http) -> Finding:
    """No script of another site may read a page or an API answer; only the tracker answers every site."""
    web = http.web
    web.session.headers["Origin"] = "https://elsewhere.example"
    asked = {"page": {"module": "Login"}, "API": {"module": "API", "method": "API.getSettings"}}
    allowed = [
        f"{name}: {origin}"
        for name, query in asked.items()
        if (origin := web.get(query).headers.get("Access-Control-Allow-Origin"))
    ]
    return nothing("Access-Control-Allow-Origin", allowed)


@PROMISE.check(
    "trace_is_refused",
    proves=ALWAYS,
    severity=Severity.MEDIUM,
    remedy=f"Set TraceEnable Off {RULES}.",
)
def trace_is_refused(http: Http) -> Finding:
    """The method TRACE, which would disclose the headers that proxies add, is refused."""
    answer = http.web.request("TRACE", "")
    return holds(not answer.ok, "a refusal", f"HTTP {answer.status_code}")
