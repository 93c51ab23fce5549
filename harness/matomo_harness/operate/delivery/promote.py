"""Promote an image: the same bytes, by digest, from one stage to the next, with its passport."""

from pathlib import Path

from matomo_harness.errors import HarnessError, WrongInputError
from matomo_harness.operate.delivery import judge, passport
from matomo_harness.operate.delivery.commit import of_the_same_image
from matomo_harness.operate.delivery.copying import copy, require_skopeo
from matomo_harness.operate.delivery.outcome import Outcome
from matomo_harness.operate.delivery.registry import DIGEST, Manifest, Registry, short
from matomo_harness.operate.delivery.releases import Release, expiring, releases, take
from matomo_harness.operate.delivery.service import service_of
from matomo_harness.operate.delivery.stages import Delivery, OpenStage
from matomo_harness.policy.delivery import STAGES


def promote(
    delivery: Delivery,
    name: str = "production",
    *,
    source: str = "stage",
    reference: str = "",
    directory: Path | None = None,
    plan: bool = False,
) -> Outcome:
    """Copy an image that has a passport from a stage to a later one, as a new release there.

    Args:
        delivery: between which stages.
        name: of the stage that gets it.
        source: of the stage that has it.
        reference: a tag or a digest there; by default the commit that is checked out, or the last
            one that was published and has the same image/.
        directory: the work tree of the commit; by default this one.
        plan: change nothing.

    Raises:
        HarnessError: source and target are mixed up; the image is not there, or not vouched for;
            its tag moved meanwhile; another promotion came first; or a copy was cut.
    """
    target, origin = delivery.stage(name), delivery.stage(source)
    require_direction(origin, target)
    require_skopeo()
    chosen = reference or _published(origin, directory or Path.cwd())
    manifest = image_in(origin, chosen)
    found, signed_by = judge.best(
        passport.stored(origin.registry, manifest.digest),
        [manifest.digest, manifest.config],
        delivery,
        whenever=False,
    )
    registry = target.registry
    known = releases(registry)
    where = registry.by_digest(manifest.digest)
    if known and known[0].digest == manifest.digest:
        steps = [f"nothing to promote: {known[0].tag} is {short(manifest.digest)}"]
        if not plan:  # a promotion that was cut behind its tag
            passport.store(found, registry, manifest)
        return Outcome(target.name, where, tuple(steps), manifest.digest, known[0].tag)
    release = Release(known[0].number + 1 if known else 1, manifest.digest)
    steps = [
        f"copy {origin.registry.by_digest(manifest.digest)} to {registry.name}",
        f"store its passport there, signed by {signed_by}",
        f"name it {release.tag}",
    ]
    warnings = tuple(_warnings(target, manifest.digest))
    if not plan:
        copy(origin.registry, manifest.digest, registry)
        passport.store(found, registry, manifest)
        _require_unmoved(origin.registry, chosen, manifest)
        take(registry, release, manifest)
    return Outcome(
        target.name, where, tuple(steps), manifest.digest, release.tag, warnings=warnings
    )


def _published(origin: OpenStage, directory: Path) -> str:
    commits = of_the_same_image(directory)
    return next((one for one in commits if origin.registry.manifest(one)), commits[0])


def require_direction(origin: OpenStage, target: OpenStage) -> None:
    """Refuse a promotion onto itself, or backwards.

    Raises:
        WrongInputError: source and target are the same repository, or the source comes later.
    """
    if origin.stage.name == target.stage.name:
        raise WrongInputError(
            expected=f"a promotion to {target.name} from another repository",
            seen=f"a promotion onto itself: [{origin.name}] and [{target.name}] are both"
            f" {target.stage.name}",
            next_command=f"edit {target.delivery.path}: each stage has a repository of its own",
        )
    if STAGES.index(origin.name) >= STAGES.index(target.name):
        raise WrongInputError(
            expected=f"a source before {target.name}: {' → '.join(STAGES)}",
            seen=f"source and target mixed up: from {origin.name} to {target.name}",
            next_command=f"matomo-harness promote {origin.name} --from {target.name}",
        )


def image_in(stage: OpenStage, reference: str) -> Manifest:
    """Return the manifest of an image of a stage.

    Args:
        stage: that has it.
        reference: a tag or a digest.

    Raises:
        WrongInputError: there is no such image, or it is for several kinds of machines.
    """
    manifest = stage.registry.manifest(reference)
    if manifest is None:
        raise WrongInputError(
            expected=f"an image {reference} in {stage.registry.name}",
            seen="none: it was never published, or a lifecycle rule removed it",
            next_command=f"make publish-{stage.name}, or name another by --image"
            if stage.name != "production"
            else f"skopeo list-tags docker://{stage.registry.name}   (names those that there are)",
        )
    if not manifest.config:
        raise WrongInputError(
            expected=f"{reference} in {stage.registry.name} to be one image",
            seen=f"a list of images for several machines ({manifest.media_type})",
            next_command="publish one image, for linux/amd64",
        )
    return manifest


def _require_unmoved(registry: Registry, reference: str, manifest: Manifest) -> None:
    """Refuse to go on where the tag names another image by now.

    Raises:
        WrongInputError: it does.
    """
    if DIGEST.fullmatch(reference):
        return
    now = registry.manifest(reference)
    if now is None or now.digest != manifest.digest:
        seen = f"it moved to {short(now.digest)}" if now else "it is gone"
        raise WrongInputError(
            expected=f"the tag {reference} of {registry.name} to stay on {short(manifest.digest)}"
            " while it is promoted",
            seen=f"{seen}; nothing was released",
            next_command="give the repository immutable tags; then the same command judges anew",
        )


def _warnings(target: OpenStage, coming: str) -> list[str]:
    """Return what one should know before the next image comes."""
    if not target.account or not target.stage.cluster:
        return []
    try:
        running = service_of(target).running()
    except HarnessError as error:  # the first image comes before what runs it
        return [f"nobody knows whether a lifecycle rule takes what runs: {error.seen}"]
    return [
        warning
        for digest in running
        if digest != coming
        for warning in expiring(
            *(target.account, digest, 1, "it runs, and a rollback needs it"),
        )
    ]
