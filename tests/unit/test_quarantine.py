"""How the quarantine is started: nobody reaches it, and nothing of it is left."""

from pathlib import Path

import pytest

from matomo_harness.runtime import quarantine
from matomo_harness.runtime.containers import DATA_DIRECTORY
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.reaper import Run


@pytest.mark.parametrize("memory", [2**30, None])
def test_it_has_no_network_no_log_and_the_labels_of_its_run(
    memory: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Testcontainers asks for an engine at once.
    monkeypatch.setattr("testcontainers.core.container.DockerClient", lambda **_: None)
    run, image = Run("a"), Image("mariadb:11", "sha256:0", "given")
    made = quarantine._Container(image, tmp_path, run, memory, "password")
    options = made._kwargs
    assert (options["network_mode"], options["read_only"]) == ("none", True)
    # Else Testcontainers adds the network of a container that this process runs in.
    assert options["network"] == "none"
    assert options["log_config"]["Type"] == "none"
    assert made._kwargs["labels"].items() >= run.labels.items()
    # Where memory is no place for a table, it is none for a sort.
    sorts = f"--tmpdir={DATA_DIRECTORY}" in (made._command or ())
    assert sorts == (memory is None)
