"""Exposure: what the web server tells and shows to whoever asks."""

import re
from typing import Final

import requests

from harness.gate.check import Area, Door, Finding, holds, nothing, same
from harness.gate.look import Look

AREA: Final = Area("exposure")

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


CODE: Final = ("core", "vendor", "node_modules", "libs", "misc", "composer", "package")
"""Beginnings of the paths of code and of lists of packages."""


WORDS: Final = {
    "X-Frame-Options": {"sameorigin", "deny"},
    "X-Content-Type-Options": {"nosniff"},
}
"""Headers that have no effect with another value (RFC 7034; Fetch, X-Content-Type-Options)."""
DUMPS: Final = r".*\.(sql|dump|bak|old|orig|zip|tar|tgz|gz|bz2|xz|7z|log|csv)(\.[a-z0-9]+)?"
"""Names that dumps, copies and logs have, as a regular expression of find's (posix-extended)."""


def _open(look: Look, paths: tuple[str, ...]) -> list[str]:
    return [
        f"{path}: HTTP {answer.status_code}, {len(answer.content)} bytes"
        for path in paths
        if (answer := look.web.ask(path)).status_code == requests.codes.ok
    ]


def _of(look: Look, *begin: str) -> tuple[str, ...]:
    return tuple(it for it in look.policy.exposure.closed_paths if it.startswith(begin))


@AREA.check()
def configuration_is_closed(look: Look) -> Finding:
    """No configuration file is to be had over HTTP."""
    return nothing("open path", _open(look, _of(look, "config")))


@AREA.check()
def caches_and_languages_are_closed(look: Look) -> Finding:
    """Nothing below tmp and lang is to be had over HTTP."""
    return nothing("open path", _open(look, _of(look, "tmp", "lang")))


@AREA.check()
def code_is_closed(look: Look) -> Finding:
    """No code and no list of packages is to be had over HTTP."""
    return nothing(
        "open path",
        _open(look, _of(look, *CODE)),
    )


@AREA.check()
def console_is_closed(look: Look) -> Finding:
    """The console is not to be had over HTTP."""
    return nothing("open path", _open(look, _of(look, "console")))


@AREA.check()
def backups_and_dot_files_are_closed(look: Look) -> Finding:
    """No backup, no dot file and no repository is to be had over HTTP."""
    return nothing("open path", _open(look, _of(look, "backup", ".", "config/config.ini.php.")))


@AREA.check()
def everything_else_is_closed(look: Look) -> Finding:
    """No other path that the policy closes is open."""
    elsewhere = _of(look, "config", "tmp", "lang", *CODE, "console", "backup", ".")
    paths = tuple(it for it in look.policy.exposure.closed_paths if it not in elsewhere)
    return nothing("open path", _open(look, paths))


@AREA.check(Door.INSIDE)
def no_dump_is_to_be_had(look: Look) -> Finding:
    """No dump, packed copy or log that lies in the web root, beside the image's own files, is to be had."""
    found = look.shell.run(
        *("find", ".", "-regextype", "posix-extended", "-type", "f", "-regex", DUMPS),
        *("-printf", "%P\\n"),
    )
    of_image = look.shell.run("sh", "-c", "cd /usr/src/matomo && find . -type f -printf '%P\\n'")
    ours = set(of_image.splitlines())
    return nothing(
        "open dump", _open(look, tuple(it for it in found.splitlines() if it not in ours))
    )


@AREA.check()
def no_directory_is_listed(look: Look) -> Finding:
    """No directory shows what is in it."""
    listed = [it for it in LISTED if re.search(r"Index of|Parent Directory", look.web.ask(it).text)]
    return nothing("listing", listed)


def _version_told(look: Look, header: str, anywhere: str) -> Finding:
    """Look for a version in `header`, and for a name with a version in every other."""
    told = [
        f"{name}: {value}"
        for answer in (look.login_page, look.web.ask("matomo.js"), look.web.ask("no/such/page"))
        for name, value in answer.headers.items()
        if re.search(r"\d+\.\d+" if name.lower() == header else anywhere, value)
    ]
    if look.policy.exposure.version_banners:
        return holds(True, "a version may be told, by policy", told or "none")
    return nothing("version", sorted(set(told)))


@AREA.check()
def web_server_tells_no_version(look: Look) -> Finding:
    """No answer tells the web server's version, by whatever header."""
    return _version_told(look, "server", r"(?i)\b(apache|nginx|httpd|openssl|mod_\w+)/\d")


@AREA.check()
def php_tells_no_version(look: Look) -> Finding:
    """No answer tells PHP's version, by whatever header."""
    return _version_told(look, "x-powered-by", r"(?i)\bphp/\d")


@AREA.check()
def error_pages_tell_no_version(look: Look) -> Finding:
    """The web server's own error page tells no version and no path."""
    text = look.web.ask("no/such/page").text
    return nothing("version or path", re.findall(r"Apache/[\d.]+|PHP/[\d.]+|/var/www\S*", text))


@AREA.check()
def matomo_s_errors_tell_no_path(look: Look) -> Finding:
    """An error of Matomo's tells somebody who is not logged in no path of the server."""
    text = look.web.get({"module": "API", "method": "No.such", "format": "JSON"}).text
    text += (
        look.web.get({"module": "NoSuchModule"}).text if look.target.url.startswith("https") else ""
    )
    return nothing("path", re.findall(r"/var/www[\w/.-]*|#\d+ /", text))


@AREA.check(Door.STANDS, Door.INSIDE)
def php_errors_are_not_shown(look: Look) -> Finding:
    """An error of PHP's is for the log: no page shows it, with the paths and values in it."""
    text = look.said_by_php(
        "ini_set('log_errors', '0'); trigger_error('canary', E_USER_WARNING); echo 'end';"
    )
    return same("end", text.strip())


@AREA.check()
def security_headers_are_there(look: Look) -> Finding:
    """Every page has the security headers of the policy, with values that browsers know."""
    headers = look.login_page.headers
    missing = [it for it in look.policy.exposure.security_headers if it not in headers]
    unknown = [
        f"{name}: {value}"
        for name, words in WORDS.items()
        if (value := headers.get(name))
        and not {it.strip().lower() for it in value.split(",")} <= words
    ]
    return nothing("missing or unknown header", missing + unknown)


@AREA.check()
def no_other_site_s_script_may_read(look: Look) -> Finding:
    """No page lets another site's script read it; the tracker alone answers everybody."""
    web = look.web
    web.session.headers["Origin"] = "https://elsewhere.example"
    allowed = web.get({"module": "Login"}).headers.get("Access-Control-Allow-Origin")
    return holds(allowed is None, "no Access-Control-Allow-Origin", allowed)


@AREA.check()
def trace_is_refused(look: Look) -> Finding:
    """The method TRACE is refused: it would tell what proxies add."""
    answer = look.web.request("TRACE", "")
    return holds(not answer.ok, "a refusal", f"HTTP {answer.status_code}")
