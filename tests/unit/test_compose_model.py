"""The model of a copy shares nothing with the project that it is a copy of."""

import copy
import json
import socket
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.runtime import compose_model
from matomo_harness.runtime.compose_model import ProjectCopy, Roles

FILE = "docker-compose.yml"
ROLES = Roles("matomo", "db", "matomo", 80)
LABELS = {"org.matomo-harness.owner": "run-1", "org.matomo-harness.run": "1"}
HOST = "MATOMO_DATABASE_HOST"


def bind(source: Path | str, target: str, **options: Any) -> dict[str, Any]:
    return {"type": "bind", "source": str(source), "target": target, **options}


@pytest.fixture
def project(tmp_path: Path) -> dict[str, Any]:
    """A project as `docker compose config` prints it, with one of everything."""
    for folder in ("config", "data", "sites"):
        (tmp_path / folder).mkdir()
    for file in ("php.ini", "password", "site.conf"):
        (tmp_path / file).write_text(file)
    return {
        "name": "institution",
        "services": {
            "matomo": {
                "image": "institution/matomo:5",
                "build": {"context": str(tmp_path)},
                "container_name": "analytics",
                "restart": "always",
                "mac_address": "02:42:ac:11:00:02",
                "command": None,
                "entrypoint": None,
                "environment": {HOST: "piwik-db", "PASSWORD": "a$$b"},
                "labels": {"traefik.enable": "true"},
                "logging": {"driver": "syslog", "options": {"syslog-address": "tcp://log:514"}},
                "extra_hosts": ["mail.example=10.0.0.5"],
                "dns": ["10.0.0.2"],
                "external_links": ["other_db:db2"],
                "healthcheck": {"test": ["CMD", "true"]},
                "depends_on": {"db": {"condition": "service_healthy", "required": True}},
                "deploy": {
                    "replicas": 3,
                    "restart_policy": {"condition": "any"},
                    "resources": {"limits": {"memory": "1g"}, "reservations": {"cpus": "2"}},
                },
                "secrets": [{"source": "database", "target": "/run/secrets/database"}],
                "networks": {
                    "inside": {"ipv4_address": "10.9.0.5", "aliases": ["web"]},
                    "front": None,
                },
                "ports": [
                    {"mode": "ingress", "target": 80, "published": "80", "protocol": "tcp"},
                    {"mode": "ingress", "target": 443, "published": "443", "protocol": "tcp"},
                ],
                "volumes": [
                    {"type": "volume", "source": "html", "target": "/var/www/html", "volume": {}},
                    bind(
                        tmp_path / "config", "/var/www/html/config", bind={"propagation": "shared"}
                    ),
                    bind(tmp_path / "php.ini", "/usr/local/etc/php/conf.d/own.ini", read_only=True),
                    bind(tmp_path / "not-there", "/uploads", bind={"create_host_path": True}),
                    {"type": "volume", "source": "disguised", "target": "/sites"},
                    {"type": "tmpfs", "target": "/tmp", "tmpfs": {"size": "1000"}},
                ],
            },
            "db": {
                "image": "mariadb:11.8",
                "container_name": "piwik-db",
                "environment": {"MARIADB_PASSWORD_FILE": "/run/secrets/database"},
                "ports": [{"mode": "ingress", "target": 3306, "published": "3306"}],
                "networks": {"inside": None},
                "volumes": [bind(tmp_path / "data", "/var/lib/mysql")],
            },
            "backup": {
                "image": "institution/backup",
                "network_mode": "bridge",
                "profiles": ["jobs"],
                "scale": 2,
                "ports": [{"mode": "ingress", "target": 9000, "published": "9000"}],
                "volumes": [
                    bind(tmp_path / "data", "/data", read_only=True),
                    bind(tmp_path / "config", "/config"),
                ],
            },
        },
        "networks": {
            "inside": {
                "name": "institution_inside",
                "ipam": {"config": [{"subnet": "10.9.0.0/24"}]},
                "internal": True,
            },
            "front": {"name": "front", "external": True},
        },
        "volumes": {
            "html": {"name": "shared-html", "external": True},
            "disguised": {
                "name": "institution_disguised",
                "driver_opts": {"type": "none", "o": "bind,ro", "device": str(tmp_path / "sites")},
            },
        },
        "secrets": {
            "database": {"name": "institution_database", "file": str(tmp_path / "password")}
        },
        "configs": {"site": {"name": "c", "content": "hello $$x"}},
        "x-own": {"anything": 1},
    }


