"""An image goes from stage to stage by its digest, vouched for; what is wrong has a name.

The registry is a real one, with TLS; AWS's API is moto's (tests/delivery).
"""

import contextlib
import functools
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from matomo_harness.errors import (
    BrokenPromiseError,
    ExitCode,
    HarnessError,
    UnsupportedEnvironmentError,
    WrongInputError,
)
from matomo_harness.operate.delivery import aws, passport
from matomo_harness.operate.delivery.copying import copy, require_skopeo
from matomo_harness.operate.delivery.login import Login
from matomo_harness.operate.delivery.outcome import Outcome
from matomo_harness.operate.delivery.promote import promote
from matomo_harness.operate.delivery.publish import publish
from matomo_harness.operate.delivery.redeploy import redeploy, rollback
from matomo_harness.operate.delivery.registry import Manifest, Registry, digest_of
from matomo_harness.operate.delivery.releases import releases
from matomo_harness.operate.delivery.service import service_of
from matomo_harness.operate.delivery.verify import _in_registry, verify, verify_service
from matomo_harness.runtime import reaper
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.images import Image
from tests.delivery.aws import Aws
from tests.delivery.front import CutError, Front
from tests.delivery.rehearsal import PRODUCTION, RED, WORK, Rehearsal, git, rehearsal, surroundings


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Aws, Front]]:
    """AWS's API and a registry, for all tests of the module."""
    require_skopeo()
    with surroundings(tmp_path_factory.mktemp("delivery")) as started:
        yield started


@pytest.fixture
def begun(
    around: tuple[Aws, Front], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Rehearsal]:
    """A delivery that begins: a commit, and nothing in a registry."""
    with rehearsal(tmp_path, *around, monkeypatch) as new:
        yield new


def published(begun: Rehearsal, stage: str, image: Image) -> Outcome:
    return publish(begun.delivery, stage, image.reference, gate=begun.gate)


def on_stage(begun: Rehearsal) -> Outcome:
    """Publish a new commit, green, to stage."""
    begun.commit()
    image = begun.image()
    begun.judge(image)
    return published(begun, "stage", image)


def released(begun: Rehearsal) -> Outcome:
    """Release a new commit, and have production run it."""
    on_stage(begun)
    done = promote(begun.delivery)
    redeploy(begun.delivery, "production")
    return done


@contextlib.contextmanager
def refusal(kind: type[HarnessError], *words: str) -> Iterator[None]:
    """Expect an error of a kind, with these words in it."""
    with pytest.raises(HarnessError) as error:
        yield
    assert isinstance(error.value, kind), repr(error.value)
    for word in words:
        assert word in str(error.value)


# -- the way --------------------------------------------------------------------------------------


def test_an_image_reaches_production_with_the_same_digest(begun: Rehearsal) -> None:
    commit = begun.commit()
    image = begun.image()
    in_dev = published(begun, "dev", image)
    begun.judge(image)
    vouched = published(begun, "stage", image)
    promoted = promote(begun.delivery)
    assert in_dev.digest == vouched.digest == promoted.digest
    assert (in_dev.tag, vouched.tag, promoted.tag) == (commit, commit, "release-1")
    manifest = begun.registry("production").manifest("release-1")
    assert manifest
    assert manifest.digest == promoted.digest
    assert manifest.config == image.id


def test_the_passport_goes_with_the_image(begun: Rehearsal) -> None:
    done = on_stage(begun)
    promote(begun.delivery)
    (on_file,) = [passport.read(Path(done.passport))]
    for stage in ("stage", "production"):
        assert passport.stored(begun.registry(stage), done.digest) == [on_file]


@pytest.mark.slow(reason="syft")
def test_what_is_in_the_image_is_a_part_of_the_passport(begun: Rehearsal) -> None:
    begun.edit("sbom = false", "sbom = true")
    done = on_stage(begun)
    promote(begun.delivery)
    (made,) = passport.stored(begun.registry("production"), done.digest)
    assert json.loads(made.sbom)["bomFormat"] == "CycloneDX"
    assert made.about["sbom"]["digest"]["sha256"] == digest_of(made.sbom)[7:]


