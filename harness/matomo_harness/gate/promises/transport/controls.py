"""Controls of transport: Matomo trusts another host name as well."""

from typing import Final

from matomo_harness.gate.mutants import Control, Part
from matomo_harness.gate.mutants.changes import key

CONTROLS: Final[tuple[Control, ...]] = (
    Control(
        "control.hosts",
        "another host name is trusted as well",
        key("General", "trusted_hosts[]", "matomo.example"),
        alters=(Part.TRUSTED_HOSTS,),
    ),
)
