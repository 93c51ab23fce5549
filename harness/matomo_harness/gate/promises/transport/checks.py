"""Transport: what passes between browsers, Matomo and its database is encrypted, and stays so."""

import re
import socket
import ssl
import warnings
from http.cookiejar import Cookie
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field
from requests.cookies import RequestsCookieJar

from matomo_harness.errors import BrokenPromiseError, UnsupportedEnvironmentError
from matomo_harness.gate.core.check import (
    CannotTellError,
    Capability,
    Finding,
    Group,
    Severity,
    holds,
    nothing,
)
from matomo_harness.gate.core.promise import ALWAYS, Promise
from matomo_harness.gate.core.target import Http, Permissions, Services
from matomo_harness.gate.probes.pages import PublicPages
from matomo_harness.gate.probes.php import Php
from matomo_harness.matomo import ini
from matomo_harness.matomo.container import MatomoContainer
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.web import Web
from matomo_harness.policy import Section


class Transport(Section, table="transport"):
    """What is encrypted on its way."""

    browsers_by_tls: bool | None = Field(
        default=None,
        description="Browsers come by https alone, and nothing leads them away from it.",
    )
    database_by_tls: bool | None = Field(
        default=None,
        description="Matomo's sessions with its database are encrypted, and the database's"
        " certificate is checked.",
    )


PROMISE: Final = Promise(
    "transport",
    "What passes between browsers, Matomo and its database is encrypted, and stays so.",
    Transport,
)

LOOPBACK: Final = "127.0.0.1"
ELSEWHERE: Final = "elsewhere.example"
FORGED_HOSTS: Final = ("X-Forwarded-Host", "X-Host", "X-Forwarded-Server", "X-Original-Host")
"""Headers in which proxies name the requested host; the load balancer leaves them as they are."""
HTTP_ONLY: Final = ("HttpOnly", "httponly")
"""The spellings of servers: to Python these are two names."""
OF_A_PROXY: Final = re.compile(
    r"AWSALB\w*|AWSELB\w*|BIGipServer.*|ARRAffinity\w*|INGRESSCOOKIE|SERVERID|ROUTEID|__cf_bm|__cflb"
)
"""Cookies by which a proxy before Matomo finds the same server again, or knows a robot (of AWS, F5,
Azure, nginx, haproxy, Apache, Cloudflare). They open nothing in Matomo; that they are there before a
click is for tracking.no_cookie_before_a_click to say."""
SCHEME: Final = (
    "Have the load balancer send X-Forwarded-Proto, name HTTP_X_FORWARDED_PROTO in"
    " proxy_scheme_headers[] of [General], and set MATOMO_GENERAL_FORCE_SSL=1."
)


# -- the database ---------------------------------------------------------------------------------


@PROMISE.check(
    "no_clear_text_in_silence",
    formerly="configuration.no_clear_text_in_silence",
    proves="database_by_tls",
    severity=Severity.HIGH,
    remedy="Build the image with its own EnvironmentVariables plugin, which names the system's"
    " authorities where MATOMO_DATABASE_SSL_CA is missing.",
    failure_mode="D4",
)
def no_clear_text_in_silence(php: Php) -> Finding:
    """Where the environment asks for TLS but names no authority, no database session is in clear text."""
    without = ("-u", "MATOMO_DATABASE_SSL_CA", "-u", "MATOMO_DATABASE_SSL_CA_FILE")
    try:
        cipher = php.facts_with(*without, "MATOMO_DATABASE_ENABLE_SSL=1")["cipher"]
    except BrokenPromiseError:
        return holds(True, "a cipher, or no session", "no session")
    return holds(bool(cipher), "a cipher, or no session", cipher or "clear text")


@PROMISE.check(
    "database_by_tls",
    formerly="configuration.database_is_spoken_to_by_tls",
    proves="database_by_tls",
    severity=Severity.CRITICAL,
    remedy="Set MATOMO_DATABASE_ENABLE_SSL=1 and MATOMO_DATABASE_SSL_CA in the task definition.",
    failure_mode="D4",
)
def database_by_tls(php: Php, _services: Services) -> Finding:
    """Matomo's session with the database is encrypted."""
    return holds(php.facts["cipher"], "a cipher", php.facts["cipher"] or "clear text")