def test_dev_gets_a_passport_once_the_gate_has_judged(begun: Rehearsal) -> None:
    begun.commit()
    image = begun.image()
    assert published(begun, "dev", image).passport == ""
    begun.judge(image)
    again = published(begun, "dev", image)
    assert again.steps[0].startswith("nothing to push")
    assert again.passport
    assert published(begun, "dev", image).digest == again.digest
    assert len(passport.stored(begun.registry("dev"), again.digest)) == 1


def test_a_plan_changes_nothing(begun: Rehearsal) -> None:
    family = f"{begun.cluster('production')}-matomo"
    begun.commit()
    image = begun.image()
    begun.judge(image)
    planned = publish(begun.delivery, "stage", image.reference, gate=begun.gate, plan=True)
    assert "push" in planned.steps[0]
    assert begun.registry("stage").tags() == []
    published(begun, "stage", image)
    planned = promote(begun.delivery, plan=True)
    assert [step.split()[0] for step in planned.steps] == ["copy", "store", "name"]
    assert begun.registry("production").tags() == []
    promote(begun.delivery)
    before = begun.aws.image_of(PRODUCTION, family)
    assert "release-1" in redeploy(begun.delivery, "production", plan=True).steps[0]
    assert begun.aws.image_of(PRODUCTION, family) == before


def test_the_same_again_changes_nothing(begun: Rehearsal) -> None:
    on_stage(begun)
    first = promote(begun.delivery)
    again = promote(begun.delivery)
    assert again.steps == (f"nothing to promote: release-1 is {first.digest[7:19]}",)
    assert begun.registry("production").tags() == ["release-1"]


# -- publish refuses ------------------------------------------------------------------------------


def test_publish_refuses_what_others_cannot_see(begun: Rehearsal) -> None:
    image = begun.image()
    (begun.root / "change").write_text("not committed")
    with refusal(WrongInputError, "a work tree without changes", "change"):
        published(begun, "dev", image)
    begun.commit()
    (begun.root / "change").write_text("another")
    git(begun.root, "commit", "--quiet", "--all", "--message", "Not pushed")
    with refusal(WrongInputError, "on a remote branch", "git push"):
        published(begun, "dev", begun.image())


def test_publish_refuses_an_image_of_another_commit(begun: Rehearsal) -> None:
    begun.commit()
    with refusal(WrongInputError, "was built from 0123456789ab", "make dist-dev"):
        published(begun, "dev", begun.image(commit="0123456789ab"))


@pytest.mark.parametrize("stage", ["dev", "stage"])
def test_another_build_of_a_commit_takes_nothing_away(begun: Rehearsal, stage: str) -> None:
    """A workflow that failed behind its push is run again on another machine."""
    begun.commit()
    outcomes = []
    for image in (begun.image(), begun.image()):
        begun.judge(image)
        outcomes.append(published(begun, stage, image))
    first, again = outcomes
    assert (again.digest, again.tag) == (first.digest, first.tag)
    assert "another build" in again.warnings[-1]


def test_publish_refuses_a_tag_that_names_what_nobody_vouches_for(begun: Rehearsal) -> None:
    commit = on_stage(begun).tag
    # Judged by a policy that is not today's.
    (begun.root / "policy.toml").write_text("[masking]\nbytes = 3\n")
    # Else publish would refuse the change itself.
    git(begun.root, "update-index", "--assume-unchanged", "policy.toml")
    image = begun.image()
    begun.judge(image)
    with refusal(WrongInputError, f"the tag {commit}", "with another content"):
        published(begun, "stage", image)


def test_publish_refuses_production(begun: Rehearsal) -> None:
    with refusal(WrongInputError, "matomo-harness promote production"):
        published(begun, "production", begun.image())


def test_publish_refuses_a_red_gate_before_it_pushes(begun: Rehearsal) -> None:
    begun.commit()
    image = begun.image()
    begun.judge(image, RED)
    with refusal(BrokenPromiseError, "red gate", RED):
        published(begun, "stage", image)
    assert begun.registry("stage").tags() == []
    # Dev takes it: people may want to see what is wrong with it.
    (warning,) = published(begun, "dev", image).warnings
    assert "no passport: red gate" in warning


