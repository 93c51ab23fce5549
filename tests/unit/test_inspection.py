"""An inspection that leaves out what is empty is read as one that says null, or an empty list."""

from typing import Any

import pytest
from docker.models.containers import Container
from docker.models.images import Image

from matomo_harness.runtime.inspection import inspected, networks
from matomo_harness.runtime.tasks import task

# Of the same image, made by `docker import` without a change: what has no value.
DOCKER_20: dict[str, Any] = {
    "Id": "sha256:1",
    "Config": {"Cmd": None, "Entrypoint": None, "Env": None, "Labels": None, "Volumes": None},
}
DOCKER_29: dict[str, Any] = {"Id": "sha256:1", "Config": {}}
PODMAN: dict[str, Any] = {
    "Id": "sha256:1",
    "Config": {"Cmd": [], "Entrypoint": [], "Env": [], "Labels": {}, "Volumes": {}},
}


@pytest.mark.parametrize("answer", [DOCKER_20, DOCKER_29, PODMAN, {"Id": "sha256:1"}])
@pytest.mark.parametrize("field", ["Cmd", "Entrypoint", "Env", "Labels", "Volumes", "WorkingDir"])
def test_what_is_empty_is_empty_however_the_engine_says_it(
    answer: dict[str, Any], field: str
) -> None:
    assert not inspected(Image(attrs=answer), "Config", field)


def test_what_is_there_is_returned() -> None:
    image = Image(attrs={"Config": {"Cmd": ["apache2-foreground"]}})
    assert inspected(image, "Config", "Cmd") == ["apache2-foreground"]


@pytest.mark.parametrize(
    "rest",
    [{}, {"Mounts": None, "NetworkSettings": None}, {"Mounts": [], "NetworkSettings": {}}],
)
def test_a_container_without_environment_mounts_and_networks_is_a_task(
    rest: dict[str, Any],
) -> None:
    container = Container(attrs={"Id": "2", "Image": "sha256:1", "Config": {}, **rest})
    seen = task(container)
    assert (seen.image, seen.environment, seen.mounts) == ("sha256:1", {}, frozenset())
    assert networks(container) == {}


def test_a_volume_that_nobody_named_is_no_mount_of_the_task() -> None:
    mounts = [
        {"Name": "ab" * 32, "Source": "/volumes/x", "Destination": "/var/www/html"},
        {"Name": "data", "Source": "/volumes/data", "Destination": "/data"},
    ]
    container = Container(attrs={"Id": "3", "Image": "sha256:1", "Config": {}, "Mounts": mounts})
    assert task(container).mounts == {("/volumes/data", "data", "/data")}
