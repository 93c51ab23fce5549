"""What is read of an image: from what look.sh printed, from /proc, from deployment.toml."""

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.matomo.image import OFFICIAL, ImageProfile, profile_of
from matomo_harness.matomo.look import SCRIPT, found_in, with_settings
from matomo_harness.matomo.look import profile_of as read
from matomo_harness.operate import inspect
from matomo_harness.policy import deployment
from matomo_harness.runtime import compose_project, profiles
from matomo_harness.runtime.engine import CommandResult
from matomo_harness.runtime.fpm import memory_of
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.profiles import (
    Answers,
    exposed_ports,
    listening,
    places_of,
    web_server_of,
    web_user_of,
)
from tests.clock import Clock

STOCK = """\
plugins\t/usr/src/matomo API CoreHome
matomo\t/usr/src/matomo 5.3.1
php\t8.4.1
server\tapache2
web_user\twww-data
directory\t/var/www/html 33:33:1777 0
"""


def profile(more: str = "", *started: str, said: str = STOCK) -> ImageProfile:
    return read(found_in(said + more), "an image", "/var/www/html", started)


def test_upstreams_layout() -> None:
    found = profile()
    assert (found.matomo, found.code, found.web_root) == (
        "5.3.1",
        "/usr/src/matomo",
        "/var/www/html",
    )
    assert (found.configuration, found.seed, found.plugins) == ("wizard", "", ("API", "CoreHome"))
    assert not found.has_web_root_files
    assert found.archiver == ("php", "/var/www/html/console", "core:archive")


@pytest.mark.parametrize(
    ("paths", "configuration", "seed"),
    [
        (["/opt/seed/config.ini.php"], "file", "/opt/seed/config.ini.php"),
        (
            ["/opt/config.ini.php", "/var/www/html/config/config.ini.php"],
            "web root",
            "/var/www/html/config/config.ini.php",
        ),
        (["/usr/src/matomo/config/common.config.ini.php"], "wizard", ""),
    ],
)
def test_where_the_configuration_comes_from(
    paths: list[str], configuration: str, seed: str
) -> None:
    found = profile("".join(f"config\t{path}\n" for path in paths))
    assert (found.configuration, found.seed) == (configuration, seed)


def test_a_web_root_of_another_name_has_the_code_itself() -> None:
    said = STOCK.replace("/usr/src/matomo", "/srv/matomo")
    found = profile("directory\t/srv/matomo 33:33:755 40\n", said=said)
    assert (found.web_root, found.code, found.has_web_root_files) == (
        "/srv/matomo",
        "/srv/matomo",
        True,
    )


@pytest.mark.parametrize(
    ("more", "started", "archiver", "tasks"),
    [
        ("archiver\t/usr/local/bin/run.sh\n", (), ("run.sh",), ()),
        ("archiver\t/opt/jobs/run.sh\n", (), ("/opt/jobs/run.sh",), ()),
        ("archiver\t/start.sh\n", ("/start.sh",), (), ()),
        (
            "archiver\t/usr/local/bin/a\nleaves_tasks_out\t/usr/local/bin/a\ntasks\t/usr/local/bin/t\n",
            (),
            ("a",),
            ("t",),
        ),
        ("archiver\t/usr/local/bin/a\ntasks\t/usr/local/bin/a\n", (), ("a",), ()),
    ],
)
def test_which_programs_are_jobs(
    more: str, started: tuple[str, ...], archiver: tuple[str, ...], tasks: tuple[str, ...]
) -> None:
    found = profile(more, *started)
    assert found.has_archiver == bool(archiver)
    assert found.archiver == (archiver or found.console_archiver)
    assert found.tasks == tasks


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("", "no directory that has matomo.php"),
        (STOCK.replace("5.3.1", "4.16.1"), "Matomo 4.16.1 in /usr/src/matomo"),
        (STOCK.replace("server\tapache2\n", ""), "neither Apache, nginx"),
    ],
)
def test_what_cannot_be_judged_is_refused(said: str, seen: str) -> None:
    with pytest.raises(WrongInputError) as error:
        profile(said=said)
    assert seen in error.value.seen


