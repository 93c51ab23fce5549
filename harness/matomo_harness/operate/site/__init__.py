"""What an institution's own pages send to Matomo, seen by a browser that goes through them."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from matomo_harness.errors import BrokenPromiseError, WrongInputError
from matomo_harness.operate import gate
from matomo_harness.operate.site import report
from matomo_harness.operate.site.faults import SEVERITIES, Expectation, found_in
from matomo_harness.operate.site.hits import Matomo
from matomo_harness.operate.site.records import PageRecord
from matomo_harness.operate.site.walk import Way, walk
from matomo_harness.settings import REPORTS

DIRECTORY: Final = REPORTS / "site"


@dataclass(frozen=True)
class Choices:
    """How pages are gone through and judged.

    Args:
        matomo: address of the Matomo; empty for any.
        site: the idsite that is expected; 0 for any.
        pages: how many pages of each host at most.
        click: selector of what gives consent.
        seconds: how long a page's first hit is waited for.
        authority: file with the authority that signed the certificates.
        forbidden: values that must be nowhere in what is sent.
        allowed: names of faults that are accepted.
    """

    matomo: str = ""
    site: int = 0
    pages: int = 3
    click: str = ""
    seconds: float = 5.0
    authority: Path | None = None
    forbidden: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()


def site(
    urls: tuple[str, ...], choices: Choices, directory: Path | None = DIRECTORY
) -> dict[str, Any]:
    """Go through pages, write the report, and return what site.json holds.

    Args:
        urls: where visitors begin.
        choices: how.
        directory: of the report; None for none.

    Raises:
        WrongInputError: an address is no page's, a choice cannot be, or the report cannot be
            written.
        UnsupportedEnvironmentError: there is no browser.
    """
    _require_possible(choices)
    if directory:
        gate.require_place(directory)
    way = Way(
        Matomo(choices.matomo),
        choices.pages,
        choices.click,
        choices.seconds,
        choices.authority,
        choices.forbidden,
    )
    said = judged(list(walk(urls, way)), choices)
    if directory:
        report.write(said, directory)
    return said


def judged(pages: Iterable[PageRecord], choices: Choices) -> dict[str, Any]:
    """Return what site.json holds for the records of pages."""
    records = list(pages)
    expected = Expectation(Matomo(choices.matomo), choices.site, choices.forbidden)
    return report.document(records, found_in(records, expected), expected, choices.allowed)


def shown_page() -> str:
    """Return the path of the report from here."""
    return os.path.relpath(DIRECTORY / report.PAGE)


def require_clean(said: dict[str, Any]) -> None:
    """Require that no fault was found but those that are allowed.

    Raises:
        BrokenPromiseError: one was.
    """
    if not said["verdict"]["clean"]:
        names = dict.fromkeys(fault["name"] for fault in said["faults"] if not fault["allowed"])
        raise BrokenPromiseError(
            expected="nothing in what the pages send to Matomo that should not be there",
            seen=f"{said['verdict']['sentence']} {', '.join(names)}",
            next_command=f"open {shown_page()}",
        )


def _is_address(url: str) -> bool:
    try:
        split = urlsplit(url)
        return split.scheme in ("http", "https") and bool(split.hostname) and split.port != 0
    except ValueError:
        return False


def _require_possible(choices: Choices) -> None:
    if unknown := [name for name in choices.allowed if name not in SEVERITIES]:
        raise WrongInputError(
            expected=f"--allow to name a fault: {', '.join(sorted(SEVERITIES))}",
            seen=", ".join(unknown),
            next_command="matomo-harness site --help",
        )
    if any(len(value.strip()) < 4 for value in choices.forbidden):
        raise WrongInputError(
            expected="--never to have four characters or more",
            seen="fewer, which are found anywhere by chance",
            next_command="--never 'Jane Doe'",
        )
    if choices.matomo and not _is_address(choices.matomo):
        raise WrongInputError(
            expected="--matomo to be an address of http or https",
            seen=choices.matomo,
            next_command=f"--matomo https://{choices.matomo.rpartition('://')[2]}",
        )
    if choices.authority and not choices.authority.is_file():
        raise WrongInputError(
            expected="--authority to name a PEM file",
            seen=f"no file {choices.authority}",
            next_command=f"ls {choices.authority.parent}",
        )
