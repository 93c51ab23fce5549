r"""The INI syntax of PHP, as Matomo uses it: read with the line of each key, edited, written.

Matomo's reader (matomo-org/component-ini, IniReader) has PHP read a text twice: parse_ini_string
says what is in it, and the same with INI_SCANNER_RAW tells a word such as `true` from "1". This
module follows PHP's own scanner and grammar (Zend/zend_ini_scanner.l, zend_ini_parser.y of 8.2;
the manual's page on parse_ini_string has less). Some of it surprises:

- A section that is begun again begins anew: what stood in it before is forgotten.
- `name[]` makes a list of a key that had one value, and `name =` one value of a list.
- Comments begin with `;` alone. Behind a value `#` belongs to the value. At the beginning of a line
  it begins a bare word, which PHP passes over, and which is an error where it holds a bracket.
- A value without quotes may hold no `=`, PHP calculates where it holds `|`, `&`, `^`, `~`, `!` or
  round brackets, and a word such as `no` stands alone.
- In double quotes `\"`, `\\` and `\$` stand for the second of the two signs, any other backslash
  for itself. A `\"` that ends the line ends the value, as in "C:\path\".
- Values in either kind of quotes go on over lines. At an unclosed apostrophe PHP takes the text to
  end, and it silently passes over what stands behind two of them. Here either is an error.

What PHP puts in from elsewhere stays as it is written: `${NAME}` of the environment, which an
entry names, and PHP's constants. HTML entities are Matomo's own matter and stay as they are. Where
the two readings differ (a section's name in quotes, a value over lines), Matomo takes the words for
"1" and "", and this module does not.
"""

import bisect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Final

from matomo_harness.errors import WrongInputError

HEADER: Final = "; <?php exit; ?> DO NOT REMOVE THIS LINE\n"
"""The first line of a file that Matomo writes: whoever asks for it over HTTP sees nothing."""

Scalar = str | int | float | bool | None
"""What Matomo's reader makes of one value."""

_WORDS: Final[Mapping[str, tuple[str, Scalar]]] = {
    **dict.fromkeys(("true", "on", "yes"), ("1", True)),
    **dict.fromkeys(("false", "off", "no"), ("", False)),
    "null": ("", None),
    "none": ("", ""),
}
"""Words without quotes: what PHP reads in either case, and what Matomo makes of lower case."""

_NEWLINE: Final = re.compile(r"\r\n|\r|\n")
_LINE_END: Final = re.compile(r"[ \t]*(;[^\r\n]*)?(?:\r\n|\r|\n)")
_BLANK: Final = re.compile(r"[ \t]+")
_EQUALS: Final = re.compile(r"[ \t]*=[ \t]*")
_NAME: Final = re.compile(r'[^=\n\r\t;&|^$~(){}!"\[\0]+')
_WORD: Final = re.compile(r"(?i:true|on|yes|false|off|none|null|no)(?P<blank>[ \t]*)")
_OPERATOR: Final = re.compile(r"([&|^~()!])[ \t]*")
_SINGLE_QUOTED: Final = re.compile(r"'([^']+)'")
_EMPTY: Final = re.compile(r"''(?=[ \t]*(?:;[^\r\n]*)?[\r\n])")
_OPENING: Final = re.compile(r'[ \t]*"')
_CLOSING: Final = re.compile(r'"(?P<blank>[ \t]*)')
# A backslash takes the next sign with it, except for a quote that ends the line.
_QUOTED: Final = re.compile(r'(?:[^"\\$]|\$(?!\{)|\\(?!"[\r\n])[\s\S]|\\(?="[\r\n]))+')
_VARIABLE: Final = re.compile(rf"\$\{{({_NAME.pattern}?)(?=:-|\}})(:-)?")
_BRACE: Final = re.compile(r"\}")
_DOLLAR: Final = r"\$(?:\\[\s\S]|[^{\0])"
_BARE: Final = re.compile(rf"(?:[^$= \t\n\r;&|^~()!\"'\0]|{_DOLLAR})+")
_IN_BRACKETS: Final = re.compile(rf"(?:[^$\n\r;\"'\]\\\0]|\\[\s\S]|{_DOLLAR})+")
_IN_FALLBACK: Final = re.compile(rf"(?:[^$\n\r;\"'}}\\\0]|\\[\s\S]|{_DOLLAR})+")
_ESCAPED: Final = re.compile(r'\\(["\\$])')
_WHOLE_NUMBER: Final = re.compile(r"0|-?[1-9]\d*")
_FRACTION: Final = re.compile(r"-?\d+\.\d+")


