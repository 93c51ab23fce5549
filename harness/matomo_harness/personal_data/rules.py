"""The rules of personal-data.toml, and which of them a schema's columns have."""

import fnmatch
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from matomo_harness.errors import WrongInputError
from matomo_harness.personal_data.schema import Column, Schema

RULES_FILE: Final = "personal-data.toml"
DRAFT_COMMAND: Final = (
    "read these lines, write them to a file, and name it: RULES=own.toml, or --rules"
)

KINDS: Final = (
    *("keep", "version", "plain", "empty", "pseudonym", "login", "mail", "person", "address"),
    *("url", "referrer", "text", "degrees", "crc32", "buster", "md5", "segment", "second_factor"),
    *("report", "done_flag"),
)
"""What a rule may do with a column, as the head of the file explains."""

UNCHANGED: Final = frozenset(("keep", "version"))
"""The kinds that leave a value as it is."""

DERIVED: Final = frozenset(("crc32", "buster", "md5"))
"""The kinds that compute a value from another column of the row."""

Names = Annotated[tuple[str, ...], Field(strict=False)]
"""Names, or patterns of names as fnmatch reads them."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def pattern_of(self, name: str) -> tuple[str, str] | None:
        """Return the kind that names `name`, and the pattern that does; a whole name wins."""
        patterns = [(kind, item) for kind in KINDS for item in getattr(self, kind, ())]
        whole = [(kind, item) for kind, item in patterns if item == name]
        return next(
            iter(whole + [found for found in patterns if fnmatch.fnmatchcase(name, found[1])]), None
        )


class DocumentRules(_Strict):
    """What becomes of the values in a JSON or serialised PHP value, by their path.

    Args:
        keep: paths of what stays.
        login: paths of users.
        mail: paths of mail addresses.
        url: paths of addresses of pages.
        text: paths of other text, where `otherwise` is something else.
        otherwise: what becomes of strings that no path names.
    """

    keep: Names = ()
    login: Names = ()
    mail: Names = ()
    url: Names = ()
    text: Names = ()
    otherwise: Literal["keep", "text", "empty"] = "text"

    def kind_of(self, path: str) -> str:
        """Return the kind of rule for the value at `path`, such as `columns.0.module`."""
        found = self.pattern_of(path)
        return found[0] if found else self.otherwise


class Cases(_Strict):
    """What becomes of a column by the value of another one of the row.

    Args:
        column: the column.
        by: the other column; patterns are of its value.
        keep: where the value stays.
        version: where it stays, and looks like an address.
        plain: where it stays if it is a number, true, false or nothing.
        empty: where it is emptied.
        url: where it is the address of a page.
        text: where it is text.
        drop: where the whole row is removed.
        documents: where it is JSON or serialised PHP: the name of the rules for it, by pattern.
        otherwise: what becomes of it elsewhere.
    """

    column: str
    by: str
    keep: Names = ()
    version: Names = ()
    plain: Names = ()
    empty: Names = ()
    url: Names = ()
    text: Names = ()
    drop: Names = ()
    documents: Mapping[str, str] = Field(default_factory=dict)
    otherwise: Literal["drop", "empty", "plain", "text"] = "empty"


class TableRules(_Strict):
    """The rules of a table, or of all tables whose names a pattern matches.

    Args:
        name: the name without prefix, or a pattern.
        rows: whether rows stay, or are dropped.
        documents: rules for JSON and serialised PHP, by column or by the name that a case uses.
        cases: rules that depend on another column.
    """

    name: str
    rows: Literal["keep", "drop"] = "keep"
    keep: Names = ()
    version: Names = ()
    plain: Names = ()
    empty: Names = ()
    pseudonym: Names = ()
    second_factor: Names = ()
    login: Names = ()
    mail: Names = ()
    person: Names = ()
    address: Names = ()
    url: Names = ()
    referrer: Names = ()
    text: Names = ()
    degrees: Names = ()
    crc32: Names = ()
    buster: Names = ()
    md5: Names = ()
    segment: Names = ()
    report: Names = ()
    done_flag: Names = ()
    documents: Mapping[str, DocumentRules] = Field(default_factory=dict)
    cases: Annotated[tuple[Cases, ...], Field(strict=False)] = ()


class _File(_Strict):
    tables: Annotated[tuple[TableRules, ...], Field(strict=False)]


@dataclass(frozen=True)
class Rule:
    """What becomes of one column.

    Args:
        kind: one of KINDS, `document`, `cases`, or `dropped` where the table's rows are removed.
        document: for a document, its rules.
        cases: for cases, those.
        documents: for cases, the rules for documents by the name that a case uses.
    """

    kind: str
    document: DocumentRules | None = None
    cases: Cases | None = None
    documents: Mapping[str, DocumentRules] | None = None


@dataclass(frozen=True)
class TablePlan:
    """A table of a schema, and the rule of each of its columns.

    Args:
        table: its name, with the prefix.
        name: its name without.
        rows: as in TableRules.
        columns: each column with its rule, in the table's order.
        staying: the condition of rows that stay, in SQL; empty where all do.
    """

    table: str
    name: str
    rows: str
    columns: tuple[tuple[Column, Rule], ...]
    staying: str = ""

    def of_kind(self, *kinds: str) -> list[Column]:
        """Return the columns whose rule is one of `kinds`."""
        return [column for column, rule in self.columns if rule.kind in kinds]


_DECIDED_BY: Final[Mapping[str, tuple[str, ...]]] = {
    "crc32": ("name",),
    "md5": ("definition",),
    # The last two say which reports stay (archives.bounded).
    "report": ("idarchive", "name", "idsite", "date1"),
}


def _decided_by(column: Column, rule: Rule) -> tuple[str, ...]:
    """Return the other columns of the row that a rule reads."""
    if rule.cases:
        return (rule.cases.by,)
    if rule.kind == "referrer" and column.name.endswith(("url", "name")):
        return ("referer_type",)
    return _DECIDED_BY.get(rule.kind, ())


class Rules:
    """All rules.

    Args:
        tables: as they are in the file.
        own: those of somebody's own file, which win for a column.
        file: the name of the last file that they are of, for messages.
    """

    def __init__(
        self,
        tables: Iterable[TableRules],
        own: Iterable[TableRules] = (),
        file: str = RULES_FILE,
    ) -> None:
        self._built_in, self._own, self.file = tuple(tables), tuple(own), file

    @property
    def tables(self) -> tuple[TableRules, ...]:
        """All entries, those of somebody's own first."""
        return (*self._own, *self._built_in)

    def of_table(self, name: str) -> list[TableRules]:
        """Return the entries for a table; those that name it are before those with a pattern."""
        return _of_table(self.tables, name)

    def rule_of(self, table: str, column: str) -> Rule | None:
        """Return the rule of a column, None where there is none.

        Args:
            table: the table's name without prefix.
            column: the column's.
        """
        if any(entry.rows != "keep" for entry in self.of_table(table)):
            return Rule("dropped")
        own = _rule_in(_of_table(self._own, table), column)
        return own or _rule_in(_of_table(self._built_in, table), column)

    def plan(self, schema: Schema) -> list[TablePlan]:
        """Return the rule of each column of `schema`.

        Raises:
            WrongInputError: there is a column or a table without a rule, or a rule reads another
                column, which the table has not.
        """
        missing = self.missing(schema)
        if missing:
            unknown = [f"table {table}" for table in missing if not self.of_table(table)]
            unknown += [
                f"{table}.{column.name}"
                for table, columns in missing.items()
                if self.of_table(table)
                for column in columns
            ]
            raise WrongInputError(
                expected=f"a rule in {RULES_FILE} for each column of each table",
                seen=f"none for {', '.join(unknown)}; to be added:\n{draft(missing)}",
                next_command=DRAFT_COMMAND,
            )
        plans = [
            TablePlan(
                columns[0].table,
                name,
                next((e.rows for e in self.of_table(name) if e.rows != "keep"), "keep"),
                tuple((column, self._known(name, column.name)) for column in columns),
            )
            for name, columns in schema.items()
        ]
        self._require_what_is_read(plans)
        return plans

    def _require_what_is_read(self, plans: Iterable[TablePlan]) -> None:
        lacking = []
        for plan in plans:
            there = {column.name.lower() for column, _ in plan.columns}
            lacking += [
                f"{plan.name}.{column.name} by {other}, which that table has not"
                for column, rule in plan.columns
                for other in _decided_by(column, rule)
                if other.lower() not in there
            ]
        if lacking:
            raise WrongInputError(
                expected=f"in {self.file} rules by columns that there are",
                seen="; ".join(lacking),
                next_command=f"edit {self.file}",
            )

    def missing(self, schema: Schema) -> dict[str, list[Column]]:
        """Return the columns of `schema` that have no rule, by their table's name."""
        found: dict[str, list[Column]] = {}
        for name, columns in schema.items():
            for column in columns:
                if self.rule_of(name, column.name) is None:
                    found.setdefault(name, []).append(column)
        return found

    def extended(self, more: "Rules") -> "Rules":
        """Return these rules with `more`, which win for a column; dropped rows stay dropped."""
        return Rules(self._built_in, (*more.tables, *self._own), more.file)

    def without(self, table: str, column: str) -> "Rules":
        """Return the same rules, of which the one for a column is switched off: it stays."""
        return _Without(self._built_in, self._own, table, column)

    def _known(self, table: str, column: str) -> Rule:
        rule = self.rule_of(table, column)
        assert rule is not None  # noqa: S101  missing() found none
        return rule


