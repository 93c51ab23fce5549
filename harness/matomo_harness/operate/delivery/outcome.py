"""What a command of a delivery did: one shape for all, and for `--json`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """What a command did, or would do.

    Args:
        stage: where to.
        image: registry, repository and digest; without the digest where nothing was pushed yet.
        steps: what was done, or would be, in order.
        digest: of the image; empty where nothing was pushed yet.
        tag: its name.
        passport: the file of its passport; empty where it has none.
        warnings: what one should know.
    """

    stage: str
    image: str
    steps: tuple[str, ...]
    digest: str = ""
    tag: str = ""
    passport: str = ""
    warnings: tuple[str, ...] = ()