@dataclass(frozen=True)
class Entry:
    """A key that a line sets, or several lines where its value goes on over them.

    Entries that say the same are equal, wherever they stand and however they are written.

    Args:
        section: where it stands; empty before the first.
        name: the key's name, without brackets.
        index: what is in the key's brackets, empty in `name[]`; None where it has none.
        text: what PHP reads; `${NAME}` stays as it is.
        typed: what Matomo's reader makes of that.
        variables: names of environment variables that PHP would put in.
        written: the value as the file has it, with its quotes.
        comment: behind the value, from its `;`.
        line: where it begins, from 1.
        source: its whole line or lines.
        start: offset of its line in the text, or of its name where something stands before it.
        stop: offset behind it, the end of the line included.
        value_start: offset of the value.
    """

    section: str
    name: str
    index: str | None
    text: str
    typed: Scalar
    variables: tuple[str, ...] = ()
    written: str = field(default="", compare=False)
    comment: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)
    source: str = field(default="", compare=False)
    start: int = field(default=0, compare=False, repr=False)
    stop: int = field(default=0, compare=False, repr=False)
    value_start: int = field(default=0, compare=False, repr=False)

    @property
    def key(self) -> str:
        """Name and brackets, as they are written: `name`, `name[]` or `name[index]`."""
        return self.name if self.index is None else f"{self.name}[{self.index}]"


@dataclass(frozen=True)
class Heading:
    """A line `[section]`.

    Args:
        name: the section's name.
        line: where it stands, from 1.
        start: offset of its bracket in the text, or of its line where nothing stands before it.
        stop: offset of what comes next: the next line, or what else stands on this one.
    """

    name: str
    line: int
    start: int
    stop: int


Setting = Entry | Mapping[str, Entry]
"""What a key says in the end: one value, or a list by its keys, which PHP numbers from 0."""
Settings = Mapping[str, Mapping[str, Setting]]
"""What a file says in the end, by section and name."""
Writable = Scalar | Entry | Sequence[Scalar | Entry] | Mapping[str, Scalar | Entry]


