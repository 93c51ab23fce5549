"""What is read of an image: from what look.sh printed, from /proc, from deployment.toml."""

from pathlib import Path

import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.matomo.image import ImageProfile, profile_of
from matomo_harness.matomo.look import found_in, with_settings
from matomo_harness.matomo.look import profile_of as read
from matomo_harness.policy import deployment
from matomo_harness.runtime.profiles import (
    exposed_ports,
    listening,
    web_server_of,
    web_user_of,
)

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
    alone = [("apache2", "root"), ("apache2", "institution")]
    assert (web_server_of(alone), web_user_of(alone)) == ("apache2", "institution")
    assert (web_server_of([]), web_user_of([("apache2", "root")])) == ("", "")