def test_publish_warns_of_an_image_that_is_built_on_a_substitute(begun: Rehearsal) -> None:
    begun.commit()
    image = begun.image("", "", "org.matomo-harness.substitute=matomo")
    (warning,) = published(begun, "dev", image).warnings
    assert "built on a substitute" in warning
    assert "MATOMO_BASE=" in warning


def test_publish_refuses_the_verdict_on_another_image(begun: Rehearsal) -> None:
    begun.commit()
    other, image = begun.image(), begun.image()
    begun.judge(other)
    with refusal(WrongInputError, "the gate's verdict on", "make gate IMAGE="):
        published(begun, "stage", image)
    begun.gate.unlink()
    with refusal(WrongInputError, "no verdict on an image"):
        published(begun, "stage", image)


def test_publish_refuses_to_stage_without_a_key(begun: Rehearsal) -> None:
    begun.commit()
    image = begun.image()
    begun.judge(image)
    begun.patch.delenv(passport.KEY)
    with refusal(WrongInputError, passport.KEY, "make publish-stage"):
        published(begun, "stage", image)


def test_publish_refuses_a_repository_that_there_is_not(begun: Rehearsal) -> None:
    begun.edit('repository = "matomo-dev-', 'repository = "another-')
    begun.commit()
    with refusal(WrongInputError, "the repository", "another-"):
        published(begun, "dev", begun.image())


# -- who one is -----------------------------------------------------------------------------------


def forget_logins(begun: Rehearsal) -> None:
    """Have the next command log in, as another process does; the tests share theirs."""
    begun.patch.setattr(aws, "_session", functools.cache(aws._session.__wrapped__))


def test_without_credentials_of_aws_nothing_is_tried(begun: Rehearsal) -> None:
    begun.commit()
    image = begun.image()
    forget_logins(begun)
    begun.patch.delenv("AWS_ACCESS_KEY_ID")
    begun.patch.delenv("AWS_SECRET_ACCESS_KEY")
    with refusal(WrongInputError, "credentials of AWS", "aws sts get-caller-identity"):
        published(begun, "dev", image)


def test_the_credentials_of_another_account_are_refused(begun: Rehearsal) -> None:
    forget_logins(begun)
    begun.edit(f'role = "arn:aws:iam::{WORK}:role/delivery"\n', "")
    begun.commit()
    with refusal(WrongInputError, f"credentials of the account {WORK}", "123456789012"):
        published(begun, "dev", begun.image())


def test_a_login_that_the_registry_refuses_is_named(begun: Rehearsal) -> None:
    begun.commit()
    image = begun.image()
    begun.front.refuses_logins = True
    with refusal(WrongInputError, "to take the login", "Not Authorized"):
        published(begun, "dev", image)


def test_a_login_that_is_refused_during_the_copy_is_named(begun: Rehearsal) -> None:
    on_stage(begun)

    def refuse(method: str, _path: str) -> None:
        begun.front.refuses_logins = begun.front.refuses_logins or method == "POST"

    begun.front.on_request.append(refuse)
    with refusal(WrongInputError, "to take the login"):
        promote(begun.delivery)


def test_no_login_is_in_an_argument_or_left_in_a_file(begun: Rehearsal, tmp_path: Path) -> None:
    begun.commit()
    image = begun.image()
    begun.patch.setenv("TMPDIR", str(tmp_path))
    begun.patch.setattr("tempfile.tempdir", None)
    seen: list[str] = []

    def look(_method: str, _path: str) -> None:
        for process in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                command = (process / "cmdline").read_text()
                if command.startswith("skopeo"):
                    seen.append(command)
                    authfile = command.partition("-authfile=")[2].partition("\0")[0]
                    assert os.stat(authfile).st_mode & 0o777 == 0o600
                    assert f"{WORK}-auth-token" not in (process / "environ").read_text()

    begun.front.on_request.append(look)
    published(begun, "dev", image)
    assert seen
    assert not [command for command in seen if "auth-token" in command]
    assert not list(tmp_path.glob("matomo-harness-login-*"))
    assert not list(reaper.RUNS.glob(f"{reaper.this_process().id}-login-*"))


