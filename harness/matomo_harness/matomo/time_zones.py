"""The time zones of sites, by the names that Matomo gives them."""

import re
from datetime import timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

_OFFSET: Final = re.compile(r"UTC(?P<hours>[+-]\d{1,2}(?:\.\d+)?)")
"""Zones that Matomo offers beside those of the world's cities (Date::extractUtcOffset)."""


def zone_of(name: str) -> tzinfo:
    """Return a site's time zone.

    Args:
        name: as Matomo has it: of a city, or hours before or behind UTC, such as UTC+5.5.

    Raises:
        ValueError: it is no name of a zone.
        KeyError: this machine knows no zone of that name (ZoneInfoNotFoundError).
    """
    if found := _OFFSET.fullmatch(name):
        return timezone(timedelta(hours=float(found["hours"])))
    return ZoneInfo(name)
