"""Run a Matomo: engine, images, containers. Only this layer knows Docker."""

from matomo_harness.extra import require_engine_libraries


def _configure_testcontainers() -> None:
    from testcontainers.core.config import ConnectionMode, testcontainers_config

    # Testcontainers' own reaper is an image from a registry and needs the engine's socket inside a
    # container; ours is a process on the host (reaper.py). The other two settings stop
    # Testcontainers from mistaking a virtual machine that has a /.dockerenv for the inside of a
    # container, where every wait would time out.
    testcontainers_config.ryuk_disabled = True
    testcontainers_config.connection_mode_override = ConnectionMode.docker_host
    testcontainers_config.tc_host_override = "127.0.0.1"
    # A file in the home directory may name another engine, which neither Compose nor we would use.
    testcontainers_config.tc_properties.pop("tc.host", None)
    # Nor does Testcontainers pull anything here: with this variable of a CI's it would log in to a
    # registry for each container and each network.
    testcontainers_config._docker_auth_config = None


# Importing any module of this layer runs this one: a user without the extra gets one clear error.
require_engine_libraries()
_configure_testcontainers()