# -- promote refuses ------------------------------------------------------------------------------


def test_a_promotion_onto_itself_is_refused(begun: Rehearsal) -> None:
    """As in a workflow whose source and target were both production's repository."""
    on_stage(begun)
    production = begun.delivery.content.production
    stage = begun.delivery.content.stage
    assert production
    assert stage
    begun.edit(f'repository = "{stage.repository}"', f'repository = "{production.repository}"')
    begun.edit(f'account = "{WORK}"', f'account = "{PRODUCTION}"')
    with refusal(WrongInputError, "a promotion onto itself", production.repository):
        promote(begun.delivery)
    with refusal(WrongInputError, "a promotion onto itself"):
        promote(begun.delivery, "production", source="production")


def test_source_and_target_mixed_up_are_refused(begun: Rehearsal) -> None:
    with refusal(WrongInputError, "mixed up", "promote production --from stage"):
        promote(begun.delivery, "stage", source="production")


def test_an_image_without_a_passport_is_refused(begun: Rehearsal) -> None:
    begun.commit()
    published(begun, "dev", begun.image())
    with refusal(BrokenPromiseError, "no passport"):
        promote(begun.delivery, source="dev")
    assert begun.registry("production").tags() == []


def test_an_image_that_there_is_not_is_refused(begun: Rehearsal) -> None:
    with refusal(WrongInputError, "never published"):
        promote(begun.delivery)


def test_the_passport_of_another_image_is_refused(begun: Rehearsal) -> None:
    done = on_stage(begun)
    (foreign,) = passport.stored(begun.registry("stage"), done.digest)
    begun.commit()
    other = published(begun, "dev", begun.image())
    manifest = begun.registry("dev").manifest(other.digest)
    assert manifest
    passport.store(foreign, begun.registry("dev"), manifest)
    with refusal(BrokenPromiseError, "other digest"):
        promote(begun.delivery, source="dev")


def test_a_passport_that_was_edited_by_one_byte_is_refused(begun: Rehearsal) -> None:
    begun.commit()
    image = begun.image()
    done = published(begun, "dev", image)
    manifest = begun.registry("dev").manifest(done.digest)
    assert manifest
    verdict = json.loads(begun.judge(image).read_text())
    text = passport.statement(verdict, "matomo", done.digest)
    signature = passport.sign(text, begun.root.parent / "key")
    edited = passport.Passport(text.replace(b"5.3.1", b"5.3.2"), signature)
    passport.store(edited, begun.registry("dev"), manifest)
    with refusal(BrokenPromiseError, "it was changed after it was signed"):
        promote(begun.delivery, source="dev")


def test_a_key_that_is_not_trusted_signs_in_vain(begun: Rehearsal) -> None:
    begun.commit()
    image = begun.image()
    begun.judge(image)
    begun.sign_with("another")
    with refusal(BrokenPromiseError, "another key"):
        published(begun, "stage", image)
    with refusal(BrokenPromiseError, "no passport"):
        promote(begun.delivery)


def test_another_policy_since_is_refused(begun: Rehearsal) -> None:
    done = on_stage(begun)
    begun.edit("bytes = 2", "bytes = 3", "policy.toml")
    with refusal(BrokenPromiseError, "other policy"):
        promote(begun.delivery, reference=done.tag)


def test_a_commit_that_changed_nothing_of_the_image_has_the_image_before(begun: Rehearsal) -> None:
    (begun.root / "image").mkdir()
    (begun.root / "image/Dockerfile").write_text("FROM one")
    done = on_stage(begun)
    begun.commit()
    assert promote(begun.delivery).digest == done.digest
    (begun.root / "image/Dockerfile").write_text("FROM two")
    another = begun.commit()
    with refusal(WrongInputError, another, "never published"):
        promote(begun.delivery)


