"""Exposure: the web server tells and shows nothing that is not meant for whoever asks."""

import re
import secrets
from collections.abc import Callable, Iterable
from typing import Final

import requests
from pydantic import Field

from matomo_harness.gate.core.check import (
    CannotTellError,
    Finding,
    Group,
    Severity,
    holds,
    nothing,
    same,
)
from matomo_harness.gate.core.promise import ALWAYS, Promise
from matomo_harness.gate.core.target import Http, Services
from matomo_harness.gate.probes.pages import TODAY, PublicPages, SuperuserPages
from matomo_harness.gate.probes.php import Php
from matomo_harness.matomo.container import CODE, WEB_ROOT, MatomoContainer
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


PROMISE: Final = Promise(
    "exposure",
    "The web server tells and shows nothing that is not meant for whoever asks.",
    Exposure,
)

FOLDERS_OF_CODE: Final = ("core", "vendor", "node_modules", "libs", "misc", "composer", "package")
"""Beginnings of the paths of code and of lists of packages."""
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
"""Directories that a web server would list, were it allowed to."""
INNER: Final = (
    *(("CoreHome", "index"), ("Dashboard", "embeddedIndex"), ("MultiSites", "index")),
    *(("CoreAdminHome", "home"), ("UsersManager", "index")),
)
"""Module and action of a page of each kind."""
WORDS: Final = {
    "X-Frame-Options": {"sameorigin", "deny"},
    "X-Content-Type-Options": {"nosniff"},
}
"""Headers that have no effect with another value (RFC 7034; Fetch, X-Content-Type-Options)."""
DUMPS: Final = r".*\.(sql|dump|bak|old|orig|zip|tar|tgz|gz|bz2|xz|7z|log|csv)(\.[a-z0-9]+)?"
"""Names that dumps, copies and logs have, as a regular expression of find's (posix-extended)."""
STATE: Final = r"(?i)SetHandler\s+\W?(server-status|server-info|ldap-status|balancer-manager)"
"""Pages that the web server itself makes, of what it is doing and for whom (mod_status and others)."""
RULES: Final = "in the web server's configuration (image/config/apache.conf)"


# -- what can be fetched --------------------------------------------------------------------------


def _open(http: Http, paths: Iterable[str]) -> list[str]:
    """Say of each path that is answered with 200 what came."""
    return [
        f"{path}: HTTP {answer.status_code}, {len(answer.content)} bytes"
        for path in paths
        if (answer := http.web.ask(path)).status_code == requests.codes.ok
    ]


def _closed_below(*beginnings: str) -> Callable[..., Finding]:
    def check(exposure: Exposure, http: Http) -> Finding:
        closed = promised(exposure.closed_paths)
        return nothing(
            "open path", _open(http, (one for one in closed if one.startswith(beginnings)))
        )

    return check


BEGINNINGS: Final[dict[str, tuple[str, ...]]] = {
    "configuration_is_closed": ("config",),
    "caches_and_languages_are_closed": ("tmp", "lang"),
    "code_is_closed": FOLDERS_OF_CODE,
    "console_is_closed": ("console",),
    "backups_and_dot_files_are_closed": ("backup", ".", "config/config.ini.php."),
}
"""Of the policy's paths that each of these checks asks for; everything_else_is_closed has the rest."""

