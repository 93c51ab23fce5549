"""A change goes from pull request to production and back: a real Matomo, a real gate."""

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from matomo_harness.operate import gate as gates
from matomo_harness.operate.delivery.copying import require_skopeo
from matomo_harness.operate.delivery.promote import promote
from matomo_harness.operate.delivery.publish import publish
from matomo_harness.operate.delivery.redeploy import redeploy, rollback
from matomo_harness.operate.delivery.service import service_of
from matomo_harness.operate.delivery.verify import verify_service
from matomo_harness.operate.gate_image import of_image
from matomo_harness.policy.deployment import DEPLOYMENT_FILE
from matomo_harness.runtime import images, reaper
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.shell import wait_for_answer
from matomo_harness.settings import OWNER_LABEL, RunSettings
from tests.delivery.aws import Aws
from tests.delivery.front import Front
from tests.delivery.rehearsal import ACCOUNTS, Rehearsal, git, rehearsal, surroundings

Build = Callable[[Rehearsal, str], Image]


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Aws, Front]]:
    """AWS's API and a registry."""
    require_skopeo()
    with surroundings(tmp_path_factory.mktemp("delivery")) as started:
        yield started


@pytest.fixture
def begun(
    around: tuple[Aws, Front], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Rehearsal]:
    """A delivery that begins, of Matomo; what a service is to run does run, and answers."""
    with rehearsal(tmp_path, *around, monkeypatch) as new:
        shutil.copyfile(DEPLOYMENT_FILE, new.root / DEPLOYMENT_FILE.name)
        monkeypatch.setattr(gates, "DIRECTORY", new.gate.parent)
        new.service.on_start = lambda image: _start(new, image)
        yield new


def _start(begun: Rehearsal, image: str) -> None:
    """Start a task, as ECS does, and wait until the load balancer would send people to it."""
    container = engine().containers.run(
        image, detach=True, labels=reaper.this_process().labels, ports={"80/tcp": ("127.0.0.1", 0)}
    )
    before = list(begun.service.containers)
    begun.service.containers.append(container)
    container.reload()
    (published, *_) = container.ports["80/tcp"] or []
    port = published["HostPort"]
    wait_for_answer(
        container,
        "Matomo",
        lambda: requests.get(f"http://127.0.0.1:{port}/matomo.js", timeout=30).raise_for_status(),
    )
    for old in before:  # each of the stages would have its own; one after the other is enough
        old.stop(timeout=1)


def _build(begun: Rehearsal, base: Image, change: str) -> Image:
    """Build the commit that is checked out: Matomo, with a change that no page shows."""
    folder = begun.root.parent / f"image-{change}"
    folder.mkdir()
    (folder / "Dockerfile").write_text(
        f"FROM {base.reference}\nRUN echo {change} > /usr/src/change\n"
    )
    commit = git(begun.root, "rev-parse", "--short=12", "HEAD")
    name = f"matomo-harness/test-delivery:{change}-{commit}"
    begun.built.append(name)
    labels = {OWNER_LABEL: "matomo-harness", "org.opencontainers.image.revision": commit}
    return images.build(folder, name, {}, labels)


def digest_in(begun: Rehearsal, stage: str, tag: str) -> str:
    manifest = begun.registry(stage).manifest(tag)
    assert manifest
    return manifest.digest


def prove(begun: Rehearsal, image: Image, settings: RunSettings) -> None:
    """Run the whole gate on an image, which has to be green."""
    chosen = dataclasses.replace(settings, image=image.reference)
    document = of_image(chosen, begun.delivery.policy, lambda _result: None)
    assert document["verdict"]["state"] == "proven", document["verdict"]


@pytest.mark.nightly(reason="the whole way; test_delivery.py has each step of it in every run")
def test_a_change_goes_to_production_and_back(
    begun: Rehearsal, matomo_image: Image, matomo_settings: RunSettings
) -> None:
    """The first image is the one that all tests have, and so it is installed; it has another label.

    That an image of another commit is refused is test_delivery.py's.
    """
    delivery, running = begun.delivery, begun.service
    begun.patch.setattr("matomo_harness.operate.delivery.publish._is_of", lambda *_: True)
    # The pull request: built, pushed to dev, run there, judged.
    git(begun.root, "checkout", "--quiet", "-b", "change")
    commit = begun.commit()
    image = matomo_image
    in_dev = publish(delivery, "dev", image.reference, gate=begun.gate)
    redeploy(delivery, "dev")
    assert service_of(delivery.stage("dev")).running() == [in_dev.digest]
    prove(begun, image, matomo_settings)
    # The merge: the same commit, and so the same image, to stage.
    git(begun.root, "checkout", "--quiet", "-B", "main")
    git(begun.root, "push", "--quiet", "origin", "HEAD")
    on_stage = publish(delivery, "stage", image.reference, gate=begun.gate)
    redeploy(delivery, "stage")
    # The release: by digest, to production.
    first = promote(delivery)
    redeploy(delivery, "production")
    assert in_dev.digest == on_stage.digest == first.digest == digest_in(begun, "dev", commit)
    (vouched,) = verify_service(delivery, "production")
    assert (vouched.digest, vouched.signed_by) == (first.digest, "release@example.org")
    assert vouched.checks > 0
    # The next one, which no check finds anything wrong with either.
    begun.commit()
    bad = _build(begun, matomo_image, "two")
    prove(begun, bad, matomo_settings)
    publish(delivery, "stage", bad.reference, gate=begun.gate)
    second = promote(delivery)
    redeploy(delivery, "production")
    production = service_of(delivery.stage("production"))
    assert production.running() == [second.digest]
    assert second.digest != first.digest
    # It is bad: back to the one before.
    assert rollback(delivery).digest == first.digest
    assert production.running() == [first.digest]
    (vouched,) = verify_service(delivery, "production")
    assert vouched.digest == first.digest
    assert set(ACCOUNTS) == {"dev", "stage", "production"}
    container = running.containers[-1]
    container.reload()
    assert container.attrs["Config"]["Image"].endswith(f"@{first.digest}")
    assert container.attrs["Image"] == image.id


def test_what_does_not_start_never_takes_the_place_of_what_runs(begun: Rehearsal) -> None:
    """A task that ends at once: ECS's circuit breaker, as the walk has it."""
    begun.commit()
    image = begun.image()
    published = publish(begun.delivery, "dev", image.reference, gate=begun.gate)
    with pytest.raises(Exception, match="the deployment failed"):
        redeploy(begun.delivery, "dev", reference=published.digest)
