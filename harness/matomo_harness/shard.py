"""One of several runs that share the work between them: SHARD=1/4."""

import re
from dataclasses import dataclass

from matomo_harness.errors import WrongInputError


@dataclass(frozen=True)
class Shard:
    """One part of a whole.

    Args:
        number: from 1.
        count: of all parts.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `1/4`.

        Raises:
            WrongInputError: it is no such part.
        """
        found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
        number, count = (int(it) for it in found.groups()) if found else (0, 0)
        if not 1 <= number <= count:
            raise WrongInputError(
                expected="SHARD to be a part and the number of parts: 1/4, 2/4, 3/4 or 4/4",
                seen=f"SHARD={text}",
                next_command="make mutants SHARD=1/4, or make test-all SHARD=1/4",
            )
        return cls(number, count)

    def __str__(self) -> str:
        """As it was asked for."""
        return f"{self.number}/{self.count}"
