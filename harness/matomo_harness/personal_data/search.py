"""The leak search: what is left in a schema that names a person, and that no rule explains.

Every table is read once as a stream, and every column that may hold characters or bytes is
searched; what is compressed is decompressed. A finding says where and how often, never what.
"""

import base64
import ipaddress
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from pymysql.cursors import SSCursor

from matomo_harness.personal_data import pseudonyms
from matomo_harness.personal_data.documents import UNPACKED_LIMIT
from matomo_harness.personal_data.pseudonyms import IPV6_BYTES_LEFT, MAIL_DOMAIN
from matomo_harness.personal_data.rewriting import MASKED_BYTES, is_one_of
from matomo_harness.personal_data.rules import Rule, TablePlan
from matomo_harness.personal_data.schema import Column, Connection, in_utf8, one_value, quoted

ROWS_AT_ONCE: Final = 500
"""Rows whose text is searched at once; where nothing is found nobody looks at them again."""

_MAIL: Final = re.compile(
    rb"(?:(?<=[A-Za-z0-9._+'-])@|(?<=[A-Za-z0-9._+'-])%40)([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,24})"
)
_IPV4: Final = re.compile(
    rb"(?<![0-9A-Za-z.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)"
    rb"(?![0-9A-Za-z]|\.\d)"
)
_IPV6: Final = re.compile(
    rb"(?<![0-9A-Za-z:._])(?:[0-9A-Fa-f]{1,4}:){2,7}(?::|[0-9A-Fa-f]{1,4})"
    rb"(?::?[0-9A-Fa-f]{1,4}){0,6}(?![0-9A-Za-z:])"
)
_SHORT_IPV6: Final = re.compile(
    rb"(?<![0-9A-Za-z:._\\])(?:[23][0-9A-Fa-f]{3}|[Ff][C-Fc-f][0-9A-Fa-f]{2})"
    rb"::[0-9A-Fa-f]{1,4}(?![0-9A-Za-z:_(])"
)
"""As fe80::1, of the ranges that are given out: Db::add is a class of PHP and its method."""
_TOKEN: Final = re.compile(rb"(?<![0-9A-Za-z])[0-9a-fA-F]{32}(?![0-9A-Za-z])")
_LONG_TOKEN: Final = re.compile(
    rb"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{40}|[0-9a-fA-F]{64}|[0-9a-fA-F]{128})(?![0-9A-Za-z])"
)
_PASSWORD: Final = re.compile(rb"\$2[aby]\$\d\d\$[./0-9A-Za-z]{20,}|\$argon2(?:id|i|d)\$")

# What each of them holds somewhere: quick to find, because it begins with a certain character.
_SIGNS: Final = (
    re.compile(rb"@[A-Za-z0-9-]"),
    re.compile(rb"%40[A-Za-z0-9-]"),
    re.compile(rb"\.\d{1,3}\.\d{1,3}\.\d"),
    re.compile(rb":[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:"),
    re.compile(rb"[23Ff][0-9A-Fa-f]{3}::"),
    re.compile(rb"\$(?:2|argon)"),
)
_DIGITS: Final = bytes(
    0x30 if chr(byte) in "0123456789abcdefABCDEF" else 0x20 for byte in range(256)
)

_HARMLESS_HOSTS: Final = (b"example", b"example.org", b"example.com", b"example.net", b"matomo.org")
"""Nobody's (RFC 2606), and Matomo's own, which its texts name."""
_HASHES: Final[Mapping[str, frozenset[str]]] = {
    # Done flags name their segment by its hash (core/ArchiveProcessor/Rules.php).
    "archive_numeric_*": frozenset(("name",)),
    "archive_blob_*": frozenset(("name",)),
    "archive_invalidations": frozenset(("name",)),
    "archiving_metrics": frozenset(("archive_name",)),
}


@dataclass(frozen=True)
class Finding:
    """Something that should not be left.

    Args:
        table: the table's name without prefix.
        column: the column.
        form: what it is: `mail address`, `address`, `token`, `password hash`, or a canary's form.
        count: in how many rows.
    """

    table: str
    column: str
    form: str
    count: int