@PROMISE.check(
    "database_certificate_is_checked",
    formerly="configuration.database_s_certificate_is_checked",
    proves="database_by_tls",
    severity=Severity.HIGH,
    remedy="Take ssl_no_verify out of [database] in every configuration file and in the"
    " environment, and name the database's authority in MATOMO_DATABASE_SSL_CA.",
    failure_mode="D4",
)
def database_certificate_is_checked(php: Php, _services: Services) -> Finding:
    """Matomo refuses a database under a name that the database's certificate does not have."""
    taken = php.facts["taken_by_address"]
    if taken is None:
        raise CannotTellError("the database's host is an address, not a name")
    seen = "taken" if taken else "refused"
    return holds(not taken, "refused under an address that its certificate does not name", seen)


# -- browsers -------------------------------------------------------------------------------------


def of_matomo(cookies: RequestsCookieJar) -> list[Cookie]:
    """Return the cookies that are not known to be of a proxy before Matomo."""
    return [cookie for cookie in cookies if not OF_A_PROXY.fullmatch(cookie.name)]


def _by_tls(http: Http) -> bool:
    """Return whether browsers use https here; a test's own Matomo on loopback cannot tell."""
    parts = urlsplit(http.url)
    if parts.scheme == "https":
        return True
    host = parts.hostname or ""
    if host.endswith("localhost") or host.startswith("127."):
        raise CannotTellError("Matomo is reached by http, on this machine's loopback")
    return False


@PROMISE.check(
    "old_tls_is_refused",
    formerly="configuration.old_tls_is_refused",
    proves="browsers_by_tls",
    severity=Severity.HIGH,
    remedy="Choose a security policy of the load balancer that begins with TLS 1.2.",
)
def old_tls_is_refused(http: Http) -> Finding:
    """TLS 1.0 and 1.1 are refused (RFC 8996)."""
    if not _by_tls(http):
        return holds(False, "an address by https", http.url)
    if not ssl.HAS_TLSv1_1:
        raise CannotTellError("this machine's OpenSSL does not know TLS 1.0 and 1.1")
    parts = urlsplit(http.url)
    host = LOOPBACK if str(parts.hostname).endswith("localhost") else str(parts.hostname)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    try:
        connection = socket.create_connection((host, parts.port or 443), timeout=10)
    except OSError as error:
        # A proxy of this machine leads there, say: whoever is not spoken to refuses nothing.
        raise CannotTellError(f"no connection to {host} but by a proxy: {error}") from error
    try:
        with connection, context.wrap_socket(connection) as session:
            return holds(False, "a refusal", session.version())
    except TimeoutError as error:
        raise CannotTellError(f"{host} neither takes nor refuses them") from error
    except (ssl.SSLError, ConnectionError) as refused:
        return holds(True, "a refusal", type(refused).__name__)


@PROMISE.check(
    "cookies_are_secure",
    formerly="configuration.cookies_are_secure",
    proves="browsers_by_tls",
    severity=Severity.HIGH,
    remedy=SCHEME,
    failure_mode="X1",
)
def cookies_are_secure(http: Http) -> Finding:
    """Browsers use https, and every cookie is Secure and HttpOnly."""
    if not _by_tls(http):
        return holds(False, "an address by https", http.url)
    web = http.web
    web.get({"module": "Login"})
    cookies = of_matomo(web.session.cookies)
    insecure = [
        cookie.name
        for cookie in cookies
        if not cookie.secure or not any(cookie.has_nonstandard_attr(name) for name in HTTP_ONLY)
    ]
    if not cookies:
        return holds(False, "a session cookie", "none")
    return nothing("cookie that is not Secure and HttpOnly", insecure)


@PROMISE.check(
    "cookies_are_not_for_scripts",
    formerly="configuration.cookies_are_not_for_scripts",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Remove the rules of the web server and of the load balancer that edit Set-Cookie.",
)
def cookies_are_not_for_scripts(http: Http) -> Finding:
    """Every cookie is HttpOnly and SameSite: no script reads it, and no other site's page sends it."""
    web = http.web
    web.get({"module": "Login"})
    exposed = []
    for cookie in of_matomo(web.session.cookies):
        is_closed = any(cookie.has_nonstandard_attr(name) for name in HTTP_ONLY)
        same_site = str(cookie.get_nonstandard_attr("SameSite"))
        if not is_closed or same_site.lower() not in ("lax", "strict"):
            exposed.append(
                f"{cookie.name}: {'' if is_closed else 'not '}HttpOnly, SameSite={same_site}"
            )
    return nothing("cookie for scripts or other sites", exposed)


@PROMISE.check(
    "no_forged_host_is_believed",
    formerly="configuration.no_forged_host_is_believed",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Remove proxy_host_headers[] from [General], and keep enable_trusted_host_check on.",
)
def no_forged_host_is_believed(http: Http) -> Finding:
    """No header that anybody can send changes the host that Matomo's links lead to."""
    web = http.web
    web.session.headers.update(dict.fromkeys(FORGED_HOSTS, ELSEWHERE))
    text = web.get({"module": "Login"}).text
    return nothing("link elsewhere", [ELSEWHERE] if ELSEWHERE in text else [])


