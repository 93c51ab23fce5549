"""Controls of operation: a deployment as it should be, on each topology, or in another language."""

from typing import Final

from matomo_harness.gate.mutants import Control, Part, Topology
from matomo_harness.gate.mutants.changes import api

CONTROLS: Final[tuple[Control, ...]] = (
    Control("control.as_it_is", "nothing is changed"),
    Control(
        "control.pair_as_it_is",
        "nothing is changed, in dedicated containers",
        topology=Topology.DEDICATED,
    ),
    Control(
        "control.all_stands",
        "nothing is changed, on the full stack",
        topology=Topology.FULL_STACK,
    ),
    Control(
        "control.language",
        "the superuser reads French",
        api("LanguagesManager.setLanguageForUser", login="admin", languageCode="fr"),
        alters=(Part.LANGUAGE,),
    ),
)
