"""What in a value names a person or opens something, and how a report shows that it was there."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from matomo_harness.personal_data import search, texts
from matomo_harness.personal_data.pseudonyms import IPV6_BYTES_LEFT
from matomo_harness.personal_data.rewriting import MASKED_BYTES
from matomo_harness.personal_data.search import Canary
from matomo_harness.redaction import REDACTED

MAIL: Final = "mail-address"
TOKEN: Final = "token"  # noqa: S105  a kind of finding
NAME: Final = "person-name"
ADDRESS: Final = "network-address"
FORBIDDEN: Final = "forbidden-value"

_TIMES_ENCODED: Final = 3
"""An address in an address in an address is the most that pages were seen to make."""
_SECRET: Final = re.compile(
    r"(?i)(?:^|[_.\[-])(?:\w*tokens?|pass(?:word|wd|phrase)?|pwd|secret|j?session_?(?:id)?|phpsessid|"
    r"api_?key|jwt|signature|ticket|saml(?:request|response)|credentials?)\]?$"
)
"""Names of parameters whose values open something."""
_PERHAPS_SECRET: Final = re.compile(r"(?i)^(?:auth|code|key|nonce|otp|sid|sig|state|hash)$")
"""Names that mean this only where the value reads as made by a machine."""
_BY_MACHINE: Final = re.compile(r"(?=\S*\d)(?=\S*[A-Za-z])[\w.~+/=-]{16,}")
_JWT: Final = re.compile(r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*")
_LINK: Final = re.compile(
    r"(?i)/[\w-]*(?:reset|confirm|verif|activat|invit|unsubscribe|magic)[\w-]*/"
    r"(?:[\w.~=-]*/)*?((?=[\w.~=-]*\d)(?=[\w.~=-]*[A-Za-z])[\w.~=-]{16,})"
)
"""A link that was mailed to one person, whose last part is the key."""
_PERSON: Final = re.compile(
    r"(?i)^(?:(?:full|first|last|given|family|sur|user|patron|student|member|customer|login)_?-?name|"
    r"[fl]name|login|user(?:_?id)?|patron(?:_?id)?|barcode|card_?(?:no|number)|student_?(?:id|no|number)|"
    r"phone|tel(?:ephone)?|mobile|birth_?(?:date|day)|dob|street|postal_?address)$"
)
"""Names of parameters whose values name a person."""
_SWITCH: Final = re.compile(
    r"(?i)(?:login|mobile|phone|tel)=(?:[01]|true|false|yes|no|on|off|success|failed|required)"
)
"""As `?mobile=1`, the pages for telephones: names of a person's things that hold none."""
_TWO_NAMES: Final = re.compile(r"[^\W\d_a-z][\w'-]+(?:[ +][^\W\d_a-z][\w'-]+){1,3}")
"""As Jane Doe: what `name` holds where it is a person's."""
_ADDRESS_LIKE: Final = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?//|^/", re.IGNORECASE)


@dataclass(frozen=True)
class Trace:
    """Something in a value that should not be there.

    Args:
        kind: mail address, token, name, network address, or a value that was forbidden.
        part: of an address, where the value is one: `query: email`, `path`, `fragment`, `host`.
        shown: for a report; never what was found.
        name: of the query's parameter, if that is where it is.
    """

    kind: str
    part: str
    shown: str
    name: str = field(default="")


def traces(value: str, forbidden: tuple[str, ...] = ()) -> tuple[Trace, ...]:
    """Return what is in a value of a hit, each kind once for each of its parts.

    Args:
        value: decoded once, as the hit's parameter has it.
        forbidden: values that must be nowhere.
    """
    found: dict[tuple[str, str], Trace] = {}
    for part, name, text in _parts(value, forbidden):
        for kind, shown in _in_text(text, name, part, forbidden):
            found.setdefault((kind, part), Trace(kind, part, shown, name))
    return tuple(found.values())


def is_whole(address: str) -> bool:
    """Whether less of a network address is masked than Matomo masks."""
    try:
        parsed = ipaddress.ip_address(address.strip().strip("[]"))
    except ValueError:
        return False
    left = 4 - MASKED_BYTES if parsed.version == 4 else IPV6_BYTES_LEFT[MASKED_BYTES]
    return any(parsed.packed[left:])