def _of_table(entries: Iterable[TableRules], name: str) -> list[TableRules]:
    found = [entry for entry in entries if fnmatch.fnmatchcase(name, entry.name)]
    return sorted(found, key=lambda entry: entry.name != name)


def _rule_in(entries: Sequence[TableRules], column: str) -> Rule | None:
    for entry in entries:
        for cases in entry.cases:
            if cases.column == column:
                return Rule("cases", cases=cases, documents=entry.documents)
        if column in entry.documents:
            return Rule("document", document=entry.documents[column])
    found = [match for entry in entries if (match := entry.pattern_of(column))]
    whole = [match for match in found if match[1] == column]
    return Rule((whole or found)[0][0]) if found else None


class _Without(Rules):
    def __init__(
        self, tables: Iterable[TableRules], own: Iterable[TableRules], table: str, column: str
    ) -> None:
        super().__init__(tables, own)
        self._off = (table, column)

    def rule_of(self, table: str, column: str) -> Rule | None:
        return Rule("keep") if (table, column) == self._off else super().rule_of(table, column)

    def plan(self, schema: Schema) -> list[TablePlan]:
        table, column = self._off
        return [
            TablePlan(plan.table, plan.name, "keep", tuple(_only(plan, column)))
            if plan.name == table and plan.rows != "keep"
            else plan
            for plan in super().plan(schema)
        ]


