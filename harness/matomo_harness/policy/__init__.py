"""policy.toml says what a deployment promises. It is read strictly; nothing else is promised.

Pydantic and not msgspec or cattrs: it reports every mistake of a file at once, and makes the JSON
schema, descriptions included, by which an editor completes and checks the file.
"""

import dataclasses
import difflib
import hashlib
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

    A key whose default is None is a promise: where it is absent or false, nothing is promised. A
    key with another default is a threshold, which holds where the file says nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    table: ClassVar[str]

    def __init_subclass__(cls, *, table: str, **more: Any) -> None:
        """Name the table.

        Args:
            table: name in the file, without brackets.
            more: pydantic's own arguments.
        """
        super().__init_subclass__(**more)
        cls.table = table


class Gate(Section, table="gate"):
    """How the gate judges."""

    required: Names = Field(
        default=(), description="Checks that may not be skipped: ids, or patterns of them."
    )


class Upgrade(Section, table="upgrade"):
    """What an upgrade may cost; a rehearsal is judged by it."""

    longest_minutes: float | None = Field(
        default=None, gt=0, strict=False, description="For which people may see no report."
    )
    lost_hits: int | None = Field(
        default=None, ge=0, description="Hits that may be lost on the way; a rehearsal sends some."
    )


class Drill(Section, table="drill"):
    """What a backup may be; a restore drill is judged by it."""

    oldest_hours: float | None = Field(
        default=None,
        gt=0,
        strict=False,
        description="Since the dump was taken, and since the last visit or archive that is in it.",
    )
    longest_minutes: float | None = Field(
        default=None, gt=0, strict=False, description="Until the restored Matomo answers."
    )


S = TypeVar("S", bound=Section)


@dataclass(frozen=True)
class Policy:
    """What a deployment promises.

    Args:
        sections: by their models; one that the file does not have has its defaults.
        digest: SHA-256 of the file, for the report; empty where a program made the policy.
    """

    sections: Mapping[type[Section], Section] = field(default_factory=dict)
    digest: str = ""

    def section(self, kind: type[S]) -> S:
        """Return a section, which promises nothing where the file does not have it."""
        return self.sections.get(kind) or kind()  # type: ignore[return-value]

    def with_section(self, section: Section) -> Self:
        """Return this policy with another section in the place of the one of its kind."""
        return dataclasses.replace(self, sections={**self.sections, type(section): section})

    def value(self, key: str) -> object:
        """Return the value of `section.key`; None where the policy has no such section."""
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
    """Return the value of a key; a check that proves the key does not run where there is none.

    Raises:
        NotPromisedError: there is none, so the check does not say that it proves the key.
    """
    if value is None:
        raise NotPromisedError("a key of the policy is read, and the check does not name it")
    return value


# -- reading --------------------------------------------------------------------------------------


def _with_own(kinds: Iterable[type[Section]]) -> list[type[Section]]:
    return [Gate, Upgrade, Drill, *kinds]


def model_of(kinds: Iterable[type[Section]]) -> type[BaseModel]:
    """Return the model of a whole file."""
    tables: dict[str, Any] = {kind.table: (kind | None, None) for kind in _with_own(kinds)}
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
        WrongInputError: the file is not TOML, or has unknown keys or impossible values; all are
            named at once.
    """
    document, digest = files.document(path)
    all_kinds = _with_own(kinds)
    try:
        model_of(kinds).model_validate(document)
    except ValidationError as error:
        known = {kind.table: list(kind.model_fields) for kind in all_kinds}
        seen = "; ".join(_complaint(detail, known) for detail in error.errors())
        raise files.mistake(path, "tables and keys that the harness knows", seen) from error
    sections = {kind: kind.model_validate(document.get(kind.table, {})) for kind in all_kinds}
    return Policy(sections, digest)


def _complaint(error: Any, known: Mapping[str, list[str]]) -> str:
    """Return one mistake as `[table] key: …`."""
    table, *keys = (str(part) for part in error["loc"])
    where = f"[{table}] {'.'.join(keys)}".rstrip()
    if error["type"] == "extra_forbidden":
        names = known.get(table, []) if keys else list(known)
        unknown = keys[-1] if keys else table
        nearest = difflib.get_close_matches(unknown, names, 1)
        is_old = not keys and table in FORMER_TABLES
        suggestion = f", nearest: {nearest[0]}" if nearest else ""
        hint = "; matomo-harness policy migrate" if is_old else suggestion
        return f"{where}: unknown{hint}"
    return f"{where}: {error['msg'][0].lower()}{error['msg'][1:]}, seen: {error['input']!r:.60}"


FORMER_TABLES: Final = ("privacy", "login")
"""Tables of files before this release (migrate.py)."""


# -- waivers --------------------------------------------------------------------------------------


class Waiver(BaseModel):
    """Somebody answers for a check that fails, until a certain day."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    check: str = Field(description="Id of the check.")
    reason: str = Field(min_length=1, description="Why it may fail.")
    owner: str = Field(min_length=1, description="Who answers for it.")
    until: date = Field(description="The last day on which it holds.")


class _Waivers(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    waiver: list[Waiver] = Field(default_factory=list)


def waivers_beside(policy: Path) -> tuple[Waiver, ...]:
    """Return the waivers of waivers.toml beside the file `policy`; none where it is missing.

    Raises:
        WrongInputError: the file is not TOML, has an unknown or missing key or an impossible value,
            or two waivers are for one check.
    """
    path = policy.with_name("waivers.toml")
    if not path.exists():
        return ()
    document, _ = files.document(path)
    try:
        waivers = _Waivers.model_validate(document).waiver
    except ValidationError as error:
        expected = "[[waiver]] with check, reason, owner and until"
        raise files.mistake(path, expected, files.mistakes_in(error)) from error
    checks = [waiver.check for waiver in waivers]
    if twice := next((check for check in checks if checks.count(check) > 1), None):
        raise files.mistake(path, "one waiver for a check", f"two for {twice}")
    return tuple(waivers)


def waivers_digest(waivers: Iterable[Waiver]) -> str:
    """Return the SHA-256 of what waivers say; empty where there is none."""
    said = [waiver.model_dump(mode="json") for waiver in waivers]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest() if said else ""


def judged_by(policy: Policy, waivers: Iterable[Waiver]) -> dict[str, Any]:
    """Return what a verdict rests on: policy and waivers by their hashes, and how long these hold.

    Args:
        policy: that was judged by.
        waivers: of checks that may fail.
    """
    given = tuple(waivers)
    return {
        "policy": policy.digest,
        "waivers": waivers_digest(given),
        "until": {waiver.check: waiver.until.isoformat() for waiver in given},
    }
