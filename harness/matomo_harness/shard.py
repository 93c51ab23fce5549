"""One of several runs that share the work between them: SHARD=1/4."""

import re
from dataclasses import dataclass

from matomo_harness.errors import WrongInputError


@dataclass(frozen=True)
class Shard:
    """One part of a whole.

    Args:
        number: which part, from 1.
        count: how many parts there are.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `1/4`.

        Raises:
            WrongInputError: `text` names no such part.
        """
        found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
        number, count = (int(digits) for digits in found.groups()) if found else (0, 0)
        if not 1 <= number <= count:
            raise WrongInputError(
                expected="SHARD to be a part and the number of parts: 1/4, 2/4, 3/4 or 4/4",
                seen=f"SHARD={text}",
                next_command="make mutants SHARD=1/4, or make test-all SHARD=1/4",
            )
        return cls(number, count)

    def __str__(self) -> str:
        """Return the text that names this part."""
        return f"{self.number}/{self.count}"
