"""The deployed image: what it carries, how it stops, and what its build refuses."""

import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from matomo_harness.errors import BrokenPromiseError, WrongInputError
from matomo_harness.matomo import ini, versions
from matomo_harness.matomo.container import WEB_ROOT
from matomo_harness.matomo.versions import BEYOND
from matomo_harness.runtime import images, reaper
from matomo_harness.runtime.containers import WebContainer, network
from matomo_harness.runtime.dedicated import DedicatedMatomo
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.instance import Instance
from matomo_harness.runtime.shell import OWN_CONFIG as CONFIG
from matomo_harness.settings import IMAGE_DIRECTORY, RunSettings
from tests import image_contents
from tests.image_contents import FoundFile

MIB = 2**20
Derive = Callable[..., Image]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of image/ to change."""
    copy = tmp_path / "image"
    shutil.copytree(IMAGE_DIRECTORY, copy, ignore=shutil.ignore_patterns("bases"))
    return copy


@pytest.fixture
def tag() -> Iterator[str]:
    """A tag for a build of this test, which is removed afterwards."""
    name = f"matomo-harness/test-build:{uuid.uuid4().hex}"
    yield name
    for found in engine().images.list(name):
        engine().images.remove(str(found.id), force=True)


@pytest.fixture
def derived(any_image: Image, tmp_path: Path, tag: str) -> Derive:
    """Build an image of some instructions on the one under test."""

    def derive(*instructions: str) -> Image:
        directory = tmp_path / "derived"
        directory.mkdir()
        (directory / "Dockerfile").write_text("\n".join((f"FROM {any_image.id}", *instructions)))
        return images.build(directory, tag, {}, {})

    return derive


@pytest.mark.all_versions(reason="the version is one of the labels")
def test_the_labels_say_what_the_image_is(matomo_image: Image, base: Image) -> None:
    labels = engine().images.get(matomo_image.id).labels
    prefix = "org.opencontainers.image"
    assert labels[f"{prefix}.version"] == images.code_version(matomo_image.reference)
    assert labels[f"{prefix}.base.name"] == base.reference
    assert labels[f"{prefix}.base.digest"] == base.id
    assert labels[f"{prefix}.licenses"] == "GPL-3.0-or-later"
    assert labels[f"{prefix}.title"]
    assert labels[f"{prefix}.description"]
    # A checkout without git may have built an image of the same files first, and knows neither.
    is_of_a_commit = labels[f"{prefix}.revision"] != "unknown"
    assert (f"{prefix}.created" in labels) is is_of_a_commit
    if is_of_a_commit:
        assert datetime.fromisoformat(labels[f"{prefix}.created"]).tzinfo


BUDGET = 5 * MIB
"""Bytes of our own layers, above the base's."""


def size_above(base: Image, image: Image) -> int:
    of_image, of_base = (engine().images.get(each.id).attrs["Size"] for each in (image, base))
    return int(of_image - of_base)


def test_own_layers_are_under_five_mebibytes(matomo_image: Image, base: Image) -> None:
    assert size_above(base, matomo_image) < BUDGET


def test_a_layer_that_is_too_large_is_over_the_budget(any_base: Image, derived: Derive) -> None:
    assert size_above(any_base, derived("RUN head -c 5M /dev/urandom > /usr/src/large")) > BUDGET


# -- what is in its files -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(any_image: Image) -> dict[str, FoundFile]:
    """All files of the image."""
    return image_contents.files(any_image.reference)


def open_to_all(files: dict[str, FoundFile]) -> list[str]:
    return sorted(path for path, file in files.items() if file.is_open_to_all)


@pytest.mark.slow(reason="all files of an image are read")
def test_no_file_of_the_image_is_open_to_all(files: dict[str, FoundFile]) -> None:
    assert len(files) > 10_000
    assert open_to_all(files) == []


@pytest.mark.nightly(reason="it proves the test beside it")
@pytest.mark.slow(reason="all files of an image are read")
def test_a_file_that_all_may_write_is_found(derived: Derive) -> None:
    image = derived("RUN chmod 666 /usr/local/bin/matomo-health && mkdir -m 777 /usr/src/open")
    found = open_to_all(image_contents.files(image.reference))
    assert [path.rstrip("/") for path in found] == ["usr/local/bin/matomo-health", "usr/src/open"]


@pytest.mark.slow(reason="all layers of an image are read")
def test_no_layer_and_no_step_of_the_build_has_a_secret(any_image: Image) -> None:
    assert image_contents.secrets(any_image.reference) == []


