"""A whole delivery on this machine: three stages in two accounts, a work tree, and who may sign."""

import contextlib
import hashlib
import io
import os
import secrets
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from docker.errors import NotFound

from matomo_harness.gate import report
from matomo_harness.gate.catalogue import ALL, PROMISES, read_policy, waivers_of
from matomo_harness.gate.core.check import Status
from matomo_harness.gate.core.runner import Result, is_promised
from matomo_harness.gate.core.verdict import verdict
from matomo_harness.operate.delivery import aws as own_aws
from matomo_harness.operate.delivery import passport
from matomo_harness.operate.delivery import service as delivery_service
from matomo_harness.operate.delivery.login import Login
from matomo_harness.operate.delivery.passport import KEY
from matomo_harness.operate.delivery.registry import Registry
from matomo_harness.operate.delivery.stages import Delivery
from matomo_harness.policy import judged_by
from matomo_harness.runtime import images, reaper
from matomo_harness.runtime.certificates import Authority
from matomo_harness.runtime.containers import HarnessContainer, network
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.shell import wait_for_answer
from matomo_harness.settings import OWNER_LABEL
from tests import programs
from tests.delivery.aws import REGION, Aws
from tests.delivery.front import Front
from tests.programs import Answer

WORK, PRODUCTION = "210987654321", "321098765432"
"""Two accounts."""
REPOSITORIES: Final = {"dev": "matomo-dev", "stage": "matomo-stage", "production": "matomo"}
ACCOUNTS: Final = {"dev": WORK, "stage": WORK, "production": PRODUCTION}
KEEPS: Final = 5
"""Production's lifecycle rule."""
POLICY: Final = "[masking]\nbytes = 2\n"
RED: Final = "masking.ipv4_of_a_new_visitor"
"""A check of that policy."""


class RegistryContainer(HarnessContainer):
    """Debian's registry, with TLS and one login; ready when the context is entered."""

    port = 5000

    def __init__(self, own_network: Any, authority: Authority) -> None:
        self.certificate = authority.issue("registry", "localhost", "127.0.0.1")
        self.login = Login("harness", secrets.token_urlsafe(12))
        files = {"/tls/cert.pem": self.certificate.chain, "/tls/key.pem": self.certificate.key}
        reference = images.service_image("registry").reference
        super().__init__(reference, own_network, "registry", None, files=files)
        self.with_envs(REGISTRY_USER=self.login.user, REGISTRY_PASSWORD=self.login.password)

    def start(self) -> "RegistryContainer":
        """Start, and wait until it answers."""
        super().start()
        wait_for_answer(self.get_wrapped_container(), "the registry", self.repository("a").tags)
        return self

    @property
    def host(self) -> str:
        """Host and port, as references begin with it."""
        return f"127.0.0.1:{self.published_port}"

    def repository(self, name: str) -> Registry:
        """Return a repository of it."""
        return Registry(self.host, name, self.login, str(self.certificate.authority))


@dataclass
class Service:
    """What takes ECS's place: it pulls what a service is to run, and makes a container of it.

    Args:
        aws: with the services.
        front: the registry.
        accounts: those to look after, by cluster.
    """

    aws: Aws
    front: Front
    accounts: Mapping[str, str]
    broken: set[str] = field(default_factory=set)
    """Digests of images whose tasks do not stay."""
    on_start: Callable[[str], None] | None = None
    """Called with the image of a new task; by default a container is made, and not started."""
    containers: list[Any] = field(default_factory=list)

    @contextlib.contextmanager
    def running(self) -> Iterator["Service"]:
        """Look after the services while the context is entered."""
        stop = threading.Event()
        tasks = [self.aws.tasks(account, cluster) for cluster, account in self.accounts.items()]

        def look() -> None:
            while not stop.wait(0.05):
                for each in tasks:
                    each.reconcile(lambda image, account=each.account: self._run(image, account))  # type: ignore[misc]

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()
            for container in self.containers:
                with contextlib.suppress(NotFound):
                    container.remove(force=True, v=True)

    def _run(self, image: str, account: str) -> str:
        digest = image.rpartition("@")[2]
        if not digest.startswith("sha256:"):
            return ""  # what ran before there was a delivery
        if digest in self.broken:
            raise RuntimeError("the container ended with exit code 1")
        # The engine asks 127.0.0.1 without a question of its certificate; the digest is checked.
        engine().images.pull(
            image, auth_config={"username": "AWS", "password": f"{account}-auth-token"}
        )
        try:
            self._start(image)
        finally:
            with contextlib.suppress(NotFound):  # its name, as the container has the image
                engine().images.remove(image, force=True)
        return digest

    def _start(self, image: str) -> None:
        if self.on_start:
            self.on_start(image)
            return
        labels = reaper.this_process().labels
        container = engine().containers.create(image, ["never", "started"], labels=labels)
        self.containers.append(container)


