"""How the gate comes to the Matomo in a copy of a project, and what it opens there."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pymysql
import pytest

from matomo_harness.errors import WrongInputError
from matomo_harness.matomo.database import Database
from matomo_harness.matomo.image import OFFICIAL, ImageProfile
from matomo_harness.matomo.look import profile_of
from matomo_harness.operate import gate_compose
from matomo_harness.operate.gate_compose import _Installer
from matomo_harness.runtime import images, profiles
from matomo_harness.runtime.compose_model import Roles
from matomo_harness.runtime.engine import CommandResult
from matomo_harness.runtime.images import Image

ROLES = Roles("matomo", "db", "matomo", 80, tls_port=443)
OWN = replace(OFFICIAL, web_user=str(os.getuid()))
IMAGE = Image("institution/matomo:5", "sha256:1", "given")


@dataclass
class Copy:
    """A copy of which nothing runs."""

    roles: Roles
    asked: list[str] = field(default_factory=list)

    def container(self, name: str) -> Any:
        """Return a container that does not run."""
        return SimpleNamespace(name=name)

    def port(self, _name: str, inside: int) -> int:
        """Return a port that says which it leads to."""
        return 10_000 + inside

    def network_of(self, _name: str) -> str:
        """Return a name."""
        return "the-copy_default"


@dataclass
class Folder:
    """A shell in a directory of this machine."""

    root: Path
    profile: ImageProfile = OWN
    config: str = "config/config.ini.php"
    container: Any = None
    is_closed: bool = False

    def run(self, *command: str, user: str = "") -> str:  # noqa: ARG002  there is one user alone
        """Run a command there."""
        if self.is_closed and "test -w" in command[2]:  # root may write anywhere
            return ""
        return subprocess.run(
            command, cwd=self.root, check=True, capture_output=True, text=True
        ).stdout


def installer(roles: Roles = ROLES, profile: ImageProfile = OFFICIAL) -> Any:
    made: Any = _Installer(
        Copy(roles),  # type: ignore[arg-type]
        profile,
        contextlib.ExitStack(),
    )
    return made


# -- by which port --------------------------------------------------------------------------------


@pytest.fixture
def balancers(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What load balancers are asked to do; each lets everybody in."""
    made: list[dict[str, Any]] = []

    @contextlib.contextmanager
    def balancer(_network: object, _certificate: object, **options: Any) -> Any:
        made.append(options)
        http = SimpleNamespace(url="http://localhost:2")
        yield SimpleNamespace(url="https://localhost:1", http=http, published_port=1)

    certificate = SimpleNamespace(issue=lambda *_: None, file=None)
    monkeypatch.setattr(gate_compose, "LoadBalancer", balancer)
    monkeypatch.setattr(gate_compose, "network", SimpleNamespace)
    monkeypatch.setattr(gate_compose, "authority", lambda: certificate)
    monkeypatch.setattr(gate_compose, "wait_for_web", lambda *_: None)
    monkeypatch.setattr(gate_compose, "wait_for_answer", lambda _c, _what, ask, **_: ask())
    monkeypatch.setattr(
        gate_compose, "_leads_to_https", lambda web: web.url.startswith("http://localhost:10")
    )
    return made


