"""Make one run: engine, images, containers. The only layer that knows Docker."""

from matomo_harness.extra import require_engine_libraries


def _configure_testcontainers() -> None:
    from testcontainers.core.config import ConnectionMode, testcontainers_config

    # Testcontainers' own reaper is an image from a registry and needs the engine's socket inside a
    # container; ours is a process on the host (reaper.py). The other two keep it from taking a
    # virtual machine that carries a /.dockerenv for the inside of a container, where every wait
    # would time out.
    testcontainers_config.ryuk_disabled = True
    testcontainers_config.connection_mode_override = ConnectionMode.docker_host
    testcontainers_config.tc_host_override = "127.0.0.1"


# Every module of this layer is imported by this one: whoever lacks the extra is told so, once.
require_engine_libraries()
_configure_testcontainers()
