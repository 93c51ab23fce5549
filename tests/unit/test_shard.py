"""SHARD=1/4: which part of the work a run does."""

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.shard import Shard


@pytest.mark.parametrize(
    "text", ["5/4", "0/4", "1/0", "0/0", "-1/4", "x", "1", "1/4/4", "1 / 4", "²/4", "1/4\n", ""]
)
def test_an_invalid_shard_is_refused(text: str) -> None:
    with pytest.raises(WrongInputError) as refused:
        Shard.parse(text)
    assert refused.value.seen == f"SHARD={text}"
    assert refused.value.exit_code == 2


def test_a_shard_is_read_as_it_is_written() -> None:
    assert Shard.parse("3/4") == Shard(3, 4)
    assert str(Shard(3, 4)) == "3/4"
