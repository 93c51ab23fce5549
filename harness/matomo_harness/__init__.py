"""matomo-harness: proves that a containerised Matomo keeps its promises."""

__version__ = "0.2.0"
