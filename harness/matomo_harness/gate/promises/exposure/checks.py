"""Exposure: what the web server tells and shows to whoever asks."""

import re
import secrets
from typing import Final

import requests

from matomo_harness.gate.core.check import (
    Area,
    CannotTellError,
    Capability,
    Finding,
    Group,
    holds,
    nothing,
    same,
)
from matomo_harness.gate.probes import sweep
from matomo_harness.gate.probes.look import TODAY, Look
from matomo_harness.runtime.containers import WEB_ROOT

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


@AREA.check(Capability.CONTAINER, group=Group.WEB_ROOT)
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


@AREA.check(Capability.CONTAINER)
def state_of_the_web_server_is_closed(look: Look) -> Finding:
    """The web server's page of its state, which shows others' requests, is closed by whatever name."""
    enabled = look.shell.run(
        "sh",
        "-c",
        "cat /etc/apache2/*-enabled/*.conf /etc/apache2/apache2.conf 2>/dev/null || true",
    )
    if not enabled:
        raise CannotTellError("the web server is not Debian's Apache")
    blocks = re.findall(r"(?ims)^\s*<Location(?:Match)?\s+(.+?)>(.*?)</Location", enabled)
    paths = [where.strip("\"'^$~ /") for where, says in blocks if re.search(STATE, says)]
    return nothing("open page", _open(look, tuple(paths)))


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


@AREA.check(Capability.SERVICES, Capability.CONTAINER, group=Group.WEB_ROOT)
def php_errors_are_not_shown(look: Look) -> Finding:
    """An error of PHP's is for the log: no page shows it, with the paths and values in it."""
    text = look.said_by_php(
        "ini_set('log_errors', '0'); trigger_error('canary', E_USER_WARNING); echo 'end';"
    )
    return same("end", text.strip())


@AREA.check()
def security_headers_are_there(look: Look) -> Finding:
    """Every page has the security headers of the policy, with values that browsers know."""
    return nothing("missing or unknown header", _missing(look, look.login_page))


@AREA.check(Capability.LOGIN)
def security_headers_are_on_inner_pages(look: Look) -> Finding:
    """Pages behind the login have them too: dashboard, reports, administration."""
    missing = [
        f"{module}.{action}: {it}"
        for module, action in INNER
        for it in _missing(look, look.page(module, action, **TODAY).response)
    ]
    return nothing("missing or unknown header", missing)


def _missing(look: Look, page: requests.Response) -> list[str]:
    missing = [it for it in look.policy.exposure.security_headers if it not in page.headers]
    unknown = [
        f"{name}: {value}"
        for name, words in WORDS.items()
        if (value := page.headers.get(name))
        and not {it.strip().lower() for it in value.split(",")} <= words
    ]
    return missing + unknown


@AREA.check()
def pages_stay_out_of_caches(look: Look) -> Finding:
    """No cache on the way keeps a page or an answer of the API for the next who asks."""
    answers = {
        "page": look.login_page,
        "API": look.web.get({"module": "API", "method": "API.getSettings", "format": "JSON"}),
    }
    kept = []
    for name, it in answers.items():
        said = it.headers.get("Cache-Control", "")
        # An answer of the API says nothing of it, and by that is kept by none (RFC 9111, 3).
        if re.search(r"public|max-age=[1-9]", said) or (name == "page" and not said):
            kept.append(f"{name}: Cache-Control {said or 'not sent'}")
    return nothing("answer for every cache", kept)


@AREA.check(Capability.CONTAINER)
def matomo_s_own_tmp_is_closed(look: Look) -> Finding:
    """What Matomo writes for itself, wherever it is told to, is not to be had over HTTP."""
    directory = str(look.facts["tmp"])
    # Mailed reports are pages, which rules that close what is no picture leave open.
    names = [f"gate-{secrets.token_hex(6)}.{it}" for it in ("txt", "html")]
    below = directory.removeprefix(WEB_ROOT).lstrip("/")
    try:
        for name in names:
            look.shell.write(f"{directory}/{name}", "canary")
        paths = tuple(f"{below}/{it}" for it in names)
        opened = _open(look, paths) if directory.startswith(WEB_ROOT) else []
    finally:
        look.shell.run("rm", "-f", *(f"{directory}/{it}" for it in names))
    return nothing("open path", opened)


@AREA.check(Capability.API, Capability.CONTAINER, costly=True)
def no_token_in_a_file(look: Look) -> Finding:
    """No file of the deployment's own has the superuser's token in it: whoever reads it needs no second factor."""
    needles: sweep.Needles = {"a superuser's token": (str(look.target.token).encode(),)}
    return nothing("file", sweep.files(look, needles, of_before=True))


@AREA.check()
def no_other_site_s_script_may_read(look: Look) -> Finding:
    """No page or answer of the API lets another site's script read it; the tracker alone answers everybody."""
    web = look.web
    web.session.headers["Origin"] = "https://elsewhere.example"
    asked = {"page": {"module": "Login"}, "API": {"module": "API", "method": "API.getSettings"}}
    allowed = [
        f"{name}: {origin}"
        for name, it in asked.items()
        if (origin := web.get(it).headers.get("Access-Control-Allow-Origin"))
    ]
    return nothing("Access-Control-Allow-Origin", allowed)


@AREA.check()
def trace_is_refused(look: Look) -> Finding:
    """The method TRACE is refused: it would tell what proxies add."""
    answer = look.web.request("TRACE", "")
    return holds(not answer.ok, "a refusal", f"HTTP {answer.status_code}")
