"""A passport vouches for one image, today; each reason against it is refused by its name."""

import dataclasses
import io
import json
import re
import subprocess
import tarfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from matomo_harness.errors import BrokenPromiseError, HarnessError, WrongInputError
from matomo_harness.gate import report
from matomo_harness.gate.catalogue import ALL, PROMISES, read_policy, waivers_of
from matomo_harness.gate.core.check import Check, Status
from matomo_harness.gate.core.runner import Result, is_promised
from matomo_harness.gate.core.verdict import verdict
from matomo_harness.operate.delivery import judge, passport, publish, verify
from matomo_harness.operate.delivery.passport import Passport
from matomo_harness.operate.delivery.registry import digest_of
from matomo_harness.operate.delivery.service import EcsService
from matomo_harness.operate.delivery.stages import Delivery
from matomo_harness.policy import judged_by
from matomo_harness.policy.delivery import DELIVERY_FILE, Stage
from matomo_harness.runtime import images
from matomo_harness.runtime.images import Image
from matomo_harness.settings import OWNER_LABEL

DIGEST = f"sha256:{'a' * 64}"
IMAGE_ID = f"sha256:{'b' * 64}"
FAILING = "masking.ipv4_of_a_new_visitor"


@dataclasses.dataclass
class Desk:
    """Where passports are made: policy, waivers, keys.

    Args:
        root: the directory.
    """

    root: Path

    @property
    def delivery(self) -> Delivery:
        """The rules."""
        return Delivery.read(self.root / "delivery.toml")

    def gate(self, *red: str) -> dict[str, Any]:
        """Return a verdict, as the gate writes it."""
        policy, waivers = read_policy(self.delivery.policy), waivers_of(self.delivery.policy)

        def status(check: Check) -> Status:
            if check.id in red:
                return Status.FAILED
            return Status.PASSED if is_promised(check, policy) else Status.NOT_PROMISED

        results = [Result(check, status(check), "this", "that", 0.1) for check in ALL]
        about = {"image": "matomo:1", "image id": IMAGE_ID, "Matomo": "5.3.1"}
        judged = verdict(results, policy, waivers)
        given = judged_by(policy, waivers)
        return report.write(judged, about, self.root / "gate", (), PROMISES, given)

    def passport(
        self, gate: dict[str, Any] | None = None, *, key: str = "key", sbom: bytes = b""
    ) -> Passport:
        """Return a signed passport of a verdict."""
        text = passport.statement(gate or self.gate(), "registry/matomo", DIGEST, sbom)
        return Passport(text, passport.sign(text, self.root / key), sbom)

    def make_key(self, name: str) -> str:
        """Make a key; return the line that names it as trusted."""
        words = ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(self.root / name)]
        subprocess.run(["ssh-keygen", *words], check=True)
        return f"{name}@example.org {(self.root / f'{name}.pub').read_text()}"

    def waive(self, check: str, until: date) -> None:
        """Waive a check."""
        text = f'[[waiver]]\ncheck = "{check}"\nreason = "r"\nowner = "o"\nuntil = {until}\n'
        (self.root / "waivers.toml").write_text(text)

    def judge(self, *passports: Passport, digest: str = DIGEST, whenever: bool = False) -> str:
        """Return who vouches for the image."""
        _, name = judge.best(passports, [digest], self.delivery, whenever=whenever)
        return name


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk with one trusted key."""
    (tmp_path / "delivery.toml").write_text('[stage]\nregistry = "r:1"\nrepository = "m"\n')
    (tmp_path / "policy.toml").write_text("[masking]\nbytes = 2\n")
    new = Desk(tmp_path)
    (tmp_path / "allowed_signers").write_text(new.make_key("key"))
    return new


def refused(desk: Desk, *passports: Passport, **more: Any) -> str:
    with pytest.raises(BrokenPromiseError) as error:
        desk.judge(*passports, **more)
    return f"{error.value.expected} {error.value.seen}"


def test_a_green_verdict_vouches_for_its_image(desk: Desk) -> None:
    assert desk.judge(desk.passport()) == "key@example.org"


def test_the_image_is_known_by_its_id_as_well(desk: Desk) -> None:
    assert desk.judge(desk.passport(), digest=IMAGE_ID) == "key@example.org"


def test_a_passport_is_a_statement_of_in_toto(desk: Desk) -> None:
    said = desk.passport().statement
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["subject"] == [{"name": "registry/matomo", "digest": {"sha256": "a" * 64}}]
    assert said["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    predicate = said["predicate"]
    assert predicate["result"] == "PASSED"
    assert FAILING in predicate["passedTests"]
    assert (
        predicate["configuration"][0]["digest"]["sha256"]
        == read_policy(desk.delivery.policy).digest
    )


def test_anybody_can_verify_it_by_hand(desk: Desk) -> None:
    """The files are what docs/howto/promote-a-build.md gives to ssh-keygen."""
    made = desk.passport()
    path = passport.write(made, desk.root / "passports", DIGEST)
    with path.open("rb") as text:
        words = ["-Y", "verify", "-n", "matomo-passport", "-I", "key@example.org"]
        files = ["-f", str(desk.root / "allowed_signers"), "-s", f"{path}.sig"]
        subprocess.run(["ssh-keygen", *words, *files], stdin=text, check=True)
    assert passport.read(path) == made


def test_a_passport_that_is_half_made_is_none_and_hides_no_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = desk.root / "passports"
    monkeypatch.setattr(passport, "DIRECTORY", directory)
    made = desk.passport()
    path = passport.write(made, directory, DIGEST)
    half = directory / "half" / path.name
    half.parent.mkdir()
    half.write_text("{}")
    assert verify._passports(None, [DIGEST], None) == [made]

    def full(_path: Path, _content: bytes) -> int:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        passport.write(made, directory, DIGEST)
    assert not path.exists()


def test_the_statement_is_written_after_its_signature(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, written = desk.passport(sbom=b"{}"), list[str]()
    monkeypatch.setattr(Path, "write_bytes", lambda path, _: written.append(path.name))
    passport.write(made, desk.root / "passports", DIGEST)
    assert written[-1] == passport.TEXT
    assert sorted(written[:-1]) == sorted([passport.SBOM, passport.SIGNATURE])


# -- what a service runs --------------------------------------------------------------------------

JOB_DIGEST = f"sha256:{'c' * 64}"


def ecs(**images: str) -> EcsService:
    """Return a service of ECS with a job, by the image of each container of the job."""
    account = MagicMock()
    containers = [{"name": name, "image": image} for name, image in images.items()]
    account.client.return_value.describe_task_definition.return_value = {
        "taskDefinition": {"containerDefinitions": containers}
    }
    where = Stage(
        account="1" * 12,
        region="eu-central-1",
        repository="m",
        cluster="c",
        service="s",
        jobs=("archiver",),
    )
    return EcsService(account, where)


def test_a_job_runs_the_image_of_its_container_or_of_the_stages_repository() -> None:
    own = f"{'1' * 12}.dkr.ecr.eu-central-1.amazonaws.com/m"
    assert ecs(log="log:1", matomo=f"r/m@{JOB_DIGEST}").jobs() == {"archiver": JOB_DIGEST}
    assert ecs(log="log:1", archive=f"{own}@{JOB_DIGEST}").jobs() == {"archiver": JOB_DIGEST}
    assert ecs(matomo="r/m:latest").jobs() == {"archiver": ""}


@pytest.mark.parametrize(("digest", "names"), [(JOB_DIGEST, "redeploy stage"), ("", "archiver")])
def test_what_a_job_would_run_is_verified_with_the_service(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, digest: str, names: str
) -> None:
    service = MagicMock()
    service.running.return_value = [DIGEST]
    service.jobs.return_value = {"archiver": digest}
    monkeypatch.setattr(verify, "service_of", lambda _: service)
    monkeypatch.setattr(verify, "_passports", lambda *_: [desk.passport()])
    with pytest.raises(BrokenPromiseError) as refused:
        verify.verify_service(desk.delivery, "stage")
    assert names in str(refused.value)
    service.jobs.return_value = {"archiver": DIGEST}
    assert [one.digest for one in verify.verify_service(desk.delivery, "stage")] == [DIGEST]


def test_a_service_that_is_scaled_to_nothing_is_not_waited_for() -> None:
    service = ecs(matomo="r/m:latest")
    client = service.account.client.return_value  # type: ignore[attr-defined]
    done = {"id": "d", "rolloutState": "COMPLETED"}
    found = {"status": "ACTIVE", "desiredCount": 0, "deployments": [done]}
    client.describe_services.return_value = {"services": [found]}
    client.get_paginator.return_value.paginate.return_value = [{"taskArns": []}]
    service._wait("d", DIGEST, MagicMock())


# -- what is published ----------------------------------------------------------------------------


@pytest.mark.parametrize("descriptor", [None, {"digest": DIGEST}])
def test_an_image_is_known_by_its_configuration_in_every_store(
    monkeypatch: pytest.MonkeyPatch, descriptor: object
) -> None:
    """In containerd's store, an image's id is a digest that no registry has."""
    content, image = b'{"os": "linux"}', Image("m:1", JOB_DIGEST, "given")
    saved = io.BytesIO()
    with tarfile.open(fileobj=saved, mode="w") as tar:
        listed = json.dumps([{"Config": "blobs/sha256/1"}]).encode()
        for name, text in (("blobs/sha256/1", content), ("manifest.json", listed)):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    engine = MagicMock()
    engine.return_value.images.get.return_value.attrs = {"Descriptor": descriptor}
    engine.return_value.api.get_image.return_value = [saved.getvalue()]
    monkeypatch.setattr(publish, "engine", engine)
    config = publish._config_of(image)
    assert config == (digest_of(content) if descriptor else JOB_DIGEST)
    assert publish._is(MagicMock(config=config, digest=DIGEST), image, config)
    assert not publish._is(MagicMock(config="another", digest="another"), image, config)


def test_an_image_that_a_tag_names_is_of_its_commit_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def git(*words: str) -> str:
        by = ("-c", "user.name=a", "-c", "user.email=a@b.example")
        command = ["git", *by, *words]
        ended = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
        return ended.stdout.strip()

    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "One")
    git("tag", "--annotate", "v1", "--message", "One")
    monkeypatch.setattr(images, "ROOT", tmp_path)
    label = images.revision("--long")
    assert label == f"v1-0-g{git('rev-parse', '--short=12', 'HEAD')}"
    assert publish._is_of(label, git("rev-parse", "--short=12", "HEAD"))
    assert not publish._is_of(label, "0123456789ab")


@pytest.mark.parametrize(
    ("labels", "helps"),
    [({OWNER_LABEL: "matomo-harness"}, "make dist-dev"), ({}, "docker build --label")],
    ids=["ours", "of somebody whose base has a label"],
)
def test_of_an_image_of_another_commit_it_says_how_to_build_it(
    monkeypatch: pytest.MonkeyPatch, labels: dict[str, str], helps: str
) -> None:
    engine = MagicMock()
    found = engine.return_value.images.get.return_value
    found.attrs = {"Os": "linux", "Architecture": "amd64"}
    found.labels = {"org.opencontainers.image.revision": "0123456789abcdef" * 2, **labels}
    monkeypatch.setattr(publish, "engine", engine)
    image = Image("m:1", DIGEST, "given")
    publish._require_fit(image, "0123456789ab")
    with pytest.raises(WrongInputError, match="was built from 0123456789abcdef") as refused:
        publish._require_fit(image, "ba9876543210")
    assert helps in refused.value.next_command


# -- each refusal ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ('namespaces="git"', r"does not \(.*not permitted for use in signature namespace"),
        ('valid-before="20200101"', "another key.*key has expired"),
    ],
)
def test_a_key_that_may_sign_no_passport_today_is_no_text_that_was_changed(
    desk: Desk, options: str, words: str
) -> None:
    name, _, key = (desk.root / "allowed_signers").read_text().partition(" ")
    (desk.root / "allowed_signers").write_text(f"{name} {options} {key}")
    said = refused(desk, desk.passport())
    assert re.search(words, said, re.DOTALL)
    assert "changed" not in said


def test_a_name_with_a_space_in_it_signs(desk: Desk) -> None:
    key = (desk.root / "allowed_signers").read_text().partition(" ")[2]
    (desk.root / "allowed_signers").write_text(f'"Release Manager" {key}')
    assert desk.judge(desk.passport()) == "Release Manager"


def test_no_passport(desk: Desk) -> None:
    assert "no passport" in refused(desk)


def test_another_digest(desk: Desk) -> None:
    assert "other digest" in refused(desk, desk.passport(), digest=f"sha256:{'c' * 64}")


def test_a_list_of_what_is_in_the_image_that_is_left_out(desk: Desk) -> None:
    path = passport.write(desk.passport(sbom=b"{}"), desk.root / "passports", DIGEST)
    assert desk.judge(passport.read(path)) == "key@example.org"
    path.with_name(passport.SBOM).unlink()
    assert "no sbom.cdx.json beside it" in refused(desk, passport.read(path))


def test_another_policy(desk: Desk) -> None:
    made = desk.passport()
    (desk.root / "policy.toml").write_text("[masking]\nbytes = 3\n")
    assert "other policy" in refused(desk, made)


def test_other_waivers(desk: Desk) -> None:
    made = desk.passport()
    desk.waive(FAILING, date.today() + timedelta(days=9))
    assert "other waivers" in refused(desk, made)


def test_a_waiver_that_holds_is_no_reason(desk: Desk) -> None:
    desk.waive(FAILING, date.today() + timedelta(days=9))
    made = desk.passport(desk.gate(FAILING))
    assert made.statement["predicate"]["result"] == "WARNED"
    assert desk.judge(made)


def test_a_waiver_that_expired_since(desk: Desk) -> None:
    desk.waive(FAILING, date.today() + timedelta(days=9))
    gate = desk.gate(FAILING)
    # The same, judged three days ago with a waiver that held until yesterday.
    until = date.today() - timedelta(days=2)
    desk.waive(FAILING, until)
    then = datetime.now(UTC) - timedelta(days=3)
    given = judged_by(read_policy(desk.delivery.policy), waivers_of(desk.delivery.policy))
    made = desk.passport({**gate, "time": then.isoformat(), "judged_by": given})
    said = refused(desk, made)
    assert f"waiver expired: that of {FAILING} held until {until}" in said
    assert "other waivers" not in said


def test_a_verdict_that_is_too_old(desk: Desk) -> None:
    then = datetime.now(UTC) - timedelta(days=15, minutes=1)
    made = desk.passport({**desk.gate(), "time": then.isoformat()})
    assert "too old: 15 days, and 14 are allowed" in refused(desk, made)


def test_a_verdict_from_the_future(desk: Desk) -> None:
    then = datetime.now(UTC) + timedelta(days=2)
    made = desk.passport({**desk.gate(), "time": then.isoformat()})
    assert "from the future" in refused(desk, made)


def test_a_key_that_is_not_trusted(desk: Desk) -> None:
    desk.make_key("another")
    assert "another key" in refused(desk, desk.passport(key="another"))


def test_a_signature_for_something_else(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(passport, "NAMESPACE", "git")
        made = desk.passport()
    assert "another text" in refused(desk, made)


@pytest.mark.parametrize("place", [0, 200, -3])
def test_a_passport_that_was_edited_by_one_byte(desk: Desk, place: int) -> None:
    made = desk.passport()
    text = bytearray(made.text)
    text[place] ^= 1
    edited = dataclasses.replace(made, text=bytes(text))
    assert "it was changed after it was signed" in refused(desk, edited)


def test_a_red_gate(desk: Desk) -> None:
    said = refused(desk, desk.passport(desk.gate(FAILING)))
    assert "red gate" in said
    assert FAILING in said


def test_a_check_that_the_policy_requires_and_that_was_skipped(desk: Desk) -> None:
    required = "[gate]\nrequired = ['masking.*']\n[masking]\nbytes = 2\n"
    (desk.root / "policy.toml").write_text(required)
    gate = desk.gate()
    assert desk.judge(desk.passport(gate))
    for check in gate["checks"]:
        if check["id"] == FAILING:
            check["status"] = "skip"
    assert f"skipped check: the policy requires {FAILING}" in refused(desk, desk.passport(gate))
    gate["checks"] = [c for c in gate["checks"] if not c["id"].startswith("masking.")]
    assert "requires masking.*, and no such check is in it" in refused(desk, desk.passport(gate))


def test_a_gate_that_was_not_whole(desk: Desk) -> None:
    gate = {**desk.gate(), "not_examined": {"not chosen": 200}}
    assert "not the whole gate: 200 checks" in refused(desk, desk.passport(gate))


def test_a_gate_that_proved_nothing(desk: Desk) -> None:
    gate = desk.gate()
    for check in gate["checks"]:
        check["status"] = "skip"
    assert "nothing was proven" in refused(desk, desk.passport(gate))


def test_another_list_of_what_is_in_the_image(desk: Desk) -> None:
    made = desk.passport(sbom=b"{}")
    assert desk.judge(made)
    other = dataclasses.replace(made, sbom=b"[]")
    assert "other sbom.cdx.json" in refused(desk, other)


def test_a_statement_of_another_kind(desk: Desk) -> None:
    document = {**desk.passport().statement, "predicateType": "https://slsa.dev/provenance/v1"}
    text = json.dumps(document).encode()
    made = Passport(text, passport.sign(text, desk.root / "key"))
    assert "a statement of another kind" in refused(desk, made)


@pytest.mark.parametrize("text", [b"[]", b"{", b'{"predicate": {}}'])
def test_what_is_no_statement_at_all(desk: Desk, text: bytes) -> None:
    made = Passport(text, passport.sign(text, desk.root / "key"))
    assert "passport" in refused(desk, made)


def test_one_of_several_that_holds_is_enough(desk: Desk) -> None:
    desk.make_key("another")
    red = desk.passport(desk.gate(FAILING))
    assert desk.judge(desk.passport(key="another"), red, desk.passport())


def test_the_way_back_takes_an_old_passport_but_no_other_image(desk: Desk) -> None:
    then = datetime.now(UTC) - timedelta(days=400)
    old = desk.passport({**desk.gate(), "time": then.isoformat()})
    (desk.root / "policy.toml").write_text("[masking]\nbytes = 3\n")
    assert desk.judge(old, whenever=True)
    said = refused(desk, old, whenever=True, digest=f"sha256:{'c' * 64}")
    assert "other digest" in said
    red = desk.passport(desk.gate(FAILING))
    assert "red gate" in refused(desk, red, whenever=True)


# -- wrong input ----------------------------------------------------------------------------------


def test_nobody_is_trusted(desk: Desk) -> None:
    made = desk.passport()
    (desk.root / "allowed_signers").unlink()
    with pytest.raises(WrongInputError, match="who may sign"):
        desk.judge(made)


def test_the_variable_for_the_key_names_no_file(tmp_path: Path) -> None:
    assert passport.signing_key({}) is None
    with pytest.raises(WrongInputError, match="no such file"):
        passport.signing_key({passport.KEY: str(tmp_path / "none")})


def test_a_file_that_is_no_key_cannot_sign(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("no key")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(WrongInputError, match="to sign"):
        passport.sign(b"text", tmp_path / "key")


def test_a_passport_without_its_signature(tmp_path: Path) -> None:
    (tmp_path / "passport.json").write_text("{}")
    with pytest.raises(HarnessError, match=r"passport\.json\.sig beside it"):
        passport.read(tmp_path / "passport.json")


def test_the_reference_names_placeholders() -> None:
    with pytest.raises(WrongInputError, match="the placeholder 222222222222"):
        Delivery.read(DELIVERY_FILE).stage("production")
