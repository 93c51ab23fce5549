"""Mutants of what a person sees in a browser."""

from typing import Final

from matomo_harness.gate.mutation.changes import in_web, no_plugin, option
from matomo_harness.gate.mutation.mutant import Mutant, Place, Stage

BROKEN: Final = "; throw new Error('cut off');"

MUTANTS: Final = (
    Mutant(
        "gui.mask_clicked_off",
        "somebody switched masking off on Anonymize data",
        Place.CLICK,
        ("gui.anonymize_data_shows_the_mask", "masking.page_shows_it"),
        option("PrivacyManager.ipAnonymizerEnabled", 0),
        "P1",
    ),
    Mutant(
        "gui.no_code",
        "the login asks for no code",
        Place.FILE,
        ("gui.login_asks_for_a_code", "plugins.promised_are_active"),
        no_plugin("TwoFactorAuth"),
        "A6",
    ),
    Mutant(
        "gui.script_broken",
        "a script of the administration fails where it begins",
        Place.IMAGE,
        ("gui.pages_run_without_errors",),
        in_web(f'echo "{BROKEN}" >> plugins/CoreHome/javascripts/corehome.js; rm -rf tmp/assets/*'),
        "G4",
        Stage.PAIR,
    ),
    Mutant(
        "gui.words_missing",
        "the web server may not read lang/: pages say General_Username where words should be",
        Place.VOLUME,
        ("gui.pages_say_words",),
        in_web("chown root lang; chmod 700 lang; rm -rf tmp/cache/*"),
        "F4",
        Stage.PAIR,
    ),
)