def test_php_fpm_alone_is_a_web_servers_to_be() -> None:
    said = STOCK.replace("server\tapache2", "fpm\t/usr/local/sbin/php-fpm")
    assert profile(said=said).web_server == "php-fpm"
    assert profile(said=said).http_port == 80


@pytest.mark.parametrize(
    ("owner", "options"),
    [("82:82:777", ",uid=82,gid=82"), ("0:0:755", ",uid=0,gid=0"), ("", "")],
)
def test_a_process_manager_finds_its_web_root_with_the_owner_of_the_image(
    owner: str, options: str
) -> None:
    assert memory_of(ImageProfile(web_root_owner=owner)) == f"size=1g,mode=1777{options}"


def test_what_a_configuration_says() -> None:
    text = '[database]\nhost = "${DB}"\ntables_prefix = ""\n'
    text += "[PluginsInstalled]\nPluginsInstalled[] = A\n"
    found = with_settings(profile(), text)
    assert found.variables == (("database.host", "DB"),)
    assert found.prefix == ""
    assert found.lists_installed_plugins
    assert with_settings(profile(), "[broken") == profile()


def test_variables_are_given_by_what_they_stand_for() -> None:
    found = ImageProfile(
        variables=(("database.host", "DB"), ("General.salt", "SALT"), ("General.other", "X")),
        declared=(("URL", "mysql://${MATOMO_DATABASE_HOST}/${NONE}"),),
    )
    known = {"MATOMO_DATABASE_HOST": "db-1", "MATOMO_GENERAL_SALT": "s"}
    assert found.environment(known) == {"DB": "db-1", "SALT": "s", "URL": "mysql://db-1/"}


def test_a_profile_outlives_json() -> None:
    found = ImageProfile(variables=(("a.b", "C"),), archiver=("x", "y"))
    assert profile_of({"variables": [["a.b", "C"]], "archiver": ["x", "y"]}) == found


def test_who_listens() -> None:
    table = """\
  sl  local_address rem_address   st tx_queue
   0: 00000000:1F90 00000000:0000 0A 00000000
   1: 0100007F:0050 00000000:0000 0A 00000000
   2: 00000000:0051 00000000:0000 01 00000000
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0
"""
    assert listening(table) == (80, 8080)


def test_limits_make_no_other_image(tmp_path: Path) -> None:
    path = tmp_path / "deployment.toml"

    def digest(text: str) -> str:
        path.write_text(text)
        return deployment.read(path).digest

    assert digest("") == digest("[web]\nmemory_mib = 512\n[archiver]\ncpu_units = 256\n")
    assert digest("") != digest("[web]\nport = 8080\n")
    assert digest("") != digest('[web.variables]\nA = "b"\n')
    assert digest("") != digest('[tasks]\ncommand = ["t"]\n')


def test_only_ports_of_tcp_are_exposed() -> None:
    assert exposed_ports({"ExposedPorts": {"8000/tcp": {}, "443": {}, "443/udp": {}}}) == (
        443,
        8000,
    )
    assert exposed_ports({"ExposedPorts": None}) == exposed_ports({}) == ()


def test_nginx_serves_and_php_fpm_runs_the_code() -> None:
    found = [
        ("php-fpm8.4", "root"),
        ("php-fpm8.4", "www-data"),
        ("nginx", "root"),
        ("nginx", "web"),
    ]
    assert (web_server_of(found), web_user_of(found)) == ("nginx", "www-data")
    # Its workers come with the first request, and nginx's run no code.
    assert web_user_of([one for one in found if one != ("php-fpm8.4", "www-data")]) == ""
    alone = [("apache2", "root"), ("apache2", "institution")]
    assert (web_server_of(alone), web_user_of(alone)) == ("apache2", "institution")
    assert (web_server_of([]), web_user_of([("apache2", "root")])) == ("", "")


def test_of_two_versions_the_one_that_is_served_is_judged() -> None:
    newer = "matomo\t/var/www/html 5.4.0\n"
    assert (profile(newer).code, profile(newer).matomo) == ("/var/www/html", "5.4.0")
    same = "matomo\t/var/www/html 5.3.1\n"
    assert profile(same).code == "/usr/src/matomo"
    runs = read(found_in(STOCK + newer), "a container", "/var/www/html", (), is_image=False)
    assert runs.code == "/usr/src/matomo"


