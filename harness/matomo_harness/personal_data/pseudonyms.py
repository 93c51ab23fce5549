"""What takes the place of a value: as expressions of SQL, and the same in Python for documents.

Both are a keyed hash, SHA-256 of the run's key and the value, cut to a length. The key is in a
session variable that the server fills itself, so it is in no statement's text. Where values are
equal whatever their case, as in Matomo's collations, the hash is of the lower case without spaces
at the end; a unique key stays unique, because such values could not both be in it. Where a column's
collation tells case or such spaces apart, the hash does.
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Final

from matomo_harness.personal_data.schema import Column

KEY_VARIABLE: Final = "@harness_key"
CODE: Final = 14
"""Hexadecimal digits of a pseudonym. Never 32 or more, which read as a token or as a hash."""
WORD: Final = 12
"""Hexadecimal digits in the middle of other text: two of a million values are the same in one of
five hundred runs."""

MEANINGFUL_LOGINS: Final = ("", "anonymous", "super user was set")
"""Users that Matomo itself gives a meaning: nobody, who is not logged in, and its own work."""

FIRST_NAMES: Final = (
    *("Ada", "Alan", "Barbara", "Claude", "Dana", "Edsger", "Frances", "Grace"),
    *("Hedy", "John", "Karen", "Linus", "Margaret", "Niklaus", "Radia", "Tim"),
)
LAST_NAMES: Final = (
    *("Able", "Baker", "Carver", "Draper", "Ellis", "Fuller", "Glover", "Harper"),
    *("Irving", "Joiner", "Keller", "Lorimer", "Mason", "Naylor", "Palmer", "Turner"),
)
"""One for each hexadecimal digit."""

MAIL_DOMAIN: Final = "example.org"
SITE_DOMAIN: Final = "example"
"""Reserved by RFC 2606: nothing that is sent there arrives."""

KNOWN_REFERRERS: Final = (2, 7, 8)
"""Search engines, social networks and AI assistants (core/Common.php, REFERRER_TYPE_*): their names
come from Matomo's own lists."""
WEBSITE: Final = 3
"""A website as referrer (core/Common.php)."""

IPV6_BYTES_LEFT: Final = (16, 8, 6, 3, 0)
"""Bytes of an IPv6 address that are left, by the bytes masked of an IPv4 one (component-network,
IPv6.php); an IPv4 address written as IPv6 is masked as IPv4."""

# JSON leaves the first as it is: an escape of it could also be a part of the value, as text.
_BREAK, _END = "\x7f", "\x02"
_SCHEME: Final = "^[A-Za-z][A-Za-z0-9+.-]{0,20}://"
_AUTHORITY: Final = "^[^/?#]*"
_PARTS: Final = "([?&;](?:[A-Za-z_][A-Za-z0-9_.-]{0,39}=)?|[/#=])"
"""What ends a path segment or a value; with it goes the key of a value, which stays."""


# -- in SQL ---------------------------------------------------------------------------------------


def digest(value: str, digits: int) -> str:
    """Return the expression of the first hexadecimal `digits` of a value's hash."""
    return f"LEFT(SHA2(CONCAT({KEY_VARIABLE}, {value}), 256), {digits})"


def unless_empty(value: str, other: str, *unchanged: str) -> str:
    """Return the expression of `other`, where a value is not NULL, empty or one of `unchanged`."""
    listed = ", ".join(f"'{item}'" for item in ("", *unchanged))
    return f"IF({value} IS NULL OR {value} IN ({listed}), {value}, {other})"


def _folded(value: str) -> str:
    return f"LOWER(RTRIM(CONVERT({value} USING utf8mb4)))"


def _same(value: str, column: Column | None) -> str:
    """Return the expression that is the same for values that are the same in `column`."""
    if column and column.is_case_sensitive:
        return _exact(value)
    return f"LOWER({_exact(value)})" if column and column.tells_spaces else _folded(value)


def _exact(value: str) -> str:
    return f"CONVERT({value} USING utf8mb4)"


def _cut(expression: str, length: int | None) -> str:
    return f"LEFT({expression}, {length})" if length else expression


def pseudonym(value: str, column: Column) -> str:
    """Return the expression of a pseudonym that fits into `column`."""
    if column.is_bytes:
        size = min(column.length or 8, 16)
        size = size if column.type == "binary" else min(size, 8)
        return f"IF({value} IS NULL, NULL, UNHEX({digest(value, 2 * size)}))"
    digits = min(column.length or CODE, CODE)
    # An abandoned cart is of order 0 (GoalManager, ITEM_IDORDER_ABANDONED_CART).
    return unless_empty(value, digest(_same(value, column), digits), "0")


