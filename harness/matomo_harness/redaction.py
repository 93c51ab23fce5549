"""Take secrets out of everything that is written down."""

import re
from collections.abc import Sequence
from typing import Final

SECRET_FIELDS: Final = re.compile(
    r"(?i)((?:password|token|auth|secret|nonce|cookie)[\w\]\[]*(?:=|: ))[^&\s\"]+"
)
REDACTED: Final = "(redacted)"


def redact(text: str, known: Sequence[str]) -> str:
    """Return `text` without the secrets `known` and what forms and headers call secret."""
    for secret in sorted(known, key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    return SECRET_FIELDS.sub(rf"\1{REDACTED}", text)