def test_a_program_of_matomos_code_is_found_where_the_start_copies_it_from() -> None:
    copied = ["/var/www/html/console", "/usr/src/matomo/console"]
    assert places_of("/var/www/html/console", OFFICIAL) == copied
    assert places_of("./console", OFFICIAL) == copied
    assert places_of("php", OFFICIAL) == ["php"]
    assert places_of("/opt/archive.sh", OFFICIAL) == ["/opt/archive.sh"]


@pytest.mark.parametrize(
    ("user", "web_user"),
    [
        ("", "www-data"),
        ("root", "www-data"),
        ("0:0", "www-data"),
        ("1001", "1001"),
        ("app:0", "app"),
    ],
)
def test_an_image_that_cannot_change_its_user_runs_matomo_as_that_one(
    monkeypatch: pytest.MonkeyPatch, user: str, web_user: str
) -> None:
    settings = {"User": user, "Cmd": ["start"], "ExposedPorts": {"8080/tcp": {}}}
    monkeypatch.setattr(profiles, "require_runnable", lambda _: None)
    monkeypatch.setattr(
        profiles, "engine", lambda: SimpleNamespace(images=SimpleNamespace(get=str))
    )
    monkeypatch.setattr(profiles, "inspected", lambda *_: settings)
    monkeypatch.setattr(profiles, "_looked", lambda *_: found_in(STOCK))
    monkeypatch.setattr(profiles, "_first_start", lambda *_: None)
    found = profiles.look(Image("institution/matomo:5", "sha256:1", "given"))
    assert (found.web_user, found.port) == (web_user, 8080)


def waited(
    monkeypatch: pytest.MonkeyPatch,
    said: list[str],
    exposed: tuple[int, ...],
    known: int | None,
    state: str = "S",
) -> Answers:
    """Return where the web server answers; the last of what is said is said until the end.

    The start has one process and its child: at two of three looks one is in this state.
    """
    words: Iterator[str] = iter(said)
    last = [""]

    def answer(_container: object, command: list[str], _user: str) -> CommandResult:
        if command[0] == "cat":
            return CommandResult(0, "0: 00000000:0050 00000000:0000 0A\n", "")
        last[0] = next(words, last[0])
        return CommandResult(0, last[0], "")

    monkeypatch.setattr(profiles, "execute", answer)
    monkeypatch.setattr(profiles, "is_alive", lambda _: True)
    monkeypatch.setattr(profiles, "time", Clock(times=10))
    states = itertools.cycle([state, state, "S"])
    container: Any = SimpleNamespace(top=lambda **_: {"Processes": [["1", next(states)]]})
    answers, _ = profiles._wait_for_ports(container, exposed, known, is_http=True)
    return answers


@pytest.mark.parametrize("first", ["tcp:9001:404 ", "tcp:9001:401 ", "tcp:9001:501 "])
@pytest.mark.parametrize("known", [None, 80])
def test_who_answers_first_need_not_be_matomos_web_server(
    monkeypatch: pytest.MonkeyPatch, first: str, known: int | None
) -> None:
    answers = waited(monkeypatch, [first, first + "tcp:80:200 "], (), known)
    assert answers.likeliest == 80


def test_the_known_port_is_waited_for_whoever_answers_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = waited(monkeypatch, ["tcp:8080:200 ", "tcp:8080:200 tcp:8081:200 "], (), 8081)
    assert 8081 in answers.ports


def test_what_is_no_port_of_matomos_is_not_taken_where_another_is_declared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not waited(monkeypatch, ["tcp:9001:404 "], (80,), None).ports
    assert not waited(monkeypatch, ["tcp:9001:404 "], (), 80).ports


def test_nothing_is_waited_for_once_each_declared_port_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = ["tcp:80:401 ", "tcp:80:401 tcp:81:200 "]
    assert waited(monkeypatch, said, (80,), None).ports == (80,)
    assert waited(monkeypatch, said, (80, 81), None).ports == (80, 81)


@pytest.mark.parametrize(("exposed", "port"), [((), 8085), ((8085,), 8085)])
def test_a_web_server_without_a_file_of_matomos_is_taken_in_the_end(
    monkeypatch: pytest.MonkeyPatch, exposed: tuple[int, ...], port: int
) -> None:
    assert waited(monkeypatch, ["tcp:8085:404 "], exposed, None).likeliest == port


