"""Controls of masking: as much is masked as promised or more, or there are more sites."""

from typing import Final

from matomo_harness.gate.mutants import Control, Part, Topology
from matomo_harness.gate.mutants.changes import api, every, option, sql
from matomo_harness.gate.mutants.queued_hits import COPIED, HANDLER, MASKED, queue

CONTROLS: Final[tuple[Control, ...]] = (
    Control(
        "control.three_bytes",
        "three bytes are masked",
        option("PrivacyManager.ipAddressMaskLength", 3),
        alters=(Part.MASK,),
    ),
    Control(
        "control.four_bytes",
        "the whole address is masked",
        option("PrivacyManager.ipAddressMaskLength", 4),
        alters=(Part.MASK,),
    ),
    Control(
        "control.by_default",
        "the database says nothing of masking, and two bytes are Matomo's default",
        sql("DELETE FROM {prefix}option WHERE option_name LIKE 'PrivacyManager.ip%%'"),
        alters=(Part.MASK,),
    ),
    Control(
        "control.more_sites",
        "there are more sites",
        every(
            *(
                api(
                    "SitesManager.addSite",
                    siteName=f"more {number}",
                    urls=f"https://more{number}.example",
                )
                for number in range(2)
            )
        ),
        alters=(Part.SITES,),
    ),
    Control(
        "control.secure_only_token",
        "the superuser's token is secure only, which no bulk request of Matomo 5.3 takes",
        sql("UPDATE {prefix}user_token_auth SET secure_only = 1"),
    ),
    Control(
        "control.queue",
        "a plugin puts hits, their addresses masked, into a queue, whose command is declared",
        queue((HANDLER, COPIED, MASKED)),
        Topology.DEDICATED,
    ),
)
