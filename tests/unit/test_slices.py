"""How a person says which part of a dump is wanted."""

from datetime import date

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.personal_data.slices import ALL, Slice, parsed


@pytest.mark.parametrize(
    ("since", "sites", "sample", "schema_only", "chosen", "said"),
    [
        ("", "", "", False, ALL, ""),
        ("2026-01-31", "", "", False, Slice(since=date(2026, 1, 31)), "since 2026-01-31"),
        ("", " 3,1, 3", "", False, Slice(sites=(1, 3)), "sites 1, 3"),
        ("", "", "1%", False, Slice(sample=10_000), "1 % of the visitors"),
        ("", "", " 0.25 %", False, Slice(sample=2_500), "0.25 % of the visitors"),
        ("", "", "100%", False, ALL, ""),
        ("", "", "", True, Slice(schema_only=True), "no visits and no reports"),
    ],
)
def test_a_part_is_read_and_said(
    since: str, sites: str, sample: str, schema_only: bool, chosen: Slice, said: str
) -> None:
    found = parsed(since, sites, sample, schema_only=schema_only)
    assert found == chosen
    assert str(found) == said
    assert found.is_all == (found == ALL)


@pytest.mark.parametrize(
    ("since", "sites", "sample", "schema_only", "option"),
    [
        ("last week", "", "", False, "--since"),
        ("", "one", "", False, "--sites"),
        ("", "1,,2", "", False, "--sites"),
        ("", "", "1", False, "--sample"),
        ("", "", "0%", False, "--sample"),
        ("", "", "101%", False, "--sample"),
        ("2026-01-31", "", "", True, "--schema-only"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(
    since: str, sites: str, sample: str, schema_only: bool, option: str
) -> None:
    with pytest.raises(WrongInputError) as refused:
        parsed(since, sites, sample, schema_only=schema_only)
    assert option in refused.value.expected
    assert option in refused.value.next_command
