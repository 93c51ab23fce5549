"""`make clean` spares and names what lives; the tests have an engine and runs of their own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from matomo_harness.errors import ExitCode
from matomo_harness.operate.clean import FOLDER_LABEL
from matomo_harness.settings import OWNER_LABEL, ROOT, project_name
from tests.checkout import Checkout
from tests.programs import Answer

EMPTY_ARCHIVE = bytes(1024)
IMAGE = "matomo-harness/golden-matomo:1"
RUN = """
import sys
from matomo_harness.runtime import reaper
from matomo_harness.runtime.engine import engine
run = reaper.begin()
engine().containers.create("tiny:base", "x", name=sys.argv[1], labels=run.labels)
"""
# No watcher is started for it: what it leaves stays until another command removes it.
LIVING_RUN = f"{RUN}print(run.id, flush=True); sys.stdin.read()"
PRESERVED_RUN = f"{RUN}run.keep('instance', {{}}); print(run.id)"
FINDS_IMAGE = f"""
import sys
from matomo_harness.runtime import images
print(images.local("{IMAGE}", "local").id, flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Machine:
    """An engine with one image of the harness, and a directory for runs that has none yet."""

    client: docker.DockerClient
    address: str
    directory: Path

    def clean(self, checkout: Checkout, *options: str) -> Answer:
        """Run `matomo-harness clean` here."""
        answer = checkout.harness(
            "clean", *options, DOCKER_HOST=self.address, TMPDIR=str(self.directory)
        )
        assert answer.code == 0, answer.text
        return answer

    @contextmanager
    def program(
        self, text: str, *arguments: str, root: Path = ROOT
    ) -> Iterator[tuple["subprocess.Popen[str]", str]]:
        """Start a program of the checkout at `root`; yield it and the first line that it prints."""
        with subprocess.Popen(
            [sys.executable, "-c", text, *arguments],
            cwd=root,
            env={
                **os.environ,
                "DOCKER_HOST": self.address,
                "TMPDIR": str(self.directory),
                "PYTHONPATH": str(root / "harness"),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
            process.kill()

    def create_stack(self, owner: str, **labels: str) -> None:
        """Create a container and a volume as a local stack has them."""
        self.client.containers.create(
            "tiny:base", "x", name=f"{owner}-db-1", labels={OWNER_LABEL: owner, **labels}
        )
        self.client.volumes.create(f"{owner}_database", labels={OWNER_LABEL: owner})

    def create_image(self, *changes: str, **name: str) -> None:
        """Make an image that carries the label of the harness."""
        label = f"LABEL {OWNER_LABEL}=matomo-harness"
        self.client.api.import_image_from_data(EMPTY_ARCHIVE, changes=[label, *changes], **name)

    @property
    def containers(self) -> set[str]:
        """Names of all containers."""
        return {str(container.name) for container in self.client.containers.list(all=True)}

    @property
    def volumes(self) -> set[str]:
        """Names of all volumes."""
        return {str(volume.name) for volume in self.client.volumes.list()}

    @property
    def names(self) -> set[str]:
        """Names of all images."""
        return {name for image in self.client.images.list() for name in image.tags}


@pytest.fixture
def machine(small_engine: str, tmp_path: Path) -> Iterator[Machine]:
    """A machine that `clean` may do its worst to."""
    directory = tmp_path / "runs"
    directory.mkdir()
    with closing(docker.DockerClient(base_url=small_engine)) as client:
        machine = Machine(client, small_engine, directory)
        repository, _, tag = IMAGE.partition(":")
        machine.create_image(repository=repository, tag=tag)
        yield machine


@pytest.mark.slow(reason="an engine of its own, and two commands")
def test_a_living_run_keeps_its_containers_and_images(machine: Machine, checkout: Checkout) -> None:
    own, other = project_name(checkout.root), "matomo-1234abcd"
    machine.create_stack(own)
    machine.create_stack(other, **{FOLDER_LABEL: "/home/else/compose"})
    (checkout.root / ".local").mkdir()
    (checkout.root / ".local/stack.env").write_text("SALT=x\n")
    with machine.program(LIVING_RUN, "of-the-living") as (process, run):
        answer = machine.clean(checkout)

        assert machine.containers == {"of-the-living", f"{other}-db-1"}
        assert machine.volumes == {f"{other}_database"}
        assert IMAGE in machine.names
        assert not (checkout.root / ".local/stack.env").exists()
        lines = {line for line in answer.text.splitlines() if not line.endswith("...")}
        assert lines == {
            f"removed container {own}-db-1",
            f"removed volume {own}_database",
            f"left run {run}: it lives, process {process.pid} of {ROOT}",
            f"left container of-the-living: of the run {run}, which lives",
            f"left container {other}-db-1: of another checkout's stack {other}, in /home/else",
            f"left volume {other}_database: of another checkout's stack {other}, in /home/else",
            f"left image {IMAGE}: a run that lives may use it",
            "2 things removed, 5 left. Next: make up; or make clean ALL=1, which removes everything"
            " that the harness made on this machine, whoever uses it.",
        }
        process.kill()
        process.wait()
        machine.clean(checkout)
    assert machine.containers == {f"{other}-db-1"}, "what a dead run left is removed"
    assert IMAGE not in machine.names, "no living run uses it"


@pytest.mark.slow(reason="an engine of its own, and two commands")
def test_an_image_that_a_program_has_found_stays(machine: Machine, checkout: Checkout) -> None:
    with machine.program(FINDS_IMAGE):
        machine.clean(checkout)
        assert IMAGE in machine.names
    machine.clean(checkout)
    assert IMAGE not in machine.names


def test_an_image_of_another_checkout_stays(machine: Machine, checkout: Checkout) -> None:
    machine.create_image('CMD ["x"]', repository="matomo-harness/matomo", tag="unused")
    machine.client.images.get("matomo-harness/matomo:unused").tag("theirs:1")
    machine.client.containers.create(IMAGE, "x", name="web", labels={OWNER_LABEL: "matomo-1"})
    answer = machine.clean(checkout)
    assert f"left image {IMAGE}: container web uses it" in answer.text
    assert "removed image matomo-harness/matomo:unused" in answer.text
    assert "left image theirs:1: the name is somebody else's" in answer.text
    assert machine.names == {IMAGE, "theirs:1", "tiny:base"}


def test_a_build_keeps_all_images(machine: Machine, checkout: Checkout) -> None:
    # The engine's builder starts a container like this one, without labels.
    machine.client.containers.create(IMAGE, "x", name="step")
    machine.create_image('CMD ["x"]', repository="matomo-harness/debian", tag="trixie")
    answer = machine.clean(checkout)
    assert "left container step: of a build" in answer.text
    assert "matomo-harness/debian:trixie" in machine.names


@pytest.mark.slow(reason="an engine of its own, and two commands")
def test_a_preserved_run_goes_with_its_own_checkout(machine: Machine, checkout: Checkout) -> None:
    with machine.program(PRESERVED_RUN, "own", root=checkout.root) as (process, _):
        process.wait()
    with machine.program(PRESERVED_RUN, "of-another") as (process, run):
        process.wait()
    answer = machine.clean(checkout)
    assert machine.containers == {"of-another"}
    reason = f"of the kept run {run}, of {ROOT}; matomo-harness clean --run {run} removes it"
    assert f"left container of-another: {reason}" in answer.text
    machine.clean(checkout, "--run", run)
    assert not machine.containers


def test_all_removes_only_what_the_harness_made(machine: Machine, checkout: Checkout) -> None:
    client = machine.client
    machine.create_stack("somebody")
    client.containers.create("tiny:base", "x", name="theirs")
    client.volumes.create("theirs")
    client.images.get("tiny:base").tag("matomo-harness/theirs-by-name-only")
    machine.create_image('CMD ["x"]')  # without a name, as a failed build leaves it
    assert len(client.images.list()) == 3
    with machine.program(LIVING_RUN, "of-the-living"):
        answer = machine.clean(checkout, "--all")
    assert "left" not in answer.text
    assert machine.containers == {"theirs"}
    assert machine.volumes == {"theirs"}
    assert len(client.images.list()) == 1
    assert machine.names == {"tiny:base", "matomo-harness/theirs-by-name-only:latest"}


def test_all_leaves_what_somebody_started_from_an_image_of_ours(
    machine: Machine, checkout: Checkout
) -> None:
    machine.client.containers.create(IMAGE, "x", name="in-use")
    answer = machine.clean(checkout, "--all")
    assert machine.containers == {"in-use"}
    assert IMAGE in machine.names
    assert "left container in-use: of a build, or started by hand" in answer.text


def test_all_and_one_run_exclude_each_other(checkout: Checkout) -> None:
    # They are refused before an engine is asked: none is at this address.
    nowhere = f"unix://{checkout.root}/none.sock"
    answer = checkout.harness("clean", "--all", "--run", "x", DOCKER_HOST=nowhere)
    answer.refuses(ExitCode.WRONG_INPUT, "either --all or --run", "matomo-harness clean --run x")