def ends_tls(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    def speaks(_host: str, port: int) -> bool:
        if port == 10_443 and 443 not in ports:
            raise ConnectionResetError
        return port - 10_000 in ports

    monkeypatch.setattr(gate_compose, "speaks_tls", speaks)


@pytest.mark.parametrize("general", [{}, {"force_ssl": "1"}])
@pytest.mark.parametrize(("tls", "port"), [((443,), 443), ((), 80)])
def test_where_clear_text_leads_to_https_the_port_is_taken_that_ends_tls(
    balancers: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    tls: tuple[int, ...],
    port: int,
    general: Mapping[str, str],
) -> None:
    ends_tls(monkeypatch, *tls)
    _, address = installer()._http({"General": general})
    (asked,) = balancers
    assert (asked["target"], asked["target_tls"]) == (f"matomo:{port}", bool(tls))
    assert address == "localhost:1"


@pytest.mark.parametrize(
    ("code", "statements"),
    [
        (1049, ["SELECT 1", "CREATE DATABASE IF NOT EXISTS `piwik` CHARACTER SET utf8mb4"]),
        (1045, ["SELECT 1"]),
    ],
)
def test_a_schema_that_nobody_made_is_made_as_the_wizard_does(
    monkeypatch: pytest.MonkeyPatch, code: int, statements: list[str]
) -> None:
    asked = []

    def query(database: Database, statement: str) -> list[object]:
        asked.append(statement)
        if database.name:
            said = pymysql.OperationalError(code, "refused")
            raise WrongInputError(expected="", seen="refused", next_command="") from said
        return []

    monkeypatch.setattr(Database, "query", query)
    database = Database("127.0.0.1", 3306, "root", "", "piwik")
    with contextlib.suppress(WrongInputError):
        gate_compose._use(database)
    assert asked == statements


def test_who_is_led_round_in_a_circle_says_so(
    balancers: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_tls(monkeypatch)
    monkeypatch.setattr(gate_compose, "_leads_to_https", lambda _: True)
    with pytest.raises(WrongInputError, match="round in a circle"):
        installer()._http({"General": {}})
    assert len(balancers) == 1


@pytest.mark.parametrize(("starts_alone", "seconds"), [(True, 60), (False, 180)])
def test_a_start_that_waits_for_its_database_has_more_time(
    monkeypatch: pytest.MonkeyPatch, starts_alone: bool, seconds: float
) -> None:
    given: list[float] = []

    def wait(_c: object, _what: str, ask: Callable[[], None], seconds: float) -> None:
        given.append(seconds)
        ask()

    ends_tls(monkeypatch)
    monkeypatch.setattr(gate_compose, "wait_for_answer", wait)
    installer(profile=replace(OFFICIAL, starts_alone=starts_alone))._speaks_tls(80)
    assert given == [seconds]


@pytest.mark.parametrize(
    ("targets", "found", "port"), [((80, 443), 443, 443), ((2222, 8080), 8080, 8080), ((), 80, 80)]
)
def test_a_project_does_not_overrule_where_its_image_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, targets: tuple[int, ...], found: int, port: int
) -> None:
    monkeypatch.setattr(gate_compose, "look", lambda *_: replace(OFFICIAL, port=found))
    one = {"image": "x", "ports": [{"target": target} for target in targets]}
    model: dict[str, Any] = {"services": {"matomo": one, "db": {"image": "mariadb"}}}
    profile = gate_compose._look(IMAGE, model, "matomo", tmp_path / "policy.toml")
    roles = gate_compose._roles(model, "matomo", "db", profile, "docker-compose.yml")
    assert (profile.port, roles.port) == (port, port)


@pytest.mark.parametrize(
    ("expose", "of_image", "port"),
    [(["8081"], {"80/tcp": {}}, 8081), ([], {"8080/tcp": {}, "443/udp": {}}, 8080), ([], {}, 80)],
)
def test_a_web_server_that_publishes_no_port_is_come_by_where_its_image_listens(
    monkeypatch: pytest.MonkeyPatch, expose: list[str], of_image: dict[str, object], port: int
) -> None:
    fpm = replace(OFFICIAL, web_server="php-fpm", port=9000)
    html = [{"type": "volume", "source": "html", "target": "/var/www/html"}]
    web = {"image": "nginx", "expose": expose, "volumes": html}
    matomo = {"image": "matomo:fpm", "volumes": html}
    model: dict[str, Any] = {"services": {"matomo": matomo, "web": web, "db": {"image": "mariadb"}}}
    found = SimpleNamespace(attrs={"Config": {"ExposedPorts": of_image}})
    monkeypatch.setattr(images, "given", lambda *_: IMAGE)
    monkeypatch.setattr(
        gate_compose, "engine", lambda: SimpleNamespace(images=SimpleNamespace(get=lambda _: found))
    )
    roles = gate_compose._roles(model, "matomo", "db", fpm, "docker-compose.yml")
    assert (roles.web, roles.port, roles.tls_port) == ("web", port, None)


def test_code_that_is_in_a_mount_and_in_no_image_is_refused_by_its_own_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def none(*_: object) -> ImageProfile:
        return profile_of({}, "php:8.2-apache", "/var/www/html", ())

    monkeypatch.setattr(gate_compose, "look", none)
    (tmp_path / "matomo").mkdir()
    mount = {"type": "bind", "source": str(tmp_path / "matomo"), "target": "/var/www/html"}
    model: dict[str, Any] = {"services": {"web": {"volumes": [mount]}}}
    with pytest.raises(WrongInputError, match="no directory that has"):
        gate_compose._look(IMAGE, model, "web", tmp_path / "policy.toml")
    (tmp_path / "matomo/matomo.php").touch()
    with pytest.raises(WrongInputError, match="web mounts its code from"):
        gate_compose._look(IMAGE, model, "web", tmp_path / "policy.toml")


# -- as which user --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("processes", "user"),
    [
        ("httpd 0\nhttpd 1\n", "daemon"),
        ("nginx 0\nnginx 2\nphp-fpm 0\nphp-fpm 1000\n", "1000"),
        ("nginx 0\nnginx 2\nphp-fpm 0\n", "www-data"),
        ("", "www-data"),
    ],
)
def test_the_user_of_the_copy_is_who_runs_the_code_there(
    monkeypatch: pytest.MonkeyPatch, processes: str, user: str
) -> None:
    names = "root:x:0:0:::\ndaemon:x:1:1:::\nnginx:x:2:2:::\n"
    said = CommandResult(0, processes + names, "")
    monkeypatch.setattr(profiles, "execute", lambda *_: said)
    made = installer(profile=replace(OFFICIAL, starts_alone=False))
    made._take_its_user()
    assert made.shell.profile.web_user == user


