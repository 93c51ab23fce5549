"""What stacks and quarantines rely on holds for each MariaDB that can be chosen."""

import time
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from docker.models.containers import Container

from matomo_harness.errors import ExitCode
from matomo_harness.matomo import database_versions
from matomo_harness.runtime import images, reaper
from matomo_harness.runtime.engine import engine, execute
from matomo_harness.runtime.images import Image
from matomo_harness.runtime.inspection import inspected
from matomo_harness.settings import RunSettings
from tests.checkout import Checkout

PASSWORDS = {"MARIADB_ROOT_PASSWORD": "of 'root' \"$\\;#", "MARIADB_PASSWORD": "matomo's \"$\\;#"}
ACCOUNT = {**PASSWORDS, "MARIADB_USER": "matomo", "MARIADB_DATABASE": "mato_mo"}
HEALTH = ["healthcheck.sh", "--connect", "--innodb_initialized"]
DEFAULT, *OTHERS = database_versions.NAMES


@pytest.fixture(
    scope="module",
    params=[
        DEFAULT,
        *(
            pytest.param(name, marks=pytest.mark.slow(reason="its image is built at first use"))
            for name in OTHERS
        ),
    ],
)
def version(request: pytest.FixtureRequest) -> str:
    """A version that can be chosen."""
    if RunSettings.from_environment().mariadb_base not in ("auto", "substitute"):
        pytest.skip("MARIADB_BASE names an image: no version chooses one")
    return str(request.param)


@pytest.fixture(scope="module")
def mariadb(version: str) -> Image:
    """The base of that version."""
    return images.mariadb_base(
        RunSettings.from_environment({**_bases(), "MARIADB_VERSION": version})
    )


def _bases() -> dict[str, str]:
    return {"MARIADB_BASE": RunSettings.from_environment().mariadb_base}


