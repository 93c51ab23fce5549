"""The installed state is built once, whole, and anew when an input changes."""

import json
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from matomo_harness.errors import ExitCode, UnsupportedEnvironmentError
from matomo_harness.policy.deployment import DeploymentFile
from matomo_harness.runtime import images
from matomo_harness.runtime.dedicated import DedicatedMatomo
from matomo_harness.runtime.engine import engine
from matomo_harness.runtime.golden import (
    COMPILED,
    GOLDEN_LABEL,
    MADE_FROM_LABEL,
    Golden,
    database_tag,
    key_of,
    web_tag,
)
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.reaper import RUN_LABEL, Run, begin, end
from matomo_harness.runtime.shared import shared_servers
from tests.runs import wait_until_gone

PROGRAM = """
import sys
from matomo_harness.runtime import images, reaper
from matomo_harness.runtime.golden import golden
print(reaper.this_process().id, flush=True)
both = (images.local(reference, "given") for reference in sys.argv[1:])
print(golden(*both).web.id)
"""


@pytest.fixture
def changed(any_image: Image, tmp_path: Path) -> Iterator[Image]:
    """The image under test with one more label: another image, without a golden state yet."""
    (tmp_path / "Dockerfile").write_text(f"FROM {any_image.reference}\nLABEL canary={uuid.uuid4()}")
    tag = f"{images.REPOSITORY}/changed:{uuid.uuid4().hex[:8]}"
    yield images.build(tmp_path, tag, {}, {})
    engine().images.remove(tag, force=True)


@pytest.mark.nightly(reason="a golden pair is built by three programs at once")
@pytest.mark.slow(reason="golden images are built")
def test_golden_images_are_built_once_and_whole(changed: Image, any_golden: Golden) -> None:
    database = engine().images.get(any_golden.database.id)
    made_from = database.labels[MADE_FROM_LABEL].split()[1]
    undeclared = DeploymentFile().digest
    key = key_of(changed.id, made_from, undeclared)
    assert key != key_of(
        engine().images.get(any_golden.web.id).labels[MADE_FROM_LABEL].split()[0],
        made_from,
        undeclared,
    ), "another image, another key"
    tags = (web_tag(key), database_tag(key))
    command = [sys.executable, "-c", PROGRAM, changed.reference, made_from]

    def start() -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)

    try:
        with start() as first:
            assert first.stdout is not None
            run = first.stdout.readline().strip()
            wait_until_it_installs(run, first)
            first.send_signal(signal.SIGKILL)
        wait_until_gone(lambda: containers_of(run), run)
        assert not any(images.local(tag, "local") for tag in tags)

        with start() as second, start() as third:
            (ids_second, log_second), (ids_third, log_third) = (
                second.communicate(),
                third.communicate(),
            )
        assert (second.returncode, third.returncode) == (0, 0), log_second + log_third
        assert ids_second.split()[1] == ids_third.split()[1]
        assert (log_second + log_third).count("for all tests to start from ...") == 1
    finally:
        for tag in tags:
            if images.local(tag, "local"):
                engine().images.remove(tag, force=True)


def test_the_archiver_of_a_new_instance_finds_its_scripts_compiled(
    dedicated_matomo: DedicatedMatomo,
) -> None:
    shell = dedicated_matomo.shell

    def compiled() -> set[str]:
        # tmp/ has Matomo's caches, which it writes anew.
        only = ("-name", "*.bin", "-not", "-path", "*/tmp/*")
        return set(shell.run("find", COMPILED, *only, user="root").split())

    before = compiled()
    shell.console("core:archive")
    assert any(path.endswith("/core/CronArchive.php.bin") for path in before)
    assert compiled() == before


@pytest.mark.all_versions(reason="the caches are Matomo's")
def test_cached_values_need_no_unserialize(
    dedicated_matomo: DedicatedMatomo,
) -> None:
    cached = "tmp/cache/tracker/*DeviceDetector*mobile.php"
    text = dedicated_matomo.shell.run("sh", "-c", f"head -c 300 {cached}")
    assert text.startswith("<?php return ")
    # As in the official release: opcache holds an array, not what unserialize makes of a text.
    assert "unserialize" not in text


def containers_of(run: str) -> list[str]:
    label = {"label": f"{RUN_LABEL}={run}"}
    found = engine().containers.list(all=True, filters={**label}, ignore_removed=True)
    return [str(container.name) for container in found]


def wait_until_it_installs(run: str, program: "subprocess.Popen[str]") -> None:
    while len(containers_of(run)) < 2:
        assert program.poll() is None, "it has ended"
        time.sleep(0.1)


@pytest.fixture
def run() -> Iterator[Run]:
    started = begin()
    yield started
    end(started)


def test_a_full_database_is_named_and_leaves_nothing_half_made(
    any_golden: Golden, run: Run
) -> None:
    servers = shared_servers(any_golden, run, memory="60m")
    made = [servers.fresh()]

    def schemas() -> set[str]:
        rows = made[0].database.query("SHOW DATABASES LIKE 'matomo\\_m%%'", *())
        return {str(value) for row in rows for value in row.values()}

    with pytest.raises(UnsupportedEnvironmentError, match="room for another instance") as error:
        made.extend(servers.fresh() for _ in range(60))
    assert re.search("No space left|No more room|is full", error.value.seen)
    assert len(made) > 1
    assert schemas() == {instance.database.name for instance in made}

    # The other instances are as they were, and where one is dropped another has room.
    assert made[0].api.call("SitesManager.getAllSitesId") == [1]
    for instance in made[1:]:
        servers.drop(instance)
    assert servers.fresh().api.call("SitesManager.getAllSitesId") == [1]


def harness(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "matomo_harness", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.nightly(reason="another golden image is built")
@pytest.mark.slow(reason="another golden image is built")
def test_stale_images_are_pruned_and_good_ones_stay(any_golden: Golden, tmp_path: Path) -> None:
    # A golden image whose origins are gone: another key, made from images that are not here.
    tag = f"{images.REPOSITORY}/golden-matomo:{uuid.uuid4().hex[:12]}"
    (tmp_path / "Dockerfile").write_text(f"FROM {any_golden.database.reference}\nLABEL a=b")
    labels = {GOLDEN_LABEL: "stale", MADE_FROM_LABEL: "sha256:0 sha256:1"}
    images.build(tmp_path, tag, {}, labels)

    listed = json.loads(harness("images", "--json").stdout)["held"]
    states = {image["name"]: image["state"] for image in listed}
    assert states[tag] == "stale: what it was made from has gone"
    assert states[any_golden.web.reference] in ("ready", "in use")

    pruned = harness("images", "--prune", "--json")
    assert pruned.returncode == 0, pruned.stderr
    assert tag in json.loads(pruned.stdout)["removed"]
    assert images.local(tag, "local") is None
    assert images.local(any_golden.web.reference, "local")


def test_cleaning_an_unknown_run_is_wrong_input() -> None:
    ended = harness("clean", "--run", "nonsense")
    assert ended.returncode == ExitCode.WRONG_INPUT
    assert "seen: nonsense; preserved runs: " in ended.stderr
