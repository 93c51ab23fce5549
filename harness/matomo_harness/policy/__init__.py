"""image/policy.toml: what a deployment promises, read strictly."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from matomo_harness.policy import tables
from matomo_harness.settings import IMAGE_DIRECTORY

POLICY_FILE: Final = IMAGE_DIRECTORY / "policy.toml"


@dataclass(frozen=True)
class Plugins:
    """The `[plugins]` table.

    Args:
        active: exactly these are active.
        where_present: these too, where the image has them.
        may_decide: beside Matomo's own, these may have a say in logins, masking and archiving.
    """

    active: tuple[str, ...]
    where_present: tuple[str, ...]
    may_decide: tuple[str, ...]


@dataclass(frozen=True)
class Privacy:
    """The `[privacy]` table.

    Args:
        masked_bytes: bytes of an IPv4 address that are zeroed before it is stored, 0 to 4.
        user_ids_stored: whether a `uid` of a hit may be kept.
    """

    masked_bytes: int
    user_ids_stored: bool


@dataclass(frozen=True)
class Login:
    """The `[login]` table.

    Args:
        second_factor_for_everybody: nobody gets anywhere without one.
    """

    second_factor_for_everybody: bool


@dataclass(frozen=True)
class Archiving:
    """The `[archiving]` table.

    Args:
        from_browser: whether looking at a report may archive.
        today_outdated_after_seconds: age from which today's archive is made anew.
        killed_taken_up_after_seconds: age from which what a killed archiver began is begun again.
        maximum_rows: report name to rows kept; the rest is summed up as "Others".
    """

    from_browser: bool
    today_outdated_after_seconds: int
    killed_taken_up_after_seconds: int
    maximum_rows: Mapping[str, int]


@dataclass(frozen=True)
class Transport:
    """The `[transport]` table.

    Args:
        browsers_by_tls: they come by https, and nothing leads them away from it.
        database_by_tls: Matomo's sessions with its database are encrypted.
    """

    browsers_by_tls: bool
    database_by_tls: bool


@dataclass(frozen=True)
class Environment:
    """The `[environment]` table.

    Args:
        variables: names of those that the task definition sets, as they are or as NAME_FILE.
        may_be_set: names of those that it may set besides.
    """

    variables: tuple[str, ...]
    may_be_set: tuple[str, ...]


@dataclass(frozen=True)
class Exposure:
    """The `[exposure]` table.

    Args:
        version_banners: whether a header may tell the version of the web server or of PHP.
        security_headers: names of headers that every page has.
        closed_paths: below the address of Matomo; none is answered with 200.
    """

    version_banners: bool
    security_headers: tuple[str, ...]
    closed_paths: tuple[str, ...]


@dataclass(frozen=True)
class DatabaseSettings:
    """The `[settings]` table: what the database may hold of what people can change by a click.

    Args:
        options: `name=value` rows of the table option, where they are there at all.
        plugin_settings: likewise, `plugin.name=value`.
        site_settings: likewise, of a site's own settings.
    """

    options: tuple[str, ...]
    plugin_settings: tuple[str, ...]
    site_settings: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """Everything that is promised.

    Args:
        plugins: which are active.
        privacy: what is stored of a visitor.
        login: how people come in.
        archiving: when reports are made, and how long they are.
        transport: what is encrypted on its way.
        environment: what the task definition sets.
        exposure: what is told and shown over HTTP.
        settings: what the database may hold of settings.
    """

    plugins: Plugins
    privacy: Privacy
    login: Login
    archiving: Archiving
    transport: Transport
    environment: Environment
    exposure: Exposure
    settings: DatabaseSettings


def read(path: Path = POLICY_FILE) -> Policy:
    """Read `path`.

    Raises:
        WrongInputError: not TOML, a key that is unknown or missing, or a value that cannot be.
    """
    policy = tables.read(path, Policy)
    if not 0 <= policy.privacy.masked_bytes <= 4:
        seen = f"[privacy] masked_bytes = {policy.privacy.masked_bytes}"
        raise tables.mistake(path, "[privacy] masked_bytes from 0 to 4", seen)
    return policy