for _name, _sentence, _severity, _remedy in (
    (
        "configuration_is_closed",
        "No configuration file can be fetched over HTTP.",
        Severity.CRITICAL,
        f"Deny config/ {RULES}, and change the passwords that were open.",
    ),
    (
        "caches_and_languages_are_closed",
        "Nothing below tmp and lang can be fetched over HTTP.",
        Severity.CRITICAL,
        f"Deny tmp/ and lang/ {RULES}.",
    ),
    (
        "code_is_closed",
        "No code and no list of packages can be fetched over HTTP.",
        Severity.MEDIUM,
        f"Deny the folders of code and the lists of packages {RULES}.",
    ),
    (
        "console_is_closed",
        "The console cannot be fetched over HTTP.",
        Severity.MEDIUM,
        f"Deny the file console {RULES}.",
    ),
    (
        "backups_and_dot_files_are_closed",
        "No backup, no dot file and no repository can be fetched over HTTP.",
        Severity.CRITICAL,
        f"Take the copy out of the web root or off its volume, and deny such names {RULES}.",
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
    remedy=f"Take the file out of the web root, or deny its path {RULES}.",
    failure_mode="S1",
)
def everything_else_is_closed(exposure: Exposure, http: Http) -> Finding:
    """No other path that the policy closes is open."""
    elsewhere = tuple(beginning for each in BEGINNINGS.values() for beginning in each)
    closed = promised(exposure.closed_paths)
    return nothing(
        "open path", _open(http, (one for one in closed if not one.startswith(elsewhere)))
    )


@PROMISE.check(
    "no_dump_is_open",
    formerly="exposure.no_dump_is_to_be_had",
    proves=ALWAYS,
    severity=Severity.CRITICAL,
    remedy="Move the file out of the web root and its volumes, and change the passwords in it.",
    failure_mode="S1",
    group=Group.WEB_ROOT,
)
def no_dump_is_open(container: MatomoContainer, http: Http) -> Finding:
    """No dump, packed copy or log that lies in the web root, beside the image's own files, can be fetched."""
    found = container.run(
        *("find", ".", "-regextype", "posix-extended", "-type", "f", "-regex", DUMPS),
        *("-printf", "%P\\n"),
    )
    of_image = container.run("sh", "-c", f"cd {CODE} && find . -type f -printf '%P\\n'")
    ours = set(of_image.splitlines())
    return nothing("open dump", _open(http, (one for one in found.splitlines() if one not in ours)))


@PROMISE.check(
    "state_of_the_web_server_is_closed",
    proves=ALWAYS,
    severity=Severity.CRITICAL,
    remedy="Take the page out of the web server's configuration, or require its own machine for it.",
)
def state_of_the_web_server_is_closed(container: MatomoContainer, http: Http) -> Finding:
    """The web server's page of its state, which shows others' requests, is closed by whatever name."""
    enabled = container.run(
        "sh",
        "-c",
        "cat /etc/apache2/*-enabled/*.conf /etc/apache2/apache2.conf 2>/dev/null || true",
    )
    if not enabled:
        raise CannotTellError("the web server is not Debian's Apache")
    blocks = re.findall(r"(?ims)^\s*<Location(?:Match)?\s+(.+?)>(.*?)</Location", enabled)
    paths = [where.strip("\"'^$~ /") for where, says in blocks if re.search(STATE, says)]
    return nothing("open page", _open(http, paths))


@PROMISE.check(
    "no_directory_is_listed",
    proves=ALWAYS,
    severity=Severity.MEDIUM,
    remedy=f"Set Options -Indexes for the web root {RULES}.",
    failure_mode="S1",
)
def no_directory_is_listed(http: Http) -> Finding:
    """No directory shows what is in it."""
    listed = [
        directory
        for directory in LISTED
        if re.search(r"Index of|Parent Directory", http.web.ask(directory).text)
    ]
    return nothing("listing", listed)


# -- what is told of the server -------------------------------------------------------------------


def _version_told(header: str, anywhere: str) -> Callable[..., Finding]:
    """Look for a version in `header`, and for a name with a version in every other."""

    def check(public: PublicPages, http: Http) -> Finding:
        answers = (public.login_page, http.web.ask("matomo.js"), http.web.ask("no/such/page"))
        told = {
            f"{name}: {value}"
            for answer in answers
            for name, value in answer.headers.items()
            if re.search(r"\d+\.\d+" if name.lower() == header else anywhere, value)
        }
        return nothing("version", sorted(told))

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
        sentence=f"No answer tells {_whose} version, by whatever header.",
        proves="no_version_banners",
        severity=Severity.MEDIUM,
        remedy=_remedy,
    )(_version_told(_header, _anywhere))


@PROMISE.check(
    "error_pages_tell_no_version",
    proves="no_version_banners",
    severity=Severity.MEDIUM,
    remedy=f"Set ServerSignature Off and ServerTokens Prod {RULES}.",
)
def error_pages_tell_no_version(http: Http) -> Finding:
    """The web server's own error page tells no version and no path."""
    text = http.web.ask("no/such/page").text
    return nothing("version or path", re.findall(r"Apache/[\d.]+|PHP/[\d.]+|/var/www\S*", text))


@PROMISE.check(
    "errors_tell_no_path",
    formerly="exposure.matomo_s_errors_tell_no_path",
    proves=ALWAYS,
    severity=Severity.MEDIUM,
    remedy="Turn off PIWIK_PRINT_ERROR_BACKTRACE and PHP's display_errors, and see which code writes"
    " the path.",
)
def errors_tell_no_path(http: Http) -> Finding:
    """An error of Matomo's tells somebody who is not logged in no path of the server."""
    text = http.web.get({"module": "API", "method": "No.such", "format": "JSON"}).text
    text += http.web.get({"module": "NoSuchModule"}).text if http.url.startswith("https") else ""
    return nothing("path", re.findall(r"/var/www[\w/.-]*|#\d+ /", text))


