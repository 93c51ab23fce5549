"""Controls of code: the image has Matomo's next patch version."""

from typing import Final

from matomo_harness.gate.mutants import Control, Deployment, Part, Topology
from matomo_harness.gate.mutants.changes import in_web

NEXT_PATCH: Final = r"""
for place in . /usr/src/matomo; do
    sed -Ei "s/(VERSION = '[0-9]+\.[0-9]+\.[0-9]+)'/\19'/" $place/core/Version.php
done
rm -rf tmp/cache/*
"""


def _upgrade(deployment: Deployment) -> None:
    """Install the next patch version and run its database update."""
    in_web(NEXT_PATCH)(deployment)
    deployment.instance.shell.console("core:update", "--yes")


CONTROLS: Final[tuple[Control, ...]] = (
    Control(
        "control.a_patch_later",
        "the image has the next patch version, and its database update has run",
        _upgrade,
        Topology.DEDICATED,
        alters=(Part.CODE,),
    ),
)
