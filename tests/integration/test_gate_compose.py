"""The gate on a copy of somebody's Compose project, of which the project hears nothing."""

import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from docker.errors import APIError
from tenacity import retry, stop_after_delay, wait_fixed

from matomo_harness.errors import ExitCode, WrongInputError
from matomo_harness.matomo import ini
from matomo_harness.matomo.container import SEED
from matomo_harness.operate import gate_compose
from matomo_harness.policy import POLICY_FILE
from matomo_harness.runtime import images
from matomo_harness.runtime.compose_model import GIVES_UP, MOST_BYTES, NO_RESOLVER, Roles
from matomo_harness.runtime.compose_project import ComposeCopy
from matomo_harness.runtime.engine import engine, execute
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.reaper import PARENT_LABEL, RUN_LABEL, this_process
from matomo_harness.settings import RunSettings
from tests.checkout import Checkout
from tests.foreign_images import Layout, image_of
from tests.runs import wait_until_gone

PROJECT: Final = Path(__file__).parents[1] / "compose_projects/institution"
COPY: Final = "matomo-harness-copy-"
FILE: Final = "docker-compose.yml"
FORCED: Final = """MATOMO_DATABASE_DBNAME: piwik
      MATOMO_GENERAL_FORCE_SSL: "1\""""
MOUNTED: Final = "./config/config.ini.php:/var/www/html/config/config.ini.php:ro"


@dataclass(frozen=True)
class Institution:
    """A project of Compose that is somebody's, and the environment that it is started in.

    Args:
        root: its directory.
        environment: images, names and addresses.
        folder: files of the harness's runs on it.
    """

    root: Path
    environment: dict[str, str]
    folder: Path

    @property
    def file(self) -> Path:
        """Its Compose file."""
        return self.root / FILE

    @property
    def name(self) -> str:
        """The name of its Compose project."""
        return self.environment["STACK"]

    def compose(self, *arguments: str) -> None:
        """Run Compose on it, as its people do."""
        command = ["docker", "compose", "--project-name", self.name, "--file", str(self.file)]
        environment = {**os.environ, **self.environment}
        subprocess.run([*command, *arguments], env=environment, check=True, capture_output=True)

    def container(self, service: str) -> Any:
        """Return the container of one of its services."""
        chosen = [
            f"com.docker.compose.project={self.name}",
            f"com.docker.compose.service={service}",
        ]
        (found,) = engine().containers.list(all=True, filters={"label": chosen})
        return found

    def state(self) -> dict[str, Any]:
        """Return all that there is of the project, as the engine and the file system have it."""
        ours: Any = {"label": f"com.docker.compose.project={self.name}"}
        containers = engine().containers.list(all=True, filters=ours)
        networks = [*engine().networks.list(filters=ours)]
        networks += engine().networks.list(names=[f"{self.name}-front"])
        for network in networks:
            network.reload()
        volumes = [*engine().volumes.list(filters=ours)]
        volumes.append(engine().volumes.get(f"{self.name}-shared"))
        return {
            "containers": sorted(
                (
                    str(one.name),
                    str(one.id),
                    one.attrs["State"]["StartedAt"],
                    one.attrs["RestartCount"],
                    json.dumps(one.attrs["NetworkSettings"]["Ports"], sort_keys=True),
                )
                for one in containers
            ),
            "networks": sorted(
                (str(one.name), str(one.id), *sorted(one.attrs["Containers"])) for one in networks
            ),
            # The engine dates a volume by its directory, which an entrypoint's chown changes; while
            # its containers stay, nobody can remove it.
            "volumes": sorted(str(one.name) for one in volumes),
            "files": {
                str(path.relative_to(self.root)): _file(path)
                for path in sorted(self.root.rglob("*"))
                # The database writes there by itself.
                if "data" not in path.relative_to(self.root).parts
            },
            "jobs": execute(self.container("cron"), ["cat", "/shared/runs"]).out,
            "tables": execute(self.container("db"), ["ls", "/var/lib/mysql/piwik"], "root").out,
        }

    def of_copies(self) -> list[str]:
        """Return what is there of copies that a process of this test has made."""
        parent: Any = {"label": f"{PARENT_LABEL}={this_process().as_parent}"}
        found = [
            *engine().containers.list(all=True, filters=parent, ignore_removed=True),
            *engine().networks.list(filters=parent),
            *engine().volumes.list(filters=parent),
        ]
        files = self.folder.glob("*/*-copy-*")
        names = [str(one.name) for one in found]  # type: ignore[attr-defined]
        return [*(name for name in names if name.startswith(COPY)), *map(str, files)]