@dataclass(frozen=True)
class Ini:
    """The text of an INI file, read.

    Args:
        source: the text.
        statements: headings and entries in their order.
    """

    source: str = field(repr=False)
    statements: tuple[Heading | Entry, ...]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every key that a line sets, even where a later line overrules it."""
        return tuple(statement for statement in self.statements if isinstance(statement, Entry))

    @property
    def headings(self) -> tuple[Heading, ...]:
        """Every line `[section]`."""
        return tuple(statement for statement in self.statements if isinstance(statement, Heading))

    @cached_property
    def settings(self) -> Settings:
        """What holds in the end, as parse_ini_string returns it with sections."""
        sections: dict[str, dict[str, Setting]] = {}
        for statement in self.statements:
            if isinstance(statement, Heading):
                sections[statement.name] = {}
            else:
                _set(sections.setdefault(statement.section, {}), statement)
        return MappingProxyType({name: MappingProxyType(said) for name, said in sections.items()})

    def of(self, section: str, name: str) -> tuple[Entry, ...]:
        """Return every entry of a key, as one value or as items of a list."""
        return tuple(
            entry for entry in self.entries if (entry.section, entry.name) == (section, name)
        )

    def text(self, section: str, name: str) -> str | None:
        """Return what PHP reads of a key; None where it is not set, or is a list."""
        setting = self.settings.get(section, {}).get(name)
        return setting.text if isinstance(setting, Entry) else None

    def texts(self, section: str, name: str) -> tuple[str, ...]:
        """Return what PHP reads of a key or of each item of a list; nothing where it is not set."""
        setting = self.settings.get(section, {}).get(name, {})
        entries = (setting,) if isinstance(setting, Entry) else setting.values()
        return tuple(entry.text for entry in entries)


def _set(section: dict[str, Setting], entry: Entry) -> None:
    before = section.get(entry.name)
    if entry.index is None:
        section[entry.name] = entry
        return
    items = {} if before is None or isinstance(before, Entry) else dict(before)
    numbers = [int(index) for index in items if _WHOLE_NUMBER.fullmatch(index)]
    items[entry.index or str(max(numbers, default=-1) + 1)] = entry
    section[entry.name] = MappingProxyType(items)


# -- reading --------------------------------------------------------------------------------------


def read(text: str) -> Ini:
    """Read a text as Matomo does.

    Args:
        text: of an INI file; a byte order mark and any kind of line ends are fine.

    Raises:
        WrongInputError: PHP cannot read it, and says "syntax error". `seen` names the line and the
            key but no value, which may be a secret.
    """
    return Ini(text, tuple(_Scanner(text).statements()))


def doubts(text: str) -> list[str]:
    """Name what PHP reads otherwise than it looks, each with its line.

    PHP passes over a bare word without a sound, such as the second half of a comment that was
    broken, and forgets what stood in a section that is begun again.

    Args:
        text: of an INI file.
    """
    try:
        file = read(text)
    except WrongInputError as error:
        return [error.seen]
    said: set[int] = set()
    begun: set[str] = set()
    found = []
    for statement in file.statements:
        more = len(_NEWLINE.findall(statement.source)) if isinstance(statement, Entry) else 0
        said.update(range(statement.line, statement.line + more + 1))
        if isinstance(statement, Heading):
            if statement.name in begun:
                again = f"line {statement.line} begins [{statement.name}] again"
                found.append(f"{again}, and PHP forgets all of the first")
            begun.add(statement.name)
    for number, line in enumerate(_NEWLINE.split(text.removeprefix("\ufeff")), 1):
        words = line.strip()
        if words and not words.startswith(";") and number not in said:
            found.append(f"line {number} is no comment, no [section] and no key = value: {words}")
    return found


def merged(*files: Ini) -> Settings:
    """Return what several files say together; a later one overrules those before it.

    Matomo merges its files of defaults this way (core/Config/IniFileChain.php): key by key, and a
    list index by index.
    """
    sections: dict[str, dict[str, Setting]] = {}
    for file in files:
        for section, settings in file.settings.items():
            known = sections.setdefault(section, {})
            for name, setting in settings.items():
                before = known.get(name)
                if isinstance(before, Mapping) and isinstance(setting, Mapping):
                    known[name] = MappingProxyType({**before, **setting})
                else:
                    known[name] = setting
    return MappingProxyType({name: MappingProxyType(said) for name, said in sections.items()})


@dataclass(frozen=True)
class _Token:
    """A piece of a value.

    Args:
        text: what PHP reads.
        kind: `text`, `word`, `operator` or `variable`.
        name: of the variable.
    """

    text: str
    kind: str = "text"
    name: str = ""


class _Scanner:
    """Walks through a text by the rules of PHP's scanner, where the longest match wins."""

    def __init__(self, text: str) -> None:
        # Matomo's reader adds one as well: a comment at the end needs it.
        self._text = f"{text}\n"
        self._length = len(text)
        self._at = 1 if text.startswith("\ufeff") else 0
        self._begin = self._at
        self._section = ""
        self._key = ""
        self._lines = [0, *(match.end() for match in _NEWLINE.finditer(text))]
        if "\0" in text:
            raise self._wrong(text.index("\0"), "a NUL, at which PHP ends")

    def statements(self) -> Iterator[Heading | Entry]:
        """Yield headings and entries; blank lines, comments and bare words are passed over."""
        while self._at < len(self._text):
            self._key = ""
            if self._take(_LINE_END):
                continue
            if self._text[self._at] == "[":
                yield self._heading()
            elif entry := self._entry():
                yield entry

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self._text, self._at)
        if match:
            self._at = match.end()
        return match

    def _heading(self) -> Heading:
        bracket = self._at
        self._at += 1
        name = self._in_brackets(bracket, "a section's [ that no ] closes on its line")
        self._at += 1
        self._take(_BLANK)
        stop = self._at
        if self._take(_LINE_END):
            stop = min(self._at, self._length)
        self._section = name
        return Heading(name, self._line(bracket), self._line_start(bracket), stop)

    def _entry(self) -> Entry | None:
        start = self._at
        name, blank = _NAME.match(self._text, start), _BLANK.match(self._text, start)
        if blank and (not name or blank.end() > name.end()):
            self._at = blank.end()
            return None
        if not name or _EQUALS.match(self._text, start):
            sign = self._text[start:].lstrip(" \t")[0]
            raise self._wrong(start, f"{sign} where a key, a section or a comment should begin")
        self._at = name.end()
        self._key = name[0].strip(" ")
        word = _WORD.match(self._text, start)
        index = None
        if self._text[self._at] == "[":
            index = self._index()
        elif word and word.end() >= name.end():
            raise self._wrong(start, f"the word {self._key}, which can be no key")
        elif not _EQUALS.match(self._text, self._at):
            return None  # a bare word
        if not self._take(_EQUALS):
            raise self._wrong(start, "a key in brackets without =")
        return self._valued(start, self._key, index)

    def _index(self) -> str:
        bracket = self._at
        self._at += 1
        self._take(_BLANK)
        index = self._in_brackets(bracket, "a key's [ that no ] closes on its line")
        self._at += 1
        return index

    def _in_brackets(self, bracket: int, mistake: str) -> str:
        """Return what stands up to the closing bracket, which comes next."""
        pieces = []
        while not self._text.startswith("]", self._at):
            tokens = self._quoted_or_variable() or self._plain(_IN_BRACKETS)
            if not tokens:
                raise self._wrong(bracket, mistake)
            pieces += [piece.text for piece in tokens]
        return "".join(pieces)

    def _valued(self, start: int, name: str, index: str | None) -> Entry:
        value_start = self._at
        tokens: list[_Token] = []
        value_stop, end = self._at, None
        while self._at < len(self._text) and not (end := self._take(_LINE_END)):
            pieces, value_stop = self._piece()
            tokens += pieces
        written = self._text[value_start:value_stop]
        text, typed = self._meaning(start, tokens, written)
        stop = min(self._at, self._length)
        begin = self._line_start(start)
        return Entry(
            self._section,
            name,
            index,
            text,
            typed,
            tuple(token.name for token in tokens if token.kind == "variable"),
            written,
            (end[1] if end else None) or "",
            self._line(start),
            self._text[begin:stop].rstrip("\r\n"),
            begin,
            stop,
            value_start,
        )

    def _piece(self) -> tuple[list[_Token], int]:
        """Return the next piece of a value, and the offset behind it, without blanks."""
        if self._take(_EMPTY):
            return [], self._at
        if tokens := self._quoted_or_variable():
            # The blanks behind a closing quote are taken with it.
            return tokens, len(self._text[: self._at].rstrip(" \t"))
        word, bare = _WORD.match(self._text, self._at), _BARE.match(self._text, self._at)
        if word and (not bare or word.end() >= bare.end()):
            self._at = word.end()
            return [_Token(word[0].rstrip(" \t"), "word")], word.start("blank")
        if operator := self._take(_OPERATOR):
            return [_Token(operator[1], "operator")], operator.end(1)
        if self._text[self._at] == "=":
            raise self._wrong(self._at, "a second = outside quotes")
        if tokens := self._plain(_BARE) or self._plain(_BLANK):
            return tokens, self._at
        raise self._wrong(self._at, "an apostrophe that none closes, or two with more behind them")

    def _plain(self, pattern: re.Pattern[str]) -> list[_Token]:
        match = self._take(pattern)
        return [_Token(match[0])] if match else []

    def _quoted_or_variable(self) -> list[_Token]:
        if single := self._take(_SINGLE_QUOTED):
            return [_Token(single[1])]
        return self._variable() or self._double_quoted()

    def _double_quoted(self) -> list[_Token]:
        opening = self._at
        if not self._take(_OPENING):
            return []
        tokens = [_Token("")]
        while not self._take(_CLOSING):
            if variable := self._variable():
                tokens += variable
            elif run := self._take(_QUOTED):
                tokens.append(_Token(_ESCAPED.sub(r"\1", run[0])))
            else:
                raise self._wrong(opening, "a double quote that none closes")
        return tokens

    def _variable(self) -> list[_Token]:
        start = self._at
        if not self._text.startswith("${", start):
            return []
        match = self._take(_VARIABLE)
        inner = self._fallback() if match and match[2] else []
        if not match or not self._take(_BRACE):
            raise self._wrong(start, "a ${ without a name and }")
        return [_Token(self._text[start : self._at], "variable", match[1].strip(" ")), *inner]

    def _fallback(self) -> list[_Token]:
        """Pass over the text of `${NAME:-text}`, known to PHP since 8.3; return what it names."""
        inner: list[_Token] = []
        while tokens := self._quoted_or_variable() or self._plain(_IN_FALLBACK):
            inner += [replace(token, text="") for token in tokens if token.kind == "variable"]
        return inner

    def _meaning(self, start: int, tokens: list[_Token], written: str) -> tuple[str, Scalar]:
        words = [token.text for token in tokens if token.kind == "word"]
        if words and len(tokens) > 1:
            raise self._wrong(start, f"the word {words[0]} beside something else, without quotes")
        if words:
            text, typed = _WORDS[words[0].lower()]
            # Matomo's reader knows the words in lower case only.
            return text, typed if words[0] in _WORDS else _number(text)
        kinds = {token.kind for token in tokens}
        if "operator" not in kinds:
            text = "".join(token.text for token in tokens)
        else:
            calculated = _calculated(tokens)
            if calculated is None:
                raise self._wrong(start, "a sign of |&^~!() where PHP has nothing to calculate")
            text = written if "variable" in kinds else calculated
        return text, text if "variable" in kinds else _number(text)

    def _line(self, offset: int) -> int:
        return bisect.bisect_right(self._lines, offset)

    def _line_start(self, offset: int) -> int:
        """Return where the line begins, unless something stands on it before `offset`."""
        start = max(self._lines[self._line(offset) - 1], self._begin)
        return start if not self._text[start:offset].strip(" \t") else offset

    def _wrong(self, offset: int, mistake: str) -> WrongInputError:
        where = f", [{self._section}] {self._key}" if self._key else ""
        return WrongInputError(
            expected="INI that PHP can read",
            seen=f"line {self._line(offset)}{where}: {mistake}",
            next_command="mend that line (a value in double quotes may hold any sign), then again",
        )


