"""Configuration: what the environment says holds everywhere, and no secret is written down."""

import base64
import html
import json
import secrets
import socket
import ssl
import warnings
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

from matomo_harness.errors import BrokenPromiseError, MachineCannotError
from matomo_harness.gate.core.check import (
    Area,
    CannotTellError,
    Capability,
    Finding,
    Group,
    Step,
    holds,
    nothing,
    same,
)
from matomo_harness.gate.probes import sweep
from matomo_harness.gate.probes.day import TITLE
from matomo_harness.gate.probes.ini import Ini, parse
from matomo_harness.gate.probes.look import Look
from matomo_harness.matomo.config import with_key
from matomo_harness.matomo.web import Web
from matomo_harness.runtime.containers import LOOPBACK

AREA: Final = Area("configuration")

SEED: Final = "/usr/src/matomo-config/config.ini.php"
"""Of the image; the first task of a new volume copies it to config/."""
NOT_SETTINGS: Final = ("MATOMO_VERSION",)
"""Of the official image; no key of the configuration is meant."""
MAIL_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "transport": ("smtp",),
    "type": ("plain", "login", "cram-md5"),
    "encryption": ("tls", "ssl", "none"),
}
"""Of [mail] (generalSettings in plugins/CoreAdminHome/Controller.php). With another encryption PHPMailer takes TLS
where the relay offers it and clear text where not; another type it chooses itself."""
KEPT: Final = ("config", "misc", "js", "matomo.js", "piwik.js")
"""What an image cannot bring back (image/bin/backup-data.sh)."""
ELSEWHERE: Final = "elsewhere.example"
FORGED_HOSTS: Final = ("X-Forwarded-Host", "X-Host", "X-Forwarded-Server", "X-Original-Host")
"""By which proxies name the host that was asked for; the load balancer leaves them as they are."""
ON: Final = ("1", "True")
OFF: Final = ("0", "", "False")
LONGEST_SESSION: Final = 14 * 24 * 3600
"""Seconds: Matomo's own login_cookie_expire."""
SAFEGUARDS: Final[Mapping[str, int | tuple[str, ...]]] = {
    **dict.fromkeys(
        (
            *("General.enable_trusted_host_check", "Tracker.record_statistics"),
            "Tracker.create_new_visit_after_midnight",
            *("Tracker.tracking_requests_require_authentication", "mail.ssl_verify_peer"),
            *("mail.ssl_verify_peer_name", "mail.ssl_disallow_self_signed"),
            *(f"General.enable_processing_unique_visitors_{it}" for it in ("day", "week", "month")),
        ),
        ON,
    ),
    **dict.fromkeys(
        (
            *("General.enable_framed_pages", "General.enable_framed_settings"),
            *("General.enable_framed_allow_write_admin_token_auth", "General.csp_report_only"),
            *("General.cors_domains", "Tracker.exclude_requests", "Development.enabled"),
            *("Tracker.debug", "Tracker.debug_on_demand", "Tracker.use_third_party_id_cookie"),
            *("Tracker.enable_fingerprinting_across_websites", "Tracker.trust_visitors_cookies"),
            "General.disable_checks_usernames_attributes",
            *("Debug.tracker_always_new_visitor", "Debug.log_sql_queries"),
            *("Debug.enable_sql_profiler", "Debug.enable_php_profiler"),
            *("Debug.always_archive_data_day", "Debug.always_archive_data_period"),
            *("Debug.always_archive_data_range", "database.ssl_no_verify"),
        ),
        OFF,
    ),
    "Tracker.create_new_visit_after_x_actions": ("10000",),
    "Tracker.visit_standard_length": ("1800",),
    "General.password_hash_algorithm": ("default", "bcrypt", "argon2i", "argon2id"),
    "General.login_cookie_expire": LONGEST_SESSION,
    "General.login_session_not_remembered_idle_timeout": 3600,
    "General.default_invite_user_token_expiry_days": 7,
    "Tracker.tracking_requests_require_authentication_when_custom_timestamp_newer_than": 86400,
}
"""Matomo's own defaults (config/global.ini.php of 5.3 to 5.10): words, or the most in seconds or
days. Only what is a promise to visitors or users, and what nothing else here could show."""
SECRETS: Final = ("password", "salt")
"""Keys of config.ini.php."""
TOLERATED: Final = ("file integrity", "last successful archiv", "update", "geolocation", "datab")
"""Parts of labels, lower case: what System check says of a package without a manifest and of an
archiver that has not run yet is not for this check."""