@pytest.mark.nightly(reason="it proves the test beside it")
@pytest.mark.slow(reason="all layers of an image are read")
def test_a_secret_that_a_later_layer_removes_is_found(derived: Derive) -> None:
    value = uuid.uuid4().hex
    image = derived(
        f"ENV BUILD_TOKEN={value}",
        f"RUN printf '[database]\\npassword = \"{value}\"\\n' > /root/config.ini.php",
        f"RUN echo '-----BEGIN PRIVATE KEY-----' > /root/key && echo {value} >> /root/key",
        "RUN rm /root/key /root/config.ini.php",
    )
    found = image_contents.secrets(image.reference)
    assert {place.partition(": ")[2] for place in found} >= {
        *("BUILD_TOKEN", "root/config.ini.php", "root/key")
    }
    assert value not in "".join(found)


# -- the same commit, the same files --------------------------------------------------------------

DIFFERENT: dict[str, str] = {}
"""Files of ours that two builds of one commit write differently, and why: none."""
DIFFERENT_IN_A_BASE = {
    "var/cache/ldconfig/aux-cache": "ldconfig's own: inodes and times of the libraries",
    "var/log/alternatives.log": "the time of each line",
    "var/log/apt/history.log": "the time of each line",
    "var/log/apt/term.log": "the time of each line",
    "var/log/dpkg.log": "the time of each line",
    "etc/shadow-": "the day on which an account was made",
    "etc/shadow": "the day on which an account was made",
}
"""Files of a substitute base, from Debian's packages of one day."""


def different(one: dict[str, FoundFile], other: dict[str, FoundFile]) -> set[str]:
    return {path for path in one.keys() | other.keys() if one.get(path) != other.get(path)}


@pytest.mark.slow(reason="an image is built twice, and all its files are read")
@pytest.mark.nightly(reason="an image is built twice, and all its files are read")
def test_two_builds_give_the_same_files(
    any_base: Image, files: dict[str, FoundFile], tree: Path, tag: str
) -> None:
    again = images.build_deployed(any_base, tag, directory=tree, is_cached=False)
    assert different(files, image_contents.files(again.reference)) == set(DIFFERENT)


@pytest.mark.nightly(reason="it proves the test beside it")
@pytest.mark.slow(reason="an image is built, and all its files are read")
def test_a_build_that_writes_its_time_is_another(
    any_base: Image, files: dict[str, FoundFile], tree: Path, tag: str
) -> None:
    dockerfile = tree / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "RUN date +%s%N > /usr/src/built\n")
    again = images.build_deployed(any_base, tag, directory=tree, is_cached=False)
    assert different(files, image_contents.files(again.reference)) == {"usr/src/built"}


@pytest.mark.nightly(reason="a base is built of some hundred packages")
@pytest.mark.timeout(1800)
@pytest.mark.slow(reason="a base is built of some hundred packages")
def test_a_substitute_base_is_the_same_by_each_build(any_base: Image, tag: str) -> None:
    if any_base.origin != "substitute":
        pytest.skip("the official base is built elsewhere")
    tested = versions.TESTED[RunSettings.from_environment().matomo_version]
    arguments = {"DEBIAN_BASE": images.debian_tag(), **tested.build_arguments}
    directory = images.BASES_DIRECTORY / "matomo"
    again = images.build(directory, tag, arguments, {}, is_cached=False)
    found = different(
        image_contents.files(any_base.reference), image_contents.files(again.reference)
    )
    assert found <= set(DIFFERENT_IN_A_BASE)


@pytest.mark.slow(reason="an image is built")
def test_a_plugin_folder_is_in_the_next_build(any_base: Image, tree: Path, tag: str) -> None:
    plugin = tree / "plugins" / "Licensed"
    plugin.mkdir()
    (plugin / "plugin.json").write_text('{"name": "Licensed", "version": "1.0.0"}')
    config = tree / "config" / "config.ini.php"
    config.write_text(config.read_text() + 'Plugins[] = "Licensed"\n')
    built = images.build_deployed(any_base, tag, directory=tree)
    assert '"1.0.0"' in images.run_once(
        built.reference, ["cat", "/usr/src/matomo/plugins/Licensed/plugin.json"]
    )


def test_a_listed_plugin_that_is_missing_fails_the_build(
    any_base: Image, tree: Path, tag: str
) -> None:
    config = tree / "config" / "config.ini.php"
    config.write_text(config.read_text() + 'Plugins[] = "Licensed"\n')
    with pytest.raises(WrongInputError, match="lists the plugin Licensed"):
        images.build_deployed(any_base, tag, directory=tree)


