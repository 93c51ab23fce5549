"""What only a browser shows, and what a person would look at before a promotion."""

import re
from typing import Final

from matomo_harness.gate.core.check import Area, Capability, Finding, holds, nothing
from matomo_harness.gate.probes.look import Look
from matomo_harness.matomo.web import Page

AREA: Final = Area("gui")

NAME_OF_A_WORD: Final = r"\b(?:General|Login|CoreHome|CoreAdminHome)_[A-Z]\w+"
"""Shown as it is where a translation has none (core/Translation/Translator.php)."""


@AREA.check()
def pages_say_words(look: Look) -> Finding:
    """The login page says words, and no names of words, as where translations cannot be read."""
    return nothing("name of a word", re.findall(NAME_OF_A_WORD, Page(look.login_page).gist))


@AREA.check(Capability.LOGIN, costly=True)
def anonymize_data_shows_the_mask(look: Look) -> Finding:
    """A person who opens Administration, Privacy, Anonymize data sees masking on, with the policy's bytes."""
    seen, least = look.browsed, look.policy.privacy.masked_bytes
    expected = f"{least} bytes or more"
    return Finding(
        seen.masked_bytes >= least, expected, f"{seen.masked_bytes} bytes", seen.pictures
    )


@AREA.check(Capability.LOGIN, costly=True)
def login_asks_for_a_code(look: Look) -> Finding:
    """A person who logs in by the form is asked for a code after name and password."""
    asked = look.browsed.code_asked
    return holds(asked, "the code's form", "it" if asked else "Matomo, without a code")


@AREA.check(Capability.LOGIN, costly=True)
def pages_run_without_errors(look: Look) -> Finding:
    """No script fails on the way from the login to Anonymize data."""
    return nothing("error of a script", look.browsed.complaints)