@dataclass
class Rehearsal:
    """A work tree with delivery.toml, and all that this leads to.

    Args:
        root: the work tree.
        aws: AWS's API.
        front: the registry.
        service: what takes ECS's place.
        patch: changes the environment of this test.
        unique: part of the names of its repositories and clusters.
        built: images that were made, to be removed.
    """

    root: Path
    aws: Aws
    front: Front
    service: Service
    patch: pytest.MonkeyPatch
    unique: str
    built: list[str] = field(default_factory=list)

    @property
    def delivery(self) -> Delivery:
        """What delivery.toml says now."""
        return Delivery.read(self.root / "delivery.toml")

    @property
    def gate(self) -> Path:
        """The gate's verdict."""
        return self.root / "reports/gate/gate.json"

    def registry(self, stage: str) -> Registry:
        """Return the repository of a stage."""
        return self.delivery.stage(stage).registry

    def cluster(self, stage: str) -> str:
        """Return the cluster of a stage."""
        return f"{stage}-{self.unique}"

    def commit(self, text: str = "") -> str:
        """Commit a change, push it, and return the commit."""
        (self.root / "change").write_text(text or secrets.token_hex(4))
        git(self.root, "add", "--all")
        git(self.root, "commit", "--quiet", "--message", "A change")
        git(self.root, "push", "--quiet", "origin", "HEAD")
        return git(self.root, "rev-parse", "--short=12", "HEAD")

    def image(self, text: str = "", commit: str = "", *labels: str) -> Image:
        """Make a small image of the commit that is checked out.

        Args:
            text: what is in it; by default something new.
            commit: that its label says, where it is to be another.
            labels: further ones, as NAME=VALUE.
        """
        revision = commit or git(self.root, "rev-parse", "--short=12", "HEAD")
        content = text or secrets.token_hex(8)
        name = f"matomo-harness/test-delivery:{hashlib.sha256(content.encode()).hexdigest()[:12]}"
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            # Not to be compressed away: a push of it can be cut.
            files = {"text": content.encode(), "filler": secrets.token_bytes(2**20)}
            for file, data in files.items():
                entry = tarfile.TarInfo(file)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
        repository, _, tag = name.partition(":")
        engine().api.import_image_from_data(
            archive.getvalue(),
            repository=repository,
            tag=tag,
            changes=[
                f"LABEL {OWNER_LABEL}=matomo-harness",
                f"LABEL org.opencontainers.image.revision={revision}",
                *(f"LABEL {label}" for label in labels),
            ],
        )
        self.built.append(name)
        found = images.local(name, "local")
        assert found
        return found

    def judge(self, image: Image, *red: str, skipped: str = "", only: int = 0) -> Path:
        """Write the verdict of a gate on `image`, as the gate writes it; return its file.

        Args:
            image: that was judged.
            red: ids of checks that failed.
            skipped: id of a check that was skipped.
            only: how many checks were chosen; 0 for all.
        """
        policy, waivers = read_policy(self.delivery.policy), waivers_of(self.delivery.policy)

        def status(check: Any) -> Status:
            if check.id == skipped:
                return Status.SKIPPED
            if check.id in red:
                return Status.FAILED
            return Status.PASSED if is_promised(check, policy) else Status.NOT_PROMISED

        chosen = ALL[:only] if only else ALL
        results = [Result(check, status(check), "this", "that", 0.1) for check in chosen]
        about = {"image": str(image), "image id": image.id, "Matomo": "5.3.1"}
        report.write(
            verdict(results, policy, waivers),
            about,
            self.gate.parent,
            (),
            PROMISES,
            judged_by(policy, waivers),
        )
        return self.gate

    def waive(self, check: str, days: int) -> None:
        """Waive a check for so many days."""
        until = date.today() + timedelta(days=days)
        (self.root / "waivers.toml").write_text(
            f'[[waiver]]\ncheck = "{check}"\nreason = "r"\nowner = "o"\nuntil = {until}\n'
        )

    def edit(self, before: str, after: str, file: str = "delivery.toml") -> None:
        """Replace text in a file of the work tree."""
        path = self.root / file
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))

    def harness(self, *arguments: str, **changes: str) -> Answer:
        """Run the command line in the work tree."""
        return programs.run(arguments, self.root, {**os.environ, **changes}, seconds=240)

    def sign_with(self, name: str) -> Path:
        """Have another key sign, which is made; return its public part."""
        key = self.root.parent / name
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)], check=True
        )
        self.patch.setenv(KEY, str(key))
        return key.with_suffix(".pub")


