"""JSON, serialised PHP and definitions of segments, rewritten value by value."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote, unquote_to_bytes

from matomo_harness.personal_data.pseudonyms import Pseudonyms
from matomo_harness.personal_data.rules import DocumentRules

UNPACKED_LIMIT: Final = 64 * 2**20
"""Bytes that a compressed value may become."""
_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,79}|[0-9]{1,6}")
"""Keys that are names of settings, or numbers of a list; another one may be a person's."""

_CONDITION: Final = re.compile(r"([A-Za-z0-9_.]+)(==|!=|<=|>=|=@|!@|=\^|=\$|<|>)([^;,]*)")
"""A condition of a segment (core/Segment/SegmentExpression.php); `;` and `,` join them."""

_HARMLESS: Final = re.compile(
    r"(country|continent|region|device|browser|operatingSystem|resolution|plugin|visitorType|"
    r"visitConverted|visitEcommerceStatus|referrerType|language|siteSearch(Count)?$|actionType|"
    r"visitServer|visitLocal|visitStart|visitEnd|actionServer|daysSince|secondsSince|profilable|"
    r"clientType|aiAgentName)"
)
_PERSONAL: Final = (
    "userid",
    "city",
    "dimension",
    "customvariable",
    "referrer",
    "visitip",
    "order",
    "campaign",
)
"""Beginnings of names whose values are pseudonyms, numbers too."""
_COUNTED: Final = re.compile(
    r"(visitId|visitCount|visitDuration|visitTotal\w*|visitConvertedGoalId|visitEventCount|actions|searches|"
    r"events|eventValue|interactions|interactionPosition|revenue\w*|\w+Price|\w+Count|\w*[tT]ime\w*)$"
)
"""Names whose values are counts, amounts and times, which are in the log as they were."""
_NUMBER: Final = re.compile(r"-?[0-9]{1,9}([.][0-9]{1,9})?")


def rewritten(value: str, rules: DocumentRules, pseudonyms: Pseudonyms) -> str:
    """Return a JSON or serialised PHP value with all strings in it rewritten.

    Args:
        value: the text; what is neither of the two becomes empty.
        rules: what becomes of which path.
        pseudonyms: of this run.
    """
    rewriters: dict[str, Callable[[str], str]] = {
        "login": pseudonyms.login,
        "mail": pseudonyms.mail,
        "url": pseudonyms.url,
        "text": pseudonyms.text,
        "empty": lambda _: "",
        "keep": str,
    }

    def walked(item: Any, path: str) -> Any:
        below = f"{path}." if path else ""
        if isinstance(item, dict):
            return {
                _safe_key(key, pseudonyms): walked(inner, f"{below}{key}")
                for key, inner in item.items()
            }
        if isinstance(item, list):
            return [walked(inner, f"{below}{place}") for place, inner in enumerate(item)]
        return rewriters[rules.kind_of(path)](item) if isinstance(item, str) else item

    try:
        return json.dumps(walked(json.loads(value), ""), separators=(",", ":"))
    except (ValueError, RecursionError):
        pass
    try:
        return serialised(walked(unserialised(value), ""))
    except (ValueError, RecursionError):
        return ""


def _safe_key(key: Any, pseudonyms: Pseudonyms) -> Any:
    return pseudonyms.text(key) if isinstance(key, str) and not _KEY.fullmatch(key) else key


def segment(definition: str, pseudonyms: Pseudonyms) -> str:
    """Return a segment's definition with the values of its conditions rewritten.

    Where a value decides by equality it becomes what the column has become, so that the segment
    still finds the same visits; a part of a value cannot.
    """

    def condition(match: re.Match[str]) -> str:
        name, sign, value = match[1], match[2], unquote(match[3])
        if name == "visitorId":
            return f"{name}{sign}{pseudonyms.visitor(value)}"
        if name.endswith(("Url", "url")):
            made = pseudonyms.url(value)
            # What was encoded may hold a `;` or a `,`, which would end the condition.
            return f"{name}{sign}{quote(made, safe='') if value != match[3] else made}"
        if name.lower().startswith(_PERSONAL) and name != "referrerType":
            return f"{name}{sign}{pseudonyms.pseudonym(value)}"
        is_number = bool(_NUMBER.fullmatch(value))
        if name in ("latitude", "longitude") and is_number:
            return f"{name}{sign}{round(float(value))}"
        if not value or _HARMLESS.match(name) or (is_number and _COUNTED.match(name)):
            return match[0]
        return f"{name}{sign}{pseudonyms.text(value)}"

    # Definitions are kept as they came, or encoded as a whole once more.
    text = definition if _CONDITION.match(definition) else unquote(definition)
    rest = _CONDITION.sub("", text).replace(";", "").replace(",", "")
    return "" if rest else _CONDITION.sub(condition, text)


def segment_hash(definition: str) -> str:
    """Return the hash by which archives are of a segment (Segment::getSegmentHash)."""
    decoded = unquote_to_bytes(definition.replace("+", " "))
    return hashlib.md5(decoded, usedforsecurity=False).hexdigest()


# -- serialised PHP -------------------------------------------------------------------------------

_SCALAR: Final = re.compile(
    rb"(?:(N);|b:([01]);|i:(-?[0-9]+);|d:([^;]+);|s:([0-9]+):\"|a:([0-9]+):\{)"
)


def unserialised(text: str) -> Any:
    """Return the value of PHP's serialize(): arrays as dicts, no objects.

    Raises:
        ValueError: it is something else.
    """
    value, end = _unserialised(text.encode(), 0)
    if end != len(text.encode()):
        raise ValueError("something follows the value")
    return value


def _unserialised(data: bytes, start: int) -> tuple[Any, int]:
    found = _SCALAR.match(data, start)
    if not found:
        raise ValueError("no value of PHP")
    end = found.end()
    if found[1]:
        return None, end
    if found[2]:
        return found[2] == b"1", end
    if found[3]:
        return int(found[3]), end
    if found[4]:
        return float(found[4]), end
    if found[5]:
        length = int(found[5])
        if data[end + length : end + length + 2] != b'";':
            raise ValueError("a string of another length")
        return data[end : end + length].decode(), end + length + 2
    items: dict[Any, Any] = {}
    for _ in range(int(found[6])):
        key, end = _unserialised(data, end)
        if not isinstance(key, int | str):
            raise ValueError("a key that is no key")
        items[key], end = _unserialised(data, end)
    if data[end : end + 1] != b"}":
        raise ValueError("an array without its end")
    return items, end + 1


def serialised(value: Any) -> str:
    """Return `value` as PHP's serialize() writes it."""
    if value is None:
        return "N;"
    if isinstance(value, bool):
        return f"b:{int(value)};"
    if isinstance(value, int):
        return f"i:{value};"
    if isinstance(value, float):
        return f"d:{value!r};"
    if isinstance(value, str):
        return f's:{len(value.encode())}:"{value}";'
    pairs: Mapping[Any, Any] = value if isinstance(value, dict) else dict(enumerate(value))
    inner = "".join(serialised(key) + serialised(item) for key, item in pairs.items())
    return f"a:{len(pairs)}:{{{inner}}}"
