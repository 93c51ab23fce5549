"""Which engine is meant, and which ones are refused, by their own answers (recorded)."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from matomo_harness.errors import ExitCode, UnsupportedEnvironmentError
from matomo_harness.operate.doctor import container_engine
from matomo_harness.runtime.address import EngineAddress, chosen
from matomo_harness.runtime.engine import require_known

HERE = EngineAddress("unix:///run/engine.sock", "DOCKER_HOST", "unset DOCKER_HOST")


def contexts(directory: Path, current: str | None = None, **hosts: str) -> dict[str, str]:
    """Write a configuration of the Docker command line; return the variable that leads to it."""
    for name, host in hosts.items():
        folder = directory / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
        folder.mkdir(parents=True)
        described = {"Name": name, "Endpoints": {"docker": {"Host": host}}}
        (folder / "meta.json").write_text(json.dumps(described))
    (directory / "config.json").write_text(json.dumps({"currentContext": current}))
    if current is None:
        (directory / "config.json").write_text("{}")
    return {"DOCKER_CONFIG": str(directory)}


# -- what is chosen -------------------------------------------------------------------------------


def test_where_nothing_is_chosen_it_is_the_default_socket(tmp_path: Path) -> None:
    assert chosen({"DOCKER_CONFIG": str(tmp_path)}) == EngineAddress()
    assert chosen(contexts(tmp_path)) == EngineAddress()
    assert chosen({**contexts(tmp_path), "DOCKER_CONTEXT": "default"}) == EngineAddress()


def test_the_current_context_is_taken(tmp_path: Path) -> None:
    address = chosen(contexts(tmp_path, "rootless", rootless="unix:///run/user/1000/docker.sock"))
    assert address.host == "unix:///run/user/1000/docker.sock"
    assert "rootless" in str(address)
    assert address.undo == "docker context use default"


def test_a_variable_names_another_context_than_the_current_one(tmp_path: Path) -> None:
    files = contexts(tmp_path, "one", one="unix:///one.sock", two="unix:///two.sock")
    address = chosen({**files, "DOCKER_CONTEXT": "two"})
    assert (address.host, address.undo) == ("unix:///two.sock", "unset DOCKER_CONTEXT")


def test_docker_host_wins_over_every_context(tmp_path: Path) -> None:
    files = contexts(tmp_path, "one", one="unix:///one.sock")
    chosen_host = chosen({**files, "DOCKER_CONTEXT": "one", "DOCKER_HOST": "unix:///host.sock"})
    assert (chosen_host.host, chosen_host.chosen_by) == ("unix:///host.sock", "DOCKER_HOST")


def test_a_context_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedEnvironmentError, match="DOCKER_CONTEXT=lost") as refused:
        chosen({**contexts(tmp_path), "DOCKER_CONTEXT": "lost"})
    assert refused.value.next_command.startswith("unset DOCKER_CONTEXT")
    with pytest.raises(UnsupportedEnvironmentError, match="gone"):
        chosen(contexts(tmp_path, "gone"))


def test_a_broken_configuration_chooses_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    assert chosen({"DOCKER_CONFIG": str(tmp_path)}) == EngineAddress()


@pytest.mark.parametrize(
    "host",
    ["ssh://admin@build.example", "tcp://10.0.0.7:2375", "tcp://docker:2376", "fd://", "nonsense"],
)
def test_an_engine_elsewhere_is_refused_by_its_address(host: str, tmp_path: Path) -> None:
    for environment, undo in (
        ({"DOCKER_HOST": host, "DOCKER_CONFIG": str(tmp_path)}, "unset DOCKER_HOST"),
        (contexts(tmp_path, "far", far=host), "docker context use default"),
    ):
        with pytest.raises(UnsupportedEnvironmentError) as refused:
            chosen(environment)
        assert host in refused.value.seen
        assert refused.value.next_command.startswith(undo)


@pytest.mark.parametrize("host", ["tcp://127.0.0.1:2375", "tcp://localhost:2375", "tcp://[::1]:2"])
def test_an_engine_on_loopback_is_taken(host: str, tmp_path: Path) -> None:
    assert chosen({"DOCKER_HOST": host, "DOCKER_CONFIG": str(tmp_path)}).host == host


# -- which engine it is: recorded answers to GET /version -----------------------------------------

DEBIAN: dict[str, Any] = {
    "Platform": {"Name": ""},
    "Components": [
        {"Name": "Engine", "Version": "20.10.24+dfsg1", "Details": {"ApiVersion": "1.41"}},
        {"Name": "containerd", "Version": "1.6.20~ds1"},
    ],
    "Version": "20.10.24+dfsg1",
    "ApiVersion": "1.41",
    "Os": "linux",
    "Arch": "amd64",
}
PODMAN: dict[str, Any] = {
    "Platform": {"Name": "linux/amd64/debian-12"},
    "Components": [
        {"Name": "Podman Engine", "Version": "4.3.1", "Details": {"APIVersion": "4.3.1"}},
        {"Name": "Conmon", "Version": "conmon version 2.1.6, commit: unknown"},
    ],
    "Version": "4.3.1",
    "ApiVersion": "1.41",
    "Os": "linux",
}


def test_debians_docker_is_taken() -> None:
    require_known(DEBIAN, HERE)


def test_docker_29_is_taken() -> None:
    components = [{"Name": "Engine", "Version": "29.0.1"}]
    newer = {"Version": "29.0.1", "ApiVersion": "1.52", "Components": components}
    require_known({**DEBIAN, **newer}, HERE)


@pytest.mark.parametrize(
    ("version", "seen"),
    [
        (PODMAN, "Podman Engine 4.3.1"),
        ({**DEBIAN, "Version": "19.03.15", "ApiVersion": "1.40"}, "Docker 19.03.15, API 1.40"),
        ({**DEBIAN, "Os": "windows"}, "for windows containers"),
        ({**DEBIAN, "Components": [{"Name": "balenaEngine", "Version": "20.10"}]}, "balenaEngine"),
        ({"ApiVersion": "1.24"}, "of unknown version, API 1.24"),
    ],
)
def test_another_engine_is_refused_by_its_name(version: dict[str, Any], seen: str) -> None:
    with pytest.raises(UnsupportedEnvironmentError) as refused:
        require_known(version, HERE)
    assert seen in refused.value.seen
    assert HERE.host is not None
    assert HERE.host in refused.value.seen
    assert refused.value.next_command.startswith("unset DOCKER_HOST")
    assert refused.value.exit_code == ExitCode.UNSUPPORTED_ENVIRONMENT


def test_make_up_is_not_the_remedy_for_an_engine_that_somebody_chose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    engine = container_engine()
    assert engine.seen == "no answer"
    assert str(engine.lacking).startswith("unset DOCKER_HOST")
