"""Wrong input and poor machines get one clear line, the right exit code, and nothing half-made."""

import json
import os
import signal
import socket
import subprocess
from contextlib import closing
from pathlib import Path

import docker
import pytest

from matomo_harness.errors import ExitCode
from matomo_harness.matomo import versions
from tests.checkout import Checkout

MIB = 2**20
SECRET = ("PASSWORD", "SALT")
"""The ends of the names of secrets in stack.env; a login and a prefix are none."""


def test_an_unknown_base_is_wrong_input(checkout: Checkout) -> None:
    answer = checkout.harness("up", MATOMO_BASE="no-such-image:1", IMAGE="")
    answer.refuses(ExitCode.WRONG_INPUT, "MATOMO_BASE to name an image", "no-such-image:1")
    assert not checkout.containers


def test_an_unknown_image_is_wrong_input(checkout: Checkout) -> None:
    answer = checkout.harness("up", IMAGE="Not A Reference")
    answer.refuses(ExitCode.WRONG_INPUT, "IMAGE to name an image", "Not A Reference")


def test_a_credential_helper_that_is_not_there_is_named(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "of-a-desktop-that-is-gone"}))
    # Where Compose is the user's own.
    (tmp_path / "cli-plugins").symlink_to(Path.home() / ".docker/cli-plugins")
    image = "registry.example/matomo:1"
    answer = checkout.harness("inspect", image, DOCKER_CONFIG=str(tmp_path))
    answer.refuses(ExitCode.UNSUPPORTED_ENVIRONMENT, "the credential helper", "credsStore")


def test_an_invalid_image_name_is_wrong_input(checkout: Checkout) -> None:
    answer = checkout.harness("dist", "Not A Reference", IMAGE="")
    answer.refuses(ExitCode.WRONG_INPUT, "invalid tag 'Not A Reference'")


def test_a_taken_port_is_refused_with_a_free_one(checkout: Checkout) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", checkout.settings.port))
        other.listen()
        answer = checkout.harness("up")
    port = checkout.settings.port
    answer.refuses(ExitCode.UNSUPPORTED_ENVIRONMENT, f"port {port}", f"MATOMO_PORT={port + 1}")
    assert not checkout.containers


def test_a_forbidden_engine_socket_is_named(checkout: Checkout) -> None:
    path = checkout.root / "engine.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0)
        # No permission stops root while it has these capabilities.
        capabilities = "-dac_override,-dac_read_search"
        dropped = ("setpriv", f"--bounding-set={capabilities}", f"--inh-caps={capabilities}")
        prefix = dropped if os.geteuid() == 0 else ()
        answer = checkout.harness("up", prefix=prefix, DOCKER_HOST=f"unix://{path}")
    answer.refuses(ExitCode.UNSUPPORTED_ENVIRONMENT, "permission denied", "usermod -aG docker")


def test_an_engine_that_does_not_answer_is_named(checkout: Checkout) -> None:
    answer = checkout.harness("up", DOCKER_HOST=f"unix://{checkout.root}/none.sock")
    answer.refuses(ExitCode.UNSUPPORTED_ENVIRONMENT, "container engine", "no answer")


@pytest.mark.slow(reason="a checkout of its own builds an image")
def test_a_broken_line_of_the_configuration_is_named(checkout: Checkout) -> None:
    config = checkout.root / "image/config/config.ini.php"
    config.write_text(config.read_text() + "redefining them in this file.\n")
    answer = checkout.harness("up", IMAGE="")
    number = len(config.read_text().splitlines())
    answer.refuses(ExitCode.WRONG_INPUT, f"config.ini.php line {number}")
    assert not checkout.containers


@pytest.mark.nightly(reason="a stack is started from nothing, twice")
@pytest.mark.usefixtures("interruptible")
@pytest.mark.slow(reason="make up, three times")
def test_an_interrupted_up_is_completed_by_the_next(checkout: Checkout) -> None:
    with subprocess.Popen(
        checkout.command("up"),
        cwd=checkout.root,
        env=checkout.environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stderr is not None
        for line in first.stderr:
            if line.startswith("Installing Matomo"):
                first.send_signal(signal.SIGINT)
                break
        assert "interrupted" in first.stderr.read()
    assert first.returncode == 130

    answer = checkout.harness("up")
    assert answer.code == 0, answer.text
    assert checkout.web.url in answer.text
    assert 'name="form_login"' in checkout.web.get().text

    # The stack is up from here on; a person may now mistype or lose things.
    code = checkout.harness("totp")
    assert code.code == 0
    assert code.text.split()[0].isdecimal()
    assert versions.is_supported(checkout.harness("console", "core:version").text.strip())

    secrets = checkout.root / ".local/stack.env"
    assert secrets.stat().st_mode & 0o777 == 0o600
    entries = (line.partition("=") for line in secrets.read_text().splitlines())
    of_nobody_else = {name: value for name, _, value in entries if name.endswith(SECRET)}
    assert len(of_nobody_else) >= 3
    assert not [name for name, value in of_nobody_else.items() if value in answer.text]

    content = secrets.read_text()
    secrets.unlink()
    lost = checkout.harness("up")
    lost.refuses(ExitCode.WRONG_INPUT, "password", "make clean")

    secrets.write_text(content)
    down = checkout.harness("down")
    assert down.code == 0
    assert not checkout.containers
    again = checkout.harness("up", "--json")
    assert '"installed_now": false' in again.text, "down keeps the data"


@pytest.mark.slow(reason="three commands")
def test_a_command_on_a_stack_that_is_down_names_make_up(checkout: Checkout) -> None:
    for verb in ("totp", "logs", "console"):
        checkout.harness(verb).refuses(ExitCode.WRONG_INPUT, "local stack to be up", "make up")


@pytest.mark.slow(reason="an engine of its own with a small disk")
def test_a_full_disk_during_a_build_is_named(small_engine: str, checkout: Checkout) -> None:
    # The substitute is built on an image of this name; one of the files that it copies is too big.
    with closing(docker.DockerClient(base_url=small_engine)) as client:
        client.images.get("tiny:base").tag("matomo-harness/debian:trixie")
    with (checkout.root / "image/bases/matomo/install").open("ab") as file:
        file.write(os.urandom(16 * MIB))
    answer = checkout.harness("up", DOCKER_HOST=small_engine, MATOMO_BASE="substitute", IMAGE="")
    answer.refuses(ExitCode.UNSUPPORTED_ENVIRONMENT, "disk space", "no space left on device")