# -- its configuration ----------------------------------------------------------------------------


def opened(root: Path, *, is_closed: bool = False) -> dict[str, str]:
    made = installer()
    made.shell = Folder(root, is_closed=is_closed)
    found: dict[str, str] = made._open()
    return found


def test_a_link_to_a_configuration_that_is_not_there_yet_stands_for_its_directory(
    tmp_path: Path,
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.ini.php").symlink_to(tmp_path / "data/own/config.ini.php")
    assert opened(tmp_path) == {}
    assert os.access(tmp_path / "data/own", os.W_OK)


def test_a_link_to_a_configuration_stands_for_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/own.ini").touch(0o440)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.ini.php").symlink_to("../data/own.ini")
    modes = opened(tmp_path, is_closed=True)
    assert modes["config/config.ini.php"].endswith(" 440"), "and not the link's own 777"


# -- an image that installs itself ----------------------------------------------------------------


@pytest.mark.parametrize("starts_alone", [True, False])
def test_a_start_that_needs_its_database_may_end_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, starts_alone: bool
) -> None:
    steps: list[str] = []
    made = installer(profile=replace(OFFICIAL, starts_alone=starts_alone))

    def step(name: str, answer: object = None) -> Callable[..., object]:
        def taken(*_: object) -> object:
            steps.append(name)
            return answer

        return taken

    def opens() -> None:
        raise StopIteration

    monkeypatch.setattr(made, "_wait_for_its_files", step("files"))
    monkeypatch.setattr(made, "_take_its_user", step("user"))
    # Without a file, Matomo's own settings cannot be read.
    monkeypatch.setattr(made, "_configuration", step("configuration", ""))
    monkeypatch.setattr(made, "_settings", step("settings", {}))
    monkeypatch.setattr(made, "_database", step("database", (None, {})))
    monkeypatch.setattr(made, "_speaks_tls", step("tls", False))
    monkeypatch.setattr(gate_compose, "wait_until_steady", step("steady"))
    monkeypatch.setattr(made, "_open", opens)
    with pytest.raises(StopIteration):
        made.target(None, {})
    assert ("steady" in steps) is not starts_alone
    assert "settings" not in steps