def test_a_passport_of_a_key_that_went_is_made_anew(begun: Rehearsal) -> None:
    signers = begun.root.parent / "signers"
    shutil.copyfile(begun.root / "allowed_signers", signers)
    begun.edit("[passport]\n", f'[passport]\ntrusted = "{signers}"\n')
    done = on_stage(begun)
    public = begun.sign_with("of-today").read_text()
    signers.write_text(f"today@example.org {public}")
    with refusal(BrokenPromiseError, "another key"):
        promote(begun.delivery)
    publish(begun.delivery, "stage", begun.built[-1], gate=begun.gate)
    assert promote(begun.delivery).digest == done.digest


def test_a_tag_that_moves_in_between_is_refused(begun: Rehearsal) -> None:
    first = on_stage(begun)
    begun.aws.client("ecr", WORK).put_image_tag_mutability(
        repositoryName=begun.registry("stage").repository, imageTagMutability="MUTABLE"
    )
    dev = begun.image()
    other = published(begun, "dev", dev)
    moved = begun.registry("dev").manifest(other.digest)
    assert moved
    tag, stage = first.tag, begun.registry("stage")

    def move(method: str, path: str) -> None:
        if method == "POST" and begun.registry("production").repository in path:
            begun.front.on_request.clear()
            copy(begun.registry("dev"), other.digest, stage)
            stage.put_manifest(tag, moved)

    begun.front.on_request.append(move)
    with refusal(WrongInputError, f"the tag {tag}", f"moved to {other.digest[7:19]}"):
        promote(begun.delivery)
    assert begun.registry("production").tags() == []


