"""Controls of second factors: somebody has none yet, and has not come either."""

from typing import Final

from matomo_harness.gate.mutants import Control, Part
from matomo_harness.gate.mutants.changes import user

CONTROLS: Final[tuple[Control, ...]] = (
    Control(
        "control.more_users",
        "there are more users, who have not come yet",
        user("reader"),
        alters=(Part.USERS,),
    ),
)
