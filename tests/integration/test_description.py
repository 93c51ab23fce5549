"""compose.yml is the one description: Compose reads it as we do; one more service is one entry."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from matomo_harness.policy import deployment
from matomo_harness.runtime import archiver, description, tasks
from matomo_harness.runtime.full_stack import FullStack
from matomo_harness.settings import COMPOSE_FILE, ROOT
from tests import checkout

PAGE = ROOT / "docs/howto/add-an-emulated-service.md"
VALUES = {**dict.fromkeys(description.variables(), "7"), **deployment.read().variables}


def services_by_compose() -> dict[str, dict[str, object]]:
    values = {**os.environ, **VALUES, **deployment.read().variables, "TLS_DIRECTORY": "/tls"}
    command = ["docker", "compose", "--file", str(COMPOSE_FILE), "--profile", "*"]
    composed = subprocess.run(
        [*command, "config", "--format", "json"],
        env=values,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    services: dict[str, dict[str, object]] = json.loads(composed)["services"]
    return services


def test_compose_reads_the_description_as_we_do() -> None:
    ours = description.read(VALUES | {"TLS_DIRECTORY": "/tls"}).services
    theirs = services_by_compose()
    assert ours.keys() == theirs.keys()
    for name, service in ours.items():
        composed: dict[str, object] = theirs[name]
        assert service.image == composed["image"]
        assert dict(service.environment) == composed.get("environment", {})
        assert list(service.command) == (composed.get("command") or [])
        assert list(service.profiles) == composed.get("profiles", [])
        ports: list[dict[str, int]] = composed.get("ports", [])  # type: ignore[assignment]
        assert list(service.ports) == [port["target"] for port in ports]
        mounts: list[dict[str, str]] = composed.get("volumes", [])  # type: ignore[assignment]
        volumes = {
            mount["target"]: mount["source"] for mount in mounts if mount["type"] == "volume"
        }
        assert dict(service.volumes) == volumes


def test_compose_mounts_the_same_certificates() -> None:
    ours, theirs = description.read({}).services, services_by_compose()
    for name, service in ours.items():
        mounts: list[dict[str, str]] = theirs[name].get("volumes", [])  # type: ignore[assignment]
        mounted = {
            mount["target"]: Path(mount["source"]).name
            for mount in mounts
            if mount["source"].startswith("/tls/")
        }
        assert dict(service.files) == mounted


def test_a_test_deployment_follows_the_description(stack: FullStack) -> None:
    values = {
        "DATABASE_PASSWORD": stack.mariadb.passwords.matomo,
        "MAIL_PASSWORD": stack.mail.password,
        "SALT": stack.salt,
    }
    described = description.read(values).services["matomo"].environment
    web = tasks.task(stack.matomo.get_wrapped_container()).environment
    assert {name: web.get(name) for name in described} == dict(described)


def test_every_emulated_service_says_what_it_does_not_imitate() -> None:
    for folder in description.SERVICES_DIRECTORY.iterdir():
        assert "It does not imitate:" in (folder / "README.md").read_text(), folder.name


def test_the_archiver_runs_the_command_of_the_image() -> None:
    assert description.read({}).services["archiver"].command == archiver.reference_job().command


PING = """
import sys
from matomo_harness.runtime import images
from matomo_harness.runtime.golden import golden
from matomo_harness.runtime.full_stack import FullStack
from matomo_harness.settings import RunSettings

settings = RunSettings.from_environment()
state = golden(images.deployed_image(settings), images.mariadb_base(settings))
ping = 'for ($i = 0; $i < 100 && !($s = @fsockopen("redis", 6379)); $i++) { usleep(50000); }'
with FullStack(state) as stack:
    ping += 'fwrite($s, "PING\\r\\n"); echo fgets($s);'
    print(stack.matomo.shell.run("php", "-r", ping))
"""


@pytest.mark.nightly(reason="a checkout of its own builds its images")
@pytest.mark.slow(reason="an image is built, and a deployment started")
def test_one_more_service_is_one_entry_and_one_folder(tmp_path: Path) -> None:
    page = PAGE.read_text()
    blocks = dict(re.findall(r"```(dockerfile|markdown|yaml)\n(.*?)```", page, re.DOTALL))
    with checkout.copied(tmp_path) as copy:
        folder = copy.root / "harness/matomo_harness/runtime/services/redis"
        folder.mkdir()
        (folder / "Dockerfile").write_text(blocks["dockerfile"])
        (folder / "README.md").write_text(blocks["markdown"])
        compose = copy.root / "compose/compose.yml"
        text = compose.read_text()
        before = "  # The Application Load Balancer.\n"
        assert before in text
        compose.write_text(text.replace(before, f"{blocks['yaml']}\n{before}"))
        ended = subprocess.run(
            [sys.executable, "-c", PING],
            cwd=copy.root,
            env=copy.environment(),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert "+PONG" in ended.stdout, ended.stderr[-2000:]