def git(directory: Path, *words: str) -> str:
    """Run git, as nobody in particular, and return what it says."""
    who = {
        f"GIT_{role}_{part}": "nobody@example"
        for role in ("AUTHOR", "COMMITTER")
        for part in ("NAME", "EMAIL")
    }
    said = subprocess.run(
        ["git", *words],
        cwd=directory,
        env={**os.environ, **who},
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout.strip()


@contextlib.contextmanager
def surroundings(directory: Path) -> Iterator[tuple[Aws, Front]]:
    """Start AWS's API and the registry; they serve many tests."""
    own_aws._session.cache_clear()  # another module of this process had an API of its own
    authority = Authority(directory / "authority.pem")
    with network() as own, RegistryContainer(own, authority) as registry, Aws() as aws:
        backend = f"https://{registry.host}"
        with Front(backend, registry.login, registry.certificate, aws) as front:
            yield aws, front


@contextlib.contextmanager
def rehearsal(
    directory: Path, aws: Aws, front: Front, patch: pytest.MonkeyPatch
) -> Iterator[Rehearsal]:
    """Begin a delivery: an empty one, in a new work tree."""
    front.on_request.clear()
    front.cut_after, front.refuses_logins = 0, False
    # Each test has names of its own: to make everything anew would take a second for each.
    unique = secrets.token_hex(3)
    for stage, name in REPOSITORIES.items():
        keep = KEEPS if stage == "production" else 0
        aws.make_repository(ACCOUNTS[stage], f"{name}-{unique}", immutable=True, keep=keep)
        cluster = f"{stage}-{unique}"
        aws.make_service(ACCOUNTS[stage], cluster, "matomo:before", (f"{cluster}-archiver",))
    root = _work_tree(directory, front.host, unique)
    shutil.copyfile(front.authority, root / "registry.pem")
    _commit_first(root, directory)
    for name, value in aws.environment.items():
        patch.setenv(name, value)
    for name in ("NO_PROXY", "no_proxy"):
        patch.setenv(name, "127.0.0.1,localhost")
    patch.delenv("AWS_PROFILE", raising=False)
    patch.setenv(KEY, str(directory / "key"))
    patch.chdir(root)
    patch.setattr(passport, "DIRECTORY", root / "reports/passport")
    patch.setattr(delivery_service, "POLL_SECONDS", 0.1)  # of AWS's time, not of ours
    clusters = {f"{stage}-{unique}": account for stage, account in ACCOUNTS.items()}
    service = Service(aws, front, clusters)
    begun = Rehearsal(root, aws, front, service, patch, unique)
    try:
        with service.running():
            yield begun
    finally:
        _remove_images(begun.built)


def _work_tree(directory: Path, host: str, unique: str) -> Path:
    root = directory / "work"
    root.mkdir()
    tables = [
        f'[{stage}]\naccount = "{ACCOUNTS[stage]}"\nregion = "{REGION}"\n'
        f'role = "arn:aws:iam::{ACCOUNTS[stage]}:role/delivery"\nregistry = "{host}"\n'
        f'authority = "registry.pem"\nrepository = "{name}-{unique}"\n'
        f'cluster = "{stage}-{unique}"\nservice = "matomo"\njobs = ["{stage}-{unique}-archiver"]\n'
        for stage, name in REPOSITORIES.items()
    ]
    (root / "delivery.toml").write_text("\n".join([*tables, "[passport]\nsbom = false\n"]))
    (root / "policy.toml").write_text(POLICY)
    (root / ".gitignore").write_text("reports/\n")
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(directory / "key")],
        check=True,
    )
    public = (directory / "key.pub").read_text()
    (root / "allowed_signers").write_text(f"release@example.org {public}")
    return root


def _commit_first(root: Path, directory: Path) -> None:
    git(directory, "init", "--quiet", "--bare", "origin.git")
    git(root, "init", "--quiet")
    git(root, "remote", "add", "origin", str(directory / "origin.git"))
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "The first")
    git(root, "push", "--quiet", "--set-upstream", "origin", "HEAD")


def _remove_images(names: list[str]) -> None:
    for name in names:
        with contextlib.suppress(NotFound):
            engine().images.remove(name, force=True)
