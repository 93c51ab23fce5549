"""The releases of production: which images it has had, and which of them may go away."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from matomo_harness.operate.delivery.aws import Account, PushedImage
from matomo_harness.operate.delivery.registry import Manifest, Registry, TagTakenError, short

RELEASE: Final = re.compile(r"release-(\d+)")
"""The tag of a promoted image; the number grows by one. With immutable tags a number has one image
for ever: of two promotions at once, one gets it."""

WITH_PASSPORT: Final = 2
"""So many things ECR lists for an image that was promoted."""

SOON: Final = timedelta(days=30)
"""An image that a rule removes by its age is warned of so long before."""


@dataclass(frozen=True)
class Release:
    """An image that was promoted.

    Args:
        number: of the promotion.
        digest: of the image.
    """

    number: int
    digest: str

    @property
    def tag(self) -> str:
        """Its name in the registry."""
        return f"release-{self.number}"


def releases(registry: Registry) -> list[Release]:
    """Return all releases that the registry still has, the newest first."""
    numbers = [int(found[1]) for tag in registry.tags() if (found := RELEASE.fullmatch(tag))]
    return [
        Release(number, manifest.digest)
        for number in sorted(numbers, reverse=True)
        if (manifest := registry.manifest(f"release-{number}"))
    ]


def before(known: Sequence[Release], running: str) -> Release | None:
    """Return the release to go back to from the image that runs; None where there is none.

    Args:
        known: all releases, the newest first.
        running: the digest that runs; one that is no release counts as newer than all.
    """
    of_running = [release.number for release in known if release.digest == running]
    newest = max(of_running, default=max((release.number for release in known), default=0) + 1)
    return next(
        (one for one in known if one.number < newest and one.digest != running),
        None,
    )


def take(registry: Registry, release: Release, manifest: Manifest) -> None:
    """Give an image the tag of its release.

    Raises:
        TagTakenError: another promotion has the number.
    """
    refused = TagTakenError(
        expected=f"{release.tag} of {registry.name} for this promotion",
        seen="another promotion took it at the same time; nothing of this one will run",
        next_command="see what the other brought, then the same command",
    )
    there = registry.manifest(release.tag)
    if there and there.digest != manifest.digest:
        raise refused
    try:
        registry.put_manifest(release.tag, manifest)
    except TagTakenError as error:
        raise refused from error
    # Without immutable tags another may have overwritten it.
    there = registry.manifest(release.tag)
    if not there or there.digest != manifest.digest:
        raise refused


def expiring(account: Account, digest: str, coming: int, why: str) -> list[str]:
    """Return a warning where a lifecycle rule will soon remove an image.

    One rule decides about an image: the first that is about its tags. Whatever ECR lists is
    counted, passports as well: better a warning too early than one too late.

    Args:
        account: of the repository.
        digest: of an image that must stay.
        coming: how many images are about to come, each with its passport.
        why: what the image is needed for.
    """
    pushed = account.images()
    image = next((one for one in pushed if one.digest == digest), None)
    rule = next((one for one in account.rules() if image and one.concerns(image)), None)
    if image is None or rule is None:
        return []
    if rule.days:
        warning = _warning_of_age(rule.days, image)
    else:
        counted = [one for one in pushed if rule.concerns(one)]
        warning = _warning(rule.count, counted, digest, coming)
    return [f"{warning}; {why}"] if warning else []


def _warning_of_age(days: int, image: PushedImage) -> str:
    left = image.pushed + timedelta(days=days) - datetime.now(UTC)
    if left > SOON:
        return ""
    when = f"in {left.days} days" if left.days > 0 else "any day now"
    return (
        f"{short(image.digest)} expires {when}: the lifecycle rule removes what was pushed"
        f" {days} days ago, whether it runs or not"
    )


def _warning(count: int, counted: Sequence[PushedImage], digest: str, coming: int) -> str:
    place = next((at for at, image in enumerate(counted, 1) if image.digest == digest), None)
    if place is None:
        return ""
    then = place + coming * WITH_PASSPORT
    if then + WITH_PASSPORT <= count:
        return ""
    when = "with the next image" if then <= count else "with this one" if coming else "any day now"
    return (
        f"{short(digest)} expires {when}: the lifecycle rule keeps the youngest {count}, and it is"
        f" number {then}"
    )
