"""policy.toml: what a deployment promises, read strictly; what it does not say is not promised.

Pydantic and not msgspec or cattrs: it tells every mistake of a file at once, and makes the JSON
schema, descriptions included, by which an editor completes and checks the file.
"""

import dataclasses
import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from matomo_harness.policy import files
from matomo_harness.settings import IMAGE_DIRECTORY

POLICY_FILE: Final = IMAGE_DIRECTORY / "policy.toml"
SCHEMA_FILE: Final = IMAGE_DIRECTORY / "policy.schema.json"

Names = Annotated[tuple[str, ...], Field(strict=False)]
"""A list of names; TOML's lists are not tuples, so this alone is not read strictly."""


class Section(BaseModel):
    """A table of the policy, declared beside the checks that prove it.

    A key that is None where the file does not have it is a promise: absent or false, nothing is
    promised. A key with another default is a threshold, which holds where the file says nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    table: ClassVar[str]

    def __init_subclass__(cls, *, table: str, **more: Any) -> None:
        """Name the table.

        Args:
            table: name in the file, without brackets.
            more: of pydantic.
        """
        super().__init_subclass__(**more)
        cls.table = table


class Gate(Section, table="gate"):
    """How the gate judges."""

    required: Names = Field(
        default=(), description="Checks that may not be skipped: ids, or patterns of them."
    )


S = TypeVar("S", bound=Section)


@dataclass(frozen=True)
class Policy:
    """What is promised.

    Args:
        sections: by their models, each with its defaults where the file does not have it.
        digest: SHA-256 of the file, for the report; empty where it was made by a program.
    """

    sections: Mapping[type[Section], Section] = field(default_factory=dict)
    digest: str = ""

    def section(self, kind: type[S]) -> S:
        """Return a section; where the file does not have it, with nothing promised."""
        return self.sections.get(kind) or kind()  # type: ignore[return-value]

    def with_section(self, section: Section) -> Self:
        """Return this policy with another section in the place of the one of its kind."""
        return dataclasses.replace(self, sections={**self.sections, type(section): section})

    def value(self, key: str) -> object:
        """Return what it says for `section.key`; None where it has no such section."""
        table, _, name = key.partition(".")
        of_table = (section for kind, section in self.sections.items() if kind.table == table)
        return getattr(next(of_table, None), name, None)


def is_promise(value: object) -> bool:
    """Whether a key with this value promises something."""
    return value is not None and value is not False


T = TypeVar("T")


class NotPromisedError(RuntimeError):
    """A check reads a key that it does not say it proves: a mistake in the check."""


def promised(value: T | None) -> T:
    """Return the value of a key; who names it as what it proves is not run where there is none.

    Raises:
        NotPromisedError: nothing; see above.
    """
    if value is None:
        raise NotPromisedError("a key of the policy is read, and the check does not name it")
    return value


# -- reading --------------------------------------------------------------------------------------


def _with_gate(kinds: Iterable[type[Section]]) -> list[type[Section]]:
    return [Gate, *kinds]


def model_of(kinds: Iterable[type[Section]]) -> type[BaseModel]:
    """Return the model of a whole file."""
    tables: dict[str, Any] = {kind.table: (kind | None, None) for kind in _with_gate(kinds)}
    tables["schema_"] = (str | None, Field(default=None, alias="$schema"))
    configuration = ConfigDict(extra="forbid", strict=True, title="policy.toml of matomo-harness")
    return create_model("PolicyFile", __config__=configuration, **tables)


def schema_of(kinds: Iterable[type[Section]]) -> str:
    """Return the JSON schema of a whole file, as text."""
    return json.dumps(model_of(kinds).model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def read(path: Path, kinds: Iterable[type[Section]]) -> Policy:
    """Read `path`.

    Args:
        path: a TOML file.
        kinds: the models of all sections.

    Raises:
        WrongInputError: not TOML, an unknown key, or a value that cannot be; all of them at once.
    """
    document, digest = files.document(path)
    every = _with_gate(kinds)
    try:
        model_of(kinds).model_validate(document)
    except ValidationError as error:
        known = {kind.table: list(kind.model_fields) for kind in every}
        seen = "; ".join(_told(one, known) for one in error.errors())
        raise files.mistake(path, "tables and keys that the harness knows", seen) from error
    sections = {kind: kind.model_validate(document.get(kind.table, {})) for kind in every}
    return Policy(sections, digest)


def _told(error: Any, known: Mapping[str, list[str]]) -> str:
    """Say one mistake as `[table] key: …`."""
    table, *keys = (str(part) for part in error["loc"])
    where = f"[{table}] {'.'.join(keys)}".rstrip()
    if error["type"] == "extra_forbidden":
        names = known.get(table, []) if keys else list(known)
        unknown = keys[-1] if keys else table
        nearest = difflib.get_close_matches(unknown, names, 1)
        is_old = not keys and table in FORMER_TABLES
        next_to_it = f", nearest: {nearest[0]}" if nearest else ""
        hint = "; matomo-harness policy migrate" if is_old else next_to_it
        return f"{where}: unknown{hint}"
    return f"{where}: {error['msg'][0].lower()}{error['msg'][1:]}, seen: {error['input']!r:.60}"


FORMER_TABLES: Final = ("privacy", "login")
"""Of files before this release (migrate.py)."""


# -- waivers --------------------------------------------------------------------------------------


class Waiver(BaseModel):
    """Somebody answers for a check that fails, until a day."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    check: str = Field(description="Id of the check.")
    reason: str = Field(min_length=1, description="Why it may fail.")
    owner: str = Field(min_length=1, description="Who answers for it.")
    until: date = Field(description="The last day on which it holds.")


class _Waivers(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    waiver: list[Waiver] = Field(default_factory=list)


def waivers_beside(policy: Path) -> tuple[Waiver, ...]:
    """Return the waivers of waivers.toml beside the file `policy`; none where it is not there.

    Raises:
        WrongInputError: not TOML, an unknown or missing key, a value that cannot be, or two of one
            check.
    """
    path = policy.with_name("waivers.toml")
    if not path.exists():
        return ()
    document, _ = files.document(path)
    try:
        waivers = _Waivers.model_validate(document).waiver
    except ValidationError as error:
        expected = "[[waiver]] with check, reason, owner and until"
        raise files.mistake(path, expected, files.told(error)) from error
    checks = [waiver.check for waiver in waivers]
    if twice := next((check for check in checks if checks.count(check) > 1), None):
        raise files.mistake(path, "one waiver for a check", f"two for {twice}")
    return tuple(waivers)