@pytest.mark.parametrize(
    "required",
    [
        f">={BEYOND}.0.0-b1",
        *(
            pytest.param(other, marks=pytest.mark.nightly(reason="one more build"))
            for other in (">=5.0.0-b1,<5.1.0-b1", ">=4.0.0,<5")
        ),
    ],
)
def test_a_plugin_for_another_matomo_fails_the_build(
    any_base: Image, tree: Path, tag: str, required: str
) -> None:
    described = tree / "plugins" / "NoUserIds" / "plugin.json"
    plugin = json.loads(described.read_text())
    described.write_text(json.dumps({**plugin, "require": {"matomo": required}}))
    with pytest.raises(WrongInputError, match="plugin NoUserIds requires matomo") as caught:
        images.build_deployed(any_base, tag, directory=tree)
    assert images.code_version(any_base.reference) in caught.value.seen


@pytest.mark.all_versions(reason="the plugins are the version's")
def test_an_optional_plugin_is_listed_where_the_image_has_it(matomo_image: Image) -> None:
    present = images.run_once(matomo_image.reference, ["ls", "/usr/src/matomo/plugins"]).split()
    config = images.run_once(
        matomo_image.reference, ["cat", "/usr/src/matomo-config/config.ini.php"]
    )
    listed = [entry.text for entry in ini.read(config).of("Plugins", "Plugins")]
    for plugin in ("TagManager", "CustomVariables"):
        assert (plugin in listed) == (plugin in present)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("redefining them in this file.", "is no comment, no [section] and no key = value"),
        ('force_ssl = "1', "config.ini.php: syntax error"),
    ],
)
def test_a_broken_line_of_the_configuration_fails_the_build(
    any_base: Image, tree: Path, tag: str, line: str, complaint: str
) -> None:
    config = tree / "config" / "config.ini.php"
    config.write_text(config.read_text() + line + "\n")
    with pytest.raises(WrongInputError, match=re.escape(complaint)):
        images.build_deployed(any_base, tag, directory=tree)


def test_a_configuration_without_its_guard_fails_the_build(
    any_base: Image, tree: Path, tag: str
) -> None:
    config = tree / "config" / "config.ini.php"
    config.write_text(config.read_text().removeprefix(ini.HEADER))
    with pytest.raises(WrongInputError, match="line 1 is no guard"):
        images.build_deployed(any_base, tag, directory=tree)


def test_the_backup_holds_what_an_image_cannot_bring_back(
    dedicated_matomo: DedicatedMatomo,
) -> None:
    shell = dedicated_matomo.shell
    for _ in range(2):  # the second replaces the first
        shell.run("backup-data.sh", "/tmp", user="root")
    listing = shell.run(
        "sh", "-c", "cd /tmp && ls -d config misc js matomo.js piwik.js config/config.ini.php"
    )
    assert len(listing.split()) == 6
    assert not shell.run("find", "/tmp", "-name", "*.new", "-o", "-name", "*.old")


def test_a_restore_leaves_the_files_of_the_code_alone(dedicated_matomo: DedicatedMatomo) -> None:
    shell = dedicated_matomo.shell
    shell.run("backup-data.sh", "/tmp", user="root")
    of_the_code = shell.read("config/global.ini.php")
    shell.run("sh", "-c", "echo '; older' > /tmp/config/global.ini.php", user="root")
    shell.run("restore-data.sh", "/tmp", user="root")
    assert shell.read("config/global.ini.php") == of_the_code


def test_a_missing_directory_of_a_backup_is_named(dedicated_matomo: DedicatedMatomo) -> None:
    with pytest.raises(BrokenPromiseError, match="mount EFS there"):
        dedicated_matomo.shell.run("backup-data.sh", "/nowhere", user="root")
    with pytest.raises(BrokenPromiseError, match="name the directory"):
        dedicated_matomo.shell.run("restore-data.sh", "/tmp", user="root")
    # The image has its own, which ends with the container.
    with pytest.raises(BrokenPromiseError, match="expected a mount at /mnt/efs"):
        dedicated_matomo.shell.run("backup-data.sh", user="root")


@pytest.mark.slow(reason="a backup waits for a file that stays empty")
def test_a_backup_of_half_a_configuration_leaves_the_last_one(
    dedicated_matomo: DedicatedMatomo,
) -> None:
    shell = dedicated_matomo.shell
    shell.run("backup-data.sh", "/tmp", user="root")
    sums = shell.run(
        "sh", "-c", "cd /tmp && sed -n 's/^file //p' backup-manifest.txt | sha256sum -c"
    )
    assert "config/config.ini.php: OK" in sums
    assert "matomo.js: OK" in sums
    whole = shell.read(shell.config)
    shell.write(shell.config, "")
    with pytest.raises(BrokenPromiseError, match="the last backup stays"):
        shell.run("backup-data.sh", "/tmp", user="root")
    assert shell.read("/tmp/config/config.ini.php") == whole
    # Another moment: it is whole again by the time that the copy is looked at.
    late = "(sleep 2; cp /tmp/config/config.ini.php config/config.ini.php) & backup-data.sh /tmp"
    shell.run("sh", "-c", late, user="root")
    assert shell.read("/tmp/config/config.ini.php") == whole