def _number(text: str) -> Scalar:
    """Return the number that a text is, if it is written the same again, else the text."""
    if _WHOLE_NUMBER.fullmatch(text) and -(2**63) <= int(text) < 2**63:
        return int(text)
    # PHP writes 14 digits.
    if _FRACTION.fullmatch(text) and f"{float(text):.14g}" == text:
        return float(text)
    return text


def _calculated(tokens: list[_Token]) -> str | None:
    """Return what PHP calculates of a value with operators; None where it cannot."""
    rest = tokens[::-1]

    def value() -> str:
        result = operand()
        while rest and rest[-1].kind == "operator" and rest[-1].text in "|&^":
            sign, left, right = rest.pop().text, _integer(result), _integer(operand())
            result = str(
                left | right if sign == "|" else left & right if sign == "&" else left ^ right
            )
        return result

    def operand() -> str:
        if not rest:
            raise LookupError
        token = rest.pop()
        if token.kind != "operator":
            pieces = [token.text]
            while rest and rest[-1].kind != "operator":
                pieces.append(rest.pop().text)
            return "".join(pieces)
        if token.text == "~":
            return str(~_integer(operand()))
        if token.text == "!":
            return str(int(not _integer(operand())))
        if token.text != "(":
            raise LookupError
        inner = value()
        if not rest or rest.pop().text != ")":
            raise LookupError
        return inner

    try:
        result = value()
    except LookupError:
        return None
    return None if rest else result