@pytest.mark.slow(reason="three releases")
def test_of_two_promotions_at_once_one_wins(begun: Rehearsal) -> None:
    first = on_stage(begun)
    second = on_stage(begun)
    # Both have decided on the same number before either takes it.
    both = threading.Barrier(2, timeout=60)

    def wait(method: str, path: str) -> None:
        if method == "PUT" and path.endswith("/manifests/release-1"):
            both.wait()

    begun.front.on_request.append(wait)
    ended: dict[str, str] = {}

    def run(reference: str) -> None:
        try:
            ended[reference] = promote(begun.delivery, reference=reference).tag
        except HarnessError as error:
            ended[reference] = str(error)

    threads = [threading.Thread(target=run, args=(one.tag,)) for one in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    begun.front.on_request.clear()
    (winner,) = [tag for tag, said in ended.items() if said == "release-1"]
    (refused,) = [said for said in ended.values() if said != "release-1"]
    assert "another promotion took it at the same time" in refused
    (release,) = releases(begun.registry("production"))
    assert release.digest == {one.tag: one.digest for one in (first, second)}[winner]
    # The one that was refused comes next.
    (loser,) = [tag for tag in ended if tag != winner]
    assert promote(begun.delivery, reference=loser).tag == "release-2"


# -- cut ------------------------------------------------------------------------------------------


def test_a_push_that_is_cut_finishes_with_the_same_command(begun: Rehearsal) -> None:
    commit = begun.commit()
    image = begun.image()
    begun.front.cut_after = 100_000
    with refusal(UnsupportedEnvironmentError, "the whole image to arrive", "the same command"):
        published(begun, "dev", image)
    assert begun.front.cut_after == 0
    assert begun.registry("dev").manifest(commit) is None
    done = published(begun, "dev", image)
    manifest = begun.registry("dev").manifest(commit)
    assert manifest
    assert manifest.digest == done.digest


@pytest.mark.parametrize("part", ["/blobs/uploads/", "/manifests/sha256:", "/manifests/release-"])
def test_a_promotion_that_is_cut_finishes_with_the_same_command(
    begun: Rehearsal, part: str
) -> None:
    digest = on_stage(begun).digest

    def cut(method: str, path: str) -> None:
        if method in ("POST", "PUT") and part in path:
            begun.front.on_request.clear()
            raise CutError

    begun.front.on_request.append(cut)
    with refusal(UnsupportedEnvironmentError, "the same command"):
        promote(begun.delivery)
    assert not begun.front.on_request
    assert begun.registry("production").tags() == []
    assert promote(begun.delivery).digest == digest
    assert len(passport.stored(begun.registry("production"), digest)) == 1


# -- what runs ------------------------------------------------------------------------------------


def test_a_redeployment_runs_the_release_everywhere(begun: Rehearsal) -> None:
    family, archiver = (f"{begun.cluster('production')}-{name}" for name in ("matomo", "archiver"))
    before = begun.aws.client("ecs", PRODUCTION).describe_task_definition(taskDefinition=family)[
        "taskDefinition"
    ]
    done = released(begun)
    running = service_of(begun.delivery.stage("production")).running()
    assert running == [done.digest]
    for name in (family, archiver):
        assert begun.aws.image_of(PRODUCTION, name) == done.image
    after = begun.aws.client("ecs", PRODUCTION).describe_task_definition(taskDefinition=family)[
        "taskDefinition"
    ]
    # All else is as it was.
    assert after["containerDefinitions"][1] == before["containerDefinitions"][1]
    assert [after[key] for key in ("cpu", "memory")] == [before[key] for key in ("cpu", "memory")]


def test_the_same_image_is_deployed_anew(begun: Rehearsal) -> None:
    released(begun)
    client, cluster = begun.aws.client("ecs", PRODUCTION), begun.cluster("production")
    tasks = client.list_tasks(cluster=cluster)["taskArns"]
    redeploy(begun.delivery, "production")
    anew = client.list_tasks(cluster=cluster)["taskArns"]
    assert len(anew) == 1
    assert anew != tasks


@pytest.mark.nightly(reason="the wait for tasks that do not stay")
def test_new_tasks_that_do_not_stay_are_named(begun: Rehearsal) -> None:
    good = released(begun)
    bad = on_stage(begun)
    promote(begun.delivery)
    begun.service.broken.add(bad.digest)
    with refusal(BrokenPromiseError, "exit code 1", f"{good.digest[7:19]} runs"):
        redeploy(begun.delivery, "production")
    # An archiver of the image that did not stay would go on by itself.
    archiver = f"{begun.cluster('production')}-archiver"
    assert begun.aws.image_of(PRODUCTION, archiver) == good.image
    # The way back is from what was asked for, not from what ECS left running.
    assert rollback(begun.delivery).digest == good.digest
    # And the next one is from there.
    assert service_of(begun.delivery.stage("production")).wanted() == good.digest


def test_a_service_that_there_is_not_is_named(begun: Rehearsal) -> None:
    on_stage(begun)
    cluster = f'cluster = "{begun.cluster("production")}"\n'
    begun.edit(f'{cluster}service = "matomo"', f'{cluster}service = "m"')
    # The first image is there before what runs it.
    (warning,) = promote(begun.delivery).warnings
    assert "no active service" in warning
    with refusal(WrongInputError, f"{begun.cluster('production')}/m", "no active service"):
        redeploy(begun.delivery, "production")
    begun.edit('service = "m"', 'service = "matomo"\ncontainer = "web"')
    with refusal(WrongInputError, "a container web", "matomo, metrics"):
        redeploy(begun.delivery, "production")


@pytest.mark.slow(reason="three releases")
def test_a_rollback_goes_back_release_by_release(begun: Rehearsal) -> None:
    first, second, third = released(begun), released(begun), released(begun)
    production = service_of(begun.delivery.stage("production"))
    assert production.running() == [third.digest]
    assert rollback(begun.delivery).digest == second.digest
    assert production.running() == [second.digest]
    assert rollback(begun.delivery).digest == first.digest
    assert production.running() == [first.digest]
    with refusal(WrongInputError, "a release before"):
        rollback(begun.delivery)
    assert rollback(begun.delivery, to="release-3").digest == third.digest


def test_a_rollback_is_refused_to_what_nobody_vouched_for(begun: Rehearsal) -> None:
    released(begun)
    begun.commit()
    image = begun.image()
    production = begun.delivery.content.production
    assert production
    # Somebody pushed by hand.
    begun.edit('[dev]\naccount = "' + WORK, '[dev]\naccount = "' + PRODUCTION)
    dev = begun.delivery.content.dev
    assert dev
    begun.edit(f'repository = "{dev.repository}"', f'repository = "{production.repository}"')
    begun.edit(f"{WORK}:role/delivery", f"{PRODUCTION}:role/delivery")
    begun.commit()
    by_hand = published(begun, "dev", begun.image(image.reference))
    with refusal(BrokenPromiseError, "no passport"):
        rollback(begun.delivery, to=by_hand.digest)
    with refusal(BrokenPromiseError, "no passport"):
        redeploy(begun.delivery, "production", reference=by_hand.digest)


@pytest.mark.slow(reason="three releases")
def test_the_lifecycle_rule_is_warned_of_before_it_takes_the_way_back(begun: Rehearsal) -> None:
    """Production keeps five, passports counted; a rollback was forgotten: the first image runs."""
    first = released(begun)
    assert first.warnings == ()
    on_stage(begun)
    (warning,) = promote(begun.delivery, plan=True).warnings
    assert f"{first.digest[7:19]} expires with the next image" in warning
    assert "a rollback needs it" in warning
    promote(begun.delivery)
    production = begun.registry("production")
    assert begun.front.expire(PRODUCTION, production.repository) == []
    on_stage(begun)
    (warning,) = promote(begun.delivery).warnings
    assert f"{first.digest[7:19]} expires with this one: the lifecycle rule keeps" in warning
    # And so it comes.
    assert first.digest in begun.front.expire(PRODUCTION, production.repository)
    with refusal(WrongInputError, "a lifecycle rule removed it"):
        rollback(begun.delivery, to=first.digest)


# -- verify ---------------------------------------------------------------------------------------


def test_what_runs_is_what_was_vouched_for(begun: Rehearsal) -> None:
    done = released(begun)
    (vouched,) = verify_service(begun.delivery, "production")
    assert (vouched.digest, vouched.signed_by) == (done.digest, "release@example.org")
    # Somebody has production run another image.
    begun.commit()
    by_hand = published(begun, "dev", begun.image())
    redeploy(begun.delivery, "stage", reference=on_stage(begun).digest)
    assert verify_service(begun.delivery, "stage")
    assert verify(begun.delivery, done.image).digest == done.digest
    with refusal(BrokenPromiseError, "no passport"):
        verify(begun.delivery, by_hand.image)


def test_an_image_and_a_container_of_this_machine_are_verified(begun: Rehearsal) -> None:
    begun.commit()
    image, other = begun.image(), begun.image()
    begun.judge(image)
    file = Path(published(begun, "stage", image).passport)
    assert verify(begun.delivery, image.reference).digest == image.id
    labels = reaper.this_process().labels
    container = engine().containers.create(image.reference, ["never", "started"], labels=labels)
    try:
        assert verify(begun.delivery, str(container.name)).digest == image.id
        # Without a registry in reach, too.
        begun.front.refuses_logins = True
        assert verify(begun.delivery, str(container.name), file=file).digest == image.id
        with refusal(BrokenPromiseError, "other digest"):
            verify(begun.delivery, other.reference, file=file)
    finally:
        container.remove(force=True, v=True)
    shutil.rmtree(file.parent)
    with refusal(BrokenPromiseError, "no passport"):
        verify(begun.delivery, image.reference)


def test_the_login_of_the_environment_is_for_named_registries_alone(begun: Rehearsal) -> None:
    begun.patch.setenv("REGISTRY_USER", "harness")
    begun.patch.setenv("REGISTRY_PASSWORD", "a-password")
    digest = f"sha256:{64 * 'a'}"
    for tag in ("", ":1"):
        registry, reference = _in_registry(begun.delivery, f"else.example:5000/x/y{tag}@{digest}")
        assert (registry.host, registry.repository, reference) == (
            "else.example:5000",
            "x/y",
            digest,
        )
        assert registry.login is None
    assert _in_registry(begun.delivery, "else.example/x/y")[1] == "latest"


@pytest.mark.parametrize("what", ["https://analytics.example", "http://127.0.0.1/matomo.php"])
def test_an_address_alone_is_refused(begun: Rehearsal, what: str) -> None:
    answer = begun.harness("verify", what)
    answer.refuses(ExitCode.WRONG_INPUT, "no address says which image answers there", "--service")


# -- other registries, other targets --------------------------------------------------------------


def test_a_registry_without_referrers_lists_them_by_a_tag(around: tuple[Aws, Front]) -> None:
    """Debian's own, as it is: the tag is the distribution-spec's."""
    front = around[1]
    registry = Registry(front.backend, "plain/matomo", front.login, str(front.authority))
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2}
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config | {"digest": registry.put_blob(b"{}")},
        "layers": [],
    }
    image = Manifest(document["mediaType"], json.dumps(document).encode())  # type: ignore[arg-type]
    registry.put_manifest("one", image)
    made = [passport.Passport(text, b"signature") for text in (b"{}", b"[]")]
    for one in [*made, *made]:
        passport.store(one, registry, image)
    assert sorted(registry.tags()) == ["one", image.digest.replace(":", "-")]
    assert passport.stored(registry, image.digest) == made
    with refusal(WrongInputError, "to take the login"):
        Registry(front.backend, "plain/matomo", Login("a", "b"), str(front.authority)).tags()
    with refusal(UnsupportedEnvironmentError, "a certificate of", "authority"):
        Registry(front.backend, "plain/matomo", front.login).tags()