def second_factor(value: str) -> str:
    """Return the expression of a secret that nobody has, in the form that Matomo makes (base32)."""
    letters = f"UPPER({digest(_exact(value), 16)})"
    for digit, letter in (("0", "G"), ("1", "H"), ("8", "I"), ("9", "J")):
        letters = f"REPLACE({letters}, '{digit}', '{letter}')"
    return unless_empty(value, letters)


def login(value: str, column: Column) -> str:
    """Return the expression of a user's pseudonym."""
    made = f"CONCAT('user-', {digest(_same(value, column), WORD)})"
    return unless_empty(value, _cut(made, column.length), *MEANINGFUL_LOGINS[1:])


def text(value: str, length: int | None = None) -> str:
    """Return the expression of what takes the place of free text.

    A column that is too short for more has the hash alone: cut, all values would be the same.
    """
    prefix = "text-"
    if length and length < len(prefix) + WORD:
        return unless_empty(value, digest(_exact(value), length))
    return unless_empty(value, f"CONCAT('{prefix}', {digest(_exact(value), WORD)})")


def person(value: str, column: Column) -> str:
    """Return the expression of a made-up name."""
    return unless_empty(value, _cut(_name(_same(value, column), " "), column.length))


def mail(value: str, column: Column) -> str:
    """Return the expression of a made-up mail address; addresses that differ stay different."""
    same = _same(value, column)
    name, code = _name(same, "."), digest(same, WORD)
    made = f"CONCAT(LOWER({name}), '.', {code}, '@{MAIL_DOMAIN}')"
    return unless_empty(value, _cut(made, column.length))


def _name(same: str, between: str) -> str:
    hashed = digest(same, 2)
    first, last = (
        f"ELT(1 + CONV({part}({hashed}, 1), 16, 10), {_listed(names)})"
        for part, names in (("LEFT", FIRST_NAMES), ("RIGHT", LAST_NAMES))
    )
    return f"CONCAT({first}, '{between}', {last})"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def host(value: str, length: int | None = None) -> str:
    """Return the expression of what takes the place of a host's name; www. stays."""
    www = f"IF(LOWER({value}) LIKE 'www.%', 'www.', '')"
    bare = f"IF({_folded(value)} LIKE 'www.%', SUBSTRING({_folded(value)}, 5), {_folded(value)})"
    made = f"CONCAT({www}, 'host-', {digest(bare, WORD)}, '.{SITE_DOMAIN}')"
    return unless_empty(value, _cut(made, length))


def url(value: str, length: int | None = None, *, keeps_host: bool = False) -> str:
    """Return the expression of what takes the place of a page's address.

    Matomo keeps those of pages without their scheme (Tracker/PageUrl.php), so it may be missing.
    """
    scheme = f"COALESCE(REGEXP_SUBSTR({value}, '{_SCHEME}'), '')"
    after = f"SUBSTRING({value}, CHAR_LENGTH({scheme}) + 1)"
    authority = f"REGEXP_SUBSTR({after}, '{_AUTHORITY}')"
    rest = f"SUBSTRING({after}, CHAR_LENGTH({authority}) + 1)"
    # Before an @ is a user's name and password.
    shown = f"REGEXP_REPLACE({authority}, '^.*@', '')" if keeps_host else host(authority)
    made = f"CONCAT({scheme}, {shown}, {_parts(rest)})"
    return unless_empty(value, _cut(made, length))


def _parts(value: str) -> str:
    """Return the expression that hashes what is between the signs of a path and a query.

    Marks are put around the signs, the result becomes a JSON list, and its items are rows that are
    hashed and put together again: a set of its own for each value, without a stored function.
    """
    mark, end = (f"_utf8mb4 x'{ord(sign):02x}'" for sign in (_BREAK, _END))
    bare = f"REPLACE(REPLACE(CONVERT({value} USING utf8mb4), {mark}, ''), {end}, '')"
    marked = f"REGEXP_REPLACE({bare}, '{_PARTS}', CONCAT({mark}, '\\\\1', {end}))"
    listed = f"CONCAT('[', REPLACE(JSON_QUOTE({marked}), {mark}, '\",\"'), ']')"
    after = f"SUBSTRING(part.value, LOCATE({end}, part.value) + 1)"
    before = f"IF(LOCATE({end}, part.value), SUBSTRING_INDEX(part.value, {end}, 1), '')"
    hashed = f"IF({after} = '', '', {digest(after, WORD)})"
    return (
        f"IF({value} IN ('', '/'), {value},"
        f" (SELECT GROUP_CONCAT(CONCAT({before}, {hashed}) ORDER BY part.number SEPARATOR '')"
        f" FROM JSON_TABLE({listed}, '$[*]' COLUMNS (number FOR ORDINALITY,"
        f" value VARCHAR(8192) CHARACTER SET utf8mb4 PATH '$')) AS part))"
    )