def masked(text: str, forbidden: tuple[str, ...] = ()) -> str:
    """Return a text for a report: mail addresses as `j…@example.org`, and no token.

    Args:
        text: of any kind.
        forbidden: values that must be nowhere.
    """
    for value in forbidden:
        text = re.sub(re.escape(value), REDACTED, text, flags=re.IGNORECASE)
    for mail in texts.mail_addresses(text):
        text = text.replace(mail, _masked_mail(mail))
    text = _JWT.sub(REDACTED, text)
    for key in _LINK.findall(text):
        text = text.replace(key, REDACTED)
    return text


def shown_address(url: str, forbidden: tuple[str, ...] = ()) -> str:
    """Return the address of a page for a report: which parameters it has, and not their values."""
    try:
        split = urlsplit(url)
    except ValueError:
        return REDACTED
    path, *after = unquoted(split.path).split(";")
    _, sign, host = split.netloc.rpartition("@")
    host = f"{REDACTED}@{host}" if sign else host
    shown = f"{split.scheme}://{host}{path}" if host else path
    shown += "".join(f";{_without_value(each)}" for each in after)
    if split.query:
        shown += "?" + "&".join(map(_without_value, split.query.split("&")))
    if split.fragment:
        route = unquoted(split.fragment).partition("?")[0]
        shown += f"#{route if route[:1] in ('/', '!') else REDACTED}"
    return masked(shown, forbidden)


def _without_value(pair: str) -> str:
    name, sign, _ = pair.partition("=")
    return f"{unquoted(name)}={REDACTED}" if sign else REDACTED


def unquoted(text: str) -> str:
    """Return a text without percent-encoding, however often it was encoded."""
    for _ in range(_TIMES_ENCODED):
        plain = unquote(text)
        if plain == text:
            break
        text = plain
    return text


def _parts(value: str, forbidden: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """Yield the parts of a value: what part it is, the name of a parameter, and the text."""
    text = value.strip()
    if not _ADDRESS_LIKE.match(text):
        yield "", "", unquoted(text)
        return
    try:
        split = urlsplit(text)
    except ValueError:
        yield "", "", unquoted(text)
        return
    host = unquoted(split.netloc)
    if "@" in host or any(_has(host, each) for each in forbidden):
        yield "host", "", host
    path, *after = split.path.split(";")
    yield "path", "", unquoted(path)
    route, mark, of_route = split.fragment.partition("?")
    if mark:
        yield "fragment", "", unquoted(route)
    for place, query in (
        ("path", ";".join(after).replace(";", "&")),
        ("query", split.query),
        ("fragment", of_route if mark else route),
    ):
        pairs = parse_qsl(query, keep_blank_values=True)
        if place == "fragment" and not any(value for _, value in pairs):
            yield place, "", unquoted(query)
            continue
        for name, inside in pairs:
            known = masked(unquoted(name), forbidden)
            yield f"{place}: {known}", name, unquoted(inside)
            yield f"{place}: {known}", "", unquoted(name)


def _in_text(
    text: str, name: str, part: str, forbidden: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    for value in forbidden:
        if _has(text, value):
            yield FORBIDDEN, REDACTED
    mails = texts.mail_addresses(text)
    if mails:
        yield MAIL, ", ".join(map(_masked_mail, mails))
    if _is_token(text, name, part):
        yield TOKEN, f"(redacted, {len(text)} characters)"
    if not mails and text.strip() and _names_a_person(text, name):
        yield NAME, REDACTED
    if any(map(is_whole, texts.network_addresses(text))):
        yield ADDRESS, REDACTED


def _has(text: str, value: str) -> bool:
    data = text.encode()
    if value.casefold() in text.casefold():
        return True
    # Of few characters the other forms would be found by chance.
    forms = Canary(value).forms().values() if len(value) >= 8 else ()
    return any(needle in data for needles in forms for needle in needles)


def _is_token(text: str, name: str, part: str) -> bool:
    if _JWT.search(text) or (part in ("path", "fragment") and _LINK.search(text)):
        return True
    if not name or not text or text.isspace():
        return False
    if _SECRET.search(name):
        return len(text) > 3 and text.lower() not in ("true", "false", "none", "null")
    if _PERHAPS_SECRET.search(name) and _BY_MACHINE.fullmatch(text):
        return True
    return search.has_token(text.encode())


def _names_a_person(text: str, name: str) -> bool:
    if _PERSON.search(name):
        return not _SWITCH.fullmatch(f"{name}={text.strip()}")
    return name.lower() == "name" and bool(_TWO_NAMES.fullmatch(text))


def _masked_mail(mail: str) -> str:
    person, sign, host = mail.replace("%40", "@").partition("@")
    return f"{person[:1]}…{sign}{host}"