def test_another_registry_and_another_target(begun: Rehearsal, tmp_path: Path) -> None:
    """No AWS: the login is the environment's, and commands deploy."""
    runs = tmp_path / "runs"
    text = begun.root.joinpath("delivery.toml").read_text()
    passports = text[text.index("[passport]") :]
    stages = "".join(
        f'[{stage}]\nregistry = "{begun.front.backend}"\nauthority = "registry.pem"\n'
        f'repository = "{stage}/{tmp_path.parent.name}"\n'
        f'redeploy = ["sh", "-c", "echo $0 > {runs}", "{{image}}"]\nrunning = ["cat", "{runs}"]\n'
        for stage in ("stage", "production")
    )
    begun.root.joinpath("delivery.toml").write_text(stages + passports)
    login = begun.front.login
    begun.patch.setenv("REGISTRY_USER", login.user)
    begun.patch.setenv("REGISTRY_PASSWORD", login.password)
    done = on_stage(begun)
    promote(begun.delivery)
    assert redeploy(begun.delivery, "production").digest == done.digest
    assert runs.read_text().strip() == begun.delivery.stage("production").registry.by_digest(
        done.digest
    )
    assert verify_service(begun.delivery, "production")[0].digest == done.digest
    begun.edit(f"> {runs}", "> /dev/null")
    with refusal(BrokenPromiseError, "to run, as"):
        redeploy(begun.delivery, "stage", reference=on_stage(begun).digest)
    begun.patch.setenv("REGISTRY_PASSWORD", "another")
    with refusal(WrongInputError, "to take the login"):
        promote(begun.delivery)