@pytest.fixture
def made(project: dict[str, Any], tmp_path: Path) -> ProjectCopy:
    before = copy.deepcopy(project)
    result = compose_model.copied(
        project, ROLES, "the-copy", LABELS, lambda name: tmp_path / "run" / name
    )
    assert project == before, "the project's own model is not changed"
    return result


def test_no_port_is_shared_and_only_matomo_and_its_database_are_published(
    made: ProjectCopy,
) -> None:
    ports = {name: one.get("ports") for name, one in made.model["services"].items()}
    loopback = {"mode": "ingress", "host_ip": "127.0.0.1"}
    assert ports == {
        "matomo": [{**loopback, "target": 80}],
        "db": [{**loopback, "target": 3306}],
        "backup": None,
    }


def test_no_container_network_or_volume_has_a_name_of_the_project(made: ProjectCopy) -> None:
    model = made.model
    assert model["name"] == "the-copy"
    assert all("container_name" not in one for one in model["services"].values())
    named = [*model["networks"].values(), *model["volumes"].values()]
    assert all(one["name"].startswith("the-copy_") for one in named)
    own = set(made.folders.values())
    external = {one["name"] for one in named if one.get("external")}
    assert external == own, "nothing else is somebody's: these are filled before"


def test_who_was_called_by_the_name_of_its_container_still_is(made: ProjectCopy) -> None:
    services = made.model["services"]
    assert services["db"]["networks"] == {"inside": {"aliases": ["piwik-db"]}}
    assert services["matomo"]["networks"] == {
        "inside": {"aliases": ["web", "analytics"]},
        "front": {"aliases": ["analytics"]},
    }


def test_networks_are_fresh_and_lead_nowhere(made: ProjectCopy) -> None:
    networks = made.model["networks"]
    assert set(networks) == {"inside", "front", "default"}
    for one in networks.values():
        assert set(one) == {"name", "labels", "driver", "driver_opts"}
        assert one["driver_opts"] == compose_model.NO_WAY_OUT
    for one in made.model["services"].values():
        assert one["dns"] == ["127.0.0.1"]
        assert all(host.endswith(":255.255.255.255") for host in one["extra_hosts"])
        assert not {"external_links", "network_mode", "mac_address"} & set(one)


@pytest.mark.parametrize("mode", ["default", "production_default"])
def test_no_network_of_the_engines_is_joined_by_its_name(
    project: dict[str, Any], mode: str, tmp_path: Path
) -> None:
    project["services"]["backup"]["network_mode"] = mode
    made = compose_model.copied(
        project, ROLES, "the-copy", LABELS, lambda name: tmp_path / "run" / name
    )
    one = made.model["services"]["backup"]
    assert "network_mode" not in one
    assert one["dns"] == ["127.0.0.1"]
    assert set(one["networks"]) == {"default"}


def test_everything_carries_our_labels_and_none_of_the_project(made: ProjectCopy) -> None:
    for kind in ("services", "networks"):
        assert all(one["labels"] == LABELS for one in made.model[kind].values())
    for one in made.model["volumes"].values():
        assert one.get("external") or one["labels"] == LABELS


def test_no_mount_is_of_this_machine(made: ProjectCopy, tmp_path: Path) -> None:
    mounts = made.model["services"]["matomo"]["volumes"]
    sources = [str(mount.get("source", "")) for mount in mounts if mount["type"] == "bind"]
    assert sources == [str(made.files[tmp_path / "php.ini"])]
    assert all(source.startswith(str(tmp_path / "run")) for source in sources)
    assert set(made.folders) == {
        tmp_path / "config",
        tmp_path / "not-there",
        tmp_path / "sites",
    }
    assert not (tmp_path / "not-there").exists(), "Compose would make it in the project"


