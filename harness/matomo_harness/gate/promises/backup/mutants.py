"""Mutants of the backup: a part is left out, or an error is ignored."""

from typing import Final

from matomo_harness.gate.mutants import Location, Mutants, Topology
from matomo_harness.gate.mutants.changes import program

MUTANTS: Final = Mutants("backup")


MUTANTS.add(
    "backup_without_uploads",
    "the backup leaves out misc/ to save space",
    Location.IMAGE,
    "is_whole",
    program("backup-data.sh", 's/^parts="config misc js/parts="config js/'),
    "F5",
    Topology.DEDICATED,
)
MUTANTS.add(
    "backup_goes_on",
    "the backup goes on after an error: half a copy replaces the last whole one",
    Location.IMAGE,
    "broken_backup_is_not_taken",
    program("backup-data.sh", "s/^set -eu$/set -u/"),
    "F5",
    Topology.DEDICATED,
)
MUTANTS.add(
    "restore_without_misc",
    "the restore leaves out misc/, and with it the database of countries and the logos",
    Location.IMAGE,
    "restore_brings_all_back",
    program(
        "restore-data.sh",
        "s/find config misc js -type f) | grep/find config js -type f) | grep/",
    ),
    "F5",
    Topology.DEDICATED,
)