def _integer(text: str) -> int:
    """Return the number that a text begins with, as C's atoi: of 32 bits."""
    match = re.match(r"\s*([+-]?\d+)", text)
    number = min(max(int(match[1]), -(2**63)), 2**63 - 1) if match else 0
    return (number + 2**31) % 2**32 - 2**31


# -- editing --------------------------------------------------------------------------------------


def with_key(text: str, section: str, key: str, value: Scalar | Entry) -> str:
    """Return `text` with a key set so that it takes effect; every other byte stays.

    An existing value is replaced where it stands. A new key stands first in its section, which
    is made where there is none; a new item is the first of its list. Where the key was a list and
    is to be one value, or the other way round, its lines go.

    Args:
        text: of an INI file.
        section: its name, without brackets.
        key: its name; `name[]` adds to a list, `name[index]` sets one of its items.
        value: a text is written in double quotes; a value that was read, as it was.

    Raises:
        WrongInputError: the text is not INI, or the key or the value cannot be written.
    """
    name, index = _parts(key)
    line = f"{_written_key(name, index)} = {_encoded(value)}"
    ini = read(without(text, _of_the_other_kind(read(text), section, name, index)))
    headings = [heading for heading in ini.headings if heading.name == section]
    if not headings:
        return _with_section(ini.source, section, line)
    # Of a section that is begun again, only what stands in the last one takes effect.
    known = [entry for entry in ini.of(section, name) if entry.start >= headings[-1].start]
    same = [entry for entry in known if entry.index == index]
    if same and index != "":
        start, stop = same[-1].value_start, same[-1].value_start + len(same[-1].written)
        return f"{ini.source[:start]}{_encoded(value)}{ini.source[stop:]}"
    # Before a numbered item, the new one could get that number and lose it again.
    is_numbered = any(_WHOLE_NUMBER.fullmatch(entry.index or "") for entry in known)
    return with_line(ini.source, known[-1].stop if is_numbered else headings[-1].stop, line)


