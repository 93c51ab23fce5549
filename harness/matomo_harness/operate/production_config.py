"""Production's config.ini.php for a reproduction: without its secrets, and at another address."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from matomo_harness.errors import WrongInputError
from matomo_harness.matomo import ini
from matomo_harness.personal_data import texts
from matomo_harness.redaction import LIKELY_SECRET, NO_SECRET, SECRET, SWITCH

OF_TABLES: Final = ("charset", "collation", "adapter")
"""Keys of [database] that say how to speak to the tables; the others lead to a server."""
ELSEWHERE: Final = ("mail", "proxy", "database_reader")
"""Sections that lead to services of production's."""
CACHES: Final = (("Cache", "backend"), ("ChainedCache", "backends"))
"""Keys that name the caches in use; without their sections Matomo has its own."""
ALLOW_LISTS: Final = ("login_allowlist_ip", "login_whitelist_ip")
"""Keys of [General] with the addresses that may log in: nobody's here is among production's."""
OF_ITS_ADDRESS: Final = ("trusted_hosts", "cors_domains", "instance_id", *ALLOW_LISTS)
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
    for section in (*ELSEWHERE, *caches):
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

    A secret may be in a comment, so there is none; and no value has an address of a person or of a
    machine in it.

    Args:
        production: the file.

    Raises:
        WrongInputError: it is not INI.
    """
    text, left_out = without_secrets(production)
    with_address = [entry for entry in ini.read(text).entries if texts.names_a_person(entry.text)]
    for entry in with_address:
        name = f"{entry.name}[]" if entry.index is not None else entry.name
        text = ini.without_key(text, entry.section, name)
        left_out = (*left_out, f"{entry.section}.{entry.name}")
    return ini.write(ini.read(text).settings, ini.HEADER), tuple(dict.fromkeys(left_out))


def for_reproduction(production: str, own: str, url: str) -> tuple[str, tuple[str, ...]]:
    """Return the file for a reproduction, and what was taken out of production's.

    Args:
        production: production's file.
        own: the file of the reproduction's image, which says whether a salt comes from elsewhere.
        url: the reproduction's address.
    """
    text, left_out = without_secrets(production)
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