def injected(facts: Mapping[str, Any]) -> dict[str, tuple[str, str, str]]:
    """Return section, key and value of every MATOMO_ variable that names a key there is."""
    found = {}
    for name, value in facts["environment"].items():
        if not name.startswith("MATOMO_") or name in NOT_SETTINGS:
            continue
        for section, keys in facts["settings"].items():
            prefix = f"MATOMO_{section}_".upper()
            rest = name.upper().removeprefix(prefix)
            for key in keys or ():
                if name.upper().startswith(prefix) and rest == key.upper():
                    found[name] = (section, key, value)
    return found


def _shown(value: object, injected: str) -> str:
    """A list is compared as the JSON or the words that it was given as."""
    if not isinstance(value, list):
        return str(value)
    return json.dumps(value) if injected.startswith("[") else ",".join(map(str, value))


def _differing(facts: Mapping[str, Any]) -> list[str]:
    """Names of variables whose value is not the effective one; never the values."""
    return [
        name
        for name, (section, key, value) in injected(facts).items()
        if _shown(facts["settings"][section][key], value).replace(" ", "") != value.replace(" ", "")
    ]


@AREA.check(Capability.CONTAINER)
def environment_wins(look: Look) -> Finding:
    """Every MATOMO_ variable is the effective value on the command line, whatever the file says."""
    if not injected(look.facts):
        raise CannotTellError("no MATOMO_ variable is set")
    return nothing("variable without effect", _differing(look.facts))


@AREA.check(Capability.SERVICES, Capability.CONTAINER, costly=True, group=Group.WEB_ROOT)
def environment_wins_in_web(look: Look) -> Finding:
    """Every MATOMO_ variable of the container is the effective value in the web server and in the tracker."""
    wrong = []
    for mode, code in (("web", ""), ("tracker", 'define("PIWIK_TRACKER_MODE", true);')):
        # Not the environment that the web server says it has: that may be another one.
        there = {**look.facts_over_http(code), "environment": look.facts["environment"]}
        differing = _differing(there)
        wrong += [f"{name} in the {mode}" for name in differing]
    return nothing("variable without effect", wrong)


@AREA.check(Capability.CONTAINER)
def no_useless_variable(look: Look) -> Finding:
    """Every MATOMO_ variable sets something that Matomo knows: none is misspelt."""
    if look.facts["warnings"] is not None:
        useless = [f"{name} {why}" for name, why in dict(look.facts["warnings"] or {}).items()]
        return nothing("useless variable", useless)
    known = injected(look.facts)
    names = [it for it in look.facts["environment"] if it.startswith("MATOMO_")]
    return nothing("useless variable", [it for it in names if it not in (*known, *NOT_SETTINGS)])


@AREA.check(Capability.HITS, Capability.API, steps=(Step.TRAFFIC,))
def every_letter_is_kept(look: Look) -> Finding:
    """A page's title is kept to the letter, in whatever script it is."""
    titles = {
        str(action.get("pageTitle"))
        for visit in look.day.visits_log
        for action in visit["actionDetails"]
    }
    return holds(TITLE in titles, TITLE, "; ".join(sorted(titles)))


@AREA.check(Capability.DATABASE)
def tables_are_of_one_charset(look: Look) -> Finding:
    """All tables are in one character set: what one keeps, another would refuse."""
    rows = look.database.query(
        "SELECT SUBSTRING_INDEX(TABLE_COLLATION, '_', 1) AS charset, COUNT(*) AS tables"
        " FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
        " AND TABLE_TYPE = 'BASE TABLE' GROUP BY charset"
    )
    seen = ", ".join(f"{it['charset']}: {it['tables']}" for it in rows)
    return holds(len(rows) == 1, "one character set", seen)


