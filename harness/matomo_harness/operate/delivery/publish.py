"""Push the built image to the registry of a stage; from `stage` on, with its passport."""

import contextlib
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from matomo_harness.errors import BrokenPromiseError, WrongInputError
from matomo_harness.operate.delivery import judge, passport
from matomo_harness.operate.delivery.commit import pushed_commit
from matomo_harness.operate.delivery.copying import push, require_skopeo
from matomo_harness.operate.delivery.dist import ON_A_SUBSTITUTE
from matomo_harness.operate.delivery.outcome import Outcome
from matomo_harness.operate.delivery.passport import Passport
from matomo_harness.operate.delivery.registry import Manifest, Registry, digest_of, short
from matomo_harness.operate.delivery.stages import Delivery, OpenStage
from matomo_harness.progress import step
from matomo_harness.runtime import images, reaper
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.inspection import inspected
from matomo_harness.settings import OWNER_LABEL, REPORTS

GATE: Final = REPORTS / "gate" / "gate.json"
BUILT: Final = "matomo:latest"
"""The image that `make dist-dev` builds."""
PLATFORM: Final = ("linux", "amd64")
"""What Fargate runs here."""
REVISION: Final = "org.opencontainers.image.revision"
"""The label that says of which commit an image is; whoever builds on it inherits that."""
WITHOUT_PASSPORT: Final = ("dev",)
"""Stages that an image may reach before the gate has judged it."""


def publish(
    delivery: Delivery,
    name: str,
    reference: str = BUILT,
    *,
    gate: Path = GATE,
    directory: Path | None = None,
    plan: bool = False,
) -> Outcome:
    """Push an image of this machine to the registry of a stage, under its commit.

    Args:
        delivery: where to.
        name: of the stage.
        reference: the image.
        gate: the gate's verdict, for the passport.
        directory: the work tree of the commit; by default this one.
        plan: change nothing.

    Raises:
        HarnessError: the commit, the image, the login, the tag or the verdict is refused.
    """
    stage = delivery.stage(name)
    if stage.name == "production":
        raise WrongInputError(
            expected="an image that comes to production from a stage before it",
            seen="publish, which would push one from this machine",
            next_command="matomo-harness promote production",
        )
    commit = pushed_commit(directory or Path.cwd())
    image = images.given(reference, "--image")
    _require_fit(image, commit)
    verdict = _verdict(gate, image, needed=stage.name not in WITHOUT_PASSPORT)
    reasons = _reasons(verdict, image, delivery)
    if reasons and stage.name in WITHOUT_PASSPORT:
        verdict = None
    elif reasons:
        raise BrokenPromiseError(
            expected=f"a green verdict of the whole gate on {image.reference}",
            seen="; ".join(reasons),
            next_command=f"make gate IMAGE={image.reference}",
        )
    # Only a warning: where no registry is in reach, a delivery is rehearsed with such an image.
    on_substitute = (ON_A_SUBSTITUTE,) if images.is_on_substitute(image) else ()
    warnings = (*on_substitute, *(f"no passport: {reason}" for reason in reasons))
    key = passport.signing_key()
    _require_key(stage, key)
    require_skopeo()
    registry = stage.registry
    config = _config_of(image)
    there = registry.manifest(commit)
    if there and not _is(there, image, config):
        if before := _published_before(stage, there, commit):
            return before
        raise _taken(registry, commit, there, image)
    steps = [f"push {image.reference} ({image.digest}) as {registry.name}:{commit}"]
    if there:
        steps = [f"nothing to push: {registry.name}:{commit} is this image"]
    if verdict and key:
        steps.append(f"sign the gate's verdict of {verdict['about']['time']}, and store it beside")
    if plan:
        where = registry.by_digest(there.digest) if there else f"{registry.name}:{commit}"
        digest = there.digest if there else ""
        return Outcome(stage.name, where, tuple(steps), digest, commit, warnings=warnings)
    manifest = there or _push(image, config, registry, commit)
    file = ""
    if verdict and key:
        made = _passport(verdict, registry, manifest, image, key, delivery)
        passport.store(made, registry, manifest)
        file = str(passport.write(made, passport.DIRECTORY, manifest.digest))
    where = registry.by_digest(manifest.digest)
    return Outcome(stage.name, where, tuple(steps), manifest.digest, commit, file, warnings)


def _require_fit(image: Image, commit: str) -> None:
    """Refuse an image for another machine, or of another commit."""
    found = engine().images.get(image.id)
    platform = (inspected(found, "Os"), inspected(found, "Architecture"))
    if platform != PLATFORM:
        raise WrongInputError(
            expected=f"an image for {'/'.join(PLATFORM)}, which the service runs",
            seen=f"{image.reference} for {platform[0]}/{platform[1]}",
            next_command="make dist-dev on a machine of that kind",
        )
    label = found.labels.get(REVISION, "")
    # `git describe` writes the commit alone, or a tag before it.
    if label and label != "unknown" and not _is_of(label, commit):
        is_ours = OWNER_LABEL in found.labels
        raise WrongInputError(
            expected=f"an image of the commit {commit}, which will be its tag",
            seen=f"{image.reference} was built from {label}"
            + ("" if is_ours else f", as its label {REVISION} says, or its base's does"),
            next_command="make dist-dev"
            if is_ours
            else f'docker build --label {REVISION}="$(git rev-parse HEAD)" …',
        )


def _is_of(label: str, commit: str) -> bool:
    if label.endswith("-dirty"):
        return False
    described = label.rpartition("-g")[2]
    is_commit = len(described) >= 7 and all(sign in "0123456789abcdef" for sign in described)
    return commit.startswith(described[: len(commit)]) if is_commit else True