def _only(plan: TablePlan, remaining: str) -> Iterator[tuple[Column, Rule]]:
    """Yield the columns of a table that would be dropped, with all emptied but one."""
    for column, rule in plan.columns:
        is_left = (
            column.name == remaining or column.in_unique_key or column.is_number or column.is_time
        )
        yield column, Rule("keep") if is_left else Rule("empty") if rule else rule


def parse(text: str, name: str = RULES_FILE) -> Rules:
    """Return the rules that `text` holds.

    Args:
        text: TOML.
        name: the file's name, for messages.

    Raises:
        WrongInputError: it is not TOML, has a key or a value that no rule has, or names rules for
            documents that are not there.
    """
    try:
        tables = _File.model_validate(tomllib.loads(text)).tables
    except tomllib.TOMLDecodeError as error:
        raise _mistake(name, str(error)) from error
    except ValidationError as error:
        mistakes = (
            f"{'.'.join(map(str, detail['loc']))}: {detail['msg'].lower()}"
            for detail in error.errors()
        )
        raise _mistake(name, "; ".join(mistakes)) from error
    if lacking := [
        f"{table.name}.{cases.column}: no [tables.documents.{wanted}] in the same [[tables]]"
        for table in tables
        for cases in table.cases
        for wanted in cases.documents.values()
        if wanted not in table.documents
    ]:
        raise _mistake(name, "; ".join(lacking))
    return Rules(tables, file=name)


def _mistake(name: str, seen: str) -> WrongInputError:
    return WrongInputError(expected=f"rules in {name}", seen=seen, next_command=f"edit {name}")


@cache
def built_in() -> Rules:
    """Return the rules for Matomo and known plugins."""
    return parse(files(__package__).joinpath(RULES_FILE).read_text(encoding="utf-8"))


# -- a draft ---------------------------------------------------------------------------------------

_BY_NAME: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    (
        "empty",
        ("token", "secret", "password", "passwd", "salt", "hash", "session", "phone", "birth"),
    ),
    ("mail", ("mail",)),
    ("login", ("login", "username", "user_name", "requester", "created_by", "updated_by")),
    ("url", ("url", "link", "href")),
    ("pseudonym", ("idvisitor", "user_id", "userid", "visitor", "orderid", "idorder")),
)
_ADDRESS_WORDS: Final = frozenset(("ip", "ips", "ipaddress", "addr"))
_NUMBERS_STAY: Final = (
    "# Numbers and times stay: is one of them somebody's (a staff or a card number)? Then `empty`."
)
_PLACE_WORDS: Final = frozenset(("latitude", "longitude", "lat", "lng", "lon", "long"))


def draft(schema: Schema) -> str:
    """Return TOML for the tables of `schema`, with the most careful rule by type and name.

    Numbers and times stay, which join and count, unless their name says that they are a person's
    address, place, phone or birthday; whatever may hold characters does not.

    Args:
        schema: the tables, as `Rules.missing` returns them.
    """
    entries = []
    for name, columns in schema.items():
        by_kind: dict[str, list[str]] = {}
        for column in columns:
            by_kind.setdefault(_drafted(column), []).append(column.name)
        lines = [f"{kind} = [{_listed(names)}]" for kind, names in by_kind.items()]
        if "keep" in by_kind:
            lines.insert(0, _NUMBERS_STAY)
        entries.append("\n".join(["[[tables]]", f'name = "{name}"', *lines]))
    return "\n\n".join(entries) + "\n"


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _drafted(column: Column) -> str:
    name = column.name.lower()
    named = next((kind for kind, words in _BY_NAME if any(word in name for word in words)), None)
    words = set(name.split("_"))
    if column.is_number and words & _PLACE_WORDS and not column.in_unique_key:
        return "degrees"
    if column.is_number or column.is_time:
        is_a_persons = named == "empty" or words & _ADDRESS_WORDS
        return "empty" if is_a_persons and not column.in_unique_key else "keep"
    if words & _ADDRESS_WORDS:
        return "address"
    if column.in_unique_key or (column.is_bytes and column.type == "binary"):
        return "pseudonym" if named in (None, "empty") or column.is_bytes else named
    if column.is_bytes:
        return "empty"
    # What is no segment any more, as a hash is none, ends the archiver.
    return named or ("segment" if "segment" in words else "text")