def test_what_two_services_share_they_share_in_the_copy(made: ProjectCopy, tmp_path: Path) -> None:
    folder = made.folders[tmp_path / "config"]
    for name in ("matomo", "backup"):
        mounts = made.model["services"][name]["volumes"]
        assert folder in [mount.get("source") for mount in mounts]


def test_the_data_of_the_database_are_not_copied(made: ProjectCopy, tmp_path: Path) -> None:
    assert made.model["services"]["db"]["volumes"] == [
        {"type": "tmpfs", "target": "/var/lib/mysql"}
    ]
    data, _ = made.model["services"]["backup"]["volumes"]
    assert data == {
        "type": "volume",
        "source": "the-copy_data-0",
        "target": "/data",
        "read_only": True,
    }
    assert tmp_path / "data" not in made.folders


def test_secrets_variables_checks_and_limits_are_those_of_the_project(
    made: ProjectCopy, project: dict[str, Any], tmp_path: Path
) -> None:
    matomo, before = made.model["services"]["matomo"], project["services"]["matomo"]
    for key in ("environment", "secrets", "depends_on", "healthcheck", "image"):
        assert matomo[key] == before[key]
    assert matomo["deploy"] == {"resources": {"limits": {"memory": "1g"}}}
    secret = made.model["secrets"]["database"]
    assert secret == {"file": str(made.files[tmp_path / "password"])}
    assert made.model["configs"] == {"site": {"content": "hello $$x"}}


def test_a_database_whose_data_are_in_memory_has_no_limit_of_it(
    project: dict[str, Any], tmp_path: Path
) -> None:
    limits = {"limits": {"memory": "268435456", "cpus": "1"}}
    for name in ("matomo", "db"):
        project["services"][name] |= {"mem_limit": "1", "deploy": {"resources": limits}}
    made = compose_model.copied(project, ROLES, "c", LABELS, lambda name: tmp_path / "run" / name)
    matomo, database = made.model["services"]["matomo"], made.model["services"]["db"]
    assert matomo["deploy"] == {"resources": limits}
    assert matomo["mem_limit"] == "1"
    assert database["deploy"] == {"resources": {"limits": {"cpus": "1"}}}
    assert "mem_limit" not in database


def test_matomos_own_files_can_be_written_to_whatever_the_project_forbids(
    project: dict[str, Any], tmp_path: Path
) -> None:
    for name in ("matomo", "backup"):
        project["services"][name]["read_only"] = True
    made = compose_model.copied(project, ROLES, "c", LABELS, lambda name: tmp_path / "run" / name)
    assert "read_only" not in made.model["services"]["matomo"]
    assert made.model["services"]["backup"]["read_only"]


def test_nothing_starts_by_itself_again_or_writes_its_log_elsewhere(made: ProjectCopy) -> None:
    for one in made.model["services"].values():
        assert one["restart"] == "no"
        assert one["logging"] == {"driver": "json-file"}
        assert not {"profiles", "scale", "build", "env_file"} & set(one)
    json.dumps(made.model)


def test_a_read_only_configuration_is_opened_for_the_installation_and_nothing_else(
    project: dict[str, Any], tmp_path: Path
) -> None:
    mounts = project["services"]["matomo"]["volumes"]
    mounts[1]["read_only"] = True
    made = compose_model.copied(project, ROLES, "c", LABELS, lambda name: tmp_path / "run" / name)
    assert made.opened == (ROLES.configuration,)
    _, config, php, *_ = made.model["services"]["matomo"]["volumes"]
    assert "read_only" not in config
    assert php["read_only"]


# -- its database ---------------------------------------------------------------------------------


def test_the_database_is_the_service_that_matomo_is_led_to(project: dict[str, Any]) -> None:
    project["services"]["other"] = {"image": "mariadb", "networks": {"inside": None}}
    assert compose_model.database_service(project, "matomo", FILE) == "db"


