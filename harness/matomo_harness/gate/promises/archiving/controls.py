"""Controls of archiving: other time zones, segments, goals and row limits, with exact numbers."""

from typing import Final

from matomo_harness.gate.mutants import Control, Deployment, Part, Topology
from matomo_harness.gate.mutants.changes import api, image_file, sql, with_key
from matomo_harness.gate.promises.archiving.checks import Archiving


def _keep_other_rows(deployment: Deployment) -> None:
    """Change a row limit in the image and in the policy alike."""
    image_file(with_key("General", "datatable_archiving_maximum_rows_events", 2000))(deployment)
    archiving = deployment.policy.section(Archiving)
    if archiving.maximum_rows is not None:
        rows = {**archiving.maximum_rows, "events": 2000}
        other = archiving.model_copy(update={"maximum_rows": rows})
        deployment.policy = deployment.policy.with_section(other)


CONTROLS: Final[tuple[Control, ...]] = (
    Control(
        "control.site_time_zone",
        "site 1 is in another time zone",
        sql("UPDATE {prefix}site SET timezone = 'Asia/Kathmandu'"),
        alters=(Part.SITE_ZONE,),
    ),
    Control(
        "control.row_limits",
        "the image and the policy have another row limit",
        _keep_other_rows,
        Topology.DEDICATED,
        alters=(Part.ROW_LIMITS,),
    ),
    Control(
        "control.another_limit",
        "a row limit that the policy does not mention has another value",
        image_file(with_key("General", "datatable_archiving_maximum_rows_products", 700)),
        Topology.DEDICATED,
        alters=(Part.ROW_LIMIT_OF_PRODUCTS,),
    ),
    Control(
        "control.segment",
        "somebody saved a segment",
        api(
            "SegmentEditor.add",
            name="Mobile",
            definition="deviceType==smartphone",
            idSite=1,
            autoArchive=1,
            enabledAllUsers=1,
        ),
        alters=(Part.SEGMENTS,),
    ),
    Control(
        "control.goal",
        "site 1 has a goal",
        api(
            "Goals.addGoal",
            idSite=1,
            name="Read",
            matchAttribute="url",
            pattern="/read",
            patternType="contains",
        ),
        alters=(Part.GOALS,),
    ),
)