@AREA.check(Capability.CONTAINER)
def no_safeguard_is_off(look: Look) -> Finding:
    """No safeguard that Matomo has by default is off or wider: debug output, frames, unchecked certificates."""
    off = []
    for name, allowed in SAFEGUARDS.items():
        section, _, key = name.partition(".")
        value = look.settings.get(section, {}).get(key)
        if not _within(value, allowed):
            off.append(f"{name} = {value}")
    return nothing("safeguard off", off)


def _within(value: object, allowed: int | tuple[str, ...]) -> bool:
    """Whether a setting is one of the words, or no more than the number; Matomo may not know it."""
    if value is None:
        return True
    if isinstance(allowed, int):
        return str(value).isdigit() and int(str(value)) <= allowed
    return str(value) in allowed


@AREA.check(Capability.CONTAINER)
def mail_settings_are_words_of_matomo_s(look: Look) -> Finding:
    """How mail is sent is one of the ways that Matomo offers: another word is passed over in silence."""
    mail = look.settings["mail"]
    said = {key: str(mail.get(key, "")) for key in MAIL_WORDS}
    unknown = [
        f"{key} = {word}: not one of {', '.join(MAIL_WORDS[key])}"
        for key, word in said.items()
        if word and word.lower() not in MAIL_WORDS[key]
    ]
    return nothing("unknown word", unknown)


@AREA.check(Capability.CONTAINER)
def file_is_well_formed(look: Look) -> Finding:
    """Every line of config.ini.php is what it looks like, here and in the image."""
    each = f"for it in {look.shell.config} {SEED}; do [ ! -e $it ] || check-config $it; done"
    return nothing("broken line", look.shell.run("sh", "-c", f"{each} || true").splitlines())


@AREA.check(Capability.CONTAINER)
def file_is_closed_to_others(look: Look) -> Finding:
    """Nobody but its owner and its group may write config.ini.php, whatever else runs there."""
    mode = look.shell.run("stat", "-L", "-c", "%A", look.shell.config).strip()
    return holds(mode[-2] == "-", "no write permission for others", mode)


@AREA.check(Capability.CONTAINER, Capability.CHANGE, group=Group.ALONE)
def torn_file_is_no_new_matomo(look: Look) -> Finding:
    """Who reads config.ini.php while it is saved is refused, and has no installer write it anew."""
    shell = look.shell
    whole = shell.read(shell.config)
    # Matomo saves it by emptying it first (Config.php, writeConfig).
    shell.write(shell.config, "")
    try:
        answer = look.web.get()
        saved = shell.read(shell.config)
    finally:
        shell.write(shell.config, whole)
    seen = "its installer" if "module=Installation" in answer.text else "no installer"
    written = f"config.ini.php saved: {' '.join(saved.split())}" if saved else "nothing saved"
    expected = "no installer, nothing saved"
    return holds(expected == f"{seen}, {written}", expected, f"{seen}, {written}")


@AREA.check(Capability.CONTAINER, Capability.CHANGE, group=Group.ALONE)
def health_check_sees_what_is_wrong(look: Look) -> Finding:
    """The container's health check is green on what is well, and red while Matomo shows its maintenance page."""
    shell = look.own_program("matomo-health")
    if said := shell.health():
        return holds(False, "green", said)
    whole = shell.read(shell.config)
    shell.write(shell.config, with_key(whole, "General", "maintenance_mode", 1))
    try:
        said = shell.health()
    finally:
        shell.write(shell.config, whole)
    return holds(said is not None, "a reason", said or "healthy")


@AREA.check(Capability.CONTAINER, Capability.CHANGE, group=Group.ALONE)
def a_start_leaves_the_live_file(look: Look) -> Finding:
    """A container that starts on a config.ini.php that is there leaves it as it is."""
    start = "matomo-entrypoint"
    shell = look.own_program(start)
    whole = shell.read(shell.config)
    live = with_key(whole, "General", "gate_canary", 1)
    shell.write(shell.config, live)
    try:
        shell.run(start, "true", user="root")
        after = shell.read(shell.config)
    finally:
        shell.write(shell.config, whole)
    return holds(after == live, "the file of before", "another" if after != live else "it")