@dataclass(frozen=True)
class Canary:
    """A value that was planted and must be nowhere.

    Args:
        value: the text, at least eight characters, or an address.
    """

    value: str = field(repr=False)

    def forms(self) -> dict[str, tuple[bytes, ...]]:
        """Return the bytes of the value in every form that it could be kept in, by form."""
        raw = self.value.encode()
        forms: dict[str, tuple[bytes, ...]] = {
            "plain": (raw,),
            "upper case": (self.value.upper().encode(),),
            "lower case": (self.value.lower().encode(),),
            "percent-encoded": (
                "".join(f"%{byte:02X}" for byte in raw).encode(),
                "".join(f"%{byte:02x}" for byte in raw).encode(),
                *(encoded for encoded in (quote(self.value, safe="").encode(),) if encoded != raw),
            ),
            "base64": tuple(_in_base64(raw)),
            "hexadecimal": (raw.hex().encode(), raw.hex().upper().encode()),
        }
        try:
            packed = ipaddress.ip_address(self.value).packed
        except ValueError:
            pass
        else:
            forms["packed"] = (packed,)
            if len(packed) == 4:
                forms["packed, as IPv6"] = (bytes(10) + b"\xff\xff" + packed,)
        return forms


def _in_base64(raw: bytes) -> Iterator[bytes]:
    """Yield what is in base64 wherever `raw` begins: the ends depend on what is around it."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw)
        # A character holds six bits: whole ones of `raw` only.
        first = (before * 8 + 5) // 6
        last = (before + len(raw)) * 8 // 6
        yield encoded[first:last]


def search(
    connection: Connection,
    plans: Iterable[TablePlan],
    canaries: Sequence[Canary] = (),
    *,
    masked_bytes: int = MASKED_BYTES,
) -> list[Finding]:
    """Return all that is left in the tables of `plans`.

    Args:
        connection: to the schema; nothing is written.
        plans: the tables and their rules, which explain what may look like a person's.
        canaries: values that must be nowhere.
        masked_bytes: bytes of an address that must be masked.
    """
    needles = {
        (form, needle)
        for canary in canaries
        for form, listed in canary.forms().items()
        for needle in listed
    }
    patterns = _Patterns(needles, masked_bytes)
    found: list[Finding] = []
    for plan in plans:
        found += _in_table(connection, plan, patterns)
        found += _unmasked(connection, plan, masked_bytes)
    return found


class _Patterns:
    """What is searched for: quickly in many rows at once, and by name in a single value."""

    def __init__(self, needles: Iterable[tuple[str, bytes]], masked_bytes: int) -> None:
        self._needles = sorted(needles)
        self._masked_bytes = masked_bytes

    def may_be_in(self, data: bytes) -> bool:
        """Whether anything at all could be in `data`."""
        return (
            self.has_canary(data)
            or any(sign.search(data) for sign in _SIGNS)
            or b"0" * 32 in data.translate(_DIGITS)
        )

    def has_canary(self, data: bytes) -> bool:
        """Whether a canary is in `data`."""
        return any(needle in data for _, needle in self._needles)

    def forms_in(self, data: bytes, explained: frozenset[str]) -> set[str]:
        """Return the forms that are in a value."""
        found = {f"canary, {form}" for form, needle in self._needles if needle in data}
        ways: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
            ("mail address", _has_mail),
            ("address", self._has_address),
            ("token", has_token),
            ("password hash", lambda text: bool(_PASSWORD.search(text))),
        )
        return found | {form for form, has in ways if form not in explained and has(data)}

    def _has_address(self, data: bytes) -> bool:
        candidates = *_IPV4.findall(data), *_IPV6.findall(data), *_SHORT_IPV6.findall(data)
        for text in candidates:
            try:
                address = ipaddress.ip_address(text.decode())
            except ValueError:
                continue
            if address.is_loopback or address.is_unspecified:
                continue
            left = 4 - self._masked_bytes if address.version == 4 else None
            left = IPV6_BYTES_LEFT[self._masked_bytes] if left is None else left
            if any(address.packed[left:]):
                return True
        return False


def has_token(data: bytes) -> bool:
    """Whether something is in `data` that reads as a token: hex digits, as many as a hash has."""
    return bool(_TOKEN.search(data) or _LONG_TOKEN.search(data))


def _has_mail(data: bytes) -> bool:
    for found in _MAIL.findall(data):
        domain = found.lower()
        if domain != MAIL_DOMAIN.encode() and not any(
            domain == host or domain.endswith(b"." + host) for host in _HARMLESS_HOSTS
        ):
            return True
    return False


def _explained(plan: TablePlan, column: Column, kind: str) -> frozenset[str]:
    """Return the forms that a column holds by its rule."""
    if _is_short(column):
        return frozenset(("mail address", "address", "token", "password hash"))
    if kind == "version":
        return frozenset(("address",))
    names = _HASHES.get(re.sub(r"_\d{4}_\d\d$", "_*", plan.name), frozenset())
    return frozenset(("token",)) if kind == "md5" or column.name in names else frozenset()


def _in_table(connection: Connection, plan: TablePlan, patterns: _Patterns) -> list[Finding]:
    columns = [
        (column, _explained(plan, column, rule.kind))
        for column, rule in plan.columns
        if not (column.is_number or column.is_time)
    ]
    if not columns:
        return []
    rules = dict(plan.columns)
    names = ", ".join(_searched(column, rules[column]) for column, _ in columns)
    if not _may_be_in_table(connection, plan, [column for column, _ in columns], patterns):
        return []
    counts: Counter[tuple[str, str]] = Counter()
    with connection.cursor(SSCursor) as cursor:
        cursor.execute(f"SELECT {names} FROM {quoted(plan.table)}")
        rows = iter(cursor.fetchone, None)
        while batch := [tuple(map(_unpacked, row)) for row in islice(rows, ROWS_AT_ONCE)]:
            if not patterns.may_be_in(b"\n".join(b"\n".join(row) for row in batch)):
                continue
            for row in batch:
                if not patterns.may_be_in(b"\n".join(row)):
                    continue
                for (column, explained), value in zip(columns, row, strict=True):
                    for form in patterns.forms_in(value, explained):
                        counts[column.name, form] += 1
    return [
        Finding(plan.name, column, form, count) for (column, form), count in sorted(counts.items())
    ]


def _may_be_in_table(
    connection: Connection, plan: TablePlan, columns: Sequence[Column], patterns: _Patterns
) -> bool:
    """Whether a table holds anything to look at: one value for each row is quick to fetch."""
    short = [_as_bytes(column) for column in columns if _is_short(column)]
    large = [_as_bytes(column) for column in columns if column.type.endswith("blob")]
    text = [_as_bytes(column) for column in columns if not column.is_bytes]
    groups = [f"CONCAT_WS(x'0a', {', '.join(names)})" if names else "''" for names in (short, text)]
    with connection.cursor(SSCursor) as cursor:
        cursor.execute(f"SELECT {', '.join((*groups, *large))} FROM {quoted(plan.table)}")
        rows = iter(cursor.fetchone, None)
        while batch := list(islice(rows, ROWS_AT_ONCE)):
            if patterns.has_canary(b"\n".join(_raw(row[0]) for row in batch)):
                return True
            others = b"\n".join(_unpacked(value) for row in batch for value in row[1:])
            if patterns.may_be_in(others):
                return True
    return False


def _searched(column: Column, rule: Rule) -> str:
    """Return the SQL of what is searched of a column: no version, which looks like an address."""
    value = _as_bytes(column)
    if not (rule.cases and rule.cases.version):
        return value
    return f"IF({is_one_of(rule.cases.by, rule.cases.version)}, '', {value})"


def _is_short(column: Column) -> bool:
    """Whether a column holds a few bytes: by chance they read as anything."""
    return column.is_bytes and not column.type.endswith("blob")


def _as_bytes(column: Column) -> str:
    name = quoted(column.name)
    return name if column.is_bytes else f"CAST({in_utf8(column)} AS BINARY)"


def _unpacked(value: Any) -> bytes:
    """Return a value's bytes; what zlib packed (archives, a queue's hits) with what is in it."""
    if value is None:
        return b""
    data = _raw(value)
    if data[:1] != b"\x78":
        return data
    try:
        return zlib.decompressobj().decompress(data, UNPACKED_LIMIT)
    except zlib.error:
        return data


def _raw(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value or "").encode()


def _unmasked(connection: Connection, plan: TablePlan, masked_bytes: int) -> list[Finding]:
    """Return packed addresses that are not masked: of any four bytes nobody sees what they are."""
    found = []
    for column in plan.of_kind("address"):
        if not column.is_bytes:
            continue
        name = quoted(column.name)
        masked = pseudonyms.masked(name, column, masked_bytes)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT COUNT(*) FROM {quoted(plan.table)} WHERE {name} <> {masked}")
            count = one_value(cursor.fetchone())
        if count:
            found.append(Finding(plan.name, column.name, "address", count))
    return found