def test_without_a_variable_the_database_is_what_looks_like_one(project: dict[str, Any]) -> None:
    del project["services"]["matomo"]["environment"][HOST]
    assert compose_model.database_service(project, "matomo", FILE) == "db"
    project["services"]["matomo"]["depends_on"] = {}
    project["services"]["other"] = {"image": "x", "environment": {"MYSQL_DATABASE": "other"}}
    with pytest.raises(WrongInputError, match="db, other"):
        compose_model.database_service(project, "matomo", FILE)


@pytest.mark.parametrize("name", ["matomo", "backup"])
@pytest.mark.parametrize("variable", [HOST, "DB_HOST", "MYSQL_HOST"])
def test_a_database_outside_the_project_is_refused(
    project: dict[str, Any], name: str, variable: str
) -> None:
    environment = project["services"][name].setdefault("environment", {})
    environment[variable] = "prod.rds.example:3306"
    with pytest.raises(WrongInputError, match=r"prod\.rds\.example, which is no service"):
        compose_model.database_service(project, "matomo", FILE)


def test_a_mounted_configuration_that_leads_outside_is_refused(
    project: dict[str, Any], tmp_path: Path
) -> None:
    del project["services"]["matomo"]["environment"][HOST]
    (tmp_path / "config/config.ini.php").write_text('[database]\nhost = "prod.rds.example"\n')
    text = compose_model.mounted_configuration(project, "matomo")
    with pytest.raises(WrongInputError, match=r"config\.ini\.php leads to prod\.rds\.example"):
        compose_model.database_service(project, "matomo", FILE, text)


def test_a_project_without_a_database_is_refused(project: dict[str, Any]) -> None:
    del project["services"]["db"]
    del project["services"]["matomo"]["environment"][HOST]
    with pytest.raises(WrongInputError, match="one MariaDB"):
        compose_model.database_service(project, "matomo", FILE)


def test_an_fpm_is_answered_for_by_the_web_server_that_shares_its_files(
    project: dict[str, Any],
) -> None:
    services = project["services"]
    del services["matomo"]["ports"]
    shared = {"type": "volume", "source": "html", "target": "/var/www/html", "read_only": True}
    with pytest.raises(WrongInputError, match="php-fpm alone"):
        compose_model.web_of_fpm(project, "matomo", FILE, "/var/www/html")
    services["web"] = {"image": "nginx", "volumes": [shared], "ports": [{"target": 8080}]}
    assert compose_model.web_of_fpm(project, "matomo", FILE, "/var/www/html") == "web"
    assert compose_model.web_port(project, "web") == 8080


def test_a_web_server_that_shares_the_files_is_taken_before_what_only_depends_on_matomo(
    project: dict[str, Any],
) -> None:
    services = project["services"]
    shared = {"type": "volume", "source": "html", "target": "/var/www/html"}
    services["exporter"] = {
        "image": "exporter",
        "depends_on": {"matomo": {"condition": "service_started"}},
        "ports": [{"target": 9253}],
    }
    assert compose_model.web_of_fpm(project, "matomo", FILE, "/var/www/html") == "exporter"
    services["web"] = {"image": "nginx", "volumes": [shared], "ports": [{"target": 80}]}
    assert compose_model.web_of_fpm(project, "matomo", FILE, "/var/www/html") == "web"


@pytest.mark.parametrize(
    "shares",
    [
        {"volumes": [{"type": "volume", "source": "html", "target": "/var/www/html"}]},
        {"volumes_from": ["matomo:ro"]},
    ],
)
def test_a_web_server_behind_a_proxy_of_the_project_publishes_no_port(
    project: dict[str, Any], shares: dict[str, Any]
) -> None:
    services = project["services"]
    services["cron"] = {"image": "institution/matomo:5", **shares}
    services["traefik"] = {
        "image": "traefik",
        "depends_on": {"matomo": {"condition": "service_started"}},
        "ports": [{"target": 443}],
    }
    services["web"] = {"image": "registry.example/nginx:1-alpine", "expose": ["8080"], **shares}
    assert compose_model.web_of_fpm(project, "matomo", FILE, "/var/www/html") == "web"
    assert compose_model.web_port(project, "web") is None
    assert compose_model.exposed(project, "web") == [8080]
    assert compose_model.exposed(project, "db") == []


