"""The text of a config.ini.php: reading and changing one key, everything else left as it is."""

import re

HEADER = "; <?php exit; ?> DO NOT REMOVE THIS LINE\n"


def get(text: str, section: str, key: str) -> str | None:
    """Return the value of `key` in `section` as it is written, without its quotes."""
    match = re.search(_line(key), _body(text, section))
    return match[1].strip().strip('"') if match else None


def with_key(text: str, section: str, key: str, value: str | int) -> str:
    """Return `text` with `key` of `section` set; the section is made where there is none.

    Args:
        text: of a config.ini.php.
        section: its name, without brackets.
        key: its name; `key[]` adds to a list.
        value: text without a double quote or backslash, which Matomo escapes in ways of its own.
    """
    line = f"{key} = {value}\n" if isinstance(value, int) else f'{key} = "{value}"\n'
    if not re.search(_head(section), text):
        return f"{text.rstrip()}\n\n[{section}]\n{line}"
    if not key.endswith("[]"):
        text = without_key(text, section, key)
    return re.sub(_head(section), lambda head: head[0] + line, text, count=1)


def without_key(text: str, section: str, key: str) -> str:
    """Return `text` without `key` of `section`; `key[]` takes the whole list out."""
    body = _body(text, section)
    return text.replace(body, re.sub(_line(key), "", body), 1) if body else text


def without_section(text: str, section: str) -> str:
    """Return `text` without `section`."""
    return re.sub(_head(section) + r"(?:(?!\[).*\n?)*", "", text)


def _head(section: str) -> str:
    return rf"(?m)^\[{re.escape(section)}\][^\n]*\n"


def _line(key: str) -> str:
    return rf"(?m)^{re.escape(key)}\s*=(.*)\n?"


def _body(text: str, section: str) -> str:
    match = re.search(_head(section) + r"((?:(?!\[).*\n?)*)", text)
    return match[1] if match else ""