def masked(value: str, column: Column, masked_bytes: int) -> str:
    """Return the expression of a masked address, as Matomo masks it (IPv4.php, IPv6.php).

    Args:
        value: the address, packed as Matomo keeps it, or written.
        column: where it is.
        masked_bytes: as Matomo's ipAddressMaskLength; 0 to 4.
    """
    if not column.is_bytes:
        packed = f"INET6_ATON({value})"
        return unless_empty(value, f"COALESCE(INET6_NTOA({_masked(packed, masked_bytes)}), '')")
    return f"IF({value} IS NULL, NULL, {_masked(value, masked_bytes)})"


def _masked(packed: str, masked_bytes: int) -> str:
    left = IPV6_BYTES_LEFT[masked_bytes]
    mapped = "x'00000000000000000000ffff'"
    zeros = {count: f"REPEAT(x'00', {count})" for count in (masked_bytes, 16 - left)}
    return (
        f"CASE WHEN LENGTH({packed}) = 4"
        f" THEN CONCAT(LEFT({packed}, {4 - masked_bytes}), {zeros[masked_bytes]})"
        f" WHEN LENGTH({packed}) = 16 AND LEFT({packed}, 12) = {mapped}"
        f" THEN CONCAT(LEFT({packed}, {16 - masked_bytes}), {zeros[masked_bytes]})"
        f" WHEN LENGTH({packed}) = 16"
        f" THEN CONCAT(LEFT({packed}, {left}), {zeros[16 - left]}) ELSE '' END"
    )


def referrer(value: str, column: Column) -> str:
    """Return the expression for one of the columns referer_name, _url and _keyword."""
    known = f"referer_type IN ({', '.join(map(str, KNOWN_REFERRERS))})"
    if column.name.endswith("url"):
        of_known = url(value, column.length, keeps_host=True)
        return f"IF({known}, {of_known}, {url(value, column.length)})"
    if column.name.endswith("name"):
        return (
            f"CASE WHEN {known} THEN {value} WHEN referer_type = {WEBSITE}"
            f" THEN {host(value, column.length)} ELSE {pseudonym(value, column)} END"
        )
    return pseudonym(value, column)


# -- in Python ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pseudonyms:
    """The same in Python, for values inside JSON and serialised PHP.

    Args:
        key: the run's key.
    """

    key: bytes = field(repr=False)

    def digest(self, value: str, digits: int) -> str:
        """Return the first hexadecimal `digits` of a value's hash."""
        return hashlib.sha256(self.key + value.encode()).hexdigest()[:digits]

    def pseudonym(self, value: str) -> str:
        """Return the pseudonym of `value`, as it is in a column that is wide enough."""
        return value if value in ("", "0") else self.digest(_fold(value), CODE)

    def visitor(self, value: str) -> str:
        """Return the pseudonym of a visitor's id, both as 16 hexadecimal digits."""
        try:
            raw = bytes.fromhex(value)
        except ValueError:
            return self.pseudonym(value)
        return hashlib.sha256(self.key + raw).hexdigest()[: 2 * len(raw)]

    def login(self, value: str) -> str:
        """Return a user's pseudonym."""
        if value in MEANINGFUL_LOGINS:
            return value
        return f"user-{self.digest(_fold(value), WORD)}"

    def text(self, value: str) -> str:
        """Return what takes the place of free text."""
        return value and f"text-{self.digest(value, WORD)}"

    def mail(self, value: str) -> str:
        """Return a made-up mail address."""
        code = self.digest(_fold(value), WORD)
        first, last = FIRST_NAMES[int(code[0], 16)], LAST_NAMES[int(code[1], 16)]
        return value and f"{first}.{last}.{code}@{MAIL_DOMAIN}".lower()

    def host(self, value: str) -> str:
        """Return what takes the place of a host's name."""
        folded = _fold(value)
        www = "www." if folded.startswith("www.") else ""
        return value and f"{www}host-{self.digest(folded.removeprefix(www), WORD)}.{SITE_DOMAIN}"

    def url(self, value: str) -> str:
        """Return what takes the place of a page's address."""
        found = re.match(_SCHEME, value)
        scheme = found[0] if found else ""
        after = value[len(scheme) :]
        matched = re.match(_AUTHORITY, after)
        authority = matched[0] if matched else ""
        return f"{scheme}{self.host(authority)}{self.page(after[len(authority) :])}"

    def page(self, value: str) -> str:
        """Return what takes the place of a path with a query, or of a part of one."""
        pieces = re.split(_PARTS, value.replace(_BREAK, "").replace(_END, ""))
        return "".join(
            piece if place % 2 or not piece else self.digest(piece, WORD)
            for place, piece in enumerate(pieces)
        )


def _fold(value: str) -> str:
    return value.rstrip(" ").lower()