def _file(path: Path) -> tuple[int, int, str]:
    state = path.lstat()
    content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return state.st_mode, state.st_mtime_ns, content


def _free_subnet() -> str:
    """Return three numbers of a network that none has; Docker's own are in 172.16 and 192.168."""
    configs = [network.attrs["IPAM"]["Config"] or [] for network in engine().networks.list()]
    taken = {config["Subnet"].rpartition(".")[0] for each in configs for config in each}
    return secrets.choice(sorted({f"10.213.{third}" for third in range(256)} - taken))


@pytest.fixture
def institution(any_image: Image, tmp_path: Path) -> Institution:
    """Somebody's project, which does not run."""
    root = tmp_path / "institution"
    shutil.copytree(PROJECT, root)
    folder = tmp_path / "runs"
    folder.mkdir()
    environment = {
        "MATOMO_IMAGE": any_image.reference,
        "MARIADB_IMAGE": images.mariadb_base(RunSettings.from_environment()).reference,
        "STACK": f"institution-{secrets.token_hex(4)}",
        "SUBNET": _free_subnet(),
        "TMPDIR": str(folder),
    }
    return Institution(root, environment, folder)


def greeting(seconds: int, image: Image) -> dict[str, Any]:
    """Return a service that greets as a database does, after a while."""
    script = f"""
        sleep({seconds});
        $server = stream_socket_server("tcp://0.0.0.0:3306");
        while (true) {{
            if ($client = @stream_socket_accept($server, -1)) fwrite($client, "hello");
        }}
    """
    return {"entrypoint": ["php", "-r", script.replace("$", "$$")], "image": image.reference}


@pytest.mark.slow(reason="services are started one after the other, and removed")
def test_who_ends_without_its_database_or_its_upstream_is_started_after_them(
    any_image: Image, tmp_path: Path
) -> None:
    """In the project its restart policy starts it again, without depends_on."""
    script = 'exit(@fsockopen("db", 3306) ? 0 : 1);'
    matomo = ["sh", "-c", f"php -r '{script}' && exec sleep 600"]
    web = ["sh", "-c", "getent hosts matomo && exec sleep 600"]
    image = any_image.reference
    model = {
        "name": "institution",
        "services": {
            "a-web": {"image": image, "entrypoint": web, "restart": "always"},
            "db": greeting(2, any_image),
            "matomo": {"image": image, "entrypoint": matomo, "restart": "always"},
        },
    }
    roles = Roles("matomo", "db", "a-web", 80)
    with ComposeCopy([tmp_path / FILE], model, roles, image) as copy:
        for name in ("matomo", "a-web"):
            wait_until_it_stays(copy.container(name))
        assert {copy.container(name).status for name in ("a-web", "db", "matomo")} == {"running"}


def wait_until_it_stays(container: Any) -> None:
    """Wait until a service has found what it asks for, and sleeps, or has ended."""
    with suppress(APIError):  # it has ended
        while [process[-1] for process in container.top()["Processes"]] != ["sleep 600"]:
            time.sleep(0.05)


@pytest.mark.slow(reason="services are started one after the other, and removed")
def test_what_runs_once_does_not_run_again(any_image: Image, tmp_path: Path) -> None:
    """A service that renders a configuration or loads a dump, on which Matomo waits."""
    waits = {"entrypoint": ["sleep", "600"], "image": any_image.reference}
    once = {
        **waits,
        "entrypoint": ["sh", "-c", "echo once >> /shared/runs"],
        "volumes": [{"type": "volume", "source": "shared", "target": "/shared", "volume": {}}],
    }
    matomo = {
        **waits,
        "depends_on": {"once": {"condition": "service_completed_successfully", "required": True}},
        "volumes": once["volumes"],
    }
    model = {
        "name": "institution",
        "services": {
            "db": greeting(0, any_image),
            "matomo": matomo,
            "once": once,
            "later": matomo,
        },
        "volumes": {"shared": {"name": "institution_shared"}},
    }
    roles = Roles("matomo", "db", "matomo", 80)
    file = tmp_path / "docker-compose.yml"
    with ComposeCopy([file], model, roles, any_image.reference) as copy:
        copy.start_the_rest()
        assert copy.container("later").status == "running"
        runs = execute(copy.container("matomo"), ["cat", "/shared/runs"]).out
    assert runs.split() == ["once"]


