"""Take secrets out of everything that is written down."""

import re
from collections.abc import Sequence
from typing import Final

SECRET_FIELDS: Final = re.compile(
    r"(?i)((?:password|token|auth|secret|nonce|cookie)[\w\]\[]*(?:=|: ))[^&\s\"]+"
)
_HEADER: Final = re.compile(
    r"(?im)(^[\s<>*]*(?:(?:proxy-)?authorization|cookie): "
    r"|['\"](?:(?:proxy-)?authorization|cookie)['\"]: ['\"])[^'\"\r\n]+"
)
"""Headers of a request that are a secret as a whole; of Set-Cookie the attributes may be seen."""
_JSON: Final = re.compile(
    r'(?i)("[\w-]*(?:password|token|auth(?!or)|secret|nonce|cookie)[\w-]*"\s*:\s*")(?:[^"\\]|\\.)+'
)
_GENERATED: Final = re.compile(r"(?i)(generated root password: )\S+")
"""What MariaDB's image prints once; it has any sign in it."""
REDACTED: Final = "(redacted)"
SECRET: Final = re.compile(r"(?i)(password|passwd|salt|secret|token|key|licen[cs]e)$")
"""Names of settings that hold a secret."""
LIKELY_SECRET: Final = re.compile(
    r"(?i)pass(word|wd|phrase|code)|pass(?![a-z])|(^|_)pw(d|$)|secret|salt|token|api_?key|keys$"
    r"|licen[cs]e|credential|private|auth|dsn|webhook"
)
"""Names that may mean one."""
NO_SECRET: Final = re.compile(r"password_hash_\w+|login_password_recovery_\w+")
"""Names that say `password`: the cost of a hash (core/Auth/Password.php), the sender of a mail."""
SWITCH: Final = re.compile(r"|-?\d{1,9}|true|false|yes|no|on|off|null|none", re.IGNORECASE)
"""What is neither a secret nor an address, whatever its key is called: `…_auth_tokens = 1`."""


def setting(name: str, value: str) -> str:
    """Return what a setting may be shown with: its value, unless that may be a secret by its name.

    Args:
        name: its key, which may follow the name of a section or plugin and a dot.
        value: what it is set to.
    """
    key = re.split(r"[.\s]", name)[-1]
    if NO_SECRET.fullmatch(key) or value in ("", "0"):
        return value
    if SECRET.search(key) or (LIKELY_SECRET.search(key) and not SWITCH.fullmatch(value)):
        return REDACTED
    return value


def redact(text: str, known: Sequence[str]) -> str:
    """Return `text` without the secrets `known` and what forms and headers call secret."""
    for secret in sorted(known, key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    for fields in (_GENERATED, _HEADER, _JSON, SECRET_FIELDS):
        text = fields.sub(rf"\1{REDACTED}", text)
    return text
