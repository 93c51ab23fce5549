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


def by_compose() -> dict[str, dict[str, object]]:
    values = {**os.environ, **VALUES, **deployment.read().variables, "TLS_DIRECTORY": "/tls"}
    command = ["docker", "compose", "--file", str(COMPOSE_FILE), "--profile", "*"]
    said = subprocess.run(
        [*command, "config", "--format", "json"],
        env=values,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    services: dict[str, dict[str, object]] = json.loads(said)["services"]
    return services


def test_compose_reads_the_description_as_we_do() -> None:
    ours = description.read(VALUES | {"TLS_DIRECTORY": "/tls"}).services
    theirs = by_compose()
    assert ours.keys() == theirs.keys()
    for name, service in ours.items():
        said: dict[str, object] = theirs[name]
        assert service.image == said["image"]
        assert dict(service.environment) == said.get("environment", {})
        assert list(service.command) == (said.get("command") or [])
        assert list(service.profiles) == said.get("profiles", [])
        ports: list[dict[str, int]] = said.get("ports", [])  # type: ignore[assignment]
        assert list(service.ports) == [port["target"] for port in ports]
        mounts: list[dict[str, str]] = said.get("volumes", [])  # type: ignore[assignment]
        volumes = {one["target"]: one["source"] for one in mounts if one["type"] == "volume"}
        assert dict(service.volumes) == volumes


def test_the_certificates_are_those_that_compose_mounts() -> None:
    ours, theirs = description.read({}).services, by_compose()
    for name, service in ours.items():
        mounts: list[dict[str, str]] = theirs[name].get("volumes", [])  # type: ignore[assignment]
        mounted = {
            one["target"]: Path(one["source"]).name
            for one in mounts
            if one["source"].startswith("/tls/")
        }
        assert dict(service.files) == mounted


def test_a_test_deployment_is_as_the_description_says(stack: FullStack) -> None:
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
    assert description.read({}).services["archiver"].command == archiver.command()


QUEUE = """
import sys
from matomo_harness.runtime import images
from matomo_harness.runtime.golden import golden
from matomo_harness.runtime.full_stack import Production
from matomo_harness.settings import Settings

settings = Settings.from_environment()
state = golden(images.deployed_image(settings), images.mariadb_base(settings))
ping = 'for ($i = 0; $i < 100 && !($s = @fsockopen("redis", 6379)); $i++) { usleep(50000); }'
with Production(state) as production:
    ping += 'fwrite($s, "PING\\r\\n"); echo fgets($s);'
    print(production.matomo.shell.run("php", "-r", ping))
"""


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
            [sys.executable, "-c", QUEUE],
            cwd=copy.root,
            env=copy.environment(),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert "+PONG" in ended.stdout, ended.stderr[-2000:]