@AREA.check(Capability.CONTAINER, Capability.CHANGE, group=Group.ALONE)
def a_start_gives_an_empty_volume_the_file(look: Look) -> Finding:
    """A container that starts on an empty config/ puts the image's config.ini.php there."""
    start = "matomo-entrypoint"
    shell = look.own_program(start)
    kept = f"{shell.config}.gate"
    shell.run("mv", shell.config, kept, user="root")
    try:
        shell.run(start, "true", user="root")
        given = shell.run("sh", "-c", f"cat {shell.config} 2>/dev/null || true")
    finally:
        shell.run("mv", "-f", kept, shell.config, user="root")
    whole = given.strip() == shell.read(SEED).strip()
    return holds(whole, "the image's file", "it" if whole else given[:80] or "none")


@AREA.check(Capability.CONTAINER, Capability.CHANGE)
def a_value_in_a_file_wins(look: Look) -> Finding:
    """A variable NAME_FILE sets what the file says, as secrets are mounted."""
    name = "MATOMO_MAIL_HOST"
    if name not in look.policy.environment.variables:
        raise CannotTellError(f"{name} is not in the policy")
    value = f"relay-{secrets.token_hex(4)}.example"
    path = f"{look.shell.tmp}/gate-{secrets.token_hex(6)}"
    look.shell.write(path, value)
    try:
        there = look.facts_with("-u", name, f"{name}_FILE={path}")
    finally:
        look.shell.run("rm", "-f", path, user="root")
    return same(value, str(there["settings"]["mail"]["host"]))


@AREA.check(Capability.CONTAINER)
def no_clear_text_in_silence(look: Look) -> Finding:
    """Where the environment asks for TLS and names no authority, the database is not spoken to in clear."""
    if not look.policy.transport.database_by_tls:
        raise CannotTellError("the policy does not promise it")
    without = ("-u", "MATOMO_DATABASE_SSL_CA", "-u", "MATOMO_DATABASE_SSL_CA_FILE")
    try:
        cipher = look.facts_with(*without, "MATOMO_DATABASE_ENABLE_SSL=1")["cipher"]
    except BrokenPromiseError:
        return holds(True, "a cipher, or no session", "no session")
    return holds(bool(cipher), "a cipher, or no session", cipher or "clear text")


@AREA.check(Capability.CONTAINER, Capability.CHANGE)
def a_backup_that_breaks_off_is_not_taken(look: Look) -> Finding:
    """A backup that breaks off says so, and leaves the last whole one."""
    shell = look.own_program("backup-data.sh")
    place = f"/tmp/gate-{secrets.token_hex(6)}"  # noqa: S108  in the container
    # `cp` that ends in the middle, as on a full file system.
    script = (
        f"mkdir -p {place}/bin {place}/saved/misc; echo whole > {place}/saved/misc/kept;"
        f" printf '#!/bin/sh\nexit 1\n' > {place}/bin/cp; chmod +x {place}/bin/cp;"
        f" PATH={place}/bin:$PATH backup-data.sh {place}/saved >/dev/null 2>&1 && echo all is well;"
        f" [ -e {place}/saved/misc/kept ] || echo the last one is gone; rm -rf {place}"
    )
    return nothing("wrong", shell.run("sh", "-c", script, user="root").splitlines())


@AREA.check(Capability.CONTAINER, Capability.CHANGE, group=Group.WEB_ROOT)
def a_restore_brings_all_back(look: Look) -> Finding:
    """What was in config, misc and js and is lost, is back after the restore."""
    shell = look.own_program("restore-data.sh")
    shell.run("sh", "-c", "command -v backup-data.sh")
    place, name = f"/tmp/gate-{secrets.token_hex(6)}", f"gate-{secrets.token_hex(6)}"  # noqa: S108
    parts = [f"{it}/{name}" for it in ("config", "misc", "js")]
    script = (
        f"mkdir {place}; for it in {' '.join(parts)}; do echo kept > $it; done;"
        f" backup-data.sh {place} >&2; rm {' '.join(parts)}; restore-data.sh {place} >&2;"
        f" for it in {' '.join(parts)}; do [ -e $it ] || echo $it; rm -f $it; done; rm -rf {place}"
    )
    return nothing("lost file", shell.run("sh", "-ec", script, user="root").splitlines())