@pytest.mark.parametrize(
    ("state", "seconds", "is_found"),
    [("S", 20, True), ("S+", 40, False), ("R+", 100, True), ("D", 100, True), ("R", 200, False)],
)
def test_a_start_that_is_at_work_may_take_longer_than_one_that_waits(
    monkeypatch: pytest.MonkeyPatch, state: str, seconds: int, is_found: bool
) -> None:
    said = ["", *[""] * seconds, "tcp:80:200 "]
    assert waited(monkeypatch, said, (80,), None, state).ports == ((80,) if is_found else ())


def test_the_names_of_a_start_may_be_in_a_script_that_it_reads(tmp_path: Path) -> None:
    start, variables = tmp_path / "entrypoint.sh", tmp_path / "matomo-env.sh"
    start.write_text(f'#!/bin/bash\n. {variables}\n. /not/there.sh\nexec "$@"\n')
    start.chmod(0o755)
    variables.write_text(
        'export MATOMO_DATABASE_USER="${MATOMO_DATABASE_USER:-bn_matomo}" # of the first start\n'
        'export MATOMO_DATABASE_NAME="${MATOMO_DATABASE_NAME:-bitnami_matomo}"\n'
    )
    find = tmp_path / "bin/find"
    find.parent.mkdir()
    find.write_text(f'#!/bin/sh\n[ "$1" = -L ] && exec {shutil.which("find")} "$@"\nexit 0\n')
    find.chmod(0o755)
    said = subprocess.run(
        ["sh", "-c", SCRIPT, "look", str(tmp_path), str(start)],
        env={"PATH": f"{find.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert {"MATOMO_DATABASE_USER", "MATOMO_DATABASE_NAME"} <= {*found_in(said)["name"]}


def test_what_a_service_has_besides_its_image_is_named_and_no_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    matomo = {
        "image": "matomo:5-apache",
        "environment": {"MATOMO_DATABASE_HOST": "db", "MATOMO_DATABASE_PASSWORD": "hunter2"},
        "volumes": [
            {"type": "bind", "source": "/srv/own.ini.php", "target": "/var/www/html/config"}
        ],
        "command": None,
        "user": "1000",
    }
    model = {"services": {"matomo": matomo, "plain": {"image": "matomo:5-apache"}}}
    monkeypatch.setattr(compose_project, "resolved", lambda _: model)
    found = inspect.beyond_the_image("docker-compose.yml", "matomo")
    variables = "variables (MATOMO_DATABASE_HOST, MATOMO_DATABASE_PASSWORD)"
    assert found == [variables, "mounts (/var/www/html/config)", "user"]
    assert inspect.beyond_the_image("docker-compose.yml", "plain") == []
    assert inspect.beyond_the_image("matomo:5-apache", "matomo") == []


def test_a_service_with_build_alone_gets_the_line_that_names_its_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To build it and to "name its image" was all that was said, and the next try said it again."""
    model = {"name": "library", "services": {"matomo": {"build": {"context": "."}}}}
    monkeypatch.setattr(compose_project, "resolved", lambda _: model)
    with pytest.raises(WrongInputError) as refused:
        inspect.image_of("docker-compose.yml", "matomo")
    assert "add `image: library-matomo` to it" in refused.value.next_command


def test_a_file_that_nobody_can_execute_is_no_archiver(tmp_path: Path) -> None:
    names = ("archive.sh", "crontab")
    for name in names:
        (tmp_path / name).write_text("php /var/www/html/console core:archive\n")
    (tmp_path / "archive.sh").chmod(0o755)
    paths = " ".join(str(tmp_path / name) for name in names)
    find = tmp_path / "bin/find"
    find.parent.mkdir()
    find.write_text(f"#!/bin/sh\ncase $* in *core:archive*) printf '%s\\n' {paths} ;; esac\n")
    find.chmod(0o755)
    said = subprocess.run(
        ["sh", "-c", SCRIPT, "look", str(tmp_path)],
        env={"PATH": f"{find.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert found_in(said)["archiver"] == [str(tmp_path / "archive.sh")]
