"""Production's config.ini.php for a reproduction: without its secrets, and at another address."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from matomo_harness.errors import WrongInputError
from matomo_harness.matomo import ini
from matomo_harness.personal_data import texts
from matomo_harness.redaction import LIKELY_SECRET, NO_SECRET, SECRET, SWITCH

OF_TABLES: Final = ("charset", "collation", "adapter")
"""Keys of [database] that say how to speak to the tables; the others lead to a server."""
ELSEWHERE: Final = ("mail", "proxy", "database_reader", "LoginSaml")
"""Sections that lead to services of production's; the last one leads whoever opens the login page
to production's own, out of a browser that the reproduction's network does not hold back."""
QUEUE: Final = "QueuedTracking"
"""The section of the plugin that puts hits into a Redis; it wins over what is clicked."""
CACHES: Final = (("Cache", "backend"), ("ChainedCache", "backends"))
"""Keys that name the caches in use; without their sections Matomo has its own."""
ALLOW_LISTS: Final = ("login_allowlist_ip", "login_whitelist_ip")
"""Keys of [General] with the addresses that may log in: nobody's here is among production's."""
OF_ITS_ADDRESS: Final = ("trusted_hosts", "cors_domains", "instance_id", *ALLOW_LISTS)
NAMED_ADDRESS: Final = re.compile(
    r"(?i)(^|_)(host|hosts|hostname|server|servers|domain|domains|url|urls|uri|endpoint|email|mail"
    r"|address|addresses|ip|ips)$"
)
ADDRESS: Final = re.compile(
    r"\S+@\S+\.\w+|[a-z][a-z0-9+.-]*://.+|\d+(\.(\d+|\*)){3}\S*|[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*(/\d+)?"
    r"|(?!.*\.(php|log|json|ini|css|js|html|mmdb|dat|pem|crt)$)[a-z0-9*-]+(\.[a-z0-9-]+)*\.[a-z]{2,}(:\d+)?",
    re.IGNORECASE,
)
"""A mail address, a URL, an address of IPv4 or IPv6, or a host's name with a domain."""
NAMED_ACCOUNT: Final = re.compile(r"(?i)(^|_)(user|username|login|dn|email_name)$")
"""Names of keys with who logs in at a service, as in a directory (LDAP), or who sends mail."""
OF_A_DIRECTORY: Final = re.compile(r"(?i)\b(cn|dc|ou|uid)\s*=")
"""A name in a directory, or a part of one, as filters have it: (memberOf=cn=…,dc=…)."""
APART: Final = re.compile(r"[\s,;\"'\[\]{}]+")
"""What stands between the words of a value with several: a list, JSON, serialised PHP."""
IN_MAINTENANCE: Final = (("General", "maintenance_mode"), ("Tracker", "record_statistics"))
"""What production is closed by while it is dumped or moved: nobody could log in here, and hits
would be lost."""
READS_ENVIRONMENT: Final = "EnvironmentVariables"
"""The plugin by which the stack's own database, mail relay and salt win over the file."""


def read(path: Path) -> str:
    """Return the text of a config.ini.php.

    Raises:
        WrongInputError: there is none, or it is not INI.
    """
    text = text_of(path, "production's config.ini.php")
    ini.read(text)
    return text


def text_of(path: Path, what: str) -> str:
    """Return the text of a file that a person has named.

    Args:
        path: the file.
        what: it is, for the error.

    Raises:
        WrongInputError: there is none, or it is no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise WrongInputError(
            expected=f"{what} in {path}",
            seen=getattr(error, "strerror", None) or "bytes that are no text",
            next_command=f"ls -l {path}",
        ) from error


def without_secrets(production: str) -> tuple[str, tuple[str, ...]]:
    """Return the file without its secrets and what leads to production's services; and their names.

    Args:
        production: production's file; every other byte of it stays.
    """
    text, left_out = production, []

    def take_out(section: str, key: str) -> None:
        nonlocal text
        text = ini.without_key(ini.without_key(text, section, key), section, f"{key}[]")
        left_out.append(f"{section}.{key}")

    has_redis = any("redis" in ini.read(text).texts(*place) for place in CACHES)
    caches = ("RedisCache", *(section for section, _ in CACHES)) if has_redis else ()
    for section in (*ELSEWHERE, QUEUE, *caches):
        if ini.read(text).settings.get(section):
            text = ini.without_section(text, section)
            left_out.append(f"[{section}]")
    for section, settings in ini.read(text).settings.items():
        for key in settings:
            is_of_server = section == "database" and key not in OF_TABLES
            is_of_address = section == "General" and key in OF_ITS_ADDRESS
            if is_of_server or is_of_address or _is_secret(key, ini.read(text).texts(section, key)):
                take_out(section, key)
    return text, tuple(left_out)


def _is_secret(key: str, values: tuple[str, ...]) -> bool:
    if SECRET.search(key):
        return True
    is_likely = LIKELY_SECRET.search(key) and not NO_SECRET.fullmatch(key)
    return bool(is_likely) and not all(SWITCH.fullmatch(value) for value in values)


def for_ticket(production: str) -> tuple[str, tuple[str, ...]]:
    """Return the file as it may be sent to others, and what was taken out.

    A secret may be in a comment, so there is none; and no value names a person or a machine.

    Args:
        production: the file.

    Raises:
        WrongInputError: it is not INI.
    """
    text, left_out = without_secrets(production)
    for entry in filter(_names_somebody, ini.read(text).entries):
        name = f"{entry.name}[]" if entry.index is not None else entry.name
        text = ini.without_key(text, entry.section, name)
        left_out = (*left_out, f"{entry.section}.{entry.name}")
    return ini.write(ini.read(text).settings, ini.HEADER), tuple(dict.fromkeys(left_out))


def _names_somebody(entry: ini.Entry) -> bool:
    if SWITCH.fullmatch(entry.text):
        return False
    return bool(
        texts.names_a_person(entry.text)
        or NAMED_ADDRESS.search(entry.name)
        or NAMED_ACCOUNT.search(entry.name)
        or OF_A_DIRECTORY.search(entry.text)
        or any(ADDRESS.fullmatch(piece) for piece in APART.split(entry.text))
    )


def for_reproduction(production: str, own: str, url: str) -> tuple[str, tuple[str, ...]]:
    """Return the file for a reproduction, and what was taken out of production's.

    Args:
        production: production's file.
        own: the file of the reproduction's image, which says whether a salt comes from elsewhere.
        url: the reproduction's address.
    """
    text, left_out = without_secrets(production)
    for section, key in IN_MAINTENANCE:
        if ini.read(text).text(section, key) is not None:
            text = ini.without_key(text, section, key)
            left_out = (*left_out, f"{section}.{key}")
    if (salt := ini.read(own).text("General", "salt")) is not None:
        text = ini.with_key(text, "General", "salt", salt)
    for host in (urlsplit(url).hostname, urlsplit(url).netloc):
        text = ini.with_key(text, "General", "trusted_hosts[]", str(host))
    for section in ("Plugins", "PluginsInstalled"):
        is_own = READS_ENVIRONMENT in ini.read(own).texts("Plugins", "Plugins")
        there = ini.read(text).texts(section, section)
        if is_own and there and READS_ENVIRONMENT not in there:
            text = ini.with_key(text, section, f"{section}[]", READS_ENVIRONMENT)
    return text, left_out