@PROMISE.check(
    "php_errors_are_not_shown",
    proves=ALWAYS,
    severity=Severity.MEDIUM,
    remedy="Set display_errors = Off in php.ini, and have no php_admin_flag overrule it.",
    group=Group.WEB_ROOT,
)
def php_errors_are_not_shown(php: Php, _services: Services) -> Finding:
    """An error of PHP's is for the log: no page shows it, with the paths and values in it."""
    text = php.said_in_the_web_server(
        "ini_set('log_errors', '0'); trigger_error('canary', E_USER_WARNING); echo 'end';"
    )
    return same("end", text.strip())


# -- what browsers and caches are told ------------------------------------------------------------


def _missing(exposure: Exposure, page: requests.Response) -> list[str]:
    """Return the headers that a page lacks, and those with a value that has no effect."""
    missing = [name for name in promised(exposure.security_headers) if name not in page.headers]
    unknown = [
        f"{name}: {value}"
        for name, words in WORDS.items()
        if (value := page.headers.get(name))
        and not {word.strip().lower() for word in value.split(",")} <= words
    ]
    return missing + unknown


@PROMISE.check(
    "security_headers_are_there",
    proves="security_headers",
    severity=Severity.HIGH,
    remedy="Send the header with a value that browsers know, from the web server's configuration;"
    " Content-Security-Policy by csp_enabled = 1 of [General].",
    failure_mode="A11",
)
def security_headers_are_there(exposure: Exposure, public: PublicPages) -> Finding:
    """Every page has the security headers of the policy, with values that browsers know."""
    return nothing("missing or unknown header", _missing(exposure, public.login_page))


@PROMISE.check(
    "security_headers_are_on_inner_pages",
    proves="security_headers",
    severity=Severity.HIGH,
    remedy="Take out the rule that unsets headers on some pages, and keep enable_framed_pages = 0 in"
    " [General].",
    failure_mode="A11",
)
def security_headers_are_on_inner_pages(exposure: Exposure, pages: SuperuserPages) -> Finding:
    """Pages behind the login have the security headers too: dashboard, reports, administration."""
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
    remedy="Take out the rule of the web server or the load balancer that sets Cache-Control on pages.",
)
def pages_stay_out_of_caches(public: PublicPages, http: Http) -> Finding:
    """No cache on the way keeps a page or an answer of the API for the next who asks."""
    answers = {
        "page": public.login_page,
        "API": http.web.get({"module": "API", "method": "API.getSettings", "format": "JSON"}),
    }
    kept = []
    for name, answer in answers.items():
        said = answer.headers.get("Cache-Control", "")
        # An answer of the API says nothing of it, and by that is kept by none (RFC 9111, 3).
        if re.search(r"public|max-age=[1-9]", said) or (name == "page" and not said):
            kept.append(f"{name}: Cache-Control {said or 'not sent'}")
    return nothing("answer for every cache", kept)


@PROMISE.check(
    "tmp_is_closed",
    formerly="exposure.matomo_s_own_tmp_is_closed",
    proves=ALWAYS,
    severity=Severity.CRITICAL,
    remedy=f"Take tmp_path out of [General], or deny the directory that it names {RULES}.",
    failure_mode="S1",
)
def tmp_is_closed(php: Php, container: MatomoContainer, http: Http) -> Finding:
    """What Matomo writes for itself, wherever it is told to, cannot be fetched over HTTP."""
    directory = str(php.facts["tmp"])
    # Mailed reports are pages, which rules that close what is no picture leave open.
    names = [f"gate-{secrets.token_hex(6)}.{ending}" for ending in ("txt", "html")]
    below = directory.removeprefix(WEB_ROOT).lstrip("/")
    try:
        for name in names:
            container.write(f"{directory}/{name}", "canary")
        paths = [f"{below}/{name}" for name in names]
        opened = _open(http, paths) if directory.startswith(WEB_ROOT) else []
    finally:
        container.run("rm", "-f", *(f"{directory}/{name}" for name in names))
    return nothing("open path", opened)


@PROMISE.check(
    "no_other_site_may_read",
    formerly="exposure.no_other_site_s_script_may_read",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Empty cors_domains[] of [General], and take Access-Control-Allow-Origin out of the web"
    " server's configuration.",
    failure_mode="A11",
)
def no_other_site_may_read(http: Http) -> Finding:
    """No page or answer of the API lets another site's script read it; the tracker alone answers everybody."""
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
    """The method TRACE is refused: it would tell what proxies add."""
    answer = http.web.request("TRACE", "")
    return holds(not answer.ok, "a refusal", f"HTTP {answer.status_code}")