def test_volumes_without_a_name_are_not_shared(project: dict[str, Any]) -> None:
    services = project["services"]
    web = services["web"] = {"image": "nginx", "ports": [{"target": 80}]}
    web["volumes_from"] = ["matomo:ro"]
    services["matomo"]["volumes"] = [{"type": "volume", "target": "/var/www/html", "volume": {}}]
    services["cache"] = {
        "image": "redis",
        "ports": [{"target": 6379}],
        "volumes": [{"type": "volume", "target": "/data", "volume": {}}],
    }
    project["services"] = dict(sorted(services.items()))
    assert compose_model.web_of_fpm(project, "matomo", FILE, "/var/www/html") == "web"


@pytest.mark.parametrize(
    ("targets", "found", "port"),
    [
        ([80, 443], 443, 443),
        ([80, 443], None, 80),
        ([443], 80, 443),
        ([2222, 8080], 8080, 8080),
        ([22, 8080], None, 8080),
        ([9253, 8088], 8088, 8088),
        ([], 80, None),
    ],
)
def test_where_its_image_answers_wins_among_the_ports_of_a_service(
    project: dict[str, Any], targets: list[int], found: int | None, port: int | None
) -> None:
    project["services"]["matomo"]["ports"] = [{"target": target} for target in targets]
    assert compose_model.web_port(project, "matomo", found) == port


def test_a_web_server_that_may_end_tls_besides_is_reached_by_both_ports(
    project: dict[str, Any], tmp_path: Path
) -> None:
    assert compose_model.tls_port(project, "matomo", 80) == 443
    assert compose_model.tls_port(project, "matomo", 443) is None
    roles = Roles("matomo", "db", "matomo", 80, tls_port=443)
    made = compose_model.copied(project, roles, "c", LABELS, lambda name: tmp_path / "run" / name)
    ports = [port["target"] for port in made.model["services"]["matomo"]["ports"]]
    assert ports == [80, 443]


@pytest.mark.parametrize(
    "place", ["config.ini.php", "own/config.ini.php", "web/config/config.ini.php"]
)
def test_a_mounted_configuration_is_found_as_a_file_in_its_folder_or_the_web_root(
    project: dict[str, Any], tmp_path: Path, place: str
) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("; its own")
    source = path if path.parent == tmp_path else tmp_path / place.partition("/")[0]
    project["services"]["matomo"]["volumes"].append(bind(source, "/var/www/html/somewhere"))
    assert compose_model.mounted_configuration(project, "matomo") == "; its own"


def test_code_that_a_project_mounts_is_found(project: dict[str, Any], tmp_path: Path) -> None:
    assert compose_model.mounted_code(project, "matomo") is None
    (tmp_path / "own").mkdir()
    (tmp_path / "own/matomo.php").touch()
    project["services"]["matomo"]["volumes"].append(bind(tmp_path / "own", "/var/www/html"))
    assert compose_model.mounted_code(project, "matomo") == tmp_path / "own"


# -- what cannot be copied ------------------------------------------------------------------------


def test_a_copyable_project_is_not_refused(project: dict[str, Any]) -> None:
    compose_model.require_copyable(project, FILE)


def test_an_unknown_service_is_refused_with_those_that_there_are(project: dict[str, Any]) -> None:
    with pytest.raises(WrongInputError, match="matomo, db, backup") as refusal:
        compose_model.service(project, "piwik", FILE)
    assert refusal.value.next_command


def test_a_service_with_build_alone_is_refused(project: dict[str, Any]) -> None:
    del project["services"]["matomo"]["image"]
    with pytest.raises(WrongInputError, match="build: alone") as refusal:
        compose_model.require_copyable(project, FILE)
    assert f"docker compose --file {FILE} build matomo" in refusal.value.next_command
    assert "`image: institution-matomo`" in refusal.value.next_command, "no public image's name"