@AREA.check(Capability.CONTAINER, Capability.CHANGE, group=Group.WEB_ROOT)
def backup_is_whole(look: Look) -> Finding:
    """The backup has all of config, misc and js, and the tracker's two files."""
    shell = look.shell
    if not shell.run("sh", "-c", "command -v backup-data.sh || true"):
        raise CannotTellError("the image has no backup-data.sh")
    place = f"/tmp/gate-{secrets.token_hex(6)}"  # noqa: S108  in the container
    compare = f"for it in {' '.join(KEPT)}; do LC_ALL=C diff -rq $it {place}/$it 2>&1; done"
    script = f"mkdir {place} && backup-data.sh {place} >&2; {compare}; rm -rf {place}"
    return nothing("difference", shell.run("sh", "-c", script, user="root").splitlines())


@AREA.check(Capability.CONTAINER)
def salt_is_there(look: Look) -> Finding:
    """There is a salt: without one no token survives a restart."""
    there = bool(look.settings["General"].get("salt"))
    return holds(there, "a salt", "one" if there else "none")


@AREA.check(Capability.SERVICES, Capability.CONTAINER)
def promised_variables_are_set(look: Look) -> Finding:
    """Every variable that the task definition is to set is there."""
    there = {name.removesuffix("_FILE") for name, it in look.facts["environment"].items() if it}
    missing = [it for it in look.policy.environment.variables if it not in there]
    return nothing("missing variable", missing)


@AREA.check(Capability.SERVICES, Capability.CONTAINER)
def database_is_spoken_to_by_tls(look: Look) -> Finding:
    """The session with the database is encrypted."""
    if not look.policy.transport.database_by_tls:
        raise CannotTellError("the policy does not promise it")
    return holds(look.facts["cipher"], "a cipher", look.facts["cipher"] or "clear text")


@AREA.check(Capability.SERVICES, Capability.CONTAINER)
def database_s_certificate_is_checked(look: Look) -> Finding:
    """Who is not what the certificate says is not taken for the database."""
    if not look.policy.transport.database_by_tls:
        raise CannotTellError("the policy does not promise it")
    taken = look.facts["taken_by_address"]
    if taken is None:
        raise CannotTellError("the database's host is an address, and no name")
    seen = "taken" if taken else "refused"
    return holds(not taken, "refused under an address that its certificate does not name", seen)


@AREA.check(Capability.CONTAINER)
def no_update_waits(look: Look) -> Finding:
    """The database is this code's: no update of it waits."""
    return nothing("waiting update", look.facts["updates"])


@AREA.check(Capability.CONTAINER, Capability.API)
def code_is_the_image_s(look: Look) -> Finding:
    """The code that runs is the image's own, and not an older one's from a volume."""
    of_image = look.shell.run(
        "php", "-r", 'require "/usr/src/matomo/core/Version.php"; echo Piwik\\Version::VERSION;'
    )
    return same(of_image.strip(), look.version)


@AREA.check(Capability.CONTAINER)
def code_comes_from_the_image_alone(look: Look) -> Finding:
    """Nobody updates Matomo or uploads a plugin from a browser: such code would be gone with the container."""
    general = look.settings["General"]
    keys = ("enable_auto_update", "enable_plugin_upload")
    return nothing("way", [it for it in keys if str(general.get(it)) != "0"])


@AREA.check(Capability.CONTAINER)
def no_secret_of_before_in_the_file(look: Look) -> Finding:
    """Where the environment says a password or the salt, config.ini.php says none, not an old one either."""
    ini = parse(look.shell.read(look.shell.config))
    return nothing("secret", _secrets_of_the_environment(look, ini))


def _secrets_of_the_environment(look: Look, ini: Ini) -> list[str]:
    """Passwords and the salt that the environment says, and `ini` as well."""
    said = [(section, key) for section, key, _ in injected(look.facts).values() if key in SECRETS]
    return [f"[{it}] {key}" for it, key in said if ini.get(it, {}).get(key)]