def test_a_damaged_backup_is_not_restored(dedicated_matomo: DedicatedMatomo) -> None:
    shell = dedicated_matomo.shell
    shell.run("sh", "-c", "mkdir -p misc/user && echo whole > misc/user/logo.png", user="root")
    shell.run("backup-data.sh", "/tmp", user="root")
    before = shell.read(shell.config)
    damage = "echo changed > /tmp/misc/user/logo.png; echo x > /tmp/config/config.ini.php"
    shell.run("sh", "-c", damage, user="root")
    with pytest.raises(BrokenPromiseError, match=r"misc/user/logo\.png: FAILED"):
        shell.run("restore-data.sh", "/tmp", user="root")
    assert shell.read(shell.config) == before


def test_the_log_has_queries_of_pages_only(
    dedicated_matomo: DedicatedMatomo,
) -> None:
    # Hits may come by any name: js/ is one of Matomo's own, and an alias would be another.
    logged, left_out = uuid.uuid4().hex, uuid.uuid4().hex
    for path in (
        f"index.php?module=API&logged={logged}",
        *(f"{name}?uid={left_out}" for name in ("matomo.php", "piwik.php", "js/", "js/index.php")),
        f"?module=API&token_auth={left_out}",
        f"index.php?module=Login&resetToken={left_out}",
    ):
        dedicated_matomo.web.session.headers["Referer"] = (
            f"{dedicated_matomo.url}/page?token={left_out}"
        )
        dedicated_matomo.web.ask(path)
    assert logged in dedicated_matomo.matomo.log
    assert left_out not in dedicated_matomo.matomo.log


def test_private_directories_are_closed_before_the_installation(any_image: Image) -> None:
    # Matomo writes rules of its own at the end of an installation; a restored one does not.
    with network() as own_network, WebContainer(any_image.reference, own_network, {}) as matomo:
        for path in ("config/config.ini.php", "config/global.ini.php", "tmp/", "lang/en.json"):
            assert matomo.web.get(path=path).status_code == 403, path


@pytest.mark.all_versions(reason="Matomo writes rules of its own")
def test_private_directories_are_closed_after_the_installation(matomo: Instance) -> None:
    for path in ("config/config.ini.php", "tmp/", "lang/en.json", "core/Version.php"):
        assert matomo.web.get(path=path).status_code == 403, path


@pytest.fixture
def volume() -> Iterator[str]:
    """A volume of this test, which outlives every container as EFS does."""
    made = engine().volumes.create(labels=reaper.this_process().labels)
    yield str(made.name)
    made.remove(force=True)


@pytest.mark.slow(reason="three containers of its own")
def test_a_live_configuration_outlives_the_container(any_image: Image, volume: str) -> None:
    for expected in ("; <?php exit;", "; a person was here"):
        with network() as own_network:
            matomo = WebContainer(any_image.reference, own_network, {})
            matomo.with_volume_mapping(volume, f"{WEB_ROOT}/config", "rw")
            with matomo:
                shell = matomo.shell
                assert shell.read(CONFIG).startswith(expected)
                assert shell.run("stat", "-c", "%U", "config", CONFIG).split() == ["www-data"] * 2
                shell.write(CONFIG, "; a person was here\n" + shell.read(CONFIG))


def test_code_of_another_version_on_a_volume_is_named(any_image: Image, volume: str) -> None:
    with network() as own_network:
        for expected in (False, True):
            matomo = WebContainer(any_image.reference, own_network, {})
            del matomo.tmpfs[WEB_ROOT]
            matomo.with_volume_mapping(volume, WEB_ROOT, "rw")
            with matomo:
                assert ("another version's on the volume" in matomo.log) == expected
                matomo.shell.write("core/Version.php", "<?php // older")


@pytest.mark.parametrize(
    "signal",
    ["SIGTERM", pytest.param("SIGWINCH", marks=pytest.mark.nightly(reason="a second signal"))],
)
def test_a_container_stops_cleanly(any_image: Image, signal: str) -> None:
    with network() as own_network, WebContainer(any_image.reference, own_network, {}) as matomo:
        container = matomo.get_wrapped_container()
        container.kill(signal)
        assert container.wait(timeout=10)["StatusCode"] == 0
