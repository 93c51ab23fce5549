"""Makes known to MariaDB what MySQL 8 writes: whole words outside of quotes, no more than needed.

It is applied to CREATE TABLE, ALTER TABLE and SET alone, never to rows. MariaDB itself passes over
/*!50700 … */ up to /*!99999 … */ (ENCRYPTION, SRID, invisible keys), takes utf8 for utf8mb3, and
knows MySQL's ROW_FORMAT; none of these is touched.
"""

import re
from typing import Final

LANGUAGES: Final = {
    "cs": "czech",
    "da": "danish",
    "de_pb": "german2",
    "eo": "esperanto",
    "es": "spanish",
    "es_trad": "spanish2",
    "et": "estonian",
    "hr": "croatian",
    "hu": "hungarian",
    "is": "icelandic",
    "la": "roman",
    "lt": "lithuanian",
    "lv": "latvian",
    "pl": "polish",
    "ro": "romanian",
    "sk": "slovak",
    "sl": "slovenian",
    "sv": "swedish",
    "tr": "turkish",
    "vi": "vietnamese",
}
"""MySQL's collations of a language, and MariaDB's: the comments on the aliases that MariaDB 11.8
lists in information_schema.collations."""

_WORD: Final = re.compile(
    rb"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`"
    rb"|/\*(?!!|M!).*?\*/|(?:--(?=\s)|#)[^\n]*"
    rb"|\butf8mb4_(?:(?P<language>[a-z_]+)_)?0900_(?P<sensitive>\w+)\b"
    rb"|(?P<invisible>/\*!80023 INVISIBLE \*/)"
    rb"|(?P<cluster>\s*/\*!50606 (?:STORAGE|COLUMN_FORMAT) \w+ \*/)",
    re.S | re.I,
)


def translated(text: bytes) -> bytes:
    """Return a CREATE TABLE, ALTER TABLE or SET of MySQL as MariaDB reads it.

    * Collations utf8mb4_0900_* become what MariaDB 11.4.5 and newer take them for
      (utf8mb4_uca1400_nopad_*), which all from 10.10 on have: like MySQL's, they pad nothing, so
      that no two values of a unique key become equal. Languages that MariaDB has no collation for
      get the one for all.
    * A column that MySQL has hidden (8.0.23), as its generated primary keys are, stays hidden.
    * How a column is stored in MySQL's cluster is left out: MariaDB would read it, and fail.

    Args:
        text: the statement; of any other tool or server it comes back as it is.
    """
    return _WORD.sub(_replaced, text)


def _replaced(match: re.Match[bytes]) -> bytes:
    if match["invisible"]:
        return b"INVISIBLE"
    if match["cluster"]:
        return b""
    if not match["sensitive"]:
        return match[0]
    sensitive = match["sensitive"].decode().lower().removesuffix("_ks")
    if sensitive == "bin":
        return b"utf8mb4_nopad_bin"
    language = LANGUAGES.get((match["language"] or b"").decode().lower())
    of_language = f"{language}_" if language else ""
    return f"utf8mb4_uca1400_{of_language}nopad_{sensitive}".encode()
