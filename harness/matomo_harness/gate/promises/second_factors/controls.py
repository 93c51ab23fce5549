"""Controls of second factors: users who never logged in have none yet."""

from typing import Final

from matomo_harness.gate.mutants import Control, Part
from matomo_harness.gate.mutants.changes import user

CONTROLS: Final[tuple[Control, ...]] = (
    Control(
        "control.more_users",
        "there are more users, who have not logged in yet",
        user("reader"),
        alters=(Part.USERS,),
    ),
)
