"""Have a stage run an image anew, and go back to the one before."""

import contextlib
from pathlib import Path

from matomo_harness.errors import UnsupportedEnvironmentError, WrongInputError
from matomo_harness.operate.delivery import judge, passport
from matomo_harness.operate.delivery.commit import current
from matomo_harness.operate.delivery.outcome import Outcome
from matomo_harness.operate.delivery.promote import image_in
from matomo_harness.operate.delivery.publish import WITHOUT_PASSPORT
from matomo_harness.operate.delivery.registry import Manifest, short
from matomo_harness.operate.delivery.releases import before, expiring, releases
from matomo_harness.operate.delivery.service import service_of
from matomo_harness.operate.delivery.stages import Delivery, OpenStage


def redeploy(
    delivery: Delivery,
    name: str,
    *,
    reference: str = "",
    directory: Path | None = None,
    plan: bool = False,
) -> Outcome:
    """Force a new deployment of a stage, wait for it, and say which digest runs.

    On every stage but dev the image needs a passport; it may be too old, or of another policy.

    Args:
        delivery: with the stage.
        name: of the stage.
        reference: a tag or a digest; by default production's newest release, elsewhere the commit
            that is checked out.
        directory: the work tree of the commit; by default this one.
        plan: change nothing.

    Raises:
        HarnessError: there is no such image or service, nobody vouched for it, or the new tasks do
            not stay.
    """
    stage = delivery.stage(name)
    chosen = reference or _newest(stage) or current(directory or Path.cwd())
    manifest = image_in(stage, chosen)
    if stage.name not in WITHOUT_PASSPORT:
        _require_vouched(stage, manifest)
    return _deploy(stage, manifest, chosen, plan=plan)


def rollback(
    delivery: Delivery, name: str = "production", *, to: str = "", plan: bool = False
) -> Outcome:
    """Have a stage run the release before the one that runs; wait for it.

    An image may go back whose passport is too old, or of a policy before today's; never one that
    was not vouched for.

    Args:
        delivery: with the stage.
        name: of the stage.
        to: a tag or a digest; by default the release before.
        plan: change nothing.

    Raises:
        HarnessError: there is nothing to go back to, or it was never vouched for.
    """
    stage = delivery.stage(name)
    service = service_of(stage)
    chosen = to
    if not to:
        # What it was asked for and cannot run is what one wants to go back from.
        wanted = service.wanted()
        running = [wanted] if wanted else service.running()
        if len(running) != 1:
            raise WrongInputError(
                expected=f"one image to run in {service.name}, from which to go back",
                seen=", ".join(map(short, running)) or "none",
                next_command=f"matomo-harness rollback {stage.name} --to release-…",
            )
        release = before(releases(stage.registry), running[0])
        if release is None:
            raise WrongInputError(
                expected=f"a release before {short(running[0])} in {stage.registry.name}",
                seen="none: it is the first, or a lifecycle rule removed those before",
                next_command="matomo-harness promote, with an image that is on stage",
            )
        chosen = release.tag
    manifest = image_in(stage, chosen)
    _require_vouched(stage, manifest)
    return _deploy(stage, manifest, chosen, plan=plan)


def _require_vouched(stage: OpenStage, manifest: Manifest) -> None:
    """Require that somebody vouched for an image, of whatever time and policy.

    Raises:
        BrokenPromiseError: nobody did.
    """
    judge.best(
        passport.stored(stage.registry, manifest.digest),
        [manifest.digest, manifest.config],
        stage.delivery,
        whenever=True,
    )


def _newest(stage: OpenStage) -> str:
    if stage.name != "production":
        return ""
    known = releases(stage.registry)
    if not known:
        raise WrongInputError(
            expected=f"a release in {stage.registry.name}",
            seen="none: nothing was promoted yet",
            next_command="matomo-harness promote production",
        )
    return known[0].tag


def _deploy(stage: OpenStage, manifest: Manifest, chosen: str, *, plan: bool) -> Outcome:
    service = service_of(stage)
    image = stage.registry.by_digest(manifest.digest)
    running: list[str] = []
    with contextlib.suppress(UnsupportedEnvironmentError):  # nothing to ask, before the first
        running = service.running()
    now = ", ".join(map(short, running)) or "nothing"
    steps = (f"have {service.name} run {chosen} ({short(manifest.digest)}); {now} runs now",)
    warnings = _warnings(stage, manifest)
    if not plan:
        service.deploy(image)
    return Outcome(*(stage.name, image, steps, manifest.digest, chosen), warnings=tuple(warnings))


def _warnings(stage: OpenStage, manifest: Manifest) -> list[str]:
    """Return what one should know of the image that is about to run, and of the one before it."""
    if not stage.account:
        return []
    why = "it is about to run: promote another, or raise the rule's number"
    found = expiring(stage.account, manifest.digest, 0, why)
    if stage.name == "production":
        previous = before(releases(stage.registry), manifest.digest)
        if previous:
            found += expiring(stage.account, previous.digest, 0, "a rollback needs it")
    return found
