"""What a policy may promise of retention."""

from typing import Final, Literal

from pydantic import Field

from matomo_harness.policy import Section

FOR_EVER: Final = "kept"


class Retention(Section, table="retention"):
    """How long visits and reports are stored, and what is left of a visitor who is erased."""

    visits_days: int | Literal["kept"] | None = Field(
        default=None,
        description="Visits are stored so many days at most; or `kept`: Matomo deletes none.",
    )
    reports_months: int | Literal["kept"] | None = Field(
        default=None,
        description="Reports are stored so many months at most, but for the basic figures that"
        " delete_reports_keep_basic_metrics keeps; or `kept`: Matomo deletes none.",
    )
    erasure: bool | None = Field(
        default=None,
        description="A visitor who is erased by the GDPR tools is in no table, and after the next"
        " archiver run in no report, file or log. The addresses of pages are no one's: they stay in"
        " log_action until Matomo's own task takes out what no visit refers to.",
    )
    erasure_of_lone_visits: bool | None = Field(
        default=None,
        description="He is in no report either where his was the only visit of a day. Matomo 5.3"
        " does not archive such a day again, 5.8 does.",
    )
