"""What a stack adds to compose.yml for an image that is not the reference."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from matomo_harness.errors import UnsupportedEnvironmentError, WrongInputError
from matomo_harness.matomo.image import OFFICIAL, ImageProfile
from matomo_harness.operate import compose, prepare, stack_image
from matomo_harness.operate.stack import Stack
from matomo_harness.operate.stack_image import StackImage
from matomo_harness.policy import deployment
from matomo_harness.policy.deployment import DeploymentFile

KNOWN = {"MATOMO_DATABASE_HOST": "db", "MATOMO_DATABASE_PASSWORD": "a$b"}


def theirs(**seen: object) -> StackImage:
    profile = dataclasses.replace(OFFICIAL, **seen)  # type: ignore[arg-type]
    return StackImage(profile, DeploymentFile(), is_reference=False)


def test_what_an_image_needs_is_declared_beside_the_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(stack_image.POLICY, "")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "deployment.toml").touch()
    assert stack_image.declared() is None
    with stack_image.declared_beside(theirs / "policy.toml"):
        assert stack_image.declared() == theirs / "deployment.toml"
    (tmp_path / "deployment.toml").touch()
    with stack_image.declared_beside(None):
        assert stack_image.declared() == Path("deployment.toml")
    monkeypatch.setenv(stack_image.POLICY, "theirs/policy.toml")
    assert stack_image.declared() == Path("theirs/deployment.toml")


def test_nothing_is_added_for_the_reference_image() -> None:
    reference = StackImage(OFFICIAL, deployment.read(), is_reference=True)
    assert reference.added(KNOWN) == {}
    assert reference.variables == deployment.read().variables
    assert [job.command for job in reference.jobs] == [deployment.read().archiver.command]


def test_port_archiver_and_tasks_are_what_was_seen() -> None:
    image = theirs(port=8080, archiver=("run.sh",), has_archiver=True, tasks=("tasks.sh",))
    assert image.variables["WEB_PORT"] == "8080"
    assert [job.command for job in image.jobs] == [("run.sh",), ("tasks.sh",)]
    assert image.archiver_command == "run.sh"


def test_the_load_balancer_speaks_tls_with_an_image_that_ends_it_itself() -> None:
    assert theirs(port=443, speaks_tls=True).variables["TARGET_OPTIONS"] == "ssl verify none"
    assert theirs().variables["TARGET_OPTIONS"] == ""


def test_variables_of_the_image_get_the_values_of_ours() -> None:
    image = theirs(named=(("database.host", "DB"), ("database.password", "SECRET")))
    assert image.added(KNOWN)["services"]["matomo"]["environment"] == {
        "DB": "db",
        # Compose would take $b for a variable of its own.
        "SECRET": "a$$b",
    }


def test_files_below_the_web_root_are_not_hidden() -> None:
    web = theirs(has_web_root_files=True).added(KNOWN)["services"]["matomo"]
    assert web["tmpfs"] == []
    assert [volume["target"] for volume in web["volumes"]] == [
        "/var/www/html",
        *(f"/var/www/html/{part}" for part in ("config", "misc", "js")),
    ]


def test_a_list_takes_the_place_of_that_of_compose_yml() -> None:
    text = stack_image.as_text(theirs(web_root_owner="33:33:750").added(KNOWN))
    assert "tmpfs: !override\n" in text
    assert "/var/www/html:exec,uid=33,gid=33,mode=750,size=512m" in text
    assert yaml.safe_load(text.replace("!override", ""))["services"]["efs"] == {"user": "0:0"}


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ({"web_root": "/srv/matomo"}, "it serves /srv/matomo"),
        ({"web_server": "php-fpm"}, "php-fpm alone"),
        ({"command": ()}, "an ENTRYPOINT that starts the web server"),
    ],
    ids=["web root", "fpm", "entrypoint"],
)
def test_what_a_stack_has_nothing_for_is_refused(seen: dict[str, object], said: str) -> None:
    profile: ImageProfile = dataclasses.replace(OFFICIAL, **seen)  # type: ignore[arg-type]
    with pytest.raises(WrongInputError) as refused:
        stack_image.require_supported(profile, "theirs:1")
    assert said in refused.value.seen
    assert "make gate IMAGE=theirs:1" in refused.value.next_command


@pytest.mark.parametrize(("version", "refused"), [((2, 24, 3), True), ((2, 24, 4), False)])
def test_a_compose_that_cannot_replace_lists_is_refused_by_its_version(
    version: tuple[int, ...], refused: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(prepare, "compose_version", lambda: version)
    stack = Stack(tmp_path)
    stack.directory.mkdir()
    image = theirs(has_web_root_files=True)
    if not refused:
        stack_image.write(image, KNOWN, stack)
        assert stack_image.OVERRIDE in compose.file_of_the_image(stack).read_text()
        return
    with pytest.raises(UnsupportedEnvironmentError) as refusal:
        stack_image.write(image, KNOWN, stack)
    assert refusal.value.seen == "2.24.3"
    assert not compose.file_of_the_image(stack).exists()
