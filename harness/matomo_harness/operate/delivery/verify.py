"""Whether what runs, or lies in a registry, is what was vouched for."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from matomo_harness import extra
from matomo_harness.errors import BrokenPromiseError, HarnessError, WrongInputError
from matomo_harness.operate.delivery import judge, login, passport
from matomo_harness.operate.delivery.passport import Passport
from matomo_harness.operate.delivery.registry import DIGEST, Registry
from matomo_harness.operate.delivery.service import service_of
from matomo_harness.operate.delivery.stages import Delivery, OpenStage
from matomo_harness.policy.delivery import Stage


@dataclass(frozen=True)
class Voucher:
    """An image that somebody vouched for.

    Args:
        image: what was asked about.
        digest: of the image.
        signed_by: who vouches.
        time: when the gate judged.
        matomo: version of Matomo.
        checks: how many checks passed.
    """

    image: str
    digest: str
    signed_by: str
    time: str
    matomo: str
    checks: int


def verify(
    delivery: Delivery, what: str, *, file: Path | None = None, whenever: bool = False
) -> Voucher:
    """Say whether an image or a container is what was vouched for.

    Args:
        delivery: with the rules, and who may sign.
        what: an image in a registry, or an image or a container of this machine.
        file: its passport; by default the one beside the image, or in reports/passport.
        whenever: whether a passport that is too old, or of another policy, is enough.

    Raises:
        WrongInputError: an address, which has no digest; or there is no such image.
        BrokenPromiseError: nobody vouches for it.
    """
    if "://" in what:
        raise WrongInputError(
            expected="an image, a container, or --service and a stage: they have a digest",
            seen=f"{what}: no address says which image answers there",
            next_command="matomo-harness verify --service production",
        )
    registry, digests = _found(delivery, what)
    passports = _passports(registry, digests, file)
    if not passports and not registry:
        # An engine has the image by itself: what lies beside it stays where it was pulled from.
        passports = _beside(delivery, digests[0])
    return _vouched(delivery, what, digests, passports, whenever=whenever)


def verify_service(
    delivery: Delivery, name: str, *, file: Path | None = None, whenever: bool = False
) -> list[Voucher]:
    """Say whether all that a stage runs is what was vouched for, and its jobs would run the same.

    Raises:
        WrongInputError: nothing runs.
        BrokenPromiseError: nobody vouches for one of the images, or a job would run another one.
    """
    stage = delivery.stage(name)
    service = service_of(stage)
    running = service.running()
    if not running:
        raise WrongInputError(
            expected=f"{service.name} to run something",
            seen="nothing",
            next_command=f"matomo-harness redeploy {name}",
        )
    jobs = service.jobs()
    if unknown := [job for job, digest in jobs.items() if not digest]:
        raise BrokenPromiseError(
            expected=f"each job of {service.name} to name its image by digest",
            seen=f"{', '.join(unknown)}, which would run what a tag means then",
            next_command=f"matomo-harness redeploy {name}",
        )
    if others := [job for job, digest in jobs.items() if digest not in running]:
        raise BrokenPromiseError(
            expected=f"each job of {service.name} to have an image that the service runs",
            seen=f"{', '.join(others)}: another one, as after a deployment that took too long",
            next_command=f"matomo-harness redeploy {name}",
        )
    return [
        _vouched(
            *(delivery, stage.registry.by_digest(digest), [digest]),
            _passports(stage.registry, [digest], file),
            whenever=whenever,
        )
        for digest in running
    ]


def _vouched(
    delivery: Delivery, what: str, digests: list[str], passports: list[Passport], *, whenever: bool
) -> Voucher:
    found, signed_by = judge.best(passports, digests, delivery, whenever=whenever)
    about = found.about
    passed = sum(status == "pass" for status in about["checks"].values())
    return Voucher(what, digests[0], signed_by, about["time"], about["matomo"], passed)


def _found(delivery: Delivery, what: str) -> tuple[Registry | None, list[str]]:
    """Return the registry that an image lies in, if any, and the digests that name it."""
    host = what.partition("/")[0]
    if "/" in what and ("." in host or ":" in host or host == "localhost"):
        registry, reference = _in_registry(delivery, what)
        manifest = registry.manifest(reference)
        if manifest is None:
            raise WrongInputError(
                expected=f"an image {what}",
                seen="the registry has none of this name",
                next_command=f"skopeo list-tags docker://{registry.name}",
            )
        return registry, [manifest.digest, *filter(None, [manifest.config])]
    return None, _on_this_machine(what)


def _in_registry(delivery: Delivery, what: str) -> tuple[Registry, str]:
    name, _, reference = what.partition("@")
    named, _, tag = name.rpartition(":")
    if named and "/" not in tag:
        name = named
    else:  # no tag: the number behind the colon is a port's
        tag = "latest"
    reference = reference or tag
    host, _, repository = name.partition("/")
    for stage_name, stage in delivery.content.stages:
        if stage.name == name:
            return delivery.stage(stage_name).registry, reference
    # One that delivery.toml does not name, perhaps beside one that it does, of the same authority.
    known = next((one for _, one in delivery.content.stages if one.host == host), None)
    if known:
        other = Stage(**{**known.model_dump(), "repository": repository})
        return OpenStage(delivery, "dev", other).registry, reference
    # The login in the environment is for the registries of delivery.toml, and for nobody else.
    return Registry(host, repository, login.of_this_machine(host, {})), reference


def _on_this_machine(what: str) -> list[str]:
    """Return the digests of an image or a container of the engine.

    Raises:
        WrongInputError: there is neither.
    """
    extra.require_engine_libraries()
    from docker.errors import APIError, ImageNotFound, NotFound

    from matomo_harness.runtime.engine import engine

    with contextlib.suppress(NotFound, APIError):
        image = engine().containers.get(what).attrs["Image"]
        return [str(image), *_registry_digests(str(image))]
    with contextlib.suppress(ImageNotFound, APIError):
        image = engine().images.get(what).id
        return [str(image), *_registry_digests(str(image))]
    raise WrongInputError(
        expected="a container or an image of this machine, or an image with its registry",
        seen=f"{what}, which is neither",
        next_command="docker ps, or docker images",
    )


def _registry_digests(image: str) -> list[str]:
    named = _names_by_digest(image)
    return [digest for name in named if DIGEST.fullmatch(digest := name.rpartition("@")[2])]


def _names_by_digest(image: str) -> list[str]:
    """Return what registries call an image of this machine, which was pulled from there."""
    from matomo_harness.runtime.engine import engine

    return list(engine().images.get(image).attrs.get("RepoDigests") or [])


def _beside(delivery: Delivery, image: str) -> list[Passport]:
    """Return what lies beside an image of this machine in the stages that it was pulled from."""
    stages = {stage.name: name for name, stage in delivery.content.stages}
    for named in _names_by_digest(image):
        name, _, digest = named.rpartition("@")
        # The engine leaves Docker Hub's own name out.
        stage = stages.get(name) or stages.get(f"docker.io/{name}")
        if stage and (found := passport.stored(delivery.stage(stage).registry, digest)):
            return found
    return []


def _passports(registry: Registry | None, digests: list[str], file: Path | None) -> list[Passport]:
    if file:
        return [passport.read(file)]
    found = passport.stored(registry, digests[0]) if registry else []
    if found:
        return found
    here = list(_of_this_machine())
    return [one for one in here if _is_about(one, digests)]


def _of_this_machine() -> Iterator[Passport]:
    """Yield the passports here; one that lacks a part says nothing of others."""
    for path in passport.DIRECTORY.glob(f"*/{passport.TEXT}"):
        with contextlib.suppress(WrongInputError):
            yield passport.read(path)


def _is_about(one: Passport, digests: list[str]) -> bool:
    with contextlib.suppress(HarnessError, LookupError, ValueError, TypeError):
        return bool({*one.digests, one.about.get("image_id")} & set(digests))
    return False