def _of_the_other_kind(ini: Ini, section: str, name: str, index: str | None) -> list[Entry]:
    """Return the lines that make a list of what is one value, or the other way round."""
    return [entry for entry in ini.of(section, name) if (entry.index is None) != (index is None)]


def with_line(text: str, offset: int, line: str) -> str:
    """Return `text` with a line more, which stands where a statement that was read of it stops."""
    newline, before = _newline(text), text[:offset]
    if not before.endswith(("\n", "\r")):
        before += newline
    return f"{before}{line}{newline}{text[offset:]}"


def _with_section(text: str, section: str, line: str) -> str:
    newline, whole = _newline(text), _NEWLINE.sub("\n", text)
    if whole and not whole.endswith("\n\n"):
        text += newline if whole.endswith("\n") else 2 * newline
    return f"{text}{_heading(section)}{newline}{line}{newline}"


def _newline(text: str) -> str:
    match = _NEWLINE.search(text)
    return match[0] if match else "\n"


def without_key(text: str, section: str, key: str) -> str:
    """Return `text` without the lines that set a key; every other byte stays.

    Args:
        text: of an INI file.
        section: its name, without brackets.
        key: its name; `name[]` takes the whole list out, `name[index]` one of its items.

    Raises:
        WrongInputError: the text is not INI.
    """
    name, index = _parts(key)
    gone = [
        entry
        for entry in read(text).of(section, name)
        if entry.index == index or (index == "" and entry.index is not None)
    ]
    return without(text, gone)


