"""What nothing may leave."""

from collections.abc import Sequence
from typing import Final

from docker.models.containers import Container

from matomo_harness.operate.compose import SERVICE_LABEL
from matomo_harness.runtime.engine import engine, execute

OUT: Final = """
$socket = @fsockopen($argv[1], 443, $number, $text, 2);
echo $socket ? "reached" : "not reached";
"""


def assert_closed(containers: Sequence[Container]) -> None:
    """Assert of a stack's running containers that nobody reaches them, and they reach nobody."""
    services = {each.labels[SERVICE_LABEL]: each for each in containers}
    assert {*services} == {"db", "mail", "matomo", "load-balancer"}
    of_matomo = services["matomo"].attrs["NetworkSettings"]["Networks"]
    for container in containers:
        bound = [bindings for bindings in container.ports.values() if bindings]
        hosts = {binding["HostIp"] for bindings in bound for binding in bindings}
        assert hosts <= {"127.0.0.1"}, container.name
        for name in container.attrs["NetworkSettings"]["Networks"]:
            network = engine().networks.get(name).attrs
            is_masked = network["Options"].get("com.docker.network.bridge.enable_ip_masquerade")
            assert network["Internal"] if name in of_matomo else is_masked == "false", name
    for host in ("1.1.1.1", "plugins.matomo.org"):
        tried = execute(services["matomo"], ["php", "-r", OUT, "--", host], "root")
        assert tried.out.strip() == "not reached", host