class Servers:
    """Starts containers of a MariaDB, as anybody would."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.containers: list[Container] = []

    def start(
        self, environment: dict[str, str], *arguments: str, files: dict[str, str] | None = None
    ) -> Container:
        """Start one with an environment, arguments after its name, and mounted files."""
        anywhere: dict[str, Any] = {"3306/tcp": ("127.0.0.1", None)}
        container = engine().containers.run(
            self.image.reference,
            list(arguments),
            detach=True,
            environment=environment,
            volumes=[f"{here}:{there}:ro" for there, here in (files or {}).items()],
            ports=anywhere,
            labels=reaper.this_process().labels,
        )
        self.containers.append(container)
        return container


@pytest.fixture(scope="module")
def servers(mariadb: Image) -> Iterator[Servers]:
    made = Servers(mariadb)
    yield made
    for container in made.containers:
        container.remove(force=True, v=True)


@pytest.fixture(scope="module")
def running(servers: Servers) -> Container:
    """A server with an account and a schema, which is ready."""
    return ready(servers.start(ACCOUNT))


def ready(container: Container) -> Container:
    """Wait until its own health check passes."""
    deadline = time.monotonic() + 60
    while execute(container, HEALTH, "root").code:
        container.reload()
        assert container.status == "running", container.logs().decode()
        assert time.monotonic() < deadline, container.logs().decode()
        time.sleep(0.1)
    container.reload()
    return container


def session(
    container: Container, user: str, password: str
) -> "pymysql.Connection[pymysql.cursors.Cursor]":
    port = int((container.ports["3306/tcp"] or [])[0]["HostPort"])
    return pymysql.connect(host="127.0.0.1", port=port, user=user, password=password)


def ask(container: Container, user: str, password: str, statement: str) -> list[tuple[object, ...]]:
    """Return the rows of a statement."""
    with session(container, user, password) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def test_the_server_is_of_the_version_that_was_chosen(running: Container, version: str) -> None:
    ((seen,),) = ask(running, "root", PASSWORDS["MARIADB_ROOT_PASSWORD"], "SELECT VERSION()")
    assert str(seen).startswith(f"{version}.")
    assert "MariaDB" in str(seen)


def test_a_schema_without_a_word_of_it_has_unicode(running: Container) -> None:
    statement = "SELECT default_character_set_name FROM information_schema.schemata"
    password = PASSWORDS["MARIADB_PASSWORD"]
    where = f"{statement} WHERE schema_name = 'mato_mo'"
    assert ask(running, "matomo", password, where) == [("utf8mb4",)]


def test_the_image_says_how_to_run_it(mariadb: Image) -> None:
    config = inspected(engine().images.get(mariadb.id), "Config")
    assert config["Entrypoint"] == ["docker-entrypoint.sh"]
    assert config["Cmd"] == ["mariadbd"]
    assert "3306/tcp" in config["ExposedPorts"]
    assert "/var/lib/mysql" in config["Volumes"]


def test_the_data_is_of_the_official_user(running: Container) -> None:
    owner = execute(running, ["stat", "-c", "%u:%g", "/var/lib/mysql/mysql"], "root").out
    assert owner.strip() == "999:999"


def test_the_account_may_do_everything_in_its_schema_alone(running: Container) -> None:
    password = PASSWORDS["MARIADB_PASSWORD"]
    ask(running, "matomo", password, "CREATE TABLE mato_mo.t AS SELECT 1 AS n")
    for other in ("SELECT * FROM mysql.global_priv", "CREATE DATABASE matoXmo"):
        with pytest.raises(pymysql.err.OperationalError, match="denied"):
            ask(running, "matomo", password, other)


def test_nobody_gets_in_without_a_password(running: Container) -> None:
    for user in ("root", "matomo", "healthcheck", "mysql", "", "mariadb.sys"):
        with pytest.raises(pymysql.err.OperationalError):
            session(running, user, "")


def test_the_programs_of_dumps_and_backups_are_there(mariadb: Image) -> None:
    for program in ("mariadb", "mariadb-dump", "mariadb-backup", "mariadb-admin"):
        images.run_once(mariadb.reference, [program, "--version"])


def test_a_first_start_without_a_root_password_is_refused(servers: Servers) -> None:
    container = servers.start({})
    assert container.wait(timeout=60)["StatusCode"] == 1
    assert b"MARIADB_ROOT_PASSWORD" in container.logs()


def test_options_files_and_scripts_of_the_first_start_have_an_effect(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("first-start")
    (folder / "password").write_text("from a file")
    (folder / "a.sql").write_text("CREATE TABLE made (n INT); INSERT INTO made VALUES (7);")
    container = ready(
        servers.start(
            {"MYSQL_ROOT_PASSWORD_FILE": "/run/password", "MYSQL_DATABASE": "matomo"},
            "--max-connections=77",
            files={
                "/run/password": str(folder / "password"),
                "/docker-entrypoint-initdb.d/a.sql": str(folder / "a.sql"),
            },
        )
    )
    statement = "SELECT n, @@max_connections FROM matomo.made"
    assert ask(container, "root", "from a file", statement) == [(7, 77)]


def test_data_outlives_a_restart_that_is_a_clean_stop(servers: Servers) -> None:
    password = PASSWORDS["MARIADB_ROOT_PASSWORD"]
    container = ready(servers.start(ACCOUNT))
    ask(container, "root", password, "CREATE TABLE mato_mo.stays AS SELECT 1 AS n")
    container.stop(timeout=60)
    container.reload()
    assert inspected(container, "State")["ExitCode"] == 0
    container.start()
    assert ask(ready(container), "root", password, "SELECT n FROM mato_mo.stays") == [(1,)]


def test_an_unknown_version_is_refused_with_the_known_ones(checkout: Checkout) -> None:
    answer = checkout.harness("up", MARIADB_VERSION="10.5")
    answer.refuses(ExitCode.WRONG_INPUT, "MARIADB_VERSION=10.5", *database_versions.NAMES)
