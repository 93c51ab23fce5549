"""What was started in a network, and how two containers' definitions differ."""

from collections.abc import Iterator

import pytest
from docker.models.containers import Container

from matomo_harness.gate.core.target import Task
from matomo_harness.runtime import tasks
from matomo_harness.runtime.containers import WebContainer, network
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.tasks import started_in

GIVEN = {"MATOMO_GENERAL_SALT": "one", "MATOMO_MAIL_HOST": "mail"}


@pytest.fixture
def container(any_image: Image) -> Iterator[Container]:
    with network() as own, WebContainer(any_image.reference, own, GIVEN) as matomo:
        yield matomo.get_wrapped_container()


def test_only_tasks_that_start_in_the_network_meanwhile_are_found(
    container: Container, any_image: Image
) -> None:
    own = next(iter(container.attrs["NetworkSettings"]["Networks"]))
    with (
        network() as other,
        started_in(own) as found,
        WebContainer(any_image.reference, other, {}),
    ):
        container.restart(timeout=1)
    container.restart(timeout=1)
    container.reload()
    assert found == [tasks.task(container)]


def test_a_difference_is_named_without_its_values(container: Container) -> None:
    this = tasks.task(container)
    other = Task(
        "sha256:0000",
        {**this.environment, "MATOMO_GENERAL_SALT": "two", "MATOMO_MAIL_PORT": "25"},
        this.mounts | {("/srv", "", "/var/www/html/config")},
    )
    differences = this.differences(other)
    assert [difference.split()[0] for difference in differences] == [
        "image",
        "variable",
        "variable",
        "mount",
    ]
    assert differences[1:] == [
        "variable MATOMO_GENERAL_SALT",
        "variable MATOMO_MAIL_PORT",
        "mount /var/www/html/config",
    ]
    assert this.differences(this) == []
