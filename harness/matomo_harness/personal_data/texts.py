"""What names a person in a text that no rule is about: a log, a value of a configuration file."""

import ipaddress
import re
from typing import Final

from matomo_harness.redaction import REDACTED

_MAIL: Final = re.compile(
    r"[A-Za-z0-9._+'-]+(?:@|%40)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,24}"
)
_IPV4: Final = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)")
_IPV6: Final = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])")
_VALUE: Final = re.compile(r"([?&;]([\w\[\]%.-]+)=)([^&\s\"'#]+)")
_OF_MATOMO: Final = ("module", "action", "method", "period", "format", "rec", "idsite", "idSite")
"""Parameters of an address that say what was asked, and never by whom or of whom."""


def mail_addresses(text: str) -> tuple[str, ...]:
    """Return the mail addresses in `text`, each once, as they are written there."""
    return tuple(dict.fromkeys(_MAIL.findall(text)))


def network_addresses(text: str) -> tuple[str, ...]:
    """Return the network addresses in `text` that may be a person's, each once."""
    found = dict.fromkeys((*_IPV4.findall(text), *_IPV6.findall(text)))
    return tuple(candidate for candidate in found if _is_of_somebody(candidate))


def names_a_person(text: str) -> bool:
    """Whether a mail address or a network address is in `text`."""
    return without_addresses(text) != text


def without_addresses(text: str) -> str:
    """Return `text` with `(redacted)` for each mail address and network address in it.

    Those of the machine itself (127.0.0.0/8, ::1) and of no machine (0.0.0.0, ::) stay.
    """
    text = _MAIL.sub(REDACTED, text)
    return _IPV6.sub(_address, _IPV4.sub(_address, text))


def without_queries(text: str) -> str:
    """Return `text` with `(redacted)` for the values in its addresses' queries.

    Those that name a part of Matomo stay: module, action, method and the like.
    """
    return _VALUE.sub(
        lambda found: found[0] if found[2] in _OF_MATOMO else f"{found[1]}{REDACTED}", text
    )


def _address(found: "re.Match[str]") -> str:
    return REDACTED if _is_of_somebody(found[0]) else found[0]


def _is_of_somebody(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False  # a version, or a time
    return not (address.is_loopback or address.is_unspecified)
