"""Time for tests of waits: no other program of the machine holds it up."""


class Clock:
    """Time that goes on while somebody waits, and never else.

    Args:
        times: how much faster it goes than is waited.
    """

    def __init__(self, times: float = 1) -> None:
        self.now = 0.0
        self._times = times

    def monotonic(self) -> float:
        """Return the seconds since it began."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time go on."""
        self.now += self._times * seconds