@PROMISE.check(
    "address_is_not_moved",
    proves=ALWAYS,
    severity=Severity.HIGH,
    remedy="Name the public host in trusted_hosts[] of [General], keep enable_trusted_host_check on,"
    " and correct the row piwikUrl of the table option.",
    failure_mode="X4",
    needs=[Capability.WEB_ROOT],
    group=Group.ALONE,
)
def address_is_not_moved(
    http: Http, php: Php, container: MatomoContainer, database: Database, permissions: Permissions
) -> Finding:
    """No request's Host header moves the address that Matomo stores, to which the archiver's mails link."""
    known = php.settings["General"].get("trusted_hosts")
    may_note = container.run("sh", "-c", f"[ ! -w {container.config} ] || echo yes").strip()
    # Matomo believes every host until a superuser's page has it note one in its file (Url.php).
    if not known and not (permissions.may_change and may_note):
        seen = "none, and Matomo may not write its file" if not may_note else "none"
        return holds(False, "a host in trusted_hosts[]", seen)
    if not permissions.may_change:
        is_checked = str(php.settings["General"].get("enable_trusted_host_check")) == "1"
        return holds(is_checked, "hosts to be checked", "enable_trusted_host_check is off")
    whole = container.read(container.config)
    before = _stored_address(database)
    try:
        if not known:
            noted = ini.with_key(whole, "General", "trusted_hosts[]", urlsplit(http.url).netloc)
            container.write(container.config, noted)
        for headers in ({"Host": ELSEWHERE}, dict.fromkeys(FORGED_HOSTS, ELSEWHERE)):
            web = http.web
            web.session.headers.update(headers)
            # With force_ssl a request leads to that host: it is not ours to follow.
            web.ask("index.php?module=Login")
        after = _stored_address(database)
    finally:
        if not known:
            container.write(container.config, whole)
        database.query("DELETE FROM {prefix}option WHERE option_name = 'piwikUrl'")
        if before:
            database.query(
                "INSERT INTO {prefix}option (option_name, option_value, autoload)"
                " VALUES ('piwikUrl', %s, 1)",
                before,
            )
    return holds(ELSEWHERE not in after, f"no {ELSEWHERE} in piwikUrl", after or "none")


def _stored_address(database: Database) -> str:
    rows = database.query(
        "SELECT option_value AS value FROM {prefix}option WHERE option_name = 'piwikUrl'"
    )
    return str(rows[0]["value"]) if rows else ""


@PROMISE.check(
    "nothing_links_to_clear_text",
    formerly="configuration.nothing_links_to_clear_text",
    proves="browsers_by_tls",
    severity=Severity.MEDIUM,
    remedy=SCHEME,
    failure_mode="X1",
)
def nothing_links_to_clear_text(http: Http, pages: PublicPages) -> Finding:
    """Browsers use https, and no page links back to http."""
    if not _by_tls(http):
        return holds(False, "an address by https", http.url)
    clear = f"http://{urlsplit(http.url).netloc}"
    page = pages.login_page.text.replace("\\/", "/")
    return nothing("link to http", [clear] if clear in page else [])


@PROMISE.check(
    "clear_text_leads_to_tls",
    formerly="configuration.clear_text_leads_to_tls",
    proves="browsers_by_tls",
    severity=Severity.CRITICAL,
    remedy="Have the load balancer's listener for http redirect every path, matomo.php too, to"
    " https.",
    failure_mode="X1",
)
def clear_text_leads_to_tls(http: Http) -> Finding:
    """Every request by http, hits too, is redirected to https, and shows nothing of Matomo before."""
    if not _by_tls(http):
        return holds(False, "an address by https", http.url)
    if not http.clear_text:
        raise CannotTellError(
            "the address has a port of its own, so that its http address is not known"
        )
    web = Web(http.clear_text)
    try:
        answers = {path: web.ask(path) for path in ("index.php", "matomo.php", "piwik.php")}
    except UnsupportedEnvironmentError:
        return holds(True, "no page by http", "no answer")
    stay = [
        f"{path}: HTTP {answer.status_code} {answer.headers.get('Location', '')}"
        for path, answer in answers.items()
        if not answer.is_redirect or not answer.headers["Location"].startswith("https://")
    ]
    return nothing("answer other than a redirect to https", stay)