# -- the command line -----------------------------------------------------------------------------


@pytest.mark.slow(reason="a program for each command")
def test_the_commands_say_what_they_did(begun: Rehearsal) -> None:
    begun.commit()
    image = begun.image()
    begun.judge(image)
    gate = ("--gate", str(begun.gate))
    answer = begun.harness("publish", "stage", "--image", image.reference, *gate)
    assert answer.code == ExitCode.OK, answer.text
    assert "Next: make redeploy-stage" in answer.text
    (file,) = re.findall(r"(?m)^passport (.+)$", answer.text)
    shutil.rmtree(begun.root.joinpath(file).parent)  # in the reports of the checkout that runs
    answer = begun.harness("promote", "--plan", "--json")
    assert json.loads(answer.text[answer.text.index("{") :])["tag"] == "release-1"
    assert begun.harness("promote").code == ExitCode.OK
    answer = begun.harness("redeploy", "prod")
    assert answer.code == ExitCode.OK, answer.text
    started = time.monotonic()
    answer = begun.harness("verify", "--service", "production")
    assert answer.code == ExitCode.OK, answer.text
    assert "is vouched for by release@example.org: Matomo 5.3.1" in answer.text
    print(f"verify took {time.monotonic() - started:.1f} s")  # noqa: T201
    answer = begun.harness("rollback")
    answer.refuses(ExitCode.WRONG_INPUT, "a release before")
    begun.harness("promote", "stage").refuses(ExitCode.WRONG_INPUT, "onto itself")