@pytest.fixture
def running(institution: Institution) -> Iterator[Institution]:
    """The same, running."""
    labels = this_process().labels
    network = engine().networks.create(f"{institution.name}-front", labels=labels)
    volume = engine().volumes.create(f"{institution.name}-shared", labels=labels)
    try:
        institution.compose("up", "--detach")
        _wait_for_database(institution)
        yield institution
    finally:
        institution.compose("down", "--volumes", "--timeout", "0")
        network.remove()
        volume.remove()


@retry(stop=stop_after_delay(60), wait=wait_fixed(0.2), reraise=True)
def _wait_for_database(institution: Institution) -> None:
    found = execute(institution.container("db"), ["test", "-d", "/var/lib/mysql/piwik"], "root")
    assert found.code == 0
    assert execute(institution.container("cron"), ["test", "-s", "/shared/runs"]).code == 0


@pytest.mark.slow(reason="a project is started, and a copy of it is installed")
def test_a_copy_is_judged_and_the_project_hears_nothing(
    running: Institution, checkout: Checkout
) -> None:
    before = running.state()
    answer = checkout.harness(
        *("gate", "--compose", str(running.file), "--policy", str(POLICY_FILE)),
        *("--only", "secrets masking.ipv4_of_a_new_visitor", "--json"),
        prefix=(),
        **running.environment,
    )
    assert answer.code == ExitCode.OK, answer.text
    document = json.loads(answer.text[answer.text.index("{") : answer.text.rindex("}") + 1])
    assert document["counts"]["fail"] == document["counts"]["error"] == 0
    assert document["counts"]["pass"] >= 5
    assert document["about"]["project"] == f"a copy of {FILE}, service matomo"
    assert 'a$b"c;#d' not in answer.text
    assert running.state() == before
    assert running.of_copies() == []