@AREA.check(Capability.CONTAINER, Capability.CHANGE, group=Group.ALONE)
def a_save_writes_no_secret(look: Look) -> Finding:
    """Matomo saves its configuration, and no password of the environment's is in the file then."""
    shell = look.shell
    whole = shell.read(shell.config)
    shell.console("config:set", "--section=General", "--key=gate_canary", "--value=1")
    ini = parse(shell.read(shell.config))
    shell.write(shell.config, whole)
    if ini.get("General", {}).get("gate_canary") != "1":
        return holds(False, "the file to be saved", "it is not")
    return nothing("secret", _secrets_of_the_environment(look, ini))


@AREA.check(Capability.SERVICES, Capability.CONTAINER, costly=True, group=Group.ALONE)
def no_secret_in_a_file(look: Look) -> Finding:
    """After Matomo saved its configuration, no secret of the environment is in a file, or a backup."""
    shell = look.shell
    shell.console("config:set", "--section=General", "--key=gate_canary", "--value=1")
    shell.console("config:delete", "--section=General", "--key=gate_canary")
    shell.run(
        "sh", "-c", "command -v backup-data.sh >/dev/null && backup-data.sh || true", user="root"
    )
    places = f"{sweep.PLACES} tmp /mnt/efs"
    return nothing("secret in a file", _grep(look, look.stands.secrets, places))


def _grep(look: Look, needles: Mapping[str, str], places: str) -> list[str]:
    """Return where `needles` are, in whatever form; they go in by a file, never by an argument."""
    found = []
    for name, needle in needles.items():
        path = f"tmp/gate-{secrets.token_hex(6)}"
        look.shell.write(path, "\n".join(_forms(needle)))
        files = look.shell.run(
            *("sh", "-c", f"grep -rlaF -f {path} {places} 2>/dev/null | grep -v {path} || true"),
            user="root",
        )
        look.shell.run("rm", "-f", path)
        found += [f"{name} in {file}" for file in files.split()]
    return found


def _forms(secret: str) -> set[str]:
    """A secret as it is, and as JSON, an address, a page and base64 have it."""
    encoded = base64.b64encode(secret.encode()).decode()
    return {secret, json.dumps(secret)[1:-1], quote(secret, safe=""), html.escape(secret), encoded}


@AREA.check(Capability.SERVICES)
def no_secret_in_a_log(look: Look) -> Finding:
    """No secret of the environment is in any container's log."""
    logs = look.stands.logs()
    found = [
        f"{name} in the log of {service}"
        for name, secret in look.stands.secrets.items()
        for service, text in logs.items()
        if any(it in text for it in _forms(secret))
    ]
    return nothing("secret in a log", found)


@AREA.check(Capability.SERVICES, Capability.CONTAINER)
def no_secret_in_the_process_list(look: Look) -> Finding:
    """No secret of the environment is an argument of a process."""
    lines = look.shell.run("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '", user="root")
    return nothing(
        "secret as an argument", [it for it, text in look.stands.secrets.items() if text in lines]
    )


@AREA.check(Capability.LOGIN)
def system_check_has_no_error(look: Look) -> Finding:
    """Matomo's own system check shows no error beyond what a package cannot have."""
    errors = [
        result["label"]
        for result in look.system_check
        for item in result["items"]
        if item["status"] == "error" and not any(it in result["label"].lower() for it in TOLERATED)
    ]
    return nothing("error in System check", errors)


@AREA.check()
def login_is_near(look: Look) -> Finding:
    """From the address alone somebody comes to the login form, in two redirects at most."""
    answer = look.login_page
    kept = len(answer.history) <= 2 and 'name="form_login"' in answer.text
    return holds(
        kept,
        "the login form in 2 redirects at most",
        f"HTTP {answer.status_code}, {len(answer.history)} redirects, {'a form' if 'form_login' in answer.text else 'no login form'}",
    )


def _by_tls(look: Look) -> bool:
    """Whether browsers come by https here; a test's own Matomo on loopback cannot tell."""
    parts = urlsplit(look.target.url)
    if parts.scheme == "https":
        return True
    if not look.policy.transport.browsers_by_tls:
        raise CannotTellError("the policy does not promise it")
    host = parts.hostname or ""
    if host.endswith("localhost") or host.startswith("127."):
        raise CannotTellError("it is reached by http, on this machine's loopback")
    return False


