"""Controls of retention: visits are deleted sooner than they must be."""

from typing import Final

from matomo_harness.gate.mutants import Control, Part, Topology
from matomo_harness.gate.mutants.changes import image_file, with_key

CONTROLS: Final[tuple[Control, ...]] = (
    Control(
        "control.visits_deleted_sooner",
        "visits are deleted twenty days sooner than they must be",
        image_file(with_key("Deletelogs", "delete_logs_older_than", 700)),
        Topology.DEDICATED,
        alters=(Part.RETENTION,),
    ),
)