@pytest.mark.nightly(reason="a second copy of the project")
@pytest.mark.slow(reason="a project is started, and a copy of it")
def test_a_killed_gate_leaves_nothing_of_the_copy(running: Institution, checkout: Checkout) -> None:
    before = running.state()
    command = checkout.command("gate", "--compose", str(running.file), "--policy", str(POLICY_FILE))
    with subprocess.Popen(
        command,
        cwd=checkout.root,
        env=checkout.environment(**running.environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as gate:
        try:
            web, database = _started_copy(gate, "matomo"), _started_copy(gate, "db")
            _require_apart(web, running)
            _require_apart(database, running)
            assert running.of_copies()
            _require_that_only_services_are_known(web, running)
        finally:
            gate.send_signal(signal.SIGKILL)
    wait_until_gone(running.of_copies, web.labels[RUN_LABEL])
    assert running.state() == before


def _started_copy(gate: "subprocess.Popen[bytes]", service: str) -> Any:
    """Return the container of a service in the copy, once it runs."""
    labels = [
        f"{PARENT_LABEL}={this_process().as_parent}",
        f"com.docker.compose.service={service}",
    ]
    while True:
        for found in engine().containers.list(filters={"label": labels}, ignore_removed=True):
            if str(found.name).startswith(COPY):
                return found
        assert gate.poll() is None, f"the gate has ended without a copy of {service}"
        time.sleep(0.05)


def _require_apart(container: Any, institution: Institution) -> None:
    container.reload()
    sources = [mount.get("Source", "") for mount in container.attrs["Mounts"]]
    assert not [source for source in sources if source.startswith(str(institution.root))]
    names = [mount.get("Name", "") for mount in container.attrs["Mounts"]]
    assert not [name for name in names if name and name.startswith(institution.name)]
    for bindings in container.attrs["NetworkSettings"]["Ports"].values():
        assert {binding["HostIp"] for binding in bindings or ()} <= {"127.0.0.1"}
    assert all(name.startswith(COPY) for name in container.attrs["NetworkSettings"]["Networks"])
    assert container.attrs["HostConfig"]["RestartPolicy"]["Name"] in ("", "no")


def _require_that_only_services_are_known(web: Any, institution: Institution) -> None:
    # Who asks a resolver hears the same of such a name, or waits for it where none is in reach.
    host = web.attrs["HostConfig"]
    assert host["Dns"] == [NO_RESOLVER], "a name outside is refused at once"
    assert sorted(host["DnsOptions"]) == sorted(GIVES_UP)
    by_the_former_name = execute(web, ["getent", "hosts", f"{institution.name}-db"])
    assert by_the_former_name.code == 0, "the container's name, by which Matomo is configured"
    assert execute(web, ["getent", "hosts", "relay.institution.example"]).code != 0


def judged(
    institution: Institution, checkout: Checkout, only: str, policy: Path = POLICY_FILE
) -> dict[str, Any]:
    """Return what the gate says of a project whose external network and volume are not there."""
    command = ("gate", "--compose", str(institution.file), "--policy", str(policy), "--json")
    environment = {**institution.environment}
    answer = checkout.harness(*command, "--only", only, prefix=(), **environment)
    assert "{" in answer.text, answer.text
    document, _ = json.JSONDecoder().raw_decode(answer.text[answer.text.index("{") :])
    assert institution.of_copies() == []
    found: dict[str, Any] = document
    return found


def alone(institution: Institution) -> Path:
    """Return our policy without the deployment.toml beside it, which is of our image."""
    return Path(shutil.copy(POLICY_FILE, institution.root / "policy.toml"))


@pytest.mark.nightly(reason="a copy of a project is installed")
@pytest.mark.slow(reason="a copy of a project is installed")
def test_where_matomo_wants_https_a_load_balancer_ends_it(
    institution: Institution, checkout: Checkout
) -> None:
    change(institution, "MATOMO_DATABASE_DBNAME: piwik", FORCED)
    document = judged(institution, checkout, "transport.clear_text_leads_to_tls transport.cookies*")
    assert {check["status"] for check in document["checks"]} == {"pass"}


@pytest.mark.nightly(reason="a copy of a project is installed")
@pytest.mark.slow(reason="a copy of a project is installed")
def test_a_configuration_that_is_mounted_read_only_stays_as_it_is(
    institution: Institution, checkout: Checkout
) -> None:
    own = institution.root / "config/config.ini.php"
    text = images.file_in(institution.environment["MATOMO_IMAGE"], SEED).decode()
    text = ini.with_key(text, "General", "trusted_hosts[]", "analytics.example")
    own.write_text(text + '\n[PluginsInstalled]\nPluginsInstalled[] = "Login"\n')
    before = _file(own)
    change(institution, "./php.ini:/etc/institution.ini:ro", MOUNTED)
    document = judged(
        institution,
        checkout,
        "masking.ipv4_of_a_new_visitor accounts.installer_is_closed",
    )
    assert {check["status"] for check in document["checks"]} <= {"pass", "not promised"}
    assert _file(own) == before


@pytest.mark.nightly(reason="an image is built, and a copy of a project is installed")
@pytest.mark.slow(reason="an image is built, and a copy of a project is installed")
def test_an_image_that_ends_tls_itself_is_come_to_by_tls(
    institution: Institution, checkout: Checkout
) -> None:
    change(institution, '["127.0.0.1::80"]', '["127.0.0.1::80", "127.0.0.1::443"]')
    with image_of(Layout("own-tls"), RunSettings.from_environment()) as image:
        institution.environment["MATOMO_IMAGE"] = image.reference
        document = judged(
            institution,
            checkout,
            "transport.clear_text_leads_to_tls transport.cookies*",
            alone(institution),
        )
    assert {check["status"] for check in document["checks"]} == {"pass"}


@pytest.mark.nightly(reason="an image is built, and a copy of a project is installed")
@pytest.mark.slow(reason="an image is built, and a copy of a project is installed")
def test_an_image_that_installs_itself_is_waited_for(
    institution: Institution, checkout: Checkout
) -> None:
    plain = secrets.token_hex(8)  # its start writes it into a file as it is
    (institution.root / "secrets/database").write_text(plain)
    institution.environment["DATABASE_PASSWORD"] = plain
    own = "MATOMO_DATABASE_DBNAME: piwik"
    names = "MATOMO_DATABASE_NAME: piwik", "MATOMO_DATABASE_USER: piwik"
    change(institution, own, "\n      ".join((own, *names)))
    with image_of(Layout("installs-itself", on="base"), RunSettings.from_environment()) as image:
        institution.environment["MATOMO_IMAGE"] = image.reference
        document = judged(institution, checkout, "accounts.installer_is_closed", alone(institution))
    assert {check["status"] for check in document["checks"]} == {"pass"}


# -- wrong input ----------------------------------------------------------------------------------


def refused(
    institution: Institution, monkeypatch: pytest.MonkeyPatch, service: str = "matomo"
) -> WrongInputError:
    """Return the refusal of a project; nothing was started for it."""
    for name in ("MATOMO_IMAGE", "MARIADB_IMAGE", "STACK", "SUBNET"):
        monkeypatch.setenv(name, institution.environment[name])
    with pytest.raises(WrongInputError) as refusal:
        gate_compose.of_project(str(institution.file), service, POLICY_FILE, lambda _: None)
    assert institution.of_copies() == []
    assert refusal.value.next_command
    return refusal.value


def change(institution: Institution, before: str, after: str) -> None:
    text = institution.file.read_text()
    assert before in text
    institution.file.write_text(text.replace(before, after, 1))


def test_what_compose_refuses_is_refused_in_its_words(
    institution: Institution, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(institution, "depends_on:", "depends_upon:")
    error = refused(institution, monkeypatch)
    assert "depends_upon" in error.seen
    assert error.next_command == f"docker compose --file {institution.file} config"


def test_a_file_that_is_not_there_is_refused(
    institution: Institution, monkeypatch: pytest.MonkeyPatch
) -> None:
    institution.file.unlink()
    assert "which is no file" in refused(institution, monkeypatch).seen


def test_a_service_that_is_not_there_is_refused(
    institution: Institution, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refused(institution, monkeypatch, "piwik").seen == "the services cron, db, matomo"


def test_build_alone_is_refused(institution: Institution, monkeypatch: pytest.MonkeyPatch) -> None:
    change(institution, "image: ${MATOMO_IMAGE}", "build: .")
    assert "build matomo" in refused(institution, monkeypatch).next_command


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("network_mode: host", "network_mode: host"),
        ('volumes: ["/var/run/docker.sock:/var/run/docker.sock:ro"]', "docker.sock"),
    ],
    ids=["host-network", "docker-socket"],
)
def test_a_part_in_the_machine_is_refused(
    institution: Institution, monkeypatch: pytest.MonkeyPatch, line: str, named: str
) -> None:
    key = line.partition(":")[0]
    own = 'volumes: ["shared:/shared"]' if key == "volumes" else "networks: [inside]\nnetworks:"
    change(institution, own, line + ("\nnetworks:" if key != "volumes" else ""))
    assert named in refused(institution, monkeypatch).seen


@pytest.mark.slow(reason="the image is looked at first")
def test_mounts_that_are_too_large_are_refused(
    institution: Institution, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (institution.root / "config/dump.sql").open("wb") as dump:
        dump.truncate(MOST_BYTES + 1)
    assert f"{institution.root}/config" in refused(institution, monkeypatch).seen


def test_a_database_outside_is_refused(
    institution: Institution, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(institution, "MATOMO_DATABASE_HOST: ${STACK}-db", "MATOMO_DATABASE_HOST: rds.example")
    assert "rds.example, which is no service" in refused(institution, monkeypatch).seen


def test_mysql_is_refused_by_its_name_before_it_is_pulled(
    institution: Institution, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(institution, "${MARIADB_IMAGE}", "mysql:8.4")
    error = refused(institution, monkeypatch)
    assert error.seen == "mysql:8.4: MySQL is not supported"
    assert "mariadb:11.8" in error.next_command


def test_mysql_is_refused_by_its_version(
    institution: Institution, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    says = "mysqld  Ver 8.4.3 for Linux on x86_64 (MySQL Community Server - GPL)"
    directory = tmp_path / "image"
    directory.mkdir()
    base = images.mariadb_base(RunSettings.from_environment()).reference
    (directory / "Dockerfile").write_text(
        f"FROM {base}\nRUN rm -f $(command -v mariadbd mysqld);"
        f" printf '#!/bin/sh\\necho \"{says}\"\\n' > /usr/local/bin/mysqld;"
        " chmod +x /usr/local/bin/mysqld\n"
    )
    tag = f"institution-db:{secrets.token_hex(4)}"
    images.build(directory, tag, {}, this_process().labels)
    try:
        change(institution, "${MARIADB_IMAGE}", tag)
        assert "MySQL Community Server" in refused(institution, monkeypatch).seen
    finally:
        engine().images.remove(tag, force=True)


def test_without_a_policy_ours_is_not_taken(institution: Institution, checkout: Checkout) -> None:
    command = ("gate", "--compose", str(institution.file))
    answer = checkout.harness(*command, prefix=(), **institution.environment)
    answer.refuses(ExitCode.WRONG_INPUT, "a policy of this project", "matomo-harness init")


def test_the_policy_is_the_one_beside_the_project(institution: Institution) -> None:
    own = institution.root / "policy.toml"
    own.touch()
    assert gate_compose.policy_of([institution.file], "matomo", None) == own
    assert gate_compose.policy_of([institution.file], "matomo", POLICY_FILE) == POLICY_FILE
