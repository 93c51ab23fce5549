"""Controls of exposure: browsers get more security headers than are promised."""

from typing import Final

from matomo_harness.gate.mutants import Control, Part, Topology
from matomo_harness.gate.mutants.changes import apache

CONTROLS: Final[tuple[Control, ...]] = (
    Control(
        "control.more_headers",
        "more security headers than promised",
        apache("Header always set Strict-Transport-Security max-age=31536000"),
        Topology.DEDICATED,
        alters=(Part.HEADERS,),
    ),
)