def without_section(text: str, section: str) -> str:
    """Return `text` without a section, up to the next heading.

    Raises:
        WrongInputError: the text is not INI.
    """
    headings = read(text).headings
    stops = [*(heading.start for heading in headings[1:]), len(text)]
    whole = [replace(heading, stop=stop) for heading, stop in zip(headings, stops, strict=False)]
    return without(text, [part for part in whole if part.name == section])


def without(text: str, gone: Sequence[Heading | Entry]) -> str:
    """Return `text` without some of the statements that were read of it, in their order."""
    for part in reversed(gone):
        before, piece, after = text[: part.start], text[part.start : part.stop], text[part.stop :]
        if before.strip("\ufeff") and not before.endswith(("\n", "\r")):
            # What stands before it on its line keeps the line's end.
            after = piece[len(piece.rstrip("\r\n")) :] + after
        text = before + after
    return text


# -- writing --------------------------------------------------------------------------------------


def write(settings: Mapping[str, Mapping[str, Writable]], header: str = "") -> str:
    """Return the text of an INI file, laid out as Matomo's own writer (IniWriter) does it.

    A value that was read is written as it was, so that it reads the same again. Matomo's own writer
    turns true and false into 1 and 0, and drops quotes that end a line and unusual signs of names.

    Args:
        settings: by section and name; the keys of the section "" stand before the first section.
        header: the first line, `HEADER` in a file for Matomo.

    Raises:
        WrongInputError: a name or a value cannot be written.
    """
    text = header
    for section in sorted(settings, key=bool):
        text += f"{_heading(section)}\n" if section else ""
        for name, value in settings[section].items():
            text += "".join(f"{line}\n" for line in lines(name, value))
        text += "\n"
    return text


def lines(name: str, value: Writable) -> list[str]:
    """Return the lines that set a key: one, or one for each item of a list.

    Raises:
        WrongInputError: the name or a value cannot be written.
    """
    if isinstance(value, Mapping):
        # The items of a list that was read have their own index, empty or not.
        items = [
            (item.index if isinstance(item, Entry) else key, item) for key, item in value.items()
        ]
    elif isinstance(value, Sequence) and not isinstance(value, str):
        items = [("", item) for item in value]
    else:
        items = [(None, value)]
    return [f"{_written_key(name, index)} = {_encoded(item)}" for index, item in items]


def _parts(key: str) -> tuple[str, str | None]:
    name, bracket, rest = key.partition("[")
    return name, rest.removesuffix("]") if bracket else None


def _heading(section: str) -> str:
    return f"[{_bracketed(section)}]"


def _written_key(name: str, index: str | None) -> str:
    word = _WORD.fullmatch(name) and index is None
    if not _NAME.fullmatch(name) or name != name.strip(" ") or word:
        raise _unwritable(f"{name!r} as the name of a key", "no sign of INI's own, and no word")
    return name if index is None else f"{name}[{_bracketed(index)}]"


def _bracketed(name: str) -> str:
    return (
        name
        if re.fullmatch(r"([^$\n\r;\"'\]\\\0 \t][^$\n\r;\"'\]\\\0]*)?", name)
        else _quoted(name)
    )


def _encoded(value: Scalar | Entry) -> str:
    if isinstance(value, Entry):
        return value.written
    if isinstance(value, str):
        return _quoted(value)
    return "null" if value is None else str(value).lower()


def _quoted(text: str) -> str:
    if "\0" in text or re.search(r'"[\r\n]', text):
        raise _unwritable("a text with one", 'a text without a NUL or a " at the end of a line')
    # Without a backslash before it ${ would be a variable.
    return '"{}"'.format(re.sub(r'["\\]|\$(?=\{)', r"\\\g<0>", text))


def _unwritable(seen: str, expected: str) -> WrongInputError:
    return WrongInputError(
        expected=expected, seen=seen, next_command="choose another one, then the same command again"
    )