@AREA.check()
def old_tls_is_refused(look: Look) -> Finding:
    """TLS 1.0 and 1.1 are refused (RFC 8996)."""
    if not _by_tls(look):
        return holds(False, "an address by https", look.target.url)
    if not ssl.HAS_TLSv1_1:
        raise CannotTellError("this machine's OpenSSL does not know them")
    parts = urlsplit(look.target.url)
    host = LOOPBACK if str(parts.hostname).endswith("localhost") else str(parts.hostname)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    try:
        with (
            socket.create_connection((host, parts.port or 443), timeout=10) as connection,
            context.wrap_socket(connection) as spoken,
        ):
            return holds(False, "a refusal", spoken.version())
    except (ssl.SSLError, ConnectionError) as refused:
        return holds(True, "a refusal", type(refused).__name__)


@AREA.check()
def cookies_are_secure(look: Look) -> Finding:
    """Browsers come by https, and every cookie is Secure and HttpOnly."""
    if not _by_tls(look):
        return holds(False, "an address by https", look.target.url)
    web = look.web
    web.get({"module": "Login"})
    insecure = [
        cookie.name
        for cookie in web.session.cookies
        if not cookie.secure
        or not any(cookie.has_nonstandard_attr(it) for it in ("HttpOnly", "httponly"))
    ]
    if not web.session.cookies:
        return holds(False, "a session cookie", "none")
    return nothing("cookie that is not Secure and HttpOnly", insecure)


@AREA.check()
def cookies_are_not_for_scripts(look: Look) -> Finding:
    """No script of a page's may read a cookie, and no other site's page has it sent: HttpOnly, SameSite."""
    web = look.web
    web.get({"module": "Login"})
    told = []
    for cookie in web.session.cookies:
        closed = any(cookie.has_nonstandard_attr(it) for it in ("HttpOnly", "httponly"))
        sent = str(cookie.get_nonstandard_attr("SameSite"))
        if not closed or sent.lower() not in ("lax", "strict"):
            told.append(f"{cookie.name}: {'' if closed else 'not '}HttpOnly, SameSite={sent}")
    return nothing("cookie for scripts or other sites", told)


@AREA.check()
def no_forged_host_is_believed(look: Look) -> Finding:
    """Where Matomo is, no header says that anybody can send: no link leads elsewhere."""
    web = look.web
    web.session.headers.update(dict.fromkeys(FORGED_HOSTS, ELSEWHERE))
    text = web.get({"module": "Login"}).text
    return nothing("link elsewhere", [ELSEWHERE] if ELSEWHERE in text else [])


@AREA.check()
def nothing_links_to_clear_text(look: Look) -> Finding:
    """Browsers come by https, and no page leads back to http."""
    if not _by_tls(look):
        return holds(False, "an address by https", look.target.url)
    clear = f"http://{urlsplit(look.target.url).netloc}"
    page = look.login_page.text.replace("\\/", "/")
    return nothing("link to http", [clear] if clear in page else [])


@AREA.check()
def clear_text_leads_to_tls(look: Look) -> Finding:
    """Who comes by http, a hit too, is sent to https, and sees nothing of Matomo before."""
    if not _by_tls(look):
        return holds(False, "an address by https", look.target.url)
    if not look.target.clear_text:
        raise CannotTellError(
            "the address has a port of its own: where it would be by http is not known"
        )
    web = Web(look.target.clear_text)
    try:
        answers = {path: web.ask(path) for path in ("index.php", "matomo.php", "piwik.php")}
    except MachineCannotError:
        return holds(True, "no page by http", "no answer")
    stay = {
        path: f"HTTP {it.status_code} {it.headers.get('Location', '')}"
        for path, it in answers.items()
        if not it.is_redirect or not it.headers["Location"].startswith("https://")
    }
    return nothing("answer but a redirect to https", [f"{path}: {it}" for path, it in stay.items()])


@AREA.check(Capability.SERVICES, Capability.CONTAINER, costly=True)
def mail_comes(look: Look) -> Finding:
    """A mail of Matomo's comes to the relay, by what the environment says."""
    address = f"{secrets.token_hex(4)}@people.example"
    look.shell.console("core:test-email", address)
    mail = look.stands.mail.wait_for(address, "", seconds=15)
    return holds(True, "a mail", f"'{mail.subject}' from {mail.sender}")
