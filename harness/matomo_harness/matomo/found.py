"""Installations of Matomo in a schema, recognised by the names of its tables."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from matomo_harness.errors import WrongInputError
from matomo_harness.matomo import versions

OF_EVERY_MATOMO: Final = ("log_visit", "option", "site", "user")
"""Without one of these tables no page of Matomo and no hit works."""
OF_MATOMO_ALONE: Final = (
    *("archive_invalidations", "brute_force_log", "log_action", "log_conversion"),
    *("log_link_visit_action", "log_visit", "tracking_failure", "twofactor_recovery_code"),
    "user_token_auth",
)
"""Core tables (core/Db/Schema/Mysql.php, getTablesCreateSql) whose names no other program has."""
AS_EVIDENCE: Final = 2
"""So many of `OF_MATOMO_ALONE` are an installation, or what is left of one; a single one may be a
copy that somebody made before a change."""
_PREFIX: Final = re.compile(r"\w*")
"""What Matomo takes for a prefix (Installation/FormDatabaseSetup.php)."""


@dataclass(frozen=True)
class FoundInstallation:
    """A Matomo in a schema.

    Args:
        prefix: how the names of its tables begin; may be empty.
        version: the code's version that its tables are of (option version_core); None where it
            has not got that far.
        superusers: logins of its superusers, in the order of the alphabet.
        people: how many users it has, without `anonymous`.
        sites: how many sites it has.
        has_visits: whether anything was tracked.
    """

    prefix: str
    version: str | None
    superusers: tuple[str, ...] = ()
    people: int = 0
    sites: int = 0
    has_visits: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether its tables are all there, and its installer has written their version."""
        return self.version is not None

    def is_left_by_an_installer(self, login: str) -> bool:
        """Whether it holds no more than an installer's steps for `login` leave: nothing to lose."""
        return (
            not self.has_visits
            and self.people <= 1
            and self.sites <= 1
            and {*self.superusers} <= {login}
        )

    def __str__(self) -> str:
        """Return it as an error names it."""
        named = f"`{self.prefix}`" if self.prefix else "no prefix"
        if self.version is None:
            return f"{named} (incomplete)"
        superusers = ", ".join(self.superusers) or "none"
        return f"{named} (Matomo {self.version}, superusers: {superusers})"


def prefixes(tables: Iterable[str], wanted: Sequence[str], least: int) -> list[str]:
    """Return each prefix with which at least `least` of the names `wanted` are among `tables`."""
    found = Counter(
        prefix
        for table in tables
        for name in wanted
        if table.endswith(name) and _PREFIX.fullmatch(prefix := table.removesuffix(name))
    )
    return sorted(prefix for prefix, count in found.items() if count >= least)


def whole(tables: Iterable[str]) -> list[str]:
    """Return the prefixes of all installations that have the tables of every Matomo."""
    return prefixes(tables, OF_EVERY_MATOMO, len(OF_EVERY_MATOMO))


def in_part(tables: Iterable[str]) -> list[str]:
    """Return the prefixes of all installations, even of those that are not whole."""
    names = list(tables)
    return sorted({*whole(names), *prefixes(names, OF_MATOMO_ALONE, AS_EVIDENCE)})


def only_one(
    found: Sequence[FoundInstallation], prefix: str, schema: str
) -> FoundInstallation | None:
    """Return the one installation in a schema; None where it has none, and one may be made.

    What is left of another installation beside a complete one of `prefix` disturbs nobody.

    Args:
        found: all that the schema holds.
        prefix: the one that Matomo is configured for; the one that is found may have another.
        schema: its name, for an error.

    Raises:
        WrongInputError: there are two, or one that is older than every supported version, or a
            part of one with another prefix.
    """
    complete = [installation for installation in found if installation.is_complete]
    if len(complete) > 1:
        raise WrongInputError(
            expected=f"one Matomo in the schema {schema}",
            seen=" and ".join(map(str, complete)),
            next_command="drop the tables of the one that is not wanted; then the same again",
        )
    if complete:
        _require_supported(complete[0], schema)
        return complete[0]
    if others := [installation for installation in found if installation.prefix != prefix]:
        raise WrongInputError(
            expected=f"the schema {schema} to be empty, or to hold a whole Matomo",
            seen=f"a part of one: {', '.join(map(str, others))}",
            next_command="restore all of its tables, or drop them; then the same again",
        )
    return found[0] if found else None


def require_complete(installation: FoundInstallation, schema: str) -> None:
    """Require that an installation is whole, where none is in progress.

    Raises:
        WrongInputError: it is a part of one.
    """
    if not installation.is_complete:
        raise WrongInputError(
            expected=f"the schema {schema} to be empty, or to hold a whole Matomo",
            seen=f"a part of one: {installation}",
            next_command="restore all of its tables, or drop them; then the same again",
        )


def _require_supported(installation: FoundInstallation, schema: str) -> None:
    version = installation.version or ""
    if versions.has_supported_tables(version):
        return
    raise WrongInputError(
        expected=f"tables of Matomo {versions.OLDEST_TABLES} or newer in the schema {schema}",
        seen=str(installation),
        next_command="update them with an image of Matomo 5 first: console core:update",
    )


def wrong_prefix(installation: FoundInstallation, prefix: str, schema: str) -> WrongInputError:
    """Return the error for an installation with another prefix than is configured."""
    expected = f"the prefix `{prefix}`" if prefix else "no prefix"
    return WrongInputError(
        expected=f"the tables in the schema {schema} to have {expected}, as Matomo is configured",
        seen=str(installation),
        next_command=f"set MATOMO_DATABASE_TABLES_PREFIX={installation.prefix}, or tables_prefix in"
        " config.ini.php; or drop these tables",
    )