def test_a_build_of_several_files_is_given_each_of_them(project: dict[str, Any]) -> None:
    del project["services"]["matomo"]["image"]
    with pytest.raises(WrongInputError) as refusal:
        compose_model.require_copyable(project, f"{FILE}:gate.yml")
    assert f"--file {FILE} --file gate.yml build matomo" in refusal.value.next_command


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("network_mode", "host"),
        ("network_mode", "container:other"),
        ("pid", "host"),
        ("ipc", "host"),
        ("privileged", True),
        ("devices", ["/dev/sda:/dev/sda"]),
        ("use_api_socket", True),
        ("volumes_from", ["container:other"]),
        ("volumes", [{"type": "npipe", "source": "x", "target": "/x"}]),
        ("volumes", [bind("/var/run/docker.sock", "/var/run/docker.sock", read_only=True)]),
        ("volumes", [bind("/", "/host", read_only=True)]),
        ("volumes", [bind("/proc", "/host/proc", read_only=True)]),
        ("volumes", [bind("/dev/null", "/x")]),
    ],
    ids=str,
)
def test_a_part_in_the_machine_is_refused_by_its_name(
    project: dict[str, Any], key: str, value: object
) -> None:
    project["services"]["backup"][key] = value
    with pytest.raises(WrongInputError, match=rf"service backup(.|\n)*seen: {key}: "):
        compose_model.require_copyable(project, FILE)


def test_a_socket_is_refused_by_its_name(project: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "own"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        project["services"]["backup"]["volumes"] = [bind(path, "/own")]
        with pytest.raises(WrongInputError, match="a socket or a device"):
            compose_model.require_copyable(project, FILE)


def test_root_of_a_hardened_service_may_read_and_write_what_others_own(
    project: dict[str, Any], tmp_path: Path
) -> None:
    project["services"]["matomo"] |= {"user": "33:33", "cap_drop": ["ALL"]}
    made = compose_model.copied(project, ROLES, "c", LABELS, lambda name: tmp_path / "run" / name)
    assert made.model["services"]["matomo"]["cap_add"] == list(compose_model.OF_ROOT)


def test_root_of_a_service_that_starts_as_root_may_do_so_with_its_own_capabilities_besides(
    project: dict[str, Any], tmp_path: Path
) -> None:
    project["services"]["matomo"] |= {"cap_drop": ["ALL"], "cap_add": ["NET_BIND_SERVICE"]}
    made = compose_model.copied(project, ROLES, "c", LABELS, lambda name: tmp_path / "run" / name)
    assert made.model["services"]["matomo"]["cap_add"] == sorted(
        {*compose_model.OF_ROOT, "NET_BIND_SERVICE"}
    )


def test_what_is_closed_to_this_user_is_refused_by_its_name(
    project: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(path: Path, *_: Any, **__: Any) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    copied = partial(compose_model.copied, project, ROLES, "c", LABELS, tmp_path.joinpath)
    monkeypatch.setattr(Path, "lstat", closed)
    (tmp_path / "sites/file").touch()
    refused = "to be allowed to read .*, which the project mounts"
    with pytest.raises(WrongInputError, match=refused):
        copied()
    monkeypatch.setattr(Path, "is_file", closed)
    for read in (copied, partial(compose_model.mounted_configuration, project, "matomo")):
        with pytest.raises(WrongInputError, match=refused):
            read()


def test_what_is_too_large_is_refused_by_its_name(project: dict[str, Any], tmp_path: Path) -> None:
    dump = tmp_path / "sites/dump.sql"
    with dump.open("wb") as file:
        file.truncate(compose_model.MOST_BYTES + 1)
    with pytest.raises(WrongInputError, match=f"{tmp_path}/sites"):
        compose_model.copied(project, ROLES, "c", LABELS, lambda name: tmp_path / "run" / name)
    dump.rename(tmp_path / "data/dump.sql")
    compose_model.copied(project, ROLES, "c", LABELS, lambda name: tmp_path / "run" / name)