def _config_of(image: Image) -> str:
    """Return the digest of an image's configuration, which is the same wherever it is pushed.

    It is the image's id, but not in containerd's store, as of Docker 29: there an id is a
    manifest's digest, and what is pushed gets another manifest.
    """
    if not inspected(engine().images.get(image.id), "Descriptor"):
        return image.id
    with _archive(image) as archive, tarfile.open(archive) as tar:
        (listed,) = json.loads(_content(tar, "manifest.json"))
        return digest_of(_content(tar, listed["Config"]))


def _content(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    return file.read() if file else b""


def _is(manifest: Manifest, image: Image, config: str) -> bool:
    """Whether a manifest in a registry is of an image."""
    return bool({manifest.config, manifest.digest} & {image.id, config})


def _published_before(stage: OpenStage, there: Manifest, commit: str) -> Outcome | None:
    """Return what was published of a commit before; None where it needs a passport, and has none.

    A workflow that is run again builds another image of the same commit, on another machine.
    """
    where = stage.registry.by_digest(there.digest)
    vouched = ""
    if stage.name not in WITHOUT_PASSPORT:
        with contextlib.suppress(BrokenPromiseError):
            stored = passport.stored(stage.registry, there.digest)
            digests = [there.digest, there.config]
            _, vouched = judge.best(stored, digests, stage.delivery, whenever=False)
        if not vouched:
            return None
    return Outcome(
        stage.name,
        where,
        (f"nothing to push: {where} is a build of {commit}",),
        there.digest,
        commit,
        warnings=(f"what was built here is another build of {commit}, and stays here",),
    )


def _taken(registry: Registry, tag: str, there: Manifest, image: Image) -> WrongInputError:
    return WrongInputError(
        expected=f"the tag {tag} of {registry.name} to be free, or to name this image",
        seen=f"it names {short(there.digest)}, with another content than {image.reference}"
        f" ({image.digest})",
        next_command="make a new commit; or delete that image, if nothing runs it",
    )


@contextlib.contextmanager
def _archive(image: Image) -> Iterator[Path]:
    """Yield the image as a file that `docker load` takes."""
    with reaper.directory("image") as directory:
        archive = directory / "image.tar"
        with step(f"Taking {image.reference} from the engine"), archive.open("wb") as file:
            for chunk in engine().api.get_image(image.reference):
                file.write(chunk)
        yield archive


def _push(image: Image, config: str, registry: Registry, tag: str) -> Manifest:
    with _archive(image) as archive:
        push(archive, registry, tag)
    manifest = registry.manifest(tag)
    if not manifest or not _is(manifest, image, config):
        seen = f"{short(manifest.digest)}, with another content" if manifest else "nothing"
        raise WrongInputError(
            expected=f"{registry.name}:{tag} to be what was pushed a moment ago",
            seen=f"{seen}: somebody else moved the tag",
            next_command="give the repository immutable tags, then the same command",
        )
    return manifest


# -- the passport ---------------------------------------------------------------------------------


def _verdict(gate: Path, image: Image, *, needed: bool) -> dict[str, Any] | None:
    """Return the gate's verdict on `image`; None where there is none, and none is needed.

    Raises:
        WrongInputError: there is none, or it is another image's.
    """
    try:
        verdict: dict[str, Any] = json.loads(gate.read_text())
        judged = verdict["about"].get("image id", "") if "judged_by" in verdict else ""
    except (OSError, ValueError, LookupError, AttributeError):
        verdict, judged = {}, ""
    if judged == image.id:
        return verdict
    if not needed:
        return None
    seen = f"{short(judged)} judged" if judged else "no verdict on an image"
    raise WrongInputError(
        expected=f"the gate's verdict on {image.reference} ({image.digest}) in {gate}",
        seen=seen,
        next_command=f"make gate IMAGE={image.reference}",
    )


def _reasons(verdict: dict[str, Any] | None, image: Image, delivery: Delivery) -> list[str]:
    """Return why no stage would take a passport of this verdict, before anything is pushed."""
    if verdict is None:
        return []
    draft = Passport(passport.statement(verdict, image.reference, image.id), b"")
    return judge.against(draft, [image.id], judge.Requirements.of(delivery))


def _require_key(stage: OpenStage, key: Path | None) -> None:
    if key is None and stage.name not in WITHOUT_PASSPORT:
        raise WrongInputError(
            expected=f"a key that signs the passport, as [{stage.name}] needs one",
            seen=f"{passport.KEY} is not set",
            next_command=f"{passport.KEY}=~/.ssh/id_ed25519 make publish-{stage.name}",
        )


def _passport(
    verdict: dict[str, Any],
    registry: Registry,
    manifest: Manifest,
    image: Image,
    key: Path,
    delivery: Delivery,
) -> Passport:
    """Return the passport of an image: the one that it has, or a new one.

    Raises:
        HarnessError: the key cannot sign or is not trusted, or there is no syft.
    """
    for made in passport.stored(registry, manifest.digest):
        if made.about.get("time") == verdict["time"]:
            with contextlib.suppress(BrokenPromiseError):  # its key is not trusted any more
                judge.best([made], [manifest.digest], delivery, whenever=False)
                return made
    sbom = passport.bill_of_materials(image.id) if delivery.content.passport.sbom else b""
    text = passport.statement(verdict, registry.name, manifest.digest, sbom)
    made = Passport(text, passport.sign(text, key), sbom)
    judge.best([made], [manifest.digest], delivery, whenever=False)
    return made
